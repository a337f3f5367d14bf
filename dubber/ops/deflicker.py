"""Flicker removal: coarse light follows the pictures before, fine detail stays that of each picture.

The filtered picture before, W, is brought onto the picture P by the optical flow between the unfiltered ones.
Then O minimises, per channel, with c in 0..1 the confidence that W shows the same thing at a pixel,

    |D (O - P)|^2 + data |O - P|^2 + weight |O - (P + c (W - P))|^2

whose normal equations the cosine transform makes diagonal (mirrored at the rim, no wrapping). D is the
Laplacian, or the gradient of the classical screened Poisson equation, whose cut is less sharp. Without the
data term, and without c, the mean colour of the first picture would stay for ever; see `literal_deflickered`.

Source: Song et al. 2022 (EBT), Appendix G, equation 7; Bonneel et al. 2015, "Blind Video Temporal
Consistency" (energy and confidence); the cosine transform: Strang 1999, "The Discrete Cosine Transform".
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache
from typing import Literal

import cv2
import numpy as np
from scipy import fft

from dubber.ops.optical_flow import flow_to, pulled
from dubber.types import Float32, UInt8

Detail = Literal["gradient", "laplacian"]

_DIFFERENCE_BLUR_PX = 1.5
"""Differences are judged over a few px: those of single ones are noise."""

_CAUTION_PX = 9
"""Side of the square around a pixel whose largest difference counts: beside a moving lip nothing is sure."""


_LIP_MARGIN_PX = 6.0
"""How far around the lips their motion counts, px of the 384 crop."""


@dataclass(frozen=True)
class Consistency:
    """How strongly a picture follows the one before.

    Attributes:
        weight: Of the picture before; with `data` it sets how much of the coarse light is taken over.
        data: Of the picture's own colours; larger forgets sooner.
        detail: Which derivative of the picture is kept.
        confidence_levels: Differences of so many levels count exp(-1/2) = 0.61.
    """

    weight: float
    data: float
    detail: Detail
    confidence_levels: float


def deflickered(
    now_HW3: UInt8,
    before_HW3: UInt8,
    filtered_HW3: Float32,
    trust_HW: Float32,
    consistency: Consistency,
) -> Float32:
    """Filter a picture.

    The result is not rounded: a recursion through whole levels would stop short of a lasting change of light.

    Args:
        now_HW3: (H, W, 3) uint8; height and width are even.
        before_HW3: (H, W, 3) uint8 the unfiltered picture before.
        filtered_HW3: (H, W, 3) float32 levels, the filtered picture before.
        trust_HW: (H, W) float32 in 0..1, how far the picture before may count at all; see `lip_trust`.
        consistency: How strongly.

    Returns:
        (H, W, 3) float32 levels, within 0..255.
    """
    now = now_HW3.astype(np.float32)
    # Linear interpolation would blur a little more with each picture that is handed on.
    difference = pulled(filtered_HW3, _flow(now_HW3, before_HW3), cv2.INTER_CUBIC) - now
    difference *= (trust_HW * _confidence(difference, consistency.confidence_levels))[..., None]
    correction = screened(difference, consistency.weight, consistency.data, consistency.detail)
    return np.clip(now + correction, 0, 255)


def lip_trust(lips_P2: Float32, motion: float, size: tuple[int, int], unit_px: float) -> Float32:
    """1, but exp(-motion) on and next to the lips: the paper's weight, where the motion is.

    Flow does not find teeth that come into view: moving lips would be dragged, and open less.

    Args:
        lips_P2: (P, 2) px, points around the lips.
        motion: How far they moved since the picture before, in units that divide the trust by e.
        size: (height, width) of the picture.
        unit_px: Pixels that a pixel of the 384 crop is here.

    Returns:
        (H, W) float32 in 0..1.
    """
    hull = cv2.convexHull(np.rint(lips_P2).astype(np.int32))
    lips_HW = np.zeros(size, np.float32)
    cv2.fillConvexPoly(lips_HW, hull, (1.0,))
    cv2.polylines(lips_HW, [hull], True, (1.0,), thickness=max(1, round(2 * _LIP_MARGIN_PX * unit_px)))
    lips_HW = np.asarray(cv2.GaussianBlur(lips_HW, (0, 0), _LIP_MARGIN_PX / 2 * unit_px), np.float32)
    return 1 - lips_HW * np.float32(1 - np.exp(-motion))


def literal_deflickered(
    now_HW3: UInt8, before_HW3: UInt8, filtered_HW3: Float32, motion_px: float
) -> Float32:
    """Equation 7 as printed: O^ = (4 pi^2 f^2 P^ + w W^) / (4 pi^2 f^2 + w), w = exp(-motion).

    At f = 0 this is W whatever the weight: the mean colour of a shot's first picture stays. The Fourier
    transform wraps around at the rim.

    Args:
        now_HW3: (H, W, 3) uint8.
        before_HW3: (H, W, 3) uint8 the unfiltered picture before.
        filtered_HW3: (H, W, 3) float32 levels, the filtered picture before.
        motion_px: The mouth's motion between the two, px of the 384 crop.

    Returns:
        (H, W, 3) float32 levels, within 0..255.
    """
    height, width = now_HW3.shape[:2]
    squared_HW = fft.fftfreq(height)[:, None] ** 2 + fft.rfftfreq(width) ** 2
    bending_HW1 = 4 * np.pi**2 * squared_HW[..., None]
    weight = np.exp(-motion_px)
    now, warped = (
        fft.rfft2(image.astype(np.float64), axes=(0, 1))
        for image in (now_HW3, pulled(filtered_HW3, _flow(now_HW3, before_HW3)))
    )
    solved = (bending_HW1 * now + weight * warped) / (bending_HW1 + weight)
    levels = np.clip(fft.irfft2(solved, s=(height, width), axes=(0, 1)), 0, 255)
    return np.asarray(levels, np.float32)


def screened(difference_HWC: Float32, weight: float, data: float, detail: Detail) -> Float32:
    """The x of least |D x|^2 + data |x|^2 + weight |x - difference|^2, mirrored at the rim.

    Args:
        difference_HWC: (H, W, C) float32; height and width are even.
        weight: Of the difference, >= 0.
        data: Of x itself, > 0.
        detail: D: the forward difference ("gradient") or the 5-point Laplacian.

    Returns:
        (H, W, C) float32.
    """
    height, width, channels = difference_HWC.shape
    eigenvalues_HW = _laplacian_eigenvalues(height, width)
    bending_HW = eigenvalues_HW if detail == "gradient" else eigenvalues_HW**2
    gain_HW = np.asarray(weight / (bending_HW + (data + weight)), np.float32)
    planes = (np.ascontiguousarray(difference_HWC[..., channel]) for channel in range(channels))
    return np.stack([cv2.idct(cv2.dct(plane) * gain_HW) for plane in planes], axis=-1)


@lru_cache(maxsize=8)
def _laplacian_eigenvalues(height: int, width: int) -> Float32:
    """(H, W) float32 of minus the 5-point Laplacian with mirrored rim, in the cosine transform's basis."""
    rows, columns = (2 - 2 * np.cos(np.pi * np.arange(size) / size) for size in (height, width))
    return np.asarray(rows[:, None] + columns, np.float32)


def _flow(now_HW3: UInt8, before_HW3: UInt8) -> Float32:
    return flow_to(
        *(np.asarray(cv2.cvtColor(image, cv2.COLOR_RGB2GRAY), np.uint8) for image in (now_HW3, before_HW3))
    )


def _confidence(difference_HW3: Float32, levels: float) -> Float32:
    """(H, W) float32 in 0..1: Bonneel's exp(-|d|^2 / 2 s^2), d blurred and the largest around."""
    size_HW = cv2.GaussianBlur(np.abs(difference_HW3).mean(axis=-1), (0, 0), _DIFFERENCE_BLUR_PX)
    largest_HW = cv2.dilate(size_HW, np.ones((_CAUTION_PX, _CAUTION_PX), np.uint8))
    return np.asarray(cv2.exp(largest_HW**2 * (-0.5 / levels**2)), np.float32)
