"""Cuts and dissolves are found; motion, noise, flashes, fades and lighting are none."""

from __future__ import annotations

import cv2
import numpy as np
import pytest

from dubber.ops.shots import CutDetector, ShotFinder
from dubber.types import UInt8


def scene(seed: int, size: tuple[int, int] = (90, 160)) -> UInt8:
    """A picture of smooth blobs whose colours belong to this scene."""
    rng = np.random.default_rng(seed)
    small = rng.integers(0, 256, (6, 8, 3)).astype(np.uint8)
    tint = rng.uniform(0.3, 1.0, 3)
    large = cv2.resize(small, (3 * size[1], size[0]), interpolation=cv2.INTER_CUBIC)
    return (large * tint).astype(np.uint8)


def shots(frames: list[UInt8]) -> tuple[list[int], list[int]]:
    """Frames that start a shot, as far as the end tells; and those that show two."""
    finder = ShotFinder()
    for frame in frames:
        finder.add(frame)
    shot_id_T, is_mixed_T = finder.shots()
    return (np.flatnonzero(np.diff(shot_id_T)) + 1).tolist(), np.flatnonzero(is_mixed_T).tolist()


def cuts(frames: list[UInt8]) -> list[int]:
    """Frames that start a shot, told at once and in the end; both agree."""
    detector = CutDetector()
    at_once = [index for index, frame in enumerate(frames) if detector.is_cut(frame)]
    assert shots(frames) == (at_once, [])
    return at_once


def noisy(frame: UInt8, rng: np.random.Generator) -> UInt8:
    return np.clip(frame + rng.normal(0, 4, frame.shape), 0, 255).astype(np.uint8)


def test_a_cut_is_found_at_its_first_frame() -> None:
    rng = np.random.default_rng(0)
    frames = [noisy(scene(seed)[:, :160], rng) for seed in (1, 2, 3) for _ in range(8)]
    assert cuts(frames) == [8, 16]


def test_a_shot_of_two_frames_is_seen() -> None:
    frames = [scene(1)[:, :160]] * 5 + [scene(2)[:, :160]] * 2 + [scene(3)[:, :160]] * 5
    assert cuts(frames) == [5, 7]


def test_a_fast_pan_is_no_cut() -> None:
    wide = scene(4)
    rng = np.random.default_rng(0)
    frames = [noisy(wide[:, 12 * k : 12 * k + 160], rng) for k in range(25)]
    assert cuts(frames) == []


def test_motion_that_starts_suddenly_is_no_cut() -> None:
    wide = scene(5)
    frames = [wide[:, :160]] * 10 + [wide[:, 15 * k : 15 * k + 160] for k in range(1, 15)]
    assert cuts(frames) == []


def test_a_cut_during_motion_is_found() -> None:
    first, second = scene(6), scene(7)
    frames = [first[:, 6 * k : 6 * k + 160] for k in range(12)] + [
        second[:, 6 * k : 6 * k + 160] for k in range(12)
    ]
    assert cuts(frames) == [12]


def test_a_fade_is_no_cut() -> None:
    picture = scene(8)[:, :160]
    frames = [(picture * share).astype(np.uint8) for share in np.linspace(1, 0.1, 25)]
    assert cuts(frames) == []


def test_the_first_frame_is_no_cut() -> None:
    assert cuts([scene(9)]) == []


def test_a_flash_is_no_cut() -> None:
    picture = scene(10)[:, :160] // 2
    frames = [picture.copy() for _ in range(20)]
    frames[9] = picture + 120
    frames[10] = picture + 50
    assert shots(frames) == ([], [])


def test_a_cut_between_two_people_before_one_wall_is_found() -> None:
    wall = scene(11)[:, :160]
    people = []
    for seed in (12, 13):
        person = wall.copy()
        person[20:90, 50:110] = scene(seed)[20:90, 50:110]
        people.append(person)
    rng = np.random.default_rng(0)
    frames = [noisy(people[index // 10], rng) for index in range(20)]
    assert shots(frames) == ([10], [])


def test_black_between_two_scenes_is_a_shot_of_its_own() -> None:
    frames = [scene(14)[:, :160]] * 6 + [np.zeros((90, 160, 3), np.uint8)] * 3 + [scene(15)[:, :160]] * 6
    assert shots(frames) == ([6, 9], [])


@pytest.mark.parametrize("length", [6, 12, 25])
def test_a_dissolve_is_one_cut_and_its_frames_show_two_shots(length: int) -> None:
    first, second = scene(16)[:, :160], scene(17)[:, :160]
    shares = np.linspace(0, 1, length + 2)[1:-1]
    between = [(first * (1 - share) + second * share).astype(np.uint8) for share in shares]
    starts, mixed = shots([first] * 30 + between + [second] * 30)
    assert len(starts) == 1
    assert abs(starts[0] - (30 + length / 2)) <= 2
    assert set(mixed) <= set(range(30, 30 + length))
    assert len(mixed) >= 0.7 * length


def test_frames_in_no_number_have_no_shots() -> None:
    shot_id_T, is_mixed_T = ShotFinder().shots()
    assert len(shot_id_T) == len(is_mixed_T) == 0
