"""The face model moves, turns and projects as its convention says, and survives storage."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from dubber.engine.weights import Weight, WeightsFolder, default_weights_dir
from dubber.errors import WeightsError
from dubber.models.morphable import (
    CONTOUR_TRACKER,
    MOUTH_JAW,
    NO_VERTEX,
    RIGID,
    TRACKER,
    TRACKER_VERTICES,
    LinearFaceModel,
    project_TL2,
)
from dubber.ops import landmarks
from dubber.training.release import save_weight
from tests.models.face import formula_face, random_poses

ENTRY = {
    "kind": "test",
    "licence": "none",
    "is_commercial_use_allowed": True,
    "training_data": "a formula",
    "recipe": 'none: "quoted", \\ and ä',
    "description": "test",
}


def test_vertices_are_mean_plus_bases() -> None:
    model = formula_face(num_identity=3, num_expression=4)
    identity = np.array([1, -2, 0.5], np.float32)
    expression = np.random.default_rng(0).normal(size=(2, 4)).astype(np.float32)
    expected = model.mean_V3.astype(np.float64)
    expected = expected + sum(identity[k] * model.identity_KV3[k] for k in range(3))
    for t in range(2):
        moved = expected + sum(expression[t, k] * model.expression_KV3[k] for k in range(4))
        np.testing.assert_allclose(model.vertices_TV3(identity, expression)[t], moved, atol=1e-5)
    chosen = np.array([5, 2], np.int32)
    np.testing.assert_array_equal(
        model.vertices_TV3(identity, expression, chosen), model.vertices_TV3(identity, expression)[:, chosen]
    )


def test_rotations_turn_as_in_the_picture() -> None:
    model = formula_face()
    zero = np.zeros((1, model.num_expression), np.float32)
    one, centre = np.array([100], np.float32), np.array([[200, 300]], np.float32)

    def projected(rotation: tuple[float, float, float]) -> np.ndarray:
        angles = np.array([rotation], np.float32)
        return project_TL2(model, np.zeros(5, np.float32), zero, angles, one, centre)[0]

    plain = projected((0, 0, 0))
    np.testing.assert_allclose(plain, model.mean_V3[:, :2] * 100 + [200, 300], atol=1e-3)
    assert plain[152, 1] > plain[landmarks.NOSE_TIP, 1] > plain[33, 1], "upright: the chin is below"
    assert plain[33, 0] < plain[263, 0], "the person's right eye is on the picture's left"
    # Rotation about z by a positive angle turns x towards y: clockwise, as y points down.
    quarter = projected((0, 0, np.pi / 2)) - [200, 300]
    np.testing.assert_allclose(
        quarter, np.stack([-(plain - [200, 300])[:, 1], (plain - [200, 300])[:, 0]], 1), atol=1e-2
    )
    # About y: what is near the camera (z negative) goes to the picture's left.
    assert projected((0, 0.3, 0))[landmarks.NOSE_TIP, 0] < plain[landmarks.NOSE_TIP, 0]


def test_projecting_some_vertices_is_projecting_all() -> None:
    model = formula_face()
    rng = np.random.default_rng(2)
    rotation, scale, translation = random_poses(4, rng)
    expression = rng.normal(size=(4, model.num_expression)).astype(np.float32)
    identity = rng.normal(size=model.num_identity).astype(np.float32)
    everything = project_TL2(model, identity, expression, rotation, scale, translation)
    some = project_TL2(model, identity, expression, rotation, scale, translation, landmarks.MOUTH_JAW)
    np.testing.assert_allclose(some, everything[:, landmarks.MOUTH_JAW], atol=1e-3)


def test_storage_keeps_the_model_within_a_tenth_of_a_pixel(tmp_path: Path) -> None:
    model = formula_face()
    save_weight(tmp_path, "other", {"x": np.zeros(1, np.float32)}, ENTRY)
    row = save_weight(tmp_path, "face_model", model.to_arrays(), ENTRY)
    folder = WeightsFolder(tmp_path)
    assert set(folder.manifest) == {"other", "face_model"}
    assert folder.manifest["face_model"] == row
    assert row.recipe == ENTRY["recipe"]
    again = LinearFaceModel.from_weight(folder.open("face_model"))
    three = np.full((1, model.num_expression), 3, np.float32)
    identity = np.full(model.num_identity, 3, np.float32)
    difference = again.vertices_TV3(identity, three) - model.vertices_TV3(identity, three)
    assert np.abs(difference).max() * 150 < 0.1
    assert again.landmark_sets.keys() == model.landmark_sets.keys()
    first = (tmp_path / "face_model.safetensors").read_bytes()
    save_weight(tmp_path, "face_model", model.to_arrays(), ENTRY)
    assert (tmp_path / "face_model.safetensors").read_bytes() == first


def test_storage_keeps_scales_and_contours() -> None:
    plain = formula_face()
    model = replace(
        plain,
        expression_std_K=np.arange(1, plain.num_expression + 1, dtype=np.float32),
        contour_JC=np.array([[5, 6, 7], [8, 9, NO_VERTEX]], np.int32),
        landmark_sets={**plain.landmark_sets, CONTOUR_TRACKER: np.array([93, 323], np.int32)},
    )
    again = LinearFaceModel.from_weight(Weight(model.to_arrays(), {}))
    np.testing.assert_array_equal(again.expression_std_K, model.expression_std_K)
    np.testing.assert_array_equal(again.identity_std_K, 1)
    np.testing.assert_array_equal(again.contour_JC, model.contour_JC)
    np.testing.assert_array_equal(again.landmark_sets[CONTOUR_TRACKER], [93, 323])


def test_files_without_scales_and_contours_are_read() -> None:
    arrays = formula_face().to_arrays()
    for name in ("identity_std", "expression_std", "contour"):
        del arrays[name]
    model = LinearFaceModel.from_weight(Weight(arrays, {}))
    np.testing.assert_array_equal(model.identity_std_K, np.ones(model.num_identity))
    np.testing.assert_array_equal(model.expression_std_K, np.ones(model.num_expression))
    assert len(model.contour_JC) == 0


def test_other_weights_are_refused() -> None:
    arrays = formula_face().to_arrays()
    broken = [
        {},
        {**arrays, "identity": arrays["identity"][:, :-1]},
        {**arrays, "mean": arrays["mean"][:, :2]},
        {**arrays, "landmarks." + MOUTH_JAW: np.array([468], np.int32)},
        {**arrays, "triangles": np.array([[0, 1, 468]], np.int32)},
        {**arrays, "expression_std": np.ones(2, np.float32)},
        {**arrays, "contour": np.array([[1, 2, -1]], np.int32)},
        {
            **arrays,
            "contour": np.array([[1, 468, -1]], np.int32),
            "landmarks." + CONTOUR_TRACKER: np.array([93], np.int32),
        },
    ]
    for bad in broken:
        with pytest.raises(WeightsError):
            LinearFaceModel.from_weight(Weight(bad, {}))


def test_the_model_that_comes_with_dubber() -> None:
    model = LinearFaceModel.from_weight(WeightsFolder(default_weights_dir()).open("face_model"))
    mean = model.mean_V3
    assert model.num_expression == 29
    assert np.abs(mean[model.landmark_sets[RIGID]].mean(axis=0)).max() < 1e-4
    np.testing.assert_allclose(np.linalg.norm(mean[33] - mean[263]), 1, atol=1e-4)
    np.testing.assert_array_equal(model.landmark_sets[MOUTH_JAW], landmarks.MOUTH_JAW)
    assert len(model.landmark_sets[TRACKER]) == len(model.landmark_sets[TRACKER_VERTICES])
    # Symmetric: the two eyes' corners mirror each other.
    np.testing.assert_allclose(mean[33] * [-1, 1, 1], mean[263], atol=1e-4)
    # The first component opens the mouth or purses it: lips move by a good part of a tenth of the eye
    # distance.
    moved = np.linalg.norm(model.expression_KV3[:, landmarks.MOUTH_OUTER], axis=-1).max(axis=1)
    assert moved[0] > 0.02
    assert (np.linalg.norm(model.expression_KV3[:, landmarks.RIGID], axis=-1).max(axis=1) < 0.1).all()
