"""Where mouths are and where they shall be, output frame by output frame. Loaded only when a stage runs.

Index letters: T source frames, N output frames, M = 39 mouth and jaw landmarks, A = 8 points of the nose.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from dubber.models.morphable import MOUTH_JAW as MOUTH_JAW_SET
from dubber.models.morphable import LinearFaceModel, project_TL2
from dubber.ops.align import apply_similarity, invert_similarity, scale_similarity
from dubber.ops.landmarks import MOUTH_JAW, NOSE_BASE, NOSE_BRIDGE, NOSE_TIP
from dubber.ops.portions import picked
from dubber.ops.warp import close_crossed_lips
from dubber.types import (
    CROP_SIZE_PX,
    MOUTH_WINDOW,
    Bool,
    FaceCoeffs,
    FaceTrack,
    Float32,
    Int32,
    RetimeMap,
)

NOSE_ANCHORS: Int32 = np.concatenate([NOSE_BASE, NOSE_BRIDGE[2:], np.array([NOSE_TIP], np.int32)])
"""Points of the nose that a warp holds: base, lower bridge, tip."""

RENDERED_POINTS: Int32 = np.concatenate([MOUTH_JAW, NOSE_ANCHORS])
"""All points that a warp knows."""


def patch_size(crop_size_px: int) -> tuple[int, int]:
    """(height, width) of the mouth window in a crop with a side of `crop_size_px`, a multiple of 16."""
    left, top, right, bottom = MOUTH_WINDOW
    return (bottom - top) * crop_size_px // CROP_SIZE_PX, (right - left) * crop_size_px // CROP_SIZE_PX


def patch_similarity(similarity_23: Float32, crop_size_px: int) -> Float32:
    """Similarities to a patch, from those to the 384 crop.

    Args:
        similarity_23: (..., 2, 3) display px to the 384 crop.
        crop_size_px: Side of the whole crop at the patch's resolution.

    Returns:
        (..., 2, 3) float32 display px to patch px.
    """
    to_corner = np.array(similarity_23, np.float32)
    to_corner[..., 2] -= np.array(MOUTH_WINDOW[:2], np.float32)
    return scale_similarity(to_corner, crop_size_px / CROP_SIZE_PX)


@dataclass(frozen=True)
class SourceGeometry:
    """The face as it stands in the source picture of each output frame.

    Half-way pictures have half-way geometry.

    Attributes:
        landmarks_NM2: (N, 39, 2) float32 mouth and jaw landmarks, display px.
        nose_NA2: (N, 8, 2) float32 points of the nose, display px; the first 5 are its base.
        similarity_N23: (N, 2, 3) float32, display px to the 384 crop.
        rotation_N3: (N, 3) float32 axis-angle, radians.
        is_halfway_N: (N,) bool, the picture lies between the source frame and the next; never across a cut.
        has_face_N: (N,) bool, the picture can be dubbed.
        starts_anew_N: (N,) bool, the picture does not continue the one before: a cut, or the footage jumps.
    """

    landmarks_NM2: Float32
    nose_NA2: Float32
    similarity_N23: Float32
    rotation_N3: Float32
    is_halfway_N: Bool
    has_face_N: Bool
    starts_anew_N: Bool


def shown_halfway(track: FaceTrack, retime: RetimeMap) -> Bool:
    """(N,) bool, output frames that show a half-way picture: wanted so, and no cut or end lies between."""
    index_N = retime.source_index_N
    next_N = np.minimum(index_N + 1, len(track.shot_id_T) - 1)
    is_same_shot_N = track.shot_id_T[index_N] == track.shot_id_T[next_N]
    return np.asarray(retime.is_halfway_N & (next_N > index_N) & is_same_shot_N, np.bool_)


def starts_anew(track: FaceTrack, retime: RetimeMap) -> Bool:
    """(N,) bool, output frames that do not continue the one before: a cut, or the footage jumps."""
    index_N = retime.source_index_N
    jumps = np.abs(np.diff(index_N)) > 2
    cuts = np.diff(track.shot_id_T[index_N]) != 0
    return np.asarray(np.concatenate([[True], jumps | cuts])[: len(index_N)], np.bool_)


def source_geometry(track: FaceTrack, coeffs: FaceCoeffs, retime: RetimeMap) -> SourceGeometry:
    """Look up, for each output frame, the geometry of its source picture.

    Args:
        track: The tracked face.
        coeffs: Its coefficients; only the rotation is used.
        retime: Which source frame each output frame shows.
    """
    index_N = retime.source_index_N
    is_halfway_N = shown_halfway(track, retime)
    next_N = index_N + is_halfway_N

    def between(values_T: Float32) -> Float32:
        return np.asarray((values_T[index_N] + values_T[next_N]) / 2, np.float32)

    def points_between(points: Int32) -> Float32:
        first_NP2, second_NP2 = (
            picked(track.landmarks_TL3, points, frames_N)[..., :2] for frames_N in (index_N, next_N)
        )
        return np.asarray((first_NP2 + second_NP2) / 2, np.float32)

    return SourceGeometry(
        landmarks_NM2=points_between(MOUTH_JAW),
        nose_NA2=points_between(NOSE_ANCHORS),
        similarity_N23=between(track.similarity_T23),
        rotation_N3=between(coeffs.rotation_T3),
        is_halfway_N=is_halfway_N,
        has_face_N=track.is_usable_T[index_N] & track.is_usable_T[next_N],
        starts_anew_N=starts_anew(track, retime),
    )


def wanted_landmarks(
    model: LinearFaceModel,
    track: FaceTrack,
    coeffs: FaceCoeffs,
    expression_NK: Float32,
    retime: RetimeMap,
) -> Float32:
    """Where the 39 landmarks shall be: the tracked ones, moved by what the new expression changes.

    The fit's residual moves nothing, so the face's own expression gives its own landmarks back.

    Args:
        model: The face model of `coeffs`.
        track: The tracked face.
        coeffs: What explains it.
        expression_NK: (N, K) the wanted expression at the output's frames.
        retime: Which source frame each output frame shows.

    Returns:
        (N, 39, 2) float32 display px; meaningless where the picture has no face.
    """
    source = source_geometry(track, coeffs, retime)
    index_N = retime.source_index_N
    vertices = model.landmark_sets[MOUTH_JAW_SET]

    def change(frames: Int32) -> Float32:
        pose = (coeffs.rotation_T3[frames], coeffs.scale_T[frames], coeffs.translation_T2[frames])
        wanted = project_TL2(model, coeffs.identity_K, expression_NK, *pose, vertices)
        own = project_TL2(model, coeffs.identity_K, coeffs.expression_TK[frames], *pose, vertices)
        return wanted - own

    change_NM2 = change(index_N)
    if source.is_halfway_N.any():
        change_NM2 = (change_NM2 + change((index_N + source.is_halfway_N).astype(np.int32))) / 2
    upright = apply_similarity(source.similarity_N23, source.landmarks_NM2 + change_NM2)
    own_upright = apply_similarity(source.similarity_N23, source.landmarks_NM2)
    closed = close_crossed_lips(upright, own_upright)
    return apply_similarity(invert_similarity(source.similarity_N23), closed)
