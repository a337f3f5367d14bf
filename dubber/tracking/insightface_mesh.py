"""Insightface's detector and identity with MediaPipe's attention mesh, on models that the user has.

SCRFD says where faces are, ArcFace who they are. Landmarks are the mesh's, as the default tracker's:
insightface's own, 68 or 106 of a face, do not tell the inner contour of the lips densely enough, and the face
model is made of the mesh's points.
"""

from __future__ import annotations

from pathlib import Path

import numpy as np

from dubber.errors import WeightsError
from dubber.tracking.arcface import ArcFace, upright, upright_similarity
from dubber.tracking.attention_mesh import MESH_SIDE_PX, AttentionMesh
from dubber.tracking.base import EMBEDDING_SIZE, Picture
from dubber.tracking.following import LOOK_SIDE_PX, MAX_FACES, Followed, FollowingTracker
from dubber.tracking.quiet import quiet_native_stderr
from dubber.tracking.regions import Region, Window, fitting_size
from dubber.tracking.scrfd import Detection, Scrfd
from dubber.types import Float32


class InsightfaceTracker(FollowingTracker):
    """See the module.

    Args:
        detector: SCRFD network.
        recogniser: ArcFace network; None: nobody is recognised.
        max_faces: How many people are followed at a time.
        look_side_px: Longer side of the pictures that are searched for faces.

    Raises:
        WeightsError: onnxruntime is not installed, or a file is no such network.
    """

    def __init__(
        self,
        detector: Path,
        recogniser: Path | None = None,
        *,
        max_faces: int = MAX_FACES,
        look_side_px: int = LOOK_SIDE_PX,
    ) -> None:
        super().__init__(_Insightface(detector, recogniser, look_side_px), max_faces)


class _Insightface:
    """A `FaceFinder`."""

    def __init__(self, detector: Path, recogniser: Path | None, look_side_px: int) -> None:
        self._detector = Scrfd(detector)
        self._look_side_px = min(look_side_px, self._detector.max_side_px or look_side_px)
        self._recogniser = None if recogniser is None else ArcFace(recogniser)
        if self._recogniser is not None and self._recogniser.size != EMBEDDING_SIZE:
            raise WeightsError(
                f"The network embeds faces in {self._recogniser.size} numbers instead of {EMBEDDING_SIZE}.",
                where=str(recogniser),
            )
        with quiet_native_stderr():
            self._mesh = AttentionMesh()

    def close(self) -> None:
        self._mesh.close()

    def look(self, picture: Picture, *, is_following: bool) -> list[Followed]:
        """A face that fills the picture is found where that is made smaller."""
        found = self._detected(picture, self._look_side_px)
        return found if found or is_following else self._detected(picture, self._look_side_px // 2)

    def look_closely(self, picture: Picture, face: Followed) -> Followed | None:
        """The mesh must see it too; its landmarks frame the face better than the detector's box."""
        landmarks_L3 = self.landmarks(picture, face.region)
        if landmarks_L3 is None:
            return None
        face.region = Region.of_landmarks(landmarks_L3)
        return face

    def landmarks(self, picture: Picture, region: Region) -> Float32 | None:
        return self._mesh.landmarks(picture, region)

    def embedding(self, picture: Picture, landmarks_L3: Float32) -> Float32 | None:
        """Of the face brought upright, as the network was taught with."""
        window = Window.around(picture, Region.of_landmarks(landmarks_L3), MESH_SIDE_PX)
        if self._recogniser is None or window is None:
            return None
        face = upright(window.rgb_SS3, upright_similarity(window.from_picture(landmarks_L3)))
        embedding_E = self._recogniser.embed(face[None])[0]
        return np.asarray(embedding_E / max(float(np.linalg.norm(embedding_E)), 1e-12), np.float32)

    def _detected(self, picture: Picture, side_px: int) -> list[Followed]:
        rgb_HW3 = picture.rgb(fitting_size(picture.size, side_px))
        scale = picture.size[1] / rgb_HW3.shape[1]
        return [_followed(found, scale) for found in self._detector.detect(rgb_HW3)]


def _followed(found: Detection, scale: float) -> Followed:
    """The detection, in px of a picture that is larger by `scale`; upright where the eyes are not known."""
    box_4 = np.asarray(found.box_4 * scale, np.float32)
    eyes_22 = box_4[[0, 1, 2, 1]].reshape(2, 2) if found.points_52 is None else found.points_52[:2] * scale
    return Followed(Region.around(box_4, *eyes_22), box_4, found.score)
