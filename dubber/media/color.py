"""Colour: which numbers of YUV mean which colour, and the crossing to RGB and back.

Only 8 bit 4:2:0 is handled here; other formats are converted before they become a `Frame`. Chroma is taken
as left-sited, the default of MPEG-2, H.264, HEVC and VP9: a chroma sample lies on the left luma column of its
2x2 block, half-way between the two rows.

Index letters: H, W pixels of luma; h, w samples of chroma, the half rounded up.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache

import cv2
import numpy as np

from dubber.types import ColorTags, Float32, Float64, UInt8

UNSPECIFIED = 2
"""Code of matrix, primaries and transfer that says nothing (ISO/IEC 23091-2)."""

RANGE_LIMITED, RANGE_FULL = 1, 2
"""FFmpeg's AVCOL_RANGE_MPEG and AVCOL_RANGE_JPEG."""

MATRIX_BT709, MATRIX_BT601, MATRIX_BT2020 = 1, 6, 9

_LUMA_WEIGHTS: dict[int, tuple[float, float]] = {
    MATRIX_BT709: (0.2126, 0.0722),
    MATRIX_BT601: (0.299, 0.114),
    MATRIX_BT2020: (0.2627, 0.0593),
}
"""K_r, K_b. Source: ISO/IEC 23091-2 table 4."""

_SAME_MATRIX = {1: MATRIX_BT709, 5: MATRIX_BT601, 6: MATRIX_BT601, 9: MATRIX_BT2020, 10: MATRIX_BT2020}
_HD_HEIGHT = 720


@dataclass(frozen=True)
class YuvColor:
    """A YUV encoding, resolved: nothing in it is unspecified.

    Attributes:
        matrix: One of `MATRIX_BT709`, `MATRIX_BT601`, `MATRIX_BT2020` (non-constant luminance).
        is_full_range: Whether luma uses 0..255 rather than 16..235.
    """

    matrix: int
    is_full_range: bool


def resolve_color(tags: ColorTags, size: tuple[int, int]) -> YuvColor:
    """Fill in what a stream's tags leave open.

    Args:
        tags: The stream's tags.
        size: (height, width); players take untagged high definition as BT.709 and the rest as BT.601.

    Returns:
        The encoding; range is limited unless tagged full.
    """
    guess = MATRIX_BT709 if min(size) >= _HD_HEIGHT else MATRIX_BT601
    return YuvColor(_SAME_MATRIX.get(tags.matrix, guess), tags.range == RANGE_FULL)


@lru_cache(maxsize=16)
def rgb_to_yuv_matrix(color: YuvColor) -> Float64:
    """Affine map from RGB in 0..255 to YUV in 0..255.

    Args:
        color: The encoding.

    Returns:
        (3, 4) float64; the last column is the offset.

    Source: ISO/IEC 23091-2 section 8.3, equations 31-34 and 38-40.
    """
    k_r, k_b = _LUMA_WEIGHTS[color.matrix]
    luma = np.array([k_r, 1 - k_r - k_b, k_b])
    blue, red = (np.eye(3)[2] - luma) / (2 * (1 - k_b)), (np.eye(3)[0] - luma) / (2 * (1 - k_r))
    luma_scale, chroma_scale, black = (1.0, 1.0, 0.0) if color.is_full_range else (219 / 255, 224 / 255, 16.0)
    linear = np.stack([luma * luma_scale, blue * chroma_scale, red * chroma_scale])
    return np.concatenate([linear, [[black], [128.0], [128.0]]], axis=1)


@lru_cache(maxsize=16)
def yuv_to_rgb_matrix(color: YuvColor) -> Float64:
    """Inverse of `rgb_to_yuv_matrix`, (3, 4) float64."""
    forward = rgb_to_yuv_matrix(color)
    inverse = np.linalg.inv(forward[:, :3])
    return np.concatenate([inverse, -inverse @ forward[:, 3:]], axis=1)


def upsample_chroma(chroma_hw: UInt8, size: tuple[int, int]) -> UInt8:
    """Bring a chroma plane to luma's size, bilinear.

    Args:
        chroma_hw: (h, w) uint8.
        size: (H, W) with h = ceil(H / 2) and w = ceil(W / 2).

    Returns:
        (H, W) uint8.

    Convention: left-sited, see the module's text.
    """
    height, width = size
    small_height, small_width = chroma_hw.shape
    tall = cv2.resize(chroma_hw, (small_width, 2 * small_height), interpolation=cv2.INTER_LINEAR)[:height]
    right = np.concatenate([tall[:, 1:], tall[:, -1:]], axis=1)
    wide = np.empty((height, 2 * small_width), np.uint8)
    wide[:, 0::2] = tall
    wide[:, 1::2] = cv2.addWeighted(tall, 0.5, right, 0.5, 0.0)
    return np.ascontiguousarray(wide[:, :width])


def yuv_to_rgb(y_HW: UInt8, u_HW: UInt8, v_HW: UInt8, color: YuvColor) -> UInt8:
    """Convert planes of one size.

    Args:
        y_HW: (H, W) uint8.
        u_HW: (H, W) uint8, upsampled.
        v_HW: (H, W) uint8, upsampled.
        color: What the numbers mean.

    Returns:
        (H, W, 3) uint8 RGB.
    """
    merged = cv2.merge([y_HW, u_HW, v_HW])
    return np.asarray(cv2.transform(merged, yuv_to_rgb_matrix(color)), np.uint8)


def rgb_to_yuv420(rgb: UInt8, color: YuvColor) -> tuple[UInt8, UInt8, UInt8]:
    """Convert to planes, chroma at half size by area.

    Args:
        rgb: (H, W, 3) uint8 RGB whose first row and column are even in the picture.
        color: What the numbers shall mean.

    Returns:
        y (H, W), u (h, w), v (h, w), uint8.

    Convention: left-sited; a chroma sample averages two rows and, horizontally, 1-2-1 around its column.
    """
    yuv: Float32 = np.asarray(cv2.transform(rgb.astype(np.float32), rgb_to_yuv_matrix(color)), np.float32)
    height, width = rgb.shape[:2]
    padded: Float32 = np.pad(yuv[..., 1:], ((0, height % 2), (1, 1), (0, 0)), mode="edge")
    rows: Float32 = np.float32(0.5) * (padded[0::2] + padded[1::2])
    left, middle, right = rows[:, 0:width:2], rows[:, 1 : width + 1 : 2], rows[:, 2 : width + 2 : 2]
    chroma: UInt8 = _to_uint8(np.float32(0.25) * (left + middle + middle + right))
    return _to_uint8(yuv[..., 0]), chroma[..., 0].copy(), chroma[..., 1].copy()


def _to_uint8(values: Float32) -> UInt8:
    return np.asarray(np.clip(np.rint(values), 0, 255), np.uint8)
