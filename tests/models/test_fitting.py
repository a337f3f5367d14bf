"""Fits find the pose, the person and the expression that made the landmarks."""

from __future__ import annotations

import numpy as np
import pytest

from dubber.models.fitting import FaceFitter, FitSettings, FramePoses, residual_px, rigid_pose, spread_frames
from dubber.models.morphable import LinearFaceModel, project_TL2, rotation_matrices
from dubber.types import NUM_TRACKER_LANDMARKS, Float32
from tests.models.face import depth_too, formula_face, random_poses

NUM_FRAMES = 90


class Truth:
    """Landmarks made from known coefficients."""

    def __init__(self, noise_px: float = 0.0, num_identity: int = 5, num_expression: int = 6) -> None:
        rng = np.random.default_rng(3)
        self.model = formula_face(num_identity, num_expression)
        self.identity: Float32 = rng.normal(size=num_identity).astype(np.float32)
        self.expression: Float32 = rng.normal(size=(NUM_FRAMES, num_expression)).astype(np.float32)
        self.rotation, self.scale, self.translation = random_poses(NUM_FRAMES, rng)
        xy = project_TL2(
            self.model, self.identity, self.expression, self.rotation, self.scale, self.translation
        )
        z = depth_too(self.model, self.identity, self.expression, self.rotation, self.scale)
        self.landmarks: Float32 = np.concatenate([xy, z[..., None]], axis=-1)
        self.landmarks += rng.normal(0, noise_px, self.landmarks.shape).astype(np.float32)
        self.crop_scale: Float32 = (150 / self.scale).astype(np.float32)

    def fitter(self, expression_weight: float = 0.1, num_iterations: int = 4) -> FaceFitter:
        settings = FitSettings(expression_weight=expression_weight, num_iterations=num_iterations)
        return FaceFitter(self.model, np.ones(NUM_TRACKER_LANDMARKS), settings)


def angle_deg(first: Float32, second: Float32) -> np.ndarray:
    relative = rotation_matrices(first) @ np.swapaxes(rotation_matrices(second), 1, 2)
    return np.rad2deg(np.arccos(np.clip((np.trace(relative, axis1=1, axis2=2) - 1) / 2, -1, 1)))


def test_known_identity_gives_pose_and_expression_exactly() -> None:
    truth = Truth()
    fitter = truth.fitter(expression_weight=1e-9, num_iterations=10)
    poses = fitter.fit_frames(truth.landmarks, truth.crop_scale, truth.identity)
    np.testing.assert_allclose(poses.expression_TK, truth.expression, atol=1e-2)
    assert angle_deg(poses.rotation_T3, truth.rotation).max() < 0.05
    np.testing.assert_allclose(poses.scale_T, truth.scale, rtol=1e-3)
    np.testing.assert_allclose(poses.translation_T2, truth.translation, atol=0.05)
    residual = residual_px(truth.model, truth.identity, poses, truth.landmarks, truth.crop_scale)
    assert residual.max() < 0.05


@pytest.mark.parametrize("num_identity, num_expression", [(5, 6), (2, 9)])
def test_everything_is_recovered_from_noisy_landmarks(num_identity: int, num_expression: int) -> None:
    truth = Truth(0.5, num_identity, num_expression)
    fitter = truth.fitter()
    chosen = spread_frames(truth.rotation[:, 1], truth.expression[:, 0], 30)
    identity = fitter.fit_identity(truth.landmarks[chosen], truth.crop_scale[chosen])
    poses = fitter.fit_frames(truth.landmarks, truth.crop_scale, identity)
    neutral = np.zeros((1, num_expression), np.float32)
    found, true = (truth.model.vertices_TV3(person, neutral) for person in (identity, truth.identity))
    # Where the origin lies and how large a unit is are the pose's business.
    rotation, scale, shift = rigid_pose(found, true[0])
    aligned = (found - shift[:, None]) @ rotation / scale[:, None, None]
    assert np.linalg.norm(aligned - true, axis=-1).mean() * 150 < 1, "px of the crop"
    residual = residual_px(truth.model, identity, poses, truth.landmarks, truth.crop_scale)
    assert np.median(angle_deg(poses.rotation_T3, truth.rotation)) < 1
    for k in range(num_expression):
        assert np.corrcoef(poses.expression_TK[:, k], truth.expression[:, k])[0, 1] > 0.98
    assert np.median(residual) < 1


def test_chunks_do_not_matter() -> None:
    truth = Truth(0.5)
    fitter = truth.fitter()
    together = fitter.fit_frames(truth.landmarks, truth.crop_scale, truth.identity)
    alone = fitter.fit_frames(truth.landmarks[70:71], truth.crop_scale[70:71], truth.identity)
    np.testing.assert_allclose(together.expression_TK[70], alone.expression_TK[0], atol=1e-6)
    np.testing.assert_allclose(together.rotation_T3[70], alone.rotation_T3[0], atol=1e-8)


