"""Fitting the linear face model to landmarks: identity once per person, pose and expression per frame.

All frames are fitted together: Gauss-Newton minimises

    sum_t [ sum_k w_k rho(|c (p_k - l_k)|) / sigma^2 / sum_k w_k  +  lambda |e|^2 / K ]
    + alpha sum_t |second difference of the pose|^2 / sigma^2  +  beta sum_t |first difference of e|^2 / K

where p are projected vertices, l landmarks, c the similarity's scale (so that all is measured in px of the
crop, whatever the size of the face), e the expression in standard deviations, rho Huber's loss. Differences
are taken within runs of frames only. Source: method.md, Fitting.

Huber's loss takes residuals of bounded length instead of smaller weights, so that the products of the basis
are the same for all frames. Source: Huber 1981, Robust Statistics, 7.8 (modified residuals).

Shapes: T frames, n fitted vertices, J landmarks of the outline, K expression coefficients, I identity
coefficients, D = 6 + K.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Protocol

import numpy as np

from dubber.models.contour import Contour
from dubber.models.morphable import (
    CONTOUR_TRACKER,
    TRACKER,
    TRACKER_VERTICES,
    LinearFaceModel,
    axis_angles,
    rotation_matrices,
    view_features,
)
from dubber.models.temporal import NUM_POSE, add_differences, second_differences, solve
from dubber.types import Bool, Float32, Float64, Int32

PART_FRAMES = 64
"""Frames whose projected vertices are held at once."""

WINDOW_FRAMES = 512
"""Frames solved for together, and the neighbours they are solved with on each side for smoothness' sake."""


UNIT_PX = 150.0
"""Px of the crop per model unit, about: the crop shows all faces at one size."""

PLAIN_STEPS = 2
"""Steps that are made before residuals are bounded."""

_POSE_BY_X = np.zeros((NUM_POSE, 4))
_POSE_BY_X[[1, 2, 3, 4], [2, 1, 0, 3]] = 1, -1, 1, 1
_POSE_BY_Y = np.zeros((NUM_POSE, 4))
_POSE_BY_Y[[0, 2, 3, 5], [2, 0, 1, 3]] = -1, 1, 1, 1
"""Derivatives of a projected vertex's x and y by the pose, as sums of its turned x, y, z and of px per unit
of shift: a small left rotation w moves it by w x v, a growth by itself."""


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


def rigid_pose(
    points_TN3: Float32 | Float64, reference_N3: Float32 | Float64, weight_N: Float64 | None = None
) -> tuple[Float64, Float64, Float64]:
    """Similarity in space that takes a reference onto each frame's points.

    Args:
        points_TN3: (T, N, 3) points, any unit.
        reference_N3: (N, 3) or (T, N, 3) reference, any unit.
        weight_N: (N,) importance; equal if None.

    Returns:
        Rotations (T, 3, 3), scales (T,), translations (T, 3) with point = scale * R @ reference +
        translation.

    Source: Umeyama 1991, eq. 40-43.
    """
    weight_N = np.ones(points_TN3.shape[1]) if weight_N is None else np.asarray(weight_N, np.float64)
    weight = (weight_N / weight_N.sum())[:, None]
    points, reference = np.asarray(points_TN3, np.float64), np.asarray(reference_N3, np.float64)
    if reference.ndim == 2:
        reference = reference[None]
    centre_T13 = (points * weight).sum(axis=1, keepdims=True)
    origin_T13 = (reference * weight).sum(axis=1, keepdims=True)
    p, q = points - centre_T13, reference - origin_T13
    covariance_T33 = np.swapaxes(p * weight, 1, 2) @ q
    u, s, vt = np.linalg.svd(covariance_T33)
    sign = np.ones_like(s)
    sign[:, 2] = np.sign(np.linalg.det(u) * np.linalg.det(vt))
    rotation_T33 = (u * sign[:, None]) @ vt
    scale_T = (s * sign).sum(axis=1) / (weight * q**2).sum(axis=(1, 2))
    shift_T3 = centre_T13[:, 0] - scale_T[:, None] * (rotation_T33 @ np.swapaxes(origin_T13, 1, 2))[..., 0]
    return rotation_T33, scale_T, shift_T3


