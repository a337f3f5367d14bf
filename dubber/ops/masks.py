"""Which pixels of the crop the rendered mouth replaces.

Source: EBT section 4.3: polygon of the outermost landmarks, eroded, blurred. Here the polygon is the convex
hull of the 39 mouth and jaw landmarks below the nose (method.md section 5, "Compositing").

Index letters: M = 39 mouth and jaw landmarks, B = 5 points along the nose's base.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray

from dubber.types import Float32, UInt8

_RIM_PX = 12
_SUBPIXEL_BITS = 4


@dataclass(frozen=True)
class MaskShape:
    """Distances in px of a 384 crop; scaled to the crop at hand.

    Attributes:
        erode: How far inside the hull the mask is one half.
        blur: A quarter of the feather's width; at most half of `erode`, or the mask reaches out of the hull.
        below_nose: How far under the nose's base the mask begins.
    """

    erode: float = 9.0
    blur: float = 4.0
    below_nose: float = 8.0


def mouth_mask(
    hulls: tuple[Float32, ...],
    nose_base_B2: Float32,
    size: tuple[int, int],
    shape: MaskShape | None = None,
    unit_px: float = 1.0,
) -> Float32:
    """Feathered mask of the lower face.

    Args:
        hulls: Sets of (39, 2) landmarks, crop px; the mask is inside the hull of them all.
        nose_base_B2: (B, 2) points along the nose's base, from the person's right to the left, crop px.
        size: (height, width) of the picture.
        shape: Distances.
        unit_px: Pixels that a pixel of the 384 crop is here.

    Returns:
        (H, W) float32 in 0..1; exactly 0 outside the eroded hull's feather and near the rim.
    """
    shape = shape or MaskShape()
    points = np.concatenate(hulls).astype(np.float32)
    mask = np.zeros(size, np.uint8)
    hull = cv2.convexHull(points)[:, 0]
    _fill(mask, hull, 1)
    _fill(mask, _above(nose_base_B2, shape.below_nose * unit_px, max(size)), 0)
    rim = max(2, round(_RIM_PX * unit_px))
    mask[:rim] = mask[-rim:] = 0
    mask[:, :rim] = mask[:, -rim:] = 0
    distance = cv2.distanceTransform(mask, cv2.DIST_L2, 5)
    return _smooth_step(
        (distance - (shape.erode - 2 * shape.blur) * unit_px) / max(4 * shape.blur * unit_px, 1e-6)
    )


def _fill(mask: UInt8, polygon_P2: NDArray[Any], value: int) -> None:
    """Fill a polygon given in px, centres at +0.5."""
    fixed = np.rint((polygon_P2 - 0.5) * (1 << _SUBPIXEL_BITS)).astype(np.int32)
    cv2.fillPoly(mask, [fixed], (value,), shift=_SUBPIXEL_BITS)


def _above(nose_base_B2: Float32, below_px: float, size_px: int) -> Float32:
    """Polygon of everything above the line under the nose, continued to both sides."""
    first, last = nose_base_B2[0], nose_base_B2[-1]
    along = (last - first) / max(float(np.linalg.norm(last - first)), 1e-6)
    down = np.array([-along[1], along[0]], np.float32)
    middle = nose_base_B2.mean(0) + down * below_px
    reach = 4 * size_px
    right, left = middle - along * reach, middle + along * reach
    corners = [right, left, left - down * reach, right - down * reach]
    return np.asarray(np.stack(corners), np.float32)


def _smooth_step(t_HW: Float32) -> Float32:
    """0 below 0, 1 above 1, smooth between."""
    t = np.clip(t_HW, 0, 1)
    return np.asarray(t * t * (3 - 2 * t), np.float32)
