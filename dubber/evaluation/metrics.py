"""Measures of a re-made picture against the truth. Pictures are uint8 RGB, landmarks px of the 384 crop."""

from __future__ import annotations

import cv2
import numpy as np

from dubber.ops.optical_flow import flow_to, pulled
from dubber.types import CROP_SIZE_PX, Bool, Float32, UInt8

MOUTH_BOX_GROWTH = 0.25
"""The mouth box is the 39 landmarks' bounding box, grown by this part of its size in all."""

_SSIM_REACH_PX, _SSIM_SIGMA_PX = 5, 1.5
_SSIM_C1, _SSIM_C2 = (0.01 * 255) ** 2, (0.03 * 255) ** 2
_SEAM_BLUR_PX = 2.0
_COARSE_PX = 3.0
"""Standard deviation of the blur that leaves what the eye sees as shade rather than as grain."""

_FLAT = 1e-6


def psnr_db(image: UInt8, truth: UInt8) -> float:
    """Peak signal-to-noise ratio over all pixels and channels.

    Args:
        image: (H, W, 3) uint8.
        truth: (H, W, 3) uint8.

    Returns:
        10 log10(255^2 / mean squared error), dB; 100 for equal pictures, so that means stay finite.
    """
    error = cv2.norm(image, truth, cv2.NORM_L2SQR) / truth.size
    return 100.0 if error == 0 else float(10 * np.log10(255**2 / error))


def ssim(image: UInt8, truth: UInt8) -> float:
    """Structural similarity, mean over the three channels and all pixels whose window lies in the picture.

    The same numbers as scikit-image's, which takes many times as long on full frames.

    Source: Wang et al. 2004: Gaussian window of sigma 1.5 (11 x 11), K1 0.01, K2 0.03.

    Args:
        image: (H, W, 3) uint8, at least 11 px each way.
        truth: (H, W, 3) uint8.
    """
    # Equal windows have similarity 1: only the part that a differing pixel can reach is computed.
    red, green, blue = np.moveaxis(cv2.absdiff(image, truth), -1, 0)
    left, top, width, height = cv2.boundingRect(red | green | blue)
    if not width:
        return 1.0
    rows, columns = (
        slice(max(start - 2 * _SSIM_REACH_PX, 0), start + length + 2 * _SSIM_REACH_PX)
        for start, length in ((top, height), (left, width))
    )
    missing = 1 - _similarities(
        image[rows, columns].astype(np.float32), truth[rows, columns].astype(np.float32)
    )
    height, width, channels = truth.shape
    num_windows = (height - 2 * _SSIM_REACH_PX) * (width - 2 * _SSIM_REACH_PX) * channels
    return 1 - float(missing.sum(dtype=np.float64)) / num_windows


def _similarities(image: Float32, truth: Float32) -> Float32:
    """(H - 10, W - 10, 3) similarity of each window."""

    def local_mean(values: Float32) -> Float32:
        size = 2 * _SSIM_REACH_PX + 1
        inside = slice(_SSIM_REACH_PX, -_SSIM_REACH_PX)
        return np.asarray(cv2.GaussianBlur(values, (size, size), _SSIM_SIGMA_PX)[inside, inside], np.float32)

    mean, other_mean = local_mean(image), local_mean(truth)
    spread = local_mean(image**2) - mean**2 + local_mean(truth**2) - other_mean**2
    shared = local_mean(image * truth) - mean * other_mean
    luminance = (2 * mean * other_mean + _SSIM_C1) / (mean**2 + other_mean**2 + _SSIM_C1)
    return np.asarray(luminance * (2 * shared + _SSIM_C2) / (spread + _SSIM_C2), np.float32)


