"""Where sound and picture agree.

Index letters: F steps of 10 ms, T frames, Z values per frame, N steps of two curves, L lags.
"""

from __future__ import annotations

import numpy as np

from dubber.types import Bool, Float32, Float64, Int64

_MIN_STEPS = 50
"""Half a second: fewer common steps tell nothing about a lag."""

_MAX_DELAY_S = 0.4

_FLAT = 1e-6
"""Standard deviation of a curve that does not move."""


def at_media_times(
    media_s_F: Float64, times_s_T: Float64, values_TZ: Float32, is_usable_T: Bool
) -> tuple[Float32, Bool]:
    """Values of frames at other times, linearly between frames.

    Args:
        media_s_F: (F,) wanted times.
        times_s_T: (T,) times of the frames.
        values_TZ: (T, Z).
        is_usable_T: (T,) frames that have values.

    Returns:
        (F, Z) float32; (F,) bool, between two usable frames.
    """
    values_FZ = np.stack([np.interp(media_s_F, times_s_T, column) for column in values_TZ.T], axis=1)
    is_known_F = np.interp(media_s_F, times_s_T, is_usable_T.astype(np.float64)) > 0.99
    is_inside_F = (media_s_F >= times_s_T[0]) & (media_s_F <= times_s_T[-1])
    return values_FZ.astype(np.float32), is_known_F & is_inside_F


def best_lag(
    track_N: Float32,
    truth_N: Float32,
    reach: int,
    *,
    is_track_known_N: Bool | None = None,
    is_truth_known_N: Bool | None = None,
    least: int = _MIN_STEPS,
) -> tuple[float, int]:
    """Where two curves agree best.

    Args:
        track_N: (N,) a curve.
        truth_N: (N,) the curve it should follow.
        reach: Largest lag in steps, both ways.
        is_track_known_N: (N,) bool, steps at which `track_N` is known; all unless given.
        is_truth_known_N: (N,) bool, the same for `truth_N`.
        least: Pairs of steps without which a lag is not looked at.

    Returns:
        Pearson correlation, and the lag in steps by which `track_N` comes late; (0, 0) where a curve is
        flat or too short, or they agree at no lag. Of lags that are as good, the smallest.
    """
    lags = np.array(sorted(range(-reach, reach + 1), key=abs))
    correlation_L = lag_curve(
        track_N,
        truth_N,
        lags,
        is_track_known_N=is_track_known_N,
        is_truth_known_N=is_truth_known_N,
        least=least,
    )
    best = int(np.argmax(np.nan_to_num(correlation_L, nan=0.0)))
    return (float(correlation_L[best]), int(lags[best])) if correlation_L[best] > 0 else (0.0, 0)


def lag_curve(
    track_N: Float32,
    truth_N: Float32,
    lags: Int64,
    *,
    is_track_known_N: Bool | None = None,
    is_truth_known_N: Bool | None = None,
    least: int = _MIN_STEPS,
) -> Float64:
    """How well two curves agree at different lags.

    Args:
        track_N: (N,) a curve.
        truth_N: (N,) the curve it should follow.
        lags: (L,) int64 steps by which `track_N` comes late.
        is_track_known_N: (N,) bool, steps at which `track_N` is known; all unless given.
        is_truth_known_N: (N,) bool, the same for `truth_N`.
        least: Pairs of steps without which a lag is not looked at.

    Returns:
        (L,) Pearson correlations; NaN where a curve is flat or too short.
    """
    everywhere_N = np.ones(len(track_N), np.bool_)
    track_known_N = everywhere_N if is_track_known_N is None else is_track_known_N
    truth_known_N = everywhere_N if is_truth_known_N is None else is_truth_known_N
    correlation_L = np.full(len(lags), np.nan)
    for place, lag in enumerate(lags.tolist()):
        late = slice(max(lag, 0), max(len(track_N) + min(lag, 0), 0))
        early = slice(max(-lag, 0), max(len(track_N) - max(lag, 0), 0))
        is_pair = track_known_N[late] & truth_known_N[early]
        here, there = track_N[late][is_pair], truth_N[early][is_pair]
        if len(here) >= least and here.std() >= _FLAT and there.std() >= _FLAT:
            correlation_L[place] = np.corrcoef(here, there)[0, 1]
    return correlation_L


def sound_delay(
    heard_F: Float32, seen_F: Float32, is_known_F: Bool, rate_hz: int, *, least_agreement: float
) -> tuple[float, float]:
    """By how much a clip's sound comes after its picture.

    Args:
        heard_F: (F,) mouth opening as the sound tells it, any unit.
        seen_F: (F,) mouth opening in the picture.
        is_known_F: (F,) bool, steps at which the picture shows it.
        rate_hz: Steps per second.
        least_agreement: Correlation below which the sound says nothing about its delay.

    Returns:
        Their correlation, and the delay in seconds, within 0.4 either way; 0 where they hardly agree, or
        agree best at the limit.
    """
    reach = round(_MAX_DELAY_S * rate_hz)
    agreement, lag = best_lag(heard_F, seen_F, reach, is_truth_known_N=is_known_F)
    is_sure = agreement >= least_agreement and abs(lag) < reach
    return agreement, lag / rate_hz if is_sure else 0.0
