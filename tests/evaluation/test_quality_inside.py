"""Teeth that hold together, and teeth that are others in each frame."""

from __future__ import annotations

from collections.abc import Iterator

import cv2
import numpy as np
import pytest

from dubber.evaluation.quality_inside import LEAST_FILMED, Inside
from dubber.types import Float32, UInt8

CENTER = np.array([190.0, 240.0])


def lips(opening_px: float) -> Float32:
    """(39, 2) an almond of lips around another one; the jaw is not looked at."""
    landmarks_M2 = np.zeros((39, 2), np.float32)
    for start, count, width, height in ((0, 12, 36, opening_px / 2 + 8), (12, 8, 30, opening_px / 2)):
        angle = np.pi + 2 * np.pi * np.arange(count) / count
        ring = np.stack([width * np.cos(angle), height * np.sin(angle)], axis=1)
        landmarks_M2[start : start + count] = CENTER + ring
    return landmarks_M2


def mouth(opening_px: float, teeth: UInt8) -> UInt8:
    """(384, 384, 3) a face of one colour, whose mouth shows teeth."""
    crop = np.full((384, 384, 3), (180, 130, 110), np.uint8)
    shown = np.zeros((384, 384), np.uint8)
    cv2.fillPoly(shown, [np.rint(lips(opening_px)[12:20]).astype(np.int32)], (1,))
    picture = np.zeros_like(crop)
    picture[200:280, 140:240] = teeth[..., None]
    return np.asarray(np.where(shown[..., None] > 0, picture, crop), np.uint8)


def teeth(seed: int) -> UInt8:
    """(80, 100) blotches, some px wide."""
    noise = np.random.default_rng(seed).normal(size=(80, 100)).astype(np.float32)
    soft = cv2.GaussianBlur(noise, (0, 0), 3)
    return np.asarray(np.clip(128 + 50 * soft / soft.std(), 0, 255), np.uint8)


def talk(num_frames: int, *, first: int = 0) -> Iterator[tuple[int, float]]:
    """Frames and openings of a mouth that opens and shuts."""
    for n in range(first, first + num_frames):
        yield n, 18 + 8 * np.sin(n / 4)


def watched(teeth_of_frame: list[int], num_filmed: int = 60) -> Inside:
    inside = Inside()
    for n, opening_px in talk(num_filmed):
        crop = mouth(opening_px, np.roll(teeth(0), n % 3, axis=1))
        inside.add_filmed(n, crop, lips(opening_px))
    for seed, (n, opening_px) in zip(teeth_of_frame, talk(len(teeth_of_frame), first=1), strict=True):
        inside.add_made(n, mouth(opening_px, np.roll(teeth(seed), n % 3, axis=1)), lips(opening_px))
    return inside


def test_teeth_that_stay_the_same_are_as_filmed_and_others_in_each_frame_are_not() -> None:
    steady, torn = watched([0] * 40).ratio(), watched(list(range(40))).ratio()
    assert steady is not None and torn is not None
    assert steady == pytest.approx(1, abs=0.1)
    assert torn > 2


def test_few_open_mouths_say_nothing() -> None:
    assert watched([0] * 10).ratio() is None
    assert watched([0] * 40, num_filmed=LEAST_FILMED).ratio() is None  # the first and last have one neighbour
    shut = Inside()
    for n in range(60):
        shut.add_filmed(n, mouth(2, teeth(0)), lips(2))
        shut.add_made(n, mouth(2, teeth(n)), lips(2))
    assert shut.ratio() is None


def test_frames_behind_a_gap_are_no_neighbours() -> None:
    inside = watched([0] * 40)
    before = inside.ratio()
    for n in range(100, 140, 2):
        inside.add_made(n, mouth(20, teeth(n)), lips(20))
    assert inside.ratio() == before
