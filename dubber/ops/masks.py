"""Which pixels of the crop the rendered mouth replaces.

Source: EBT section 4.3: polygon of the outermost landmarks, eroded, blurred. Here the polygon is the convex
hull of the 39 mouth and jaw landmarks below the nose (method.md section 5, "Compositing").

Index letters: M = 39 mouth and jaw landmarks, B = 5 points along the nose's base.
"""

from __future__ import annotations

from dataclasses import dataclass

import cv2
import numpy as np

from dubber.types import Float32

_RIM_PX = 12


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
    patch_42: Float32 | None = None,
) -> Float32:
    """Feathered mask of the lower face.

    Args:
        hulls: Sets of (39, 2) landmarks, crop px; the mask is inside the hull of them all.
        nose_base_B2: (B, 2) points along the nose's base, from the person's right to the left, crop px.
        size: (height, width) of the picture.
        shape: Distances.
        unit_px: Pixels that a pixel of the 384 crop is here.
        patch_42: (4, 2) corners of what was rendered, crop px; the mask ends inside.

    Returns:
        (H, W) float32 in 0..1; exactly 0 outside the eroded hull's feather and near the rim.
    """
    shape = shape or MaskShape()
    height, width = size
    rim = max(2.0, _RIM_PX * unit_px)
    edges = [
        *_hull_edges(np.concatenate(hulls)),
        *([] if patch_42 is None else _hull_edges(patch_42)),
        _nose_edge(nose_base_B2, shape.below_nose * unit_px),
        (1.0, 0.0, -rim),
        (-1.0, 0.0, width - rim),
        (0.0, 1.0, -rim),
        (0.0, -1.0, height - rim),
    ]
    x = np.arange(width, dtype=np.float32) + np.float32(0.5)
    y = np.arange(height, dtype=np.float32)[:, None] + np.float32(0.5)
    # Inside a convex region the distance to its border is the least distance to a side; unlike a distance
    # transform of a filled polygon it moves smoothly with the landmarks.
    distance = np.full(size, np.inf, np.float32)
    for along_x, along_y, offset in edges:
        down = np.float32(along_y) * y + np.float32(offset)
        np.minimum(distance, np.float32(along_x) * x + down, out=distance)
    begins, feather = (shape.erode - 2 * shape.blur) * unit_px, max(4 * shape.blur * unit_px, 1e-6)
    return _smooth_step((distance - np.float32(begins)) / np.float32(feather))


def _hull_edges(points_P2: Float32) -> list[tuple[float, float, float]]:
    """Sides of the convex hull as (a, b, c): a * x + b * y + c is the distance, positive inside."""
    hull = cv2.convexHull(np.asarray(points_P2, np.float32))[:, 0].astype(np.float64)
    middle = hull.mean(0)
    edges = []
    for first, second in zip(hull, np.roll(hull, -1, axis=0), strict=True):
        normal = np.array([second[1] - first[1], first[0] - second[0]])
        length = float(np.hypot(*normal))
        if length < 1e-6:
            continue
        normal *= np.sign(normal @ (middle - first)) / length
        edges.append((float(normal[0]), float(normal[1]), float(-normal @ first)))
    return edges


def _nose_edge(nose_base_B2: Float32, below_px: float) -> tuple[float, float, float]:
    """The line under the nose, in the same form; positive below it."""
    first, last = nose_base_B2[0].astype(np.float64), nose_base_B2[-1].astype(np.float64)
    along = (last - first) / max(float(np.linalg.norm(last - first)), 1e-6)
    down = np.array([-along[1], along[0]])
    through = nose_base_B2.mean(0) + down * below_px
    return float(down[0]), float(down[1]), float(-down @ through)


def _smooth_step(t_HW: Float32) -> Float32:
    """0 below 0, 1 above 1, smooth between."""
    t = np.clip(t_HW, 0, 1)
    return np.asarray(t * t * (3 - 2 * t), np.float32)
