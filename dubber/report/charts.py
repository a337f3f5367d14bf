"""Charts as inline SVG: drawn in seconds or in the chart's own units, coloured by the page's style.

Charts over time are stretched to the page's width: what lies in them has no text and lines of fixed width.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence

import numpy as np

from dubber.evaluation.coverage import WORDS, State, Stretch
from dubber.report.clock import clock
from dubber.report.curves import Curve, MouthCurves
from dubber.report.html import Markup, tag
from dubber.types import Float32, Float64

BAR_HEIGHT = 16
CURVE_HEIGHT = 100
"""Units of a chart over time; one is a pixel of the page."""

_TICKS_PER_S = 100
"""Units of a chart over time per second: numbers in it are whole, so that they are short."""


def coverage_bar(stretches: Sequence[Stretch], duration_s: float) -> Markup:
    """What was done when: a bar with a stretch for each, named in a tooltip."""
    return _timed(
        duration_s,
        BAR_HEIGHT,
        [
            tag(
                "rect",
                tag("title", f"{clock(each.start_s)} to {clock(each.end_s)}: {each.words}"),
                x=_ticks(each.start_s),
                width=max(_ticks(each.end_s) - _ticks(each.start_s), 1),
                height=BAR_HEIGHT,
                class_=f"state {each.state}",
            )
            for each in stretches
        ],
        _said(stretches, duration_s),
    )


def curve_chart(curves: MouthCurves, seen: Curve | None, duration_s: float) -> Markup:
    """The speech's envelope as an area, the mouth's opening as lines over it."""
    top_px = top_of(curves, seen)
    lines = [
        tag("path", d=_area(curves.envelope, CURVE_HEIGHT), class_="envelope"),
        tag("path", d=_line(curves.own, CURVE_HEIGHT, top_px), class_="own"),
        tag("path", d=_line(curves.wanted, CURVE_HEIGHT, top_px), class_="wanted"),
    ]
    if seen is not None:
        lines.append(tag("path", d=_line(seen, CURVE_HEIGHT, top_px), class_="seen"))
    what = "The wanted opening of the mouth over time, with the loudness of the speech behind it."
    return _timed(duration_s, CURVE_HEIGHT, lines, what)


def top_of(curves: MouthCurves, seen: Curve | None) -> float:
    """The opening that reaches the chart's top, px of the 384 crop."""
    known = [each for each in (curves.wanted, curves.own, seen) if each is not None and len(each.values_B)]
    peaks = [float(np.nanmax(each.values_B)) for each in known if np.isfinite(each.values_B).any()]
    return max([*peaks, 1.0])


def legend(shown: Sequence[State]) -> Markup:
    """What the colours of `coverage_bar` mean."""
    keys = [
        tag("li", tag("span", class_=f"swatch {state}"), WORDS[state]) for state in WORDS if state in shown
    ]
    return tag("ul", keys, class_="legend")


def curve_legend(*, has_seen: bool) -> Markup:
    """What the lines of `curve_chart` mean."""
    lines = {"wanted": "wanted opening", "own": "the source's opening"}
    if has_seen:
        lines["seen"] = "opening seen in the output"
    wave = tag("svg", tag("rect", width=22, height=12), class_="key", viewBox="0 0 22 12", aria_hidden="true")
    keys = [tag("li", wave, "loudness of the speech")]
    for name, words in lines.items():
        line = tag("line", x1=0, x2=22, y1=6, y2=6, class_=name)
        keys.append(tag("li", tag("svg", line, class_="key", viewBox="0 0 22 12", aria_hidden="true"), words))
    return tag("ul", keys, class_="legend")


def share_bar(share: float) -> Markup:
    """A bar that fills a part, 0..1, of its width."""
    filled = tag("rect", width=f"{100 * min(max(share, 0.0), 1.0):.1f}", height=8, class_="filled")
    return tag(
        "svg", filled, viewBox="0 0 100 8", preserveAspectRatio="none", class_="share", aria_hidden="true"
    )


