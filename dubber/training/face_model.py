"""Learning the linear face model from tracked clips.

1.  Every frame's landmarks are brought into one frame of reference by similarities taken from points that
    speech hardly moves (generalised Procrustes analysis); its axes are the mean head pose's, made symmetric.
2.  A person's mean shape, over all their clips, against the mean of all people gives identity. There are few
    people, so the sample covariance is helped by smooth deformations (a Gaussian kernel on the mean face).
3.  Deviations from a clip's own mean give expression, after what follows the head's pose has been taken out:
    the tracker's mesh deforms a little with the pose, and that is no expression.

Source: Gower 1975 (Procrustes); Lüthi et al. 2018, Gaussian process morphable models (kernel added to the
sample covariance); Blanz and Vetter 1999 (linear face model).
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from scipy.optimize import linear_sum_assignment

from dubber.models.fitting import rigid_pose
from dubber.models.morphable import MOUTH_JAW, RIGID, TRACKER, TRACKER_VERTICES, LinearFaceModel, axis_angles
from dubber.ops import landmarks
from dubber.stages.fit import LIPS
from dubber.types import Float32, Float64, Int32

POSE_POINTS: Int32 = np.concatenate(
    [
        landmarks.RIGID,
        np.array([127, 356, 162, 389, 234, 454, 10, 151, 9, 8, 109, 338], np.int32),
    ]
)
"""Points that give the pose: eyes, nose, and the upper face's rim, which gives them a long lever."""

LIPS_WEIGHT, JAW_WEIGHT, UPPER_FACE_WEIGHT = 3.0, 2.0, 0.5
"""What the expression basis should explain first. Speech moves lips and jaw."""

NUM_IDENTITY = 50
NUM_EXPRESSION = 29
MAX_FRAMES_PER_SPEAKER = 1200
NUM_PROCRUSTES_ROUNDS = 4
KERNEL_WIDTH = 0.35
"""Reach of the smooth deformations, in units of the distance between the outer eye corners."""

KERNEL_SHARE = 0.25
"""Variance of the smooth deformations as a share of the people's own."""


@dataclass(frozen=True)
class TrainingTrack:
    """Landmarks of one clip.

    Attributes:
        speaker: Who it is.
        landmarks_TL3: (T, L, 3) float32 px, usable frames only.
    """

    speaker: str
    landmarks_TL3: Float32


@dataclass(frozen=True)
class AlignedFaces:
    """Frames of all clips in the model's frame of reference.

    Attributes:
        shape_TL3: (T, L, 3) model units.
        rotation_T3: (T, 3) axis-angle of the head.
        clip_T: (T,) int, which clip.
        speaker_of_clip: Name by clip.
        mean_L3: (L, 3) the mean face.
        mirror_L: (L,) which landmark each one becomes in a mirror.
    """

    shape_TL3: Float32
    rotation_T3: Float64
    clip_T: Int32
    speaker_of_clip: list[str]
    mean_L3: Float64
    mirror_L: Int32


def mirror_landmarks(mean_L3: Float64) -> Int32:
    """Which landmark lies where another would in a mirror: the best assignment.

    Args:
        mean_L3: (L, 3) mean face, roughly upright, x across.

    Returns:
        (L,) int32, an involution.
    """
    centred = mean_L3 - mean_L3.mean(axis=0)
    mirrored = centred * np.array([-1.0, 1.0, 1.0])
    distance_LL = np.linalg.norm(mirrored[:, None] - centred[None], axis=-1)
    distance_LL = distance_LL + distance_LL.T
    return np.asarray(linear_sum_assignment(distance_LL)[1], np.int32)


def align_faces(tracks: Sequence[TrainingTrack], max_frames_per_speaker: int) -> AlignedFaces:
    """Bring all clips' frames into one frame of reference.

    Args:
        tracks: The clips.
        max_frames_per_speaker: Frames taken of each speaker, evenly over their clips.

    Raises:
        ValueError: No frames.
    """
    frames, clip = _balanced_frames(tracks, max_frames_per_speaker)
    reference_L3 = np.asarray(frames[0], np.float64)
    for _ in range(NUM_PROCRUSTES_ROUNDS):
        rotation_T33, scale_T, shift_T3 = rigid_pose(frames[:, POSE_POINTS], reference_L3[POSE_POINTS])
        shape_TL3 = (frames - shift_T3[:, None]) @ rotation_T33 / scale_T[:, None, None]
        reference_L3 = normalise(shape_TL3.mean(axis=0))
    # Upright and straight ahead is how people, on average, hold their heads, and the two sides are alike.
    mean_rotation_33 = _mean_rotation(rotation_T33, clip, tracks)
    upright_L3 = reference_L3 @ mean_rotation_33.T
    mirror_L = mirror_landmarks(upright_L3)
    mean_L3 = normalise((upright_L3 + mirrored(upright_L3, mirror_L)) / 2)
    rotation_T33, scale_T, shift_T3 = rigid_pose(frames[:, POSE_POINTS], mean_L3[POSE_POINTS])
    shape_TL3 = (frames - shift_T3[:, None]) @ rotation_T33 / scale_T[:, None, None]
    return AlignedFaces(
        shape_TL3=shape_TL3.astype(np.float32),
        rotation_T3=axis_angles(rotation_T33),
        clip_T=clip,
        speaker_of_clip=[track.speaker for track in tracks],
        mean_L3=mean_L3,
        mirror_L=mirror_L,
    )


