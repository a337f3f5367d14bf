"""The default tracker: MediaPipe's face detector and attention mesh, whose models lie inside its wheel.

The detector for the full range looks over the whole picture, made small, now and then. Each face it finds is
followed by the mesh, which looks at a square region around where the face was in the frame before. Regions
are made as MediaPipe's own face tracking makes them, but here, since that one needs all of every picture.
"""

from __future__ import annotations

import contextlib
import os
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from types import TracebackType
from typing import Any

import numpy as np

from dubber.tracking.base import FaceObservation, Picture, box_iou
from dubber.types import NUM_TRACKER_LANDMARKS, Float32, UInt8

MAX_FACES = 4
"""How many people are followed at a time."""

LOOK_EVERY_FRAMES = 8
"""How often the whole picture is searched for faces that came in."""

LOOK_SIDE_PX = 640
"""Longer side of the picture that is searched. The detector's network sees 192 px; from 480 on downward faces
are missed that are found in larger pictures.
"""

NUM_PASSES = 2
"""How often the mesh looks at a frame, the second time at the region that the first look tells: the face is
better framed, and the mean of both trembles less.
"""

REGION_SCALE = 1.5
"""Side of the mesh's region in units of the longer side of the box around landmarks or detection. Source:
MediaPipe, face_landmark_landmarks_to_roi.pbtxt and face_detection_front_detection_to_roi.pbtxt.
"""

MESH_SIDE_PX = 192
"""Side of the picture that the mesh's network takes. A region at least twice as large is made smaller by a
whole number before the network's pixels are sampled from it.
"""

CLOSE_SCALE = 1.3
"""Side of the window in which a face that was found is looked at closely, in units of the region's."""

WINDOW_MARGIN = 1.15
"""Side of the window whose colours are made, in units of the region's extent: a second look stays inside."""

MIN_DETECTION_SCORE = 0.5
SAME_FACE_IOU = 0.3

_EYE_CORNERS = [33, 263]
"""The outer corners of the right and of the left eye, which tell how a region is turned. Source: as
`REGION_SCALE`.
"""


@contextlib.contextmanager
def quiet_native_stderr() -> Iterator[None]:
    """Swallow what native code writes to file descriptor 2.

    MediaPipe's start-up chatter ignores every log level.
    """
    sys.stderr.flush()
    kept = os.dup(2)
    sink = os.open(os.devnull, os.O_WRONLY)
    try:
        os.dup2(sink, 2)
        yield
    finally:
        os.dup2(kept, 2)
        os.close(kept)
        os.close(sink)


def landmarks_box(landmarks_L3: Float32) -> Float32:
    """(4,) the box around landmarks."""
    xy_L2 = landmarks_L3[:, :2]
    return np.asarray(np.concatenate([xy_L2.min(axis=0), xy_L2.max(axis=0)]), np.float32)


@dataclass(frozen=True)
class _Region:
    """The turned square that the mesh looks at.

    Attributes:
        centre_2: (2,) px of the picture.
        side_px: Side.
        turn: Clockwise, radians: that of the line between the eyes.
    """

    centre_2: Float32
    side_px: float
    turn: float

    @classmethod
    def around(cls, box_4: Float32, right_eye_2: Float32, left_eye_2: Float32) -> _Region:
        """The region of a face. The right eye is the one on the picture's left."""
        across_2 = left_eye_2 - right_eye_2
        return cls(
            (box_4[:2] + box_4[2:]) / 2,
            REGION_SCALE * float((box_4[2:] - box_4[:2]).max()),
            float(np.arctan2(across_2[1], across_2[0])),
        )

    @classmethod
    def of_landmarks(cls, landmarks_L3: Float32) -> _Region:
        """The region in which to look for a face that was found."""
        eyes_22 = landmarks_L3[_EYE_CORNERS, :2]
        return cls.around(landmarks_box(landmarks_L3), *eyes_22)

    @property
    def extent_px(self) -> float:
        """Side of the upright square around it."""
        return self.side_px * float(abs(np.cos(self.turn)) + abs(np.sin(self.turn)))


