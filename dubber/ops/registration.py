"""Laying one picture of a mouth onto another."""

from __future__ import annotations

import cv2
import numpy as np

from dubber.types import Float32

_SOFT_PX = 1.5
"""Softness at which pictures are compared, px of the 384 crop."""


def register(
    image_HW3: Float32, filmed_HW3: Float32, weight_HW: Float32, radius_px: float, unit_px: float
) -> Float32:
    """The translation that brings a picture onto another one.

    Args:
        image_HW3: (H, W, 3) float32, 0..1.
        filmed_HW3: (H, W, 3) float32, what is moved.
        weight_HW: (H, W) float32 which pixels count.
        radius_px: Farthest translation in x and y.
        unit_px: Pixels that a pixel of the 384 crop is.

    Returns:
        (2,) float32 px, to be added to places in `filmed_HW3`; zero where the pictures tell nothing.
    """
    rows, columns = np.flatnonzero(weight_HW.any(1)), np.flatnonzero(weight_HW.any(0))
    radius = round(radius_px)
    height, width = weight_HW.shape
    top, bottom = max(int(rows[0]), radius), min(int(rows[-1]) + 1, height - radius)
    left, right = max(int(columns[0]), radius), min(int(columns[-1]) + 1, width - radius)
    if bottom - top < 2 or right - left < 2:
        return np.zeros(2, np.float32)
    image, filmed = softened(image_HW3, filmed_HW3, unit_px)
    scores = cv2.matchTemplate(
        filmed[top - radius : bottom + radius, left - radius : right + radius],
        image[top:bottom, left:right],
        cv2.TM_CCOEFF_NORMED,
        mask=weight_HW[top:bottom, left:right],
    )
    scores_YX: Float32 = np.nan_to_num(scores, nan=-1.0, posinf=-1.0, neginf=-1.0).astype(np.float32)
    _, best, _, (x, y) = cv2.minMaxLoc(scores_YX)
    if best <= 0:
        return np.zeros(2, np.float32)
    found = [x + _vertex(scores_YX[y], x), y + _vertex(scores_YX[:, x], y)]
    return np.asarray(radius - np.array(found), np.float32)


def _vertex(values: Float32, peak: int) -> float:
    """Where, relative to its largest sample, the parabola through it and its neighbours peaks."""
    if not 0 < peak < len(values) - 1:
        return 0.0
    before, at, after = (float(value) for value in values[peak - 1 : peak + 2])
    curvature = before - 2 * at + after
    return 0.5 * (before - after) / curvature if curvature < 0 else 0.0


def softened(image_HW3: Float32, filmed_HW3: Float32, unit_px: float) -> tuple[Float32, Float32]:
    """Both lumas as soft as the softer one may be: detail which only one has counts for nothing."""
    image_HW, filmed_HW = (
        blurred(cv2.cvtColor(picture, cv2.COLOR_RGB2GRAY).astype(np.float32), _SOFT_PX * unit_px)
        for picture in (image_HW3, filmed_HW3)
    )
    return image_HW, filmed_HW


def blurred(image: Float32, sigma_px: float) -> Float32:
    """A picture under a Gaussian."""
    return np.asarray(cv2.GaussianBlur(image, (0, 0), sigma_px), np.float32)
