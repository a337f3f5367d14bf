"""Similarities between a face in a picture and the mean face in the crop.

Convention:
    A similarity is a (..., 2, 3) matrix S: p_crop = S[:, :2] @ p + S[:, 2], rotation and scale without
    reflection.

Shapes: T frames, N points.
"""

from __future__ import annotations

import itertools

import numpy as np

from dubber.ops.landmarks import RIGID
from dubber.ops.portions import portions
from dubber.types import Bool, Float32, Float64, Int32

MEAN_FACE_RIGID_N2: Float32 = np.array(
    [
        [115.2, 107.5],
        [162.7, 109.5],
        [221.3, 109.5],
        [268.8, 107.5],
        [192.0, 99.5],
        [192.0, 112.8],
        [192.0, 125.3],
        [192.0, 137.1],
        [161.8, 186.2],
        [178.2, 188.8],
        [192.0, 189.1],
        [205.8, 188.8],
        [222.2, 186.2],
        [192.0, 165.1],
    ],
    np.float32,
)
"""Where the mean face's rigid points (`landmarks.RIGID`, same order) lie in the crop, px.

Source: the mean face of 33 speakers of the training clips (Procrustes, made symmetric), scaled so that brow
(105, 334) to chin (152) is 0.65 of the crop, with the brow at 0.17 of its height; the chin rests at 315 px,
and the lowest of all the training and development frames, mouth wide open, reached 357 px.
"""

SMOOTHING_SIGMA_FRAMES = 1.5
SMOOTHING_RADIUS_FRAMES = 3
"""Source: method.md, Crop / alignment: Gaussian over +-3 frames."""


def umeyama(points_TN2: Float32, template_N2: Float32) -> Float32:
    """Least-squares similarity from each frame's points to a template.

    Args:
        points_TN2: (T, N, 2) points, px; N >= 2, not all in one place.
        template_N2: (N, 2) where they should go.

    Returns:
        (T, 2, 3) float32 similarities.

    Source: Umeyama 1991, eq. 40-43, in two dimensions, where the best rotation has a closed form: with points
    as complex numbers, scale and rotation are <conj(p), q> / <p, p> of the centred points.
    """
    points_TN2 = np.asarray(points_TN2, np.float64)
    template = np.asarray(template_N2, np.float64)
    centre_T2, target_2 = points_TN2.mean(axis=1), template.mean(axis=0)
    p_TN2, q_N2 = points_TN2 - centre_T2[:, None], template - target_2
    spread_T = (p_TN2**2).sum(axis=(1, 2))
    cos_T = (p_TN2 * q_N2).sum(axis=(1, 2)) / spread_T
    sin_T = (p_TN2[..., 0] * q_N2[:, 1] - p_TN2[..., 1] * q_N2[:, 0]).sum(axis=1) / spread_T
    linear_T22 = np.stack([cos_T, -sin_T, sin_T, cos_T], axis=-1).reshape(-1, 2, 2)
    shift_T2 = target_2 - (linear_T22 @ centre_T2[..., None])[..., 0]
    return np.asarray(np.concatenate([linear_T22, shift_T2[..., None]], axis=-1), np.float32)


def similarity_to_mean_face(landmarks_TL3: Float32, is_found_T: Bool | None = None) -> Float32:
    """Similarities that bring eyes and nose onto the mean face's in the crop.

    Args:
        landmarks_TL3: (T, L, 2 or 3) tracker landmarks, px.
        is_found_T: (T,) bool, frames that have landmarks, None for all; the others get the identity.

    Returns:
        (T, 2, 3) float32, picture px to crop px; not smoothed.
    """
    similarity_T23 = identity_similarity(len(landmarks_TL3))
    for part in portions(len(landmarks_TL3)):
        found = slice(None) if is_found_T is None else is_found_T[part]
        rigid_TN2 = landmarks_TL3[part][:, RIGID, :2][found]
        similarity_T23[part][found] = umeyama(rigid_TN2, MEAN_FACE_RIGID_N2)
    return similarity_T23


