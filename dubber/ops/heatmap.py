"""Pictures of landmarks, for networks that look at pictures.

Index letters: N pictures, M = 39 mouth and jaw landmarks, H height, W width.
"""

from __future__ import annotations

from typing import Literal

import cv2
import numpy as np

from dubber.ops.landmarks import MOUTH_OUTER, NUM_MOUTH
from dubber.types import Float32, UInt8

HeatmapMode = Literal["points", "lines"]

_REACH_SIGMAS = 3.0
_SHIFT = 4
"""OpenCV draws lines in steps of 2**-4 px."""


def landmark_heatmap(
    landmarks_NM2: Float32,
    size: tuple[int, int],
    sigma_px: float = 3.0,
    mode: HeatmapMode = "points",
    thickness_px: int = 3,
) -> Float32:
    """One gray picture per set of landmarks.

    Args:
        landmarks_NM2: (N, 39, 2) px, pixel centres at +0.5; those outside the picture leave no trace there.
        size: (height, width).
        sigma_px: Of each point's Gaussian, or of the blur over the lines.
        mode: "points": at each pixel the largest of the points' Gaussians, cut off at 3 sigma (EBT: a
            heatmap per landmark [Jakab et al. 2018], merged into one). "lines": closed outer and inner lips
            and the open jaw line, drawn and blurred (MEAD).
        thickness_px: Of the lines.

    Returns:
        (N, H, W) float32 in 0..1.
    """
    heatmap_NHW = np.zeros((len(landmarks_NM2), *size), np.float32)
    for points_M2, heatmap_HW in zip(landmarks_NM2, heatmap_NHW, strict=True):
        if mode == "points":
            _add_points(heatmap_HW, points_M2, sigma_px)
        else:
            drawn_HW = landmark_lines(points_M2, size, thickness_px)
            blurred_HW = cv2.GaussianBlur(drawn_HW, (0, 0), sigma_px) if sigma_px > 0 else drawn_HW
            heatmap_HW[:] = blurred_HW / 255.0
    return heatmap_NHW


def _add_points(heatmap_HW: Float32, points_M2: Float32, sigma_px: float) -> None:
    """Raise the picture to the points' Gaussians, which are products of one along x and one along y."""
    radius = int(np.ceil(_REACH_SIGMAS * sigma_px))
    height, width = heatmap_HW.shape
    # The same rows and columns around each point, so that all Gaussians are computed at once.
    first_M2 = np.floor(points_M2).astype(np.int64) - radius
    place_MR2 = first_M2[:, None] + np.arange(2 * radius + 1)[:, None] + 0.5
    offset_MR2 = (place_MR2 - points_M2[:, None]) / sigma_px
    gauss_MR2 = np.where(np.abs(offset_MR2) <= _REACH_SIGMAS, np.exp(-0.5 * offset_MR2**2), 0)
    blobs_MRR = (gauss_MR2[:, :, None, 1] * gauss_MR2[:, None, :, 0]).astype(np.float32)
    for (left, top), blob in zip(first_M2.tolist(), blobs_MRR, strict=True):
        x0, y0 = max(left, 0), max(top, 0)
        x1, y1 = min(left + 2 * radius + 1, width), min(top + 2 * radius + 1, height)
        if x0 < x1 and y0 < y1:
            part = heatmap_HW[y0:y1, x0:x1]
            np.maximum(part, blob[y0 - top : y1 - top, x0 - left : x1 - left], out=part)


def landmark_lines(landmarks_M2: Float32, size: tuple[int, int], thickness_px: int) -> UInt8:
    """The closed outer and inner lips and the open jaw line, as lines of 255 on 0.

    Args:
        landmarks_M2: (39, 2) px, pixel centres at +0.5; those outside the picture leave no trace there.
        size: (height, width).
        thickness_px: Of the lines.

    Returns:
        (H, W) uint8, smooth at the lines' edges.
    """
    drawn = np.zeros(size, np.uint8)
    fixed_M2 = np.rint((landmarks_M2 - 0.5) * 2**_SHIFT).astype(np.int32)
    outer, inner, jaw = np.split(fixed_M2, [len(MOUTH_OUTER), NUM_MOUTH])
    for line, is_closed in ((outer, True), (inner, True), (jaw, False)):
        cv2.polylines(drawn, [line], is_closed, (255,), thickness_px, cv2.LINE_AA, _SHIFT)
    return drawn
