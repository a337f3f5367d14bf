"""The default tracker: MediaPipe's face detector and attention mesh, whose models lie inside its wheel.

The mesh's own detector is made for faces near the camera and misses those below about 15 % of the picture. So
the detector for the full range looks over the whole picture now and then, and each face it finds is followed
by a mesh of its own in a window cut around where the face was in the frame before. The windows are cut at
whole pixels, so nothing is resampled before the mesh does it.
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

from dubber.tracking.base import FaceObservation, box_iou
from dubber.types import NUM_TRACKER_LANDMARKS, Float32, UInt8

MAX_FACES = 4
"""How many people are followed at a time."""

LOOK_EVERY_FRAMES = 8
"""How often the whole picture is searched for faces that came in."""

WINDOW_SCALE = 2.2
"""Side of the window around a face in units of the face's longer side; the mesh itself looks at 1.5."""

NUM_PASSES = 2
"""How often the mesh looks at a frame. It cuts its own region around the landmarks it found last, so a second
look
sees the face better framed; the mean of both jitters a third as much on a still picture (mouth opening 0.79
against 0.28 px of the crop).
"""

MIN_WINDOW_PX = 32
MIN_DETECTION_SCORE = 0.5
SAME_FACE_IOU = 0.3


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


@dataclass
class _Followed:
    """A face that is being followed: its mesh, where it was, how sure the detector was."""

    mesh: Any
    box_4: Float32
    score: float


_Found = tuple[_Followed, FaceObservation]


class MediapipeMeshTracker:
    """See the module. Keeps a mesh per face, each in MediaPipe's video mode (steadier than single pictures).

    Args:
        max_faces: How many people are followed at a time.
    """

    def __init__(self, max_faces: int = MAX_FACES) -> None:
        self._max_faces = max_faces
        self._followed: list[_Followed] = []
        self._idle_meshes: list[Any] = []
        self._frames_until_look = 0
        with quiet_native_stderr():
            os.environ.setdefault("GLOG_minloglevel", "2")
            os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "2")
            import mediapipe

            self._solutions = mediapipe.solutions
            self._far, self._near = (
                self._solutions.face_detection.FaceDetection(
                    model_selection=selection, min_detection_confidence=MIN_DETECTION_SCORE
                )
                for selection in (1, 0)
            )
            for detector in (self._far, self._near):
                detector.process(np.zeros((64, 64, 3), np.uint8))

    def __enter__(self) -> MediapipeMeshTracker:
        """Take hold of the networks."""
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Free the networks."""
        for solution in (self._far, self._near, *self._idle_meshes, *(face.mesh for face in self._followed)):
            solution.close()
        self._followed, self._idle_meshes = [], []

    def reset(self) -> None:
        """Forget the frames seen: the next one belongs to another shot."""
        for face in self._followed:
            self._release(face)
        self._followed = []
        self._frames_until_look = 0

    def track(self, rgb_HW3: UInt8, time_s: float) -> list[FaceObservation]:  # noqa: ARG002 - protocol
        """Faces of the next frame; see `FaceTracker.track`."""
        found = self._follow(rgb_HW3, self._followed, [])
        if self._frames_until_look <= 0 or not found:
            self._followed = [face for face, _ in found]
            found = self._welcome(rgb_HW3, found)
            self._frames_until_look = LOOK_EVERY_FRAMES
        self._frames_until_look -= 1
        self._followed = [face for face, _ in found]
        return [observation for _, observation in found]

    def _welcome(self, rgb_HW3: UInt8, found: list[_Found]) -> list[_Found]:
        """Add the faces that nobody followed yet."""
        newcomers = self._look(rgb_HW3)
        if not newcomers:
            return found
        with quiet_native_stderr():  # a mesh chatters at the first face it meets
            return self._follow(rgb_HW3, newcomers, found)

    def _follow(self, rgb_HW3: UInt8, faces: list[_Followed], others: list[_Found]) -> list[_Found]:
        """Run each face's mesh in its window; let go of a face that is lost or that another mesh has."""
        found = list(others)
        for face in faces:
            landmarks_L3 = _mesh_in_window(face.mesh, rgb_HW3, face.box_4)
            box_4 = None if landmarks_L3 is None else landmarks_box(landmarks_L3)
            is_double = box_4 is not None and any(
                box_iou(box_4, observation.box_4) > SAME_FACE_IOU for _, observation in found
            )
            if landmarks_L3 is None or box_4 is None or is_double:
                self._release(face)
                continue
            face.box_4 = box_4
            found.append((face, FaceObservation(box_4, landmarks_L3, face.score)))
        return found

    def _look(self, rgb_HW3: UInt8) -> list[_Followed]:
        """Search the whole picture; refresh the scores of known faces and return those not followed yet."""
        detections = _detect(self._far, rgb_HW3)
        if not detections and not self._followed:
            detections = _detect(self._near, rgb_HW3)
        newcomers: list[_Followed] = []
        for box_4, score in sorted(detections, key=lambda item: -float((item[0][2:] - item[0][:2]).prod())):
            known = [face for face in self._followed if _is_same_face(face.box_4, box_4)]
            for face in known:
                face.score = score
            if not known and len(self._followed) + len(newcomers) < self._max_faces:
                newcomers.append(_Followed(self._new_mesh(), box_4, score))
        return newcomers

    def _new_mesh(self) -> Any:
        if self._idle_meshes:
            return self._idle_meshes.pop()
        with quiet_native_stderr():
            mesh = self._solutions.face_mesh.FaceMesh(max_num_faces=1, refine_landmarks=True)
            mesh.process(np.zeros((64, 64, 3), np.uint8))
        return mesh

    def _release(self, face: _Followed) -> None:
        """Put a mesh aside, with nothing left of the face it followed."""
        with quiet_native_stderr():
            face.mesh.reset()
            face.mesh.process(np.zeros((64, 64, 3), np.uint8))
        self._idle_meshes.append(face.mesh)


