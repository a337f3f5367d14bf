"""Observations are given to the right people, and the main person is the largest and most present."""

from __future__ import annotations

import numpy as np
import pytest

from dubber.tracking.base import FaceObservation, box_iou
from dubber.tracking.identity import MAX_ABSENCE_FRAMES, FaceLinker
from dubber.types import Float32


def box(x: float, y: float, side: float) -> Float32:
    return np.array([x, y, x + side, y + side], np.float32)


def face(x: float, y: float = 0, side: float = 100) -> FaceObservation:
    return FaceObservation(box(x, y, side), np.zeros((1, 3), np.float32), 0.9)


def test_overlap_of_boxes() -> None:
    assert box_iou(box(0, 0, 10), box(0, 0, 10)) == 1
    assert box_iou(box(0, 0, 10), box(10, 0, 10)) == 0
    assert box_iou(box(0, 0, 10), box(5, 0, 10)) == pytest.approx(50 / 150)


def test_two_people_keep_their_numbers_whatever_the_order() -> None:
    linker = FaceLinker()
    for frame in range(20):
        left, right = face(frame * 3.0), face(400 - frame * 3.0)
        pair = [left, right] if frame % 2 == 0 else [right, left]
        assert linker.link(pair, frame, 0) == ([0, 1] if frame % 2 == 0 else [1, 0])


def test_nobody_gets_two_faces() -> None:
    linker = FaceLinker()
    linker.link([face(0)], 0, 0)
    assert sorted(linker.link([face(10), face(20)], 1, 0)) == [0, 1]


def test_a_small_face_may_jump_by_less_than_half_its_size() -> None:
    linker = FaceLinker()
    linker.link([face(0, 0, 20)], 0, 0)
    assert linker.link([face(9, 2, 20)], 1, 0) == [0]
    assert linker.link([face(100, 0, 20)], 2, 0) == [1]


def test_who_was_away_too_long_is_somebody_new() -> None:
    linker = FaceLinker()
    linker.link([face(0)], 0, 0)
    assert linker.link([face(0)], MAX_ABSENCE_FRAMES, 0) == [0]
    assert linker.link([face(0)], 2 * MAX_ABSENCE_FRAMES + 1, 0) == [1]


def test_a_cut_needs_a_large_overlap() -> None:
    linker = FaceLinker()
    linker.link([face(0)], 0, 0)
    assert linker.link([face(55)], 1, 1) == [1]
    assert linker.link([face(60)], 2, 2) == [1]


