"""Decoded pictures become upright frames."""

from __future__ import annotations

import logging
from dataclasses import replace
from typing import TYPE_CHECKING

import numpy as np

from dubber.media.coded import CodedPlanes, view_of
from dubber.media.color import RANGE_FULL, RANGE_LIMITED, resolve_color
from dubber.media.frame import Frame
from dubber.media.layout import kept_layout
from dubber.media.view_curve import Coded, view_curve
from dubber.types import Clip

if TYPE_CHECKING:
    from av.video.frame import VideoFrame

logger = logging.getLogger(__name__)

_SWSCALE_MATRIX = {1: 1, 6: 5, 9: 9}
"""SWS_CS_ITU709, SWS_CS_ITU601, SWS_CS_BT2020."""


class FrameMaker:
    """Makes the frames of one clip.

    Args:
        clip: What probing told.
    """

    def __init__(self, clip: Clip) -> None:
        self._clip = clip
        self._color = resolve_color(clip.color, clip.size)
        self._layout = kept_layout(clip)
        self._curve = view_curve(
            self._layout.depth, clip.color.transfer, is_full_range=self._color.is_full_range
        )
        self._turns = -(clip.rotation_deg // 90)
        height, width = clip.size
        self._coded_size = (height, width) if self._turns % 2 == 0 else (width, height)
        self._has_warned = False

    def frame(self, picture: VideoFrame, index: int) -> Frame:
        """The frame of a decoded picture; its planes are views of the picture's memory where they can be.

        Args:
            picture: As decoded.
            index: Which frame of the clip it is.
        """
        layout = self._layout
        # FFmpeg's "yuvj" formats are the same samples, said to be of full range.
        is_as_kept = picture.format.name.replace("yuvj", "yuv") == layout.name
        if not is_as_kept or (picture.height, picture.width) != self._coded_size:
            picture = self._converted(picture)
        sizes = layout.plane_sizes(self._coded_size)
        planes = tuple(self._upright(picture, i, size) for i, size in enumerate(sizes))
        pts = int(self._clip.pts_T[index])
        if layout.is_plain:
            y, u, v = (np.asarray(plane, np.uint8) for plane in planes)
            return Frame(index, pts, y, u, v, self._color)
        view = view_of(planes, layout, self._curve)
        return Frame(index, pts, *view, self._color, CodedPlanes(planes, view, layout, self._curve))

    def repeated(self, held: Frame, index: int) -> Frame:
        """A frame in the place of one that is gone, said once."""
        if not self._has_warned:
            self._has_warned = True
            logger.warning("Frame %d can no longer be decoded; the one before it is shown instead.", index)
        return replace(held, index=index, pts=int(self._clip.pts_T[index]))

    def _upright(self, picture: VideoFrame, plane_index: int, size: tuple[int, int]) -> Coded:
        plane = picture.planes[plane_index]
        dtype = self._layout.dtype
        rows = np.frombuffer(memoryview(plane), dtype)
        stride = plane.line_size // dtype.itemsize
        result = rows[: stride * size[0]].reshape(size[0], stride)[:, : size[1]]
        if self._turns:
            result = np.ascontiguousarray(np.rot90(result, self._turns))
        result.flags.writeable = False
        return result

    def _converted(self, picture: VideoFrame) -> VideoFrame:
        height, width = self._coded_size
        to_range = RANGE_FULL if self._color.is_full_range else RANGE_LIMITED
        from_range = RANGE_FULL if picture.format.is_rgb else to_range
        matrix = _SWSCALE_MATRIX[self._color.matrix]
        return picture.reformat(
            width=width,
            height=height,
            format=self._layout.name,
            src_colorspace=matrix,
            dst_colorspace=matrix,
            src_color_range=from_range,
            dst_color_range=to_range,
        )
