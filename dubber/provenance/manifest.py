"""What a dub's C2PA manifest says.

Source: C2PA specification 2.2, its assertions `c2pa.ingredient` and `c2pa.actions`.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime, timezone
from typing import Any

from dubber.engine.execute import Run
from dubber.media.edits import Edits, Range, edits_in
from dubber.output import ASSERTION
from dubber.pipeline import DubPlan
from dubber.types import DubbedVideo, SourceFile

SOURCE_ID = "source"
_COMPOSITE = "http://cv.iptc.org/newscodes/digitalsourcetype/compositeWithTrainedAlgorithmicMedia"
"""Source: IPTC digital source types: footage combined with what a trained algorithm made."""


@dataclass(frozen=True)
class Facts:
    """What is signed.

    Attributes:
        edits: What was changed.
        source: The video.
        speech: What is said, the files that hold it.
        others: Further files of the user's that the dub was made from.
        weights: Checksums of the networks' weights by name.
    """

    edits: Edits
    source: SourceFile
    speech: tuple[SourceFile, ...]
    others: tuple[SourceFile, ...]
    weights: dict[str, str]


def facts_of(run: Run, dub_plan: DubPlan, dubbed: DubbedVideo) -> Facts:
    """What there is to sign of a dub that says that it was edited.

    Args:
        run: Has the plan's artefacts.
        dub_plan: Its plan.
        dubbed: The finished file.
    """
    nodes = dub_plan.plan.nodes
    source = run.get(dub_plan.video)
    given = {node.source.path: node.source for node in nodes if node.source is not None}
    del given[source.path]
    said = tuple(given.pop(path) for path in dict.fromkeys(dub_plan.script.files) if path in given)
    weights = {name: sha256 for node in nodes for name, sha256 in node.document.get("weights", {}).items()}
    (edits,) = edits_in(dubbed.label)
    return Facts(edits, source, said, tuple(given.values()), dict(sorted(weights.items())))


def definition(facts: Facts, title: str, unsigned_sha256: str) -> dict[str, Any]:
    """A manifest for c2pa-python's builder, which has the source as its ingredient `SOURCE_ID`.

    Args:
        facts: What is signed.
        title: The output's name.
        unsigned_sha256: Checksum of the finished file before it was signed.
    """
    edits = facts.edits
    agent = {"name": "dubber", "version": edits.dubber}
    common = {"when": _now(), "softwareAgent": agent, "digitalSourceType": _COMPOSITE}
    actions: list[dict[str, Any]] = [{"action": "c2pa.opened", "parameters": {"ingredientIds": [SOURCE_ID]}}]
    if edits.pictures:
        said = "The mouth was re-made to match other speech."
        actions.append({"action": "c2pa.edited", **common, **_changes(said, edits.pictures)})
    if edits.sound:
        actions.append({"action": "c2pa.dubbed", **common, **_changes("Other sound is heard.", edits.sound)})
    if edits.moved:
        said = "Other pictures of the source are shown than it has there."
        actions.append({"action": "c2pa.edited", **common, **_changes(said, edits.moved)})
    if edits.mark:
        said = f"The words '{edits.mark}' were written into the pictures."
        when = _changes(said, edits.marked) if edits.marked else {"description": said}
        actions.append({"action": "c2pa.edited", **common, **when})
    return {
        "claim_generator_info": [agent],
        "title": title.encode(errors="replace").decode(),  # names of files may be no text
        "assertions": [
            {"label": "c2pa.actions.v2", "data": {"actions": actions}},
            {"label": ASSERTION, "data": assertion(facts, unsigned_sha256)},
        ],
    }


def ingredient(source: SourceFile, mime_type: str) -> dict[str, Any]:
    """The source as what was edited; see `definition`. C2PA has no field for a checksum of its bytes.

    Args:
        source: The video.
        mime_type: Of what.
    """
    return {
        "label": SOURCE_ID,
        "title": source.path.name,
        "relationship": "parentOf",
        "format": mime_type,
        "instance_id": f"sha256:{source.sha256}",
        "description": f"The film that was dubbed, sha256 {source.sha256}",
    }


def assertion(facts: Facts, unsigned_sha256: str) -> dict[str, Any]:
    """The data of the assertion `dubber.edits`; see `definition`."""
    return {
        **facts.edits.model_dump(mode="json"),
        "source": _named(facts.source),
        "speech": [_named(each) for each in facts.speech],
        "others": [_named(each) for each in facts.others],
        "weights": facts.weights,
        "unsigned_sha256": unsigned_sha256,
    }


def _changes(said: str, ranges: tuple[Range, ...]) -> dict[str, Any]:
    """A description, and when it holds, as regions of time."""
    region = [
        {"type": "temporal", "time": {"type": "npt", "start": f"{start:.3f}", "end": f"{end:.3f}"}}
        for start, end in ranges
    ]
    return {"description": said, "changes": [{"description": said, "region": region}]}


def _named(file: SourceFile) -> dict[str, str]:
    return {"name": file.path.name, "sha256": file.sha256}


def _now() -> str:
    return datetime.now(timezone.utc).isoformat(timespec="seconds").replace("+00:00", "Z")
