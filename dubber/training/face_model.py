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
from pathlib import Path

import numpy as np

from dubber.engine.progress import Progress
from dubber.engine.stage import Runtime
from dubber.errors import NoFaceError
from dubber.models.morphable import MOUTH_JAW, RIGID, TRACKER, TRACKER_VERTICES, LinearFaceModel
from dubber.ops import landmarks
from dubber.stages.fit import FACE_MODEL, LIPS
from dubber.training.dataset import tracked_clips
from dubber.training.procrustes import AlignedFaces, TrainingTrack, align_faces, align_to, mirrored
from dubber.training.release import save_weight
from dubber.types import Float32, Float64, Int32

LIPS_WEIGHT, JAW_WEIGHT, UPPER_FACE_WEIGHT = 3.0, 2.0, 0.5
"""What the expression basis should explain first. Speech moves lips and jaw."""

NUM_IDENTITY = 50
NUM_EXPRESSION = 29
HELD_OUT_EVERY = 5
MAX_FRAMES_PER_SPEAKER = 1200
KERNEL_WIDTH = 0.35
"""Reach of the smooth deformations, in units of the distance between the outer eye corners."""

KERNEL_SHARE = 0.25
"""Variance of the smooth deformations as a share of the people's own."""


WEIGHT_ENTRY = {
    "kind": "linear face model",
    "licence": "Apache-2.0",
    "is_commercial_use_allowed": True,
    "training_data": (
        "Talking clips of 35 people tracked by MediaPipe's face mesh: GRID talkers (CC BY 4.0, Cooke et al. "
        "2006), addresses of the US government (probably public domain), one recording under Apache-2.0"
    ),
    "recipe": "dubber train face-model --clips CSV",
    "description": "Mean face, identity and 29 expression components, 468 vertices as the tracker's mesh",
}


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
    basis_KL3 = (_principal(covariance, num_expression) / weight).reshape(num_expression, -1, 3)
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


def lips_share(model: LinearFaceModel, faces: AlignedFaces) -> float:
    """How much of the lips' motion in aligned faces the expression basis explains, 0..1.

    The lips' squared deviations from each clip's mean, against what is left after the best expression of the
    whole face (landmarks weighted as in training).

    Args:
        model: With as many vertices as the faces have landmarks.
        faces: Frames of people, best of others than the model was learned from.
    """
    deviations = np.concatenate(
        [
            part - part.mean(axis=0)
            for index in np.unique(faces.clip_T)
            for part in [faces.shape_TL3[faces.clip_T == index].astype(np.float64)]
        ]
    )
    basis = model.expression_KV3.astype(np.float64).reshape(model.num_expression, -1)
    weight = np.repeat(vertex_weights(deviations.shape[1]), 3)
    flat = deviations.reshape(len(deviations), -1)
    coefficients = np.linalg.lstsq((basis * weight).T, (flat * weight).T, rcond=None)[0]
    left = (flat - coefficients.T @ basis).reshape(deviations.shape)
    return float(1 - (left[:, LIPS] ** 2).sum() / (deviations[:, LIPS] ** 2).sum())


def held_out_lips_share(tracks: Sequence[TrainingTrack]) -> float:
    """`lips_share` on every fifth speaker of a model learned from the others; NaN for too few."""
    speakers = sorted({track.speaker for track in tracks})
    held_out = set(speakers[::HELD_OUT_EVERY])
    if len(speakers) < HELD_OUT_EVERY:
        return float("nan")
    model = train_face_model([track for track in tracks if track.speaker not in held_out])
    others = [track for track in tracks if track.speaker in held_out]
    return lips_share(model, align_to(others, model.mean_V3.astype(np.float64), MAX_FRAMES_PER_SPEAKER))


def train_from_clips(manifest: Path, out: Path, runtime: Runtime, progress: Progress) -> dict[str, float]:
    """Learn the face model from a manifest's train clips and write it into a weights folder.

    Args:
        manifest: CSV with the columns file, split, speaker; only rows of split "train" are used.
        out: Weights folder; its manifest is updated.
        runtime: Names the cache in which tracks are kept.
        progress: Is told of each clip.

    Returns:
        Measures: frames, speakers, and the share of held-out speakers' lip motion the model explains.

    Raises:
        ConfigError: The manifest is malformed or has no train rows.
        MediaError: A clip is missing or damaged.
        NoFaceError: No clip has a usable face.
        OutputFolderError: `out` cannot be written.
    """
    tracks = [
        TrainingTrack(tracked.row.speaker, tracked.track.landmarks_TL3[tracked.track.is_usable_T])
        for tracked in tracked_clips(manifest, runtime, progress)
    ]
    if not tracks:
        raise NoFaceError("No clip of the manifest has a usable face.", where=str(manifest))
    progress.start("learn face model", None)
    model = train_face_model(tracks)
    measures = {
        "train_frames": float(sum(len(track.landmarks_TL3) for track in tracks)),
        "train_speakers": float(len({track.speaker for track in tracks})),
        "held_out_lips_share": held_out_lips_share(tracks),
    }
    save_weight(out, FACE_MODEL, model.to_arrays(), WEIGHT_ENTRY)
    return measures