class FaceFitter:
    """Fits one person's frames; holds what does not change from frame to frame.

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
        weight_L = np.asarray(weight_L, np.float64)
        sliding_J = model.landmark_sets.get(CONTOUR_TRACKER, np.zeros(0, np.int32))
        landmarks, vertices = model.landmark_sets[TRACKER], model.landmark_sets[TRACKER_VERTICES]
        is_fixed = (weight_L[landmarks] > 0) & ~np.isin(landmarks, sliding_J)
        self._landmark_index: Int32 = landmarks[is_fixed]
        vertex_index = vertices[is_fixed]
        total = weight_L[self._landmark_index].sum() + weight_L[sliding_J].sum()
        self._weight_n = weight_L[self._landmark_index] / total / self.settings.sigma_px**2
        self._mean_3n = model.mean_V3[vertex_index].T.astype(np.float64)
        self._expression = _Basis(model.expression_KV3[:, vertex_index], self._weight_n)
        self._identity = _Basis(model.identity_KV3[:, vertex_index], self._weight_n)
        self._pose_P3n = np.swapaxes(model.pose_PV3[:, vertex_index], 1, 2).astype(np.float64)
        self._contour = Contour(model, weight_L[sliding_J] / total / self.settings.sigma_px**2)

    def fit_identity(self, landmarks_TL3: Float32, crop_scale_T: Float32) -> Float32:
        """The person's identity from a few frames.

        Args:
            landmarks_TL3: (T, L, 3) px, frames that differ in pose and mouth; see `spread_frames`.
            crop_scale_T: (T,) px of the crop per px of the picture.

        Returns:
            (I,) float32 standard deviations.
        """
        view = self._view(landmarks_TL3, crop_scale_T, np.zeros(len(landmarks_TL3), bool))
        identity_I = np.zeros(self._identity.size)
        state = self._start(view, self._base(identity_I))
        for bound_px in self._bounds_px(self.settings.num_identity_rounds):
            base = self._base(identity_I)
            state = self._improved(view, base, state, bound_px)
            identity_I = identity_I + self._identity_step(view, base, state, identity_I, bound_px)
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
        base = self._base(np.asarray(identity_I, np.float64))
        shift_unit = _shift_unit(crop_scale_T)
        overlap = self._overlap() if continues_T.any() else 0
        poses = FramePoses.blank(num_frames, self._expression.size)
        for start in range(0, num_frames, WINDOW_FRAMES):
            first = max(0, start - overlap)
            window = slice(first, min(num_frames, start + WINDOW_FRAMES + overlap))
            view = self._view(landmarks_TL3[window], crop_scale_T[window], continues_T[window], shift_unit)
            state = self._start(view, base)
            for bound_px in self._bounds_px(self.settings.num_iterations):
                state = self._improved(view, base, state, bound_px)
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
        base = self._base(np.asarray(identity_I, np.float64))
        means = []
        for part in _parts(len(landmarks_TL3)):
            view = self._view(landmarks_TL3[part], crop_scale_T[part], np.zeros(0, bool), 1.0)
            state = _State.of(poses.part(part))
            fixed_T3n, _ = self._turned_fixed(view, base, state)
            outline_T3J, _ = self._contour.chosen(base.contour_JC3, state.expression_TK, state.rotation_T33)
            residuals = [
                _residual(view.points_T3n[:, :2], fixed_T3n, view, state),
                _residual(view.outline_T2J, _turned(outline_T3J, view, state)[0], view, state),
            ]
            means.append(np.linalg.norm(np.concatenate(residuals, axis=2), axis=1).mean(axis=1))
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

    def _base(self, identity_I: Float64) -> _Base:
        return _Base(
            self._mean_3n + self._identity.shape(identity_I[None])[0], self._contour.neutral(identity_I)
        )

    def _view(
        self,
        landmarks_TL3: Float32,
        crop_scale_T: Float32,
        continues_T: Bool,
        shift_unit: float | None = None,
    ) -> _View:
        return _View(
            _component_first(landmarks_TL3[:, self._landmark_index]),
            _component_first(landmarks_TL3[:, self._contour.landmark_index, :2]),
            np.asarray(crop_scale_T, np.float64),
            continues_T,
            _shift_unit(crop_scale_T) if shift_unit is None else shift_unit,
        )

    def _start(self, view: _View, base: _Base) -> _State:
        """The best rigid pose of the neutral face."""
        points_Tn3 = np.swapaxes(view.points_T3n, 1, 2)
        rotation_T33, scale_T, shift_T3 = rigid_pose(points_Tn3, base.shape_3n.T, self._weight_n)
        expression_TK = np.zeros((len(points_Tn3), self._expression.size))
        return _State(rotation_T33, scale_T, shift_T3[:, :2] * view.shift_unit, expression_TK)

    def _improved(self, view: _View, base: _Base, state: _State, bound_px: float) -> _State:
        """One Gauss-Newton step for all frames of a view together."""
        num_frames, size = len(view.points_T3n), NUM_POSE + self._expression.size
        normal_TDD, right_TD = np.empty((num_frames, size, size)), np.empty((num_frames, size))
        for part in _parts(num_frames):
            normal_TDD[part], right_TD[part] = self._normal_equations(
                view.part(part), base, state.part(part), bound_px
            )
        if not view.continues_T.any():
            step_TD = np.linalg.solve(normal_TDD, right_TD[..., None])[..., 0]
            return state.moved(step_TD)
        settings = self.settings
        weight_6 = np.ones(NUM_POSE) * settings.pose_smoothing / settings.sigma_px**2
        weight_6[:4] *= self._lever_px() ** 2
        couplings = add_differences(
            normal_TDD,
            right_TD,
            second_differences(state.pose_T6(), state.turn_T3(), view.continues_T),
            state.expression_TK,
            view.continues_T,
            weight_6,
            settings.expression_smoothing / max(1, self._expression.size),
        )
        return state.moved(solve(normal_TDD, right_TD, *couplings))

    def _lever_px(self) -> float:
        """Root mean square distance of the vertices from the origin, px of the crop: what a turn moves."""
        return float(np.sqrt((self._mean_3n**2).sum(axis=0).mean()) * UNIT_PX)

    def _normal_equations(
        self, view: _View, base: _Base, state: _State, bound_px: float
    ) -> tuple[Float64, Float64]:
        """(T, D, D) and (T, D) of the frames by themselves: landmarks and the expression's prior.

        Residuals are in px of the crop. The Jacobian is never built. Its columns for the pose are sums of the
        rows x, y, z and "px per unit of shift"; those for the expression are C B, with B the basis and
        C = scale * R_xy. So all that is needed are the products of the rows with each other and with B; those
        of B with itself depend on C alone. That the mesh deforms with the pose has no part in the Jacobian,
        being small.
        """
        turned_T3n, camera_T23 = self._turned_fixed(view, base, state)
        residual_T2n = _bounded(_residual(view.points_T3n[:, :2], turned_T3n, view, state), bound_px)
        rows_T6n = _rows(turned_T3n, residual_T2n, view)
        gram_T66 = (rows_T6n * self._weight_n) @ np.swapaxes(rows_T6n, 1, 2)
        products_T62K = camera_T23[:, None] @ self._expression.products(rows_T6n)
        pose_T4 = gram_T66[:, :4]
        size = self._expression.size
        prior = self.settings.expression_weight / max(1, size)
        normal_TDD = np.empty((len(turned_T3n), NUM_POSE + size, NUM_POSE + size))
        normal_TDD[:, :6, :6] = (
            _POSE_BY_X @ pose_T4[..., :4] @ _POSE_BY_X.T + _POSE_BY_Y @ pose_T4[..., :4] @ _POSE_BY_Y.T
        )
        normal_TDD[:, :6, :6] += np.eye(6) * 1e-9
        crossed_T6K = _POSE_BY_X @ products_T62K[:, :4, 0] + _POSE_BY_Y @ products_T62K[:, :4, 1]
        normal_TDD[:, :6, 6:] = crossed_T6K
        normal_TDD[:, 6:, :6] = np.swapaxes(crossed_T6K, 1, 2)
        normal_TDD[:, 6:, 6:] = self._expression.normal(camera_T23) + np.eye(size) * prior
        right_TD = np.empty((len(turned_T3n), NUM_POSE + size))
        right_TD[:, :6] = pose_T4[..., 4] @ _POSE_BY_X.T + pose_T4[..., 5] @ _POSE_BY_Y.T
        right_TD[:, 6:] = products_T62K[:, 4, 0] + products_T62K[:, 5, 1] - prior * state.expression_TK
        if self._contour.size:
            self._add_outline(normal_TDD, right_TD, view, base, state, bound_px)
        return normal_TDD, right_TD

    def _add_outline(
        self, normal_TDD: Float64, right_TD: Float64, view: _View, base: _Base, state: _State, bound_px: float
    ) -> None:
        """Add the landmarks that slide: few, so their Jacobian is built."""
        shape_T3J, basis_TK3J = self._contour.chosen(
            base.contour_JC3, state.expression_TK, state.rotation_T33
        )
        turned_T3J, camera_T23 = _turned(shape_T3J, view, state)
        residual_T2J = _bounded(_residual(view.outline_T2J, turned_T3J, view, state), bound_px)
        rows_T4J = _rows(turned_T3J, residual_T2J, view)[:, :4]
        pose_T62J = np.stack([_POSE_BY_X @ rows_T4J, _POSE_BY_Y @ rows_T4J], axis=2)
        columns_TD2J = np.concatenate([pose_T62J, camera_T23[:, None] @ basis_TK3J], axis=1)
        columns_TDm = columns_TD2J.reshape(*right_TD.shape, -1)
        weighted_TDm = columns_TDm * np.tile(self._contour.weight_J, 2)
        normal_TDD += weighted_TDm @ np.swapaxes(columns_TDm, 1, 2)
        right_TD += (weighted_TDm @ residual_T2J.reshape(len(residual_T2J), -1, 1))[..., 0]

    def _identity_step(
        self, view: _View, base: _Base, state: _State, identity_I: Float64, bound_px: float
    ) -> Float64:
        """(I,) change of the identity for given poses and expressions, by the landmarks that do not slide."""
        turned_T3n, camera_T23 = self._turned_fixed(view, base, state)
        residual_T2n = _bounded(_residual(view.points_T3n[:, :2], turned_T3n, view, state), bound_px)
        prior = self.settings.identity_weight / max(1, self._identity.size)
        normal_II = self._identity.normal(camera_T23).mean(axis=0) + np.eye(self._identity.size) * prior
        products_T22I = camera_T23[:, None] @ self._identity.products(residual_T2n)
        right_I = (products_T22I[:, 0, 0] + products_T22I[:, 1, 1]).mean(axis=0)
        return np.asarray(np.linalg.solve(normal_II, right_I - prior * identity_I), np.float64)

    def _turned_fixed(self, view: _View, base: _Base, state: _State) -> tuple[Float64, Float64]:
        """As `_turned`, the vertices that do not slide."""
        shape_T3n = base.shape_3n + self._expression.shape(state.expression_TK)
        if len(self._pose_P3n):
            shape_T3n += np.tensordot(view_features(state.rotation_T33), self._pose_P3n, 1)
        return _turned(shape_T3n, view, state)


@dataclass(frozen=True)
class _View:
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

    def part(self, frames: slice) -> _View:
        return _View(
            self.points_T3n[frames],
            self.outline_T2J[frames],
            self.crop_scale_T[frames],
            self.continues_T[frames],
            self.shift_unit,
        )


@dataclass(frozen=True)
class _State:
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
    def of(cls, poses: FramePoses) -> _State:
        return cls(
            rotation_matrices(poses.rotation_T3), poses.scale_T, poses.translation_T2, poses.expression_TK
        )

    def part(self, frames: slice) -> _State:
        return _State(
            self.rotation_T33[frames], self.scale_T[frames], self.shift_T2[frames], self.expression_TK[frames]
        )

    def moved(self, step_TD: Float64) -> _State:
        return _State(
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
        return FramePoses(
            self.expression_TK, axis_angles(self.rotation_T33), self.scale_T, self.shift_T2 / shift_unit
        )


@dataclass(frozen=True)
class _Base:
    """A person's neutral face: fixed vertices (3, n), and candidates of the outline (J, C, 3)."""

    shape_3n: Float64
    contour_JC3: Float64


