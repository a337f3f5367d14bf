"""The fit stage: coefficients for the usable frames, nothing for the others."""

from __future__ import annotations

import logging
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from dubber.engine.stage import StageContext
from dubber.engine.weights import WeightsFolder
from dubber.errors import NoFaceError, WeightsError
from dubber.models.morphable import LinearFaceModel, project_TL2
from dubber.ops.align import identity_similarity, similarity_scale, similarity_to_mean_face
from dubber.ops.landmarks import JAW
from dubber.stages.fit import FACE_MODEL, LIPS, Fit, FitParams, continues, landmark_weights
from dubber.training.release import save_weight
from dubber.types import FaceTrack, Float32
from tests.models.face import depth_too, formula_face
from tests.models.test_morphable import ENTRY

NUM_FRAMES = 60


@pytest.fixture
def model() -> LinearFaceModel:
    return formula_face()


@pytest.fixture
def fit_context(context: StageContext, model: LinearFaceModel, tmp_path: Path) -> StageContext:
    save_weight(tmp_path / "weights", FACE_MODEL, model.to_arrays(), ENTRY)
    context.runtime = replace(context.runtime, weights=WeightsFolder(tmp_path / "weights"))
    return context


def made_track(model: LinearFaceModel, noise_px: float = 0.0) -> tuple[FaceTrack, Float32]:
    """A head that turns slowly while its mouth moves; the frames 20 to 29 are lost. Also the true
    expression.
    """
    rng = np.random.default_rng(8)
    time = np.arange(NUM_FRAMES)
    identity = rng.normal(size=model.num_identity).astype(np.float32)
    phase = rng.uniform(0, 6, model.num_expression)
    speed = rng.uniform(0.5, 0.9, model.num_expression)
    expression = (1.3 * np.sin(time[:, None] * speed + phase)).astype(np.float32)
    rotation = np.stack([0.05 * np.sin(time / 9), 0.3 * np.sin(time / 12), 0 * time], axis=1).astype(
        np.float32
    )
    scale = (120 + time * 0.1).astype(np.float32)
    translation = np.stack([320 + time, 200 + 0 * time], axis=1).astype(np.float32)
    xy = project_TL2(model, identity, expression, rotation, scale, translation)
    z = depth_too(model, identity, expression, rotation, scale)
    landmarks = np.concatenate([xy, z[..., None]], axis=-1)
    landmarks = (landmarks + rng.normal(0, noise_px, landmarks.shape)).astype(np.float32)
    is_usable = (time < 20) | (time >= 30)
    landmarks[~is_usable] = 0
    similarity = identity_similarity(NUM_FRAMES)
    similarity[is_usable] = similarity_to_mean_face(landmarks[is_usable])
    track = FaceTrack(
        boxes_T4=np.zeros((NUM_FRAMES, 4), np.float32),
        landmarks_TL3=landmarks,
        scores_T=is_usable.astype(np.float32),
        is_usable_T=is_usable,
        shot_id_T=np.zeros(NUM_FRAMES, np.int32),
        identity_id_T=np.zeros(NUM_FRAMES, np.int32),
        similarity_T23=similarity,
        why_not_T=(~is_usable).astype(np.int8),
    )
    return track, expression


def test_a_made_track_is_explained(
    fit_context: StageContext, model: LinearFaceModel, caplog: pytest.LogCaptureFixture
) -> None:
    track, expression = made_track(model, noise_px=0.4)
    with caplog.at_level(logging.INFO, logger="dubber.stages.fit"):
        coeffs = Fit(FitParams()).run(fit_context, track)
    used = track.is_usable_T
    assert np.nanmedian(coeffs.residual_px_T) < 1
    for k in range(model.num_expression):
        assert np.corrcoef(coeffs.expression_TK[used, k], expression[used, k])[0, 1] > 0.98
    assert f"{np.nanmedian(coeffs.residual_px_T):.2f} px" in caplog.text
    projected = project_TL2(
        model,
        coeffs.identity_K,
        coeffs.expression_TK,
        coeffs.rotation_T3,
        coeffs.scale_T,
        coeffs.translation_T2,
    )
    distance = np.linalg.norm(projected - track.landmarks_TL3[..., :2], axis=-1).mean(axis=1)
    np.testing.assert_allclose(
        (distance * similarity_scale(track.similarity_T23))[used], coeffs.residual_px_T[used], rtol=0.02
    )


