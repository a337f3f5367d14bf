"""Bringing tracked faces of many clips into one frame of reference: generalised Procrustes analysis.

Source: Gower 1975.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from scipy.optimize import linear_sum_assignment

from dubber.ops import landmarks
from dubber.ops.pose import axis_angles, rigid_pose
from dubber.types import Float32, Float64, Int32

POSE_POINTS: Int32 = np.concatenate(
    [
        landmarks.RIGID,
        np.array([127, 356, 162, 389, 234, 454, 10, 151, 9, 8, 109, 338], np.int32),
    ]
)
"""Points that give the pose: eyes, nose, and the upper face's rim, which gives them a long lever."""

NUM_ROUNDS = 4


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
    frames, clip_T = _balanced_frames(tracks, max_frames_per_speaker)
    reference_L3 = np.asarray(frames[0], np.float64)
    for _ in range(NUM_ROUNDS):
        rotation_T33, shape_TL3 = _aligned(frames, reference_L3)
        reference_L3 = normalise(shape_TL3.mean(axis=0))
    # Upright and straight ahead is how people, on average, hold their heads, and the two sides are alike.
    upright_L3 = reference_L3 @ _mean_rotation(rotation_T33, clip_T, tracks).T
    mirror_L = mirror_landmarks(upright_L3)
    return align_to(
        tracks, normalise((upright_L3 + mirrored(upright_L3, mirror_L)) / 2), max_frames_per_speaker, mirror_L
    )


def align_to(
    tracks: Sequence[TrainingTrack],
    mean_L3: Float64,
    max_frames_per_speaker: int,
    mirror_L: Int32 | None = None,
) -> AlignedFaces:
    """Bring clips' frames into the frame of reference of a mean face that is known.

    Args:
        tracks: The clips.
        mean_L3: (L, 3) the mean face.
        max_frames_per_speaker: Frames taken of each speaker, evenly over their clips.
        mirror_L: (L,) see `mirror_landmarks`; found anew if None.
    """
    frames, clip_T = _balanced_frames(tracks, max_frames_per_speaker)
    rotation_T33, shape_TL3 = _aligned(frames, mean_L3)
    return AlignedFaces(
        shape_TL3=shape_TL3.astype(np.float32),
        rotation_T3=axis_angles(rotation_T33),
        clip_T=clip_T,
        speaker_of_clip=[track.speaker for track in tracks],
        mean_L3=mean_L3,
        mirror_L=mirror_landmarks(mean_L3) if mirror_L is None else mirror_L,
    )


def _aligned(frames_TL3: Float32, reference_L3: Float64) -> tuple[Float64, Float64]:
    """Rotations (T, 3, 3) of the heads, and their shapes (T, L, 3) in the reference's frame."""
    rotation_T33, scale_T, shift_T3 = rigid_pose(frames_TL3[:, POSE_POINTS], reference_L3[POSE_POINTS])
    return rotation_T33, (frames_TL3 - shift_T3[:, None]) @ rotation_T33 / scale_T[:, None, None]


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
    clip_T = np.repeat(np.arange(len(chosen)), [len(frames) for frames in chosen]).astype(np.int32)
    return np.concatenate(chosen), clip_T


def _mean_rotation(rotation_T33: Float64, clip_T: Int32, tracks: Sequence[TrainingTrack]) -> Float64:
    """(3, 3) chordal mean of the speakers' mean rotations."""
    by_speaker: dict[str, list[Float64]] = defaultdict(list)
    for index in np.unique(clip_T):
        by_speaker[tracks[index].speaker].append(rotation_T33[clip_T == index].mean(axis=0))
    u, _, vt = np.linalg.svd(np.mean([np.mean(means, axis=0) for means in by_speaker.values()], axis=0))
    return np.asarray(u @ vt, np.float64)
