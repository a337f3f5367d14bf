"""How a face can move: the numbers of a pose, and the displacement that each one causes.

Index letters: L = 468 landmarks, P pose parameters, G grid rows and columns.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray
from scipy.interpolate import RBFInterpolator

Float32 = NDArray[np.float32]
Float64 = NDArray[np.float64]

POSE = ("close", "open", "width", "pucker", "relax", "blink", "brow")
POSE += ("tx", "ty", "roll", "grow", "yaw", "pitch")
"""The pose's numbers, all 0 in the portrait.

close   0 as in the portrait, 1 lips meet          tx, ty      head shift, in eye distances
open    jaw drop, 1 = `JAW_DROP` mouth widths      roll        head tilt, radians
width   corners apart, pucker together, 0..1       grow        head scale - 1
relax   1 takes the smile out of the corners       yaw, pitch  head turn, radians
blink   1 shuts the eyes; brow 1 lifts the brows
"""
PARAM = {name: index for index, name in enumerate(POSE)}
JAW_DROP = 0.27
"""Lower lip's travel at open = 1, in widths of the portrait's mouth."""

UPPER_INNER = [78, 191, 80, 81, 82, 13, 312, 311, 310, 415, 308]
LOWER_INNER = [78, 95, 88, 178, 87, 14, 317, 402, 318, 324, 308]
UPPER_ROWS = {  # how much of the inner lip's travel each row of the lip follows
    1.0: UPPER_INNER,
    0.92: [62, 183, 42, 41, 38, 12, 268, 271, 272, 407, 292],
    0.75: [76, 184, 74, 73, 72, 11, 302, 303, 304, 408, 306],
    0.5: [61, 185, 40, 39, 37, 0, 267, 269, 270, 409, 291],
}
LOWER_ROWS = {
    1.0: LOWER_INNER,
    0.95: [62, 96, 89, 179, 86, 15, 316, 403, 319, 325, 292],
    0.85: [76, 77, 90, 180, 85, 16, 315, 404, 320, 307, 306],
    0.65: [61, 146, 91, 181, 84, 17, 314, 405, 321, 375, 291],
}
CORNERS = [78, 62, 76, 61, 308, 292, 306, 291]
JAW = [58, 172, 136, 150, 149, 176, 148, 152, 377, 400, 378, 379, 365, 397, 288]
CHIN = [175, 199, 200, 18, 83, 313, 201, 421, 208, 428, 171, 396, 32, 262, 194, 418, 182, 406]
EYES = (  # upper lid, lower lid, fold above the lid; outer corner first
    (
        [33, 246, 161, 160, 159, 158, 157, 173, 133],
        [33, 7, 163, 144, 145, 153, 154, 155, 133],
        [247, 30, 29, 27, 28, 56],
    ),
    (
        [263, 466, 388, 387, 386, 385, 384, 398, 362],
        [263, 249, 390, 373, 374, 380, 381, 382, 362],
        [467, 260, 259, 257, 258, 286],
    ),
)
BROWS = [70, 63, 105, 66, 107, 55, 65, 52, 53, 46, 300, 293, 334, 296, 336, 285, 295, 282, 283, 276]
STILL = [1, 4, 5, 6, 195, 197, 168, 98, 97, 2, 326, 327, 129, 358, 50, 280, 101, 330, 116, 345, 127, 356]
STILL += [234, 454, 93, 323, 132, 361, 10, 67, 297, 151, 111, 340, 230, 450, 36, 266, 205, 425]
"""Nose, cheek bones, temples, forehead: nothing of the mouth's reaches them."""

LOWER_SIDE = sorted({i for row in LOWER_ROWS.values() for i in row} | set(JAW) | set(CHIN))
"""Landmarks that ride on the lower layer."""

UPPER_SIDE = sorted({i for row in UPPER_ROWS.values() for i in row} - set(CORNERS))
"""Landmarks of the upper lip, without the corners."""

