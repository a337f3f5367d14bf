"""Whether lips do what the phones ask: close for P, B and M, and open for vowels as wide as each one wants.

The phones come from an English recogniser, so the speech must be English.

Index letters: S samples, T frames, G times of a 10 ms grid.
"""

from __future__ import annotations

import logging
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np
from scipy.stats import spearmanr

from dubber.engine.execute import Run
from dubber.engine.progress import Progress
from dubber.engine.stage import Runtime
from dubber.errors import MediaError
from dubber.media.audio import read_speech
from dubber.ops.landmarks import EYE_CORNERS, LOWER_INNER_LIP, UPPER_INNER_LIP
from dubber.ops.sync import best_lag
from dubber.stages.speech import ExtractSpeech
from dubber.training.dataset import plan_clip
from dubber.training.phone_alignment import LEAST_CONFIDENCE, PAUSE, HeardPhone, heard_phones, in_ipa
from dubber.training.phones import STEP_HZ, TARGETS, targets_at_steps
from dubber.types import Bool, FaceTrack, Float32, Float64

logger = logging.getLogger(__name__)

BILABIALS = ("P", "B", "M")
VOWEL_OPENNESS = {"AA": 4, "AE": 3, "EH": 2, "IH": 1, "IY": 0, "UW": 0}
"""Pure vowels, larger is wider; AH is left out, for the dictionary writes the schwa so too, which takes any
opening. Source: vowel height in the IPA chart (2020), for General American."""

CLOSE_S = 0.08
"""Lips must be closed this near to the middle of a bilabial: two frames at 25 per second."""
_SEARCH_S = 0.15
"""The smallest opening around a bilabial is looked for this far from its middle."""
_CLOSED_SHARE = 0.15
"""Closed is the lowest part of the range from the 5th to the 95th percentile of the person's opening."""
_FLAT_SHARE = 0.05
"""The minimum is the middle of what lies within this share of the range above it: closed lips stay closed."""
_FEWEST_VOWELS = 3
_FEWEST_ORDERED = 4
_GRID_S = 1 / STEP_HZ
_REACH_STEPS = 25
"""Lags up to a quarter of a second are looked for."""


@dataclass(frozen=True)
class Closure:
    """What the lips did at one bilabial.

    Attributes:
        phone: P, B or M.
        time_s: The phone's middle.
        opening: The least opening within `CLOSE_S` of it, in eye distances.
        is_closed: It lies below the limit.
        is_closed_in_sync: The same with the clip's lag taken out.
        late_ms: By how much the least opening comes after the phone's middle, looked for around the clip's
            lag; `None` where the lips do not close there.
    """

    phone: str
    time_s: float
    opening: float
    is_closed: bool
    is_closed_in_sync: bool
    late_ms: float | None


@dataclass(frozen=True)
class PhoneSync:
    """How well a mouth follows the phones. Openings are in eye distances.

    Attributes:
        closures: Every bilabial that was understood and seen.
        closed_below: Openings up to this are closed.
        closure_rate: Share of the bilabials at which the lips close, 0 to 1; `None` without bilabials.
        closure_chance: The same share at any moment of the speech: what a mouth gets that moves at random.
        lag_ms: By how much the picture as a whole comes after the sound; negative where it leads. `None`
            where the mouth does not follow the phones at any lag.
        opening_correlation: Of the opening with the one the phones want, at that lag.
        closure_rate_in_sync: The closure rate with the lag taken out.
        late_ms: Median of the closures' `late_ms`.
        late_spread_ms: Median distance of the closures' `late_ms` from their median.
        vowel_opening: Mean opening in the middle half of each vowel heard at least three times, with the lag
            taken out.
        vowel_count: How often each vowel was heard.
        vowel_order: Spearman's correlation of `vowel_opening` with `VOWEL_OPENNESS`, -1 to 1; `None` with
            fewer than four vowels or a still mouth.
        understood: Share of the phones that the recogniser is sure of.
    """

    closures: tuple[Closure, ...]
    closed_below: float
    closure_rate: float | None
    closure_chance: float | None
    lag_ms: float | None
    opening_correlation: float | None
    closure_rate_in_sync: float | None
    late_ms: float | None
    late_spread_ms: float | None
    vowel_opening: dict[str, float]
    vowel_count: dict[str, int]
    vowel_order: float | None
    understood: float


def phone_sync(
    samples_S: Float32,
    times_s_T: Float64,
    opening_T: Float32,
    is_usable_T: Bool,
    closed_below: float | None = None,
) -> PhoneSync:
    """Measure a mouth against the phones of the speech it moves to.

    Args:
        samples_S: (S,) mono 16 kHz in -1..1, English, from the time 0 of `times_s_T` on.
        times_s_T: (T,) seconds of the frames.
        opening_T: (T,) distance of the inner lips, in eye distances.
        is_usable_T: (T,) frames whose opening is known.
        closed_below: The opening up to which lips are closed. By default taken from this mouth: 15 % of the
            way from the 5th to the 95th percentile of its openings. To compare two videos of a person, hand
            the one's limit to the other.

    Raises:
        ConfigError: pocketsphinx is not installed.
        MediaError: No speech was understood, or no frame is usable.
    """
    return measure(heard_phones(samples_S), times_s_T, opening_T, is_usable_T, closed_below)


