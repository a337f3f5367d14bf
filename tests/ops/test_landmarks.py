"""The tracker's mesh: its triangles, and the 68 points in it."""

from __future__ import annotations

import numpy as np

from dubber.engine.weights import WeightsFolder, default_weights_dir
from dubber.models.morphable import LinearFaceModel
from dubber.ops.landmarks import IBUG68, tracker_triangles, triangles_of_edges


def test_triangles_come_back_from_their_edges() -> None:
    # Vertex 3 has three neighbours: 0, 1, 2 are all mutual neighbours and yet no triangle.
    triangles = [(0, 1, 3), (0, 3, 2), (1, 2, 3), (1, 4, 2), (0, 2, 5)]
    edges = {(t[i], t[(i + 1) % 3]) for t in triangles for i in range(3)}
    assert [tuple(row) for row in triangles_of_edges(edges)] == sorted(triangles)


def test_the_trackers_mesh_is_closed_but_for_eyes_mouth_and_rim() -> None:
    triangles = tracker_triangles()
    edges = {(int(t[i]), int(t[(i + 1) % 3])) for t in triangles for i in range(3)}
    assert triangles.shape == (852, 3)
    assert len(edges) == 3 * 852, "each edge is gone along once in each direction: one sense of rotation"
    assert len(np.unique(triangles)) == 468
    rim = [edge for edge in edges if edge[::-1] not in edges]
    assert len(rim) == 36 + 16 + 16 + 20, "outline, eyes, inner lips"
    mean = LinearFaceModel.from_weight(WeightsFolder(default_weights_dir()).open("face_model")).mean_V3
    a, b, c = (mean[triangles[:, i]] for i in range(3))
    is_towards_camera = np.cross(b - a, c - a)[:, 2] < 0
    assert is_towards_camera.mean() > 0.95, "normals point out of the face"


def test_the_68_points_are_symmetric() -> None:
    mean = LinearFaceModel.from_weight(WeightsFolder(default_weights_dir()).open("face_model")).mean_V3
    points = mean[IBUG68]
    mirror = [*range(16, -1, -1), *range(26, 16, -1), 27, 28, 29, 30, *range(35, 30, -1)]
    mirror += [45, 44, 43, 42, 47, 46, 39, 38, 37, 36, 41, 40]
    mirror += [54, 53, 52, 51, 50, 49, 48, 59, 58, 57, 56, 55, 64, 63, 62, 61, 60, 67, 66, 65]
    np.testing.assert_allclose(points[mirror] * [-1, 1, 1], points, atol=1e-3)
    steps = np.linalg.norm(np.diff(points[:17], axis=0), axis=1)
    assert steps.max() / steps.min() < 2.5
