"""The bases of the linear face model: what people, speech and the pose of the head do to a face.

Source: Lüthi et al. 2018, Gaussian process morphable models (kernel added to the sample covariance); Blanz
and Vetter 1999 (linear face model).

Shapes: T frames, L landmarks, K components, P = 5 view features.
"""

from __future__ import annotations

from collections import defaultdict
from dataclasses import replace

import numpy as np

from dubber.models.morphable import view_features
from dubber.ops import landmarks
from dubber.ops.pose import rotation_matrices
from dubber.stages.fit import LIPS
from dubber.training.procrustes import AlignedFaces, mirrored
from dubber.types import Float32, Float64, Int32

LIPS_WEIGHT, JAW_WEIGHT, UPPER_FACE_WEIGHT = 3.0, 2.0, 0.5
"""What the expression basis should explain first. Speech moves lips and jaw."""

KERNEL_WIDTH = 0.35
"""Reach of the smooth deformations, in units of the distance between the outer eye corners."""

KERNEL_SHARE = 0.25
"""Variance of the smooth deformations as a share of the people's own."""


def clip_deviations(faces: AlignedFaces) -> tuple[Float64, Float64]:
    """What moves within clips, and how the head turns meanwhile.

    Args:
        faces: Aligned frames.

    Returns:
        Deviations (2T, L*3) of the frames and of their mirror images from their clips' means, and those of
        their `view_features` (2T, 5).
    """
    features = view_features(rotation_matrices(faces.rotation_T3))
    turned = view_features(rotation_matrices(faces.rotation_T3 * np.array([1.0, -1.0, -1.0])))
    shape = np.asarray(faces.shape_TL3, np.float64)
    other = mirrored(shape, faces.mirror_L)
    rows, poses = [], []
    for index in np.unique(faces.clip_T):
        chosen = faces.clip_T == index
        for values, pose in ((shape, features), (other, turned)):
            part = values[chosen].reshape(int(chosen.sum()), -1)
            rows.append(part - part.mean(axis=0))
            poses.append(pose[chosen] - pose[chosen].mean(axis=0))
    return np.concatenate(rows), np.concatenate(poses)


def pose_basis(deviations: Float64, features: Float64) -> Float64:
    """What the mesh does with the pose while the mouth stays as open as it is.

    People throw their heads back a little when they open their mouths. So the opening takes part in the
    linear regression, or the mesh would open its mouth with every nod.

    Args:
        deviations: (T, L*3) of the landmarks, model units; see `clip_deviations`.
        features: (T, 5) of the `view_features`.

    Returns:
        (5, L*3) model units per unit of each feature.
    """
    opening_T1 = _opening(deviations.reshape(len(deviations), -1, 3))[:, None]
    slopes = np.linalg.lstsq(np.concatenate([features, opening_T1], axis=1), deviations, rcond=None)[0]
    return np.asarray(slopes[: features.shape[1]], np.float64)


def _opening(shape_TL3: Float64) -> Float64:
    """(T,) how far the lower inner lip lies under the upper one."""
    return shape_TL3[:, landmarks.LOWER_INNER_LIP, 1] - shape_TL3[:, landmarks.UPPER_INNER_LIP, 1]


def without_pose(faces: AlignedFaces, pose_PL3: Float64) -> AlignedFaces:
    """The faces without what the mesh does with the pose; see `LinearFaceModel.pose_PV3`."""
    posed_TL3 = np.tensordot(view_features(rotation_matrices(faces.rotation_T3)), pose_PL3, 1)
    return replace(faces, shape_TL3=(faces.shape_TL3 - posed_TL3).astype(np.float32))


def vertex_weights(num_landmarks: int) -> Float64:
    """(L,) how much each landmark counts for the expression basis."""
    weight = np.full(num_landmarks, UPPER_FACE_WEIGHT)
    weight[landmarks.JAW] = JAW_WEIGHT
    weight[LIPS] = LIPS_WEIGHT
    return weight


def expression_basis(deviations: Float64, weight_L: Float64, num_expression: int) -> Float32:
    """Principal components (K, L, 3), one standard deviation long, mouth opening positive.

    Args:
        deviations: (T, L*3) model units.
        weight_L: (L,) importance of the landmarks.
        num_expression: K.
    """
    weight = np.repeat(weight_L, 3)
    covariance = (deviations * weight).T @ (deviations * weight) / len(deviations)
    basis_KL3 = (_principal(covariance, num_expression) / weight).reshape(num_expression, -1, 3)
    return np.asarray(basis_KL3 * np.where(_opening(basis_KL3) < 0, -1.0, 1.0)[:, None, None], np.float32)


def identity_basis(faces: AlignedFaces, num_identity: int) -> Float32:
    """Principal components (K, L, 3) of people and their mirror images, and smooth deformations.

    Args:
        faces: Aligned frames.
        num_identity: K.
    """
    by_speaker: dict[str, list[Float64]] = defaultdict(list)
    for index in np.unique(faces.clip_T):
        by_speaker[faces.speaker_of_clip[index]].append(faces.shape_TL3[faces.clip_T == index].mean(axis=0))
    people = np.stack([np.mean(means, axis=0) for means in by_speaker.values()]).astype(np.float64)
    people = np.concatenate([people, mirrored(people, faces.mirror_L)]) - faces.mean_L3
    rigid = _rigid_motions(faces.mean_L3)
    rows = people.reshape(len(people), -1)
    rows = rows - rows @ rigid.T @ rigid
    sample = rows.T @ rows / len(rows)
    smooth = _smooth_covariance(faces.mean_L3, faces.mirror_L)
    smooth = smooth - rigid.T @ (rigid @ smooth)
    smooth = smooth - (smooth @ rigid.T) @ rigid
    covariance = sample + smooth * (KERNEL_SHARE * np.trace(sample) / np.trace(smooth))
    return np.asarray(_principal(covariance, num_identity).reshape(num_identity, -1, 3), np.float32)


def _principal(covariance: Float64, count: int) -> Float64:
    """(count, D) principal axes of a (D, D) covariance, one standard deviation long, largest first."""
    variance, vectors = np.linalg.eigh(covariance)
    largest = np.argsort(variance)[::-1][:count]
    return np.asarray((vectors[:, largest] * np.sqrt(np.maximum(variance[largest], 0))).T, np.float64)


def _rigid_motions(shape_L3: Float64) -> Float64:
    """(7, L*3) orthonormal small shifts, turns and growth of a shape: the pose's business."""
    shifts = np.tile(np.eye(3)[:, None], (1, len(shape_L3), 1))
    turns = np.cross(np.eye(3)[:, None], shape_L3[None])
    motions = np.concatenate([shifts, turns, shape_L3[None]]).reshape(7, -1)
    return np.asarray(np.linalg.qr(motions.T)[0].T, np.float64)


def _smooth_covariance(mean_L3: Float64, mirror_L: Int32) -> Float64:
    """(L*3, L*3) covariance of smooth random deformations, as likely as their mirror images."""
    squared_LL = ((mean_L3[:, None] - mean_L3[None]) ** 2).sum(axis=-1)
    kernel_LL = np.exp(-0.5 * squared_LL / KERNEL_WIDTH**2)
    covariance = np.einsum("lm,ij->limj", kernel_LL, np.eye(3))
    flip = np.array([-1.0, 1.0, 1.0])
    other = covariance[mirror_L][:, :, mirror_L] * flip[:, None, None] * flip
    size = mean_L3.size
    return np.asarray(((covariance + other) / 2).reshape(size, size), np.float64)