COMMON = [*CORNERS, *STILL, *BROWS, *JAW, *(i for eye in EYES for part in eye for i in part)]
"""Landmarks that shape both layers' fields, so that the layers agree in the cheeks."""


def mouth_width_px(rest: Float64) -> float:
    """Distance of the corners of the mouth."""
    return float(np.linalg.norm(rest[291] - rest[61]))


def eye_distance_px(rest: Float64) -> float:
    """Distance of the outer corners of the eyes."""
    return float(np.linalg.norm(rest[263] - rest[33]))


def smoothstep(value: Float64) -> Float64:
    """0 below 0, 1 above 1, smooth between."""
    clipped = np.clip(value, 0, 1)
    return clipped * clipped * (3 - 2 * clipped)


def face_modes(rest: Float64) -> Float64:
    """What the face's parameters do to its landmarks.

    Args:
        rest: (L, 2) landmarks of the portrait, px.

    Returns:
        (P, L, 2) displacement of each control landmark per unit of each parameter, px.
    """
    mouth = mouth_width_px(rest)
    modes = np.zeros((len(POSE), *rest.shape))
    centre_x = rest[[61, 291], 0].mean()
    half = mouth / 2
    across_L = np.clip((rest[:, 0] - centre_x) / half, -1.15, 1.15)
    arch_L = np.maximum(1 - np.abs(across_L) ** 2.4, 0)
    meet = 0.55 * rest[UPPER_INNER] + 0.45 * rest[LOWER_INNER]
    drop = JAW_DROP * mouth
    for follow, row in UPPER_ROWS.items():
        modes[PARAM["close"], row] = follow * (meet - rest[UPPER_INNER])
        modes[PARAM["open"], row, 1] = -0.10 * drop * arch_L[row]
    for follow, row in LOWER_ROWS.items():
        modes[PARAM["close"], row] = follow * (meet - rest[LOWER_INNER])
        modes[PARAM["open"], row, 1] = drop * (0.16 + 0.84 * arch_L[row]) * (0.94 + 0.06 * follow)
    modes[PARAM["open"], CORNERS] = (
        np.stack([-0.10 * np.sign(across_L[CORNERS]), np.full(8, 0.16)], -1) * drop
    )
    ear, chin = rest[[58, 288], 1].mean(), rest[152, 1]
    modes[PARAM["open"], JAW, 1] = 0.86 * drop * smoothstep((rest[JAW, 1] - ear) / (chin - ear))
    modes[PARAM["open"], CHIN, 1] = 0.88 * drop * (0.35 + 0.65 * np.maximum(1 - 0.6 * across_L[CHIN] ** 2, 0))
    for name, target in (("close", -0.10), ("pucker", -0.05)):
        modes[PARAM[name], CHIN, 1] = target * float(np.linalg.norm(rest[14] - rest[13]))
    lips = sorted({i for rows in (UPPER_ROWS, LOWER_ROWS) for row in rows.values() for i in row})
    modes[PARAM["width"], lips, 0] = 0.06 * mouth * across_L[lips]
    modes[PARAM["pucker"], lips, 0] = -0.14 * mouth * across_L[lips]
    modes[PARAM["relax"], lips, 0] = -0.06 * mouth * across_L[lips]
    modes[PARAM["relax"], lips, 1] = 0.07 * mouth * (np.abs(across_L[lips]) ** 2 - 0.35)
    for sign, rows in ((-1, UPPER_ROWS), (1, LOWER_ROWS)):  # rounded lips are thicker
        for follow, row in rows.items():
            modes[PARAM["pucker"], row, 1] += sign * 0.055 * mouth * (1 - follow) / 0.5 * arch_L[row]
    for upper, lower, fold in EYES:
        modes[PARAM["blink"], upper] = 0.96 * (rest[lower] - rest[upper])
        modes[PARAM["blink"], fold, 1] = 0.35 * (rest[lower[4], 1] - rest[upper[4], 1])
    modes[PARAM["brow"], BROWS, 1] = -0.05 * eye_distance_px(rest)
    return modes


