"""What each frame asks of a fit by itself: the normal equations of its landmarks and of the priors.

Huber's loss takes residuals of bounded length instead of smaller weights, so that the products of the basis
are the same for all frames. Source: Huber 1981, Robust Statistics, 7.8 (modified residuals).

Shapes: T frames, n vertices that do not slide, J landmarks of the outline, K expression coefficients, I
identity coefficients, D = 6 + K.
"""

from __future__ import annotations

import numpy as np

from dubber.models.contour import Contour
from dubber.models.fit_state import NeutralFace, State, View, shift_unit_of
from dubber.models.morphable import CONTOUR_TRACKER, TRACKER, TRACKER_VERTICES, LinearFaceModel, view_features
from dubber.models.temporal import NUM_POSE
from dubber.ops.pose import rigid_pose
from dubber.types import Bool, Float32, Float64, Int32

UNIT_PX = 150.0
"""Px of the crop per model unit, about: the crop shows all faces at one size."""

_POSE_BY_X = np.zeros((NUM_POSE, 4))
_POSE_BY_X[[1, 2, 3, 4], [2, 1, 0, 3]] = 1, -1, 1, 1
_POSE_BY_Y = np.zeros((NUM_POSE, 4))
_POSE_BY_Y[[0, 2, 3, 5], [2, 0, 1, 3]] = -1, 1, 1, 1
"""Derivatives of a projected vertex's x and y by the pose, as sums of its turned x, y, z and of px per unit
of shift: a small left rotation w moves it by w x v, a growth by itself."""


