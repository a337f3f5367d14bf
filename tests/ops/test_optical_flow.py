"""The half-way picture of a known motion."""

from __future__ import annotations

import cv2
import numpy as np

from dubber.ops.optical_flow import half_flow, halfway_picture, halfway_plane


def moved(shift_x: float, shift_y: float, size: tuple[int, int] = (160, 220)) -> np.ndarray:
    noise = np.random.default_rng(0).normal(0, 1, (size[0] + 40, size[1] + 40, 3))
    picture = np.clip(128 + 500 * cv2.GaussianBlur(noise, (0, 0), 4), 0, 255).astype(np.float32)
    matrix = np.array([[1, 0, shift_x - 20], [0, 1, shift_y - 20]], np.float64)
    return np.rint(cv2.warpAffine(picture, matrix, size[::-1], flags=cv2.INTER_CUBIC).clip(0, 255)).astype(
        np.uint8
    )


def psnr(image: np.ndarray, truth: np.ndarray) -> float:
    inner = (slice(12, -12), slice(12, -12))
    return float(10 * np.log10(255**2 / np.mean((image[inner].astype(float) - truth[inner]) ** 2)))


def test_half_a_shift_is_seen_half_way() -> None:
    first, second, middle = moved(0, 0), moved(6, -3), moved(3, -1.5)
    found = halfway_picture(first, second)
    mean = ((first.astype(int) + second) // 2).astype(np.uint8)
    assert psnr(found, middle) > 32
    assert psnr(found, middle) > psnr(mean, middle) + 8


def test_each_half_flow_is_half_the_motion() -> None:
    first, second = (cv2.cvtColor(moved(*shift), cv2.COLOR_RGB2GRAY) for shift in ((0, 0), (6, -3)))
    to_first, to_second = half_flow(first, second)
    np.testing.assert_allclose(np.median(to_first, (0, 1)), [-3, 1.5], atol=0.3)
    np.testing.assert_allclose(np.median(to_second, (0, 1)), [3, -1.5], atol=0.3)


def test_a_still_picture_stays() -> None:
    picture = moved(0, 0)
    assert np.abs(halfway_picture(picture, picture).astype(int) - picture).max() <= 1


def test_a_chroma_plane_may_be_half_the_size() -> None:
    first, second, middle = (moved(*s)[..., 0] for s in ((0, 0), (6, -3), (3, -1.5)))
    flows = half_flow(first, second)
    small = [cv2.resize(plane, (110, 80), interpolation=cv2.INTER_AREA) for plane in (first, second, middle)]
    assert psnr(halfway_plane(small[0], small[1], flows), small[2]) > 32


def test_a_large_picture_uses_a_coarser_flow() -> None:
    first, second, middle = (moved(*s, size=(400, 900)) for s in ((0, 0), (8, 4), (4, 2)))
    assert psnr(halfway_picture(first, second), middle) > 30
