"""Exemplars land where they are wanted, as sharp as a cubic warp leaves them."""

from __future__ import annotations

import cv2
import numpy as np

from dubber.ops.exemplar_warp import doubled, warp_exemplars
from dubber.ops.warp import landmark_displacement, remap
from dubber.types import Float32, UInt8

SIZE, MARGIN = (96, 144), 12


def picture(blur_px: float, seed: int = 0) -> UInt8:
    """Noise of all levels, with a margin."""
    rng = np.random.default_rng(seed)
    noise = rng.normal(0, 1, (SIZE[0] + 2 * MARGIN, SIZE[1] + 2 * MARGIN, 3)).astype(np.float32)
    smooth = cv2.GaussianBlur(noise, (0, 0), blur_px)
    return np.asarray(np.clip(128 + 50 * smooth / smooth.std(), 0, 255), np.uint8)


def landmarks(num_pictures: int = 3) -> tuple[Float32, Float32]:
    """Wanted, and of each picture."""
    rng = np.random.default_rng(1)
    wanted = (rng.random((20, 2)) * [100, 60] + [20, 15]).astype(np.float32)
    return wanted, wanted + rng.normal(0, 1.5, (num_pictures, 20, 2)).astype(np.float32)


def energy(image: UInt8) -> float:
    return float(cv2.Laplacian(image.mean(2).astype(np.float32), cv2.CV_32F)[4:-4, 4:-4].var())


def test_a_doubled_picture_is_the_picture() -> None:
    image = picture(2.0)
    back = cv2.resize(doubled(image), image.shape[1::-1], interpolation=cv2.INTER_AREA)
    assert doubled(image).shape == (2 * image.shape[0], 2 * image.shape[1], 3)
    assert np.abs(back.astype(int) - image).mean() < 1.0


def test_without_motion_it_is_the_picture_within_the_margin() -> None:
    image, (wanted, _) = picture(2.0), landmarks()
    (made,) = warp_exemplars([doubled(image)], wanted, wanted[None], SIZE)
    inside = image[MARGIN:-MARGIN, MARGIN:-MARGIN]
    assert made.shape == inside.shape
    assert np.abs(made.astype(int) - inside).mean() < 1.0
    shifted = np.abs(made[:, 1:].astype(int) - inside[:, :-1]).mean()
    assert shifted > 5


def test_it_warps_as_a_cubic_warp_does_and_as_sharply() -> None:
    wanted, sources = landmarks()
    images = [picture(1.0, seed) for seed in range(len(sources))]
    made = warp_exemplars([doubled(image) for image in images], wanted, sources, SIZE, 0.003)
    for image, source, warped in zip(images, sources, made, strict=True):
        expected = remap(image, landmark_displacement(wanted, source, SIZE, 0.003))
        assert np.abs(expected.astype(int) - image[MARGIN:-MARGIN, MARGIN:-MARGIN]).mean() > 10
        assert np.abs(warped.astype(int) - expected).mean() < 2.5
        assert 0.85 < energy(warped) / energy(expected) < 1.15


def test_beyond_the_picture_its_border_continues() -> None:
    image, (wanted, _) = picture(2.0)[MARGIN:-MARGIN, MARGIN:-MARGIN], landmarks()
    far = wanted[None] + np.array([300, 0], np.float32)
    box = (-2000.0, -2000.0, 2000.0, 2000.0)
    (made,) = warp_exemplars([doubled(image)], wanted, far, SIZE, still_box=box)
    middle = made[30:60, 60:100].astype(int)
    assert np.ptp(middle, axis=1).max() <= 8, "rows of one colour"
