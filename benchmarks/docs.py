"""Writes measured figures into docs/performance.md and the README, between marks."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

from benchmarks.clips import ROOT
from benchmarks.results import Scaling, WholeRuns
from benchmarks.scaling import verdicts
from benchmarks.tables import help_text, machine_text, scale_table, stage_table, table, whole_table

PAGE = ROOT / "docs" / "performance.md"
README = ROOT / "README.md"
PICTURE = ROOT / "docs" / "images" / "time_per_stage.svg"


def summary_block(results: WholeRuns) -> dict[str, str]:
    """The block of the README: the states that have a row of their own in few words."""
    columns = {
        "from nothing": "cold",
        "new speech, same video": "warm",
        "... with `exemplar`": "exemplar",
    }
    rows = [
        [
            clip.name,
            *(f"{clip.states[state].wall_s_per_s:.2f} s" for state in columns.values()),
            f"{max(measured.peak_rss_mb for measured in clip.states.values()) / 1e3:.2f} GB",
        ]
        for clip in results.clips
        if set(columns.values()) <= set(clip.states)
    ]
    return {"summary": table([f"on {results.machine.num_cores} CPU cores", *columns, "peak memory"], rows)}


def whole_blocks(results: WholeRuns) -> dict[str, str]:
    """Blocks of whole runs."""
    machine = machine_text(results.machine, made_at=results.made_at, code=results.code)
    return {
        "whole machine": f"Measured on {machine}",
        "whole": "\n\n".join([help_text(results), *(whole_table(clip) for clip in results.clips)]),
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
        start, end = f"<!-- measured: {name} -->\n", "<!-- end -->"
        before, has_start, rest = text.partition(start)
        _, has_end, after = rest.partition(end)
        if not (has_start and has_end):
            raise ValueError(f"the page has no block 'measured: {name}'")
        text = f"{before}{start}{block}\n{end}{after}"
    return text
