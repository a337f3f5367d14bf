"""The stacked bars of docs/performance.md: where the time of a frame goes."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from benchmarks.results import ClipResult
from benchmarks.tables import WORKING_STATES

if TYPE_CHECKING:
    from matplotlib.figure import Figure

INK = "#7f8791"
"""Text and lines; readable on white and on black, as the ground is left transparent."""

MIN_SHARE = 0.01
"""Stages below this share of the longest bar are drawn as part of the rest."""

COLORS = (
    "#4e79a7", "#f28e2b", "#59a14f", "#e15759", "#76b7b2", "#edc948",
    "#b07aa1", "#ff9da7", "#9c755f", "#86bcb6", "#d37295", "#a0cbe8",
)  # fmt: skip
"""Source: Tableau 10 and 20 palettes; of middle lightness."""

REST_COLOR = "#a9b0b7"


def draw(clips: Sequence[ClipResult], path: Path) -> None:
    """Draw processor time per frame of each state of each clip, with marks for wall clock and real time.

    Args:
        clips: What was measured.
        path: An SVG file, replaced.
    """
    from matplotlib import rc_context

    with rc_context({"svg.hashsalt": "dubber", "font.size": 10, "text.color": INK}):
        stacked_bars(clips).savefig(path, format="svg", metadata={"Date": None})


def stacked_bars(clips: Sequence[ClipResult]) -> Figure:
    """The figure that `draw` saves."""
    from matplotlib.figure import Figure

    bars = [
        (clip, state, clip.states[state])
        for clip in clips
        for state in WORKING_STATES
        if state in clip.states
    ]
    longest = max(measured.cpu_ms_per_frame for _, _, measured in bars)
    names = dict.fromkeys(name for clip in clips for name in clip.stages)
    stages = [
        name
        for name in names
        if any(each.stage_ms_per_frame.get(name, 0) > MIN_SHARE * longest for _, _, each in bars)
    ]
    places = _places([clip for clip, _, _ in bars])

    figure = Figure(figsize=(9, 1.6 + 0.34 * (max(places) + 1)), layout="constrained")
    figure.patch.set_alpha(0)
    axes = figure.add_subplot()
    axes.patch.set_alpha(0)
    left = [0.0] * len(bars)
    for number, stage in enumerate(stages):
        widths = [measured.stage_ms_per_frame.get(stage, 0.0) for _, _, measured in bars]
        axes.barh(places, widths, left=left, color=COLORS[number % len(COLORS)], label=stage, height=0.74)
        left = [start + width for start, width in zip(left, widths, strict=True)]
    rests = [
        max(0.0, measured.cpu_ms_per_frame - start)
        for start, (_, _, measured) in zip(left, bars, strict=True)
    ]
    axes.barh(places, rests, left=left, color=REST_COLOR, label="start, rest", height=0.74)
    for kind, values, style in (
        ("wall clock", [measured.wall_ms_per_frame for _, _, measured in bars], "-"),
        ("real time", [1e3 / clip.fps for clip, _, _ in bars], ":"),
    ):
        low, high = [place - 0.46 for place in places], [place + 0.46 for place in places]
        axes.vlines(values, low, high, colors=INK, linestyles=style, linewidth=2, label=kind)

    axes.set_yticks(places, [state for _, state, _ in bars])
    for clip in clips:
        first = next(place for place, (owner, _, _) in zip(places, bars, strict=True) if owner is clip)
        axes.text(0, first - 0.62, clip.name, fontweight="bold", va="bottom")
    axes.set_ylim(max(places) + 0.6, -1.3)
    axes.set_xlabel("ms per output frame")
    axes.tick_params(colors=INK)
    axes.xaxis.label.set_color(INK)
    for name, spine in axes.spines.items():
        spine.set_visible(name == "bottom")
        spine.set_color(INK)
    figure.legend(loc="outside lower center", ncols=6, frameon=False)
    return figure


def _places(owners: Sequence[ClipResult]) -> list[float]:
    """Where bars lie, with room for a title before each clip's."""
    places, place = [], 0.0
    for number, owner in enumerate(owners):
        place += 0 if number == 0 else 1 if owner is owners[number - 1] else 2
        places.append(place)
    return places
