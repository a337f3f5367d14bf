"""Does the mouth in a finished dub move with the voice, and when.

Three curves of a mouth's opening are laid over each other: what a tracker sees in the finished video, what
dubber's listening network hears in the speech, and what the renderer was asked for.

Index letters: F steps of 10 ms, N output frames, L offsets, W moments.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from dubber.engine.execute import Run
from dubber.engine.stage import Runtime
from dubber.errors import WeightsError
from dubber.evaluation.finished import FinishedDub
from dubber.media.audio import open_speech
from dubber.models.expression import ExpressionNet, TargetRange
from dubber.ops.landmarks import mouth_opening
from dubber.ops.sync import at_media_times, lag_curve
from dubber.pipeline import Performance
from dubber.stages.listening import RATE_HZ, predicted, smoothed
from dubber.stages.translate import WEIGHTS
from dubber.types import CROP_SIZE_PX, Bool, Float32, Float64, Int64, Timeline

REACH_S, OFFSET_STEP_S = 0.6, 0.02
"""Offsets that are tried: so far either way, in such steps."""

WINDOW_S = 4.0
"""Length of the part in which a moment's offset is sought."""

LEAST_SPOKEN_S = 2.0
"""Fewer seconds of visible speech say nothing."""

_SMOOTH_STEPS = 5.0
"""The translator smooths what it hears alike."""

_OPENING = 0
"""The network's first mode is the largest motion of the mouth: its opening."""


@dataclass(frozen=True)
class Openings:
    """One person's mouth over time, each curve in its own unit.

    Attributes:
        times_s_F: (F,) float64 seconds of the output, 10 ms apart.
        seen_F: (F,) float32 px of the 384 crop, as tracked in the finished video; means nothing elsewhere.
        is_seen_F: (F,) bool.
        heard_F: (F,) float32 as the speech sounds, standard deviations of the person's own; None where nobody
            can tell.
        wanted_F: (F,) float32 px of the 384 crop, as the renderer was asked.
        is_spoken_F: (F,) bool, somebody speaks.
    """

    times_s_F: Float64
    seen_F: Float32
    is_seen_F: Bool
    heard_F: Float32 | None
    wanted_F: Float32
    is_spoken_F: Bool

    @property
    def spoken_s(self) -> float:
        """Seconds of speech during which the mouth is seen."""
        return float((self.is_seen_F & self.is_spoken_F).sum()) / RATE_HZ


@dataclass(frozen=True)
class AvOffset:
    """How well picture and sound agree when one is moved against the other.

    Attributes:
        offsets_s_L: (L,) float64, by which the mouth comes after the voice.
        voice_L: (L,) float64 correlation of the seen opening with the heard one; NaN where it has no meaning.
        wanted_L: (L,) float64 the same with the wanted one.
    """

    offsets_s_L: Float64
    voice_L: Float64
    wanted_L: Float64

    @property
    def voice(self) -> tuple[float, float] | None:
        """Best agreement with the voice, and its offset in seconds."""
        return _peak(self.offsets_s_L, self.voice_L)

    @property
    def wanted(self) -> tuple[float, float] | None:
        """Best agreement with what was asked, and its offset in seconds."""
        return _peak(self.offsets_s_L, self.wanted_L)


def _peak(offsets_s_L: Float64, curve_L: Float64) -> tuple[float, float] | None:
    """The highest point, between the steps: the parabola through it and its neighbours has its own."""
    if not np.isfinite(curve_L).any():
        return None
    best = int(np.nanargmax(curve_L))
    around = curve_L[max(best - 1, 0) : best + 2]
    if len(around) < 3 or not np.isfinite(around).all():
        return float(curve_L[best]), float(offsets_s_L[best])
    bend = around[0] - 2 * around[1] + around[2]
    shift = 0.0 if bend >= 0 else float((around[0] - around[2]) / (2 * bend))
    step_s = float(offsets_s_L[1] - offsets_s_L[0])
    return float(curve_L[best]), float(offsets_s_L[best]) + shift * step_s


def av_offset(people: Sequence[Openings]) -> AvOffset | None:
    """Try all offsets; of several people, the mean weighted by how long each is seen speaking.

    Returns:
        None where too little visible speech is there.
    """
    told = [person for person in people if person.spoken_s >= LEAST_SPOKEN_S]
    if not told:
        return None
    steps = _steps()
    weight_P = np.array([person.spoken_s for person in told])
    nowhere_L = np.full(len(steps), np.nan)
    voice_PL = [
        nowhere_L if person.heard_F is None else _agreement(person, person.heard_F, steps) for person in told
    ]
    wanted_PL = [_agreement(person, person.wanted_F, steps) for person in told]
    voice_L, wanted_L = (np.average(curves, axis=0, weights=weight_P) for curves in (voice_PL, wanted_PL))
    return AvOffset(steps / RATE_HZ, voice_L, wanted_L)


