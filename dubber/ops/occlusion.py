"""What stands before the mouth: a hand, a microphone, a cup.

Patch and film show the same skin around the lips, but for light. Where they contradict each other far beyond
what folds, stubble and shadows do, something is in the way that the patch does not know: the film is right.
Lips themselves differ because that is what a dub is for: an object is only followed onto them from the skin
beside them.
"""

from __future__ import annotations

import cv2
import numpy as np

from dubber.types import Bool, Float32, UInt8

_SURE = 55.0
"""Levels of contradiction at which something is in the way. Source: in seven talking clips without such
objects, re-made by the exemplar renderer, the largest found on skin is 43."""

_LIKELY, _LIKELY_ON_LIPS = 30.0, 45.0
"""Levels down to which an object is followed."""

_MAX_LIGHT = np.array([25, 10, 10], np.float32)
"""How far light may lift or tint the patch as a whole, levels of y, u and v."""

_WEIGHTS = np.array([1, 2, 2], np.float32)
"""Of y, u and v."""

_BLUR_PX = 4.5
_MARGIN_PX = 6.0
"""Px of the 384 crop: finer differences are texture, and an object's rim is kept with it."""


def occlusion(
    film_planes: tuple[UInt8, UInt8, UInt8],
    patch_planes: tuple[UInt8, UInt8, UInt8],
    is_skin_HW: Bool,
    is_lips_HW: Bool,
    unit_px: float,
) -> Float32 | None:
    """Where the film shows something that the patch does not know.

    Args:
        film_planes: y (H, W), u and v (H / 2, W / 2) uint8.
        patch_planes: The same of the patch, aligned.
        is_skin_HW: (H, W) bool, where both should show skin.
        is_lips_HW: (H, W) bool, where either shows lips or what lies between them.
        unit_px: Pixels that a pixel of the 384 crop is here.

    Returns:
        (H, W) float32 in 0..1, 1 = the film must be kept; None where nothing is in the way.
    """
    height, width = film_planes[1].shape
    is_skin_hw = _halved(is_skin_HW)
    if not is_skin_hw.any():
        return None
    blur_px = max(_BLUR_PX * unit_px / 2, 0.5)
    differences = [
        cv2.subtract(film, patch, dtype=cv2.CV_32F)
        for film, patch in zip(film_planes, patch_planes, strict=True)
    ]
    differences[0] = cv2.resize(differences[0], (width, height), interpolation=cv2.INTER_AREA)
    difference_hw3 = np.asarray(cv2.merge(differences), np.float32)
    light_3 = np.median(np.ascontiguousarray(difference_hw3[is_skin_hw].T), axis=1)
    difference_hw3 -= np.clip(light_3, -_MAX_LIGHT, _MAX_LIGHT)
    difference_hw3 *= _WEIGHTS
    on_skin = _contradiction(difference_hw3, is_skin_hw, blur_px)
    is_sure = on_skin > _SURE**2
    if not is_sure.any():
        return None
    on_lips = _contradiction(difference_hw3, _halved(is_lips_HW), blur_px)
    is_likely = (on_skin > _LIKELY**2) | (on_lips > _LIKELY_ON_LIPS**2)
    outlines, _ = cv2.findContours(is_likely.astype(np.uint8), cv2.RETR_EXTERNAL, cv2.CHAIN_APPROX_SIMPLE)
    covered = np.zeros((height, width), np.uint8)
    for outline in outlines:
        # Also what of the lips looks like the object by chance.
        filled = cv2.fillConvexPoly(np.zeros_like(covered), cv2.convexHull(outline), (1,))
        if is_sure[filled > 0].any():
            covered |= np.asarray(filled, np.uint8)
    reach = 2 * max(1, round(_MARGIN_PX * unit_px / 2)) + 1
    grown = cv2.dilate(covered, cv2.getStructuringElement(cv2.MORPH_ELLIPSE, (reach, reach)))
    soft = cv2.GaussianBlur(grown.astype(np.float32), (0, 0), blur_px / 2)
    size = is_skin_HW.shape[1], is_skin_HW.shape[0]
    return np.asarray(np.minimum(cv2.resize(soft, size, interpolation=cv2.INTER_LINEAR), 1), np.float32)


def _contradiction(difference_hw3: Float32, is_zone_hw: Bool, blur_px: float) -> Float32:
    """(h, w) float32 squared levels by which pictures differ in a zone; 0 outside.

    Averaged within the zone alone: what lips differ by must not spill onto the skin.
    """
    zone = is_zone_hw.astype(np.float32)
    share = np.maximum(cv2.GaussianBlur(zone, (0, 0), blur_px), 1e-3)
    sum_hw3 = cv2.GaussianBlur(difference_hw3 * zone[..., None], (0, 0), blur_px)
    squared = cv2.transform(sum_hw3 * sum_hw3, np.ones((1, 3), np.float32))
    return np.asarray(zone * squared / (share * share), np.float32)


def _halved(zone_HW: Bool) -> Bool:
    """(H / 2, W / 2), the 2 x 2 blocks that lie in a zone wholly."""
    rows = zone_HW[::2] & zone_HW[1::2]
    return np.asarray(rows[:, ::2] & rows[:, 1::2], np.bool_)