def sharpness(luma_HW: UInt8, is_inside_HW: Bool) -> float:
    """Fine detail: mean square of the Laplacian.

    Args:
        luma_HW: (H, W) uint8.
        is_inside_HW: (H, W) bool, pixels that count.

    Returns:
        Squared levels; 0 where no pixel counts. Compare it with that of the source at the same place: below
        its value the picture is blurred, above it noisy or over-sharpened.

    Source: the focus measure of Pech-Pacheco et al. 2000, "Diatom autofocusing in brightfield microscopy";
        the Laplacian's mean is next to 0, so its variance is its mean square.
    """
    if not is_inside_HW.any():
        return 0.0
    return float(np.square(cv2.Laplacian(luma_HW, cv2.CV_32F)[is_inside_HW]).mean())


def seam_energy(luma_HW: UInt8 | Float32, mask_HW: Float32) -> float:
    """Squared gradient across a mask's border, averaged along the border.

    The mask is blurred a little; its gradient's length says how much a pixel belongs to the border, its
    direction what "across" means there. So soft and hard masks are served alike.

    Args:
        luma_HW: (H, W) levels. Of a picture, edges a pixel wide count most; blurred (`coarse`), soft steps.
        mask_HW: (H, W) float32 in 0..1.

    Returns:
        Squared levels per px. Compare it with that of the source at the same place: an edge that follows the
        mask's border and is not in the source raises it. 0 where the mask has no border.
    """
    normal_y, normal_x = np.gradient(cv2.GaussianBlur(mask_HW, (0, 0), _SEAM_BLUR_PX))
    weight_HW = np.hypot(normal_x, normal_y)
    total = float(weight_HW.sum())
    if total < _FLAT:
        return 0.0
    down, right = np.gradient(luma_HW.astype(np.float32))
    across_HW = (right * normal_x + down * normal_y) / np.maximum(weight_HW, _FLAT)
    return float((weight_HW * across_HW**2).sum() / total)


def unrest(before_HW: UInt8, luma_HW: UInt8, after_HW: UInt8) -> Float32:
    """What of a picture is not explained by motion: half its second difference in time, motion compensated.

    Both neighbours are brought onto the picture by optical flow (DIS, Kroeger et al. 2016). What moves
    steadily vanishes, and so do slow changes of light; what jumps and comes back stays.

    Args:
        before_HW: (H, W) uint8 luma of the frame before.
        luma_HW: (H, W) uint8.
        after_HW: (H, W) uint8 luma of the frame after.

    Returns:
        (H, W) float32 levels, luma - (before + after) / 2 of the compensated neighbours. Compare its mean
        size with that of the source: the codec's and the camera's noise is in both. Blurred (`coarse`), noise
        vanishes and patches that pop stay.

    Source: the warping error of Lai et al. 2018, "Learning Blind Video Temporal Consistency", with both
        neighbours in the place of one.
    """
    here_HW = np.ascontiguousarray(luma_HW)
    neighbours = [
        pulled(other.astype(np.float32), flow_to(here_HW, np.ascontiguousarray(other)))
        for other in (before_HW, after_HW)
    ]
    return np.asarray(luma_HW.astype(np.float32) - (neighbours[0] + neighbours[1]) / 2, np.float32)


def coarse(levels_HW: UInt8 | Float32) -> Float32:
    """(H, W) float32 the picture without its finest detail and without most of its noise."""
    return np.asarray(cv2.GaussianBlur(levels_HW.astype(np.float32), (0, 0), _COARSE_PX), np.float32)


def mouth_box(landmarks_M2: Float32) -> tuple[int, int, int, int]:
    """Box of the 39 mouth and jaw landmarks, grown by a quarter, within the crop.

    Args:
        landmarks_M2: (39, 2) px of the crop.

    Returns:
        Half-open integer xyxy.
    """
    low, high = landmarks_M2.min(axis=0), landmarks_M2.max(axis=0)
    margin = (high - low) * MOUTH_BOX_GROWTH / 2
    x0, y0 = np.clip(np.floor(low - margin), 0, CROP_SIZE_PX).astype(int)
    x1, y1 = np.clip(np.ceil(high + margin), 0, CROP_SIZE_PX).astype(int)
    return int(x0), int(y0), int(x1), int(y1)
