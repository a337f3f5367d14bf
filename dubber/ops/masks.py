"""Which pixels of the crop the rendered mouth replaces.

Source: EBT section 4.3: polygon of the outermost landmarks, eroded, blurred. Here the polygon is the convex
hull of the 39 mouth and jaw landmarks below the nose (method.md section 5, "Compositing").

Index letters: M = 39 mouth and jaw landmarks, B = 5 points along the nose's base.
"""

from __future__ import annotations

from dataclasses import dataclass

import cv2
import numpy as np

from dubber.types import Float32, Float64

_RIM_PX = 12
_NODES_PER_FEATHER = 4


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
    begins, feather = (shape.erode - 2 * shape.blur) * unit_px, max(4 * shape.blur * unit_px, 1e-6)
    edges_E3 = np.concatenate(
        [
            _hull_edges(np.concatenate(hulls)),
            *([] if patch_42 is None else [_hull_edges(patch_42)]),
            [_nose_edge(nose_base_B2, shape.below_nose * unit_px)],
            [[1, 0, -rim], [-1, 0, width - rim], [0, 1, -rim], [0, -1, height - rim]],
        ]
    ).astype(np.float32)
    # Inside a convex region the distance to its border is the least distance to a side; unlike a distance
    # transform of a filled polygon it moves smoothly with the landmarks. It has no detail finer than the
    # feather, and being concave it is never overestimated between the nodes of a grid.
    step = max(1, int(feather / _NODES_PER_FEATHER))
    x_w, y_h = (
        np.arange(-(-side // step), dtype=np.float32) * step + np.float32(step / 2)
        for side in (width, height)
    )
    along_x_E1, along_y_E1, offset_E1 = np.hsplit(edges_E3, 3)
    distance_hw = np.add((along_x_E1 * x_w)[:, None], (along_y_E1 * y_h + offset_E1)[..., None]).min(0)
    t_hw = (distance_hw - np.float32(begins)) / np.float32(feather)
    # The grid's last cells may stand out of the picture.
    t_HW = cv2.resize(t_hw, (len(x_w) * step, len(y_h) * step), interpolation=cv2.INTER_LINEAR)
    return _smooth_step(np.asarray(t_HW[:height, :width], np.float32))


def _hull_edges(points_P2: Float32) -> Float64:
    """Sides of the convex hull as rows (a, b, c): a * x + b * y + c is the distance, positive inside."""
    hull_P2 = cv2.convexHull(np.asarray(points_P2, np.float32))[:, 0].astype(np.float64)
    along_P2 = hull_P2[np.arange(len(hull_P2)) - 1] - hull_P2
    length_P = np.hypot(along_P2[:, 0], along_P2[:, 1])
    is_side_P = length_P > 1e-6
    normal_P2 = np.stack([-along_P2[:, 1], along_P2[:, 0]], 1)[is_side_P] / length_P[is_side_P, None]
    offset_P = -(normal_P2 * hull_P2[is_side_P]).sum(1)
    inward_P = np.sign(normal_P2 @ hull_P2.mean(0) + offset_P)
    edges_P3 = np.concatenate([normal_P2, offset_P[:, None]], 1) * inward_P[:, None]
    return np.asarray(edges_P3, np.float64)


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
    slope = -2 * t
    slope += 3
    t *= t
    t *= slope
    return np.asarray(t, np.float32)