class FrameEquations:
    """The normal equations of one person's frames; holds what does not change from frame to frame.

    Args:
        model: The face model; its `TRACKER` and `TRACKER_VERTICES` sets say what is compared, and its contour
            lines what slides.
        weight_L: (L,) importance of each of the tracker's landmarks, not negative.
        sigma_px: Typical landmark error in px of the crop.
        expression_weight: lambda of the expression prior.
        identity_weight: Weight of the identity prior.
    """

    def __init__(
        self,
        model: LinearFaceModel,
        weight_L: Float64,
        *,
        sigma_px: float,
        expression_weight: float,
        identity_weight: float,
    ) -> None:
        self._expression_weight, self._identity_weight = expression_weight, identity_weight
        weight_L = np.asarray(weight_L, np.float64)
        sliding_J = model.landmark_sets.get(CONTOUR_TRACKER, np.zeros(0, np.int32))
        landmarks, vertices = model.landmark_sets[TRACKER], model.landmark_sets[TRACKER_VERTICES]
        is_fixed = (weight_L[landmarks] > 0) & ~np.isin(landmarks, sliding_J)
        self._landmark_index: Int32 = landmarks[is_fixed]
        vertex_index = vertices[is_fixed]
        total = weight_L[self._landmark_index].sum() + weight_L[sliding_J].sum()
        self._weight_n = weight_L[self._landmark_index] / total / sigma_px**2
        self._mean_3n = model.mean_V3[vertex_index].T.astype(np.float64)
        self._expression = _Basis(model.expression_KV3[:, vertex_index], self._weight_n)
        self._identity = _Basis(model.identity_KV3[:, vertex_index], self._weight_n)
        self._pose_P3n = np.swapaxes(model.pose_PV3[:, vertex_index], 1, 2).astype(np.float64)
        self._contour = Contour(model, weight_L[sliding_J] / total / sigma_px**2)

    @property
    def num_expression(self) -> int:
        """K."""
        return self._expression.size

    @property
    def num_identity(self) -> int:
        """I."""
        return self._identity.size

    def neutral(self, identity_I: Float64) -> NeutralFace:
        """A person's face at rest."""
        return NeutralFace(
            self._mean_3n + self._identity.shape(identity_I[None])[0], self._contour.neutral(identity_I)
        )

    def view(
        self,
        landmarks_TL3: Float32,
        crop_scale_T: Float32,
        continues_T: Bool,
        shift_unit: float | None = None,
    ) -> View:
        """What is seen of frames.

        Args:
            landmarks_TL3: (T, L, 3) px.
            crop_scale_T: (T,) px of the crop per px of the picture.
            continues_T: (T,) bool, whether a frame follows the one before.
            shift_unit: See `View`; that of these frames if None.
        """
        return View(
            _component_first(landmarks_TL3[:, self._landmark_index]),
            _component_first(landmarks_TL3[:, self._contour.landmark_index, :2]),
            np.asarray(crop_scale_T, np.float64),
            continues_T,
            shift_unit_of(crop_scale_T) if shift_unit is None else shift_unit,
        )

    def start(self, view: View, neutral: NeutralFace) -> State:
        """The best rigid pose of the neutral face."""
        points_Tn3 = np.swapaxes(view.points_T3n, 1, 2)
        rotation_T33, scale_T, shift_T3 = rigid_pose(points_Tn3, neutral.shape_3n.T, self._weight_n)
        expression_TK = np.zeros((len(points_Tn3), self._expression.size))
        return State(rotation_T33, scale_T, shift_T3[:, :2] * view.shift_unit, expression_TK)

    def residuals(self, view: View, neutral: NeutralFace, state: State) -> Float64:
        """(T, 2, n + J) px of the crop, from the projected vertices to all landmarks, not bounded."""
        fixed_T3n, _ = self._turned_fixed(view, neutral, state)
        outline_T3J, _ = self._contour.chosen(neutral.contour_JC3, state.expression_TK, state.rotation_T33)
        residuals = [
            _residual(view.points_T3n[:, :2], fixed_T3n, view, state),
            _residual(view.outline_T2J, _turned(outline_T3J, view, state)[0], view, state),
        ]
        return np.concatenate(residuals, axis=2)

    def lever_px(self) -> float:
        """Root mean square distance of the vertices from the origin, px of the crop: what a turn moves."""
        return float(np.sqrt((self._mean_3n**2).sum(axis=0).mean()) * UNIT_PX)

    def normal_equations(
        self, view: View, neutral: NeutralFace, state: State, bound_px: float
    ) -> tuple[Float64, Float64]:
        """(T, D, D) and (T, D) of the frames by themselves: landmarks and the expression's prior.

        Residuals are in px of the crop. The Jacobian is never built. Its columns for the pose are sums of the
        rows x, y, z and "px per unit of shift"; those for the expression are C B, with B the basis and
        C = scale * R_xy. So all that is needed are the products of the rows with each other and with B; those
        of B with itself depend on C alone. That the mesh deforms with the pose has no part in the Jacobian,
        being small.
        """
        turned_T3n, camera_T23 = self._turned_fixed(view, neutral, state)
        residual_T2n = _bounded(_residual(view.points_T3n[:, :2], turned_T3n, view, state), bound_px)
        rows_T6n = _rows(turned_T3n, residual_T2n, view)
        gram_T66 = (rows_T6n * self._weight_n) @ np.swapaxes(rows_T6n, 1, 2)
        products_T62K = camera_T23[:, None] @ self._expression.products(rows_T6n)
        pose_T4 = gram_T66[:, :4]
        size = self._expression.size
        prior = self._expression_weight / max(1, size)
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
            self._add_outline(normal_TDD, right_TD, view, neutral, state, bound_px)
        return normal_TDD, right_TD

    def _add_outline(
        self,
        normal_TDD: Float64,
        right_TD: Float64,
        view: View,
        neutral: NeutralFace,
        state: State,
        bound_px: float,
    ) -> None:
        """Add the landmarks that slide: few, so their Jacobian is built."""
        shape_T3J, basis_TK3J = self._contour.chosen(
            neutral.contour_JC3, state.expression_TK, state.rotation_T33
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

    def identity_step(
        self, view: View, neutral: NeutralFace, state: State, identity_I: Float64, bound_px: float
    ) -> Float64:
        """(I,) change of the identity for given poses and expressions, by the landmarks that do not slide."""
        turned_T3n, camera_T23 = self._turned_fixed(view, neutral, state)
        residual_T2n = _bounded(_residual(view.points_T3n[:, :2], turned_T3n, view, state), bound_px)
        prior = self._identity_weight / max(1, self._identity.size)
        normal_II = self._identity.normal(camera_T23).mean(axis=0) + np.eye(self._identity.size) * prior
        products_T22I = camera_T23[:, None] @ self._identity.products(residual_T2n)
        right_I = (products_T22I[:, 0, 0] + products_T22I[:, 1, 1]).mean(axis=0)
        return np.asarray(np.linalg.solve(normal_II, right_I - prior * identity_I), np.float64)

    def _turned_fixed(self, view: View, neutral: NeutralFace, state: State) -> tuple[Float64, Float64]:
        """As `_turned`, the vertices that do not slide."""
        shape_T3n = neutral.shape_3n + self._expression.shape(state.expression_TK)
        if len(self._pose_P3n):
            shape_T3n += np.tensordot(view_features(state.rotation_T33), self._pose_P3n, 1)
        return _turned(shape_T3n, view, state)


def _component_first(points_TLx: Float32) -> Float64:
    return np.ascontiguousarray(np.swapaxes(points_TLx, 1, 2), np.float64)


def _turned(shape_T3n: Float64, view: View, state: State) -> tuple[Float64, Float64]:
    """Shapes turned and scaled (T, 3, n) px of the crop, and the cameras (T, 2, 3) that do so."""
    turn_T33 = state.rotation_T33 * (state.scale_T * view.crop_scale_T)[:, None, None]
    return np.asarray(turn_T33 @ shape_T3n, np.float64), turn_T33[:, :2]


def _residual(points_T2n: Float64, turned_T3n: Float64, view: View, state: State) -> Float64:
    """(T, 2, n) px of the crop, from the projected vertices to the landmarks."""
    shift_T2 = state.shift_T2 * view.shift_factor_T[:, None]
    seen_T2n = points_T2n * view.crop_scale_T[:, None, None]
    return np.asarray(seen_T2n - turned_T3n[:, :2] - shift_T2[..., None], np.float64)


def _bounded(residual_T2n: Float64, bound_px: float) -> Float64:
    """The residuals, none longer than the bound."""
    length_T1n = np.sqrt((residual_T2n**2).sum(axis=1, keepdims=True))
    return np.asarray(residual_T2n * np.minimum(1, bound_px / np.maximum(length_T1n, 1e-9)), np.float64)


def _rows(turned_T3n: Float64, residual_T2n: Float64, view: View) -> Float64:
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
