"""Basel Face Model 2009 with an expression basis of others, a folder.

    01_MorphableModel.mat   shapeMU (3 V0), shapePC (3 V0, 199), shapeEV (199): mean, axes, standard
                            deviations; micrometres, x y z in turn
    model_info.mat          trimIndex (V): which of the V0 vertices are kept; tri (3, F); keypoints (68);
                            all counted from 1
    Model_Expression.mat    mu_exp (3 V), w_exp (3 V, 29), sigma_exp (29): expressions of 3DDFA
    Modelplus_parallel.mat  parallel {17}: per contour landmark the vertices it slides along, from 1; optional

or, in the place of Model_Expression.mat,

    Exp_Pca.bin             int32 n, float32 mean (3 V), float32 (n, 3 V): expressions of Guo et al.
    std_exp.txt             n standard deviations

Source: Paysan et al. 2009; Zhu et al. 2016 (3DDFA); Guo et al. 2018 (3DFace).
"""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import numpy as np

from dubber.errors import ConfigError
from dubber.ops.landmarks import IBUG68, IBUG_CONTOUR
from dubber.training.face_files import matlab_child
from dubber.training.face_files.source import (
    MAX_COMPONENTS,
    FaceFile,
    anchors_of_68,
    components,
    damaged,
    indices,
    leading_components,
    numbers,
)
from dubber.types import Float32, Float64, Int32

SHAPE, INFO, CONTOUR = "01_MorphableModel.mat", "model_info.mat", "Modelplus_parallel.mat"
EXPRESSION_3DDFA = "Model_Expression.mat"
EXPRESSION_GUO, EXPRESSION_GUO_STD = "Exp_Pca.bin", "std_exp.txt"

_READ_LIMIT_S = 300.0
"""The parser takes seconds for the largest of these files."""

SUMMARY = (
    f"a folder with {SHAPE}, {INFO} and {EXPRESSION_3DDFA} (or {EXPRESSION_GUO} and {EXPRESSION_GUO_STD}), "
    f"{CONTOUR} if you have it"
)


def is_at(path: Path) -> bool:
    """Whether a path is such a folder."""
    return (path / SHAPE).is_file()


