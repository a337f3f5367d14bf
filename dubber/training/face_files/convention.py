"""Bringing a face model of others into our convention, and finding the tracker's landmarks on it.

1.  Pose. The similarity that takes the tracker's mean face onto the model, at the points whose vertices are
    known, gives the model our axes.
2.  Correspondence. The tracker's mean face is bent smoothly until those points agree; a landmark's vertex is
    the one nearest to where it has come.
3.  Scale. Origin and unit follow from the vertices found.

The outline's points are known on many models, but take no part: where annotators see the outline of a face is
not where the tracker's mesh ends.

Shapes: A anchors (landmark and vertex known), L tracker landmarks, V vertices.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from dubber.errors import WeightsError
from dubber.models.morphable import (
    CONTOUR_TRACKER,
    EYES,
    IBUG68,
    MOUTH_JAW,
    NO_VERTEX,
    NOSE_TIP,
    RIGID,
    TRACKER,
    TRACKER_VERTICES,
    LinearFaceModel,
)
from dubber.ops import landmarks
from dubber.ops.pose import rigid_pose
from dubber.training.face_files.source import FaceFile
from dubber.types import Float64, Int32

MAX_DISTANCE = 0.1
"""Landmarks that end farther than this from any vertex have none (eye distances): the model ends before."""

MAX_MISFIT = 0.15
"""Root mean square distance (eye distances) of the anchors from the tracker's mean face after the similarity.
A right list of landmarks leaves about 0.06; one that is off by one, or mirrored, more than 0.2."""


def to_linear_face_model(source: FaceFile, reference_L3: Float64) -> LinearFaceModel:
    """Bring a model into our convention.

    Args:
        source: The model as its file has it.
        reference_L3: (L, 3) the tracker's mean face in our convention.

    Returns:
        The model, with every landmark set.

    Raises:
        WeightsError: Its landmarks cannot be those of a face.
    """
    is_anchor = ~np.isin(source.anchor_landmarks_A, landmarks.IBUG68[landmarks.IBUG_CONTOUR])
    anchors, vertices = source.anchor_landmarks_A[is_anchor], source.anchor_vertices_A[is_anchor]
    rotation_T33, scale_T, shift_T3 = rigid_pose(source.mean_V3[vertices][None], reference_L3[anchors])
    turn = rotation_T33[0] / scale_T[0]
    upright_V3 = (source.mean_V3 - shift_T3[0]) @ turn
    misfit = np.sqrt(((upright_V3[vertices] - reference_L3[anchors]) ** 2).sum(axis=1).mean())
    if not misfit < MAX_MISFIT:
        raise WeightsError(
            f"The landmarks of '{source.name}' do not lie as those of a face do (off by {misfit:.2f} eye "
            "distances).",
            advice="Check the file given to `--landmarks`, or `--format`.",
        )
    vertex_L, distance_L = _correspondence(upright_V3, reference_L3, anchors, vertices)
    right, left = upright_V3[vertex_L[landmarks.EYE_CORNERS[[0, -1]]]]
    unit = np.linalg.norm(left - right)
    origin_3 = upright_V3[vertex_L[landmarks.RIGID]].mean(axis=0)
    kept = np.flatnonzero(distance_L <= MAX_DISTANCE).astype(np.int32)
    vertex_68 = vertex_L[landmarks.IBUG68]
    model = LinearFaceModel(
        name=source.name,
        mean_V3=((upright_V3 - origin_3) / unit).astype(np.float32),
        identity_KV3=source.identity_KV3 @ (turn / unit).astype(np.float32),
        expression_KV3=source.expression_KV3 @ (turn / unit).astype(np.float32),
        triangles_F3=source.triangles_F3,
        landmark_sets={
            TRACKER: kept,
            TRACKER_VERTICES: vertex_L[kept],
            MOUTH_JAW: vertex_L[landmarks.MOUTH_JAW],
            RIGID: vertex_L[landmarks.RIGID],
            IBUG68: vertex_68,
            EYES: vertex_68[landmarks.IBUG_EYES],
            NOSE_TIP: vertex_68[[landmarks.IBUG_NOSE_TIP]],
            CONTOUR_TRACKER: np.array(list(source.contour_lines), np.int32),
        },
        identity_std_K=source.identity_std_K,
        expression_std_K=source.expression_std_K,
        contour_JC=_padded(list(source.contour_lines.values())),
    )
    model.check()
    return model


def _correspondence(
    model_V3: Float64, reference_L3: Float64, anchors: Int32, vertices: Int32
) -> tuple[Int32, Float64]:
    """Vertices (L,) of all landmarks, and how far (L,) each is from where the bent mean face has it.

    In space, |r| is the kernel of least bending. Source: Duchon 1977; Carr et al. 2001, eq. 9.
    """
    from scipy.interpolate import RBFInterpolator
    from scipy.spatial import cKDTree

    bend = RBFInterpolator(
        reference_L3[anchors], model_V3[vertices] - reference_L3[anchors], kernel="linear", degree=1
    )
    distance_L, vertex_L = cKDTree(model_V3).query(reference_L3 + bend(reference_L3))
    vertex_L[anchors] = vertices
    distance_L[anchors] = 0.0
    return np.asarray(vertex_L, np.int32), np.asarray(distance_L, np.float64)


def _padded(lines: Sequence[Int32]) -> Int32:
    """(J, C) lines of different length, the short ones filled with `NO_VERTEX`."""
    padded_JC = np.full((len(lines), max(map(len, lines), default=0)), NO_VERTEX, np.int32)
    for row, line in zip(padded_JC, lines, strict=True):
        row[: len(line)] = line
    return padded_JC
