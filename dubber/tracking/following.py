"""Following faces: the whole picture is searched now and then, known faces are kept in view.

How faces are found and what their landmarks are is left to a `FaceFinder`; each backend is one.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from types import TracebackType
from typing import Protocol

from dubber.tracking.base import FaceObservation, Picture, box_iou
from dubber.tracking.regions import Region, landmarks_box
from dubber.types import Float32

MAX_FACES = 4
"""How many people are followed at a time."""

LOOK_EVERY_FRAMES = 8
"""How often the whole picture is searched for faces that came in."""

LOOK_SIDE_PX = 640
"""Longer side of the picture that is searched. The default backend's detector sees 192 px; from 480 on
downward faces are missed that are found in larger pictures.
"""

SAME_FACE_IOU = 0.3


@dataclass
class Followed:
    """A face that is being followed.

    Attributes:
        region: Where to look for its landmarks next.
        box_4: (4,) xyxy px, where it was.
        score: How sure the detector was, 0..1.
    """

    region: Region
    box_4: Float32
    score: float


class FaceFinder(Protocol):
    """The networks of a backend; they remember nothing from picture to picture."""

    def look(self, picture: Picture, *, is_following: bool) -> list[Followed]:
        """Faces of the whole picture.

        Args:
            picture: The frame.
            is_following: Whether faces are followed already; less effort is fine then.
        """
        ...

    def look_closely(self, picture: Picture, face: Followed) -> Followed | None:
        """The face, framed better; None where it turns out to be none."""
        ...

    def landmarks(self, picture: Picture, region: Region) -> Float32 | None:
        """(L, 3) float32 landmarks of the face in a region, px of the picture; None where there is none."""
        ...

    def embedding(self, picture: Picture, landmarks_L3: Float32) -> Float32 | None:
        """Who a face is, see `FaceObservation.embedding_E`; None where the backend cannot tell."""
        ...

    def close(self) -> None:
        """Free the networks."""
        ...


_Found = tuple[Followed, FaceObservation]


class FollowingTracker:
    """A `FaceTracker` on the networks of a backend.

    Args:
        finder: The networks; they are freed with the tracker.
        max_faces: How many people are followed at a time.
    """

    def __init__(self, finder: FaceFinder, max_faces: int = MAX_FACES) -> None:
        self._finder = finder
        self._max_faces = max_faces
        self._followed: list[Followed] = []
        self._frames_until_look = 0

    def __enter__(self) -> FollowingTracker:
        """Take hold of the networks."""
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Free the networks."""
        self._finder.close()
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
            found = [(face, self._recognised(picture, seen)) for face, seen in found]
            self._frames_until_look = LOOK_EVERY_FRAMES
        self._frames_until_look -= 1
        self._followed = [face for face, _ in found]
        return [observation for _, observation in found]

    def _follow(self, picture: Picture, faces: list[Followed], others: list[_Found]) -> list[_Found]:
        """Look for each face around where it was; let go of one that is lost, or that was found already."""
        found = list(others)
        for face in faces:
            landmarks_L3 = self._finder.landmarks(picture, face.region)
            if landmarks_L3 is None:
                continue
            box_4 = landmarks_box(landmarks_L3)
            if any(box_iou(box_4, other.box_4) > SAME_FACE_IOU for _, other in found):
                continue
            face.region, face.box_4 = Region.of_landmarks(landmarks_L3), box_4
            found.append((face, FaceObservation(box_4, landmarks_L3, face.score)))
        return found

    def _look(self, picture: Picture) -> list[Followed]:
        """Search the whole picture; refresh the scores of known faces and return those not followed yet."""
        detections = self._finder.look(picture, is_following=bool(self._followed))
        newcomers: list[Followed] = []
        for found in sorted(detections, key=lambda face: -float((face.box_4[2:] - face.box_4[:2]).prod())):
            known = [face for face in self._followed if _is_same_face(face.box_4, found.box_4)]
            for face in known:
                face.score = found.score
            if not known and len(self._followed) + len(newcomers) < self._max_faces:
                close = self._finder.look_closely(picture, found)
                newcomers += [] if close is None else [close]
        return newcomers

    def _recognised(self, picture: Picture, seen: FaceObservation) -> FaceObservation:
        """The observation with who it is: people change slowly, so only frames that are searched say it."""
        return replace(seen, embedding_E=self._finder.embedding(picture, seen.landmarks_L3))


def _is_same_face(followed_4: Float32, detected_4: Float32) -> bool:
    """Whether a detection is the face that is followed; detector and mesh frame a face differently."""
    centre_2 = (detected_4[:2] + detected_4[2:]) / 2
    is_inside = bool((centre_2 > followed_4[:2]).all() and (centre_2 < followed_4[2:]).all())
    return is_inside or box_iou(followed_4, detected_4) > SAME_FACE_IOU
