"""Measures against values worked out by hand."""

from __future__ import annotations

import numpy as np
import pytest

from dubber.evaluation.metrics import mouth_box, psnr_db, ssim


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
