"""The temporal filter: against a dense solve and the printed equation, and what it must and must not do."""

from __future__ import annotations

from collections.abc import Callable
from itertools import pairwise
from typing import Literal

import cv2
import numpy as np
import pytest

from dubber.ops.deflicker import Consistency, deflickered, lip_trust, literal_deflickered, screened

SIZE = (48, 64)
CONSISTENCY = Consistency(0.8, 0.1, "laplacian", 12.75)


def texture(seed: int = 0, size: tuple[int, int] = SIZE) -> np.ndarray:
    noise = np.random.default_rng(seed).normal(0, 1, (*size, 3))
    return np.clip(128 + 250 * cv2.GaussianBlur(noise, (0, 0), 3), 20, 235).astype(np.uint8)


def run(frames: list[np.ndarray], step: Callable[..., np.ndarray]) -> list[np.ndarray]:
    made = [frames[0].astype(np.float32)]
    for before, now in pairwise(frames):
        made.append(step(now, before, made[-1]))
    return [np.rint(image).astype(np.uint8) for image in made]


def corrected(now: np.ndarray, before: np.ndarray, made: np.ndarray) -> np.ndarray:
    return deflickered(now, before, made, np.ones(now.shape[:2], np.float32), CONSISTENCY)


def flat(level: float) -> np.ndarray:
    return np.full((*SIZE, 3), round(255 * level), np.uint8)


@pytest.mark.parametrize("detail", ["laplacian", "gradient"])
def test_the_cosine_transform_solves_the_normal_equations(detail: Literal["laplacian", "gradient"]) -> None:
    height, width = 6, 8

    def forward_difference(size: int) -> np.ndarray:
        return np.eye(size, k=1)[:-1] - np.eye(size)[:-1]

    down = np.kron(forward_difference(height), np.eye(width))
    right = np.kron(np.eye(height), forward_difference(width))
    gradient = np.concatenate([down, right])
    derivative = gradient if detail == "gradient" else gradient.T @ gradient
    weight, data = 0.7, 0.2
    difference_CHW = np.random.default_rng(1).normal(0, 5, (2, height, width)).astype(np.float32)
    equations = derivative.T @ derivative + (data + weight) * np.eye(height * width)
    expected = np.linalg.solve(equations, weight * difference_CHW.reshape(2, -1).T.astype(float))
    found_CHW = screened(difference_CHW, weight, data, detail)
    np.testing.assert_allclose(found_CHW.reshape(2, -1).T, expected, atol=1e-4)


def test_still_pictures_stay() -> None:
    picture = texture()
    np.testing.assert_array_equal(run([picture] * 3, corrected)[-1], picture)
    literal = run([picture] * 3, lambda *images: literal_deflickered(*images, 1.0))[-1]
    np.testing.assert_array_equal(literal, picture)


def test_brightness_follows_where_the_literal_form_freezes() -> None:
    frames = [flat(level) for level in (0.2, 0.5, 0.8)]
    made = run(frames, corrected)
    assert abs(float(made[-1].mean()) / 255 - 0.8) < 0.02
    frozen = run(frames, lambda *images: literal_deflickered(*images, 5.0))
    assert abs(float(frozen[-1].mean()) / 255 - 0.2) < 0.01


def test_a_small_lasting_change_of_light_is_followed_within_a_second() -> None:
    frames = [flat(0.5)] + [flat(0.53)] * 25
    made = run(frames, corrected)
    assert abs(float(made[-1].mean()) - float(frames[-1].mean())) <= 1


def test_the_literal_form_is_the_printed_equation() -> None:
    before = texture(3)
    previous = np.roll(before, 3, axis=0).astype(np.float32)
    motion = 0.5
    # Nothing moves between the unfiltered pictures, so W is the filtered picture before as it stands.
    found = literal_deflickered(before, before, previous, motion)
    fy, fx = np.meshgrid(np.fft.fftfreq(SIZE[0]), np.fft.fftfreq(SIZE[1]), indexing="ij")
    bending = 4 * np.pi**2 * (fx**2 + fy**2)
    weight = np.exp(-motion)
    for channel in range(3):
        own, past = (np.fft.fft2(image[..., channel].astype(float)) for image in (before, previous))
        expected = np.fft.ifft2((bending * own + weight * past) / (bending + weight)).real
        np.testing.assert_allclose(found[..., channel], expected.clip(0, 255), atol=1e-3)


def test_flicker_falls_and_detail_stays() -> None:
    rng = np.random.default_rng(4)
    still = texture(5, (96, 128)).astype(float)
    blotches = [cv2.GaussianBlur(rng.normal(0, 1, still.shape[:2]), (0, 0), 6) for _ in range(12)]
    frames = [
        np.clip(still + rng.normal(0, 2) + (blotch / blotch.std() * 2)[..., None], 0, 255).astype(np.uint8)
        for blotch in blotches
    ]
    made = run(frames, corrected)

    def unrest(images: list[np.ndarray]) -> float:
        return float(np.abs(np.diff(np.stack(images[4:]).astype(float), axis=0)).mean())

    def detail(images: list[np.ndarray]) -> float:
        return float(np.mean([cv2.Laplacian(image, cv2.CV_32F).var() for image in images]))

    assert unrest(made) < 0.5 * unrest(frames)
    assert abs(detail(made) / detail(frames) - 1) < 0.1


def test_what_moves_is_brought_along() -> None:
    picture = texture(6, (96, 128))
    frames = [np.roll(picture, 2 * n, axis=1) for n in range(6)]
    made = run(frames, corrected)
    inner = (slice(16, -16), slice(24, -24))
    assert np.abs(made[-1][inner].astype(int) - frames[-1][inner]).mean() < 0.5


def test_other_pictures_are_not_mixed_in() -> None:
    frames = [texture(7), (255 - texture(8)).astype(np.uint8)]
    made = run(frames, corrected)
    ghost = np.abs(made[-1].astype(int) - frames[-1]).mean()
    assert ghost < 0.1 * np.abs(frames[0].astype(int) - frames[1]).mean()


def test_moving_lips_are_left_alone_and_still_ones_are_not() -> None:
    lips = np.array([[20, 24], [32, 18], [44, 24], [32, 30]], np.float32)
    moving, still = (lip_trust(lips, motion, SIZE, 1.0) for motion in (2.0, 0.0))
    np.testing.assert_array_equal(still, 1)
    assert moving[24, 32] == pytest.approx(np.exp(-2), abs=0.02)
    assert moving[0, 0] == pytest.approx(1, abs=1e-3)
