"""ICT-FaceKit: a folder of OBJ files of one topology. Source: ICT-VGL/ICT-FaceKit, readme.

generic_neutral_mesh.obj   the mean; its material M_Face is the skin of the face
identityNNN.obj            mean + one standard deviation of an identity mode
NAME.obj                   mean + an expression at weight 1
vertex_indices.json        expressions: their names in order; idx_to_landmark_verts: the 68 points
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator
from itertools import islice, pairwise
from pathlib import Path

import numpy as np

from dubber.errors import ConfigError
from dubber.ops.landmarks import IBUG68
from dubber.training.face_files.source import (
    MAX_COMPONENTS,
    MAX_VERTICES,
    FaceFile,
    anchors_of_68,
    damaged,
    numbers,
)
from dubber.types import Float64, Int32

SUMMARY = "the folder of ICT-FaceKit with generic_neutral_mesh.obj, identityNNN.obj and vertex_indices.json"

NEUTRAL = "generic_neutral_mesh.obj"
INDEX = "vertex_indices.json"
FACE_MATERIAL = "M_Face"

WEIGHT_STD = float(np.sqrt(1 / 12))
"""Standard deviation of an expression's weight: what weights spread evenly over their range, 0..1, have."""


def is_at(path: Path) -> bool:
    """Whether a path is such a folder."""
    return (path / NEUTRAL).is_file() and (path / INDEX).is_file()


def read(path: Path, landmarks_68: Int32 | None, num_expression: int) -> FaceFile:
    """Read the skin of the face; eyes, teeth and the back of the head are left out.

    The expressions overlap, so they are replaced by orthogonal components: with each expression's weight
    independent and of standard deviation s, the face's deltas D have the covariance s^2 D'D, whose principal
    axes, s times the singular values long, are the components.

    Args:
        path: The folder.
        landmarks_68: Replaces the file's own landmarks.
        num_expression: Components at most; 0 keeps the expressions themselves.

    Raises:
        ConfigError: Files are missing.
        WeightsError: A file is damaged.
    """
    mean_V3, face, triangles_F3 = _neutral(path / NEUTRAL)
    index = _index(path / INDEX)
    identities = sorted(path.glob("identity[0-9]*.obj"))[:MAX_COMPONENTS]
    expressions = [path / f"{name}.obj" for name in index["expressions"]]
    expressions = [file for file in expressions if file.is_file()]
    if not identities or not expressions:
        what = "identityNNN.obj" if not identities else f"of the expressions that {INDEX} names"
        raise ConfigError(
            f"The folder holds no file {what}.", where=str(path), advice="Point to ICT-FaceKit's FaceXModel."
        )
    deltas_KV3 = _deltas(expressions, mean_V3, face)
    if num_expression == 0:
        expression_KV3, std_K = deltas_KV3 * WEIGHT_STD, np.full(len(deltas_KV3), WEIGHT_STD)
    else:
        expression_KV3, std_K = _principal(deltas_KV3, num_expression)
    all_anchors = anchors_of_68(
        path / INDEX,
        "idx_to_landmark_verts",
        index["idx_to_landmark_verts"] if landmarks_68 is None else landmarks_68,
        len(mean_V3),
    )
    if not np.isin(all_anchors, face).all():
        raise damaged(path / INDEX, "idx_to_landmark_verts", "names vertices outside of the face")
    identity_KV3 = _deltas(identities, mean_V3, face)
    return FaceFile(
        name="ICT-FaceKit",
        licence="MIT, Copyright (c) 2020 USC Institute for Creative Technologies",
        is_commercial_use_allowed=True,
        training_data="Light-stage scans of the USC Institute for Creative Technologies",
        mean_V3=mean_V3[face],
        identity_KV3=identity_KV3.astype(np.float32),
        identity_std_K=np.ones(len(identity_KV3), np.float32),
        expression_KV3=expression_KV3.astype(np.float32),
        expression_std_K=std_K.astype(np.float32),
        triangles_F3=triangles_F3,
        anchor_landmarks_A=IBUG68,
        anchor_vertices_A=np.searchsorted(face, all_anchors).astype(np.int32),
    )


