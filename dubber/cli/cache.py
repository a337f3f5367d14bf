"""`dubber cache`: what is kept, why something is not, and making room."""

from __future__ import annotations

import json as json_module
import re
import time
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from dubber.cli import options as o
from dubber.cli.console import print_json, say, set_up_logging, show_table
from dubber.engine.disk import human_bytes
from dubber.errors import ConfigError

if TYPE_CHECKING:
    from dubber.engine.plan import Node
    from dubber.engine.shared_store import SharedEntry, SharedStore
    from dubber.engine.store import EntryInfo, Store

app = typer.Typer(help="Look into the cache of intermediates, and make room.", no_args_is_help=True)

_UNITS = {"": 1, "K": 10**3, "M": 10**6, "G": 10**9, "T": 10**12}


Shared = Annotated[
    str | None,
    typer.Option(
        metavar="URL",
        help="The cache that machines share (`dubber batch --shared`), instead of this machine's own.",
        show_default=False,
    ),
]


@app.command("ls")
def ls(cache: o.CacheDir = None, shared: Shared = None, json: o.Json = False) -> None:
    """List what the cache holds: most recently used first; of a shared one, most recently made first."""
    store = _local_or_shared(cache, shared)
    entries = [(e.stage, e.num_bytes, _time_s(e), e.key) for e in store.entries()]
    num_bytes = sum(size for _, size, _, _ in entries)
    if json:
        name = "last_used_s" if shared is None else "made_s"
        documents = [
            {"key": key, "stage": stage, "bytes": size, name: time_s} for stage, size, time_s, key in entries
        ]
        print_json({"root": str(store), "bytes": num_bytes, "entries": documents})
        return
    now = time.time()
    rows = [
        [stage, human_bytes(size), _human_age(now - time_s), key[:12]] for stage, size, time_s, key in entries
    ]
    show_table(str(store), ["stage", "size", "used" if shared is None else "made", "key"], rows)
    say(f"{len(entries)} entries, {human_bytes(num_bytes)}")


@app.command("prune")
def prune(
    keep: Annotated[
        str, typer.Option(help="Keep the most recently used up to this size: 500M, 20G, 0.")
    ] = "10G",
    cache: o.CacheDir = None,
    shared: Shared = None,
    json: o.Json = False,
) -> None:
    """Remove the least recently used entries, of a shared cache the oldest, and what killed runs left."""
    removed = _local_or_shared(cache, shared).prune(parse_bytes(keep))
    freed = sum(entry.num_bytes for entry in removed)
    say(f"Removed {len(removed)} entries, {human_bytes(freed)}.")
    if json:
        print_json({"removed": len(removed), "bytes": freed})


@app.command("why")
def why(
    video: o.Video,
    audio: o.Audio,
    length: o.LengthOption = None,
    renderer: o.Renderer = None,
    translator: o.Translator = None,
    preset: o.Preset = None,
    config: o.ConfigFile = None,
    settings: o.Settings = None,
    cache: o.CacheDir = None,
    weights: o.WeightsDir = None,
    json: o.Json = False,
) -> None:
    """Tell, for each stage of a run, whether it is in the cache, and what differs if it is not."""
    set_up_logging(verbosity=0, is_quiet=False)
    from dubber.pipeline import plan_dub

    dub_config = o.build_config(
        config,
        settings,
        preset,
        length=length,
        renderer=renderer,
        translator=translator,
    )
    runtime = o.build_runtime(cache, weights)
    dub_plan = plan_dub(dub_config, video, audio, runtime=runtime)
    store = _store(cache)
    entries = store.entries()
    rows = [
        [
            node.name,
            "hit" if store.has(node.key) else "miss",
            _explain(node, dub_plan.plan.nodes, entries, store),
        ]
        for node in dub_plan.plan.nodes
        if node.stage is not None and node.stage.is_stored
    ]
    if json:
        print_json({"stages": [dict(zip(("stage", "cache", "why"), row, strict=True)) for row in rows]})
    else:
        show_table("Why", ["stage", "cache", "why"], rows)


def _explain(node: Node, nodes: list[Node], entries: list[EntryInfo], store: Any) -> str:
    if store.has(node.key):
        return "the same inputs, parameters and weights were run before"
    same_stage = [entry.document for entry in entries if entry.stage == node.name]
    if not same_stage:
        return "this stage has never been run"
    nearest = min(same_stage, key=lambda document: len(_differences(node, nodes, document)))
    return "; ".join(_differences(node, nodes, nearest))


def _differences(node: Node, nodes: list[Node], document: dict[str, Any]) -> list[str]:
    """What keeps a stored entry from being this node's."""
    found = []
    if node.document["version"] != document["version"]:
        found.append(f"the stage's version is {node.document['version']}, was {document['version']}")
    for part in ("params", "weights", "code"):
        now, then = node.document.get(part, {}), document.get(part, {})
        for name in sorted({*now, *then}):
            if now.get(name) != then.get(name):
                texts = [json_module.dumps(side.get(name))[:40] for side in (now, then)]
                found.append(f"{name} is {texts[0]}, was {texts[1]}")
    stored_inputs = document.get("inputs", [])
    for position, (index, key) in enumerate(zip(node.inputs, node.document["inputs"], strict=True)):
        if position >= len(stored_inputs) or stored_inputs[position] != key:
            source = nodes[index].source
            found.append(f"its input '{source.path.name if source else nodes[index].name}' is another one")
    return found


def parse_bytes(text: str) -> int:
    """Read a size such as 500M or 20G.

    Raises:
        ConfigError: It is no size.
    """
    match = re.fullmatch(r"\s*(\d+(?:\.\d+)?)\s*([KMGT]?)B?\s*", text, re.IGNORECASE)
    if match is None:
        raise ConfigError(f"'{text}' is no size.", advice="Write it as 500M or 20G.")
    return int(float(match[1]) * _UNITS[match[2].upper()])


def _human_age(seconds: float) -> str:
    for unit, length in (("d", 86400), ("h", 3600), ("min", 60)):
        if seconds >= length:
            return f"{seconds / length:.0f} {unit} ago"
    return "just now"


def _local_or_shared(cache: Path | None, shared: str | None) -> Store | SharedStore:
    from dubber.engine.shared_store import SharedStore

    return _store(cache) if shared is None else SharedStore(shared)


def _time_s(entry: EntryInfo | SharedEntry) -> float:
    from dubber.engine.store import EntryInfo

    return entry.last_used_s if isinstance(entry, EntryInfo) else entry.made_s


def _store(cache: Path | None) -> Store:
    from dubber.engine.store import Store

    return Store(o.build_runtime(cache, None).cache_dir)
