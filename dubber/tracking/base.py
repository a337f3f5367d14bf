"""What a face tracker is: something that finds the faces of one frame after another."""

from __future__ import annotations

from dataclasses import dataclass
from types import TracebackType
from typing import Protocol

import cv2
import numpy as np

from dubber.types import Float32, UInt8

EMBEDDING_SIZE = 512
"""How many numbers an ArcFace network tells of a face."""


@dataclass(frozen=True)
class FaceObservation:
    """One face in one frame.

    Attributes:
        box_4: (4,) float32 xyxy px, around the landmarks.
        landmarks_L3: (L, 3) float32 px; z in the same px, towards the camera negative.
        score: How sure the detector was when it last looked for this face, 0..1.
        embedding_E: (512,) float32 of length 1, an ArcFace network's view of who this is; None where there is
            no such network, or where it did not look at this frame.
    """

    box_4: Float32
    landmarks_L3: Float32
    score: float
    embedding_E: Float32 | None = None


class Picture(Protocol):
    """What a tracker looks at: it asks for the colours of what it needs, at the scale it needs.

    A decoded `dubber.media.frame.Frame` is one.
    """

    @property
    def size(self) -> tuple[int, int]:
        """(height, width)."""
        ...

    def rgb(self, size: tuple[int, int] | None = None) -> UInt8:
        """The whole picture, (height, width, 3) uint8 RGB, scaled to a (height, width) if one is given."""
        ...

    def part(self, box: tuple[int, int, int, int]) -> Picture:
        """A part as a picture of its own; the box is xyxy in even pixels inside the picture."""
        ...


@dataclass(frozen=True)
class RgbPicture:
    """A picture that is RGB already.

    Attributes:
        rgb_HW3: (H, W, 3) uint8.
    """

    rgb_HW3: UInt8

    @property
    def size(self) -> tuple[int, int]:
        """(height, width)."""
        return self.rgb_HW3.shape[0], self.rgb_HW3.shape[1]

    def rgb(self, size: tuple[int, int] | None = None) -> UInt8:
        """See `Picture.rgb`."""
        if size is None or size == self.size:
            return np.ascontiguousarray(self.rgb_HW3)
        return np.asarray(cv2.resize(self.rgb_HW3, size[::-1], interpolation=cv2.INTER_AREA), np.uint8)

    def part(self, box: tuple[int, int, int, int]) -> RgbPicture:
        """See `Picture.part`."""
        x0, y0, x1, y1 = box
        return RgbPicture(self.rgb_HW3[y0:y1, x0:x1])


class FaceTracker(Protocol):
    """Finds faces in the frames of one clip, in order.

    Used as a context manager, it frees its networks at the end. Tracking the same frames twice must give the
    same numbers.
    """

    def track(self, picture: Picture, time_s: float) -> list[FaceObservation]:
        """Faces of the next frame.

        Args:
            picture: The frame.
            time_s: When the frame is shown, seconds, increasing.

        Returns:
            The faces found, in no particular order; empty where there is none. Coordinates are px of this
            picture.
        """
        ...

    def reset(self) -> None:
        """Forget the frames seen: the next one belongs to another shot."""
        ...

    def __enter__(self) -> FaceTracker:
        """Take hold of the networks."""
        ...

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Free the networks."""
        ...


def box_iou(first_4: Float32, second_4: Float32) -> float:
    """Intersection over union of two xyxy boxes."""
    overlap_2 = np.minimum(first_4[2:], second_4[2:]) - np.maximum(first_4[:2], second_4[:2])
    if (overlap_2 <= 0).any():
        return 0.0
    shared = float(overlap_2.prod())
    return shared / float((first_4[2:] - first_4[:2]).prod() + (second_4[2:] - second_4[:2]).prod() - shared)