def identity_similarity(num_frames: int) -> Float32:
    """(T, 2, 3) similarities that change nothing."""
    return np.tile(np.eye(2, 3, dtype=np.float32), (num_frames, 1, 1))


def apply_similarity(similarity_23: Float32, points_N2: Float32) -> Float32:
    """Map points.

    Args:
        similarity_23: (..., 2, 3).
        points_N2: (..., N, 2) with the same or broadcastable leading axes.

    Returns:
        (..., N, 2) float32.
    """
    linear, shift = similarity_23[..., :2], similarity_23[..., None, :, 2]
    return np.asarray(points_N2 @ np.swapaxes(linear, -1, -2) + shift, np.float32)


def similarity_scale(similarity_23: Float32) -> Float32:
    """(...) how many crop px one picture px becomes."""
    return np.asarray(np.hypot(similarity_23[..., 0, 0], similarity_23[..., 1, 0]), np.float32)


def invert_similarity(similarity_23: Float32) -> Float32:
    """(..., 2, 3) the similarity that leads back.

    The inverse of a similarity's linear part is its transpose over the squared scale.
    """
    matrix = np.asarray(similarity_23, np.float64)
    squared = matrix[..., 0, 0] ** 2 + matrix[..., 1, 0] ** 2
    linear = np.swapaxes(matrix[..., :2], -1, -2) / squared[..., None, None]
    shift = -(linear @ matrix[..., 2:])
    return np.asarray(np.concatenate([linear, shift], axis=-1), np.float32)


def scale_similarity(similarity_23: Float32, factor: float) -> Float32:
    """(..., 2, 3) the similarity to a crop `factor` times as large.

    Pixel centres lie at +0.5, so scaling needs no shift.
    """
    return np.asarray(similarity_23 * np.float32(factor), np.float32)


def segments(is_usable_T: Bool, shot_id_T: Int32) -> list[slice]:
    """Runs of consecutive usable frames of one shot."""
    if len(is_usable_T) == 0:
        return []
    changes = np.flatnonzero((np.diff(is_usable_T) != 0) | (np.diff(shot_id_T) != 0)) + 1
    edges = [0, *changes.tolist(), len(is_usable_T)]
    pairs = itertools.pairwise(edges)
    return [slice(start, stop) for start, stop in pairs if is_usable_T[start]]


def smooth_per_segment(
    values_T: Float32,
    is_usable_T: Bool,
    shot_id_T: Int32,
    sigma_frames: float = SMOOTHING_SIGMA_FRAMES,
    radius_frames: int = SMOOTHING_RADIUS_FRAMES,
) -> Float32:
    """Gaussian smoothing in time within each run of usable frames of one shot.

    At a run's ends values are mirrored through the last one (odd reflection), so that steady motion stays as
    it is.

    Args:
        values_T: (T, ...) any numbers for which averaging makes sense; similarities' entries are such.
        is_usable_T: (T,) bool; other frames keep their values.
        shot_id_T: (T,) int.
        sigma_frames: Standard deviation; 0 changes nothing.
        radius_frames: Where the Gaussian is cut off.

    Returns:
        (T, ...) float32.
    """
    smooth_T = np.array(values_T, np.float32)
    if sigma_frames <= 0:
        return smooth_T
    offsets = np.arange(-radius_frames, radius_frames + 1)
    kernel: Float64 = np.exp(-0.5 * (offsets / sigma_frames) ** 2)
    kernel /= kernel.sum()
    for run in segments(is_usable_T, shot_id_T):
        values = np.asarray(values_T[run], np.float64)
        length = len(values)
        radius = min(radius_frames, length - 1)
        if radius < 1:
            continue
        head = 2 * values[:1] - values[radius:0:-1]
        tail = 2 * values[-1:] - values[-2 : -radius - 2 : -1]
        padded = np.concatenate([head, values, tail])
        weights = kernel[radius_frames - radius : radius_frames + radius + 1]
        weights = weights / weights.sum()
        smooth_T[run] = sum(w * padded[k : k + length] for k, w in enumerate(weights))
    return smooth_T
