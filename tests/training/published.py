"""Small face models in the layouts in which face models are published, with known truth.

The truth is the tracker's mean face with smooth displacements, so every landmark's vertex is known. Each file
has its own units and axes, and vertices that are not the face's.
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from dubber.ops.landmarks import IBUG68, IBUG_CONTOUR, tracker_triangles
from dubber.training.face_import import tracker_mean_face

NUM_OTHER = 7
"""Vertices of no interest in files that have such."""

_UP_AND_TOWARDS_CAMERA = np.array([1.0, -1.0, -1.0])


@dataclass(frozen=True)
class Truth:
    """What a file holds.

    Attributes:
        mean_V3: In our convention.
        identity_KV3: Our units per standard deviation.
        identity_std_K: Of the file's coefficients.
        expression_KV3: Our units per standard deviation.
        expression_std_K: Of the file's coefficients.
        units: The file's units per eye distance.
    """

    mean_V3: np.ndarray
    identity_KV3: np.ndarray
    identity_std_K: np.ndarray
    expression_KV3: np.ndarray
    expression_std_K: np.ndarray
    units: float

    def points(self, shape_V3: np.ndarray) -> np.ndarray:
        """Our points in the file's units and axes; its origin lies elsewhere."""
        return shape_V3 * _UP_AND_TOWARDS_CAMERA * self.units + np.array([3.0, -20.0, 11.0]) * self.units / 50

    def moves(self, displacement_KV3: np.ndarray) -> np.ndarray:
        """Our displacements in the file's units and axes."""
        return displacement_KV3 * _UP_AND_TOWARDS_CAMERA * self.units

    def columns(self, basis_KV3: np.ndarray, std_K: np.ndarray) -> np.ndarray:
        """A basis as (3V, K) columns per unit of the file's own coefficients."""
        return (self.moves(basis_KV3) / std_K[:, None, None]).reshape(len(basis_KV3), -1).T


def make_truth(units: float, num_identity: int = 3, num_expression: int = 4, seed: int = 0) -> Truth:
    """A face with smooth displacements of 0.03 eye distances."""
    rng = np.random.default_rng(seed)
    mean_V3 = tracker_mean_face()
    phase = np.einsum("vx,kxy->kvy", mean_V3, rng.normal(0, 3, (num_identity + num_expression, 3, 3)))
    basis = 0.03 * np.sin(phase + rng.uniform(0, 6, (len(phase), 1, 3)))
    return Truth(
        mean_V3=mean_V3,
        identity_KV3=basis[:num_identity],
        identity_std_K=np.linspace(3, 1, num_identity),
        expression_KV3=basis[num_identity:],
        expression_std_K=np.linspace(2, 0.5, num_expression),
        units=units,
    )


def write_ict(folder: Path, truth: Truth) -> None:
    """A folder like ICT-FaceKit's; the back of the head is one more triangle."""
    folder.mkdir(parents=True, exist_ok=True)
    other = np.arange(NUM_OTHER * 3).reshape(-1, 3) * 0.1
    mean = np.concatenate([truth.points(truth.mean_V3), other])
    first, *rest = tracker_triangles() + 1
    count = len(truth.mean_V3)
    faces = [
        "usemtl M_Face",
        "f " + " ".join(f"{corner}/1" for corner in first),
        *("f " + " ".join(f"{corner}/{corner}" for corner in triangle) for triangle in rest),
        "usemtl M_BackHead",
        f"f {count + 1}/1 {count + 2}/2 {count + 3}/3 {count + 4}/4",
    ]

    def write(name: str, moved_V3: np.ndarray) -> None:
        points = mean.copy()
        points[:count] += moved_V3
        lines = ["# a model", "mtllib x.mtl", *("v " + " ".join(map(repr, p.tolist())) for p in points)]
        (folder / f"{name}.obj").write_text("\n".join([*lines, "vt 0 0", *faces]) + "\n")

    write("generic_neutral_mesh", np.zeros_like(truth.mean_V3))
    for number, moved in enumerate(truth.moves(truth.identity_KV3)):
        write(f"identity{number:03d}", moved)
    names = ["jawOpen", "mouthFunnel", "mouthPucker", "mouthLeft"][: len(truth.expression_KV3)]
    for name, moved in zip(names, truth.moves(truth.expression_KV3), strict=True):
        write(name, moved)
    index = {"expressions": ["browDown_L", *names], "idx_to_landmark_verts": IBUG68.tolist()}
    (folder / "vertex_indices.json").write_text(json.dumps(index))


