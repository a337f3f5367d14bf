"""A rectangle of a frame, taken out plane by plane, worked on, and put back."""

from __future__ import annotations

from dataclasses import dataclass, replace

import cv2
import numpy as np

from dubber.media.color import YuvColor, rgb_to_yuv_matrix
from dubber.media.frame import Frame
from dubber.types import UInt8

Planes = tuple[UInt8, UInt8, UInt8]
"""y (H, W), u and v (H / 2, W / 2)."""


@dataclass(frozen=True)
class Part:
    """A rectangle of even position and even size; it may leave the frame.

    Attributes:
        corner: (x, y) of its upper left pixel.
        size: (height, width).
    """

    corner: tuple[int, int]
    size: tuple[int, int]

    def cut(self, frame: Frame) -> Planes:
        """Copies of the frame's planes; beyond the frame its border continues.

        Raises:
            ValueError: The part lies outside the frame.
        """
        y, u, v = (self._cut(plane, share) for plane, share in zip(frame.planes, (1, 2, 2), strict=True))
        return y, u, v

    def put(self, frame: Frame, planes: Planes) -> Frame:
        """A new frame with these planes in the part's place; what lies beyond the frame is dropped."""
        whole = []
        for plane, new, share in zip(frame.planes, planes, (1, 2, 2), strict=True):
            outside, inside = self._overlap(plane.shape, share)
            plane = plane.copy()
            plane[outside] = new[inside]
            whole.append(plane)
        return replace(frame, y=whole[0], u=whole[1], v=whole[2])

    def views(self, planes: Planes, whole: Part) -> Planes:
        """This part of a larger part's planes, as views."""
        left, top = self.corner[0] - whole.corner[0], self.corner[1] - whole.corner[1]
        y, u, v = (
            plane[
                top // share : (top + self.size[0]) // share, left // share : (left + self.size[1]) // share
            ]
            for plane, share in zip(planes, (1, 2, 2), strict=True)
        )
        return y, u, v

    def _cut(self, plane: UInt8, share: int) -> UInt8:
        (rows, columns), (above, left) = self._overlap(plane.shape, share)
        cut = plane[rows, columns]
        height, width = self.size[0] // share, self.size[1] // share
        margins = (above.start, height - above.stop, left.start, width - left.stop)
        if not any(margins):
            return cut.copy()
        return np.asarray(cv2.copyMakeBorder(cut, *margins, cv2.BORDER_REPLICATE), np.uint8)

    def _overlap(self, shape: tuple[int, ...], share: int) -> tuple[tuple[slice, slice], tuple[slice, slice]]:
        """Rows and columns, in a plane and in the part, of what both have."""
        outside, inside = [], []
        for start, length, limit in zip(self.corner[::-1], self.size, shape, strict=True):
            start, length = start // share, length // share
            first, last = max(start, 0), min(start + length, limit)
            if first >= last:
                raise ValueError(f"{self} lies outside a plane of {shape}")
            outside.append(slice(first, last))
            inside.append(slice(first - start, last - start))
        return (outside[0], outside[1]), (inside[0], inside[1])


def planes_of(rgb: UInt8, color: YuvColor) -> Planes:
    """An RGB picture as planes of one size, (H, W) uint8."""
    y, u, v = cv2.split(cv2.transform(rgb, rgb_to_yuv_matrix(color)))
    return np.asarray(y, np.uint8), np.asarray(u, np.uint8), np.asarray(v, np.uint8)
