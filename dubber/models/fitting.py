"""Fitting the linear face model to landmarks: identity once per person, pose and expression per frame.

All frames are fitted together: Gauss-Newton minimises

    sum_t [ sum_k w_k rho(|c (p_k - l_k)|) / sigma^2 / sum_k w_k  +  lambda |e|^2 / K ]
    + alpha sum_t |second difference of the pose|^2 / sigma^2  +  beta sum_t |first difference of e|^2 / K

where p are projected vertices, l landmarks, c the similarity's scale (so that all is measured in px of the
crop, whatever the size of the face), e the expression in standard deviations, rho Huber's loss. Differences
are taken within runs of frames only. Source: method.md, Fitting.

Shapes: T frames, L landmarks of the tracker, K expression coefficients, I identity coefficients, D = 6 + K.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Protocol

import numpy as np

from dubber.models.fit_state import FramePoses, NeutralFace, State, View, shift_unit_of
from dubber.models.frame_equations import FrameEquations
from dubber.models.morphable import LinearFaceModel
from dubber.models.temporal import NUM_POSE, add_differences, second_differences, solve
from dubber.types import Bool, Float32, Float64

PART_FRAMES = 64
"""Frames whose projected vertices are held at once."""

WINDOW_FRAMES = 512
"""Frames solved for together, and the neighbours they are solved with on each side for smoothness' sake."""


PLAIN_STEPS = 2
"""Steps that are made before residuals are bounded."""


@dataclass(frozen=True)
class FitSettings:
    """How much is believed of landmarks and priors.

    Attributes:
        sigma_px: Typical landmark error in px of the crop.
        huber_px: Residual, px of the crop, from which on a landmark pulls no harder.
        expression_weight: lambda of the expression prior.
        expression_smoothing: beta of the expression's first differences.
        pose_smoothing: alpha of the pose's second differences.
        identity_weight: Weight of the identity prior, for all frames of the identity fit together.
        num_iterations: Gauss-Newton steps.
        num_identity_rounds: Alternations of a step for the frames and one for the identity.
    """

    sigma_px: float = 2.0
    huber_px: float = 4.0
    expression_weight: float = 0.1
    expression_smoothing: float = 0.05
    pose_smoothing: float = 2.0
    identity_weight: float = 0.02
    num_iterations: int = 4
    num_identity_rounds: int = 15


class LandmarkFrames(Protocol):
    """Landmarks frame by frame, (T, L, 3) float32 px: an array, or what reads parts of one when asked."""

    def __len__(self) -> int:
        """T."""
        ...

    def __getitem__(self, frames: slice, /) -> Float32:
        """Those of some frames in a row."""
        ...