def normalise(shape_L3: Float64) -> Float64:
    """Put a shape's origin into its rigid points and make the outer eye corners one unit apart."""
    right, left = landmarks.EYE_CORNERS[[0, -1]]
    centred = shape_L3 - shape_L3[landmarks.RIGID].mean(axis=0)
    return np.asarray(centred / np.linalg.norm(centred[left] - centred[right]), np.float64)


def mirrored(shape_L3: Float64, mirror_L: Int32) -> Float64:
    """(..., L, 3) the shape as a mirror shows it, with its landmarks in their own order."""
    return np.asarray(shape_L3[..., mirror_L, :] * np.array([-1.0, 1.0, 1.0]), np.float64)


def _balanced_frames(tracks: Sequence[TrainingTrack], cap: int) -> tuple[Float32, Int32]:
    """Frames (T, L, 3) and the clip (T,) each comes from, at most about `cap` per speaker."""
    num_frames: dict[str, int] = defaultdict(int)
    for track in tracks:
        num_frames[track.speaker] += len(track.landmarks_TL3)
    steps = [max(1, -(-num_frames[track.speaker] // cap)) for track in tracks]
    chosen = [track.landmarks_TL3[::step] for track, step in zip(tracks, steps, strict=True)]
    if not any(len(frames) for frames in chosen):
        raise ValueError("no usable frames to learn from")
    clip_T = np.repeat(np.arange(len(chosen)), [len(frames) for frames in chosen])
    return np.concatenate(chosen), clip_T.astype(np.int32)


def _mean_rotation(rotation_T33: Float64, clip_T: Int32, tracks: Sequence[TrainingTrack]) -> Float64:
    """(3, 3) chordal mean of the speakers' mean rotations."""
    by_speaker: dict[str, list[Float64]] = defaultdict(list)
    for index in np.unique(clip_T):
        by_speaker[tracks[index].speaker].append(rotation_T33[clip_T == index].mean(axis=0))
    u, _, vt = np.linalg.svd(np.mean([np.mean(means, axis=0) for means in by_speaker.values()], axis=0))
    return np.asarray(u @ vt, np.float64)


def pose_features(rotation_T3: Float64) -> Float64:
    """(T, 5) nodding and turning, their squares and product; tilting changes no landmark."""
    pitch, yaw = rotation_T3[:, 0], rotation_T3[:, 1]
    return np.stack([pitch, yaw, pitch**2, yaw**2, pitch * yaw], axis=-1)


def expression_deviations(faces: AlignedFaces) -> tuple[Float64, Float64]:
    """What moves within clips, with and without what follows the head's pose.

    Returns:
        Deviations (2T, L*3) of the frames and of their mirror images from their clips' means, without what a
        linear regression on `pose_features` explains, and that regression (5, L*3).
    """
    features = pose_features(faces.rotation_T3)
    turned = pose_features(faces.rotation_T3 * np.array([1.0, -1.0, -1.0]))
    shape = np.asarray(faces.shape_TL3, np.float64)
    other = mirrored(shape, faces.mirror_L)
    rows, poses = [], []
    for index in np.unique(faces.clip_T):
        chosen = faces.clip_T == index
        for values, pose in ((shape, features), (other, turned)):
            part = values[chosen].reshape(int(chosen.sum()), -1)
            rows.append(part - part.mean(axis=0))
            poses.append(pose[chosen] - pose[chosen].mean(axis=0))
    deviations, pose_all = np.concatenate(rows), np.concatenate(poses)
    slope = np.linalg.lstsq(pose_all, deviations, rcond=None)[0]
    return deviations - pose_all @ slope, slope


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
    variance, vectors = np.linalg.eigh(covariance)
    largest = np.argsort(variance)[::-1][:num_expression]
    basis = (vectors[:, largest] * np.sqrt(variance[largest])).T / weight
    basis_KL3 = basis.reshape(len(largest), -1, 3)
    opening = basis_KL3[:, landmarks.LOWER_INNER_LIP, 1] - basis_KL3[:, landmarks.UPPER_INNER_LIP, 1]
    return np.asarray(basis_KL3 * np.where(opening < 0, -1.0, 1.0)[:, None, None], np.float32)


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
    variance, vectors = np.linalg.eigh(covariance)
    largest = np.argsort(variance)[::-1][:num_identity]
    basis = (vectors[:, largest] * np.sqrt(variance[largest])).T
    return np.asarray(basis.reshape(len(largest), -1, 3), np.float32)


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


def train_face_model(
    tracks: Sequence[TrainingTrack], num_identity: int = NUM_IDENTITY, num_expression: int = NUM_EXPRESSION
) -> LinearFaceModel:
    """Learn the model; see the module.

    Args:
        tracks: Clips of several speakers, usable frames only.
        num_identity: Identity components.
        num_expression: Expression components.

    Returns:
        The model, in the tracker's topology.

    Raises:
        ValueError: No frames.
    """
    faces = align_faces(tracks, MAX_FRAMES_PER_SPEAKER)
    deviations, _ = expression_deviations(faces)
    num_landmarks = len(faces.mean_L3)
    every: Int32 = np.arange(num_landmarks, dtype=np.int32)
    return LinearFaceModel(
        name="dubber linear face",
        mean_V3=faces.mean_L3.astype(np.float32),
        identity_KV3=identity_basis(faces, num_identity),
        expression_KV3=expression_basis(deviations, vertex_weights(num_landmarks), num_expression),
        triangles_F3=np.zeros((0, 3), np.int32),
        landmark_sets={
            TRACKER: every,
            TRACKER_VERTICES: every,
            MOUTH_JAW: landmarks.MOUTH_JAW,
            RIGID: landmarks.RIGID,
        },
    )
