"""A decoded picture, upright, kept in the numbers it was coded in so that untouched pixels stay untouched."""

from __future__ import annotations

from dataclasses import dataclass, replace

import cv2
import numpy as np

from dubber.media.coded import CodedPlanes
from dubber.media.color import YuvColor, rgb_to_yuv420, upsample_chroma, yuv_to_rgb
from dubber.types import Bool, Float32, UInt8

Box = tuple[int, int, int, int]
"""xyxy in whole pixels, half-open."""


@dataclass(frozen=True, slots=True, eq=False)
class Frame:
    """One picture as 8 bit yuv420p in display orientation.

    Footage that is coded otherwise is seen as 8 bit yuv420p too; its own samples wait in `coded`. Edits
    replace `y`, `u` and `v` and keep `coded`: the writer carries the difference over.

    Attributes:
        index: Which frame of its source it is.
        pts: When it is shown, in ticks of the clip's time base.
        y: (H, W) uint8 luma. Planes may be views of a decoder's memory: never write to them.
        u: (ceil(H / 2), ceil(W / 2)) uint8.
        v: Like `u`.
        color: What the numbers mean.
        coded: The samples of footage that is not plain 8 bit yuv420p; None where `y`, `u`, `v` are all.
    """

    index: int
    pts: int
    y: UInt8
    u: UInt8
    v: UInt8
    color: YuvColor
    coded: CodedPlanes | None = None

    @property
    def size(self) -> tuple[int, int]:
        """(height, width)."""
        return self.y.shape[0], self.y.shape[1]

    @property
    def planes(self) -> tuple[UInt8, UInt8, UInt8]:
        """y, u, v."""
        return self.y, self.u, self.v

    def rgb(self, size: tuple[int, int] | None = None) -> UInt8:
        """The whole picture as RGB.

        Args:
            size: (height, width) to scale to; scaling the planes first makes small pictures cheap.

        Returns:
            (height, width, 3) uint8.
        """
        if size is None or size == self.size:
            u_HW, v_HW = upsample_chroma(self.u, self.size), upsample_chroma(self.v, self.size)
            return yuv_to_rgb(self.y, u_HW, v_HW, self.color)
        y_HW, u_HW, v_HW = (_scaled(plane, size) for plane in self.planes)
        return yuv_to_rgb(y_HW, u_HW, v_HW, self.color)

    def rgb_box(self, box: Box) -> UInt8:
        """A part of the picture as RGB; the same values as `rgb()[y0:y1, x0:x1]`.

        Args:
            box: As `even_box` makes it.

        Returns:
            (y1 - y0, x1 - x0, 3) uint8.

        Raises:
            ValueError: The box is empty, has odd corners, or leaves the frame.
        """
        x0, y0, x1, y1 = self._checked(box)
        height, width = self.size
        # One more chroma sample on each side: interpolation at the edge sees what it sees in the whole.
        left, top = max(x0 - 2, 0), max(y0 - 2, 0)
        right, bottom = min(x1 + 2, width), min(y1 + 2, height)
        chroma = (slice(top // 2, (bottom + 1) // 2), slice(left // 2, (right + 1) // 2))
        inner = (slice(y0 - top, y1 - top), slice(x0 - left, x1 - left))
        size = (bottom - top, right - left)
        u_HW, v_HW = (upsample_chroma(plane[chroma], size)[inner] for plane in (self.u, self.v))
        return yuv_to_rgb(self.y[y0:y1, x0:x1], u_HW, v_HW, self.color)

    def part(self, box: Box) -> Frame:
        """A part of the picture as a frame of its own, to be looked at: its planes are views of this one's.

        Args:
            box: As `even_box` makes it.

        Raises:
            ValueError: The box is empty, has odd corners, or leaves the frame.
        """
        x0, y0, x1, y1 = self._checked(box)
        chroma = (slice(y0 // 2, (y1 + 1) // 2), slice(x0 // 2, (x1 + 1) // 2))
        y, u, v = self.y[y0:y1, x0:x1], self.u[chroma], self.v[chroma]
        return replace(self, y=y, u=u, v=v, coded=None)

    def replace_box(self, box: Box, rgb: UInt8, mask_HW: UInt8 | Float32 | Bool) -> Frame:
        """A new frame with other colours in part of a box.

        Only where the mask is above 0 and the colour differs from the frame's own are samples changed
        (chroma: where any pixel of its 2x2 block is so); all others stay bit for bit what they were.

        Args:
            box: As `even_box` makes it.
            rgb: (y1 - y0, x1 - x0, 3) uint8, the final colours; blending is the caller's.
            mask_HW: (y1 - y0, x1 - x0), any type; above 0 = may change.

        Returns:
            The new frame; this one is not changed.

        Raises:
            ValueError: The box is empty, has odd corners, leaves the frame, or the arrays do not fit it.
        """
        x0, y0, x1, y1 = self._checked(box)
        size = (y1 - y0, x1 - x0)
        if rgb.shape != (*size, 3) or mask_HW.shape != size:
            raise ValueError(f"box is {size}, rgb {rgb.shape}, mask {mask_HW.shape}")
        changed_HW = (mask_HW > 0) & (rgb != self.rgb_box(box)).any(axis=2)
        new_y, new_u, new_v = rgb_to_yuv420(rgb, self.color)
        y, u, v = self.y.copy(), self.u.copy(), self.v.copy()
        np.copyto(y[y0:y1, x0:x1], new_y, where=changed_HW)
        padded = np.pad(changed_HW, ((0, size[0] % 2), (0, size[1] % 2)))
        changed_hw = padded[0::2, 0::2] | padded[1::2, 0::2] | padded[0::2, 1::2] | padded[1::2, 1::2]
        chroma = (slice(y0 // 2, (y1 + 1) // 2), slice(x0 // 2, (x1 + 1) // 2))
        np.copyto(u[chroma], new_u, where=changed_hw)
        np.copyto(v[chroma], new_v, where=changed_hw)
        return replace(self, y=y, u=u, v=v)

    def _checked(self, box: Box) -> Box:
        x0, y0, x1, y1 = box
        height, width = self.size
        fits = 0 <= x0 < x1 <= width and 0 <= y0 < y1 <= height
        is_even = x0 % 2 == y0 % 2 == 0 and (x1 % 2 == 0 or x1 == width) and (y1 % 2 == 0 or y1 == height)
        if not (fits and is_even):
            raise ValueError(f"box {box} is not an even box inside a frame of {width} x {height}")
        return x0, y0, x1, y1


def even_box(box: tuple[float, float, float, float], size: tuple[int, int]) -> Box:
    """Grow a box outward to even pixels and clip it to the frame.

    Args:
        box: xyxy, float pixels.
        size: (height, width) of the frame. At an odd right or bottom edge the box ends on the edge.

    Returns:
        A box for `Frame.rgb_box` and `Frame.replace_box`.

    Raises:
        ValueError: Nothing of the box lies in the frame.
    """
    height, width = size
    x0, y0 = (max(int(np.floor(low / 2)) * 2, 0) for low in box[:2])
    x1, y1 = min(int(np.ceil(box[2] / 2)) * 2, width), min(int(np.ceil(box[3] / 2)) * 2, height)
    if x0 >= x1 or y0 >= y1:
        raise ValueError(f"box {box} lies outside a frame of {width} x {height}")
    return x0, y0, x1, y1


def _scaled(plane: UInt8, size: tuple[int, int]) -> UInt8:
    if plane.shape == size:
        return plane
    is_smaller = size[0] <= plane.shape[0] and size[1] <= plane.shape[1]
    method = cv2.INTER_AREA if is_smaller else cv2.INTER_LINEAR
    return np.asarray(cv2.resize(plane, (size[1], size[0]), interpolation=method), np.uint8)
