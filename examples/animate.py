"""Move a portrait by known amounts: the puppet behind the example clip and the tests' clips with known truth.

A `Puppet` is a still portrait with the 468 landmarks of the tracker. Every way it can move is a displacement
field over the portrait, linear in one number of the pose; the mouth and the eyes are holes between two such
layers, so lips can part and meet and lids can shut:

    upper layer    the head, the upper lip, the lids
    lower layer    the head, the lower lip and the jaw
    skull layer    the head alone: upper teeth and eyeballs, seen through the holes

Nothing here needs a network, a synthesiser or a download, and the same pose always gives the same pixels.

Index letters: T frames, L = 468 landmarks, P pose parameters, G grid rows and columns of the coarse fields.
"""

from __future__ import annotations

from dataclasses import dataclass

import cv2
import numpy as np
from numpy.typing import NDArray
from scipy.interpolate import RBFInterpolator

Float32 = NDArray[np.float32]
UInt8 = NDArray[np.uint8]

POSE = (
    "close",
    "open",
    "width",
    "pucker",
    "relax",
    "blink",
    "brow",
    "tx",
    "ty",
    "roll",
    "grow",
    "yaw",
    "pitch",
)
"""The pose's numbers, all 0 in the portrait.

close   0 as in the portrait, 1 lips meet          tx, ty      head shift, in eye distances
open    jaw drop, 1 = `JAW_DROP` mouth widths      roll        head tilt, radians
width   corners apart, pucker together, 0..1       grow        head scale - 1
relax   1 takes the smile out of the corners       yaw, pitch  head turn, radians
blink   1 shuts the eyes; brow 1 lifts the brows
"""
PARAM = {name: index for index, name in enumerate(POSE)}
HEAD = slice(PARAM["tx"], None)
"""The part of the pose that moves the whole head."""

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
STILL = [
    1,
    4,
    5,
    6,
    195,
    197,
    168,
    98,
    97,
    2,
    326,
    327,
    129,
    358,
    50,
    280,
    101,
    330,
    116,
    345,
    127,
    356,
    234,
    454,
]
STILL += [93, 323, 132, 361, 10, 67, 297, 151, 111, 340, 230, 450, 36, 266, 205, 425]
"""Nose, cheek bones, temples, forehead: nothing of the mouth's reaches them."""

FIELD_STEP = 4
"""Pixels between the samples of a field."""
INVERSE_STEPS = 8

LIP_SIDE = sorted({i for row in LOWER_ROWS.values() for i in row} | set(JAW) | set(CHIN))
"""Landmarks that ride on the lower layer."""


@dataclass(frozen=True)
class Portrait:
    """A face that looks at the camera.

    Attributes:
        image: (H, W, 3) uint8 RGB.
        landmarks_L3: (468, 3) float32 px, as the tracker finds them.
    """

    image: UInt8
    landmarks_L3: Float32

    def resized(self, size: tuple[int, int]) -> Portrait:
        """The portrait as large as fits, centred in a (height, width) frame; its border fills the rest."""
        height, width = size
        scale = min(height / self.image.shape[0], width / self.image.shape[1])
        inner = (round(self.image.shape[1] * scale), round(self.image.shape[0] * scale))
        picture = cv2.resize(
            self.image, inner, interpolation=cv2.INTER_AREA if scale < 1 else cv2.INTER_CUBIC
        )
        left, top = (width - inner[0]) // 2, (height - inner[1]) // 2
        picture = cv2.copyMakeBorder(
            picture, top, height - inner[1] - top, left, width - inner[0] - left, cv2.BORDER_REPLICATE
        )
        return Portrait(picture, (self.landmarks_L3 * scale + np.array([left, top, 0])).astype(np.float32))


def pose(**values: float) -> Float32:
    """A pose from its named numbers; the others are 0."""
    out = np.zeros(len(POSE), np.float32)
    for name, value in values.items():
        out[PARAM[name]] = value
    return out


def mouth_gap(puppet: Puppet, gap: Float32) -> tuple[Float32, Float32]:
    """The `close` and `open` that part the lips by a share of the portrait's mouth width.

    Args:
        puppet: Whose mouth.
        gap: Any shape, 0 = lips meet; at most `puppet.rest_gap + JAW_DROP`.

    Returns:
        (close, open), same shape.
    """
    rest = puppet.rest_gap
    return np.clip(1 - gap / rest, 0, 1).astype(np.float32), np.clip((gap - rest) / JAW_DROP, 0, 1).astype(
        np.float32
    )


