"""The default tracker on real footage: small faces, repeatable numbers, nothing said."""

from __future__ import annotations

import numpy as np
import pytest

from dubber.media.frame import Frame
from dubber.media.probe import probe
from dubber.media.reader import read_frames
from dubber.ops.landmarks import EYE_CORNERS, NOSE_TIP
from dubber.tracking.base import FaceObservation, RgbPicture
from dubber.tracking.mediapipe_mesh import MediapipeMeshTracker
from dubber.tracking.regions import landmarks_box
from dubber.types import NUM_TRACKER_LANDMARKS
from tests.conftest import real_clip


def first_frames(name: str, count: int) -> list[Frame]:
    path = real_clip(name)
    return list(read_frames(path, probe(path), 0, count))


def test_nothing_is_found_where_there_is_nobody(capfd: pytest.CaptureFixture[str]) -> None:
    noise = np.random.default_rng(0).integers(0, 256, (120, 160, 3)).astype(np.uint8)
    with MediapipeMeshTracker() as tracker:
        assert tracker.track(RgbPicture(noise), 0.0) == []
        assert tracker.track(RgbPicture(np.zeros((30, 40, 3), np.uint8)), 0.04) == []
    assert capfd.readouterr().err == ""


def test_a_face_is_followed_quietly_and_the_same_way_twice(capfd: pytest.CaptureFixture[str]) -> None:
    frames = first_frames("dev/grid_s1/bbir7s.mp4", 6)
    seen = []
    for _ in range(2):
        with MediapipeMeshTracker() as tracker:
            seen.append([tracker.track(frame, index / 25) for index, frame in enumerate(frames)])
    assert capfd.readouterr().err == ""
    for first, second in zip(*seen, strict=True):
        assert len(first) == len(second) == 1
        np.testing.assert_array_equal(first[0].landmarks_L3, second[0].landmarks_L3)
    observation = seen[0][-1][0]
    assert observation.landmarks_L3.shape == (NUM_TRACKER_LANDMARKS, 3)
    np.testing.assert_array_equal(observation.box_4, landmarks_box(observation.landmarks_L3))
    corners, tip = observation.landmarks_L3[EYE_CORNERS], observation.landmarks_L3[NOSE_TIP]
    assert (np.diff(corners[:, 0]) > 0).all()
    assert tip[1] > corners[:, 1].max()
    assert tip[2] < corners[:, 2].min(), "depth is negative towards the camera"
    assert 0.5 < observation.score <= 1


def test_a_small_face_in_a_large_picture_is_found() -> None:
    (frame,) = first_frames("dev/podium_720.mp4", 1)
    with MediapipeMeshTracker() as tracker:
        (observation,) = tracker.track(frame, 0.0)
    width = observation.box_4[2] - observation.box_4[0]
    assert width < 0.12 * frame.size[1]


def test_a_face_at_the_border_and_after_a_reset() -> None:
    (frame,) = first_frames("dev/grid_s1/bbir7s.mp4", 1)
    with MediapipeMeshTracker() as tracker:
        (whole,) = tracker.track(frame, 0.0)
        tracker.reset()
        left = int(whole.box_4[0] + 5) // 2 * 2
        height, width = frame.size
        (cut,) = tracker.track(frame.part((left, 0, width, height)), 0.04)
    np.testing.assert_allclose(
        cut.landmarks_L3[NOSE_TIP, :2] + [left, 0], whole.landmarks_L3[NOSE_TIP, :2], atol=4
    )


def test_colours_may_come_from_planes_or_from_rgb() -> None:
    (frame,) = first_frames("dev/grid_s1/bbir7s.mp4", 1)
    seen: list[FaceObservation] = []
    for picture in (frame, RgbPicture(frame.rgb())):
        with MediapipeMeshTracker() as tracker:
            seen += tracker.track(picture, 0.0)
    np.testing.assert_allclose(seen[0].landmarks_L3, seen[1].landmarks_L3, atol=1e-3)


def test_a_large_face_is_found_where_it_is_in_a_smaller_picture() -> None:
    (frame,) = first_frames("hard/lean_1080.mp4", 1)
    height, width = frame.size
    half = RgbPicture(frame.rgb((height // 2, width // 2)))
    with MediapipeMeshTracker() as tracker:
        (whole,) = tracker.track(frame, 0.0)
        tracker.reset()
        (small,) = tracker.track(half, 0.04)
    box_4 = whole.box_4
    distance_L = np.linalg.norm(whole.landmarks_L3[:, :2] - 2 * small.landmarks_L3[:, :2], axis=1)
    assert distance_L.max() < 0.03 * (box_4[2] - box_4[0])


def test_landmarks_do_not_jump_where_the_mesh_sees_a_face_at_half_its_size() -> None:
    """From a region of twice the mesh's side on, pixels are averaged before it looks."""
    (frame,) = first_frames("dev/glasses_582.mp4", 1)
    height, width = frame.size
    centres = []
    for factor in np.linspace(0.8, 1.3, 11):
        size = round(height * factor), round(width * factor)
        with MediapipeMeshTracker() as tracker:
            (seen,) = tracker.track(RgbPicture(frame.rgb(size)), 0.0)
        centres.append(seen.landmarks_L3[:, :2].mean(0) * [width / size[1], height / size[0]])
    steps = np.abs(np.diff(centres, axis=0)).max(1)
    assert steps.max() < 0.35, steps


def test_a_face_that_moves_fast_is_kept() -> None:
    (frame,) = first_frames("dev/grid_s1/bbir7s.mp4", 1)
    rgb = frame.rgb()
    step = 0.3
    with MediapipeMeshTracker() as tracker:
        (before,) = tracker.track(RgbPicture(rgb), 0.0)
        shift = round(step * float(before.box_4[2] - before.box_4[0]))
        (after,) = tracker.track(RgbPicture(np.roll(rgb, -shift, axis=1)), 0.04)
    moved_L2 = before.landmarks_L3[:, :2] - after.landmarks_L3[:, :2]
    np.testing.assert_allclose(np.median(moved_L2, axis=0), [shift, 0], atol=2)


def test_what_only_the_far_detector_takes_for_a_face_is_none() -> None:
    path = real_clip("hard/no_face.mp4")
    with MediapipeMeshTracker() as tracker:
        assert not any(tracker.track(frame, 0.0) for frame in read_frames(path, probe(path)))
