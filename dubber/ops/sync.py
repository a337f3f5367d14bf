"""Where sound and picture agree.

Index letters: F steps of 10 ms, T frames, Z values per frame.
"""

from __future__ import annotations

import numpy as np

from dubber.types import Bool, Float32, Float64

_MIN_STEPS = 50
"""Half a second: fewer common steps tell nothing about a lag."""


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


def best_lag(heard_F: Float32, seen_F: Float32, is_known_F: Bool, reach: int) -> tuple[float, int]:
    """Where two curves agree best.

    Args:
        heard_F: (F,) curve predicted from the sound.
        seen_F: (F,) curve measured in the picture.
        is_known_F: (F,) steps at which the picture is known.
        reach: Largest lag in steps.

    Returns:
        Correlation, and the lag in steps by which the sound comes later than the picture; (0, 0) if
        undefined.
    """
    best = (0.0, 0)
    for lag in range(-reach, reach + 1):
        moved_F = np.roll(heard_F, -lag)
        inside_F = is_known_F.copy()
        inside_F[: max(-lag, 0)] = False
        inside_F[len(inside_F) - max(lag, 0) :] = False
        if inside_F.sum() < _MIN_STEPS or np.std(moved_F[inside_F]) < 1e-9 or np.std(seen_F[inside_F]) < 1e-9:
            continue
        correlation = float(np.corrcoef(moved_F[inside_F], seen_F[inside_F])[0, 1])
        if correlation > best[0]:
            best = (correlation, lag)
    return best