def natural_motion(times_s_T: NDArray[np.float64], seed: int) -> Float32:
    """Head sway and blinks of someone who talks.

    Args:
        times_s_T: (T,) seconds.
        seed: Same seed, same motion.

    Returns:
        (T, P) float32 poses with the mouth's parameters 0.
    """
    rng = np.random.default_rng(seed)
    poses_TP = np.zeros((len(times_s_T), len(POSE)), np.float32)
    amplitudes = {
        "tx": 0.05,
        "ty": 0.03,
        "roll": 0.03,
        "grow": 0.01,
        "yaw": 0.09,
        "pitch": 0.05,
        "brow": 0.35,
    }
    for name, amplitude in amplitudes.items():
        waves = sum(
            np.sin(2 * np.pi * (rate * times_s_T + rng.random())) * weight
            for rate, weight in zip(
                rng.uniform((0.1, 0.25, 0.5), (0.2, 0.4, 0.8)), (0.6, 0.4, 0.18), strict=True
            )
        )
        poses_TP[:, PARAM[name]] = amplitude * waves
    poses_TP[:, PARAM["brow"]] = np.maximum(poses_TP[:, PARAM["brow"]], 0)
    blink_s = 0.7 + rng.random()
    while len(times_s_T) and blink_s < times_s_T[-1]:
        # A lid falls in about 80 ms and takes twice as long to rise.
        since = times_s_T - blink_s
        shut = np.clip(np.minimum(1 + since / 0.08, 1.25 - since / 0.16), 0, 1)
        poses_TP[:, PARAM["blink"]] = np.maximum(poses_TP[:, PARAM["blink"]], shut)
        blink_s += rng.uniform(2.2, 4.2)
    # It begins and ends as the portrait stands.
    if len(times_s_T):
        ease = np.clip(times_s_T / 0.8, 0, 1)
        poses_TP *= (ease * ease * (3 - 2 * ease))[:, None]
    return poses_TP


def _smoothstep(value: NDArray[np.float64]) -> NDArray[np.float64]:
    clipped = np.clip(value, 0, 1)
    return clipped * clipped * (3 - 2 * clipped)


