"""What a report says of a run in words: what was asked, by whom it was allowed, what it was made with."""

from __future__ import annotations

import math
import platform
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from importlib import metadata
from importlib.util import find_spec
from typing import Any, TypeAlias

from dubber import __version__
from dubber.config import DubConfig
from dubber.engine.stage import Runtime
from dubber.outcome import DubResult, Labels
from dubber.pipeline import DubPlan
from dubber.report.clock import clock
from dubber.script import Script

Rows: TypeAlias = "tuple[tuple[str, ...], ...]"

_LIBRARIES = ("av", "mediapipe", "numpy", "opencv-python", "torch")
"""Those that make the pictures."""


@dataclass(frozen=True)
class ReportFacts:
    """What neither the plan nor its result tells.

    Attributes:
        name: What people call the dub; empty: the output's name.
        more: Further rows (what, answer) on how the output is labelled.
    """

    name: str = ""
    more: tuple[tuple[str, str], ...] = ()


def asked_rows(dub_plan: DubPlan, runtime: Runtime) -> Rows:
    """(what, answer): the files, and who says what."""
    sources = {
        node.source.path: node.source.sha256 for node in dub_plan.plan.nodes if node.source is not None
    }
    script, video = dub_plan.script, dub_plan.plan.nodes[dub_plan.video.index].source
    rows = [] if video is None else [("Video", str(video.path)), ("Its sha256", video.sha256)]
    for voice in script.files:
        rows += [("Speech", str(voice)), ("Its sha256", sources.get(voice, ""))]
    rows += [("Lines", said) for said in _lines(script)]
    rows.append(("Computed on", f"{runtime.device.kind}, {runtime.device.reason}"))
    return tuple(rows)


def _lines(script: Script) -> Iterator[str]:
    if not script.has_places:
        return
    for line in script.lines:
        who = script.speakers[line.speaker] if script.speakers else "the speaker"
        end = "the end" if math.isinf(line.end_s) else clock(line.end_s)
        yield f"{who}: {script.voices[line.voice].name}, {clock(line.start_s)} to {end}"


def setting_rows(config: DubConfig) -> Rows:
    """(key, value, default) of the settings that differ from their defaults."""
    asked, defaults = config.model_dump(mode="json"), DubConfig().model_dump(mode="json")
    rows = [
        (f"{stage}.{key}", _shown(value), _shown(defaults[stage][key]))
        for stage, values in asked.items()
        for key, value in values.items()
        if value != defaults[stage][key]
    ]
    return tuple(rows)


def _shown(value: Any) -> str:
    return "(none)" if value in (None, "") else str(value)


def label_rows(result: DubResult, facts: ReportFacts) -> Rows:
    """(what, answer): how the output says that it was edited, who agreed, who signed."""
    labels = result.labels
    said = "The file's metadata say that it was edited with dubber, and where."
    rest = "Only the mark in its pictures says" if labels.mark else "Nothing in the file says"
    silent = f"No: labels were turned off for this run. {rest} that it was edited."
    rows = [("Labelled as edited", said if labels.is_in_metadata else silent)]
    if labels.is_in_metadata:
        rows.append(("Signed statement (C2PA)", _signed(labels)))
    rows.append(("Visible mark", f"In the picture: {labels.mark}" if labels.mark else "None."))
    rows.append(("Consent", labels.consent or "Nobody was named."))
    return (*rows, *facts.more)


def _signed(labels: Labels) -> str:
    if not labels.manifest:
        has_signer = find_spec("c2pa") is not None
        return "None: " + (
            "signing failed, and the log says why."
            if has_signer
            else "`pip install 'dubber[c2pa]'` adds what signs."
        )
    where = "in the file" if labels.manifest == "embedded" else "in a file beside it"
    return f"{where.capitalize()}, signed by {labels.signer}."


def weight_rows(dub_plan: DubPlan, runtime: Runtime) -> Rows:
    """(name, licence, commercial use, sha256) of the weights that the stages read."""
    names = {name for node in dub_plan.plan.nodes if node.stage is not None for name in node.stage.weights()}
    rows = []
    for name in sorted(names):
        entry = runtime.weights.entry(name)
        may = "allowed" if entry.is_commercial_use_allowed else "not allowed"
        rows.append((name, entry.licence, may, entry.sha256))
    return tuple(rows)


def version_rows() -> Rows:
    """(what, version) of dubber and what makes its pictures."""
    rows = [("dubber", __version__), ("Python", sys.version.split()[0]), ("System", platform.platform())]
    for library in _LIBRARIES:
        try:
            rows.append((library, metadata.version(library)))
        except metadata.PackageNotFoundError:  # such as another build of OpenCV
            continue
    return tuple(rows)


def result_rows(result: DubResult) -> Rows:
    """(what, answer): the output in numbers."""
    rows = [
        ("Output", str(result.output)),
        (
            "Length",
            f"{clock(result.duration_s)}, {result.num_frames} frames, {result.frame_rate:.2f} per second",
        ),
        ("Lengths matched by", result.length_mode),
        ("Frames dubbed", f"{result.num_dubbed_frames} of {result.num_frames}"),
    ]
    if result.num_copied_frames:
        rows.append(("Frames copied", f"{result.num_copied_frames}: their packets are the source's own"))
    if result.renderer:
        rows.append(("Renderer", f"{result.renderer}, at {result.crop_size_px} px"))
    if math.isfinite(result.fit_residual_px):
        rows.append(("Face model", f"within {result.fit_residual_px:.1f} px of the tracked face"))
    if result.adaptation_gain_db is not None:
        rows.append(("Learning the person", f"{result.adaptation_gain_db:+.2f} dB"))
    rows.append(("Time of the run", f"{result.seconds:.1f} s"))
    return tuple(rows)
