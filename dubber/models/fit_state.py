"""Frames while a face model is fitted to them: what is seen, and where the fit stands.

Shapes: T frames, n vertices that do not slide, J landmarks of the outline, C candidates of each, K expression
coefficients.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from dubber.ops.pose import axis_angles, rotation_matrices
from dubber.types import Bool, Float32, Float64


@dataclass(frozen=True)
class FramePoses:
    """Pose and expression of frames.

    Attributes:
        expression_TK: (T, K) standard deviations.
        rotation_T3: (T, 3) axis-angle, radians.
        scale_T: (T,) px per model unit.
        translation_T2: (T, 2) px.
    """

    expression_TK: Float64
    rotation_T3: Float64
    scale_T: Float64
    translation_T2: Float64

    def part(self, frames: slice) -> FramePoses:
        """Some of the frames."""
        return FramePoses(
            self.expression_TK[frames],
            self.rotation_T3[frames],
            self.scale_T[frames],
            self.translation_T2[frames],
        )

    @classmethod
    def blank(cls, num_frames: int, num_expression: int) -> FramePoses:
        """Room for the poses of so many frames."""
        return cls(
            np.zeros((num_frames, num_expression)),
            np.zeros((num_frames, 3)),
            np.zeros(num_frames),
            np.zeros((num_frames, 2)),
        )

    def put(self, frames: slice, poses: FramePoses) -> None:
        """Write some frames' poses."""
        self.expression_TK[frames] = poses.expression_TK
        self.rotation_T3[frames] = poses.rotation_T3
        self.scale_T[frames] = poses.scale_T
        self.translation_T2[frames] = poses.translation_T2


@dataclass(frozen=True)
class View:
    """What is seen of some frames.

    Attributes:
        points_T3n: (T, 3, n) landmarks that do not slide, px of the picture.
        outline_T2J: (T, 2, J) those that do.
        crop_scale_T: (T,) px of the crop per px of the picture.
        continues_T: (T,) bool.
        shift_unit: Translations are solved for in px of the picture times this: about px of the crop, but
            the same unit in all frames, so that they can be smooth.
    """

    points_T3n: Float64
    outline_T2J: Float64
    crop_scale_T: Float64
    continues_T: Bool
    shift_unit: float

    @property
    def shift_factor_T(self) -> Float64:
        """(T,) px of the crop per unit of translation."""
        return self.crop_scale_T / self.shift_unit

    def part(self, frames: slice) -> View:
        """Some of the frames."""
        return View(
            self.points_T3n[frames],
            self.outline_T2J[frames],
            self.crop_scale_T[frames],
            self.continues_T[frames],
            self.shift_unit,
        )


@dataclass(frozen=True)
class State:
    """Where the fit stands.

    Attributes:
        rotation_T33: (T, 3, 3).
        scale_T: (T,) px of the picture per model unit.
        shift_T2: (T, 2) px of the picture times the view's `shift_unit`.
        expression_TK: (T, K) standard deviations.
    """

    rotation_T33: Float64
    scale_T: Float64
    shift_T2: Float64
    expression_TK: Float64

    @classmethod
    def of(cls, poses: FramePoses) -> State:
        """Where frames of known pose stand, in a view whose `shift_unit` is 1."""
        return cls(
            rotation_matrices(poses.rotation_T3), poses.scale_T, poses.translation_T2, poses.expression_TK
        )

    def part(self, frames: slice) -> State:
        """Some of the frames."""
        return State(
            self.rotation_T33[frames], self.scale_T[frames], self.shift_T2[frames], self.expression_TK[frames]
        )

    def moved(self, step_TD: Float64) -> State:
        """After a step: a small turn from the left, growth, shift, and expression."""
        return State(
            rotation_matrices(step_TD[:, :3]) @ self.rotation_T33,
            self.scale_T * np.exp(step_TD[:, 3]),
            self.shift_T2 + step_TD[:, 4:6],
            self.expression_TK + step_TD[:, 6:],
        )

    def turn_T3(self) -> Float64:
        """(T, 3) axis-angle of the rotation from each frame to the next, at the latter."""
        turn_T3 = np.zeros((len(self.scale_T), 3))
        turn_T3[1:] = axis_angles(self.rotation_T33[1:] @ np.swapaxes(self.rotation_T33[:-1], 1, 2))
        return turn_T3

    def pose_T6(self) -> Float64:
        """(T, 6) the pose as it is smoothed; the rotation's part is `turn_T3`'s."""
        return np.concatenate(
            [np.zeros((len(self.scale_T), 3)), np.log(self.scale_T)[:, None], self.shift_T2], axis=1
        )

    def poses(self, shift_unit: float) -> FramePoses:
        """In px of the picture."""
        return FramePoses(
            self.expression_TK, axis_angles(self.rotation_T33), self.scale_T, self.shift_T2 / shift_unit
        )


@dataclass(frozen=True)
class NeutralFace:
    """A person's neutral face: fixed vertices (3, n), and candidates of the outline (J, C, 3)."""

    shape_3n: Float64
    contour_JC3: Float64


def shift_unit_of(crop_scale_T: Float32) -> float:
    """The unit of frames' translations; see `View`."""
    return float(np.median(crop_scale_T)) if len(crop_scale_T) else 1.0
