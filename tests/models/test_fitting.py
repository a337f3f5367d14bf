"""Fits find the pose, the person and the expression that made the landmarks."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from dubber.models import fitting
from dubber.models.fit_state import FramePoses
from dubber.models.fitting import FaceFitter, FitSettings
from dubber.models.morphable import CONTOUR_TRACKER, NO_VERTEX, LinearFaceModel, project_TL2
from dubber.ops.landmarks import JAW
from dubber.ops.pose import rigid_pose, rotation_matrices
from dubber.ops.spread import spread_frames
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
    residual = fitter.residual_px(truth.landmarks, truth.crop_scale, truth.identity, poses)
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
    residual = fitter.residual_px(truth.landmarks, truth.crop_scale, identity, poses)
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


def test_prior_pulls_to_neutral() -> None:
    truth = Truth(0.5)
    weak = truth.fitter(expression_weight=0.01).fit_frames(truth.landmarks, truth.crop_scale, truth.identity)
    strong = truth.fitter(expression_weight=100).fit_frames(truth.landmarks, truth.crop_scale, truth.identity)
    assert np.abs(strong.expression_TK).mean() < 0.5 * np.abs(weak.expression_TK).mean()


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


class Film:
    """A head that moves and speaks as heads do, seen in a row of frames."""

    def __init__(
        self, noise_px: float = 0.7, num_frames: int = 200, model: LinearFaceModel | None = None, cut: int = 0
    ) -> None:
        rng = np.random.default_rng(11)
        self.model = model or formula_face()
        time = np.arange(num_frames)
        count = self.model.num_expression
        self.identity: Float32 = rng.normal(size=self.model.num_identity).astype(np.float32)
        phase, speed = rng.uniform(0, 6, count), rng.uniform(0.3, 0.9, count)
        self.expression: Float32 = (1.3 * np.sin(time[:, None] * speed + phase)).astype(np.float32)
        self.rotation: Float32 = np.deg2rad(
            np.stack([6 * np.sin(time / 9), 25 * np.sin(time / 21), 5 * np.sin(time / 15)], axis=1).astype(
                np.float32
            )
        )
        self.scale: Float32 = (150 + 10 * np.sin(time / 30)).astype(np.float32)
        self.translation: Float32 = np.stack([300 + 30 * np.sin(time / 17), 250 + 0 * time], axis=1).astype(
            np.float32
        )
        self.continues = time > 0
        if cut:
            self.translation[cut:] += 90
            self.rotation[cut:, 1] += 0.4
            self.continues[cut] = False
        pose = (self.rotation, self.scale)
        xy = project_TL2(self.model, self.identity, self.expression, *pose, self.translation)
        z = depth_too(self.model, self.identity, self.expression, *pose)
        self.clean: Float32 = np.concatenate([xy, z[..., None]], axis=-1)
        self.landmarks: Float32 = self.clean + rng.normal(0, noise_px, self.clean.shape).astype(np.float32)
        self.crop_scale: Float32 = (150 / self.scale).astype(np.float32)

    def fit(self, **settings: float) -> FramePoses:
        fitter = FaceFitter(self.model, np.ones(NUM_TRACKER_LANDMARKS), FitSettings(**settings))
        return fitter.fit_frames(self.landmarks, self.crop_scale, self.identity, self.continues)

    def worst_correlation(self, poses: FramePoses) -> float:
        columns = zip(poses.expression_TK.T, self.expression.T, strict=True)
        return min(float(np.corrcoef(found, true)[0, 1]) for found, true in columns)

    def shift_error(self, poses: FramePoses) -> np.ndarray:
        return np.linalg.norm(poses.translation_T2 - self.translation, axis=1)


@pytest.mark.parametrize("noise_px", [0.5, 1.0])
def test_a_film_is_recovered_with_its_identity(noise_px: float) -> None:
    film = Film(noise_px)
    fitter = FaceFitter(film.model, np.ones(NUM_TRACKER_LANDMARKS))
    chosen = spread_frames(film.rotation[:, 1], film.expression[:, 0], 50)
    identity = fitter.fit_identity(film.landmarks[chosen], film.crop_scale[chosen])
    poses = fitter.fit_frames(film.landmarks, film.crop_scale, identity, film.continues)
    assert angle_deg(poses.rotation_T3, film.rotation).max() < 1
    assert film.worst_correlation(poses) > 0.98
    assert np.median(fitter.residual_px(film.clean, film.crop_scale, identity, poses)) < 1


def test_smoothness_takes_the_jitter_of_the_pose_out_and_leaves_the_expression() -> None:
    film = Film(1.5)
    rough, calm = film.fit(pose_smoothing=0.0), film.fit(pose_smoothing=5.0)
    jitter = [np.diff(poses.translation_T2, n=2, axis=0).std() for poses in (rough, calm)]
    assert jitter[1] < 0.4 * jitter[0]
    assert film.shift_error(calm).mean() < film.shift_error(rough).mean()
    assert film.worst_correlation(calm) > 0.98
    amplitude = calm.expression_TK.std(axis=0) / film.expression.std(axis=0)
    assert amplitude.min() > 0.9


def test_outliers_hardly_matter() -> None:
    film = Film(0.5)
    rng = np.random.default_rng(4)
    is_wrong = rng.random(film.landmarks.shape[:2]) < 0.04
    film.landmarks[is_wrong] += rng.normal(0, 40, (int(is_wrong.sum()), 3)).astype(np.float32)
    robust, square = film.fit(num_iterations=8), film.fit(num_iterations=8, huber_px=1e9)
    assert angle_deg(robust.rotation_T3, film.rotation).max() < 1
    assert film.worst_correlation(robust) > 0.98
    error = [np.abs(poses.expression_TK - film.expression).mean() for poses in (robust, square)]
    assert error[0] < 0.5 * error[1]


def test_nothing_is_smoothed_across_a_cut() -> None:
    film = Film(0.3, cut=100)
    around = slice(96, 104)
    reset = film.fit(pose_smoothing=50.0)
    assert film.shift_error(reset)[around].max() < 1
    film.continues[100] = True
    smeared = film.fit(pose_smoothing=50.0)
    assert film.shift_error(smeared)[around].max() > 5


def test_either_side_of_a_cut_does_not_know_the_other() -> None:
    film = Film(0.7, cut=100)
    whole = film.fit()
    film.landmarks[100:] += 50
    moved = film.fit()
    np.testing.assert_allclose(moved.rotation_T3[:100], whole.rotation_T3[:100], atol=1e-9)
    np.testing.assert_allclose(moved.expression_TK[:100], whole.expression_TK[:100], atol=1e-9)


def test_long_films_are_solved_in_windows_that_agree(monkeypatch: pytest.MonkeyPatch) -> None:
    film = Film(0.7)
    whole = film.fit()
    monkeypatch.setattr(fitting, "WINDOW_FRAMES", 60)
    pieces = film.fit()
    np.testing.assert_allclose(pieces.expression_TK, whole.expression_TK, atol=1e-3)
    np.testing.assert_allclose(pieces.rotation_T3, whole.rotation_T3, atol=1e-5)
    np.testing.assert_allclose(pieces.translation_T2, whole.translation_T2, atol=1e-3)


def test_the_mesh_deforms_with_the_pose_and_the_expression_does_not_know() -> None:
    plain = formula_face()
    rng = np.random.default_rng(9)
    pose = rng.normal(0, 0.1, (5, 1, 3)) * (plain.mean_V3[:, 1:2] > 0.3)
    film = Film(0.3, model=replace(plain, pose_PV3=pose.astype(np.float32)))
    with_it = film.fit()
    film.model = plain
    without = film.fit()
    error = [np.abs(poses.expression_TK - film.expression).mean() for poses in (with_it, without)]
    assert error[0] < 0.5 * error[1]
    assert film.worst_correlation(with_it) > 0.98


def contour_face() -> tuple[LinearFaceModel, np.ndarray]:
    """A face with a half tube of candidates behind its jaw's side points; also which landmarks slide."""
    plain = formula_face()
    sliding = np.concatenate([JAW[:7], JAW[-7:]])
    mean, lines = [plain.mean_V3], []
    offsets = np.array([[0, 0, 0], [0.08, 0, 0.3], [0, 0, 0.8], [-0.2, 0, -0.4]], np.float32)
    for landmark in sliding:
        side = np.sign(plain.mean_V3[landmark, 0])
        first = sum(map(len, mean))
        mean.append(plain.mean_V3[landmark] + offsets * [side, 1, 1])
        lines.append([*range(first, first + len(offsets)), NO_VERTEX])
    owner = np.concatenate([np.arange(NUM_TRACKER_LANDMARKS), np.repeat(sliding, len(offsets))])
    model = replace(
        plain,
        mean_V3=np.concatenate(mean).astype(np.float32),
        identity_KV3=plain.identity_KV3[:, owner],
        expression_KV3=plain.expression_KV3[:, owner],
        pose_PV3=np.zeros((0, len(owner), 3), np.float32),
        contour_JC=np.array(lines, np.int32),
        landmark_sets={**plain.landmark_sets, CONTOUR_TRACKER: sliding.astype(np.int32)},
    )
    model.check()
    return model, sliding