@dataclass(frozen=True)
class _Window:
    """An upright square of a picture, black where it reaches over the border.

    Attributes:
        rgb_SS3: (S, S, 3) uint8 RGB.
        corner_2: (2,) its upper left corner, px of the picture.
        shrink: Px of the picture per px of the window.
    """

    rgb_SS3: UInt8
    corner_2: Float32
    shrink: int

    @classmethod
    def around(cls, picture: Picture, region: _Region) -> _Window | None:
        """The window of a region; None where that lies outside the picture.

        Its corners are multiples of so many px that samples of chroma and of the smaller picture never
        straddle them.
        """
        shrink = max(1, int(region.side_px / MESH_SIDE_PX))
        grid = 2 * shrink
        extent = region.extent_px * WINDOW_MARGIN
        left, top = (int((value - extent / 2) // grid) * grid for value in region.centre_2)
        side = (int(extent // grid) + 2) * grid
        height, width = (length // grid * grid for length in picture.size)
        x0, y0, x1, y1 = max(left, 0), max(top, 0), min(left + side, width), min(top + side, height)
        if x1 <= x0 or y1 <= y0:
            return None
        rgb = picture.part((x0, y0, x1, y1)).rgb(((y1 - y0) // shrink, (x1 - x0) // shrink))
        window = np.zeros((side // shrink, side // shrink, 3), np.uint8)
        x, y = (x0 - left) // shrink, (y0 - top) // shrink
        window[y : y + rgb.shape[0], x : x + rgb.shape[1]] = rgb
        return cls(window, np.array([left, top], np.float32), shrink)

    @property
    def side_px(self) -> int:
        """Side, px of the picture."""
        return len(self.rgb_SS3) * self.shrink

    def holds(self, region: _Region) -> bool:
        """Whether all of a region lies inside."""
        distance_2 = np.abs(region.centre_2 - self.corner_2 - self.side_px / 2)
        return bool((distance_2 + region.extent_px / 2).max() <= self.side_px / 2)


class _Mesh:
    """MediaPipe's attention mesh; it remembers nothing."""

    def __init__(self) -> None:
        from mediapipe.framework.calculator_pb2 import CalculatorGraphConfig
        from mediapipe.framework.formats.rect_pb2 import NormalizedRect
        from mediapipe.python.solution_base import SolutionBase

        mesh = CalculatorGraphConfig.Node(
            calculator="FaceLandmarkCpu",
            input_stream=["IMAGE:image", "ROI:region"],
            input_side_packet=["WITH_ATTENTION:with_attention"],
            output_stream=["LANDMARKS:landmarks"],
        )
        graph = CalculatorGraphConfig(
            input_stream=["image", "region"],
            input_side_packet=["with_attention"],
            output_stream=["landmarks"],
            node=[mesh],
        )
        self._region_type = NormalizedRect
        self._graph = SolutionBase(
            graph_config=graph, side_inputs={"with_attention": True}, outputs=["landmarks"]
        )

    def close(self) -> None:
        self._graph.close()

    def landmarks(self, window: _Window, region: _Region) -> Float32 | None:
        """(L, 3) landmarks, px of the picture; None where there is no face."""
        x, y = (region.centre_2 - window.corner_2) / window.side_px
        side = region.side_px / window.side_px
        place = self._region_type(x_center=x, y_center=y, width=side, height=side, rotation=region.turn)
        found = self._graph.process({"image": window.rgb_SS3, "region": place}).landmarks
        if found is None:
            return None
        points = [(point.x, point.y, point.z) for point in found.landmark[:NUM_TRACKER_LANDMARKS]]
        # MediaPipe gives x, y and z in sides of the window.
        landmarks_L3 = np.array(points, np.float32) * window.side_px
        # Shrinking by n moves what the mesh takes for a pixel's centre by (n - 1) / 2 px.
        landmarks_L3[:, :2] += window.corner_2 + (window.shrink - 1) / 2
        return landmarks_L3


@dataclass
class _Followed:
    """A face that is being followed: where it was, how sure the detector was."""

    region: _Region
    box_4: Float32
    score: float


_Found = tuple[_Followed, FaceObservation]


class MediapipeMeshTracker:
    """See the module.

    Args:
        max_faces: How many people are followed at a time.
        look_side_px: Longer side of the pictures that are searched for faces.
    """

    def __init__(self, max_faces: int = MAX_FACES, look_side_px: int = LOOK_SIDE_PX) -> None:
        self._max_faces = max_faces
        self._look_side_px = look_side_px
        self._followed: list[_Followed] = []
        self._frames_until_look = 0
        with quiet_native_stderr():
            os.environ.setdefault("GLOG_minloglevel", "2")
            os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "2")
            from mediapipe.python.solutions.face_detection import FaceDetection

            self._far, self._near = (
                FaceDetection(model_selection=selection, min_detection_confidence=MIN_DETECTION_SCORE)
                for selection in (1, 0)
            )
            self._mesh = _Mesh()
            nothing = np.zeros((64, 64, 3), np.uint8)
            for detector in (self._far, self._near):
                detector.process(nothing)
            whole = _Region(np.full(2, 32, np.float32), 64, 0.0)
            self._mesh.landmarks(_Window(nothing, np.zeros(2, np.float32), 1), whole)

    def __enter__(self) -> MediapipeMeshTracker:
        """Take hold of the networks."""
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Free the networks."""
        for graph in (self._far, self._near, self._mesh):
            graph.close()
        self._followed = []

    def reset(self) -> None:
        """Forget the frames seen: the next one belongs to another shot."""
        self._followed = []
        self._frames_until_look = 0

    def track(self, picture: Picture, time_s: float) -> list[FaceObservation]:  # noqa: ARG002 - protocol
        """Faces of the next frame; see `FaceTracker.track`."""
        found = self._follow(picture, self._followed, [])
        if self._frames_until_look <= 0 or not found:
            self._followed = [face for face, _ in found]
            found = self._follow(picture, self._look(picture), found)
            self._frames_until_look = LOOK_EVERY_FRAMES
        self._frames_until_look -= 1
        self._followed = [face for face, _ in found]
        return [observation for _, observation in found]

    def _follow(self, picture: Picture, faces: list[_Followed], others: list[_Found]) -> list[_Found]:
        """Look for each face around where it was; let go of one that is lost, or that was found already."""
        found = list(others)
        for face in faces:
            landmarks_L3 = self._landmarks(picture, face.region)
            if landmarks_L3 is None:
                continue
            box_4 = landmarks_box(landmarks_L3)
            if any(box_iou(box_4, other.box_4) > SAME_FACE_IOU for _, other in found):
                continue
            face.region, face.box_4 = _Region.of_landmarks(landmarks_L3), box_4
            found.append((face, FaceObservation(box_4, landmarks_L3, face.score)))
        return found

    def _landmarks(self, picture: Picture, region: _Region) -> Float32 | None:
        """(L, 3) landmarks of the face in a region, px of the picture."""
        window: _Window | None = None
        passes: list[Float32] = []
        for _ in range(NUM_PASSES):
            if window is None or not window.holds(region):
                window = _Window.around(picture, region)
            landmarks_L3 = None if window is None else self._mesh.landmarks(window, region)
            if landmarks_L3 is None:
                return None
            passes.append(landmarks_L3)
            region = _Region.of_landmarks(landmarks_L3)
        return np.asarray(np.mean(passes, axis=0), np.float32)

    def _look(self, picture: Picture) -> list[_Followed]:
        """Search the whole picture; refresh the scores of known faces and return those not followed yet."""
        rgb_HW3 = picture.rgb(fitting_size(picture.size, self._look_side_px))
        scale = picture.size[1] / rgb_HW3.shape[1]
        detections = _detect(self._far, rgb_HW3, scale)
        if not detections and not self._followed:
            detections = _detect(self._near, rgb_HW3, scale)
        newcomers: list[_Followed] = []
        for found in sorted(detections, key=lambda face: -float((face.box_4[2:] - face.box_4[:2]).prod())):
            known = [face for face in self._followed if _is_same_face(face.box_4, found.box_4)]
            for face in known:
                face.score = found.score
            if not known and len(self._followed) + len(newcomers) < self._max_faces:
                newcomers += self._seen_closely(picture, found)
        return newcomers

    def _seen_closely(self, picture: Picture, face: _Followed) -> list[_Followed]:
        """The face, framed better, if the detector for near faces sees it too in a window around it."""
        window = _Window.around(
            picture, _Region(face.region.centre_2, CLOSE_SCALE * face.region.side_px, 0.0)
        )
        if window is None:
            return []
        close = max(_detect(self._near, window.rgb_SS3), key=lambda found: found.score, default=None)
        if close is None:
            return []
        region = close.region
        centre_2 = region.centre_2 * window.shrink + window.corner_2
        face.region = _Region(centre_2, region.side_px * window.shrink, region.turn)
        return [face]


def fitting_size(size: tuple[int, int], max_side_px: int) -> tuple[int, int]:
    """(height, width) of a picture made so small that its longer side is at most `max_side_px`."""
    factor = min(1.0, max_side_px / max(size))
    return max(1, round(size[0] * factor)), max(1, round(size[1] * factor))


def _is_same_face(followed_4: Float32, detected_4: Float32) -> bool:
    """Whether a detection is the face that is followed; detector and mesh frame a face differently."""
    centre_2 = (detected_4[:2] + detected_4[2:]) / 2
    is_inside = bool((centre_2 > followed_4[:2]).all() and (centre_2 < followed_4[2:]).all())
    return is_inside or box_iou(followed_4, detected_4) > SAME_FACE_IOU


def _detect(detector: Any, rgb_HW3: UInt8, scale: float = 1.0) -> list[_Followed]:
    """Faces of a picture, in px of one that is larger by `scale`."""
    size_2 = np.array(rgb_HW3.shape[1::-1], np.float32) * scale
    faces: list[_Followed] = []
    for detection in detector.process(rgb_HW3).detections or ():
        place = detection.location_data
        box = place.relative_bounding_box
        corner_2 = np.array([box.xmin, box.ymin], np.float32) * size_2
        box_4 = np.concatenate([corner_2, corner_2 + np.array([box.width, box.height], np.float32) * size_2])
        eyes = (np.array([eye.x, eye.y], np.float32) * size_2 for eye in place.relative_keypoints[:2])
        faces.append(_Followed(_Region.around(box_4, *eyes), box_4, float(detection.score[0])))
    return faces