def _principal(deltas_KV3: Float64, count: int) -> tuple[Float64, Float64]:
    """Components (K', V, 3), one standard deviation long, and their lengths (K',), the longest first.

    Positive is the way of most of the expressions they are made of.
    """
    flat = deltas_KV3.reshape(len(deltas_KV3), -1)
    shares, singular, axes = np.linalg.svd(flat, full_matrices=False)
    axes *= np.where(shares.sum(axis=0) < 0, -1.0, 1.0)[:, None]
    # Expressions that say the same leave components of no length.
    kept = min(count, int((singular > 1e-6 * singular[0]).sum()))
    std_K = WEIGHT_STD * singular[:kept]
    return (axes[:kept] * std_K[:, None]).reshape(kept, *deltas_KV3.shape[1:]), std_K


def _deltas(files: list[Path], mean_V3: Float64, face: Int32) -> Float64:
    """(K, F, 3) what files of the neutral mesh's topology move."""
    deltas = []
    for file in files:
        vertices = _vertices(file, _lines(file))
        if vertices.shape != mean_V3.shape:
            raise damaged(file, "v", f"has {len(vertices)} vertices, the neutral mesh {len(mean_V3)}")
        deltas.append((vertices - mean_V3)[face])
    return np.stack(deltas)


def _index(path: Path) -> dict[str, list[object]]:
    try:
        document = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError, RecursionError) as error:
        raise damaged(path, "", "is no readable JSON") from error
    if not isinstance(document, dict):
        raise damaged(path, "", "is no JSON object")
    for name in ("expressions", "idx_to_landmark_verts"):
        if not isinstance(document.get(name), list):
            raise damaged(path, name, "is missing or no list")
    # A name becomes a file name below: it may not lead elsewhere.
    if not all(isinstance(name, str) and name.isidentifier() for name in document["expressions"]):
        raise damaged(path, "expressions", "holds something that is no name of an expression")
    return document


def _lines(path: Path) -> Iterator[str]:
    try:
        with path.open(encoding="utf-8") as file:
            yield from islice(file, 8 * MAX_VERTICES)
    except (OSError, UnicodeDecodeError) as error:
        raise damaged(path, "", "cannot be read as text") from error


def _vertices(path: Path, lines: Iterable[str]) -> Float64:
    try:
        rows = [line.split()[1:4] for line in lines if line.startswith("v ")]
        return numbers(path, "v", np.array(rows, np.float64).reshape(len(rows), -1), (None, 3))
    except ValueError as error:
        raise damaged(path, "v", "holds something else than three numbers a line") from error


def _neutral(path: Path) -> tuple[Float64, Int32, Int32]:
    """All vertices (V, 3), which of them are the face's (F,), and the face's triangles in those (n, 3)."""
    lines = list(_lines(path))
    vertices = _vertices(path, lines)
    polygons: list[list[int]] = []
    material = ""
    try:
        for line in lines:
            if line.startswith("usemtl"):
                material = line.split()[1]
            elif line.startswith("f ") and material == FACE_MATERIAL:
                polygons.append([int(corner.split("/")[0]) - 1 for corner in line.split()[1:]])
    except (ValueError, IndexError) as error:
        raise damaged(path, "f", "holds something else than vertices") from error
    if any(not 0 <= corner < len(vertices) for polygon in polygons for corner in polygon):
        raise damaged(path, "f", f"names vertices that the mesh's {len(vertices)} do not have")
    fans = [(a, b, c) for first, *rest in polygons for a, b, c in _fan(first, rest)]
    if not fans:
        raise damaged(path, f"usemtl {FACE_MATERIAL}", "has no polygons")
    triangles = np.array(fans, np.int64)
    face, triangles_F3 = np.unique(triangles, return_inverse=True)
    return vertices, face.astype(np.int32), triangles_F3.reshape(-1, 3).astype(np.int32)


def _fan(first: int, rest: list[int]) -> Iterator[tuple[int, int, int]]:
    """The triangles of a convex polygon."""
    for second, third in pairwise(rest):
        yield first, second, third
