"""Thin-plate-spline warps: move a picture so that its landmarks land where they are wanted.

Source: Bookstein, "Principal Warps: Thin-Plate Splines and the Decomposition of Deformations", PAMI 1989; the
regularised form of Wahba (1990): the spline minimises the residual plus `regularisation` times the bending
energy.

Index letters: P control points, G nodes of the coarse grid, D numbers displaced at once, K source pictures,
M = 39 mouth and jaw landmarks.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache

import cv2
import numpy as np

from dubber.ops.landmarks import MOUTH_INNER, MOUTH_OUTER
from dubber.types import Float32, Float64, UInt8

GRID_PX = 6
"""Distance of the nodes at which the spline is evaluated, in px of a 384 crop: lips are about 15 px thick."""

_UNIT_PX = 128.0
_INNER_START = len(MOUTH_OUTER)
_INNER_PAIRS = tuple(
    (_INNER_START + upper, _INNER_START + len(MOUTH_INNER) - upper)
    for upper in range(1, len(MOUTH_INNER) // 2)
)
"""Positions, within the 39, of the inner lips' upper points and of the lower points opposite to them."""


@dataclass(frozen=True)
class ThinPlate:
    """A displacement field: where in the source picture the colour of a destination point is found.

    Splines that share their destination points are kept together: D is 2, or 2 K for K source pictures.

    Attributes:
        centers_P2: (P, 2) float64 destination points, px.
        weights_PD: (P, D) float64 coefficients of the kernel r^2 log r^2, r in units of 128 px.
        affine_3D: (3, D) float64, displacement = [1, x, y] @ affine + kernel part; x, y in units of 128 px.
    """

    centers_P2: Float64
    weights_PD: Float64
    affine_3D: Float64


def rim_points(size: tuple[float, float], per_side: int = 5) -> Float32:
    """Anchors evenly along the rim of a rectangle, corners included.

    Args:
        size: (height, width), px.
        per_side: Intervals along each side.

    Returns:
        (4 * per_side, 2) float32 px.
    """
    steps = np.arange(per_side, dtype=np.float32) / per_side
    zero, one = np.zeros_like(steps), np.ones_like(steps)
    sides = [(steps, zero), (one, steps), (1 - steps, one), (zero, 1 - steps)]
    height, width = size
    points = np.concatenate([np.stack(side, 1) for side in sides])
    return np.asarray(points * [width, height], np.float32)


def fit_thin_plate(
    destination_P2: Float32, source_P2: Float32, regularisation: Float32 | float = 0.0
) -> ThinPlate:
    """Fit the spline that takes destination points to source points.

    Args:
        destination_P2: (P, 2) px where the points shall be; distinct unless regularised, not all on a line.
        source_P2: (P, 2) px where they are in the source picture; (K, P, 2) for several pictures at once.
        regularisation: Scalar or (P,), >= 0; 0 meets the point exactly, about 0.01 forgives a pixel of noise.

    Returns:
        The spline.

    Raises:
        ValueError: The points do not determine a spline.
    """
    points = np.asarray(destination_P2, np.float64) / _UNIT_PX
    count = len(points)
    system = np.zeros((count + 3, count + 3))
    squared = ((points[:, None] - points[None]) ** 2).sum(-1)
    system[:count, :count] = squared * np.log(np.maximum(squared, 1e-12))
    system[np.arange(count), np.arange(count)] += np.asarray(regularisation, np.float64)
    system[:count, count] = system[count, :count] = 1.0
    system[:count, count + 1 :] = points
    system[count + 1 :, :count] = points.T
    moved_KP2 = np.asarray(source_P2, np.float64) - np.asarray(destination_P2, np.float64)
    moved_PD = np.moveaxis(moved_KP2.reshape(-1, count, 2), 1, 0).reshape(count, -1)
    right = np.concatenate([moved_PD, np.zeros((3, moved_PD.shape[1]))])
    try:
        solution = np.linalg.solve(system, right)
    except np.linalg.LinAlgError as error:
        raise ValueError("thin-plate spline: coinciding or collinear control points") from error
    return ThinPlate(np.asarray(destination_P2, np.float64), solution[:count], solution[count:])


def evaluate_thin_plate(spline: ThinPlate, points_X2: Float32 | Float64) -> Float32:
    """Displacement (source minus destination) at destination points.

    Args:
        spline: The spline.
        points_X2: (X, 2) px.

    Returns:
        (X, D) float32 px.
    """
    points = np.asarray(points_X2, np.float32) / np.float32(_UNIT_PX)
    centers = (spline.centers_P2 / _UNIT_PX).astype(np.float32)
    dx = points[:, :1] - centers[:, 0]
    dy = points[:, 1:] - centers[:, 1]
    np.square(dx, out=dx)
    np.square(dy, out=dy)
    squared = np.maximum(np.add(dx, dy, out=dx), np.float32(1e-12), out=dx)
    kernel = np.multiply(squared, cv2.log(squared), out=dy)
    affine = spline.affine_3D.astype(np.float32)
    return np.asarray(
        kernel @ spline.weights_PD.astype(np.float32) + affine[0] + points @ affine[1:], np.float32
    )


