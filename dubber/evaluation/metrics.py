"""Measures of a re-made picture against the truth. Pictures are uint8 RGB, landmarks px of the 384 crop."""

from __future__ import annotations

import numpy as np
from skimage.metrics import structural_similarity

from dubber.types import CROP_SIZE_PX, Float32, UInt8

MOUTH_BOX_GROWTH = 0.25
"""The mouth box is the 39 landmarks' bounding box, grown by this part of its size in all."""


def psnr_db(image: UInt8, truth: UInt8) -> float:
    """Peak signal-to-noise ratio over all pixels and channels.

    Args:
        image: (H, W, 3) uint8.
        truth: (H, W, 3) uint8.

    Returns:
        10 log10(255^2 / mean squared error), dB; 100 for equal pictures, so that means stay finite.
    """
    error = float(np.mean((image.astype(np.float32) - truth.astype(np.float32)) ** 2))
    return 100.0 if error == 0 else float(10 * np.log10(255**2 / error))


def ssim(image: UInt8, truth: UInt8) -> float:
    """Structural similarity, mean over the three channels.

    Source: Wang et al. 2004: Gaussian window of sigma 1.5 (11 x 11), K1 0.01, K2 0.03.

    Args:
        image: (H, W, 3) uint8, at least 11 px each way.
        truth: (H, W, 3) uint8.
    """
    return float(
        structural_similarity(
            image,
            truth,
            data_range=255,
            channel_axis=2,
            gaussian_weights=True,
            sigma=1.5,
            use_sample_covariance=False,
        )
    )


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