def measure(
    phones: Sequence[HeardPhone],
    times_s_T: Float64,
    opening_T: Float32,
    is_usable_T: Bool,
    closed_below: float | None = None,
) -> PhoneSync:
    """`phone_sync` of phones that are known."""
    spoken = [phone for phone in phones if phone.arpabet != PAUSE and "+" not in phone.arpabet]
    sure = [phone for phone in spoken if phone.confidence >= LEAST_CONFIDENCE]
    if not sure:
        raise MediaError("No English speech was understood.", advice="Only English speech can be measured.")
    if not is_usable_T.any():
        raise MediaError("No frame shows the mouth.")
    curve = _Curve(times_s_T, opening_T, is_usable_T)
    limit = curve.low + _CLOSED_SHARE * curve.range if closed_below is None else closed_below
    best = _lag(phones, curve)
    lag_s = 0.0 if best is None else best[0]
    closures = tuple(
        closure
        for phone in sure
        if phone.arpabet in BILABIALS and (closure := _closure(phone, curve, limit, lag_s)) is not None
    )
    late_ms = np.array([closure.late_ms for closure in closures if closure.late_ms is not None])
    vowels: dict[str, list[float]] = {name: [] for name in VOWEL_OPENNESS}
    for phone in sure:
        if phone.arpabet in vowels:
            quarter_s = (phone.end_s - phone.start_s) / 4
            opening_g = curve.between(phone.start_s + quarter_s + lag_s, phone.end_s - quarter_s + lag_s)
            if opening_g is not None:
                vowels[phone.arpabet].append(float(opening_g.mean()))
    opening = {name: float(np.mean(found)) for name, found in vowels.items() if len(found) >= _FEWEST_VOWELS}
    return PhoneSync(
        closures=closures,
        closed_below=float(limit),
        closure_rate=_share([c.is_closed for c in closures]),
        closure_chance=_chance(sure, curve, limit),
        lag_ms=None if best is None else 1000 * best[0],
        opening_correlation=None if best is None else best[1],
        closure_rate_in_sync=_share([c.is_closed_in_sync for c in closures]),
        late_ms=float(np.median(late_ms)) if len(late_ms) else None,
        late_spread_ms=float(np.median(np.abs(late_ms - np.median(late_ms)))) if len(late_ms) else None,
        vowel_opening=opening,
        vowel_count={name: len(found) for name, found in vowels.items()},
        vowel_order=_order(opening),
        understood=len(sure) / len(spoken),
    )


class _Curve:
    """The mouth's opening over time."""

    def __init__(self, times_s_T: Float64, opening_T: Float32, is_usable_T: Bool) -> None:
        self._times_s_G = np.arange(times_s_T[0], times_s_T[-1] + _GRID_S / 2, _GRID_S)
        self.opening_G = np.interp(self._times_s_G, times_s_T[is_usable_T], opening_T[is_usable_T])
        self.is_known_G = np.interp(self._times_s_G, times_s_T, is_usable_T.astype(np.float64)) > 0.99
        self.low, high = (float(v) for v in np.percentile(opening_T[is_usable_T], (5, 95)))
        self.range = high - self.low

    def between(self, start_s: float, end_s: float) -> Float64 | None:
        """Openings on the grid from one time to another, `None` unless all are known."""
        first, last = np.searchsorted(self._times_s_G, (start_s - 1e-9, end_s + 1e-9))
        # A span shorter than the grid still has its nearest time.
        last = max(last, first + 1)
        if (
            start_s < self._times_s_G[0]
            or last > len(self._times_s_G)
            or not self.is_known_G[first:last].all()
        ):
            return None
        return np.asarray(self.opening_G[first:last])

    def time_of_minimum(self, start_s: float, end_s: float) -> float | None:
        """Middle of the lowest stretch between two times, or `None` if the opening is not known there."""
        opening_g = self.between(start_s, end_s)
        if opening_g is None:
            return None
        lowest = int(np.argmin(opening_g))
        is_above_g = opening_g > opening_g[lowest] + _FLAT_SHARE * self.range
        before, after = np.flatnonzero(is_above_g[:lowest]), np.flatnonzero(is_above_g[lowest:])
        first = int(before[-1]) + 1 if len(before) else 0
        last = lowest + int(after[0]) - 1 if len(after) else len(opening_g) - 1
        return start_s + (first + last) / 2 * _GRID_S


