"""Poses in space: rotations as matrices and as axis-angles, and the similarity between two sets of points.

Shapes: T frames, N points.
"""

from __future__ import annotations

import numpy as np

from dubber.types import Float32, Float64


def rotation_matrices(rotation_T3: Float32 | Float64) -> Float64:
    """Rotation matrices of axis-angle vectors.

    Args:
        rotation_T3: (T, 3) radians.

    Returns:
        (T, 3, 3) float64.

    Source: Rodrigues' formula, R = 1 + sin(a)/a [w] + (1 - cos a)/a^2 [w]^2 with a = |w|.
    """
    w_T3 = np.asarray(rotation_T3, np.float64)
    angle_T11 = np.linalg.norm(w_T3, axis=-1)[:, None, None]
    cross_T33 = cross_matrices(w_T3)
    sine = np.sinc(angle_T11 / np.pi)
    # (1 - cos a) / a^2 = sinc(a/2)^2 / 2, which has no singularity.
    cosine = np.sinc(angle_T11 / (2 * np.pi)) ** 2 / 2
    return np.asarray(np.eye(3) + sine * cross_T33 + cosine * (cross_T33 @ cross_T33), np.float64)


def cross_matrices(vector_T3: Float64) -> Float64:
    """(T, 3, 3) matrices [w] with [w] v = w x v."""
    x, y, z = np.moveaxis(np.asarray(vector_T3, np.float64), -1, 0)
    zero = np.zeros_like(x)
    rows = np.stack([zero, -z, y, z, zero, -x, -y, x, zero], axis=-1)
    return np.asarray(rows.reshape(-1, 3, 3), np.float64)


def axis_angles(rotation_T33: Float64) -> Float64:
    """Axis-angle vectors of rotation matrices whose angle is below half a turn.

    Args:
        rotation_T33: (T, 3, 3).

    Returns:
        (T, 3) float64 radians.
    """
    matrix = np.asarray(rotation_T33, np.float64)
    twice_sine_T3 = np.stack(
        [
            matrix[:, 2, 1] - matrix[:, 1, 2],
            matrix[:, 0, 2] - matrix[:, 2, 0],
            matrix[:, 1, 0] - matrix[:, 0, 1],
        ],
        axis=-1,
    )
    cosine_T = (np.trace(matrix, axis1=1, axis2=2) - 1) / 2
    angle_T = np.arctan2(np.linalg.norm(twice_sine_T3, axis=-1) / 2, cosine_T)
    return np.asarray(twice_sine_T3 / (2 * np.sinc(angle_T / np.pi))[:, None], np.float64)


def rigid_pose(
    points_TN3: Float32 | Float64, reference_N3: Float32 | Float64, weight_N: Float64 | None = None
) -> tuple[Float64, Float64, Float64]:
    """Similarity in space that takes a reference onto each frame's points.

    Args:
        points_TN3: (T, N, 3) points, any unit.
        reference_N3: (N, 3) or (T, N, 3) reference, any unit.
        weight_N: (N,) importance; equal if None.

    Returns:
        Rotations (T, 3, 3), scales (T,), translations (T, 3) with point = scale * R @ reference +
        translation.

    Source: Umeyama 1991, eq. 40-43.
    """
    weight_N = np.ones(points_TN3.shape[1]) if weight_N is None else np.asarray(weight_N, np.float64)
    weight = (weight_N / weight_N.sum())[:, None]
    points, reference = np.asarray(points_TN3, np.float64), np.asarray(reference_N3, np.float64)
    if reference.ndim == 2:
        reference = reference[None]
    centre_T13 = (points * weight).sum(axis=1, keepdims=True)
    origin_T13 = (reference * weight).sum(axis=1, keepdims=True)
    p, q = points - centre_T13, reference - origin_T13
    covariance_T33 = np.swapaxes(p * weight, 1, 2) @ q
    u, s, vt = np.linalg.svd(covariance_T33)
    sign = np.ones_like(s)
    sign[:, 2] = np.sign(np.linalg.det(u) * np.linalg.det(vt))
    rotation_T33 = (u * sign[:, None]) @ vt
    scale_T = (s * sign).sum(axis=1) / (weight * q**2).sum(axis=(1, 2))
    shift_T3 = centre_T13[:, 0] - scale_T[:, None] * (rotation_T33 @ np.swapaxes(origin_T13, 1, 2))[..., 0]
    return rotation_T33, scale_T, shift_T3
