"""Basel Face Model 2017 and 2019: an HDF5 file in the layout of Statismo.

    shape/model/mean (3 V), pcaBasis (3 V, K), pcaVariance (K)         millimetres, x y z in turn
    expression/model/mean (3 V), pcaBasis (3 V, K), pcaVariance (K)
    shape/representer/cells (3, F)
    metadata/landmarks/json                                            [{"id", "coordinates"}], optional

The axes are orthonormal; a standard deviation is the variance's root. Source: Gerig et al. 2018.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from dubber.errors import ConfigError
from dubber.ops.landmarks import IBUG68
from dubber.training.face_files.source import (
    MAX_COMPONENTS,
    MAX_VERTICES,
    FaceFile,
    anchors_of_68,
    components,
    damaged,
    indices,
    leading_components,
    numbers,
)
from dubber.types import Float32, Float64, Int32

if TYPE_CHECKING:
    import h5py

SUMMARY = "an HDF5 file such as model2017-1_face12_nomouth.h5 or model2019_face12.h5"

_SIGNATURE = b"\x89HDF\r\n\x1a\n"

LANDMARKS = {
    "center.chin.tip": 152,
    "center.lips.lower.inner": 14,
    "center.lips.lower.outer": 17,
    "center.lips.upper.inner": 13,
    "center.lips.upper.outer": 0,
    "center.nose.attachement_to_philtrum": 2,
    "center.nose.tip": 4,
    "left.eye.bottom": 374,
    "left.eye.corner_inner": 362,
    "left.eye.corner_outer": 263,
    "left.eye.top": 386,
    "left.eyebrow.inner_lower": 285,
    "left.eyebrow.inner_upper": 336,
    "left.lips.corner": 291,
    "left.lips.philtrum_ridge": 267,
    "left.nose.wing.outer": 358,
    "left.nose.wing.tip": 327,
    "right.eye.bottom": 145,
    "right.eye.corner_inner": 133,
    "right.eye.corner_outer": 33,
    "right.eye.top": 159,
    "right.eyebrow.inner_lower": 55,
    "right.eyebrow.inner_upper": 107,
    "right.lips.corner": 61,
    "right.lips.philtrum_ridge": 37,
    "right.nose.wing.outer": 129,
    "right.nose.wing.tip": 98,
}
"""The model's own landmarks (spelt as in the file) that the tracker's mesh has too."""

MIN_LANDMARKS = 12
"""Fewer of them do not say where the face is well enough."""


def is_at(path: Path) -> bool:
    """Whether a path is an HDF5 file."""
    try:
        with path.open("rb") as file:
            return file.read(len(_SIGNATURE)) == _SIGNATURE
    except OSError:
        return False


def read(path: Path, landmarks_68: Int32 | None, num_expression: int) -> FaceFile:
    """Read shape and expressions.

    Args:
        path: The file.
        landmarks_68: The vertices of the 68 points; if None, the file's own named landmarks are used.
        num_expression: Components at most; 0 for all.

    Raises:
        ConfigError: h5py is not installed, or the landmarks are not known.
        WeightsError: The file is damaged.
    """
    try:
        import h5py
    except ImportError as error:
        raise ConfigError(
            "Reading this face model needs the package h5py.",
            where=str(path),
            advice="Install it with `pip install 'dubber[face-models]'`.",
        ) from error
    if not is_at(path):
        raise damaged(path, "", "is no HDF5 file")
    try:
        with h5py.File(path, "r") as file:
            return _read(path, file, landmarks_68, num_expression)
    except (OSError, RuntimeError, KeyError) as error:
        raise damaged(path, "", f"is no readable HDF5 file ({error})") from error


def _read(path: Path, file: h5py.File, landmarks_68: Int32 | None, num_expression: int) -> FaceFile:
    mean_N = numbers(
        path, "shape/model/mean", _array(path, file, "shape/model/mean", (3 * MAX_VERTICES,)), (None,)
    )
    if len(mean_N) % 3:
        raise damaged(path, "shape/model/mean", "is not made of points in space")
    num_vertices = len(mean_N) // 3
    _, identity_KV3, identity_std_K = _part(path, file, "shape/model", len(mean_N))
    offset_N, expression_KV3, expression_std_K = _part(path, file, "expression/model", len(mean_N))
    expression_KV3, expression_std_K = leading_components(
        path, expression_KV3, expression_std_K, num_expression
    )
    cells = "shape/representer/cells"
    triangles = indices(
        path, cells, _array(path, file, cells, (3, 2 * MAX_VERTICES)), (3, None), num_vertices
    )
    mean_V3 = mean_N.reshape(-1, 3).astype(np.float64)
    if landmarks_68 is None:
        anchor_landmarks, anchor_vertices = _named_landmarks(path, file, mean_V3)
    else:
        anchor_landmarks = IBUG68
        anchor_vertices = anchors_of_68(path, "--landmarks", landmarks_68, num_vertices)
    return FaceFile(
        name="Basel Face Model 2017/2019",
        licence="Basel Face Model: registration, non-commercial",
        is_commercial_use_allowed=False,
        training_data="Face scans of the University of Basel",
        mean_V3=mean_V3 + offset_N.reshape(-1, 3),
        identity_KV3=identity_KV3,
        identity_std_K=identity_std_K,
        expression_KV3=expression_KV3,
        expression_std_K=expression_std_K,
        triangles_F3=np.ascontiguousarray(triangles.T),
        anchor_landmarks_A=anchor_landmarks,
        anchor_vertices_A=anchor_vertices,
    )


def _part(path: Path, file: h5py.File, group: str, size: int) -> tuple[Float64, Float32, Float32]:
    """Mean (3V,), components (K, V, 3) and standard deviations (K,) of a group."""
    mean, variance, basis = (f"{group}/{name}" for name in ("mean", "pcaVariance", "pcaBasis"))
    mean_N = numbers(path, mean, _array(path, file, mean, (3 * MAX_VERTICES,)), (size,))
    variance_K = numbers(path, variance, _array(path, file, variance, (MAX_COMPONENTS,)), (None,))
    if (variance_K < 0).any():
        raise damaged(path, variance, "holds negative variances")
    std_K = np.sqrt(variance_K)
    values = _array(path, file, basis, (3 * MAX_VERTICES, MAX_COMPONENTS))
    return mean_N, components(path, basis, values, size, std_K), std_K.astype(np.float32)


def _array(path: Path, file: h5py.File, name: str, largest: tuple[int, ...]) -> object:
    """A dataset of the file itself: links into other files and virtual data are refused.

    Args:
        path: The file, for errors.
        file: The open file.
        name: The dataset.
        largest: Largest size believed along each axis.
    """
    import h5py

    node: h5py.Group | h5py.Dataset = file
    for step in name.split("/"):
        if not isinstance(node, h5py.Group) or not isinstance(node.get(step, getlink=True), h5py.HardLink):
            raise damaged(path, name, "is missing")
        node = node[step]
    if not isinstance(node, h5py.Dataset) or node.is_virtual or node.external:
        raise damaged(path, name, "is no data of this file")
    if len(node.shape) > len(largest) or any(
        found > limit for found, limit in zip(node.shape, largest, strict=False)
    ):
        raise damaged(path, name, f"has the shape {node.shape}")
    return node[()]


def _named_landmarks(path: Path, file: h5py.File, mean_V3: Float64) -> tuple[Int32, Int32]:
    """Landmarks (A,) of the tracker and the vertices (A,) nearest to where the file says they are."""
    from scipy.spatial import cKDTree

    name = "metadata/landmarks/json"
    advice = "Pass the vertex numbers of the 68 iBUG points with `--landmarks FILE`."
    if "metadata/landmarks" not in file:
        raise ConfigError("The face model says nothing of its landmarks.", where=str(path), advice=advice)
    value = _array(path, file, name, (16 * MAX_VERTICES,))
    try:
        text = value.tobytes() if isinstance(value, np.ndarray) else value
        rows = json.loads(text)  # type: ignore[arg-type]
        points = {str(row["id"]): np.array(row["coordinates"], np.float64) for row in rows}
    except (TypeError, ValueError, KeyError, RecursionError) as error:
        raise damaged(path, name, "is no list of landmarks") from error
    known = [label for label in LANDMARKS if label in points and points[label].shape == (3,)]
    if len(known) < MIN_LANDMARKS:
        raise ConfigError(
            f"The face model names only {len(known)} known landmarks.", where=str(path), advice=advice
        )
    positions_A3 = numbers(path, name, np.stack([points[label] for label in known]), (len(known), 3))
    _, vertices = cKDTree(mean_V3).query(positions_A3)
    return np.array([LANDMARKS[label] for label in known], np.int32), np.asarray(vertices, np.int32)