class Puppet:
    """A portrait that can be posed.

    Args:
        portrait: The face at rest.

    Attributes:
        size: (height, width) of the frames.
        rest_gap: Distance of the inner lips in the portrait, in mouth widths.
    """

    def __init__(self, portrait: Portrait) -> None:
        self.portrait = portrait
        self.size = portrait.image.shape[:2]
        self._rest_L2 = portrait.landmarks_L3[:, :2].astype(np.float64)
        self._mouth_width_px = float(np.linalg.norm(self._rest_L2[291] - self._rest_L2[61]))
        self._eye_distance_px = float(np.linalg.norm(self._rest_L2[263] - self._rest_L2[33]))
        self.rest_gap = float(np.linalg.norm(self._rest_L2[14] - self._rest_L2[13])) / self._mouth_width_px
        height, width = self.size
        rows, cols = -(-height // FIELD_STEP) + 1, -(-width // FIELD_STEP) + 1
        y_GG, x_GG = np.mgrid[:rows, :cols].astype(np.float64) * FIELD_STEP
        self._grid_GG2 = np.stack([x_GG, y_GG], axis=-1)
        head = self._head_modes()
        face_PL2 = self._face_modes()
        lower_only = [i for i in LIP_SIDE if i not in CORNERS]
        upper_only = sorted({i for row in UPPER_ROWS.values() for i in row} - set(CORNERS))
        lids = [i for eye in EYES for part in eye for i in part]
        common = [*CORNERS, *STILL, *BROWS, *JAW, *lids]
        self._skull_PGG2 = head
        self._upper_PGG2 = head + self._spread(face_PL2, [*common, *upper_only])
        self._lower_PGG2 = head + self._spread(face_PL2, [*common, *lower_only])
        self._teeth, self._tongue = self._paint_inside()

    def landmarks(self, pose_P: Float32) -> Float32:
        """Where the tracker's landmarks truly are.

        Args:
            pose_P: (P,) pose.

        Returns:
            (468, 2) float32 px.
        """
        moved = self._rest_L2 + self._sample(self._field(self._upper_PGG2, pose_P), self._rest_L2)
        lower_L2 = self._rest_L2[LIP_SIDE]
        moved[LIP_SIDE] = lower_L2 + self._sample(self._field(self._lower_PGG2, pose_P), lower_L2)
        return np.asarray(moved, np.float32)

    def opening_px(self, pose_P: Float32) -> float:
        """True distance of the middle of the inner lips."""
        points_L2 = self.landmarks(pose_P)
        return float(np.linalg.norm(points_L2[13] - points_L2[14]))

    def frame(self, pose_P: Float32) -> UInt8:
        """The picture of a pose.

        Args:
            pose_P: (P,) pose.

        Returns:
            (H, W, 3) uint8 RGB.
        """
        points_L2 = self.landmarks(pose_P)
        upper_map = self._inverse(self._field(self._upper_PGG2, pose_P))
        lower_map = self._inverse(self._field(self._lower_PGG2, pose_P))
        skull_map = self._inverse(self._field(self._skull_PGG2, pose_P))
        image = self.portrait.image
        picture = self._warp(image, upper_map)
        eyes = self._hole([points_L2[[*upper, *lower[::-1]]] for upper, lower, _ in EYES], soften_px=0.8)
        picture = _over(picture, self._warp(image, skull_map), eyes)
        picture = _over(picture, self._warp(image, lower_map), self._below_mouth(points_L2))
        inside = np.full_like(picture, (44.0, 17.0, 16.0))
        for layer, layer_map in ((self._tongue, lower_map), (self._teeth, skull_map)):
            seen = self._warp(layer, layer_map)
            inside = _over(inside, seen[..., :3], seen[..., 3:] / 255)
        hole = self._hole([points_L2[[*UPPER_INNER, *LOWER_INNER[::-1]]]], soften_px=1.0)
        picture = _over(picture, inside * self._lip_shadow(points_L2), hole)
        picture = _over(picture, np.full_like(picture, (70.0, 28.0, 26.0)), 0.75 * self._lip_line(points_L2))
        return np.clip(np.rint(picture), 0, 255).astype(np.uint8)

    def _face_modes(self) -> NDArray[np.float64]:
        """(P, L, 2) displacement of each control landmark per unit of each parameter of the face."""
        rest, mouth = self._rest_L2, self._mouth_width_px
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
        modes[PARAM["open"], JAW, 1] = 0.86 * drop * _smoothstep((rest[JAW, 1] - ear) / (chin - ear))
        modes[PARAM["open"], CHIN, 1] = (
            0.88 * drop * (0.35 + 0.65 * np.maximum(1 - 0.6 * across_L[CHIN] ** 2, 0))
        )
        for name, target in (("close", -0.10), ("pucker", -0.05)):
            modes[PARAM[name], CHIN, 1] = target * self.rest_gap * mouth
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
        modes[PARAM["brow"], BROWS, 1] = -0.05 * self._eye_distance_px
        return modes

    def _spread(self, modes_PL2: NDArray[np.float64], controls: list[int]) -> NDArray[np.float64]:
        """(P, G, G, 2) thin-plate interpolation of the controls' displacements, still outside the head."""
        rest = self._rest_L2
        middle, tall = rest[[10, 152]].mean(axis=0), float(rest[152, 1] - rest[10, 1])
        turn = np.linspace(0, 2 * np.pi, 16, endpoint=False)
        ring = middle + np.stack([0.85 * np.cos(turn), 0.95 * np.sin(turn)], axis=-1) * tall
        points = np.concatenate([rest[controls], ring])
        values = modes_PL2[:, controls].transpose(1, 0, 2).reshape(len(controls), -1)
        values = np.concatenate([values, np.zeros((len(ring), values.shape[1]))])
        points, kept = np.unique(points, axis=0, return_index=True)
        spline = RBFInterpolator(points, values[kept], kernel="thin_plate_spline", smoothing=1e-3)
        field = spline(self._grid_GG2.reshape(-1, 2)).reshape(*self._grid_GG2.shape[:2], len(POSE), 2)
        away = (self._grid_GG2 - middle) / (np.array([0.85, 0.95]) * tall)
        fade = _smoothstep((1.0 - np.linalg.norm(away, axis=-1)) / 0.25)
        return np.asarray(np.moveaxis(field * fade[..., None, None], 2, 0))

    def _head_modes(self) -> NDArray[np.float64]:
        """(P, G, G, 2) displacement per unit of each parameter of the head."""
        rest, grid = self._rest_L2, self._grid_GG2
        eye = self._eye_distance_px
        forehead, chin = rest[10], rest[152]
        tall = float(chin[1] - forehead[1])
        middle = forehead * 0.55 + chin * 0.45 - np.array([0.0, 0.12 * tall])
        away = np.linalg.norm((grid - middle) / (np.array([1.0, 1.05]) * tall), axis=-1)
        # Rigid over face and hair, still in the background; the neck takes up the difference.
        weight = _smoothstep((1.15 - away) / 0.4) * _smoothstep(
            (chin[1] + 0.42 * tall - grid[..., 1]) / (0.45 * tall)
        )
        depth_L = -self.portrait.landmarks_L3[:, 2].astype(np.float64)
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

    @staticmethod
    def _field(modes_PGG2: NDArray[np.float64], pose_P: Float32) -> Float32:
        return np.tensordot(pose_P.astype(np.float64), modes_PGG2, axes=1).astype(np.float32)

    @staticmethod
    def _sample(field_GG2: Float32, points_L2: NDArray[np.float64]) -> Float32:
        at = (points_L2 / FIELD_STEP).astype(np.float32)[:, None]
        return np.asarray(
            cv2.remap(field_GG2, at, None, cv2.INTER_LINEAR, borderMode=cv2.BORDER_REPLICATE)[:, 0]
        )

    def _inverse(self, field_GG2: Float32) -> Float32:
        """(H, W, 2) where in the portrait each pixel comes from: q = p - D(q), by iteration."""
        grid = self._grid_GG2.astype(np.float32)
        shift = -field_GG2
        for _ in range(INVERSE_STEPS):
            at = (grid + shift) / FIELD_STEP
            moved = cv2.remap(field_GG2, at, None, cv2.INTER_LINEAR, borderMode=cv2.BORDER_REPLICATE)
            shift = 0.5 * (shift - moved)
        height, width = self.size
        x = np.arange(width, dtype=np.float32)
        y = np.arange(height, dtype=np.float32)
        steps = np.stack(np.meshgrid(x / FIELD_STEP, y / FIELD_STEP), axis=-1)
        fine = cv2.remap(shift, steps, None, cv2.INTER_LINEAR)
        return np.asarray(fine + np.stack(np.meshgrid(x, y), axis=-1), np.float32)

    @staticmethod
    def _warp(image: NDArray[np.generic], source_HW2: Float32) -> Float32:
        return cv2.remap(image, source_HW2, None, cv2.INTER_CUBIC, borderMode=cv2.BORDER_REPLICATE).astype(
            np.float32
        )

    def _hole(self, polygons: list[Float32], soften_px: float) -> Float32:
        """(H, W, 1) 1 inside the polygons."""
        mask = np.zeros(self.size, np.uint8)
        for points in polygons:
            cv2.fillPoly(mask, [np.rint(_curve(points) * 16).astype(np.int32)], 255, cv2.LINE_AA, shift=4)
        return _soft(mask, soften_px * self._mouth_width_px / 110)[..., None]

    def _lip_line(self, points_L2: Float32) -> Float32:
        """(H, W, 1) the thin shade where the lips meet; gone as soon as they part."""
        gap_px = float(np.linalg.norm(points_L2[13] - points_L2[14]))
        strength = float(np.clip(1.4 - gap_px / (0.035 * self._mouth_width_px), 0, 1))
        line = (points_L2[UPPER_INNER] + points_L2[LOWER_INNER]) / 2
        mask = np.zeros(self.size, np.uint8)
        thick = max(1, round(self._mouth_width_px / 60))
        cv2.polylines(mask, [np.rint(line * 16).astype(np.int32)], False, 255, thick, cv2.LINE_AA, shift=4)
        return _soft(mask, 0.9 * self._mouth_width_px / 110)[..., None] * strength

    def _below_mouth(self, points_L2: Float32) -> Float32:
        """(H, W, 1) 1 where the lower layer shows: sharp between the lips, faded in the cheeks."""
        height, width = self.size
        line = points_L2[LOWER_INNER]
        left, right = line[0], line[-1]
        outline = np.concatenate([[[0, left[1]]], line, [[width, right[1]], [width, height], [0, height]]])
        mask = np.zeros(self.size, np.uint8)
        cv2.fillPoly(mask, [np.rint(outline * 16).astype(np.int32)], 255, cv2.LINE_AA, shift=4)
        x = np.arange(width)
        beyond = np.maximum(left[0] - x, x - right[0]) / (0.12 * self._mouth_width_px)
        faded = np.clip(beyond, 0, 1)[None, :].astype(np.float32)
        mixed = _soft(mask, 0.6) * (1 - faded) + _soft(mask, 0.08 * self._mouth_width_px) * faded
        return np.asarray(mixed[..., None], np.float32)

    def _lip_shadow(self, points_L2: Float32) -> Float32:
        """(H, W, 1) the upper lip's shade on what is behind it."""
        mask = np.zeros(self.size, np.uint8)
        thick = max(1, round(self._mouth_width_px / 18))
        for row in (UPPER_INNER,):
            cv2.polylines(
                mask, [np.rint(points_L2[row] * 16).astype(np.int32)], False, 255, thick, cv2.LINE_AA, shift=4
            )
        return 1 - 0.45 * _soft(mask, self._mouth_width_px / 28)[..., None]

    def _paint_inside(self) -> tuple[Float32, Float32]:
        """RGBA (H, W, 4) of upper teeth, fixed in the skull, and of tongue and lower teeth, on the jaw."""
        height, width = self.size
        mouth = self._mouth_width_px
        rest = self._rest_L2
        upper, lower = rest[UPPER_INNER], rest[LOWER_INNER]
        x = np.arange(width, dtype=np.float64)
        top = np.interp(x, upper[:, 0], upper[:, 1])
        bottom = np.polyval(np.polyfit(lower[:, 0], lower[:, 1], 4), np.clip(x, lower[0, 0], lower[-1, 0]))
        y = np.arange(height, dtype=np.float64)[:, None]
        # The smile shows all but the gums' end of the teeth: stretched upwards they also serve a raised lip.
        edge = bottom - 0.02 * mouth
        source_y = edge - (edge - y) / 1.25
        source = np.stack([np.broadcast_to(x, self.size), np.maximum(source_y, top + 0.01 * mouth)], -1)
        texture = self._warp(self.portrait.image, source.astype(np.float32))
        across = np.abs(x - (lower[0, 0] + lower[-1, 0]) / 2) / ((lower[-1, 0] - lower[0, 0]) / 2)
        side = _smoothstep((0.97 - across) / 0.12)
        soft = 0.012 * mouth
        teeth_alpha = _smoothstep((edge - y) / (2 * soft) + 0.5) * side * (y > top - 0.12 * mouth)
        teeth = np.dstack([texture, 255 * teeth_alpha]).astype(np.float32)
        # Lower teeth: the upper ones upside down, narrower, in the shade; the tongue lies behind them.
        low_edge = bottom - 0.055 * mouth
        centre = (lower[0, 0] + lower[-1, 0]) / 2
        mirror = np.stack(
            [np.broadcast_to(centre + (x - centre) * 1.25, self.size), edge - (y - low_edge)], -1
        )
        low_texture = self._warp(self.portrait.image, mirror.astype(np.float32)) * 0.5
        low_side = _smoothstep((0.6 - across) / 0.3)
        low_alpha = 0.4 * _smoothstep((y - low_edge) / (2 * soft) + 0.5) * low_side
        tongue_top = bottom - 0.15 * mouth * np.sqrt(np.maximum(1 - (across / 0.75) ** 2, 0))
        tongue_alpha = _smoothstep((y - tongue_top) / (0.08 * mouth)) * _smoothstep((0.75 - across) / 0.3)
        colour = np.array([96.0, 44.0, 42.0])
        alpha = 1 - (1 - low_alpha) * (1 - tongue_alpha)
        mixed = low_texture * low_alpha[..., None] + colour * ((1 - low_alpha) * tongue_alpha)[..., None]
        tongue = np.dstack([mixed / np.maximum(alpha, 1e-3)[..., None], 255 * alpha]).astype(np.float32)
        return teeth, tongue


def _curve(points: Float32) -> Float32:
    """The polygon with its corners cut twice (Chaikin), so that it bends as lips do; the ends stay sharp."""
    half = len(points) // 2
    parts = []
    for part in (points[:half], points[half:]):
        for _ in range(2):
            near = 0.75 * part[:-1] + 0.25 * part[1:]
            far = 0.25 * part[:-1] + 0.75 * part[1:]
            part = np.concatenate([part[:1], np.stack([near, far], 1).reshape(-1, 2), part[-1:]])
        parts.append(part)
    return np.concatenate(parts)


def _soft(mask: UInt8, sigma_px: float) -> Float32:
    """(H, W) float32 in 0..1, blurred."""
    value = mask.astype(np.float32) / 255
    return np.asarray(cv2.GaussianBlur(value, (0, 0), sigma_px) if sigma_px > 0.2 else value, np.float32)


def _over(below: Float32, above: Float32, alpha: Float32) -> Float32:
    return below + (above - below) * alpha