class FaceFitter:
    """Fits one person's frames.

    Args:
        model: The face model; its `TRACKER` and `TRACKER_VERTICES` sets say what is compared, and its contour
            lines what slides.
        weight_L: (L,) importance of each of the tracker's landmarks, not negative.
        settings: See `FitSettings`.
    """

    def __init__(
        self, model: LinearFaceModel, weight_L: Float64, settings: FitSettings | None = None
    ) -> None:
        self.settings = settings or FitSettings()
        self._equations = FrameEquations(
            model,
            weight_L,
            sigma_px=self.settings.sigma_px,
            expression_weight=self.settings.expression_weight,
            identity_weight=self.settings.identity_weight,
        )

    def fit_identity(self, landmarks_TL3: Float32, crop_scale_T: Float32) -> Float32:
        """The person's identity from a few frames.

        Args:
            landmarks_TL3: (T, L, 3) px, frames that differ in pose and mouth; see `spread_frames`.
            crop_scale_T: (T,) px of the crop per px of the picture.

        Returns:
            (I,) float32 standard deviations.
        """
        view = self._equations.view(landmarks_TL3, crop_scale_T, np.zeros(len(landmarks_TL3), bool))
        identity_I = np.zeros(self._equations.num_identity)
        state = self._equations.start(view, self._equations.neutral(identity_I))
        for bound_px in self._bounds_px(self.settings.num_identity_rounds):
            neutral = self._equations.neutral(identity_I)
            state = self._improved(view, neutral, state, bound_px)
            identity_I = identity_I + self._equations.identity_step(
                view, neutral, state, identity_I, bound_px
            )
        return identity_I.astype(np.float32)

    def fit_frames(
        self,
        landmarks_TL3: LandmarkFrames,
        crop_scale_T: Float32,
        identity_I: Float32 | Float64,
        continues_T: Bool | None = None,
    ) -> FramePoses:
        """Pose and expression of all frames, given the identity.

        Time grows with the number of frames and memory only by the result: long clips are solved in windows
        that overlap farther than smoothness reaches.

        Args:
            landmarks_TL3: (T, L, 3) px.
            crop_scale_T: (T,) px of the crop per px of the picture.
            identity_I: (I,) standard deviations.
            continues_T: (T,) bool, whether a frame follows the one before without a cut or a gap; None for
                frames that have nothing to do with each other.
        """
        num_frames = len(landmarks_TL3)
        continues_T = np.zeros(num_frames, bool) if continues_T is None else continues_T
        neutral = self._equations.neutral(np.asarray(identity_I, np.float64))
        shift_unit = shift_unit_of(crop_scale_T)
        overlap = self._overlap() if continues_T.any() else 0
        poses = FramePoses.blank(num_frames, self._equations.num_expression)
        for start in range(0, num_frames, WINDOW_FRAMES):
            first = max(0, start - overlap)
            window = slice(first, min(num_frames, start + WINDOW_FRAMES + overlap))
            view = self._equations.view(
                landmarks_TL3[window], crop_scale_T[window], continues_T[window], shift_unit
            )
            state = self._equations.start(view, neutral)
            for bound_px in self._bounds_px(self.settings.num_iterations):
                state = self._improved(view, neutral, state, bound_px)
            solved = slice(start, min(num_frames, start + WINDOW_FRAMES))
            poses.put(solved, state.poses(shift_unit).part(slice(solved.start - first, solved.stop - first)))
        return poses

    def residual_px(
        self, landmarks_TL3: LandmarkFrames, crop_scale_T: Float32, identity_I: Float32, poses: FramePoses
    ) -> Float32:
        """How well the fit explains the landmarks, all counted alike.

        Args:
            landmarks_TL3: (T, L, 3) px.
            crop_scale_T: (T,) px of the crop per px of the picture.
            identity_I: (I,) standard deviations.
            poses: The fit.

        Returns:
            (T,) float32 mean distance between projected vertices and tracked landmarks, px of the crop.
        """
        neutral = self._equations.neutral(np.asarray(identity_I, np.float64))
        means = []
        for part in _parts(len(landmarks_TL3)):
            view = self._equations.view(landmarks_TL3[part], crop_scale_T[part], np.zeros(0, bool), 1.0)
            state = State.of(poses.part(part))
            residual_T2m = self._equations.residuals(view, neutral, state)
            means.append(np.linalg.norm(residual_T2m, axis=1).mean(axis=1))
        return np.asarray(np.concatenate(means), np.float32)

    def _bounds_px(self, num_steps: int) -> list[float]:
        """Longest residual of each step: with all of them at once, a mouth that is far open looks wrong."""
        return [np.inf] * min(PLAIN_STEPS, num_steps) + [self.settings.huber_px] * (num_steps - PLAIN_STEPS)

    def _overlap(self) -> int:
        """Frames on either side of a window beyond which smoothness makes no difference any more.

        The influence of a frame on one t frames away falls like exp(-t / (sqrt 2 alpha^(1/4))): that is how
        the solution of x + alpha x'''' = y does. 14 of these lengths leave 1e-6.
        """
        strength = max(1.0, self.settings.pose_smoothing, self.settings.expression_smoothing)
        return int(np.ceil(20 * strength**0.25))

    def _improved(self, view: View, neutral: NeutralFace, state: State, bound_px: float) -> State:
        """One Gauss-Newton step for all frames of a view together."""
        num_frames, size = len(view.points_T3n), NUM_POSE + self._equations.num_expression
        normal_TDD, right_TD = np.empty((num_frames, size, size)), np.empty((num_frames, size))
        for part in _parts(num_frames):
            normal_TDD[part], right_TD[part] = self._equations.normal_equations(
                view.part(part), neutral, state.part(part), bound_px
            )
        if not view.continues_T.any():
            step_TD = np.linalg.solve(normal_TDD, right_TD[..., None])[..., 0]
            return state.moved(step_TD)
        settings = self.settings
        weight_6 = np.ones(NUM_POSE) * settings.pose_smoothing / settings.sigma_px**2
        weight_6[:4] *= self._equations.lever_px() ** 2
        couplings = add_differences(
            normal_TDD,
            right_TD,
            second_differences(state.pose_T6(), state.turn_T3(), view.continues_T),
            state.expression_TK,
            view.continues_T,
            weight_6,
            settings.expression_smoothing / max(1, self._equations.num_expression),
        )
        return state.moved(solve(normal_TDD, right_TD, *couplings))


def _parts(num_frames: int) -> list[slice]:
    """Frames in portions; one empty portion where there are none."""
    return [slice(start, start + PART_FRAMES) for start in range(0, max(1, num_frames), PART_FRAMES)]
