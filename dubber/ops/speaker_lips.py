"""How well somebody's lips go with what is heard.

Index letters: F steps of 10 ms, K frames in which somebody is seen.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from scipy.ndimage import gaussian_filter1d

from dubber.ops.landmarks import EYE_CORNERS, LOWER_INNER_LIP, UPPER_INNER_LIP
from dubber.ops.portions import picked
from dubber.ops.sync import at_media_times, best_lag
from dubber.types import Float32, Float64, Int32

RATE_HZ = 100

_MAX_LAG_S = 0.25
"""Sound that is farther off would be noticed before anything else."""

_LEAST_S = 1.0
"""Less footage tells nothing."""

_SYLLABLE_S = 0.15
"""Syllables last about so long; steps nearer to each other than this are no evidence of their own."""

_SMOOTH_STEPS = 3.0
"""Standard deviation, steps: a tracker's tremble is no speech."""

SURE = 3.0
"""Standard deviations from which lips and sound are taken to belong together: of 72 pairs of somebody's lips
and another's speech of 8 s none reached it.
"""

LIKELY, CLEAR_LEAD = 2.0, 1.0
"""Of several people the one who talks has at least so many, and leads the next by so many."""


@dataclass(frozen=True)
class LipAgreement:
    """How lips go with sound.

    Attributes:
        correlation: Of the lips' motion and the sound's level, at the best lag.
        surprise: Standard deviations by which that is above what chance gives in so much footage.
    """

    correlation: float
    surprise: float


def lip_openings(landmarks_SL3: Float32, rows_K: Int32) -> Float32:
    """How far lips are open.

    Args:
        landmarks_SL3: (S, 468, 3) px, of all sightings.
        rows_K: (K,) int32 which sightings.

    Returns:
        (K,) float32 distance of the inner lips, in distances of the outer eye corners.
    """
    points = [UPPER_INNER_LIP, LOWER_INNER_LIP, int(EYE_CORNERS[0]), int(EYE_CORNERS[-1])]
    points_KP3 = picked(landmarks_SL3, points, rows_K)
    lips_K = np.linalg.norm(points_KP3[:, 0] - points_KP3[:, 1], axis=1)
    eyes_K = np.linalg.norm(points_KP3[:, 2] - points_KP3[:, 3], axis=1)
    return np.asarray(lips_K / np.maximum(eyes_K, 1e-6), np.float32)


def lip_agreement(
    opening_K: Float32, frames_K: Int32, shot_id_T: Int32, times_s_T: Float64, level_F: Float64
) -> LipAgreement:
    """Compare somebody's lips with a sound.

    Args:
        opening_K: (K,) see `lip_openings`.
        frames_K: (K,) int32 frames in which they are seen, increasing.
        shot_id_T: (T,) shot of each frame.
        times_s_T: (T,) seconds.
        level_F: (F,) dB of the sound every 10 ms.
    """
    nothing = LipAgreement(0.0, 0.0)
    if len(frames_K) < 3 or not len(level_F):
        return nothing
    opening_T, is_seen_T = np.zeros(len(shot_id_T), np.float32), np.zeros(len(shot_id_T), np.bool_)
    opening_T[frames_K], is_seen_T[frames_K] = opening_K, True
    is_seen_T[1:] &= shot_id_T[1:] == shot_id_T[:-1]
    step_s_F = (np.arange(len(level_F)) + 0.5) / RATE_HZ
    opening_F1, is_seen_F = at_media_times(step_s_F, times_s_T, opening_T[:, None], is_seen_T)
    moving_F = _motion(opening_F1[:, 0])
    loud_F = np.clip(level_F, np.percentile(level_F, 95) - 40, None).astype(np.float32)
    reach, least = round(_MAX_LAG_S * RATE_HZ), round(_LEAST_S * RATE_HZ)
    correlation, _ = best_lag(moving_F, loud_F, reach, is_track_known_N=is_seen_F, least=least)
    independent = float(is_seen_F.sum()) / (_SYLLABLE_S * RATE_HZ)
    surprise = np.arctanh(min(correlation, 0.999)) * np.sqrt(max(independent - 3, 0))
    return LipAgreement(correlation, float(surprise))


def _motion(opening_F: Float32) -> Float32:
    """(F,) how far lips are open and how fast they move, each in its own standard deviations."""
    wide_F = gaussian_filter1d(opening_F, _SMOOTH_STEPS)
    fast_F = gaussian_filter1d(np.abs(np.gradient(gaussian_filter1d(opening_F, 2.0))), 10.0)
    parts = [part_F / max(float(part_F.std()), 1e-6) for part_F in (wide_F, fast_F)]
    return np.asarray(parts[0] + parts[1], np.float32)
