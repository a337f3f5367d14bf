"""Measures of where a mouth is and how it moves, against the truth. Landmarks are px of the 384 crop.

Index letters: N frames, M = 39 mouth and jaw landmarks, the first 20 of them the mouth's, K coefficients.
"""

from __future__ import annotations

import numpy as np

from dubber.ops.landmarks import NUM_MOUTH
from dubber.ops.sync import best_lag
from dubber.types import Bool, Float32, Float64

MAX_LAG_FRAMES = 5
"""Lags looked at when two mouth tracks are compared, in frames, both ways."""

MIN_FRAMES = 3
"""Fewer pairs of frames say nothing about a correlation or a speed."""

SILENCE_MARGIN_S = 0.2
"""Lips open before their sound and close after it: silence this near to speech is not looked at."""

_FLAT = 1e-6


def expression_error(expression_NK: Float32, truth_NK: Float32) -> float:
    """E_exp: mean absolute error of an expression coefficient.

    The number depends on the basis. dubber's coefficients are in standard deviations of its own face model's
    training data, so 1 is as far off as a usual deviation from the mean face; papers that fit another model
    in another scale measure something else under the same name.

    Args:
        expression_NK: (N, K).
        truth_NK: (N, K), same basis.

    Source: EBT Eq. 5: the mean over the index of the L2 norm, which for a scalar is its absolute value.
    """
    return float(np.abs(expression_NK - truth_NK).mean())


def landmark_error_px(landmarks_NM2: Float32, truth_NM2: Float32) -> float:
    """E_ldmk: mean Euclidean distance over frames and landmarks.

    Args:
        landmarks_NM2: (N, M, 2); EBT's are the 39 mouth and jaw landmarks of the 384 crop.
        truth_NM2: (N, M, 2).

    Source: EBT Eq. 5.
    """
    return float(np.linalg.norm(landmarks_NM2 - truth_NM2, axis=-1).mean())


def lmd_px(landmarks_NM2: Float32, truth_NM2: Float32) -> float:
    """Landmark distance of the mouth's shape: mean over points and frames, each frame's mean taken off.

    Args:
        landmarks_NM2: (N, M, 2), the mouth's 20 points first.
        truth_NM2: (N, M, 2).

    Returns:
        px of the landmarks' picture, so numbers from crops of other sizes do not compare.

    Source: Chen et al. 2018, in the form of ER-NeRF's metrics; the tracker's points are in the place of
        dlib's.
    """
    return float(np.linalg.norm(_mouth_shape(landmarks_NM2) - _mouth_shape(truth_NM2), axis=-1).mean())


def lmd_sum_px(landmarks_NM2: Float32, truth_NM2: Float32) -> float:
    """The same distances summed over the 20 points, then averaged over frames: twenty times `lmd_px`.

    Args:
        landmarks_NM2: (N, M, 2), the mouth's 20 points first.
        truth_NM2: (N, M, 2).

    Source: the evaluation script of ATVGnet (Chen et al. 2019).
    """
    distance = np.linalg.norm(_mouth_shape(landmarks_NM2) - _mouth_shape(truth_NM2), axis=-1)
    return float(distance.sum(axis=1).mean())


def _mouth_shape(landmarks_NM2: Float32) -> Float32:
    mouth = landmarks_NM2[:, :NUM_MOUTH]
    return np.asarray(mouth - mouth.mean(axis=1, keepdims=True), np.float32)


def lagged_correlation(
    track_N: Float32, truth_N: Float32, is_known_N: Bool | None = None
) -> tuple[float, int]:
    """Pearson correlation of two curves at the lag where it is largest.

    Args:
        track_N: (N,) a curve.
        truth_N: (N,) the curve it should follow.
        is_known_N: (N,) bool, frames at which both are known; all unless given.

    Returns:
        The correlation, 0 where a curve is flat, and the lag in frames: positive when `track_N` comes late.
    """
    return best_lag(
        track_N,
        truth_N,
        MAX_LAG_FRAMES,
        is_track_known_N=is_known_N,
        is_truth_known_N=is_known_N,
        least=MIN_FRAMES,
    )


def amplitude_ratio(track_N: Float32, truth_N: Float32) -> float | None:
    """How far a curve swings against the one it should follow: ratio of standard deviations.

    Args:
        track_N: (N,) a curve, such as the mouth's opening.
        truth_N: (N,) the curve it should follow.

    Returns:
        1 for the right amplitude, below 1 for a mouth that mumbles; None where the truth does not move.
    """
    spread = float(truth_N.std())
    return float(track_N.std()) / spread if spread > _FLAT else None


def lip_speed(landmarks_NM2: Float32, times_s_N: Float32 | Float64, is_in_N: Bool) -> float | None:
    """Root mean square speed of the mouth's 20 points between neighbouring frames.

    Args:
        landmarks_NM2: (N, M, 2) on a head that stands still, or its motion counts too.
        times_s_N: (N,) seconds.
        is_in_N: (N,) bool; only pairs of frames that are both in it count.

    Returns:
        Units of the landmarks per second; None with fewer than `MIN_FRAMES` pairs.
    """
    is_pair = is_in_N[1:] & is_in_N[:-1]
    if is_pair.sum() < MIN_FRAMES:
        return None
    step = np.diff(landmarks_NM2[:, :NUM_MOUTH], axis=0)[is_pair]
    speed = np.linalg.norm(step, axis=-1) / np.diff(times_s_N)[is_pair, None]
    return float(np.sqrt(np.mean(speed**2)))


def motion_in_silence(
    landmarks_NM2: Float32, times_s_N: Float32 | Float64, is_silent_N: Bool, is_known_N: Bool
) -> float | None:
    """How much the lips move while nobody speaks, against how much they move in speech.

    Frames within `SILENCE_MARGIN_S` of speech count as neither.

    Args:
        landmarks_NM2: (N, M, 2) on a head that stands still.
        times_s_N: (N,) seconds.
        is_silent_N: (N,) bool.
        is_known_N: (N,) bool, frames that count.

    Returns:
        Ratio of the two `lip_speed`s; None where the clip is never silent, never speaks, or the lips never
        move.
    """
    times_s_N1: Float64 = np.asarray(times_s_N, np.float64)[:, None]
    from_speech_s_N = np.abs(times_s_N1 - times_s_N1[~is_silent_N].T).min(axis=1, initial=np.inf)
    silent = lip_speed(landmarks_NM2, times_s_N, (from_speech_s_N > SILENCE_MARGIN_S) & is_known_N)
    spoken = lip_speed(landmarks_NM2, times_s_N, ~is_silent_N & is_known_N)
    return silent / spoken if silent is not None and spoken is not None and spoken > _FLAT else None