def write_bfm2009(folder: Path, truth: Truth, expressions: str = "3ddfa", has_contour: bool = True) -> None:
    """A folder with the Basel Face Model 2009 and expressions of "3ddfa" or "guo"."""
    from scipy.io import savemat

    folder.mkdir(parents=True, exist_ok=True)
    rng = np.random.default_rng(5)
    count = len(truth.mean_V3)
    trim = np.sort(rng.permutation(count + NUM_OTHER)[:count])
    offset = rng.normal(0, 0.001 * truth.units, 3 * count)

    def untrimmed(values_Vn: np.ndarray) -> np.ndarray:
        full = np.full((count + NUM_OTHER, 3, values_Vn.shape[1]), 1.5)
        full[trim] = values_Vn.reshape(count, 3, -1)
        return full.reshape(-1, values_Vn.shape[1])

    mean = (truth.points(truth.mean_V3).reshape(-1) - offset)[:, None]
    savemat(
        folder / "01_MorphableModel.mat",
        {
            "shapeMU": untrimmed(mean),
            "shapePC": untrimmed(truth.columns(truth.identity_KV3, truth.identity_std_K)).astype(np.float32),
            "shapeEV": truth.identity_std_K[:, None].astype(np.float32),
            "texMU": np.zeros((3, 1)),
        },
    )
    savemat(
        folder / "model_info.mat",
        {
            "trimIndex": trim[:, None] + 1,
            "tri": tracker_triangles().T + 1,
            "keypoints": IBUG68[None].astype(np.uint16) + 1,
        },
    )
    basis = truth.columns(truth.expression_KV3, truth.expression_std_K)
    std_K = truth.expression_std_K
    if expressions == "3ddfa":
        savemat(
            folder / "Model_Expression.mat",
            {"mu_exp": offset[:, None], "w_exp": basis, "sigma_exp": std_K[:, None]},
        )
    else:
        numbers = np.concatenate([offset, basis.T.reshape(-1)]).astype("<f4")
        (folder / "Exp_Pca.bin").write_bytes(np.array([len(std_K)], "<i4").tobytes() + numbers.tobytes())
        (folder / "std_exp.txt").write_text(" ".join(map(str, std_K)))
    if has_contour:
        cells = np.empty((1, 17), object)
        for number, landmark in enumerate(IBUG68[IBUG_CONTOUR]):
            cells[0, number] = (np.arange(number % 3 + 1) + landmark + 1)[:, None].astype(np.float64)
        savemat(folder / "Modelplus_parallel.mat", {"parallel": cells})


def write_bfm2017(path: Path, truth: Truth, landmarks: dict[str, int] | None) -> None:
    """An HDF5 file like that of the Basel Face Model 2017.

    Args:
        path: The file.
        truth: What it holds.
        landmarks: Vertices by name to write as the file's own; none if None.
    """
    import h5py

    path.parent.mkdir(parents=True, exist_ok=True)
    with h5py.File(path, "w") as file:
        offset = np.full(truth.mean_V3.size, 0.001 * truth.units)
        parts = {
            "shape": (
                truth.points(truth.mean_V3).reshape(-1) - offset,
                truth.identity_KV3,
                truth.identity_std_K,
            ),
            "expression": (offset, truth.expression_KV3, truth.expression_std_K),
        }
        for name, (mean, basis, std) in parts.items():
            file[f"{name}/model/mean"] = mean.astype(np.float32)
            file[f"{name}/model/pcaBasis"] = truth.columns(basis, std).astype(np.float32)
            file[f"{name}/model/pcaVariance"] = (std**2).astype(np.float32)
        file["shape/representer/cells"] = tracker_triangles().T
        if landmarks is not None:
            points = truth.points(truth.mean_V3)
            rows = [{"id": name, "coordinates": points[v].tolist()} for name, v in landmarks.items()]
            file["metadata/landmarks/json"] = json.dumps(rows)