def source_positions(spline: ThinPlate, scale: float, corner_xy: tuple[float, float]) -> ThinPlate:
    """The spline of where colours are found, instead of how far away; D stays.

    Args:
        spline: Displacements, px.
        scale: Size of the source picture, compared to that in which the spline counts.
        corner_xy: Where the destination's corner lies in the source picture, px before the scale.

    Returns:
        The spline whose values are OpenCV's coordinates in the source picture: pixel centres are whole.
    """
    num_pictures = spline.weights_PD.shape[1] // 2
    affine_32 = np.concatenate([[corner_xy], _UNIT_PX * np.eye(2)])
    affine_3D = scale * (spline.affine_3D + np.tile(affine_32, num_pictures))
    affine_3D[0] -= 0.5
    return ThinPlate(spline.centers_P2, scale * spline.weights_PD, affine_3D)


def dense_displacement(spline: ThinPlate, size: tuple[int, int], grid_px: int = GRID_PX) -> Float32:
    """Displacement of every pixel: the spline on a coarse grid, cubically upsampled.

    Args:
        spline: The spline.
        size: (height, width) of the destination.
        grid_px: Distance of the grid's nodes.

    Returns:
        (H, W, D) float32 px; each of the D planes is contiguous.
    """
    rows_HG, columns_WG = (_upsampling(side, grid_px) for side in size)
    nodes_y, nodes_x = (
        (np.arange(m.shape[1], dtype=np.float32) - 1) * grid_px for m in (rows_HG, columns_WG)
    )
    grid_GG2 = np.stack(np.meshgrid(nodes_x, nodes_y), -1)
    coarse = evaluate_thin_plate(spline, grid_GG2.reshape(-1, 2)).reshape(*grid_GG2.shape[:2], -1)
    coarse_DGG = np.ascontiguousarray(np.moveaxis(coarse, -1, 0))
    return np.moveaxis(rows_HG @ (coarse_DGG @ columns_WG.T), 0, -1)


@lru_cache(maxsize=64)
def _upsampling(size_px: int, grid_px: int) -> Float32:
    """(S, G) matrix from values at nodes to values at pixel centres: Catmull-Rom, exact for quadratics.

    The nodes lie at (k - 1) * grid_px, so that no pixel needs a node outside the grid.
    """
    position = (np.arange(size_px) + 0.5) / grid_px + 1
    first = np.floor(position).astype(int)
    t = position - first
    weights = np.stack(
        [
            -0.5 * t + t**2 - 0.5 * t**3,
            1 - 2.5 * t**2 + 1.5 * t**3,
            0.5 * t + 2 * t**2 - 1.5 * t**3,
            -0.5 * t**2 + 0.5 * t**3,
        ],
        1,
    )
    matrix = np.zeros((size_px, int(first.max()) + 3), np.float32)
    for offset in range(4):
        matrix[np.arange(size_px), first - 1 + offset] = weights[:, offset]
    return matrix


def remap(image: UInt8, displacement_HW2: Float32) -> UInt8:
    """Pull a picture through a displacement field; outside it the border colour continues.

    Args:
        image: (I, J, 3) or (I, J) uint8, as large as the field, or larger by the same margin on opposite
            sides.
        displacement_HW2: (H, W, 2) float32 px, source minus destination.

    Returns:
        (H, W, 3) or (H, W) uint8.
    """
    height, width = displacement_HW2.shape[:2]
    above, left = (image.shape[0] - height) // 2, (image.shape[1] - width) // 2
    map_x = displacement_HW2[..., 0] + np.arange(left, left + width, dtype=np.float32)
    map_y = displacement_HW2[..., 1] + np.arange(above, above + height, dtype=np.float32)[:, None]
    warped = cv2.remap(image, map_x, map_y, cv2.INTER_CUBIC, borderMode=cv2.BORDER_REPLICATE)
    return np.asarray(warped, np.uint8)


def landmark_spline(
    wanted_P2: Float32,
    source_P2: Float32,
    size: tuple[int, int],
    regularisation: float = 0.003,
    unit_px: float = 1.0,
    still_box: tuple[float, float, float, float] | None = None,
) -> ThinPlate:
    """Spline that moves landmarks while a rectangle's rim stays where it is; see `landmark_displacement`."""
    left, top, right, bottom = still_box or (0.0, 0.0, float(size[1]), float(size[0]))
    rim = rim_points((bottom - top, right - left)) + np.array([left, top], np.float32)
    strength = np.zeros(len(wanted_P2) + len(rim), np.float32)
    strength[: len(wanted_P2)] = regularisation * unit_px**2
    rims = np.broadcast_to(rim, (*source_P2.shape[:-2], *rim.shape))
    return fit_thin_plate(
        np.concatenate([wanted_P2, rim]), np.concatenate([source_P2, rims], axis=-2), strength
    )