def test_the_outline_slides_along_the_skin() -> None:
    model, sliding = contour_face()
    film = Film(0.0, model=model)
    vertices = film.clean
    # What a tracker of outlines sees: of each line the point farthest to its side of the picture.
    across = rotation_matrices(film.rotation)[:, :2, 0]
    seen = vertices[:, :NUM_TRACKER_LANDMARKS].copy()
    chosen = []
    for landmark, line in zip(sliding, model.contour_JC[:, :-1], strict=True):
        side = np.sign(model.mean_V3[landmark, 0])
        reach = np.einsum("tcx,tx->tc", vertices[:, line, :2], across) * side
        chosen.append(reach.argmax(axis=1))
        seen[:, landmark] = vertices[np.arange(len(vertices)), line[chosen[-1]]]
    assert len(np.unique(chosen)) > 2, "the outline moves from candidate to candidate"
    film.landmarks = seen + np.random.default_rng(1).normal(0, 0.2, seen.shape).astype(np.float32)
    exact = {"expression_weight": 1e-6, "expression_smoothing": 0.0}
    sliding_fit = film.fit(**exact)
    assert angle_deg(sliding_fit.rotation_T3, film.rotation).max() < 1
    assert film.worst_correlation(sliding_fit) > 0.98
    fitter = FaceFitter(model, np.ones(NUM_TRACKER_LANDMARKS))
    residual = fitter.residual_px(seen, film.crop_scale, film.identity, sliding_fit)
    assert np.median(residual) < 1
    film.model = replace(
        model,
        contour_JC=np.zeros((0, 0), np.int32),
        landmark_sets={**model.landmark_sets, CONTOUR_TRACKER: np.zeros(0, np.int32)},
    )
    fixed_fit = film.fit(**exact)
    error = [np.abs(poses.expression_TK - film.expression).mean() for poses in (sliding_fit, fixed_fit)]
    assert error[0] < 0.5 * error[1]