def test_the_size_of_the_face_does_not_matter() -> None:
    truth = Truth(0.5)
    fitter = truth.fitter()
    usual = fitter.fit_frames(truth.landmarks, truth.crop_scale, truth.identity)
    larger = fitter.fit_frames(truth.landmarks * 3, truth.crop_scale / 3, truth.identity)
    np.testing.assert_allclose(larger.expression_TK, usual.expression_TK, atol=1e-3)
    np.testing.assert_allclose(larger.scale_T, usual.scale_T * 3, rtol=1e-4)


def test_landmarks_without_weight_are_not_looked_at() -> None:
    truth = Truth()
    weight = np.ones(NUM_TRACKER_LANDMARKS)
    weight[:50] = 0
    spoilt = truth.landmarks.copy()
    spoilt[:, :50] += 500
    fitter = FaceFitter(truth.model, weight)
    np.testing.assert_array_equal(
        fitter.fit_frames(spoilt, truth.crop_scale, truth.identity).expression_TK,
        fitter.fit_frames(truth.landmarks, truth.crop_scale, truth.identity).expression_TK,
    )


def test_refit_keeps_the_pose_and_finds_the_expression() -> None:
    truth = Truth()
    fitter = truth.fitter(expression_weight=1e-9)
    given = FramePoses(
        np.zeros_like(truth.expression, np.float64),
        truth.rotation.astype(np.float64),
        truth.scale.astype(np.float64),
        truth.translation.astype(np.float64),
    )
    poses = fitter.refit_expression(truth.landmarks, truth.crop_scale, truth.identity, given)
    np.testing.assert_allclose(poses.expression_TK, truth.expression, atol=1e-2)
    assert poses.rotation_T3 is given.rotation_T3


def test_prior_pulls_to_neutral() -> None:
    truth = Truth(0.5)
    weak = truth.fitter(expression_weight=0.01).fit_frames(truth.landmarks, truth.crop_scale, truth.identity)
    strong = truth.fitter(expression_weight=100).fit_frames(truth.landmarks, truth.crop_scale, truth.identity)
    assert np.abs(strong.expression_TK).mean() < 0.5 * np.abs(weak.expression_TK).mean()


def test_rigid_pose_with_weights() -> None:
    rng = np.random.default_rng(5)
    reference = rng.normal(size=(20, 3))
    rotation = rotation_matrices(rng.normal(size=(7, 3)))
    points = 2.5 * reference @ np.swapaxes(rotation, 1, 2) + np.array([1, 2, 3])
    points[:, 0] += 100
    weight = np.ones(20)
    weight[0] = 0
    found, scale, shift = rigid_pose(points, reference, weight)
    np.testing.assert_allclose(found, rotation, atol=1e-9)
    np.testing.assert_allclose(scale, 2.5)
    np.testing.assert_allclose(shift, np.tile([1, 2, 3], (7, 1)), atol=1e-9)


def test_spread_frames_covers_both_extremes() -> None:
    rng = np.random.default_rng(6)
    yaw, opening = rng.normal(size=500), np.abs(rng.normal(size=500))
    chosen = spread_frames(yaw, opening, 30)
    assert len(chosen) == len(set(chosen.tolist())) == 30
    assert (np.diff(chosen) > 0).all()
    for values in (yaw, opening):
        assert values[chosen].max() > np.quantile(values, 0.95)
        assert values[chosen].min() < np.quantile(values, 0.05)
    np.testing.assert_array_equal(spread_frames(yaw[:4], opening[:4], 30), [0, 1, 2, 3])
    assert len(spread_frames(np.zeros(9), np.zeros(9), 3)) == 3


def test_models_of_any_size_are_fitted() -> None:
    truth = Truth()
    small = truth.model
    keep = np.arange(0, NUM_TRACKER_LANDMARKS, 3, dtype=np.int32)
    partial = LinearFaceModel(
        "partial",
        small.mean_V3[keep],
        small.identity_KV3[:, keep],
        small.expression_KV3[:, keep],
        small.triangles_F3,
        {"tracker": keep, "tracker_vertices": np.arange(len(keep), dtype=np.int32)},
    )
    settings = FitSettings(expression_weight=1e-9, num_iterations=10)
    fitter = FaceFitter(partial, np.ones(NUM_TRACKER_LANDMARKS), settings)
    poses = fitter.fit_frames(truth.landmarks, truth.crop_scale, truth.identity)
    np.testing.assert_allclose(poses.expression_TK, truth.expression, atol=2e-2)
