"""What the hybrid painter (`dubber.models.hybrid`) is shown of a frame.

Index letters: H height, W width, K exemplars, M = 39 mouth and jaw landmarks, A = 5 points along the nose's
base.
"""

from __future__ import annotations

from collections.abc import Sequence

import cv2
import numpy as np

from dubber.ops.heatmap import landmark_lines
from dubber.types import Float32, Float64, Int32, UInt8

_LINE_PX = 2
_BELOW_NOSE_PX = 6.0
"""Where the hidden part begins, px of the 384 crop: a little above what the compositor replaces."""

_FAR_PX = 4096
_SHIFT = 4
"""OpenCV fills polygons in steps of 2**-4 px."""


def lower_face(landmarks_M2: Float32, nose_A2: Float32, size: tuple[int, int], unit_px: float) -> UInt8:
    """The convex hull of mouth and jaw below the nose.

    Args:
        landmarks_M2: (M, 2) px.
        nose_A2: (A, 2) px, along the nose's base, from the person's right to the left.
        size: (height, width).
        unit_px: Pixels that a px of the 384 crop is here.

    Returns:
        (H, W) uint8, 1 inside.
    """
    inside = np.zeros(size, np.uint8)
    hull = np.asarray(cv2.convexHull(landmarks_M2)[:, 0], np.float32)
    cv2.fillConvexPoly(inside, _fixed(hull), (1,), cv2.LINE_8, _SHIFT)
    along = nose_A2[-1] - nose_A2[0]
    along = along / max(float(np.linalg.norm(along)), 1e-6)
    down = np.array([-along[1], along[0]])
    edge = nose_A2.mean(0) + down * (_BELOW_NOSE_PX * unit_px) + np.outer([-_FAR_PX, _FAR_PX], along)
    above = np.concatenate([edge, edge[::-1] - down * _FAR_PX])
    cv2.fillConvexPoly(inside, _fixed(above), (0,), cv2.LINE_8, _SHIFT)
    return inside


def painter_input(
    exemplars: Sequence[UInt8],
    source_HW3: UInt8,
    wanted_M2: Float32,
    own_M2: Float32,
    nose_A2: Float32,
    unit_px: float,
) -> UInt8:
    """What the painter is shown of one frame.

    Args:
        exemplars: K pictures, (H, W, 3) uint8 RGB, best first.
        source_HW3: (H, W, 3) uint8 RGB, the frame the mouth is for. What of it lies in the mask of either
            mouth is hidden.
        wanted_M2: (M, 2) px, where the landmarks shall be.
        own_M2: (M, 2) px, where the source picture has them.
        nose_A2: (A, 2) px, along the nose's base.
        unit_px: Pixels that a px of the 384 crop is here.

    Returns:
        (H, W, 3 K + 5) uint8.
    """
    size = source_HW3.shape[0], source_HW3.shape[1]
    hidden = lower_face(wanted_M2, nose_A2, size, unit_px) | lower_face(own_M2, nose_A2, size, unit_px)
    lines = landmark_lines(wanted_M2, size, max(1, round(_LINE_PX * unit_px)))
    seen = cv2.bitwise_and(source_HW3, source_HW3, mask=1 - hidden)
    return np.asarray(cv2.merge([*exemplars, seen, hidden * np.uint8(255), lines]), np.uint8)


def _fixed(points_P2: Float32 | Float64) -> Int32:
    """Points as OpenCV's fixed-point numbers, which count from pixel centres."""
    return np.asarray(np.rint((points_P2 - np.float32(0.5)) * 2**_SHIFT), np.int32)
