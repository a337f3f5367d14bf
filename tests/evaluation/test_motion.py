"""Measures of mouths' shapes and curves against values worked out by hand."""

from __future__ import annotations

import numpy as np
import pytest

from dubber.evaluation.motion import (
    amplitude_ratio,
    expression_error,
    lagged_correlation,
    landmark_error_px,
    lip_speed,
    lmd_px,
    lmd_sum_px,
    motion_in_silence,
)


def test_landmark_error_is_a_mean_distance() -> None:
    truth = np.zeros((2, 39, 2), np.float32)
    assert landmark_error_px(truth + np.float32([3, 4]), truth) == pytest.approx(5)


@pytest.mark.parametrize("lag", [-5, -2, 0, 3])
def test_lag_is_positive_when_late(lag: int) -> None:
    curve = np.random.default_rng(1).normal(size=200).astype(np.float32)
    truth, track = curve[20:180], curve[20 - lag : 180 - lag]
    correlation, found = lagged_correlation(track, truth)
    assert found == lag
    assert correlation == pytest.approx(1, abs=1e-6)


def test_flat_curves_do_not_correlate() -> None:
    assert lagged_correlation(np.zeros(50, np.float32), np.arange(50, dtype=np.float32)) == (0.0, 0)


def test_frames_that_are_not_known_leave_the_others_in_their_places() -> None:
    curve = np.random.default_rng(1).normal(size=200).astype(np.float32)
    truth, track = curve[20:180].copy(), curve[18:178].copy()
    is_known = np.ones(160, np.bool_)
    is_known[40:61] = False
    truth[~is_known] = track[~is_known] = 99
    correlation, lag = lagged_correlation(track, truth, is_known)
    assert (round(correlation, 6), lag) == (1, 2)


def test_short_curves_do_not_correlate() -> None:
    assert lagged_correlation(np.float32([1, 2]), np.float32([1, 2])) == (0.0, 0)


def test_expression_error_is_a_mean_over_coefficients() -> None:
    truth = np.zeros((2, 4), np.float32)
    assert expression_error(np.float32([[1, -1, 2, 0], [0, 0, 0, 0]]), truth) == pytest.approx(0.5)


def test_lmd_does_not_see_where_the_mouth_is() -> None:
    rng = np.random.default_rng(0)
    truth = rng.normal(size=(5, 39, 2)).astype(np.float32)
    moved = truth + rng.normal(size=(5, 1, 2)).astype(np.float32)
    assert lmd_px(moved, truth) == pytest.approx(0, abs=1e-6)
    assert landmark_error_px(moved, truth) > 0.5


def test_lmd_in_both_definitions() -> None:
    truth = np.zeros((3, 39, 2), np.float32)
    wide = truth.copy()
    wide[:, :10, 0], wide[:, 10:20, 0] = 2, -2  # every mouth point 2 px from its place, the mean unmoved
    wide[:, 20:] = 50  # the jaw does not count
    assert lmd_px(wide, truth) == pytest.approx(2)
    assert lmd_sum_px(wide, truth) == pytest.approx(40)


def test_amplitude_ratio() -> None:
    curve = np.sin(np.arange(50, dtype=np.float32))
    assert amplitude_ratio(0.5 * curve + 3, curve) == pytest.approx(0.5, rel=1e-5)
    assert amplitude_ratio(curve, np.ones(50, np.float32)) is None


def test_lip_speed_knows_the_times() -> None:
    times = np.float32([0, 0.04, 0.12, 0.16])  # a variable frame rate
    landmarks = np.zeros((4, 39, 2), np.float32)
    landmarks[:, :, 0] = 100 * times[:, None]
    assert lip_speed(landmarks, times, np.ones(4, np.bool_)) == pytest.approx(100, rel=1e-4)
    assert lip_speed(landmarks, times, np.array([True, True, False, True])) is None


def test_motion_in_silence_against_speech() -> None:
    times = np.arange(100, dtype=np.float32) / 25
    is_silent = np.arange(100) >= 50
    # Lips that come to rest within 0.2 s of the last word.
    swing = np.where(np.arange(100) >= 54, 0.1, 1.0) * np.sin(2 * np.arange(100))
    landmarks = np.zeros((100, 39, 2), np.float32)
    landmarks[:, :, 1] = swing[:, None]
    known = np.ones(100, np.bool_)
    assert motion_in_silence(landmarks, times, is_silent, known) == pytest.approx(0.1, rel=0.03)
    assert motion_in_silence(landmarks, times, np.zeros(100, np.bool_), known) is None
