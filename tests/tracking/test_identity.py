"""Observations continue the right chains; chains become people."""

from __future__ import annotations

import numpy as np
import pytest

from dubber.tracking import identity
from dubber.tracking.base import FaceObservation, box_iou
from dubber.tracking.identity import MAX_ABSENCE_FRAMES, FaceLinker, cluster, together
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


def test_long_films_cost_no_more_for_each_frame(monkeypatch: pytest.MonkeyPatch) -> None:
    compared = []

    def count(one: Float32, other: Float32) -> float:
        compared.append(1)
        return box_iou(one, other)

    monkeypatch.setattr(identity, "box_iou", count)
    linker = FaceLinker()
    for frame in range(300):
        assert linker.link([face(200.0 * frame)], frame, 0) == [frame]
    assert len(compared) <= 300 * MAX_ABSENCE_FRAMES


def test_a_cut_needs_a_large_overlap() -> None:
    linker = FaceLinker()
    linker.link([face(0)], 0, 0)
    assert linker.link([face(55)], 1, 1) == [1]
    assert linker.link([face(60)], 2, 2) == [1]


def test_chains_of_one_frame_are_two_people() -> None:
    frames, chains = np.array([0, 0, 1, 2, 2], np.int32), np.array([0, 1, 0, 2, -1], np.int32)
    expected = np.zeros((3, 3), bool)
    expected[0, 1] = expected[1, 0] = True
    np.testing.assert_array_equal(together(frames, chains, 3), expected)


def test_chains_that_look_alike_become_one_person_unless_they_cannot() -> None:
    place = np.array([0, 0.2, 5, 5.3, 0.4])
    distance = np.abs(place[:, None] - place).astype(np.float32)
    nobody = np.zeros((5, 5), bool)
    first = cluster(distance, nobody, 1.0)
    assert first[0] == first[1] == first[4] != first[2] == first[3]
    both = nobody.copy()
    both[0, 4] = both[4, 0] = True
    second = cluster(distance, both, 1.0)
    assert second[0] != second[4]
    assert len(set(second.tolist())) == 3
    assert cluster(distance[:1, :1], nobody[:1, :1], 1.0).tolist() == [0]
