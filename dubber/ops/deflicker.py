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

_LEAST_EXPONENT = np.float32(-30)

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
        now_HW3: (H, W, 3) uint8; at least 16 px each way.
        before_HW3: (H, W, 3) uint8 the unfiltered picture before.
        filtered_HW3: (H, W, 3) float32 levels, the filtered picture before.
        trust_HW: (H, W) float32 in 0..1, how far the picture before may count at all; see `lip_trust`.
        consistency: How strongly.

    Returns:
        (H, W, 3) float32 levels, within 0..255.
    """
    # Linear interpolation would blur a little more with each picture that is handed on.
    difference_HW3 = pulled(filtered_HW3, _flow(now_HW3, before_HW3), cv2.INTER_CUBIC)
    difference_HW3 -= now_HW3
    # As planes: weights and transforms then run along memory.
    difference_CHW = np.asarray(cv2.split(difference_HW3), np.float32)
    difference_CHW *= trust_HW * _confidence(difference_CHW, consistency.confidence_levels)
    correction_CHW = screened(difference_CHW, consistency.weight, consistency.data, consistency.detail)
    levels_HW3 = np.asarray(cv2.merge(list(correction_CHW)), np.float32)
    levels_HW3 += now_HW3
    return np.clip(levels_HW3, 0, 255, out=levels_HW3)


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
    height, width = size
    # A blur's width around the drawn lips; beyond it the trust is whole.
    reach_px = 3 * _LIP_MARGIN_PX * unit_px
    (x0, y0), (x1, y1) = (
        np.clip(np.floor(lips_P2.min(0) - reach_px), 0, (width, height)).astype(int),
        np.clip(np.ceil(lips_P2.max(0) + reach_px), 0, (width, height)).astype(int),
    )
    trust_HW = np.ones(size, np.float32)
    if x0 >= x1 or y0 >= y1:
        return trust_HW
    hull = cv2.convexHull(np.rint(lips_P2 - (x0, y0)).astype(np.int32))
    lips_hw = np.zeros((y1 - y0, x1 - x0), np.float32)
    cv2.fillConvexPoly(lips_hw, hull, (1.0,))
    cv2.polylines(lips_hw, [hull], True, (1.0,), thickness=max(1, round(2 * _LIP_MARGIN_PX * unit_px)))
    lips_hw = np.asarray(cv2.GaussianBlur(lips_hw, (0, 0), _LIP_MARGIN_PX / 2 * unit_px), np.float32)
    trust_HW[y0:y1, x0:x1] -= lips_hw * np.float32(1 - np.exp(-motion))
    return trust_HW


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


def screened(difference_CHW: Float32, weight: float, data: float, detail: Detail) -> Float32:
    """The x of least |D x|^2 + data |x|^2 + weight |x - difference|^2, mirrored at the rim.

    Args:
        difference_CHW: (C, H, W) float32.
        weight: Of the difference, >= 0.
        data: Of x itself, > 0.
        detail: D: the forward difference ("gradient") or the 5-point Laplacian.

    Returns:
        (C, H, W) float32.
    """
    spectrum_CHW = fft.dctn(difference_CHW, axes=(1, 2), norm="ortho")
    spectrum_CHW *= _gain(*difference_CHW.shape[1:], weight, data, detail)
    return np.asarray(fft.idctn(spectrum_CHW, axes=(1, 2), norm="ortho", overwrite_x=True), np.float32)


@lru_cache(maxsize=8)
def _gain(height: int, width: int, weight: float, data: float, detail: Detail) -> Float32:
    """(H, W) float32, by how much the cosine transform of the difference is multiplied."""
    eigenvalues_HW = _laplacian_eigenvalues(height, width)
    bending_HW = eigenvalues_HW if detail == "gradient" else eigenvalues_HW**2
    return np.asarray(weight / (bending_HW + (data + weight)), np.float32)


def _laplacian_eigenvalues(height: int, width: int) -> Float32:
    """(H, W) float32 of minus the 5-point Laplacian with mirrored rim, in the cosine transform's basis."""
    rows, columns = (2 - 2 * np.cos(np.pi * np.arange(size) / size) for size in (height, width))
    return np.asarray(rows[:, None] + columns, np.float32)


def _flow(now_HW3: UInt8, before_HW3: UInt8) -> Float32:
    now_HW, before_HW = (
        np.asarray(cv2.cvtColor(image, cv2.COLOR_RGB2GRAY), np.uint8) for image in (now_HW3, before_HW3)
    )
    return flow_to(now_HW, before_HW)


def _confidence(difference_CHW: Float32, levels: float) -> Float32:
    """(H, W) float32 in 0..1: Bonneel's exp(-|d|^2 / 2 s^2), d blurred and the largest around."""
    size_HW = cv2.GaussianBlur(np.abs(difference_CHW).mean(0), (0, 0), _DIFFERENCE_BLUR_PX)
    largest_HW = cv2.dilate(size_HW, np.ones((_CAUTION_PX, _CAUTION_PX), np.uint8))
    # Numbers below the normal ones would make everything that follows several times slower.
    exponent_HW = np.maximum(largest_HW**2 * np.float32(-0.5 / levels**2), _LEAST_EXPONENT)
    return np.asarray(cv2.exp(exponent_HW), np.float32)
