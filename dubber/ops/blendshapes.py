"""ARKit-like blendshapes of a mouth that is given by a linear face model (docs/curves.md, Blendshapes).

What is measured are displacements of landmarks from a neutral face whose lips are shut, each linear in the
expression. What commonly goes with opening the lips is taken out of all else that is measured. A shape is 1
where its measure reaches `FULL_STD` standard deviations of what the face model's training data do.

Convention: model frame, x towards the person's left, y down, z away from the camera; right and left are the
person's own.

Index letters: N frames, K coefficients, P = `MEASURED` landmarks, T source frames.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from dubber.types import Bool, Float64, Int32

ARKIT_NAMES = (
    *("EyeBlinkLeft", "EyeLookDownLeft", "EyeLookInLeft", "EyeLookOutLeft", "EyeLookUpLeft"),
    *("EyeSquintLeft", "EyeWideLeft"),
    *("EyeBlinkRight", "EyeLookDownRight", "EyeLookInRight", "EyeLookOutRight", "EyeLookUpRight"),
    *("EyeSquintRight", "EyeWideRight"),
    *("JawForward", "JawRight", "JawLeft", "JawOpen"),
    *("MouthClose", "MouthFunnel", "MouthPucker", "MouthRight", "MouthLeft"),
    *("MouthSmileLeft", "MouthSmileRight", "MouthFrownLeft", "MouthFrownRight"),
    *("MouthDimpleLeft", "MouthDimpleRight", "MouthStretchLeft", "MouthStretchRight"),
    *("MouthRollLower", "MouthRollUpper", "MouthShrugLower", "MouthShrugUpper"),
    *("MouthPressLeft", "MouthPressRight", "MouthLowerDownLeft", "MouthLowerDownRight"),
    *("MouthUpperUpLeft", "MouthUpperUpRight"),
    *("BrowDownLeft", "BrowDownRight", "BrowInnerUp", "BrowOuterUpLeft", "BrowOuterUpRight"),
    *("CheekPuff", "CheekSquintLeft", "CheekSquintRight", "NoseSneerLeft", "NoseSneerRight", "TongueOut"),
)
"""The 52 shapes in the order of Live Link Face's files.

Source: Apple, ARFaceAnchor.BlendShapeLocation (names and meanings); Epic, Live Link Face (order, spelling).
"""

MEASURED: Int32 = np.array([61, 291, 0, 13, 14, 17, 37, 39, 267, 269, 84, 181, 314, 405, 152], np.int32)
"""Landmarks that are looked at: corners, middle of the lips, their sides (right, left), chin."""

_CORNER_R, _CORNER_L, _UPPER, _UPPER_INNER, _LOWER_INNER, _LOWER = range(6)
_UPPER_R, _UPPER_L, _LOWER_R, _LOWER_L, _CHIN = (6, 7), (8, 9), (10, 11), (12, 13), 14
_X, _Y, _Z = range(3)

FULL_STD = 6.0
"""Standard deviations at which a shape is 1: ordinary talk stays below half, wide-open mouths come near."""

OPEN_GAP = 0.15
"""Gap between the lips, in distances of the eyes, from which on rounding is a funnel, not a pucker."""

BLINK_RATIOS = (0.85, 0.35)
"""Openness of an eye, as a share of its median, at which a blink begins and is full."""


@dataclass(frozen=True)
class MouthMeasures:
    """Linear measures of a mouth: gradients by the expression's coefficients.

    Attributes:
        basis_KP3: (K, P, 3) float64 displacement of the `MEASURED` landmarks per standard deviation, in
            distances of the outer corners of the eyes.
    """

    basis_KP3: Float64

    @property
    def lower_K(self) -> Float64:
        """(K,) how far the lower lip's inner edge goes down: the jaw carries it."""
        return np.asarray(self.basis_KP3[:, _LOWER_INNER, _Y])

    @property
    def upper_K(self) -> Float64:
        """(K,) how far the upper lip's inner edge goes down."""
        return np.asarray(self.basis_KP3[:, _UPPER_INNER, _Y])

    def of(self, axis: int, *points: int) -> Float64:
        """(K,) mean displacement of points along an axis."""
        return np.asarray(self.basis_KP3[:, list(points), axis].mean(axis=1))

    def apart(self, gradient_K: Float64) -> Float64:
        """(K,) a measure without what commonly goes with the two lips' going up and down (least squares)."""
        lips_K2 = np.stack([self.lower_K, self.upper_K], axis=1)
        common_2 = np.linalg.lstsq(lips_K2, gradient_K, rcond=None)[0]
        return np.asarray(gradient_K - lips_K2 @ common_2)


