"""Head and eyes: what is measured is what moves."""

from __future__ import annotations

import numpy as np
import pytest

from dubber.ops.face_motion import blinks, head_motion
from dubber.ops.landmarks import NOSE_TIP


def face(num_frames, eye_px=100.0):
    landmarks = np.zeros((num_frames, 468, 3), np.float32)
    for outer, inner, upper, lower, x in ((33, 133, 159, 145, 0.0), (263, 362, 386, 374, eye_px)):
        inward = 0.3 * eye_px * (1 if x == 0 else -1)
        landmarks[:, outer, 0], landmarks[:, inner, 0] = x, x + inward
        landmarks[:, upper, 1], landmarks[:, lower, 1] = -0.05 * eye_px, 0.05 * eye_px
    return landmarks


@pytest.mark.parametrize("eye_px", [50.0, 200.0])
def test_motion_does_not_depend_on_the_size_of_the_face(eye_px):
    landmarks = face(6, eye_px)
    landmarks[:, NOSE_TIP, 0] = 0.02 * eye_px * np.arange(6)
    motion = head_motion(landmarks, np.zeros(6, np.int32), np.ones(6, bool))
    assert motion == pytest.approx(np.full(6, 0.02), rel=1e-5)


def test_motion_is_not_taken_across_cuts_or_lost_faces():
    landmarks = face(8)
    landmarks[4:, NOSE_TIP, 0] = 500.0
    landmarks[6:, NOSE_TIP, 0] = 900.0
    has_face = np.array([1, 1, 1, 1, 1, 1, 0, 1], bool)
    motion = head_motion(landmarks, np.array([0, 0, 0, 0, 1, 1, 1, 1]), has_face)
    assert motion == pytest.approx(np.zeros(8))
    assert head_motion(landmarks, np.zeros(8, np.int32), has_face)[2:6] == pytest.approx([0, 2.5, 2.5, 0])


def test_blinks_are_found_and_closed():
    landmarks = face(9)
    for frame in (3, 5):
        landmarks[frame, [159, 145, 386, 374], 1] = 0.0
    assert np.flatnonzero(blinks(landmarks, np.ones(9, bool))).tolist() == [3, 4, 5]
    assert not blinks(landmarks, np.zeros(9, bool)).any()
