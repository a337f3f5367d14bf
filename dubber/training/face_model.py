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

from collections.abc import Sequence
from pathlib import Path

import numpy as np

from dubber.engine.progress import Progress
from dubber.engine.stage import Runtime
from dubber.errors import NoFaceError
from dubber.models.fitting import FaceFitter
from dubber.models.morphable import (
    EYES,
    IBUG68,
    MOUTH_JAW,
    NOSE_TIP,
    RIGID,
    TRACKER,
    TRACKER_VERTICES,
    LinearFaceModel,
)
from dubber.ops import landmarks
from dubber.ops.align import similarity_scale, similarity_to_mean_face
from dubber.stages.fit import FACE_MODEL, FitParams, identity_frames, landmark_weights
from dubber.training.dataset import tracked_clips
from dubber.training.face_bases import (
    clip_deviations,
    expression_basis,
    identity_basis,
    pose_basis,
    vertex_weights,
    without_pose,
)
from dubber.training.face_measures import lips_share, pose_leakage, turned_mesh_leakage, usual_range
from dubber.training.procrustes import TrainingTrack, align_faces, align_to
from dubber.training.release import save_weight
from dubber.types import Float32, Int32

NUM_IDENTITY = 50
NUM_EXPRESSION = 29
HELD_OUT_EVERY = 5
MAX_FRAMES_PER_SPEAKER = 1200

TURN_EVERY = 5
"""Which of the frames are turned for `turned_mesh_leakage`."""

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
    turned_K = np.abs(np.concatenate(changes, axis=1)).mean(axis=(0, 1)) / usual_range(spread_TK)
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
