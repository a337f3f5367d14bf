"""Samples as they were coded, where the 8 bit 4:2:0 planes that all work on are only a view of them.

Edits change the view. What is written is the coded sample plus the difference that the edit made to the
view: samples nobody touched stay bit for bit what they were, and those that were touched keep their grain
below 8 bits.

Index letters: H, W pixels of luma; h, w samples of chroma as coded.
"""

from __future__ import annotations

from dataclasses import dataclass

import cv2
import numpy as np

from dubber.media.layout import PixelLayout
from dubber.media.view_curve import Coded, ViewCurve
from dubber.types import Float32, UInt8

ViewPlanes = tuple[UInt8, UInt8, UInt8]
"""y (H, W), u and v (ceil(H / 2), ceil(W / 2)), uint8."""


@dataclass(frozen=True, slots=True, eq=False)
class CodedPlanes:
    """A picture's samples as they were coded, upright.

    Attributes:
        planes: As `layout.plane_sizes` says: luma, chroma, alpha; of `layout.dtype`. Never written to.
        view: The view they gave, to compare an edited one with.
        layout: Their format.
        curve: How samples become levels.
    """

    planes: tuple[Coded, ...]
    view: ViewPlanes
    layout: PixelLayout
    curve: ViewCurve

    def lifted(self, edited: ViewPlanes) -> tuple[Coded, ...]:
        """The samples after an edit of the view.

        Args:
            edited: The view's planes, some or all of them new.

        Returns:
            Planes like `planes`; those are not changed, and where the view is not either, so are these.
        """
        planes = list(self.planes)
        if edited[0] is not self.view[0]:
            planes[0] = self._lifted_luma(edited[0])
        for place in (1, 2) if self.layout.chroma != "gray" else ():
            if edited[place] is not self.view[place]:
                planes[place] = self._lifted_chroma(edited[place], place)
        return tuple(planes)

    def _lifted_luma(self, edited_HW: UInt8) -> Coded:
        box = _changed_box(edited_HW, self.view[0])
        if box is None:
            return self.planes[0]
        return self._moved(0, box, _difference(edited_HW[box], self.view[0][box]))

    def _lifted_chroma(self, edited_hw: UInt8, place: int) -> Coded:
        old_hw = self.view[place]
        box = _changed_box(edited_hw, old_hw)
        if box is None:
            return self.planes[place]
        # One sample more on each side: where finer samples lie between a changed one and its neighbour.
        rows, columns = (
            slice(max(part.start - 1, 0), min(part.stop + 1, side))
            for part, side in zip(box, old_hw.shape, strict=True)
        )
        share_y, share_x = self.layout.chroma_shares
        times_y, times_x = 2 // share_y, 2 // share_x
        difference = _difference(edited_hw[rows, columns], old_hw[rows, columns])
        # Between an edited sample and its neighbour the difference fades out, but only where the edited one
        # itself lies: samples that belong to another are left as they are.
        is_edited = np.repeat(np.repeat(difference != 0, times_y, axis=0), times_x, axis=1)
        finer = np.where(is_edited, _refined(difference, (times_y, times_x)), np.float32(0))
        height, width = self.planes[place].shape
        rows = slice(rows.start * times_y, min(rows.stop * times_y, height))
        columns = slice(columns.start * times_x, min(columns.stop * times_x, width))
        fitting = finer[: rows.stop - rows.start, : columns.stop - columns.start]
        return self._moved(place, (rows, columns), fitting)

    def _moved(self, place: int, box: tuple[slice, slice], difference: Float32) -> Coded:
        plane = self.planes[place].copy()
        plane[box] = self.curve.moved(plane[box], difference, place)
        return plane


def view_of(planes: tuple[Coded, ...], layout: PixelLayout, curve: ViewCurve) -> ViewPlanes:
    """The 8 bit 4:2:0 view of coded samples.

    Args:
        planes: As `CodedPlanes.planes`.
        layout: Their format.
        curve: How samples become levels.

    Returns:
        y, u, v; a plane that is coded as the view has it is the view's too, not a copy.

    Convention: chroma is left-sited (`media.color`).
    """
    y_HW = curve.levels(planes[0], 0)
    if layout.chroma == "gray":
        small = (-(-y_HW.shape[0] // 2), -(-y_HW.shape[1] // 2))
        neutral = np.full(small, 128, np.uint8)
        return y_HW, neutral, neutral
    u, v = (curve.levels(_halved(planes[place], layout.chroma_shares), place) for place in (1, 2))
    return y_HW, u, v


def planes_of_view(
    view: ViewPlanes, layout: PixelLayout, curve: ViewCurve, size: tuple[int, int]
) -> tuple[Coded, ...]:
    """Coded samples for a view that has none of its own; alpha is opaque."""
    sizes = layout.plane_sizes(size)
    planes = [curve.samples(view[0], 0)]
    share_y, share_x = layout.chroma_shares
    for place in (1, 2) if layout.chroma != "gray" else ():
        height, width = sizes[place]
        finer = _refined(view[place].astype(np.float32), (2 // share_y, 2 // share_x))
        planes.append(curve.samples(finer[:height, :width], place))
    if layout.has_alpha:
        planes.append(np.full(size, 2**layout.depth - 1, layout.dtype))
    return tuple(planes)


def _difference(new: UInt8, old: UInt8) -> Float32:
    return np.asarray(new.astype(np.float32) - old, np.float32)


def _changed_box(new: UInt8, old: UInt8) -> tuple[slice, slice] | None:
    left, top, columns, rows = cv2.boundingRect(cv2.compare(new, old, cv2.CMP_NE))
    return (slice(top, top + rows), slice(left, left + columns)) if rows else None


def _halved(plane: Coded, shares: tuple[int, int]) -> Coded:
    """Chroma as coarse as 4:2:0 has it: the mean of two rows, and 1-2-1 around every other column."""
    if shares[0] == 1:
        even, odd = plane[0::2], plane[1::2]
        if len(odd) < len(even):
            odd = np.concatenate([odd, even[-1:]])
        plane = np.asarray(cv2.addWeighted(even, 0.5, odd, 0.5, 0.0), plane.dtype)
    if shares[1] == 1:
        kernel = np.array([[0.25, 0.5, 0.25]], np.float32)
        smooth = cv2.filter2D(plane, -1, kernel, borderType=cv2.BORDER_REPLICATE)
        plane = np.ascontiguousarray(smooth[:, 0::2])
    return plane


def _refined(values_hw: Float32, times: tuple[int, int]) -> Float32:
    """Values of the view's chroma grid on a grid once or twice as fine each way, bilinear, left-sited."""
    if times[0] == 2:
        height, width = values_hw.shape
        values_hw = np.asarray(
            cv2.resize(values_hw, (width, 2 * height), interpolation=cv2.INTER_LINEAR), np.float32
        )
    if times[1] == 2:
        right = np.concatenate([values_hw[:, 1:], values_hw[:, -1:]], axis=1)
        wide = np.empty((values_hw.shape[0], 2 * values_hw.shape[1]), np.float32)
        wide[:, 0::2] = values_hw
        wide[:, 1::2] = 0.5 * (values_hw + right)
        values_hw = wide
    return values_hw
