"""The inner mouth of a picture: where it is, how deep in it pixels lie, and where teeth are to be seen.

Index letters: M = 39 mouth and jaw landmarks; H, W a box around the inner mouth.
"""

from __future__ import annotations

import cv2
import numpy as np

from dubber.ops.teeth_proxy import INNER_LIPS
from dubber.types import Float32

_INNER = INNER_LIPS.start
_UPPER_INNER = [_INNER + k for k in (0, 1, 2, 3, 4)]
_LOWER_INNER = [_INNER + k for k in (0, 7, 6, 5, 4)]
"""From the person's right corner to the left one."""

UPPER_LIP = [2, 3, 4, _INNER + 1, _INNER + 2, _INNER + 3]
LOWER_LIP = [8, 9, 10, _INNER + 5, _INNER + 6, _INNER + 7]
"""The middle of each lip, outer and inner points."""


def lip_depths(landmarks_M2: Float32, size: tuple[int, ...]) -> tuple[Float32, Float32]:
    """How deep in the mouth pixels lie; the crop is upright, so lips are curves over its columns.

    Args:
        landmarks_M2: (39, 2) px of the picture.
        size: (height, width).

    Returns:
        (2, H, W) float32 px below the upper and above the lower inner lip, negative outside, and (H, W)
        float32 in 0..1, 0 at the upper lip and 1 at the lower one.
    """
    height, width = size[:2]
    x, y = np.arange(width) + 0.5, np.arange(height)[:, None] + 0.5
    curves = []
    for lip in (_UPPER_INNER, _LOWER_INNER):
        points = landmarks_M2[lip].astype(np.float64)
        order = np.argsort(points[:, 0], kind="stable")
        curves.append(np.interp(x, points[order, 0], points[order, 1]))
    left, right = landmarks_M2[_UPPER_INNER, 0].min(), landmarks_M2[_UPPER_INNER, 0].max()
    upper, lower = curves
    is_column = (x > left) & (x < right) & (lower > upper)
    depths = np.stack([np.where(is_column, y - upper, -1.0), np.where(is_column, lower - y, -1.0)])
    between = np.clip((y - upper) / np.maximum(lower - upper, 1e-6), 0, 1)
    return depths.astype(np.float32), between.astype(np.float32)


def teeth_likeness(
    image_HW3: Float32, *, min_value: float, max_saturation: float, feather_px: float
) -> Float32:
    """Where a picture shows teeth: bright and not too colourful, with a feathered edge.

    Args:
        image_HW3: (H, W, 3) float32 RGB in 0..1.
        min_value: Teeth are brighter than this, of 255.
        max_saturation: Teeth are less colourful than this, of 255.
        feather_px: Width of the edge.

    Returns:
        (H, W) float32 in 0..1.
    """
    highest, lowest = largest_channel(image_HW3), -largest_channel(-image_HW3)
    # HSV: value is the largest channel, saturation the spread over it.
    is_teeth = (highest * 255 >= min_value) & ((highest - lowest) * 255 <= max_saturation * highest)
    # A tooth's edge against the dark is the strongest detail there is, and lies half outside the tooth.
    reach = 2 * round(feather_px) + 1
    grown_HW = cv2.dilate(
        is_teeth.astype(np.float32), cv2.getStructuringElement(cv2.MORPH_ELLIPSE, (reach, reach))
    )
    sigma = max(feather_px / 2, 1e-3)
    return np.asarray(cv2.GaussianBlur(grown_HW, (0, 0), sigma), np.float32)


def inner_box(landmarks_M2: Float32, size: tuple[int, ...], margin_px: float) -> tuple[slice, slice] | None:
    """Where the inner mouth is.

    Args:
        landmarks_M2: (39, 2) px of the picture.
        size: (height, width) of the picture.
        margin_px: Room that is left around it.

    Returns:
        Rows and columns; None where they lie outside the picture.
    """
    (x0, y0), (x1, y1) = (
        np.floor(landmarks_M2[INNER_LIPS].min(0) - margin_px).astype(int),
        np.ceil(landmarks_M2[INNER_LIPS].max(0) + margin_px).astype(int),
    )
    height, width = size[:2]
    rows, columns = slice(max(y0, 0), min(y1, height)), slice(max(x0, 0), min(x1, width))
    return (rows, columns) if rows.start < rows.stop and columns.start < columns.stop else None


def largest_channel(image_HW3: Float32) -> Float32:
    """(H, W) of (H, W, 3). Far faster than a reduction along the last axis."""
    return np.asarray(
        np.maximum(np.maximum(image_HW3[..., 0], image_HW3[..., 1]), image_HW3[..., 2]), np.float32
    )
