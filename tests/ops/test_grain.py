"""Grain: what is missing is made up, no more, and the same each time."""

from __future__ import annotations

import cv2
import numpy as np
import pytest

from dubber.evaluation.metrics import sharpness
from dubber.ops.grain import GrainMatcher

SIZE = (120, 160)
SKIN = np.zeros(SIZE, bool)
SKIN[10:110, 10:70] = True
LIPS = np.zeros(SIZE, bool)
LIPS[30:90, 90:150] = True


def film(seed: int, noise: float = 2.0, is_edgy: bool = True) -> np.ndarray:
    picture = cv2.GaussianBlur(np.random.default_rng(99).normal(0, 40, SIZE), (0, 0), 2.5) + 120
    if is_edgy:
        picture[40:80:8, 95:145] -= 40
    return np.clip(picture + np.random.default_rng(seed).normal(0, noise, SIZE), 0, 255).astype(np.uint8)


def matched(patches: list[np.ndarray], films: list[np.ndarray], strength: float = 1.0) -> list[np.ndarray]:
    matcher = GrainMatcher(strength)
    return [
        matcher.match(patch, real, SKIN, LIPS, n)
        for n, (patch, real) in enumerate(zip(patches, films, strict=True))
    ]


@pytest.mark.parametrize("blur_px", [0.5, 0.7, 1.5])
def test_blurred_pictures_come_back_to_the_films_level(blur_px: float) -> None:
    films = [film(n) for n in range(6)]
    patches = [cv2.GaussianBlur(film(n + 50), (0, 0), blur_px) for n in range(6)]
    before, after = (
        sharpness(pictures[-1], SKIN) / sharpness(films[-1], SKIN)
        for pictures in (patches, matched(patches, films))
    )
    assert before < 0.6
    assert after == pytest.approx(1, abs=0.12)


def test_half_the_strength_makes_up_half() -> None:
    films, patches = [film(0)], [cv2.GaussianBlur(film(1), (0, 0), 1.0)]
    energies = [sharpness(matched(patches, films, strength)[0], SKIN) for strength in (0, 0.5, 1)]
    assert energies[0] == sharpness(patches[0], SKIN)
    assert energies[1] == pytest.approx((energies[0] + energies[2]) / 2, rel=0.1)


def test_nothing_is_added_to_what_is_as_noisy_or_noisier() -> None:
    noisy = film(1, noise=4)
    assert (matched([noisy], [film(0, noise=2)])[0] == noisy).all()


def test_noise_is_fresh_in_time_and_the_same_each_time() -> None:
    films = [film(0)] * 2
    flat = [cv2.GaussianBlur(film(1), (0, 0), 3.0)] * 2
    first, second = matched(flat, films)
    assert (first != second).mean() > 0.5
    again, _ = matched(flat, films)
    assert (first == again).all()


def test_lips_get_no_noise_but_their_edges() -> None:
    films, patches = [film(0)], [cv2.GaussianBlur(film(1), (0, 0), 1.0)]
    made = matched(patches, films)[0]
    assert sharpness(patches[0], LIPS) < sharpness(made, LIPS) < 1.3 * sharpness(films[0], LIPS)


def test_the_energy_of_a_hand_on_the_face_is_bounded() -> None:
    covered = film(0)
    covered[10:110, 10:70] = np.random.default_rng(0).integers(0, 256, (100, 60))
    made = matched([film(1)], [covered])[0]
    assert np.abs(made.astype(int) - film(1)).mean() < 6


def test_too_little_skin_says_nothing() -> None:
    patch, nowhere = film(1), np.zeros(SIZE, bool)
    assert (GrainMatcher(1.0).match(patch, film(0, 9), nowhere, nowhere, 0) == patch).all()
