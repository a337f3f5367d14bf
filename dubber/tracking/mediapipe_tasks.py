"""MediaPipe's Face Landmarker of the Tasks library, from a bundle that the user has.

It uses nothing but the library's published interface, which newer releases of MediaPipe keep, and runs on
single pictures: on video the library smooths landmarks in time, which makes a mouth late. The bundle's
detector is made for near faces, so the picture is searched in overlapping tiles of several sizes.
"""

from __future__ import annotations

import io
import itertools
import zipfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np

from dubber.engine.user_models import catalogue_entry, verify_file
from dubber.errors import WeightsError
from dubber.tracking.base import Picture, box_iou
from dubber.tracking.following import LOOK_SIDE_PX, MAX_FACES, Followed, FollowingTracker
from dubber.tracking.quiet import quiet_native_stderr
from dubber.tracking.regions import Region, Window, fitting_size
from dubber.tracking.user_files import LANDMARKER
from dubber.types import NUM_TRACKER_LANDMARKS, Float32, UInt8

TILE_SHARES = (1.0, 1 / 2, 1 / 3)
"""Sides of the tiles that are searched, in units of the picture's longer side. The detector sees 128 px and
finds faces from about a tenth of that on, so together they reach faces of a thirtieth.
"""

TILE_STEP = 0.5
"""Distance of tiles at most, in units of their side: each face of half a tile's side lies whole in one."""

MIN_TILE_SCORE = 0.6
"""Tiles cut through things; below this score more is found that is no face than that is."""

MIN_SCORE = 0.5

MESH_SIDE_PX = 256
"""Side of the picture that the bundle's mesh takes."""

NUM_PASSES = 2
"""As in `attention_mesh`: the second look at what the first one framed."""

_DETECTOR = "face_detector.tflite"


class MediapipeTasksTracker(FollowingTracker):
    """See the module.

    Args:
        bundle: The `.task` file of the Face Landmarker.
        max_faces: How many people are followed at a time.
        look_side_px: Longer side of the pictures that are searched for faces.

    Raises:
        WeightsError: The file is not the bundle that the catalogue names.
    """

    def __init__(self, bundle: Path, *, max_faces: int = MAX_FACES, look_side_px: int = LOOK_SIDE_PX) -> None:
        super().__init__(_Tasks(bundle, look_side_px), max_faces)


