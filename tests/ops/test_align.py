"""Similarities are found, applied, undone and smoothed as they say."""

from __future__ import annotations

import numpy as np
import pytest

from dubber.ops.align import (
    MEAN_FACE_RIGID_N2,
    apply_similarity,
    identity_similarity,
    invert_similarity,
    scale_similarity,
    segments,
    similarity_scale,
    similarity_to_mean_face,
    smooth_per_segment,
    umeyama,
)
from dubber.ops.landmarks import EYE_CORNERS, NOSE_TIP, RIGID
from dubber.types import CROP_SIZE_PX, NUM_TRACKER_LANDMARKS, Float32


def compose_similarity(after_23: Float32, before_23: Float32) -> Float32:
    """(..., 2, 3) the similarity that does `before` and then `after`."""
    linear = after_23[..., :2] @ before_23[..., :2]
    shift = after_23[..., :2] @ before_23[..., 2:] + after_23[..., 2:]
    return np.asarray(np.concatenate([linear, shift], axis=-1), np.float32)


def similarity(scale: float, angle: float, shift: tuple[float, float]) -> Float32:
    c, s = scale * np.cos(angle), scale * np.sin(angle)
    return np.array([[c, -s, shift[0]], [s, c, shift[1]]], np.float32)


@pytest.fixture
def several() -> Float32:
    rng = np.random.default_rng(0)
    return np.stack(
        [
            similarity(rng.uniform(0.3, 3), rng.uniform(-3, 3), tuple(rng.uniform(-500, 500, 2)))
            for _ in range(9)
        ]
    )


def test_umeyama_undoes_a_known_similarity(several: Float32) -> None:
    rng = np.random.default_rng(1)
    template = rng.uniform(0, 384, (14, 2)).astype(np.float32)
    points = apply_similarity(invert_similarity(several), template)
    np.testing.assert_allclose(
        apply_similarity(umeyama(points, template), points),
        np.broadcast_to(template, points.shape),
        atol=0.02,
    )
    np.testing.assert_allclose(umeyama(points, template)[..., :2], several[..., :2], atol=1e-4)


def test_umeyama_never_mirrors() -> None:
    template = np.array([[0, 0], [100, 0], [0, 50], [80, 70]], np.float32)
    found = umeyama(template[None] * np.array([-1, 1], np.float32), template)[0]
    assert np.linalg.det(found[:, :2]) > 0
    assert found[0, 0] == found[1, 1]
    assert found[0, 1] == -found[1, 0]


def test_umeyama_is_the_least_squares_answer() -> None:
    rng = np.random.default_rng(2)
    template = rng.uniform(0, 384, (14, 2)).astype(np.float32)
    points = apply_similarity(similarity(0.7, 0.2, (30, 10)), template) + rng.normal(0, 4, (14, 2)).astype(
        np.float32
    )
    best = umeyama(points[None], template)[0]

    def error(candidate: Float32) -> float:
        return float(((apply_similarity(candidate, points) - template) ** 2).sum())

    for scale, angle, shift in (
        (1.01, 0, (0, 0)),
        (0.99, 0, (0, 0)),
        (1, 0.01, (0, 0)),
        (1, -0.01, (0, 0)),
        (1, 0, (1, 0)),
        (1, 0, (0, -1)),
    ):
        assert error(compose_similarity(similarity(scale, angle, shift), best)) > error(best)


def test_inverse_and_composition(several: Float32) -> None:
    both = compose_similarity(invert_similarity(several), several)
    np.testing.assert_allclose(both, identity_similarity(len(several)), atol=2e-3)
    points = np.random.default_rng(3).uniform(0, 100, (9, 5, 2)).astype(np.float32)
    other = similarity(2, 0.5, (7, -3))
    np.testing.assert_allclose(
        apply_similarity(compose_similarity(other, several), points),
        apply_similarity(other, apply_similarity(several, points)),
        rtol=1e-4,
        atol=0.02,
    )


def test_scale_of_a_similarity(several: Float32) -> None:
    np.testing.assert_allclose(
        similarity_scale(scale_similarity(several, 0.5)), similarity_scale(several) / 2, rtol=1e-5
    )
    # The centre of the whole crop stays the centre of the whole crop.
    centre = np.full((1, 2), CROP_SIZE_PX / 2, np.float32)
    source = apply_similarity(invert_similarity(several[0]), centre)
    np.testing.assert_allclose(
        apply_similarity(scale_similarity(several[0], 2 / 3), source), centre * 2 / 3, atol=0.01
    )


def test_template_is_an_upright_face_in_the_upper_crop() -> None:
    assert MEAN_FACE_RIGID_N2.shape == (len(RIGID), 2)
    corners = MEAN_FACE_RIGID_N2[: len(EYE_CORNERS)]
    tip = MEAN_FACE_RIGID_N2[list(RIGID).index(NOSE_TIP)]
    assert (np.diff(corners[:, 0]) > 0).all()
    np.testing.assert_allclose(corners[:, 0] + corners[::-1, 0], CROP_SIZE_PX, atol=0.2)
    assert corners[0, 1] == corners[3, 1] < tip[1] < CROP_SIZE_PX / 2


def test_mean_face_similarity_looks_at_rigid_points_only() -> None:
    landmarks = np.random.default_rng(4).uniform(0, 500, (2, NUM_TRACKER_LANDMARKS, 3)).astype(np.float32)
    landmarks[:, RIGID, :2] = MEAN_FACE_RIGID_N2 * 0.5 + 20
    found = similarity_to_mean_face(landmarks)
    np.testing.assert_allclose(found, np.tile(similarity(2, 0, (-40, -40)), (2, 1, 1)), atol=1e-3)


def test_segments_end_at_cuts_and_gaps() -> None:
    usable = np.array([1, 1, 0, 1, 1, 1, 1, 0], bool)
    shots = np.array([0, 0, 0, 0, 0, 1, 1, 1], np.int32)
    assert segments(usable, shots) == [slice(0, 2), slice(3, 5), slice(5, 7)]
    assert segments(usable[:0], shots[:0]) == []
    assert segments(~usable[:2], shots[:2]) == []


@pytest.mark.parametrize("length", [1, 2, 3, 5, 40])
def test_smoothing_keeps_steady_motion(length: int) -> None:
    line = np.arange(length, dtype=np.float32)[:, None] * np.array([2.0, -3.0], np.float32) + 5
    usable, shots = np.ones(length, bool), np.zeros(length, np.int32)
    np.testing.assert_allclose(smooth_per_segment(line, usable, shots), line, atol=1e-4)


def test_smoothing_takes_jitter_out_and_stays_within_shots() -> None:
    rng = np.random.default_rng(5)
    step = np.where(np.arange(60) < 30, 0.0, 100.0)
    values = (step + rng.normal(0, 1, 60)).astype(np.float32)[:, None]
    shots = (np.arange(60) >= 30).astype(np.int32)
    usable = np.ones(60, bool)
    usable[10] = False
    smooth = smooth_per_segment(values, usable, shots)
    assert np.abs(smooth[:, 0] - step).max() < 4
    assert np.diff(smooth[31:, 0]).std() < 0.5 * np.diff(values[31:, 0]).std()
    assert smooth[10] == values[10]


def test_no_smoothing_is_no_change() -> None:
    values = np.random.default_rng(6).normal(size=(9, 2, 3)).astype(np.float32)
    usable, shots = np.ones(9, bool), np.zeros(9, np.int32)
    np.testing.assert_array_equal(smooth_per_segment(values, usable, shots, sigma_frames=0), values)
