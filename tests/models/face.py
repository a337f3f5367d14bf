"""A face model out of a formula, so that fits have a known truth without any weights."""

from __future__ import annotations

import numpy as np

from dubber.models.morphable import MOUTH_JAW, RIGID, TRACKER, TRACKER_VERTICES, LinearFaceModel
from dubber.ops import landmarks
from dubber.types import NUM_TRACKER_LANDMARKS, Float32


def formula_face(num_identity: int = 5, num_expression: int = 6, seed: int = 0) -> LinearFaceModel:
    """A bowl of scattered points with the tracker's named ones in roughly their places, and smooth bases."""
    rng = np.random.default_rng(seed)
    xy = rng.uniform(-0.8, 0.8, (NUM_TRACKER_LANDMARKS, 2))
    angles = np.linspace(np.pi, 0, len(landmarks.JAW))
    xy[landmarks.JAW] = np.stack([0.75 * np.cos(angles), 0.2 + 0.8 * np.sin(angles)], axis=1)
    turn = np.linspace(np.pi, 3 * np.pi, len(landmarks.MOUTH_OUTER), endpoint=False)
    xy[landmarks.MOUTH_OUTER] = np.stack([0.3 * np.cos(turn), 0.6 + 0.12 * np.sin(turn)], axis=1)
    turn = np.linspace(np.pi, 3 * np.pi, len(landmarks.MOUTH_INNER), endpoint=False)
    xy[landmarks.MOUTH_INNER] = np.stack([0.2 * np.cos(turn), 0.6 + 0.05 * np.sin(turn)], axis=1)
    xy[landmarks.EYE_CORNERS] = [[-0.5, -0.2], [-0.2, -0.2], [0.2, -0.2], [0.5, -0.2]]
    xy[landmarks.NOSE_BRIDGE] = [[0, -0.25], [0, -0.15], [0, -0.05], [0, 0.05]]
    xy[landmarks.NOSE_BASE] = [[-0.12, 0.25], [-0.06, 0.27], [0, 0.28], [0.06, 0.27], [0.12, 0.25]]
    xy[landmarks.NOSE_TIP] = [0, 0.15]
    mean = np.concatenate([xy, 0.6 * (xy**2).sum(axis=1, keepdims=True)], axis=1)
    mean[landmarks.NOSE_TIP, 2] -= 0.3
    mean -= mean[landmarks.RIGID].mean(axis=0)
    every = np.arange(NUM_TRACKER_LANDMARKS, dtype=np.int32)
    return LinearFaceModel(
        name="formula",
        mean_V3=mean.astype(np.float32),
        identity_KV3=_waves(mean, num_identity, rng, 0.02, mean[:, 1] > -9),
        expression_KV3=_waves(mean, num_expression, rng, 0.05, mean[:, 1] > 0.3),
        triangles_F3=np.zeros((0, 3), np.int32),
        landmark_sets={
            TRACKER: every,
            TRACKER_VERTICES: every,
            MOUTH_JAW: landmarks.MOUTH_JAW,
            RIGID: landmarks.RIGID,
        },
    )


def _waves(
    mean: np.ndarray, count: int, rng: np.random.Generator, size: float, is_moved: np.ndarray
) -> Float32:
    """Smooth displacements (count, V, 3) of the moved vertices."""
    frequencies = rng.normal(0, 3.5, (count, 3, 3))
    phases = rng.uniform(0, 6, (count, 1, 3))
    waves = np.sin(np.einsum("vx,kxy->kvy", mean, frequencies) + phases)
    return np.asarray(size * waves * is_moved[:, None], np.float32)


def random_poses(count: int, rng: np.random.Generator) -> tuple[Float32, Float32, Float32]:
    """Axis-angles up to 30 degrees or so, scales, translations."""
    rotation = rng.uniform(-1, 1, (count, 3)) * np.deg2rad([12, 30, 12])
    scale = rng.uniform(80, 160, count)
    translation = rng.uniform(200, 400, (count, 2))
    return rotation.astype(np.float32), scale.astype(np.float32), translation.astype(np.float32)


def depth_too(
    model: LinearFaceModel,
    identity_K: Float32,
    expression_TK: Float32,
    rotation_T3: Float32,
    scale_T: Float32,
) -> Float32:
    """(T, V) depth of the projected vertices in px, as a tracker tells it."""
    from dubber.ops.pose import rotation_matrices

    vertices = model.vertices_TV3(identity_K, expression_TK)
    turned = vertices @ np.swapaxes(rotation_matrices(rotation_T3), 1, 2)
    return np.asarray(turned[..., 2] * scale_T[:, None], np.float32)
