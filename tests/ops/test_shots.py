"""Cuts are found; motion, noise, fades and lighting are none."""

from __future__ import annotations

import cv2
import numpy as np

from dubber.ops.shots import CutDetector
from dubber.types import UInt8


def scene(seed: int, size: tuple[int, int] = (90, 160)) -> UInt8:
    """A picture of smooth blobs whose colours belong to this scene."""
    rng = np.random.default_rng(seed)
    small = rng.integers(0, 256, (6, 8, 3)).astype(np.uint8)
    tint = rng.uniform(0.3, 1.0, 3)
    large = cv2.resize(small, (3 * size[1], size[0]), interpolation=cv2.INTER_CUBIC)
    return (large * tint).astype(np.uint8)


def cuts(frames: list[UInt8]) -> list[int]:
    detector = CutDetector()
    return [index for index, frame in enumerate(frames) if detector.is_cut(frame)]


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