def _is_same_face(followed_4: Float32, detected_4: Float32) -> bool:
    """Whether a detection is the face that is followed; detector and mesh frame a face differently."""
    centre_2 = (detected_4[:2] + detected_4[2:]) / 2
    is_inside = bool((centre_2 > followed_4[:2]).all() and (centre_2 < followed_4[2:]).all())
    return is_inside or box_iou(followed_4, detected_4) > SAME_FACE_IOU


def _detect(detector: Any, rgb_HW3: UInt8) -> list[tuple[Float32, float]]:
    """Boxes (xyxy px) and scores of a whole picture."""
    height, width = rgb_HW3.shape[:2]
    found: list[tuple[Float32, float]] = []
    for detection in detector.process(rgb_HW3).detections or ():
        box = detection.location_data.relative_bounding_box
        corners_4 = [box.xmin * width, box.ymin * height, (box.xmin + box.width) * width]
        corners_4.append((box.ymin + box.height) * height)
        found.append((np.array(corners_4, np.float32), float(detection.score[0])))
    return found


def _mesh_in_window(mesh: Any, rgb_HW3: UInt8, box_4: Float32) -> Float32 | None:
    """Landmarks in px of the picture, found in a window around a box, or None.

    The window is square, black where it reaches over the picture's border: the mesh's landmarks are exact
    only for square pictures.
    """
    height, width = rgb_HW3.shape[:2]
    side = max(MIN_WINDOW_PX, round(float((box_4[2:] - box_4[:2]).max()) * WINDOW_SCALE))
    left, top = (round(float(value)) for value in (box_4[:2] + box_4[2:]) / 2 - side / 2)
    window = np.zeros((side, side, 3), np.uint8)
    x0, y0, x1, y1 = max(left, 0), max(top, 0), min(left + side, width), min(top + side, height)
    if x1 <= x0 or y1 <= y0:
        return None
    window[y0 - top : y1 - top, x0 - left : x1 - left] = rgb_HW3[y0:y1, x0:x1]
    passes = []
    for _ in range(NUM_PASSES):
        faces = mesh.process(window).multi_face_landmarks
        if not faces:
            return None
        points = faces[0].landmark[:NUM_TRACKER_LANDMARKS]
        passes.append([(point.x, point.y, point.z) for point in points])
    # MediaPipe gives x, y and z in sides of the window.
    landmarks_L3 = np.mean(passes, axis=0) * side
    return np.asarray(landmarks_L3 + np.array([left, top, 0]), np.float32)
