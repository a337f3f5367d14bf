"""A face model as its publisher wrote it, and the checks that all readers share.

Files come from anywhere: nothing that could run code is read, every array is checked before it is used, and
an error names file and field.
"""

from __future__ import annotations

import json
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from dubber.errors import ConfigError, WeightsError
from dubber.ops.landmarks import IBUG68
from dubber.types import Float32, Float64, Int32

NUM_IBUG = 68
MAX_VERTICES = 1_000_000
MAX_COMPONENTS = 2_000
"""More than any known model has: a damaged size is found before memory is asked for."""


@dataclass(frozen=True)
class FaceFile:
    """A face model in its file's own units and axes.

    Attributes:
        name: For logs and the manifest.
        licence: What its publisher allows, in a line.
        is_commercial_use_allowed: Whether that covers commercial use.
        training_data: What it was made from.
        mean_V3: (V, 3) float64, the file's units.
        identity_KV3: (K_id, V, 3) float32, the file's units per standard deviation.
        identity_std_K: (K_id,) float32 standard deviations of the file's own coefficients.
        expression_KV3: (K_exp, V, 3) float32.
        expression_std_K: (K_exp,) float32.
        triangles_F3: (F, 3) int32.
        anchor_landmarks_A: (A,) int32 landmarks of the tracker whose vertices are known, and
        anchor_vertices_A: (A,) int32 those vertices.
        contour_lines: By landmark of the tracker, the vertices (n,) that it may slide along.
    """

    name: str
    licence: str
    is_commercial_use_allowed: bool
    training_data: str
    mean_V3: Float64
    identity_KV3: Float32
    identity_std_K: Float32
    expression_KV3: Float32
    expression_std_K: Float32
    triangles_F3: Int32
    anchor_landmarks_A: Int32
    anchor_vertices_A: Int32
    contour_lines: dict[int, Int32] = field(default_factory=dict)


def damaged(where: Path, name: str, problem: str) -> WeightsError:
    """The error of a file that does not hold what its format says.

    Args:
        where: The file.
        name: The field, "" for the whole file.
        problem: What is wrong with it.
    """
    what = f"The field '{name}' {problem}." if name else f"The file {problem}."
    return WeightsError(
        what, where=str(where), advice="Get the file from its publisher again, or check `--format`."
    )


def numbers(where: Path, name: str, values: Any, shape: tuple[int | None, ...]) -> Float64:
    """Check that a field is an array of finite numbers of the wanted shape.

    Args:
        where: The file, for errors.
        name: The field, for errors.
        values: As read.
        shape: Wanted sizes, None for any. A single row or column is as good as a vector.

    Returns:
        As float64, or float32 where it was.

    Raises:
        WeightsError: It is not.
    """
    array = np.asarray(values)
    if array.dtype.kind not in "iuf":
        raise damaged(where, name, "is no array of numbers")
    if len(shape) == 1 and array.ndim == 2 and 1 in array.shape:
        array = array.reshape(-1)
    if array.ndim != len(shape) or any(
        wanted is not None and wanted != found for wanted, found in zip(shape, array.shape, strict=True)
    ):
        wanted_text = " x ".join("any" if size is None else str(size) for size in shape)
        raise damaged(where, name, f"has the shape {array.shape}, not {wanted_text}")
    if not np.isfinite(array).all():
        raise damaged(where, name, "holds numbers that are not finite")
    return np.asarray(array, np.float32 if array.dtype == np.float32 else np.float64)


def indices(
    where: Path, name: str, values: Any, shape: tuple[int | None, ...], count: int, first: int = 0
) -> Int32:
    """Check that a field holds indices into something.

    Args:
        where: The file, for errors.
        name: The field, for errors.
        values: As read.
        shape: As in `numbers`.
        count: How many things there are.
        first: What the file calls the first: 0 or 1.

    Returns:
        int32, the first is 0.

    Raises:
        WeightsError: It does not.
    """
    array = numbers(where, name, values, shape) - first
    if (array != np.round(array)).any() or (array.size and not 0 <= array.min() <= array.max() < count):
        raise damaged(where, name, f"names vertices that the model's {count} do not have")
    return np.asarray(array, np.int32)


def components(where: Path, name: str, values: Any, num_numbers: int, std_K: Float64) -> Float32:
    """A basis (3V, K) as the scaled components (K, V, 3) float32.

    Args:
        where: The file, for errors.
        name: The field, for errors.
        values: As read.
        num_numbers: 3V.
        std_K: (K,) standard deviations.
    """
    basis = numbers(where, name, values, (num_numbers, len(std_K)))
    scaled = np.asarray(basis.T, np.float32) * std_K[:, None].astype(np.float32)
    return np.asarray(scaled.reshape(len(std_K), -1, 3), np.float32)


def anchors_of_68(where: Path, name: str, values: Any, num_vertices: int, first: int = 0) -> Int32:
    """(68,) int32 vertices of the 68 iBUG points, checked; their landmarks are `IBUG68`.

    Args:
        where: The file, for errors.
        name: The field, for errors.
        values: As read.
        num_vertices: V.
        first: What the file calls the first vertex.
    """
    return indices(where, name, values, (len(IBUG68),), num_vertices, first)


def read_landmarks(path: Path) -> Int32:
    """Read the vertices of the 68 iBUG points from a JSON array or from text with a number per word.

    Args:
        path: The file; the first vertex is 0.

    Returns:
        (68,) int32, not yet checked against a model.

    Raises:
        ConfigError: It cannot be read or holds something else.
    """
    advice = (
        "It must hold the vertex numbers of the 68 iBUG points, from 0, as a JSON array or a list in text."
    )
    try:
        text = path.read_text(encoding="utf-8")
        words = json.loads(text) if text.lstrip().startswith("[") else text.replace(",", " ").split()
        vertices = [int(word) for word in words]
    except (OSError, UnicodeDecodeError) as error:
        raise ConfigError("The landmarks file cannot be read.", where=str(path), advice=advice) from error
    except (ValueError, TypeError, OverflowError, RecursionError) as error:
        raise ConfigError(
            "The landmarks file is no list of numbers.", where=str(path), advice=advice
        ) from error
    if len(vertices) != NUM_IBUG or not all(0 <= vertex < MAX_VERTICES for vertex in vertices):
        raise ConfigError(
            f"The landmarks file holds {len(vertices)} numbers, not {NUM_IBUG} vertices.",
            where=str(path),
            advice=advice,
        )
    return np.array(vertices, np.int32)


def leading_components(
    where: Path, components_KV3: Float32, std_K: Float32, count: int
) -> tuple[Float32, Float32]:
    """Keep the first components of a basis that is sorted by importance; all if `count` is 0."""
    if count < 0:
        raise ConfigError("The number of components cannot be negative.", where=str(where))
    kept = slice(None) if count == 0 else slice(count)
    return components_KV3[kept], std_K[kept]
