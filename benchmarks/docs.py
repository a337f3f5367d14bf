"""Writes measured figures into docs/performance.md, between marks, and draws its picture."""

from __future__ import annotations

import re
from collections.abc import Mapping
from pathlib import Path

from benchmarks.clips import ROOT
from benchmarks.results import Scaling, WholeRuns
from benchmarks.scaling import verdicts
from benchmarks.tables import machine_text, scale_table, stage_table, whole_table

PAGE = ROOT / "docs" / "performance.md"
PICTURE = ROOT / "docs" / "images" / "time_per_stage.svg"


def whole_blocks(results: WholeRuns) -> dict[str, str]:
    """Blocks of whole runs."""
    machine = machine_text(results.machine, made_at=results.made_at, code=results.code)
    return {
        "whole machine": f"Measured on {machine}",
        "whole": "\n\n".join(whole_table(clip) for clip in results.clips),
        "stages": "\n\n".join(stage_table(clip) for clip in results.clips),
    }


def scale_blocks(scaling: Scaling) -> dict[str, str]:
    """Blocks of the looped clip."""
    machine = machine_text(scaling.machine, made_at=scaling.made_at, code=scaling.code)
    clip = f"{scaling.label}, {scaling.width}x{scaling.height} at {scaling.fps:g} fps, `{scaling.renderer}`"
    return {
        "scale": "\n\n".join([f"{clip}; measured on {machine}", scale_table(scaling), *verdicts(scaling)])
    }


def write_blocks(page: Path, blocks: Mapping[str, str]) -> None:
    """Replace what lies between `<!-- measured: NAME -->` and `<!-- end -->`.

    Args:
        page: Markdown file.
        blocks: New text by name.

    Raises:
        ValueError: The page has no such marks.
    """
    page.write_text(with_blocks(page.read_text(encoding="utf-8"), blocks), encoding="utf-8")


def with_blocks(text: str, blocks: Mapping[str, str]) -> str:
    """See `write_blocks`."""
    for name, block in blocks.items():
        marked = re.compile(rf"(<!-- measured: {re.escape(name)} -->\n).*?(<!-- end -->)", re.DOTALL)
        if not marked.search(text):
            raise ValueError(f"the page has no block 'measured: {name}'")
        text = marked.sub(lambda found, block=block: f"{found[1]}{block}\n{found[2]}", text)
    return text