def landmark_displacement(
    wanted_P2: Float32,
    source_P2: Float32,
    size: tuple[int, int],
    regularisation: float = 0.003,
    unit_px: float = 1.0,
    still_box: tuple[float, float, float, float] | None = None,
    grid_px: float = GRID_PX,
) -> Float32:
    """Field that moves landmarks while a rectangle's rim stays where it is.

    Args:
        wanted_P2: (P, 2) px, where the landmarks shall be.
        source_P2: (P, 2) px, where they are in the source picture; (K, P, 2) for several pictures at once,
            which costs little more than one.
        size: (height, width).
        regularisation: See `fit_thin_plate`; the rim is always met exactly.
        unit_px: Pixels that a pixel of the 384 crop is here.
        still_box: xyxy px, the rectangle whose rim stays; that of the field if not given.
        grid_px: Distance of the nodes at which the spline is evaluated, px of the 384 crop.

    Returns:
        (H, W, 2) float32 px, source minus destination; (K, H, W, 2) for several.
    """
    spline = landmark_spline(wanted_P2, source_P2, size, regularisation, unit_px, still_box)
    field_HWD = dense_displacement(spline, size, max(2, round(grid_px * unit_px)))
    if source_P2.ndim == 2:
        return field_HWD
    return np.moveaxis(field_HWD.reshape(*size, -1, 2), 2, 0)


def sample_crop(image: UInt8, corner_xy: tuple[int, int], similarity_23: Float32, size_px: int) -> UInt8:
    """Cut the aligned square out of a part of a frame; see `sample_patch`."""
    return sample_patch(image, corner_xy, similarity_23, (size_px, size_px))


def sample_patch(
    image: UInt8, corner_xy: tuple[int, int], similarity_23: Float32, size: tuple[int, int]
) -> UInt8:
    """Cut an aligned rectangle out of a part of a frame; beyond the part its border colour continues.

    Args:
        image: (H, W, 3) uint8, part of a frame.
        corner_xy: Where the part's upper left corner lies in the frame, whole px.
        similarity_23: (2, 3) frame px to the rectangle's px.
        size: (height, width) of the rectangle.

    Returns:
        (height, width, 3) uint8.
    """
    matrix = np.asarray(similarity_23, np.float64).copy()
    matrix[:, 2] += matrix[:, :2] @ np.asarray(corner_xy, np.float64)
    # Averaging pixels first keeps a crop much coarser than the frame free of aliasing.
    while np.hypot(matrix[0, 0], matrix[1, 0]) <= 0.5 and min(image.shape[:2]) >= 4:
        old_height, old_width = image.shape[:2]
        image = np.asarray(
            cv2.resize(image, (old_width // 2, old_height // 2), interpolation=cv2.INTER_AREA), np.uint8
        )
        matrix[:, 0] *= old_width / (old_width // 2)
        matrix[:, 1] *= old_height / (old_height // 2)
    return _affine(image, matrix, size)


def paste_crop(
    crop: UInt8, corner_xy: tuple[int, int], similarity_23: Float32, size: tuple[int, int]
) -> UInt8:
    """Turn a crop back into frame space, over a part of the frame.

    Args:
        crop: (I, J, 3) uint8, the crop or a rectangle of it.
        corner_xy: Where the part's upper left corner lies in the frame, whole px.
        similarity_23: (2, 3) frame px to the crop's px.
        size: (height, width) of the part.

    Returns:
        (H, W, 3) uint8; beyond the crop its border colour continues.
    """
    forward = np.eye(3)
    forward[:2] = similarity_23
    back = np.linalg.inv(forward)[:2]
    back[:, 2] -= np.asarray(corner_xy, np.float64)
    return _affine(crop, back, size)


def _affine(image: UInt8, matrix_23: Float64, size: tuple[int, int]) -> UInt8:
    """Resample by a map from image px to result px, pixel centres at +0.5."""
    matrix = matrix_23.copy()
    # OpenCV counts from pixel centres.
    matrix[:, 2] += matrix[:, :2] @ [0.5, 0.5] - 0.5
    warped = cv2.warpAffine(
        image, matrix, (size[1], size[0]), flags=cv2.INTER_CUBIC, borderMode=cv2.BORDER_REPLICATE
    )
    return np.asarray(warped, np.uint8)


def close_crossed_lips(wanted_NM2: Float32, own_NM2: Float32) -> Float32:
    """Move inner lips that passed through each other to their middle.

    Args:
        wanted_NM2: (N, 39, 2) upright mouth and jaw landmarks, px, y down.
        own_NM2: (N, 39, 2) the face's own; what the tracker already crosses is no further closed than it was.

    Returns:
        (N, 39, 2) float32; no upper inner point lies below its opposite unless its own did.
    """
    closed = np.array(wanted_NM2, np.float32)
    for upper, lower in _INNER_PAIRS:
        gap = closed[:, lower, 1] - closed[:, upper, 1]
        least = np.minimum(own_NM2[:, lower, 1] - own_NM2[:, upper, 1], 0)
        push = np.maximum(least - gap, 0) / 2
        closed[:, upper, 1] -= push
        closed[:, lower, 1] += push
    return closed
