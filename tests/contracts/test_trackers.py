"""What every face tracker promises; rows skip where the models they need are absent."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from functools import cache
from pathlib import Path

import cv2
import numpy as np
import pytest

from dubber.ops.align import similarity_to_mean_face
from dubber.ops.landmarks import EYE_CORNERS, MOUTH_JAW, NOSE_TIP
from dubber.tracking.backends import TrackerName, make_tracker
from dubber.tracking.base import FaceObservation, FaceTracker, RgbPicture
from dubber.tracking.regions import landmarks_box
from dubber.types import NUM_TRACKER_LANDMARKS, Float32, UInt8
from tests.conftest import real_model
from tests.synth import puppet, talking_poses, wall

LOOK_SIDE_PX = 640
TIMES_S = np.arange(6) / 25

_ROWS: dict[str, tuple[TrackerName, str]] = {
    "mediapipe": ("mediapipe", ""),
    "insightface, any size": ("insightface", "insightface/scrfd_500m.onnx"),
    "insightface, one size": ("insightface", "insightface/scrfd_500m_bnkps.onnx"),
    "mediapipe-tasks": ("mediapipe-tasks", "face_landmarker_v2_with_blendshapes.task"),
}


@dataclass(frozen=True)
class Row:
    """A tracker and how to make it."""

    name: TrackerName
    models: tuple[Path, ...]

    def make(self) -> FaceTracker:
        return make_tracker(self.name, look_side_px=LOOK_SIDE_PX, models=self.models)


@pytest.fixture(scope="module", params=_ROWS)
def row(request: pytest.FixtureRequest) -> Row:
    name, model = _ROWS[request.param]
    if name == "insightface":
        pytest.importorskip("onnxruntime")
    return Row(name, (real_model(model),) if model else ())


@pytest.fixture(scope="module")
def shared_tracker(row: Row) -> Iterator[FaceTracker]:
    with row.make() as made:
        yield made


@pytest.fixture
def tracker(shared_tracker: FaceTracker) -> FaceTracker:
    """A tracker that has seen things, and was told to forget them."""
    shared_tracker.reset()
    return shared_tracker


@dataclass(frozen=True)
class Shown:
    """A picture with faces, and where their landmarks truly are."""

    rgb: UInt8
    landmarks_FL2: Float32


@cache
def speaker(frame: int) -> tuple[UInt8, Float32]:
    """The synthetic speaker, 480 x 480, and its (468, 2) landmarks."""
    pose_P = talking_poses(TIMES_S)[frame]
    return puppet().frame(pose_P), puppet().landmarks(pose_P)


def shown(*places: tuple[int, int, int], size: tuple[int, int] = (480, 480), frame: int = 0) -> Shown:
    """The speaker at (x, y, side) in a picture of a (height, width); it may reach over the border."""
    drawing, landmarks_L2 = speaker(frame)
    canvas = wall(size)
    truth = []
    for x, y, side in places:
        drawn = cv2.resize(drawing, (side, side), interpolation=cv2.INTER_AREA)
        left, top = max(x, 0), max(y, 0)
        inside = drawn[top - y : size[0] - y, left - x : size[1] - x]
        canvas[top : top + inside.shape[0], left : left + inside.shape[1]] = inside
        truth.append(landmarks_L2 * side / 480 + [x, y])
    return Shown(canvas, np.array(truth, np.float32))


def seen_in(tracker: FaceTracker, rgb: UInt8, time_s: float = 0.0) -> list[FaceObservation]:
    return tracker.track(RgbPicture(rgb), time_s)


def crop_px(found: Float32, truth: Float32) -> Float32:
    """Distances of landmarks, px of the 384 crop."""
    face_1L3 = np.concatenate([truth[:, :2], np.zeros((len(truth), 1), np.float32)], axis=1)[None]
    scale = np.sqrt(abs(np.linalg.det(similarity_to_mean_face(face_1L3, np.array([True]))[0][:, :2])))
    return np.asarray(np.linalg.norm(found[:, :2] - truth[:, :2], axis=1) * scale, np.float32)


def test_an_observation_is_what_it_says(tracker: FaceTracker) -> None:
    picture = shown((0, 0, 480))
    (face,) = seen_in(tracker, picture.rgb)
    points = face.landmarks_L3
    assert points.shape == (NUM_TRACKER_LANDMARKS, 3)
    assert points.dtype == face.box_4.dtype == np.float32
    np.testing.assert_array_equal(face.box_4, landmarks_box(points))
    assert (points[:, :2] >= 0).all() and (points[:, :2] < 480).all()
    assert 0.5 <= face.score <= 1
    eyes, tip = points[EYE_CORNERS], points[NOSE_TIP]
    assert (np.diff(eyes[:, 0]) > 0).all(), "the person's right eye is on the left of the picture"
    assert tip[2] < eyes[:, 2].min(), "depth is negative towards the camera"
    breadth = face.box_4[2] - face.box_4[0]
    assert 0.2 * breadth < np.ptp(points[:, 2]) < 1.5 * breadth, "depth is in px, as x and y"


def test_landmarks_lie_where_they_truly_are(tracker: FaceTracker) -> None:
    errors = []
    for index, time_s in enumerate(TIMES_S):
        picture = shown((0, 0, 480), frame=index)
        (face,) = seen_in(tracker, picture.rgb, time_s)
        errors.append(crop_px(face.landmarks_L3, picture.landmarks_FL2[0]))
    errors_TL = np.array(errors)
    assert np.median(errors_TL) < 3
    assert np.median(errors_TL[:, MOUTH_JAW]) < 4


def test_the_same_frames_give_the_same_numbers(row: Row, tracker: FaceTracker) -> None:
    pictures = [shown((0, 0, 480), frame=index).rgb for index in range(len(TIMES_S))]
    first = [seen_in(tracker, rgb, time_s) for rgb, time_s in zip(pictures, TIMES_S, strict=True)]
    with row.make() as fresh:
        second = [seen_in(fresh, rgb, time_s) for rgb, time_s in zip(pictures, TIMES_S, strict=True)]
    for faces, others in zip(first, second, strict=True):
        assert len(faces) == len(others) == 1
        np.testing.assert_array_equal(faces[0].landmarks_L3, others[0].landmarks_L3)
        assert faces[0].score == others[0].score


def test_nothing_is_found_where_there_is_nobody(tracker: FaceTracker) -> None:
    noise = np.random.default_rng(0).integers(0, 256, (120, 160, 3)).astype(np.uint8)
    for picture in (wall((240, 320)), noise, np.zeros((30, 40, 3), np.uint8)):
        assert seen_in(tracker, picture) == []


def test_a_face_that_leaves_is_let_go_and_one_that_comes_is_found(tracker: FaceTracker) -> None:
    with_face = shown((0, 0, 480)).rgb
    counts = [len(seen_in(tracker, rgb)) for rgb in (with_face, wall((480, 480)), with_face)]
    assert counts == [1, 0, 1]


def test_several_faces_are_told_apart(tracker: FaceTracker) -> None:
    picture = shown((0, 40, 360), (420, 120, 280), size=(480, 720))
    faces = sorted(seen_in(tracker, picture.rgb), key=lambda face: float(face.box_4[0]))
    assert len(faces) == 2
    for face, truth_L2 in zip(faces, picture.landmarks_FL2, strict=True):
        assert np.median(crop_px(face.landmarks_L3, truth_L2)) < 4


def test_a_face_at_the_border_is_found(tracker: FaceTracker) -> None:
    whole = shown((0, 0, 480))
    cut_px = int(whole.landmarks_FL2[0, :, 0].min()) + 20
    picture = shown((-cut_px, 0, 480))
    (face,) = seen_in(tracker, picture.rgb)
    truth_L2 = picture.landmarks_FL2[0]
    in_picture_L = truth_L2[:, 0] > 20
    assert np.median(crop_px(face.landmarks_L3, truth_L2)[in_picture_L]) < 6


@pytest.mark.parametrize("breadth_px", [70, 1000])
def test_faces_of_any_size_are_found(tracker: FaceTracker, breadth_px: int) -> None:
    """In pictures of 720 and of 1080 lines."""
    true_breadth = np.ptp(shown((0, 0, 480)).landmarks_FL2[0, :, 0])
    side = round(480 * breadth_px / true_breadth)
    size = (720, 1280) if breadth_px < 500 else (1080, 1920)
    left, top = (700, 200) if breadth_px < 500 else ((1920 - side) // 2, (1080 - side) // 2)
    picture = shown((left, top, side), size=size)
    (face,) = seen_in(tracker, picture.rgb)
    assert np.median(crop_px(face.landmarks_L3, picture.landmarks_FL2[0])) < 6
    assert face.box_4[2] - face.box_4[0] == pytest.approx(breadth_px, rel=0.1)


def test_colours_are_not_needed(tracker: FaceTracker) -> None:
    picture = shown((0, 0, 480))
    grey = cv2.cvtColor(picture.rgb, cv2.COLOR_RGB2GRAY)
    (face,) = seen_in(tracker, np.repeat(grey[..., None], 3, axis=2))
    assert np.median(crop_px(face.landmarks_L3, picture.landmarks_FL2[0])) < 4


def test_a_turned_head_is_followed(tracker: FaceTracker) -> None:
    picture = shown((0, 0, 480))
    turn = cv2.getRotationMatrix2D((240, 240), 25, 1)
    rgb = cv2.warpAffine(picture.rgb, turn, (480, 480), borderMode=cv2.BORDER_REPLICATE)
    truth_L2 = picture.landmarks_FL2[0] @ turn[:, :2].T + turn[:, 2]
    (face,) = seen_in(tracker, np.asarray(rgb, np.uint8))
    assert np.median(crop_px(face.landmarks_L3, truth_L2)) < 5


@cache
def seen_by_default() -> FaceObservation:
    with make_tracker("mediapipe", look_side_px=LOOK_SIDE_PX) as default:
        (face,) = seen_in(default, shown((60, 20, 420), size=(480, 640)).rgb)
    return face


def test_backends_agree(tracker: FaceTracker) -> None:
    picture, expected = shown((60, 20, 420), size=(480, 640)), seen_by_default()
    (face,) = seen_in(tracker, picture.rgb)
    distances_L = crop_px(face.landmarks_L3, expected.landmarks_L3)
    assert np.median(distances_L) < 3 and np.percentile(distances_L, 95) < 8
    depth_L = np.abs(face.landmarks_L3[:, 2] - expected.landmarks_L3[:, 2])
    assert np.median(depth_L) < 0.05 * (expected.box_4[2] - expected.box_4[0])


def test_networks_are_freed_at_the_end(row: Row) -> None:
    with row.make() as made:
        pass
    with pytest.raises((RuntimeError, ValueError)):
        seen_in(made, shown((0, 0, 480)).rgb)
