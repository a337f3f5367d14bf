"""Objects before the mouth: found where they are, and nothing found where there are none."""

from __future__ import annotations

import cv2
import numpy as np
import pytest

from dubber.ops.occlusion import occlusion

SIZE = (160, 200)
Y, X = np.mgrid[: SIZE[0], : SIZE[1]]
LIPS = (((X - 100) / 40) ** 2 + ((Y - 80) / 18) ** 2) < 1
SKIN = ((((X - 100) / 85) ** 2 + ((Y - 80) / 65) ** 2) < 1) & ~LIPS


def face(mouth_level: int = 90, light: int = 0) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    noise = np.random.default_rng(mouth_level).normal(0, 3, SIZE)
    y = np.where(LIPS, mouth_level, 150 + 0.1 * X) + light + noise
    u, v = (np.full((80, 100), level, np.uint8) for level in (110, 155))
    return y.astype(np.uint8), u, v


def with_disk(
    planes: tuple[np.ndarray, np.ndarray, np.ndarray], center: tuple[int, int], radius: int
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    y, u, v = (plane.copy() for plane in planes)
    cv2.circle(y, center, radius, 60, -1)
    for plane in (u, v):
        cv2.circle(plane, (center[0] // 2, center[1] // 2), radius // 2, 128, -1)
    return y, u, v


def test_other_lips_and_other_light_are_not_in_the_way() -> None:
    assert occlusion(face(90), face(30), SKIN, LIPS, 1.0) is None
    assert occlusion(face(90), face(220, light=-20), SKIN, LIPS, 1.0) is None


@pytest.mark.parametrize("center", [(150, 95), (60, 60), (100, 120)])
def test_an_object_is_found_where_it_is_and_followed_onto_the_lips(center: tuple[int, int]) -> None:
    film = with_disk(face(200), center, 30)
    found = occlusion(film, face(200), SKIN, LIPS, 1.0)
    assert found is not None
    is_object = ((X - center[0]) ** 2 + (Y - center[1]) ** 2 < 26**2) & (SKIN | LIPS)
    is_far = (X - center[0]) ** 2 + (Y - center[1]) ** 2 > 50**2
    assert (found[is_object] > 0.5).mean() > 0.97
    assert found[is_far].max() < 0.01
    assert 0 <= found.min() <= found.max() <= 1


def test_a_hand_over_all_of_it_is_found_all_over() -> None:
    found = occlusion(with_disk(face(), (100, 80), 100), face(), SKIN, LIPS, 1.0)
    assert found is not None
    assert found[LIPS].mean() > 0.9


def test_without_skin_nothing_is_said() -> None:
    assert occlusion(face(), face(30), np.zeros(SIZE, bool), LIPS, 1.0) is None
