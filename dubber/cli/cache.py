"""`dubber cache`: what is kept, why something is not, and making room."""

from __future__ import annotations

import json as json_module
import re
import time
from typing import TYPE_CHECKING, Annotated, Any

import typer

from dubber.cli import options as o
from dubber.cli.console import print_json, say, set_up_logging, show_table
from dubber.engine.disk import human_bytes
from dubber.errors import ConfigError

if TYPE_CHECKING:
    from dubber.engine.plan import Node
    from dubber.engine.store import EntryInfo

app = typer.Typer(help="Look into the cache of intermediates, and make room.", no_args_is_help=True)

_UNITS = {"": 1, "K": 10**3, "M": 10**6, "G": 10**9, "T": 10**12}


@app.command("ls")
def ls(cache: o.CacheDir = None, json: o.Json = False) -> None:
    """List what the cache holds, most recently used first."""
    store = _store(cache)
    entries = store.entries()
    if json:
        print_json(
            {
                "root": str(store.root),
                "bytes": sum(entry.num_bytes for entry in entries),
                "entries": [
                    {"key": e.key, "stage": e.stage, "bytes": e.num_bytes, "last_used_s": e.last_used_s}
                    for e in entries
                ],
            }
        )
        return
    now = time.time()
    rows = [[e.stage, human_bytes(e.num_bytes), _human_age(now - e.last_used_s), e.key[:12]] for e in entries]
    show_table(str(store.root), ["stage", "size", "used", "key"], rows)
    say(f"{len(entries)} entries, {human_bytes(sum(e.num_bytes for e in entries))}")


@app.command("prune")
def prune(
    keep: Annotated[
        str, typer.Option(help="Keep the most recently used up to this size: 500M, 20G, 0.")
    ] = "10G",
    cache: o.CacheDir = None,
    json: o.Json = False,
) -> None:
    """Remove the least recently used entries, and what killed runs left."""
    removed = _store(cache).prune(parse_bytes(keep))
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


def _store(cache: Any) -> Any:
    from dubber.engine.store import Store

    return Store(o.build_runtime(cache, None).cache_dir)