def _lag(phones: Sequence[HeardPhone], curve: _Curve) -> tuple[float, float] | None:
    """Seconds by which the picture comes after the sound, and the correlation there, if it is positive."""
    targets_FA = targets_at_steps(in_ipa(phones), len(curve.opening_G) + _REACH_STEPS)
    wanted_F = targets_FA[:, TARGETS.index("jaw")] * (1 - targets_FA[:, TARGETS.index("closure")])
    # Beyond the last frame the mouth is not known, but what it is early for is.
    correlation, lag = best_lag(
        np.pad(curve.opening_G, (0, _REACH_STEPS)),
        wanted_F,
        _REACH_STEPS,
        is_track_known_N=np.pad(curve.is_known_G, (0, _REACH_STEPS)),
        is_truth_known_N=~np.isnan(wanted_F),
        least=STEP_HZ + 1,
    )
    return (lag / STEP_HZ, correlation) if correlation > 0 else None


def _closure(phone: HeardPhone, curve: _Curve, limit: float, lag_s: float) -> Closure | None:
    """What happened at a bilabial, or `None` where the mouth is not seen."""
    middle_s = (phone.start_s + phone.end_s) / 2
    shown_g, in_sync_g = (
        curve.between(middle_s + shift_s - CLOSE_S, middle_s + shift_s + CLOSE_S) for shift_s in (0.0, lag_s)
    )
    if shown_g is None or in_sync_g is None:
        return None
    is_closed_in_sync = bool(in_sync_g.min() <= limit)
    lowest_s = None
    if is_closed_in_sync:
        lowest_s = curve.time_of_minimum(middle_s + lag_s - _SEARCH_S, middle_s + lag_s + _SEARCH_S)
    late_ms = None if lowest_s is None else 1000 * (lowest_s - middle_s)
    least = float(shown_g.min())
    return Closure(phone.arpabet, middle_s, least, least <= limit, is_closed_in_sync, late_ms)


def _chance(sure: Sequence[HeardPhone], curve: _Curve, limit: float) -> float | None:
    """Share of all moments of the speech within `CLOSE_S` of which the lips are closed."""
    return _share(
        [
            bool(opening_g.min() <= limit)
            for phone in sure
            for time_s in np.arange(phone.start_s, phone.end_s, _GRID_S)
            if (opening_g := curve.between(time_s - CLOSE_S, time_s + CLOSE_S)) is not None
        ]
    )


def _share(are_true: Sequence[bool]) -> float | None:
    return float(np.mean(are_true)) if are_true else None


def _order(opening: dict[str, float]) -> float | None:
    """Spearman's correlation with the order that is expected."""
    if len(opening) < _FEWEST_ORDERED or len(set(opening.values())) == 1:
        return None
    return float(spearmanr([VOWEL_OPENNESS[name] for name in opening], list(opening.values())).statistic)


def opening_in_eye_distances(track: FaceTrack) -> Float32:
    """Distance of the inner lips as a share of that of the outer eye corners.

    Args:
        track: The tracked face.

    Returns:
        (T,) float32; 0 where the frame is not usable.
    """
    points_TL3 = track.landmarks_TL3
    eyes_T = np.linalg.norm(points_TL3[:, EYE_CORNERS[0]] - points_TL3[:, EYE_CORNERS[3]], axis=-1)
    lips_T = np.linalg.norm(points_TL3[:, UPPER_INNER_LIP] - points_TL3[:, LOWER_INNER_LIP], axis=-1)
    return np.where(track.is_usable_T, lips_T / np.where(eyes_T > 0, eyes_T, 1), 0).astype(np.float32)


def evaluate_phones(
    video: Path, reference: Path | None, runtime: Runtime, progress: Progress
) -> dict[str, Any]:
    """Measure a video, and beside it the footage it was made from.

    Args:
        video: With English speech.
        reference: Footage of the same person, as filmed, with its own English speech. What counts as closed
            is then taken from it.
        runtime: Device, cache and weights.
        progress: Is told of the stages.

    Returns:
        {"clips": [a `PhoneSync` as a dictionary with the file's name as "clip", ...]}, the video first.

    Raises:
        ConfigError: pocketsphinx is not installed.
        NoFaceError: A video shows no usable face.
        MediaError: A video cannot be read, or no speech is understood in it.
    """
    filmed = None if reference is None else _measured(reference, runtime, progress, None)
    limit = None if filmed is None else filmed.closed_below
    made = _measured(video, runtime, progress, limit)
    clips = [(video, made)] if reference is None or filmed is None else [(video, made), (reference, filmed)]
    return {"clips": [{"clip": path.name, **asdict(found)} for path, found in clips]}


def _measured(path: Path, runtime: Runtime, progress: Progress, closed_below: float | None) -> PhoneSync:
    planned = plan_clip(path, runtime)
    speech_ref = planned.plan.add(ExtractSpeech(), planned.video)
    run = Run(planned.plan, runtime, progress)
    track = run.get(planned.track)
    try:
        found = phone_sync(
            read_speech(run.get(speech_ref)),
            run.get(planned.clip).times_s_T,
            opening_in_eye_distances(track),
            track.is_usable_T,
            closed_below,
        )
    except MediaError as error:
        raise MediaError(error.message, where=error.where or str(path), advice=error.advice) from error
    if found.understood < 0.5:
        logger.warning(
            "%s: only %.0f %% of the speech was understood; is it clear English? The numbers rest on little.",
            path,
            100 * found.understood,
        )
    return found
