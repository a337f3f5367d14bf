"""Landmarks kept from trembling while the mouth stands still (EBT Appendix G, Algorithm 2).

Index letters: N output frames, M = 39 mouth and jaw landmarks.
"""

from __future__ import annotations

from typing import Literal

import numpy as np

from dubber.ops.landmarks import NUM_MOUTH
from dubber.types import Bool, Float32, Float64

SmoothingMethod = Literal["corrected", "literal"]


def mouth_motion(landmarks_NM2: Float32, *, of_centre: bool = False) -> Float32:
    """How far the mouth moved since the frame before.

    Args:
        landmarks_NM2: (N, 39, 2) in a frame of reference that follows the head.
        of_centre: The displacement of the mouth's centre, as the paper has it, instead of the mean
            displacement of the mouth's landmarks: a mouth may open around a centre that does not move.

    Returns:
        (N,) float32 in the landmarks' unit; 0 for the first.
    """
    mouth = landmarks_NM2[:, :NUM_MOUTH]
    if of_centre:
        mouth = mouth.mean(axis=1, keepdims=True)
    steps = np.linalg.norm(np.diff(mouth, axis=0), axis=-1).mean(axis=-1)
    return np.asarray(np.concatenate([[0.0], steps])[: len(landmarks_NM2)], np.float32)


def smooth_landmarks(
    landmarks_NM2: Float32,
    starts_anew_N: Bool,
    *,
    method: SmoothingMethod = "corrected",
    threshold_px: float = 3.0,
    decay_per_px: float = 1.0,
    most: float = 0.6,
) -> Float32:
    """Mix landmarks with those before them, the more the less the mouth moves.

    "literal": with d the way of the mouth's centre, l'_t = a l_{t-1} + (1 - a) l_t, a = exp(-decay d), where
    d is at most the threshold, else l_t. A mouth that opens around a centre that stands still shows the
    landmarks of the frame before: with d = 0 it is one frame late, whatever it does.

    "corrected": d is the mean way of the mouth's landmarks from the smoothed ones before, a is at most
    `most`, and what is mixed in is smoothed itself. It runs forwards and backwards and the two are averaged,
    so that it does not lag.

    Args:
        landmarks_NM2: (N, 39, 2) px of the 384 crop: the head's own motion is none of the mouth's.
        starts_anew_N: (N,) bool, nothing is continued from the frame before.
        method: Which.
        threshold_px: Motion beyond this is left alone.
        decay_per_px: How fast smoothing gives way to motion.
        most: Largest share of the frame before; "corrected" only, 0..1.

    Returns:
        (N, 39, 2) float32.

    Source: Song et al. 2022 (EBT), Algorithm 2; threshold and decay are not given there.
    """
    if method == "literal":
        motion_N = mouth_motion(landmarks_NM2, of_centre=True)
        share_N = np.where(motion_N > threshold_px, 0, np.exp(-decay_per_px * motion_N))
        share_N[np.asarray(starts_anew_N)] = 0
        share_N11 = share_N[:, None, None]
        before_NM2 = np.concatenate([landmarks_NM2[:1], landmarks_NM2[:-1]])
        return np.asarray(share_N11 * before_NM2 + (1 - share_N11) * landmarks_NM2, np.float32)
    forwards = _recursive(landmarks_NM2, starts_anew_N, threshold_px, decay_per_px, most)
    # Seen from behind, a frame starts anew where the frame after it does.
    ends_N = np.concatenate([starts_anew_N[1:], [True]])[: len(starts_anew_N)]
    backwards = _recursive(landmarks_NM2[::-1], ends_N[::-1], threshold_px, decay_per_px, most)[::-1]
    return np.asarray((forwards + backwards) / 2, np.float32)


def _recursive(
    landmarks_NM2: Float32, starts_anew_N: Bool, threshold_px: float, decay_per_px: float, most: float
) -> Float64:
    smoothed = landmarks_NM2.astype(np.float64)
    for n in range(1, len(smoothed)):
        step_M2 = smoothed[n, :NUM_MOUTH] - smoothed[n - 1, :NUM_MOUTH]
        way = float(np.linalg.norm(step_M2, axis=-1).mean())
        if way <= threshold_px and not starts_anew_N[n]:
            share = min(most, float(np.exp(-decay_per_px * way)))
            smoothed[n] = share * smoothed[n - 1] + (1 - share) * smoothed[n]
    return smoothed