def _shift_unit(crop_scale_T: Float32) -> float:
    return float(np.median(crop_scale_T)) if len(crop_scale_T) else 1.0


def _parts(num_frames: int) -> list[slice]:
    """Frames in portions; one empty portion where there are none."""
    return [slice(start, start + PART_FRAMES) for start in range(0, max(1, num_frames), PART_FRAMES)]


def _component_first(points_TLx: Float32) -> Float64:
    return np.ascontiguousarray(np.swapaxes(points_TLx, 1, 2), np.float64)


def _turned(shape_T3n: Float64, view: _View, state: _State) -> tuple[Float64, Float64]:
    """Shapes turned and scaled (T, 3, n) px of the crop, and the cameras (T, 2, 3) that do so."""
    turn_T33 = state.rotation_T33 * (state.scale_T * view.crop_scale_T)[:, None, None]
    return np.asarray(turn_T33 @ shape_T3n, np.float64), turn_T33[:, :2]


def _residual(points_T2n: Float64, turned_T3n: Float64, view: _View, state: _State) -> Float64:
    """(T, 2, n) px of the crop, from the projected vertices to the landmarks."""
    shift_T2 = state.shift_T2 * view.shift_factor_T[:, None]
    seen_T2n = points_T2n * view.crop_scale_T[:, None, None]
    return np.asarray(seen_T2n - turned_T3n[:, :2] - shift_T2[..., None], np.float64)