class _Tasks:
    """A `FaceFinder`."""

    def __init__(self, bundle: Path, look_side_px: int) -> None:
        self._look_side_px = look_side_px
        detector, landmarker = _read_bundle(bundle)
        with quiet_native_stderr():
            import mediapipe
            from mediapipe.tasks.python import BaseOptions, vision

            self._image, self._srgb = mediapipe.Image, mediapipe.ImageFormat.SRGB
            self._detector = vision.FaceDetector.create_from_options(
                vision.FaceDetectorOptions(
                    base_options=BaseOptions(model_asset_buffer=detector),
                    min_detection_confidence=MIN_TILE_SCORE,
                )
            )
            self._landmarker = vision.FaceLandmarker.create_from_options(
                vision.FaceLandmarkerOptions(
                    base_options=BaseOptions(model_asset_buffer=landmarker),
                    num_faces=2,
                    min_face_detection_confidence=MIN_SCORE,
                    min_face_presence_confidence=MIN_SCORE,
                )
            )
            nothing = np.zeros((64, 64, 3), np.uint8)
            self._detector.detect(self._picture(nothing))
            self._landmarker.detect(self._picture(nothing))

    def close(self) -> None:
        self._detector.close()
        self._landmarker.close()

    def look(self, picture: Picture, *, is_following: bool) -> list[Followed]:  # noqa: ARG002 - protocol
        rgb_HW3 = picture.rgb(fitting_size(picture.size, self._look_side_px))
        scale = picture.size[1] / rgb_HW3.shape[1]
        found = [
            face
            for x, y, side in _tiles(rgb_HW3.shape[0], rgb_HW3.shape[1])
            for face in self._detected(rgb_HW3[y : y + side, x : x + side], x, y, scale)
        ]
        return _surest(found)

    def look_closely(self, picture: Picture, face: Followed) -> Followed | None:
        """The landmarker must see it too, in the finest pixels."""
        landmarks_L3 = self._seen(picture, face.region)
        if landmarks_L3 is None:
            return None
        face.region = Region.of_landmarks(landmarks_L3)
        return face

    def landmarks(self, picture: Picture, region: Region) -> Float32 | None:
        passes: list[Float32] = []
        for _ in range(NUM_PASSES):
            landmarks_L3 = self._seen(picture, region)
            if landmarks_L3 is None:
                return None
            passes.append(landmarks_L3)
            region = Region.of_landmarks(landmarks_L3)
        return np.asarray(np.mean(passes, axis=0), np.float32)

    def embedding(self, picture: Picture, landmarks_L3: Float32) -> Float32 | None:  # noqa: ARG002 - protocol
        return None

    def _seen(self, picture: Picture, region: Region) -> Float32 | None:
        """(L, 3) landmarks of the face nearest to the region's middle, as one look gives them."""
        window = Window.around(picture, region, MESH_SIDE_PX)
        if window is None:
            return None
        faces = [
            window.to_picture(np.array([(p.x, p.y, p.z) for p in face[:NUM_TRACKER_LANDMARKS]], np.float32))
            for face in self._landmarker.detect(self._picture(window.rgb_SS3)).face_landmarks
        ]
        return min(
            faces,
            key=lambda face: float(np.linalg.norm(Region.of_landmarks(face).centre_2 - region.centre_2)),
            default=None,
        )

    def _detected(self, rgb_HW3: UInt8, x: int, y: int, scale: float) -> Iterator[Followed]:
        """Faces of a tile whose corner is (x, y), in px of a picture that is larger by `scale`."""
        corner_2 = np.array([x, y], np.float32)
        size_2 = np.array(rgb_HW3.shape[1::-1], np.float32)
        for detection in self._detector.detect(self._picture(rgb_HW3)).detections:
            box = detection.bounding_box
            start_2 = np.array([box.origin_x, box.origin_y], np.float32)
            box_4 = np.concatenate([start_2, start_2 + np.array([box.width, box.height], np.float32)])
            box_4 = np.asarray((box_4 + np.tile(corner_2, 2)) * scale, np.float32)
            eyes = (
                (np.array([eye.x, eye.y], np.float32) * size_2 + corner_2) * scale
                for eye in detection.keypoints[:2]
            )
            yield Followed(Region.around(box_4, *eyes), box_4, float(detection.categories[0].score))

    def _picture(self, rgb_HW3: UInt8) -> Any:
        return self._image(image_format=self._srgb, data=np.ascontiguousarray(rgb_HW3))


def _read_bundle(path: Path) -> tuple[bytes, bytes]:
    """The bundle's detector, and the bundle.

    Only the release that is known is taken: MediaPipe crashes on networks that were tampered with, and the
    landmarks of another release may lie elsewhere.

    Raises:
        WeightsError: The file cannot be read, or is another.
    """
    (known,) = catalogue_entry(LANDMARKER).files
    try:
        verify_file(path, known.num_bytes, known.sha256)
        bundle = path.read_bytes()
    except OSError as error:
        raise WeightsError(
            f"The face landmarker cannot be read ({error.strerror}).", where=str(path)
        ) from error
    with zipfile.ZipFile(io.BytesIO(bundle)) as archive:
        return archive.read(_DETECTOR), bundle


def _tiles(height: int, width: int) -> Iterator[tuple[int, int, int]]:
    """(x, y, side) of the tiles; they reach over the border only where the picture is narrower."""
    for share in TILE_SHARES:
        side = round(share * max(height, width))
        for y, x in itertools.product(_starts(height, side), _starts(width, side)):
            yield x, y, side


def _starts(length: int, side: int) -> list[int]:
    steps = int(np.ceil(max(length - side, 0) / (TILE_STEP * side)))
    return [round(step * (length - side) / steps) for step in range(steps + 1)] if steps else [0]


def _surest(faces: list[Followed]) -> list[Followed]:
    """One of each face: the surest detection of those that overlap."""
    kept: list[Followed] = []
    for face in sorted(faces, key=lambda face: -face.score):
        if not any(_overlaps(face.box_4, other.box_4) for other in kept):
            kept.append(face)
    return kept


def _overlaps(first_4: Float32, second_4: Float32) -> bool:
    """Whether two boxes show the same face, or parts of it."""
    centres_22 = (first_4.reshape(2, 2).mean(0), second_4.reshape(2, 2).mean(0))
    boxes = (second_4, first_4)
    is_inside = any(
        (centre_2 > box_4[:2]).all() and (centre_2 < box_4[2:]).all()
        for centre_2, box_4 in zip(centres_22, boxes, strict=True)
    )
    return is_inside or box_iou(first_4, second_4) > 0