def test_lost_frames_have_no_coefficients(fit_context: StageContext, model: LinearFaceModel) -> None:
    track, _ = made_track(model)
    coeffs = Fit(FitParams()).run(fit_context, track)
    lost = ~track.is_usable_T
    assert np.isnan(coeffs.residual_px_T[lost]).all()
    assert not np.isnan(coeffs.residual_px_T[~lost]).any()
    for values in (coeffs.expression_TK, coeffs.rotation_T3, coeffs.scale_T, coeffs.translation_T2):
        assert values.dtype == np.float32
        assert (values[lost] == 0).all()
        assert np.isfinite(values).all()


def test_pose_smoothing_calms_the_head_and_leaves_the_mouth(
    fit_context: StageContext, model: LinearFaceModel
) -> None:
    track, expression = made_track(model, noise_px=1.0)
    rough = Fit(FitParams(pose_smoothing=0)).run(fit_context, track)
    calm = Fit(FitParams(pose_smoothing=5)).run(fit_context, track)
    jitter = [np.diff(coeffs.rotation_T3[30:], n=2, axis=0).std() for coeffs in (rough, calm)]
    assert jitter[1] < 0.5 * jitter[0]
    used = track.is_usable_T
    assert np.corrcoef(calm.expression_TK[used, 0], expression[used, 0])[0, 1] > 0.97


def test_runs_begin_anew_after_gaps_and_cuts(model: LinearFaceModel) -> None:
    track, _ = made_track(model)
    shots = np.zeros(NUM_FRAMES, np.int32)
    shots[45:] = 1
    track = replace(track, shot_id_T=shots)
    usable = np.flatnonzero(track.is_usable_T).astype(np.int32)
    anew = usable[~continues(track, usable)]
    np.testing.assert_array_equal(anew, [0, 30, 45])


def test_a_gap_is_not_smoothed_across(fit_context: StageContext, model: LinearFaceModel) -> None:
    track, _ = made_track(model)
    whole = Fit(FitParams(pose_smoothing=20)).run(fit_context, track)
    after = np.arange(NUM_FRAMES) >= 30
    landmarks = track.landmarks_TL3.copy()
    landmarks[after, :, 0] += 100
    similarity = track.similarity_T23.copy()
    similarity[after, :, 2] -= similarity[after] @ np.array([100, 0, 0], np.float32)
    moved = Fit(FitParams(pose_smoothing=20)).run(
        fit_context, replace(track, landmarks_TL3=landmarks, similarity_T23=similarity)
    )
    np.testing.assert_allclose(moved.translation_T2[:20], whole.translation_T2[:20], atol=0.01)
    np.testing.assert_allclose(
        moved.translation_T2[30:], whole.translation_T2[30:] + np.array([100, 0]), atol=0.01
    )


def test_no_usable_frame(fit_context: StageContext, model: LinearFaceModel) -> None:
    track, _ = made_track(model)
    with pytest.raises(NoFaceError):
        Fit(FitParams()).run(fit_context, replace(track, is_usable_T=np.zeros(NUM_FRAMES, bool)))


def test_other_weights_are_refused(fit_context: StageContext, model: LinearFaceModel, tmp_path: Path) -> None:
    track, _ = made_track(model)
    save_weight(tmp_path / "weights", FACE_MODEL, {"x": np.zeros(2, np.float32)}, ENTRY)
    with pytest.raises(WeightsError):
        Fit(FitParams()).run(fit_context, track)


def test_weights_are_part_of_the_key() -> None:
    assert Fit(FitParams()).weights() == (FACE_MODEL,)


def test_lips_count_most_and_the_outline_least() -> None:
    weight = landmark_weights(468, FitParams())
    assert len(set(LIPS.tolist())) == 40
    assert weight[LIPS].min() > weight[4] > weight[JAW].max() > 0