def _bounded(residual_T2n: Float64, bound_px: float) -> Float64:
    """The residuals, none longer than the bound."""
    length_T1n = np.sqrt((residual_T2n**2).sum(axis=1, keepdims=True))
    return np.asarray(residual_T2n * np.minimum(1, bound_px / np.maximum(length_T1n, 1e-9)), np.float64)


def _rows(turned_T3n: Float64, residual_T2n: Float64, view: _View) -> Float64:
    """(T, 6, n) turned x, y, z, px per unit of shift, and the residual's x and y."""
    num_frames, _, count = turned_T3n.shape
    shift_T1n = np.broadcast_to(view.shift_factor_T[:, None, None], (num_frames, 1, count))
    return np.concatenate([turned_T3n, shift_T1n, residual_T2n], axis=1)


class _Basis:
    """A linear basis with its weighted products, so that normal equations cost next to nothing per frame."""

    def __init__(self, basis_Kn3: Float32, weight_n: Float64) -> None:
        basis_K3n = np.swapaxes(basis_Kn3, 1, 2).astype(np.float64)
        self.size = len(basis_K3n)
        self._shape_3n = basis_K3n.shape[1:]
        self._flat_Km = np.ascontiguousarray(basis_K3n.reshape(self.size, -1))
        weighted_K3n = basis_K3n * weight_n
        self._weighted_nm = np.ascontiguousarray(weighted_K3n.transpose(2, 1, 0).reshape(len(weight_n), -1))
        products = np.einsum("kxn,lyn->xykl", weighted_K3n, basis_K3n, optimize=True)
        self._products = products.reshape(9, self.size * self.size)

    def shape(self, coefficients_TK: Float32 | Float64) -> Float64:
        """(T, 3, n) displacements."""
        moved = np.asarray(coefficients_TK, np.float64) @ self._flat_Km[: coefficients_TK.shape[1]]
        return np.asarray(moved.reshape(-1, *self._shape_3n), np.float64)

    def normal(self, camera_T23: Float64) -> Float64:
        """(T, K, K) weighted products of the projected basis with itself."""
        gram_T9 = (np.swapaxes(camera_T23, 1, 2) @ camera_T23).reshape(-1, 9)
        return np.asarray((gram_T9 @ self._products).reshape(-1, self.size, self.size), np.float64)

    def products(self, rows_Tcn: Float64) -> Float64:
        """(T, c, 3, K) weighted products of numbers per vertex with the basis' x, y and z."""
        num_frames, num_rows, count = rows_Tcn.shape
        flat = rows_Tcn.reshape(-1, count) @ self._weighted_nm
        return np.asarray(flat.reshape(num_frames, num_rows, 3, self.size), np.float64)


def spread_frames(yaw_T: Float32, opening_T: Float32, count: int) -> Int32:
    """Frames that differ in yaw and mouth opening: the farthest from all chosen so far, again and again.

    Args:
        yaw_T: (T,) any unit.
        opening_T: (T,) any unit.
        count: How many.

    Returns:
        (min(T, count),) int32 indices, increasing.
    """
    features = np.stack([np.asarray(yaw_T, np.float64), np.asarray(opening_T, np.float64)], axis=1)
    spread_2 = np.maximum(features.std(axis=0), 1e-9)
    # Outliers are what the tracker got wrong: they are not to look farther away than the usual extremes.
    features = np.clip((features - np.median(features, axis=0)) / spread_2, -2.5, 2.5)
    chosen = [int(np.argmin((features**2).sum(axis=1)))]
    distance_T = ((features - features[chosen[0]]) ** 2).sum(axis=1)
    while len(chosen) < min(count, len(features)):
        distance_T[chosen] = -1.0
        chosen.append(int(distance_T.argmax()))
        distance_T = np.minimum(distance_T, ((features - features[chosen[-1]]) ** 2).sum(axis=1))
    return np.sort(np.array(chosen, np.int32))