def offset_over_time(person: Openings) -> tuple[Float64, Float64, Float64]:
    """Where mouth and voice agree best, moment by moment.

    Returns:
        (W,) seconds of the moments, the mouth's lateness there in seconds, and the correlation; only of
        moments around which enough speech is seen.
    """
    if person.heard_F is None:
        return np.zeros(0), np.zeros(0), np.zeros(0)
    steps = _steps()
    told: list[tuple[float, float, float]] = []
    width = round(WINDOW_S * RATE_HZ)
    for start in range(0, max(len(person.times_s_F) - width, 0) + 1, RATE_HZ // 2):
        window = slice(start, start + width)
        is_seen_f = person.is_seen_F[window]
        if (is_seen_f & person.is_spoken_F[window]).sum() < LEAST_SPOKEN_S * RATE_HZ:
            continue
        curve_L = lag_curve(person.seen_F[window], person.heard_F[window], steps, is_track_known_N=is_seen_f)
        best = _peak(steps / RATE_HZ, curve_L)
        if best is not None:
            told.append((float(person.times_s_F[start]) + WINDOW_S / 2, best[1], best[0]))
    times_s_W, late_s_W, correlation_W = np.array(told, np.float64).reshape(-1, 3).T
    return times_s_W, late_s_W, correlation_W


def _steps() -> Int64:
    """(L,) offsets, steps of the curves."""
    reach = round(REACH_S / OFFSET_STEP_S)
    return np.arange(-reach, reach + 1, dtype=np.int64) * round(OFFSET_STEP_S * RATE_HZ)


def _agreement(person: Openings, truth_F: Float32, steps: Int64) -> Float64:
    return lag_curve(person.seen_F, truth_F, steps, is_track_known_N=person.is_seen_F)


def openings(dub: FinishedDub, person: int, seen_N: Float32, is_seen_N: Bool, runtime: Runtime) -> Openings:
    """Bring a person's curves onto one clock.

    Args:
        dub: The dub.
        person: Who, counting from 0.
        seen_N: (N,) opening seen in the finished video, px of the 384 crop.
        is_seen_N: (N,) bool, frames in which it was.
        runtime: Names the listening network.
    """
    run, performance = dub.run, dub.plan.performances[person]
    timeline, mouths = run.get(dub.plan.timeline), dub.people[person].mouths
    times_s_F = np.arange(int(timeline.duration_s * RATE_HZ) + 1) / RATE_HZ
    unit = np.float32(CROP_SIZE_PX / mouths.crop_size_px)
    wanted_N = mouth_opening(mouths.landmarks_NM2) * unit
    is_spoken_N = ~run.get(performance.expression).is_silent_N
    values_NZ = np.stack([np.where(is_seen_N, seen_N, 0), wanted_N], axis=1).astype(np.float32)
    # A frame is a moment; what lies between two that were both seen is known.
    values_FZ, is_seen_F = at_media_times(times_s_F, dub.times_s_N, values_NZ, is_seen_N)
    is_spoken_F = np.interp(times_s_F, dub.times_s_N, is_spoken_N.astype(np.float64)) > 0.5
    return Openings(
        times_s_F=times_s_F,
        seen_F=values_FZ[:, 0],
        is_seen_F=is_seen_F,
        heard_F=_heard(run, performance, timeline, len(times_s_F), runtime),
        wanted_F=values_FZ[:, 1],
        is_spoken_F=is_spoken_F,
    )


def _heard(
    run: Run, performance: Performance, timeline: Timeline, num_steps: int, runtime: Runtime
) -> Float32 | None:
    """(F,) the mouth's opening that the listening network hears, without what was learned of the person."""
    try:
        net = ExpressionNet.from_weight(runtime.weights.open(WEIGHTS["conv"]))
    except WeightsError:
        return None
    coeffs, track = run.get(performance.coeffs), run.get(performance.track)
    if net.num_coefficients != coeffs.expression_TK.shape[1]:
        return None
    reach = TargetRange.measured(net, coeffs.expression_TK[track.is_usable_T])
    with open_speech(run.get(performance.speech), timeline.audio_duration_s) as samples_S:
        modes_FZ = predicted(net, samples_S, reach, runtime.device.torch_device())
    heard_F = smoothed(modes_FZ[:, [_OPENING]], _SMOOTH_STEPS)[:, 0]
    missing = max(num_steps - len(heard_F), 0)
    return np.asarray(np.pad(heard_F, (0, missing), mode="edge")[:num_steps], np.float32)
