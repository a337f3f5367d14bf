"""Learning the linear face model from tracked clips.

1.  Every frame's landmarks are brought into one frame of reference by similarities taken from points that
    speech hardly moves (generalised Procrustes analysis); its axes are the mean head pose's, made symmetric.
2.  A person's mean shape, over all their clips, against the mean of all people gives identity. There are few
    people, so the sample covariance is helped by smooth deformations (a Gaussian kernel on the mean face).
3.  What follows the head's pose within clips is kept apart: the tracker's mesh deforms a little with it, and
    that is no expression.
4.  What else deviates from a clip's own mean gives expression.

Source: Gower 1975 (Procrustes); Lüthi et al. 2018, Gaussian process morphable models (kernel added to the
sample covariance); Blanz and Vetter 1999 (linear face model).
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np

from dubber.engine.progress import Progress
from dubber.engine.stage import Runtime
from dubber.errors import NoFaceError
from dubber.models.fit_state import FramePoses
from dubber.models.fitting import FaceFitter
from dubber.models.frame_equations import UNIT_PX
from dubber.models.morphable import (
    EYES,
    IBUG68,
    MOUTH_JAW,
    NOSE_TIP,
    RIGID,
    TRACKER,
    TRACKER_VERTICES,
    LinearFaceModel,
    view_features,
)
from dubber.ops import landmarks
from dubber.ops.align import similarity_scale, similarity_to_mean_face
from dubber.ops.pose import rotation_matrices
from dubber.stages.fit import FACE_MODEL, LIPS, FitParams, identity_frames, landmark_weights
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

TURN_DEG = 10.0
TURN_EVERY = 5
"""How far, and which of the frames, `turned_mesh_leakage` turns."""


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
    num_landmarks = len(faces.mean_L3)
    deviations, features = clip_deviations(faces)
    slope = pose_basis(deviations, features)
    pose_PL3 = slope.reshape(-1, num_landmarks, 3)
    every: Int32 = np.arange(num_landmarks, dtype=np.int32)
    return LinearFaceModel(
        name="dubber linear face",
        mean_V3=faces.mean_L3.astype(np.float32),
        identity_KV3=identity_basis(without_pose(faces, pose_PL3), num_identity),
        expression_KV3=expression_basis(
            deviations - features @ slope, vertex_weights(num_landmarks), num_expression
        ),
        triangles_F3=landmarks.tracker_triangles(),
        pose_PV3=pose_PL3.astype(np.float32),
        landmark_sets={
            TRACKER: every,
            TRACKER_VERTICES: every,
            MOUTH_JAW: landmarks.MOUTH_JAW,
            RIGID: landmarks.RIGID,
            IBUG68: landmarks.IBUG68,
            EYES: landmarks.IBUG68[landmarks.IBUG_EYES],
            NOSE_TIP: np.array([landmarks.NOSE_TIP], np.int32),
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


def pose_leakage(expressions: Sequence[Float64], rotations: Sequence[Float64]) -> Float64:
    """How much of the expression follows the pose: what a linear regression on nod and turn explains.

    All is taken against each clip's mean. People do nod as they speak, so a little remains of a perfect fit.

    Args:
        expressions: Per clip (T, K) fitted coefficients.
        rotations: Per clip (T, 3) fitted axis-angles.

    Returns:
        (2, K) by how much each coefficient changes when the head nods, or turns, by one standard deviation of
        what heads do within clips, as a share of the range between the coefficient's 5th and 95th percentile.
    """
    expression_TK = np.concatenate([rows - rows.mean(axis=0) for rows in expressions])
    pose_T2 = np.concatenate([rows[:, :2] - rows[:, :2].mean(axis=0) for rows in rotations])
    slope_2K = np.linalg.lstsq(pose_T2, expression_TK, rcond=None)[0]
    change_2K = np.abs(slope_2K) * pose_T2.std(axis=0)[:, None]
    return np.asarray(change_2K / _usual_range(expression_TK), np.float64)


def turned_mesh_leakage(
    model: LinearFaceModel, fitter: FaceFitter, identity_K: Float32, poses: FramePoses
) -> Float64:
    """How much the expression found changes when nothing but the pose does.

    The fitted mesh is nodded and turned by `TURN_DEG` to either side, projected, and fitted anew.

    Args:
        model: The face model.
        fitter: Fits it.
        identity_K: (K_id,) the person.
        poses: (T,) fitted frames.

    Returns:
        (4, T, K) change of the coefficients against those found without a turn.
    """
    rotation_T33 = rotation_matrices(poses.rotation_T3)
    shape_TV3 = model.vertices_TV3(identity_K, poses.expression_TK.astype(np.float32))

    def found(turn_3: Float64) -> Float64:
        turned_T33 = rotation_matrices(turn_3[None]) @ rotation_T33
        posed_TV3 = np.tensordot(view_features(turned_T33), model.pose_PV3, 1)
        landmarks_TL3 = (shape_TV3 + posed_TV3) @ np.swapaxes(turned_T33, 1, 2) * UNIT_PX
        crop_scale_T = np.ones(len(turned_T33), np.float32)
        poses = fitter.fit_frames(landmarks_TL3.astype(np.float32), crop_scale_T, identity_K)
        return poses.expression_TK

    straight_TK = found(np.zeros(3))
    turns_43 = np.deg2rad(TURN_DEG) * np.array([[1, 0, 0], [-1, 0, 0], [0, 1, 0], [0, -1, 0]])
    return np.stack([found(turn_3) - straight_TK for turn_3 in turns_43])


def _usual_range(expression_TK: Float64) -> Float64:
    """(K,) from the 5th to the 95th percentile."""
    low_K, high_K = np.percentile(expression_TK, [5, 95], axis=0)
    return np.asarray(high_K - low_K, np.float64)


def held_out_measures(tracks: Sequence[TrainingTrack]) -> dict[str, float]:
    """How a model that was learned from the other speakers does on every fifth one.

    Args:
        tracks: Clips of several speakers.

    Returns:
        `held_out_lips_share`: see `lips_share`. `held_out_pose_leakage`, `_worst`: mean and largest of
        `pose_leakage`. `turned_mesh_leakage`, `_worst`: mean size of `turned_mesh_leakage` against the
        coefficient's range, and that of the worst coefficient. Nothing for too few speakers.
    """
    speakers = sorted({track.speaker for track in tracks})
    if len(speakers) < HELD_OUT_EVERY:
        return {}
    held_out = speakers[::HELD_OUT_EVERY]
    model = train_face_model([track for track in tracks if track.speaker not in held_out])
    others = [track for track in tracks if track.speaker in held_out]
    faces = align_to(others, model.mean_V3.astype(np.float64), MAX_FRAMES_PER_SPEAKER)
    fitter = FaceFitter(model, landmark_weights(len(model.mean_V3), FitParams()))
    fitted, changes = [], []
    for speaker in held_out:
        clips = _some_frames([track for track in others if track.speaker == speaker])
        identity_K = fitter.fit_identity(*_identity_frames(np.concatenate(clips)))
        of_speaker = [fitter.fit_frames(clip, _crop_scale(clip), identity_K) for clip in clips]
        fitted += of_speaker
        some = of_speaker[0].part(slice(0, None, TURN_EVERY))
        changes.append(turned_mesh_leakage(model, fitter, identity_K, some))
    leakage_2K = pose_leakage(
        [poses.expression_TK for poses in fitted], [poses.rotation_T3 for poses in fitted]
    )
    spread_TK = np.concatenate([poses.expression_TK - poses.expression_TK.mean(axis=0) for poses in fitted])
    turned_K = np.abs(np.concatenate(changes, axis=1)).mean(axis=(0, 1)) / _usual_range(spread_TK)
    return {
        "held_out_lips_share": lips_share(model, faces),
        "held_out_pose_leakage": float(leakage_2K.mean()),
        "held_out_pose_leakage_worst": float(leakage_2K.max()),
        "turned_mesh_leakage": float(turned_K.mean()),
        "turned_mesh_leakage_worst": float(turned_K.max()),
    }


def _some_frames(tracks: Sequence[TrainingTrack]) -> list[Float32]:
    """One speaker's clips, evenly thinned out to about `MAX_FRAMES_PER_SPEAKER` frames in all."""
    step = -(-sum(len(track.landmarks_TL3) for track in tracks) // MAX_FRAMES_PER_SPEAKER)
    return [track.landmarks_TL3[::step] for track in tracks if len(track.landmarks_TL3)]


def _crop_scale(landmarks_TL3: Float32) -> Float32:
    return similarity_scale(similarity_to_mean_face(landmarks_TL3))


def _identity_frames(landmarks_TL3: Float32) -> tuple[Float32, Float32]:
    """Frames that tell a person's identity, and their crop scales."""
    crop_scale_T = _crop_scale(landmarks_TL3)
    chosen = identity_frames(landmarks_TL3, crop_scale_T, FitParams().num_identity_frames)
    return landmarks_TL3[chosen], crop_scale_T[chosen]


def train_from_clips(manifest: Path, out: Path, runtime: Runtime, progress: Progress) -> dict[str, float]:
    """Learn the face model from a manifest's train clips and write it into a weights folder.

    Args:
        manifest: CSV with the columns file, split, speaker; only rows of split "train" are used.
        out: Weights folder; its manifest is updated.
        runtime: Names the cache in which tracks are kept.
        progress: Is told of each clip.

    Returns:
        Measures: frames, speakers, and `held_out_measures`.

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
        **held_out_measures(tracks),
    }
    save_weight(out, FACE_MODEL, model.to_arrays(), WEIGHT_ENTRY)
    return measures