def mouth_shapes(expression_NK: Float64, neutral_K: Float64, measures: MouthMeasures) -> dict[str, Float64]:
    """Blendshapes of the mouth and jaw.

    Args:
        expression_NK: (N, K) standard deviations.
        neutral_K: (K,) the person's expression with lips shut, at which all shapes are 0.
        measures: Of the face model.

    Returns:
        (N,) float64 in 0..1 by name; shapes that cannot be told are left out.
    """
    away_NK = np.asarray(expression_NK, np.float64) - neutral_K
    m = measures

    def value(gradient_K: Float64) -> Float64:
        """(N,) a measure in units of its full scale, signed."""
        full = FULL_STD * float(np.linalg.norm(gradient_K))
        return np.asarray(away_NK @ gradient_K / full if full > 0 else np.zeros(len(away_NK)))

    jaw, raised = _share(value(m.lower_K)), value(-m.upper_K)
    # How much of the jaw's opening the upper lip undoes by coming down, in the jaw's own unit; and how far
    # the lower lip pushes the upper one up, in that one's.
    held = _share(away_NK @ m.upper_K / (FULL_STD * np.linalg.norm(m.lower_K)))
    pushed = _share(away_NK @ -m.lower_K / (FULL_STD * np.linalg.norm(m.upper_K)))
    shrugged = np.minimum(pushed, _share(raised))
    openness = np.clip(away_NK @ (m.lower_K - m.upper_K) / OPEN_GAP, 0, 1)
    side = value(m.apart(m.of(_X, _CORNER_R, _CORNER_L)))
    chin = value(m.apart(m.of(_X, _CHIN)))
    width = value(m.apart(m.of(_X, _CORNER_L) - m.of(_X, _CORNER_R)))
    forward = value(m.apart(-m.of(_Z, _UPPER, _UPPER_INNER, _LOWER_INNER, _LOWER)))
    rounding = _share(_share(-width) + _share(forward))
    left, right = value(m.apart(-m.of(_Y, _CORNER_L))), value(m.apart(-m.of(_Y, _CORNER_R)))
    stretch = _share(width - (_share(left) + _share(right)) / 2)
    thin_upper = _share(value(m.apart(m.of(_Y, _UPPER))))
    thin_lower = _share(value(m.apart(-m.of(_Y, _LOWER))))
    pressed = (1 - openness) * np.minimum(thin_upper, thin_lower)
    return {
        "JawOpen": jaw,
        "JawLeft": _share(chin),
        "JawRight": _share(-chin),
        "MouthClose": np.minimum(held, jaw),
        "MouthFunnel": rounding * openness,
        "MouthPucker": rounding * (1 - openness),
        "MouthLeft": _share(side),
        "MouthRight": _share(-side),
        "MouthSmileLeft": _share(left),
        "MouthSmileRight": _share(right),
        "MouthFrownLeft": _share(-left),
        "MouthFrownRight": _share(-right),
        "MouthStretchLeft": stretch,
        "MouthStretchRight": stretch,
        "MouthPressLeft": pressed,
        "MouthPressRight": pressed,
        "MouthRollUpper": thin_upper - pressed,
        "MouthRollLower": thin_lower - pressed,
        "MouthShrugLower": _share(value(-m.of(_Y, _LOWER))),
        "MouthShrugUpper": shrugged,
        "MouthUpperUpLeft": _share(raised - shrugged + value(m.apart(-m.of(_Y, *_UPPER_L)))),
        "MouthUpperUpRight": _share(raised - shrugged + value(m.apart(-m.of(_Y, *_UPPER_R)))),
        "MouthLowerDownLeft": openness * _share(value(m.apart(m.of(_Y, *_LOWER_L)))),
        "MouthLowerDownRight": openness * _share(value(m.apart(m.of(_Y, *_LOWER_R)))),
    }


def _share(values_N: Float64) -> Float64:
    return np.asarray(np.clip(values_N, 0, 1))


def lid_shapes(openness_T2: Float64, is_usable_T: Bool) -> Float64:
    """How far the eyelids are closed.

    Args:
        openness_T2: (T, 2) see `dubber.ops.face_motion.eye_openness`.
        is_usable_T: (T,) frames in which the face is seen; the median of these is an open eye.

    Returns:
        (T, 2) in 0..1, left and right; 0 where the face is not seen.
    """
    begins, full = BLINK_RATIOS
    if not is_usable_T.any():
        return np.zeros_like(openness_T2)
    share_T2 = openness_T2 / np.maximum(np.median(openness_T2[is_usable_T], axis=0), 1e-6)
    return np.where(is_usable_T[:, None], np.clip((begins - share_T2) / (begins - full), 0, 1), 0.0)


def head_angles(rotation_T33: Float64) -> Float64:
    """Yaw, pitch and roll of a head.

    Args:
        rotation_T33: (T, 3, 3) from the model frame to the camera's (x right, y down, z away).

    Returns:
        (T, 3) radians: yaw to the person's left, pitch up, roll to the person's left shoulder are positive.

    Source: R = R_y(-yaw) R_x(-pitch) R_z(roll), solved for the angles.
    """
    forward_T3 = -rotation_T33[:, :, 2]
    yaw_T = np.arctan2(forward_T3[:, 0], -forward_T3[:, 2])
    pitch_T = np.arcsin(np.clip(-forward_T3[:, 1], -1, 1))
    roll_T = np.arctan2(rotation_T33[:, 1, 0], rotation_T33[:, 1, 1])
    return np.stack([yaw_T, pitch_T, roll_T], axis=1)
