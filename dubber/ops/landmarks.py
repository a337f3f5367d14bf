"""Index sets into the tracker's 468-point mesh, in the order the method uses them.

Source: MediaPipe canonical face mesh (indices); method.md "The 39 landmarks": EBT's mouth and jaw set is 20
mouth points (12 outer, 8 inner, the order of the 68-point scheme's 48..67) and 19 contour points.

"Right" and "left" are the person's own: the person's right eye is on the left of the picture.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Collection, Mapping

import numpy as np

from dubber.types import Float32, Int32

MOUTH_OUTER: Int32 = np.array([61, 39, 37, 0, 267, 269, 291, 405, 314, 17, 84, 181], np.int32)
"""12 points around the lips, from the right corner over the upper lip, clockwise as seen in the picture."""

MOUTH_INNER: Int32 = np.array([78, 82, 13, 312, 308, 317, 14, 87], np.int32)
"""8 points around the mouth's opening, same order."""

JAW: Int32 = np.array(
    [93, 132, 58, 172, 136, 150, 149, 176, 148, 152, 377, 400, 378, 379, 365, 397, 288, 361, 323], np.int32
)
"""19 points along the jaw, from the person's right ear to the left; the chin is the tenth."""

MOUTH_JAW: Int32 = np.concatenate([MOUTH_OUTER, MOUTH_INNER, JAW])
"""The 39 landmarks (M): 12 outer lip, 8 inner lip, 19 jaw."""

NUM_MOUTH = len(MOUTH_OUTER) + len(MOUTH_INNER)
"""The first 20 of the 39 belong to the mouth, the others to the jaw."""

NUM_MOUTH_JAW = len(MOUTH_JAW)

UPPER_INNER_LIP = 13
LOWER_INNER_LIP = 14
"""Middle of the inner lips; their distance is the mouth's opening."""

EYE_CORNERS: Int32 = np.array([33, 133, 362, 263], np.int32)
"""Right eye outer and inner corner, left eye inner and outer corner."""

EYE_RIGHT: Int32 = np.array([33, 133, 159, 145], np.int32)
EYE_LEFT: Int32 = np.array([263, 362, 386, 374], np.int32)
"""Outer corner, inner corner, upper lid, lower lid."""

NOSE_BRIDGE: Int32 = np.array([168, 6, 197, 195], np.int32)
NOSE_BASE: Int32 = np.array([98, 97, 2, 326, 327], np.int32)
NUM_NOSE_BASE = len(NOSE_BASE)
NOSE_TIP = 4

RIGID: Int32 = np.concatenate([EYE_CORNERS, NOSE_BRIDGE, NOSE_BASE, np.array([NOSE_TIP], np.int32)])
"""Points that speech hardly moves; the similarity to the mean face is taken from them."""


IBUG68: Int32 = np.array(
    [
        *(127, 234, 132, 58, 172, 136, 150, 176, 152, 400, 379, 365, 397, 288, 361, 454, 356),
        *(70, 63, 105, 66, 107),
        *(336, 296, 334, 293, 300),
        *(168, 197, 5, 4),
        *(98, 97, 2, 326, 327),
        *(33, 160, 158, 133, 153, 144),
        *(362, 385, 387, 263, 373, 380),
        *MOUTH_OUTER,
        *MOUTH_INNER,
    ],
    np.int32,
)
"""The 68 points of the iBUG scheme (contour, brows, nose, eyes, mouth; right to left as the person's own).

Source: Sagonas et al. 2013, 300 Faces in-the-Wild (the scheme). Contour: those of the mesh's outline nearest
to equal steps of arc length from ear to ear, as the scheme spaces them; the others have names in both.
"""

IBUG_CONTOUR = slice(0, 17)
IBUG_NOSE_TIP = 30
IBUG_EYES = slice(36, 48)
"""Where in the iBUG scheme these are."""


def tracker_triangles() -> Int32:
    """The triangles of the tracker's mesh; eyes and mouth are open.

    Returns:
        (852, 3) int32 landmarks, counter-clockwise as seen from outside.

    Source: MediaPipe, FACEMESH_TESSELATION: the edges that go once around each triangle.
    """
    from mediapipe.python.solutions.face_mesh_connections import FACEMESH_TESSELATION

    return triangles_of_edges(FACEMESH_TESSELATION)


def triangles_of_edges(edges: Collection[tuple[int, int]]) -> Int32:
    """Triangles of a connected open mesh that is given by its triangles' directed edges.

    Args:
        edges: (from, to), three per triangle; so inner edges are there in both directions, those of the rim
            in one, which tells the mesh's sense of rotation.

    Returns:
        (F, 3) int32, each turning the way of its edges, sorted.
    """
    neighbours: dict[int, set[int]] = defaultdict(set)
    for start, end in edges:
        neighbours[start].add(end)
        neighbours[end].add(start)
    third: dict[tuple[int, int], set[int]] = {
        (a, b): {c for c in neighbours[a] & neighbours[b] if not _encloses_a_vertex(a, b, c, neighbours)}
        for start, end in edges
        for a, b in ((start, end), (end, start))
    }
    directed = set(edges)
    open_edges = [edge for edge in directed if edge[::-1] not in directed]
    triangles: set[tuple[int, int, int]] = set()
    seen: set[frozenset[int]] = set()
    while open_edges:
        a, b = open_edges.pop()
        for c in third[a, b]:
            if (corners := frozenset((a, b, c))) not in seen:
                seen.add(corners)
                smallest = min(corners)
                triangles.add({a: (a, b, c), b: (b, c, a), c: (c, a, b)}[smallest])
                # The neighbour across an edge runs along it the other way.
                open_edges += [(c, b), (a, c)]
    return np.array(sorted(triangles), np.int32)


def _encloses_a_vertex(a: int, b: int, c: int, neighbours: Mapping[int, set[int]]) -> bool:
    """Whether three mutual neighbours are the rim of three triangles around a vertex, not one themselves."""
    ring = {a, b, c}
    return any(neighbours[inner] == ring for inner in neighbours[a] & neighbours[b] & neighbours[c])


def mouth_opening(landmarks_TM2: Float32) -> Float32:
    """Distance between the middle of the inner lips.

    Args:
        landmarks_TM2: (T, 39, 2) the mouth and jaw landmarks, any unit.

    Returns:
        (T,) in the same unit.
    """
    upper = NUM_MOUTH - len(MOUTH_INNER) + int(np.flatnonzero(MOUTH_INNER == UPPER_INNER_LIP)[0])
    lower = NUM_MOUTH - len(MOUTH_INNER) + int(np.flatnonzero(MOUTH_INNER == LOWER_INNER_LIP)[0])
    return np.asarray(np.linalg.norm(landmarks_TM2[:, upper] - landmarks_TM2[:, lower], axis=-1), np.float32)
