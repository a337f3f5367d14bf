"""Measures against values worked out by hand."""

from __future__ import annotations

import cv2
import numpy as np
import pytest
from skimage.metrics import structural_similarity

from dubber.evaluation.metrics import coarse, mouth_box, psnr_db, seam_energy, sharpness, ssim, unrest


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


@pytest.mark.parametrize(
    "changed", [(slice(2, 20), slice(30, 50)), (slice(0, 1), slice(79, 80)), (slice(None),) * 2]
)
def test_ssim_is_the_library_s(changed: tuple[slice, slice]) -> None:
    rng = np.random.default_rng(0)
    truth = cv2.GaussianBlur(rng.integers(0, 256, (60, 80, 3), dtype=np.uint8), (0, 0), 1)
    image = truth.copy()
    image[changed] = np.clip(image[changed] + rng.normal(0, 20, image[changed].shape), 0, 255)
    reference = structural_similarity(
        image,
        truth,
        data_range=255,
        channel_axis=2,
        gaussian_weights=True,
        sigma=1.5,
        use_sample_covariance=False,
    )
    assert ssim(image, truth) == pytest.approx(reference, abs=1e-5)


def textured(rng: np.random.Generator, size: int = 128, grain_px: float = 5) -> np.ndarray:
    """Smooth random texture with a little noise, (size, size) uint8."""
    picture = cv2.GaussianBlur(rng.normal(0, 1, (size, size)), (0, 0), grain_px)
    picture = 128 + 15 * picture / picture.std() + rng.normal(0, 1, picture.shape)
    return np.clip(picture, 0, 255).astype(np.uint8)


def test_blur_is_less_sharp_and_noise_more() -> None:
    picture = textured(np.random.default_rng(0), grain_px=1)
    noisy = np.clip(picture + np.random.default_rng(1).normal(0, 8, picture.shape), 0, 255).astype(np.uint8)
    blurred = cv2.GaussianBlur(picture, (0, 0), 2)
    everywhere = np.ones(picture.shape, np.bool_)
    own, soft, grainy = (sharpness(luma, everywhere) for luma in (picture, blurred, noisy))
    assert soft < 0.2 * own < grainy


def test_sharpness_is_that_of_the_pixels_that_count() -> None:
    picture = textured(np.random.default_rng(0), grain_px=1)
    half = np.zeros(picture.shape, np.bool_)
    half[:, :60] = True
    blurred = picture.copy()
    blurred[:, 64:] = cv2.GaussianBlur(picture, (0, 0), 2)[:, 64:]
    assert sharpness(blurred, half) == sharpness(picture, half)
    assert sharpness(blurred, ~half) < 0.5 * sharpness(picture, ~half)
    assert sharpness(picture, np.zeros_like(half)) == 0


@pytest.mark.parametrize("is_soft", [False, True])
def test_a_step_along_the_mask_s_border_is_a_seam_and_one_elsewhere_is_none(is_soft: bool) -> None:
    picture = textured(np.random.default_rng(0))
    mask = np.zeros(picture.shape, np.float32)
    mask[40:90, 40:90] = 1
    brighter = (picture.astype(np.int16) + 15 * (mask > 0.5)).clip(0, 255).astype(np.uint8)
    if is_soft:
        mask = cv2.GaussianBlur(mask, (0, 0), 3)
    here = seam_energy(brighter, mask) / seam_energy(picture, mask)
    elsewhere = np.roll(brighter, (60, 60), (0, 1))
    there = seam_energy(elsewhere, mask) / seam_energy(np.roll(picture, (60, 60), (0, 1)), mask)
    assert here > 1.5
    assert there == pytest.approx(1, abs=0.25)


def test_a_feathered_step_of_shade_is_a_soft_seam() -> None:
    rng = np.random.default_rng(0)
    shade = cv2.GaussianBlur(rng.normal(0, 1, (128, 128)), (0, 0), 20)
    picture = np.clip(128 + 20 * shade / shade.std() + rng.normal(0, 4, shade.shape), 0, 255).astype(np.uint8)
    mask = np.zeros(picture.shape, np.float32)
    mask[40:90, 40:90] = 1
    mask = cv2.GaussianBlur(mask, (0, 0), 6)
    made = np.clip(picture + 20 * mask, 0, 255).astype(np.uint8)
    assert seam_energy(made, mask) / seam_energy(picture, mask) < 1.2
    assert seam_energy(coarse(made), mask) / seam_energy(coarse(picture), mask) > 1.5


def test_no_border_has_no_seam() -> None:
    assert seam_energy(textured(np.random.default_rng(0)), np.ones((128, 128), np.float32)) == 0


def test_flicker_is_not_motion_and_not_slow_light() -> None:
    big = textured(np.random.default_rng(0), 160)
    rng = np.random.default_rng(2)

    def shot(shift: int, light: float) -> np.ndarray:
        picture = big[16 : 16 + 128, 16 + shift : 16 + shift + 128] + light + rng.normal(0, 1, (128, 128))
        return np.clip(picture, 0, 255).astype(np.uint8)

    def flicker(*shots: np.ndarray) -> float:
        return float(np.abs(unrest(*shots)).mean())

    still = flicker(shot(0, 0), shot(0, 0), shot(0, 0))
    moving = flicker(shot(0, 0), shot(3, 0), shot(6, 0))
    fading = flicker(shot(0, 0), shot(0, 3), shot(0, 6))
    flickering = flicker(shot(0, -6), shot(0, 6), shot(0, -6))
    assert moving < 1.6 * still
    assert fading < 1.6 * still
    assert flickering > 8 * still


def test_a_shade_that_pops_shows_through_noise_once_blurred() -> None:
    rng = np.random.default_rng(2)
    flat = np.full((96, 96), 120.0)

    def shot(light: float) -> np.ndarray:
        return np.clip(flat + light + rng.normal(0, 6, flat.shape), 0, 255).astype(np.uint8)

    still, popping = unrest(shot(0), shot(0), shot(0)), unrest(shot(0), shot(3), shot(0))
    assert np.abs(popping).mean() < 1.3 * np.abs(still).mean()
    assert np.abs(coarse(popping)).mean() > 3 * np.abs(coarse(still)).mean()