def read(path: Path, landmarks_68: Int32 | None, num_expression: int) -> FaceFile:
    """Read shape, expressions and, where there are any, contour lines.

    Args:
        path: The folder.
        landmarks_68: Replaces the file's own landmarks; vertices of the trimmed mesh.
        num_expression: Components at most; 0 for all.

    Raises:
        ConfigError: A file is missing.
        WeightsError: A file is damaged.
    """
    shape = _read_mat(path / SHAPE, ("shapeMU", "shapePC", "shapeEV"))
    info = _read_mat(path / INFO, ("trimIndex", "tri", "keypoints"))
    full_mean = numbers(path / SHAPE, "shapeMU", shape["shapeMU"], (None,))
    if len(full_mean) % 3:
        raise damaged(path / SHAPE, "shapeMU", "is not made of points in space")
    trim = indices(path / INFO, "trimIndex", info["trimIndex"], (None,), len(full_mean) // 3, first=1)
    std_K = numbers(path / SHAPE, "shapeEV", shape["shapeEV"], (None,))
    identity_KV3 = components(path / SHAPE, "shapePC", shape["shapePC"], len(full_mean), std_K)[:, trim]
    if (path / EXPRESSION_3DDFA).is_file():
        offset_V3, expression_KV3, expression_std_K = _expressions_3ddfa(path / EXPRESSION_3DDFA, len(trim))
    else:
        offset_V3, expression_KV3, expression_std_K = _expressions_guo(path, len(trim))
    expression_KV3, expression_std_K = leading_components(
        path, expression_KV3, expression_std_K, num_expression
    )
    triangles = indices(path / INFO, "tri", info["tri"], (3, None), len(trim), first=1)
    anchors = (
        anchors_of_68(path / INFO, "keypoints", info["keypoints"], len(trim), first=1)
        if landmarks_68 is None
        else anchors_of_68(path, "--landmarks", landmarks_68, len(trim))
    )
    contour = path / CONTOUR
    return FaceFile(
        name="Basel Face Model 2009",
        licence="Basel Face Model 2009: signed agreement, non-commercial; expressions: research only",
        is_commercial_use_allowed=False,
        training_data="Face scans of the University of Basel; expressions of FaceWarehouse",
        mean_V3=full_mean.reshape(-1, 3)[trim] + offset_V3,
        identity_KV3=identity_KV3,
        identity_std_K=std_K.astype(np.float32),
        expression_KV3=expression_KV3,
        expression_std_K=expression_std_K,
        triangles_F3=triangles.T,
        anchor_landmarks_A=IBUG68,
        anchor_vertices_A=anchors,
        contour_lines=_contour_lines(contour, len(trim)) if contour.is_file() else {},
    )


def _expressions_3ddfa(path: Path, num_vertices: int) -> tuple[Float64, Float32, Float32]:
    """Offset of the mean (V, 3), components (K, V, 3), standard deviations (K,)."""
    fields = _read_mat(path, ("mu_exp", "w_exp", "sigma_exp"))
    offset = numbers(path, "mu_exp", fields["mu_exp"], (3 * num_vertices,))
    std_K = numbers(path, "sigma_exp", fields["sigma_exp"], (None,))
    basis_KV3 = components(path, "w_exp", fields["w_exp"], 3 * num_vertices, std_K)
    return offset.reshape(-1, 3), basis_KV3, std_K.astype(np.float32)


def _expressions_guo(folder: Path, num_vertices: int) -> tuple[Float64, Float32, Float32]:
    """Offset of the mean (V, 3), components (K, V, 3), standard deviations (K,)."""
    path, std_path = folder / EXPRESSION_GUO, folder / EXPRESSION_GUO_STD
    try:
        data = path.read_bytes()
        std_text = std_path.read_text(encoding="utf-8")
    except OSError as error:
        raise _missing(
            folder, f"{EXPRESSION_3DDFA}, nor {EXPRESSION_GUO} with {EXPRESSION_GUO_STD}"
        ) from error
    except UnicodeDecodeError as error:
        raise damaged(std_path, "", "is no text") from error
    count = int(np.frombuffer(data[:4], "<i4")[0]) if len(data) >= 4 else 0
    wanted = 4 + 4 * 3 * num_vertices * (1 + count)
    if not 0 < count <= MAX_COMPONENTS or len(data) != wanted:
        raise damaged(
            path, "", f"has {len(data)} bytes, which is not {count} components of {num_vertices} vertices"
        )
    try:
        std_K = numbers(std_path, "std_exp", [float(word) for word in std_text.split()], (count,))
    except ValueError as error:
        raise damaged(std_path, "", "is no list of numbers") from error
    rows = np.frombuffer(data, "<f4", offset=4).reshape(1 + count, 3 * num_vertices)
    basis_KV3 = components(path, "components", rows[1:].T, 3 * num_vertices, std_K)
    return (
        numbers(path, "mean", rows[0], (3 * num_vertices,)).reshape(-1, 3),
        basis_KV3,
        std_K.astype(np.float32),
    )


def _contour_lines(path: Path, num_vertices: int) -> dict[int, Int32]:
    """By landmark of the tracker, the vertices of its line."""
    cells = np.asarray(_read_mat(path, ("parallel",))["parallel"]).reshape(-1)
    contour: Sequence[int] = IBUG68[IBUG_CONTOUR].tolist()
    if len(cells) != len(contour):
        raise damaged(path, "parallel", f"has {len(cells)} lines, not {len(contour)}")
    return {
        landmark: indices(path, f"parallel{{{number}}}", line, (None,), num_vertices, first=1)
        for number, (landmark, line) in enumerate(zip(contour, cells, strict=True), start=1)
    }


def _read_mat(path: Path, names: tuple[str, ...]) -> dict[str, Any]:
    """Variables of a MATLAB file (version 4 to 7.2): its numbers as arrays, its cells as arrays of arrays."""
    if not path.is_file():
        raise _missing(path.parent, path.name)
    with TemporaryDirectory() as folder:
        command = [sys.executable, matlab_child.__file__, str(path.absolute()), folder, *names]
        try:
            subprocess.run(
                command, check=True, capture_output=True, stdin=subprocess.DEVNULL, timeout=_READ_LIMIT_S
            )
        except (subprocess.SubprocessError, OSError) as error:
            said = (getattr(error, "stderr", None) or b"").decode("utf-8", "replace").strip()
            raise damaged(path, "", f"is no readable MATLAB file ({said or type(error).__name__})") from error
        variables = {name: _variable(Path(folder), name) for name in names}
    for name, value in variables.items():
        if value is None:
            raise damaged(path, name, "is missing")
    return variables


def _variable(folder: Path, name: str) -> Any:
    """What `matlab_child` wrote of a variable; None if the file has none of that name."""
    if (folder / name).is_dir():
        files = sorted((folder / name).iterdir())
        cells = np.empty(len(files), object)
        cells[:] = [np.load(file, allow_pickle=False) for file in files]
        return cells
    file = folder / f"{name}.npy"
    return np.load(file, allow_pickle=False) if file.is_file() else None


def _missing(folder: Path, what: str) -> ConfigError:
    return ConfigError(f"The folder holds no {what}.", where=str(folder), advice=f"Needed: {SUMMARY}.")
