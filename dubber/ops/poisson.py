"""Poisson blending: the patch keeps its detail and takes the surroundings' colour.

Guided interpolation with the patch's own gradients equals the patch plus a *membrane*: the harmonic function
that meets, on the mask's rim, the difference between the surroundings and the patch. The membrane is smooth,
so it is solved on a coarser grid, and there directly: the 5-point Laplacian of a region that is n cells high,
numbered column by column, is a banded matrix of bandwidth n.

Source: Perez, Gangnet, Blake, "Poisson Image Editing", SIGGRAPH 2003, section 2 (equation 2 in its correction
form f = g + f~, Laplacian f~ = 0, f~ = f* - g on the rim).
"""

from __future__ import annotations

from collections.abc import Sequence

import cv2
import numpy as np
from scipy.linalg import solveh_banded

from dubber.types import Bool, Float32, UInt8

_RIM_LEVEL = 0.3
"""Where the mask is below this the surroundings say what the patch should look like: inside the feather,
where both show the same skin, not beyond it, where one may show a collar."""

_RIM_CELLS = 4
"""Width of the rim, in cells of the coarse grid."""

_RIM_BLUR_CELLS = 3.0


def membrane(values_HWC: Float32, is_inside_HW: Bool) -> Float32:
    """Fill a region with the harmonic function that meets the values around it.

    Args:
        values_HWC: (H, W, C) float32; values inside the region are ignored.
        is_inside_HW: (H, W) bool, the region; it must not touch the picture's rim.

    Returns:
        (H, W, C) float32; outside the region the values as given.

    Raises:
        ValueError: The region touches the rim.
    """
    if is_inside_HW[[0, -1]].any() or is_inside_HW[:, [0, -1]].any():
        raise ValueError("the region of a membrane may not touch the picture's rim")
    filled = np.array(values_HWC, np.float32)
    if not is_inside_HW.any():
        return filled
    height, width = is_inside_HW.shape
    if height > width:
        return np.swapaxes(membrane(np.swapaxes(filled, 0, 1), is_inside_HW.T), 0, 1)
    columns_WH = is_inside_HW.T
    count = int(columns_WH.sum())
    number_WH = np.full(columns_WH.shape, -1)
    number_WH[columns_WH] = np.arange(count)
    known = np.where(is_inside_HW[..., None], 0, filled)
    around = np.zeros_like(known)
    around[1:-1, 1:-1] = known[:-2, 1:-1] + known[2:, 1:-1] + known[1:-1, :-2] + known[1:-1, 2:]
    below, beside = number_WH[:-1, 1:], number_WH[1:, :-1]
    here = number_WH[:-1, :-1]
    has_below, has_beside = (here >= 0) & (below >= 0), (here >= 0) & (beside >= 0)
    steps = beside[has_beside] - here[has_beside]
    bands = np.zeros((max(int(steps.max(initial=1)), 1) + 1, count), np.float32)
    bands[0] = 4
    bands[1, here[has_below]] = -1
    bands[steps, here[has_beside]] = -1
    right = np.swapaxes(around, 0, 1)[columns_WH]
    solution = solveh_banded(
        bands, right, overwrite_ab=True, overwrite_b=True, lower=True, check_finite=False
    )
    np.swapaxes(filled, 0, 1)[columns_WH] = solution
    return filled


def poisson_blend(
    base_planes: Sequence[UInt8],
    patch_planes: Sequence[UInt8],
    mask_HW: Float32,
    scale: int = 4,
    limits: Sequence[float] = (48.0,),
) -> tuple[UInt8, ...]:
    """Put a patch into a picture so that neither its edge nor its light shows.

    Args:
        base_planes: The surroundings, uint8; (H, W), or coarser planes of the same part, such as chroma.
        patch_planes: Planes of the same sizes, aligned with the base.
        mask_HW: (H, W) float32 in 0..1, 1 = the patch; 0 along the picture's rim.
        scale: The membrane is solved on a grid this many times coarser than the mask.
        limits: One for all planes, or one for each: bound, in levels, of the difference the membrane follows
            beyond the rim's median: where the rim crosses a collar or a beard the true difference would bleed
            into the skin.

    Returns:
        Planes like the base's; equal to the base wherever the mask is 0.

    Raises:
        ValueError: The mask touches the rim.
    """
    height, width = mask_HW.shape
    if mask_HW[[0, -1]].any() or mask_HW[:, [0, -1]].any():
        raise ValueError("the mask touches the picture's rim")
    differences = [
        np.asarray(cv2.subtract(base, patch, dtype=cv2.CV_32F), np.float32)
        for base, patch in zip(base_planes, patch_planes, strict=True)
    ]
    coarse = (max(-(-width // scale), 3), max(-(-height // scale), 3))
    light = _light(
        differences, mask_HW, coarse, np.broadcast_to(np.asarray(limits, np.float32), len(differences))
    )
    mask_of = _at_sizes(mask_HW, base_planes)
    mixed = []
    for base, difference, light_hw in zip(base_planes, differences, cv2.split(light), strict=True):
        change = cv2.resize(light_hw, base.shape[::-1], interpolation=cv2.INTER_LINEAR)
        cv2.subtract(change, difference, change)
        cv2.multiply(change, mask_of[base.shape], change)
        mixed.append(np.asarray(cv2.add(base, change, dtype=cv2.CV_8U), np.uint8))
    return tuple(mixed)


def _at_sizes(mask_HW: Float32, planes: Sequence[UInt8 | Float32]) -> dict[tuple[int, ...], Float32]:
    """A mask at the size of each plane."""
    return {
        shape: mask_HW
        if shape == mask_HW.shape
        else np.asarray(cv2.resize(mask_HW, shape[::-1], interpolation=cv2.INTER_AREA), np.float32)
        for shape in {plane.shape for plane in planes}
    }


def _light(
    differences: Sequence[Float32], mask_HW: Float32, size: tuple[int, int], limits_P: Float32
) -> Float32:
    """What to add to the patch, (h, w, P) float32 on the coarse grid; `size` is (w, h)."""
    known = (mask_HW < _RIM_LEVEL).astype(np.float32)
    weight = cv2.resize(known, size, interpolation=cv2.INTER_AREA)
    is_inside = weight < 0.5
    is_inside[[0, -1]] = is_inside[:, [0, -1]] = False
    reach = np.ones((2 * _RIM_CELLS + 1, 2 * _RIM_CELLS + 1), np.uint8)
    is_rim = (cv2.dilate(is_inside.astype(np.uint8), reach) > 0) & ~is_inside
    if not is_rim.any():
        return np.zeros((size[1], size[0], len(differences)), np.float32)
    known_of = _at_sizes(known, differences)
    coarse = [
        cv2.resize(cv2.multiply(difference, known_of[difference.shape]), size, interpolation=cv2.INTER_AREA)
        for difference in differences
    ]
    known_hwP = np.stack(coarse, -1) / np.maximum(weight, 1e-6)[..., None]
    middle = np.median(known_hwP[is_rim], axis=0)
    # Averaged along the rim: single pixels of texture must not become streaks inside.
    rim = is_rim.astype(np.float32)
    bounded = np.clip(known_hwP, middle - limits_P, middle + limits_P) * rim[..., None]
    summed, share = (cv2.GaussianBlur(values, (0, 0), _RIM_BLUR_CELLS) for values in (bounded, rim))
    smooth = summed.reshape(bounded.shape) / np.maximum(share, 1e-6)[..., None]
    return membrane(np.where(is_rim[..., None], smooth, middle).astype(np.float32), is_inside)
