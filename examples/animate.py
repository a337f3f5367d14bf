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

from examples.modes import (
    COMMON,
    EYES,
    JAW_DROP,
    LOWER_INNER,
    LOWER_SIDE,
    PARAM,
    POSE,
    UPPER_INNER,
    UPPER_SIDE,
    face_modes,
    head_modes,
    mouth_width_px,
    smoothstep,
    spread,
)

Float32 = NDArray[np.float32]
Float64 = NDArray[np.float64]
UInt8 = NDArray[np.uint8]

FIELD_STEP = 4
"""Pixels between the samples of a field."""
INVERSE_STEPS = 8


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


def natural_motion(times_s_T: Float64, seed: int) -> Float32:
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
    # It begins as the portrait stands.
    if len(times_s_T):
        ease = np.clip(times_s_T / 0.8, 0, 1)
        poses_TP *= (ease * ease * (3 - 2 * ease))[:, None]
    return poses_TP


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
        self._mouth_width_px = mouth_width_px(self._rest_L2)
        self.rest_gap = float(np.linalg.norm(self._rest_L2[14] - self._rest_L2[13])) / self._mouth_width_px
        height, width = self.size
        rows, cols = -(-height // FIELD_STEP) + 1, -(-width // FIELD_STEP) + 1
        y_GG, x_GG = np.mgrid[:rows, :cols].astype(np.float64) * FIELD_STEP
        self._grid_GG2 = np.stack([x_GG, y_GG], axis=-1)
        rest, grid = self._rest_L2, self._grid_GG2
        modes_PL2 = face_modes(rest)
        self._skull_PGG2 = head_modes(portrait.landmarks_L3, grid)
        self._upper_PGG2 = self._skull_PGG2 + spread(modes_PL2, rest, [*COMMON, *UPPER_SIDE], grid)
        self._lower_PGG2 = self._skull_PGG2 + spread(modes_PL2, rest, [*COMMON, *LOWER_SIDE], grid)
        self._teeth, self._tongue = self._paint_inside()

    def landmarks(self, pose_P: Float32) -> Float32:
        """Where the tracker's landmarks truly are.

        Args:
            pose_P: (P,) pose.

        Returns:
            (468, 2) float32 px.
        """
        moved = self._rest_L2 + self._sample(self._field(self._upper_PGG2, pose_P), self._rest_L2)
        lower_L2 = self._rest_L2[LOWER_SIDE]
        moved[LOWER_SIDE] = lower_L2 + self._sample(self._field(self._lower_PGG2, pose_P), lower_L2)
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

    @staticmethod
    def _field(modes_PGG2: Float64, pose_P: Float32) -> Float32:
        return np.tensordot(pose_P.astype(np.float64), modes_PGG2, axes=1).astype(np.float32)

    @staticmethod
    def _sample(field_GG2: Float32, points_L2: Float64) -> Float32:
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
        line = np.rint(points_L2[UPPER_INNER] * 16).astype(np.int32)
        cv2.polylines(mask, [line], False, 255, thick, cv2.LINE_AA, shift=4)
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
        side = smoothstep((0.97 - across) / 0.12)
        soft = 0.012 * mouth
        teeth_alpha = smoothstep((edge - y) / (2 * soft) + 0.5) * side * (y > top - 0.12 * mouth)
        teeth = np.dstack([texture, 255 * teeth_alpha]).astype(np.float32)
        # Lower teeth: the upper ones upside down, narrower, in the shade; the tongue lies behind them.
        low_edge = bottom - 0.055 * mouth
        centre = (lower[0, 0] + lower[-1, 0]) / 2
        mirror = np.stack(
            [np.broadcast_to(centre + (x - centre) * 1.25, self.size), edge - (y - low_edge)], -1
        )
        low_texture = self._warp(self.portrait.image, mirror.astype(np.float32)) * 0.5
        low_side = smoothstep((0.6 - across) / 0.3)
        low_alpha = 0.4 * smoothstep((y - low_edge) / (2 * soft) + 0.5) * low_side
        tongue_top = bottom - 0.15 * mouth * np.sqrt(np.maximum(1 - (across / 0.75) ** 2, 0))
        tongue_alpha = smoothstep((y - tongue_top) / (0.08 * mouth)) * smoothstep((0.75 - across) / 0.3)
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
