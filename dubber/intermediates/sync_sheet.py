"""The audio-video offset plot: how well mouth and voice go together when one is moved against the other."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from dubber.evaluation.quality import Quality
from dubber.evaluation.quality_sync import AvOffset, Openings, offset_over_time
from dubber.evaluation.quality_verdicts import NATURAL_LEAD_MS, SCALES
from dubber.intermediates.figures import picture_of
from dubber.types import Float32, UInt8

_OFFSET = SCALES["voice_late_ms"]
_COLORS = {"seen": "C0", "heard": "C1", "wanted": "C2"}


def draw_sync(quality: Quality) -> UInt8:
    """Draw correlation over offset with the verdicts; then each speaker's curves and offset over time.

    Args:
        quality: As measured.

    Returns:
        (H, W, 3) uint8 RGB.
    """
    num_people = len(quality.openings)
    figure = Figure(figsize=(14, 5 + 5 * num_people), layout="constrained")
    rows = figure.subplots(1 + 2 * num_people, 1, height_ratios=[2.2, *[1.2, 0.8] * num_people])
    words = [each.words for each in quality.figures if each.name in ("sync", "offset", "intent")]
    rows[0].set_title("\n".join(words), loc="left")
    if quality.av_offset is not None:
        _draw_offsets(rows[0], quality.av_offset)
    for number, person in enumerate(quality.openings):
        _draw_curves(rows[1 + 2 * number], person, number + 1)
        _draw_course(rows[2 + 2 * number], person)
    return picture_of(figure)


def _draw_offsets(axes: Axes, offset: AvOffset) -> None:
    """Both curves over the offset; the voice's is moved by the lead that filmed mouths have."""
    offsets_ms_L = offset.offsets_s_L * 1000
    _shade(axes.axvspan)
    for name, curve_L, lead_ms, best in (
        ("heard", offset.voice_L, NATURAL_LEAD_MS, offset.voice),
        ("wanted", offset.wanted_L, 0.0, offset.wanted),
    ):
        if best is None:
            continue
        best_ms = best[1] * 1000 + lead_ms
        label = f"with the opening that is {name}: {best[0]:.2f} at {round(best_ms):+d} ms"
        axes.plot(offsets_ms_L + lead_ms, curve_L, color=_COLORS[name], label=label)
        axes.plot([best_ms], [best[0]], "o", color=_COLORS[name])
        axes.axvline(best_ms, color=_COLORS[name], linewidth=0.8, linestyle="--")
    axes.set_xlabel(
        "the mouth is late by, ms (0: as filmed mouths are; band: hardly noticed; pale: accepted)"
    )
    axes.set_ylabel("correlation of the seen opening")
    axes.grid(alpha=0.3)
    axes.legend(loc="upper right")


def _draw_curves(axes: Axes, person: Openings, number: int) -> None:
    """The openings over time, each in its own standard deviations."""
    for name, curve_F in (("heard", person.heard_F), ("wanted", person.wanted_F), ("seen", person.seen_F)):
        if curve_F is not None:
            shown_F = np.where(person.is_seen_F, _standard(curve_F, person), np.nan)
            axes.plot(person.times_s_F, shown_F, color=_COLORS[name], linewidth=1, label=name)
    axes.set_xlim(0, person.times_s_F[-1])
    lead = f"filmed mouths move {NATURAL_LEAD_MS:.0f} ms before what is heard"
    axes.set_title(f"speaker {number}: the mouth's opening, standard deviations ({lead})", loc="left")
    axes.legend(loc="upper right", ncols=3)


def _draw_course(axes: Axes, person: Openings) -> None:
    """The offset over time."""
    _shade(axes.axhspan)
    times_s_W, late_s_W, correlation_W = offset_over_time(person)
    points = axes.scatter(
        times_s_W, late_s_W * 1000 + NATURAL_LEAD_MS, c=correlation_W, cmap="viridis", vmin=0, vmax=1
    )
    axes.figure.colorbar(points, ax=axes, label="correlation")
    axes.set_xlim(0, person.times_s_F[-1])
    axes.set_ylabel("late, ms")
    axes.set_xlabel("time, s")


def _shade(span: Callable[..., object]) -> None:
    """Offsets that are not noticed, and those that are accepted."""
    for good, alpha in ((_OFFSET.fair, 0.1), (_OFFSET.good, 0.15)):
        span(good.low, good.high, alpha=alpha, color="C2")


def _standard(curve_F: Float32, person: Openings) -> Float32:
    known_f = curve_F[person.is_seen_F]
    if not len(known_f):
        return curve_F
    return np.asarray((curve_F - known_f.mean()) / max(float(known_f.std()), 1e-6), np.float32)