def offset_plot(
    offsets_ms: Float64 | Float32, correlations: Float64 | Float32, best: tuple[float, float] | None
) -> Markup:
    """Correlation against the audio-video offset, with the best one marked.

    Args:
        offsets_ms: (L,) increasing, by which the mouth is later than filmed mouths are.
        correlations: (L,) -1..1, NaN where unknown.
        best: The offset that fits best, and its correlation; None where none fits.
    """
    width, height, left, bottom = 420, 180, 44, 40
    known: list[float] = [value for value in correlations.tolist() if math.isfinite(value)]
    low, high = min(0.0, *known), max(0.2, *known)
    first, last = float(offsets_ms[0]), float(offsets_ms[-1])

    def x_of(offset_ms: float) -> float:
        return left + (offset_ms - first) / max(last - first, 1e-9) * (width - left - 10)

    def y_of(value: float) -> float:
        return 10 + (high - value) / (high - low) * (height - bottom - 10)

    points = [
        (x_of(x), y_of(y))
        for x, y in zip(offsets_ms.tolist(), correlations.tolist(), strict=True)
        if math.isfinite(y)
    ]
    path = "M" + "L".join(f"{x:.1f} {y:.1f}" for x, y in points)
    marks = [
        *(_label(x_of(x), height - 18, f"{x:g}", "middle") for x in round_steps(first, last, 5)),
        _label((width + left) / 2, height - 3, "the mouth is late by, ms (0: as in filmed speech)", "middle"),
        *(_label(left - 6, y_of(y) + 4, f"{y:.1f}", "end") for y in round_steps(low, high, 3)),
        tag("line", x1=left, x2=width - 10, y1=f"{y_of(0):.1f}", y2=f"{y_of(0):.1f}", class_="grid"),
        tag("line", x1=f"{x_of(0):.1f}", x2=f"{x_of(0):.1f}", y1=10, y2=height - bottom, class_="grid"),
        tag("path", d=path, class_="wanted"),
    ]
    said = "it is low everywhere."
    if best is not None:
        best_ms, peak = best
        marks.append(tag("circle", cx=f"{x_of(best_ms):.1f}", cy=f"{y_of(peak):.1f}", r=5, class_="best"))
        said = f"it is largest, {peak:.2f}, at {round(best_ms):+d} ms."
    return tag(
        "svg",
        tag("title", f"Agreement of mouth and voice for each offset; {said}"),
        marks,
        viewBox=f"0 0 {width} {height}",
        role="img",
        class_="plot",
    )


def round_steps(low: float, high: float, most: int) -> list[float]:
    """At most about so many round numbers between two."""
    span = max(high - low, 1e-9)
    power = 10.0 ** math.floor(math.log10(span / most))
    step = next(power * unit for unit in (1, 2, 5, 10) if span / (power * unit) <= most)
    return [
        round(float(index * step), 6) for index in range(math.ceil(low / step), math.floor(high / step) + 1)
    ]


def _timed(duration_s: float, height: int, shapes: Sequence[Markup], said: str) -> Markup:
    """A chart over time that fills the width of what it lies in; its own text is for screen readers."""
    return tag(
        "svg",
        shapes,
        viewBox=f"0 0 {max(_ticks(duration_s), 1)} {height}",
        preserveAspectRatio="none",
        height=height,
        role="img",
        aria_label=said,
        class_="timed",
    )


def _said(stretches: Sequence[Stretch], duration_s: float) -> str:
    """Shares of the states, in words."""
    total_s: dict[State, float] = dict.fromkeys(WORDS, 0.0)
    for each in stretches:
        total_s[each.state] += each.end_s - each.start_s
    parts = [f"{WORDS[state]} {100 * s / duration_s:.0f} %" for state, s in total_s.items() if s]
    return f"What was done over {clock(duration_s)}: {'; '.join(parts)}."


def _line(curve: Curve, height: float, top: float) -> str:
    """A path with a gap wherever the curve is not known."""
    pieces = []
    for start, stop in _known_runs(curve.values_B):
        points = (
            f"{_ticks(t)} {height - 4 - (height - 8) * min(value / top, 1.0):.1f}"
            for t, value in zip(
                curve.times_s_B[start:stop].tolist(), curve.values_B[start:stop].tolist(), strict=True
            )
        )
        pieces.append("M" + "L".join(points))
    return "".join(pieces)


def _area(curve: Curve, height: int) -> str:
    """A path around what lies between the foot and a curve in 0..1 that is known throughout."""
    if not len(curve.values_B):
        return ""
    points = [
        f"{_ticks(t)} {height - 2 - (height - 6) * value:.0f}"
        for t, value in zip(curve.times_s_B.tolist(), curve.values_B.tolist(), strict=True)
    ]
    first, last = _ticks(float(curve.times_s_B[0])), _ticks(float(curve.times_s_B[-1]))
    return f"M{first} {height}L{'L'.join(points)}L{last} {height}Z"


def _known_runs(values_B: Float32) -> Iterator[tuple[int, int]]:
    is_known_B = np.concatenate([[False], np.isfinite(values_B), [False]])
    edges = np.flatnonzero(np.diff(is_known_B.astype(np.int8)))
    yield from zip(edges[::2].tolist(), edges[1::2].tolist(), strict=True)


def _label(x: float, y: float, text: str, anchor: str) -> Markup:
    return tag("text", text, x=f"{x:.1f}", y=f"{y:.1f}", text_anchor=anchor)


def _ticks(seconds: float) -> int:
    return round(seconds * _TICKS_PER_S)
