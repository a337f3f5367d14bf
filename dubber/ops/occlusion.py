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

_MAX_LIGHT = (25.0, 10.0, 10.0)
"""How far light may lift or tint the patch as a whole, levels of y, u and v."""

_CHROMA_WEIGHT = 2.0
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
    skin, lips = (
        cv2.resize(zone.astype(np.float32), (width, height), interpolation=cv2.INTER_AREA) > 0.9
        for zone in (is_skin_HW, is_lips_HW)
    )
    if not skin.any():
        return None
    blur_px = max(_BLUR_PX * unit_px / 2, 0.5)
    # Each zone is averaged within itself: what lips differ by must not spill onto the skin.
    zones = [zone.astype(np.float32) for zone in (skin, lips)]
    shares = [np.maximum(cv2.GaussianBlur(zone, (0, 0), blur_px), 1e-3) for zone in zones]
    energy = np.zeros((height, width), np.float32)
    for film, patch, weight, most in zip(
        film_planes, patch_planes, (1.0, _CHROMA_WEIGHT, _CHROMA_WEIGHT), _MAX_LIGHT, strict=True
    ):
        difference = cv2.subtract(film, patch, dtype=cv2.CV_32F)
        if film.shape != (height, width):
            difference = cv2.resize(difference, (width, height), interpolation=cv2.INTER_AREA)
        difference = difference - np.float32(np.clip(np.median(difference[skin]), -most, most))
        for zone, share in zip(zones, shares, strict=True):
            mean = cv2.GaussianBlur(difference * zone, (0, 0), blur_px) / share
            energy += zone * (np.float32(weight) * mean) ** 2
    is_sure = skin & (energy > _SURE**2)
    if not is_sure.any():
        return None
    is_likely = (skin & (energy > _LIKELY**2)) | (lips & (energy > _LIKELY_ON_LIPS**2))
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
