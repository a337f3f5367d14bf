"""Rotations and the similarity between sets of points."""

from __future__ import annotations

import numpy as np

from dubber.ops.pose import axis_angles, rigid_pose, rotation_matrices


def test_rigid_pose_with_weights() -> None:
    rng = np.random.default_rng(5)
    reference = rng.normal(size=(20, 3))
    rotation = rotation_matrices(rng.normal(size=(7, 3)))
    points = 2.5 * reference @ np.swapaxes(rotation, 1, 2) + np.array([1, 2, 3])
    points[:, 0] += 100
    weight = np.ones(20)
    weight[0] = 0
    found, scale, shift = rigid_pose(points, reference, weight)
    np.testing.assert_allclose(found, rotation, atol=1e-9)
    np.testing.assert_allclose(scale, 2.5)
    np.testing.assert_allclose(shift, np.tile([1, 2, 3], (7, 1)), atol=1e-9)


def test_rotations_there_and_back() -> None:
    rng = np.random.default_rng(1)
    axes = rng.normal(size=(50, 3))
    angles = np.concatenate([[0, 1e-9, 1e-4], rng.uniform(0, 3.0, 47)])
    vectors = axes / np.linalg.norm(axes, axis=1, keepdims=True) * angles[:, None]
    matrices = rotation_matrices(vectors)
    np.testing.assert_allclose(
        matrices @ np.swapaxes(matrices, 1, 2), np.tile(np.eye(3), (50, 1, 1)), atol=1e-12
    )
    np.testing.assert_allclose(np.linalg.det(matrices), 1)
    np.testing.assert_allclose(axis_angles(matrices), vectors, atol=1e-7)