def spread(modes_PL2: Float64, rest: Float64, controls: list[int], grid: Float64) -> Float64:
    """Thin-plate interpolation of some landmarks' displacements; nothing moves outside the head.

    Args:
        modes_PL2: (P, L, 2) px.
        rest: (L, 2) landmarks of the portrait, px.
        controls: Landmarks to interpolate.
        grid: (G, G, 2) px, where.

    Returns:
        (P, G, G, 2) px.
    """
    middle, tall = rest[[10, 152]].mean(axis=0), float(rest[152, 1] - rest[10, 1])
    turn = np.linspace(0, 2 * np.pi, 16, endpoint=False)
    ring = middle + np.stack([0.85 * np.cos(turn), 0.95 * np.sin(turn)], axis=-1) * tall
    points = np.concatenate([rest[controls], ring])
    values = modes_PL2[:, controls].transpose(1, 0, 2).reshape(len(controls), -1)
    values = np.concatenate([values, np.zeros((len(ring), values.shape[1]))])
    points, kept = np.unique(points, axis=0, return_index=True)
    spline = RBFInterpolator(points, values[kept], kernel="thin_plate_spline", smoothing=1e-3)
    field = spline(grid.reshape(-1, 2)).reshape(*grid.shape[:2], len(POSE), 2)
    away = (grid - middle) / (np.array([0.85, 0.95]) * tall)
    fade = smoothstep((1.0 - np.linalg.norm(away, axis=-1)) / 0.25)
    return np.asarray(np.moveaxis(field * fade[..., None, None], 2, 0))


def head_modes(landmarks_L3: Float32, grid: Float64) -> Float64:
    """What the head's parameters do: rigid over face and hair, still in the background.

    Args:
        landmarks_L3: (L, 3) landmarks of the portrait, px.
        grid: (G, G, 2) px, where.

    Returns:
        (P, G, G, 2) displacement per unit of each parameter, px.
    """
    rest = landmarks_L3[:, :2].astype(np.float64)
    eye = eye_distance_px(rest)
    forehead, chin = rest[10], rest[152]
    tall = float(chin[1] - forehead[1])
    middle = forehead * 0.55 + chin * 0.45 - np.array([0.0, 0.12 * tall])
    away = np.linalg.norm((grid - middle) / (np.array([1.0, 1.05]) * tall), axis=-1)
    # The neck takes up the difference.
    weight = smoothstep((1.15 - away) / 0.4) * smoothstep(
        (chin[1] + 0.42 * tall - grid[..., 1]) / (0.45 * tall)
    )
    depth_L = -landmarks_L3[:, 2].astype(np.float64)
    rim = middle + np.stack([np.cos(a := np.linspace(0, 2 * np.pi, 24)[:-1]), np.sin(a)], -1) * tall * 0.8
    surface = RBFInterpolator(
        np.concatenate([rest[::3], rim]),
        np.concatenate([depth_L[::3], np.full(len(rim), np.percentile(depth_L, 3))]),
        smoothing=20.0,
    )
    depth = surface(grid.reshape(-1, 2)).reshape(grid.shape[:2]) - float(np.median(depth_L)) + 0.35 * eye
    pivot = chin + np.array([0.0, 0.15 * tall])
    modes = np.zeros((len(POSE), *grid.shape))
    modes[PARAM["tx"], ..., 0] = eye
    modes[PARAM["ty"], ..., 1] = eye
    modes[PARAM["roll"]] = np.stack([-(grid[..., 1] - pivot[1]), grid[..., 0] - pivot[0]], axis=-1)
    modes[PARAM["grow"]] = grid - middle
    modes[PARAM["yaw"], ..., 0] = depth
    modes[PARAM["pitch"], ..., 1] = depth
    return np.asarray(modes * weight[..., None])
