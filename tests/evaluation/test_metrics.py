"""Measures against values worked out by hand."""

from __future__ import annotations

import numpy as np
import pytest

from dubber.evaluation.metrics import lagged_correlation, landmark_error_px, mouth_box, psnr_db, ssim


def test_psnr_of_a_known_error() -> None:
    truth = np.full((16, 16, 3), 100, np.uint8)
    assert psnr_db(truth + 10, truth) == pytest.approx(10 * np.log10(255**2 / 100))
    assert psnr_db(np.full_like(truth, 90), truth) == pytest.approx(
        10 * np.log10(255**2 / 100)
    )  # no wrap-around
    assert psnr_db(truth, truth) == 100


def test_ssim_is_one_for_equal_pictures_and_falls_with_blur() -> None:
    rng = np.random.default_rng(0)
    truth = rng.integers(0, 256, (32, 32, 3), dtype=np.uint8)
    flat = np.full_like(truth, int(truth.mean()))
    assert ssim(truth, truth) == pytest.approx(1)
    assert ssim(flat, truth) < 0.1


def test_mouth_box_grows_by_a_quarter_and_stays_in_the_crop() -> None:
    assert mouth_box(np.array([[100, 200], [180, 240]], np.float32)) == (90, 195, 190, 245)
    assert mouth_box(np.array([[0, 300], [384, 384]], np.float32)) == (0, 289, 384, 384)


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
