"""Poisson blending: the patch keeps its detail and takes the surroundings' colour.

Guided interpolation with the patch's own gradients equals the patch plus a *membrane*: the harmonic function
that meets, on the mask's rim, the difference between the surroundings and the patch. The membrane is smooth,
so it is solved on a coarser grid.

Source: Perez, Gangnet, Blake, "Poisson Image Editing", SIGGRAPH 2003, section 2 (equation 2 in its correction
form f = g + f~, Laplacian f~ = 0, f~ = f* - g on the rim).
"""

from __future__ import annotations

import cv2
import numpy as np

from dubber.types import Bool, Float32, UInt8

_TOLERANCE = 0.02
_COARSEST = 8


def membrane(
    values_HWC: Float32, is_inside_HW: Bool, tolerance: float = _TOLERANCE, max_iterations: int = 400
) -> Float32:
    """Fill a region with the harmonic function that meets the values around it.

    The 5-point Laplacian, cascadic: a coarse solution starts conjugate gradients on the finer grid.

    Args:
        values_HWC: (H, W, C) float32; values inside the region are ignored.
        is_inside_HW: (H, W) bool, the region; it must not touch the picture's rim.
        tolerance: Largest residual left, in units of the values.
        max_iterations: Bound of the conjugate gradients.

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
    inside = is_inside_HW[..., None].astype(np.float32)
    filled = filled * (1 - inside) + _first_guess(filled, inside) * inside
    return _conjugate_gradients(filled, inside, tolerance, max_iterations)


def _first_guess(values_HWC: Float32, inside_HW1: Float32) -> Float32:
    """Solve on a grid half as fine, recursively; at the coarsest take the mean of what is known."""
    height, width, channels = values_HWC.shape
    known = 1 - inside_HW1
    if min(height, width) <= _COARSEST:
        mean = (values_HWC * known).sum((0, 1)) / max(float(known.sum()), 1.0)
        return np.broadcast_to(mean, values_HWC.shape).astype(np.float32)
    half = (-(-width // 2), -(-height // 2))
    weight = cv2.resize(known, half, interpolation=cv2.INTER_AREA).reshape(half[1], half[0], 1)
    coarse = cv2.resize(values_HWC * known, half, interpolation=cv2.INTER_AREA).reshape(
        half[1], half[0], channels
    )
    coarse = coarse / np.maximum(weight, 1e-6)
    coarse_inside = (weight < 1e-3).astype(np.float32)
    coarse_inside[[0, -1]] = coarse_inside[:, [0, -1]] = 0
    if coarse_inside.any():
        guess = _first_guess(coarse, coarse_inside)
        coarse = coarse * (1 - coarse_inside) + guess * coarse_inside
        coarse = _conjugate_gradients(coarse, coarse_inside, _TOLERANCE, 30)
    return np.asarray(
        cv2.resize(coarse, (width, height), interpolation=cv2.INTER_LINEAR), np.float32
    ).reshape(values_HWC.shape)


def _laplacian(values_HWC: Float32) -> Float32:
    """4 v - the four neighbours, (H, W, C); rows and columns on the rim are meaningless."""
    result = 4 * values_HWC
    result[1:] -= values_HWC[:-1]
    result[:-1] -= values_HWC[1:]
    result[:, 1:] -= values_HWC[:, :-1]
    result[:, :-1] -= values_HWC[:, 1:]
    return result


def _conjugate_gradients(
    start_HWC: Float32, inside_HW1: Float32, tolerance: float, max_iterations: int
) -> Float32:
    """Make the inside of a picture harmonic; channels are independent problems run in step."""
    solution = start_HWC.copy()
    residual = -_laplacian(solution) * inside_HW1
    direction = residual.copy()
    energy = (residual**2).sum((0, 1))
    for _ in range(max_iterations):
        if float(np.abs(residual).max()) <= tolerance:
            break
        moved = _laplacian(direction) * inside_HW1
        step = energy / np.maximum((direction * moved).sum((0, 1)), 1e-20)
        solution += step * direction
        residual -= step * moved
        before, energy = energy, (residual**2).sum((0, 1))
        direction = residual + (energy / np.maximum(before, 1e-20)) * direction
    return solution


def poisson_blend(
    base_HW3: UInt8, patch_HW3: UInt8, mask_HW: Float32, scale: int = 4, limit: float = 48.0
) -> UInt8:
    """Put a patch into a picture so that neither its edge nor its light shows.

    Args:
        base_HW3: (H, W, 3) uint8, the surroundings.
        patch_HW3: (H, W, 3) uint8, aligned with the base.
        mask_HW: (H, W) float32 in 0..1, 1 = the patch; must be 0 within `2 * scale` px of the rim.
        scale: The membrane is solved on a grid this many times coarser.
        limit: Bound, in levels, of the difference the membrane follows beyond the rim's median: where the
        mask's
            rim crosses a collar or a beard the true difference would bleed into the skin.

    Returns:
        (H, W, 3) uint8; equal to the base wherever the mask is 0.

    Raises:
        ValueError: The mask touches the rim.
    """
    is_masked = mask_HW > 0
    if not is_masked.any():
        return base_HW3.copy()
    box = _grown_box(is_masked, 4 * scale)
    base, patch, mask = base_HW3[box], patch_HW3[box], mask_HW[box]
    offset = _membrane_offset(base, patch, mask, scale, limit)
    weight = mask[..., None]
    mixed = base + weight * (patch.astype(np.float32) + offset - base)
    result = base_HW3.copy()
    result[box] = np.where(weight > 0, np.clip(np.rint(mixed), 0, 255).astype(np.uint8), base)
    return result


def _membrane_offset(base: UInt8, patch: UInt8, mask: Float32, scale: int, limit: float) -> Float32:
    """What to add to the patch, (H, W, 3) float32."""
    height, width = mask.shape
    coarse_size = (-(-width // scale), -(-height // scale))
    difference = base.astype(np.float32) - patch
    known = (mask <= 0).astype(np.float32)
    weight = cv2.resize(known, coarse_size, interpolation=cv2.INTER_AREA)
    coarse = cv2.resize(difference * known[..., None], coarse_size, interpolation=cv2.INTER_AREA)
    coarse = np.asarray(coarse / np.maximum(weight, 1e-6)[..., None], np.float32)
    is_inside = weight < 0.5
    is_inside[[0, -1]] = is_inside[:, [0, -1]] = False
    near = cv2.dilate(is_inside.astype(np.uint8), np.ones((5, 5), np.uint8)).astype(bool) & ~is_inside
    if not near.any():
        return np.zeros_like(difference)
    middle = np.median(coarse[near], axis=0)
    # Averaged along the ring: single pixels of texture on the rim must not become streaks inside.
    ring = near.astype(np.float32)
    clamped = np.clip(coarse, middle - limit, middle + limit) * ring[..., None]
    smooth = (
        cv2.GaussianBlur(clamped, (0, 0), 1.5)
        / np.maximum(cv2.GaussianBlur(ring, (0, 0), 1.5), 1e-6)[..., None]
    )
    solved = membrane(np.where(near[..., None], smooth, middle).astype(np.float32), is_inside)
    return np.asarray(cv2.resize(solved, (width, height), interpolation=cv2.INTER_LINEAR), np.float32)


def _grown_box(is_masked_HW: Bool, margin_px: int) -> tuple[slice, slice]:
    """Rows and columns of a mask, grown, within the picture."""
    rows, columns = np.flatnonzero(is_masked_HW.any(1)), np.flatnonzero(is_masked_HW.any(0))
    height, width = is_masked_HW.shape
    if rows[0] == 0 or columns[0] == 0 or rows[-1] == height - 1 or columns[-1] == width - 1:
        raise ValueError("the mask touches the picture's rim")
    return (
        slice(max(0, rows[0] - margin_px), min(height, rows[-1] + 1 + margin_px)),
        slice(max(0, columns[0] - margin_px), min(width, columns[-1] + 1 + margin_px)),
    )
