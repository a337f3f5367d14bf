"""The default tracker: MediaPipe's face detector and attention mesh, whose models lie inside its wheel.

The detector for the full range looks over the whole picture, made small, now and then. Each face it finds is
followed by the mesh, which looks at a square region around where the face was in the frame before. Regions
are made as MediaPipe's own face tracking makes them, but here, since that one needs all of every picture.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from dubber.tracking.attention_mesh import MESH_SIDE_PX, AttentionMesh
from dubber.tracking.base import Picture
from dubber.tracking.following import LOOK_SIDE_PX, MAX_FACES, Followed, FollowingTracker
from dubber.tracking.quiet import quiet_native_stderr
from dubber.tracking.regions import Region, Window, fitting_size
from dubber.types import Float32, UInt8

CLOSE_SCALE = 1.3
"""Side of the window in which a face that was found is looked at closely, in units of the region's."""

MIN_DETECTION_SCORE = 0.5


class MediapipeMeshTracker(FollowingTracker):
    """See the module.

    Args:
        max_faces: How many people are followed at a time.
        look_side_px: Longer side of the pictures that are searched for faces.
    """

    def __init__(self, max_faces: int = MAX_FACES, look_side_px: int = LOOK_SIDE_PX) -> None:
        super().__init__(_Mediapipe(look_side_px), max_faces)


class _Mediapipe:
    """A `FaceFinder`."""

    def __init__(self, look_side_px: int) -> None:
        self._look_side_px = look_side_px
        with quiet_native_stderr():
            from mediapipe.python.solutions.face_detection import FaceDetection

            self._far, self._near = (
                FaceDetection(model_selection=selection, min_detection_confidence=MIN_DETECTION_SCORE)
                for selection in (1, 0)
            )
            self._mesh = AttentionMesh()
            for detector in (self._far, self._near):
                detector.process(np.zeros((64, 64, 3), np.uint8))

    def close(self) -> None:
        for graph in (self._far, self._near, self._mesh):
            graph.close()

    def look(self, picture: Picture, *, is_following: bool) -> list[Followed]:
        rgb_HW3 = picture.rgb(fitting_size(picture.size, self._look_side_px))
        scale = picture.size[1] / rgb_HW3.shape[1]
        detections = _detect(self._far, rgb_HW3, scale)
        if not detections and not is_following:
            detections = _detect(self._near, rgb_HW3, scale)
        return detections

    def look_closely(self, picture: Picture, face: Followed) -> Followed | None:
        """The detector for near faces must see it too, in a window around it."""
        wide = Region(face.region.centre_2, CLOSE_SCALE * face.region.side_px, 0.0)
        window = Window.around(picture, wide, MESH_SIDE_PX)
        if window is None:
            return None
        close = max(_detect(self._near, window.rgb_SS3), key=lambda found: found.score, default=None)
        if close is None:
            return None
        region = close.region
        centre_2 = region.centre_2 * window.shrink + window.corner_2
        face.region = Region(centre_2, region.side_px * window.shrink, region.turn)
        return face

    def landmarks(self, picture: Picture, region: Region) -> Float32 | None:
        return self._mesh.landmarks(picture, region)

    def embedding(self, picture: Picture, landmarks_L3: Float32) -> Float32 | None:  # noqa: ARG002 - protocol
        return None


def _detect(detector: Any, rgb_HW3: UInt8, scale: float = 1.0) -> list[Followed]:
    """Faces of a picture, in px of one that is larger by `scale`."""
    size_2 = np.array(rgb_HW3.shape[1::-1], np.float32) * scale
    faces: list[Followed] = []
    for detection in detector.process(rgb_HW3).detections or ():
        place = detection.location_data
        box = place.relative_bounding_box
        corner_2 = np.array([box.xmin, box.ymin], np.float32) * size_2
        box_4 = np.concatenate([corner_2, corner_2 + np.array([box.width, box.height], np.float32) * size_2])
        eyes = (np.array([eye.x, eye.y], np.float32) * size_2 for eye in place.relative_keypoints[:2])
        faces.append(Followed(Region.around(box_4, *eyes), box_4, float(detection.score[0])))
    return faces
