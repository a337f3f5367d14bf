"""Fitting the linear face model to tracked landmarks: identity once per clip, pose and expression per frame.

Per frame, Gauss-Newton minimises

    sum_k w_k |c (p_k - l_k)|^2 / sigma^2 / sum_k w_k  +  lambda |e|^2 / K

where p are projected vertices, l landmarks, c the similarity's scale (so that all is measured in px of the
crop, whatever the size of the face), e the expression in standard deviations. Frames are independent, so they
are solved together in chunks. Source: method.md, Fitting: steps 2 to 4.

Shapes: T frames, n fitted vertices, K expression coefficients, I identity coefficients.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from dubber.models.morphable import (
    TRACKER,
    TRACKER_VERTICES,
    LinearFaceModel,
    axis_angles,
    project_TL2,
    rotation_matrices,
    view_features,
)
from dubber.types import Float32, Float64, Int32

CHUNK_FRAMES = 64


@dataclass(frozen=True)
class FitSettings:
    """How much is believed of landmarks and priors.

    Attributes:
        sigma_px: Typical landmark error in px of the crop.
        expression_weight: lambda of the expression prior.
        identity_weight: lambda of the identity prior, for all frames of the identity fit together.
        num_iterations: Gauss-Newton steps per frame.
        num_identity_rounds: Alternations of identity and per-frame fits.
        num_identity_frames: Frames that the identity is fitted to.
    """

    sigma_px: float = 2.0
    expression_weight: float = 0.1
    identity_weight: float = 0.02
    num_iterations: int = 4
    num_identity_rounds: int = 15
    num_identity_frames: int = 50


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
        model: The face model; its `TRACKER` and `TRACKER_VERTICES` sets say what is compared.
        weight_L: (L,) importance of each of the tracker's landmarks, not negative.
        settings: See `FitSettings`.
    """

    def __init__(
        self, model: LinearFaceModel, weight_L: Float64, settings: FitSettings | None = None
    ) -> None:
        self.settings = settings or FitSettings()
        landmarks, vertices = model.landmark_sets[TRACKER], model.landmark_sets[TRACKER_VERTICES]
        is_used = np.asarray(weight_L)[landmarks] > 0
        self._landmark_index: Int32 = landmarks[is_used]
        vertex_index = vertices[is_used]
        weight_n = np.asarray(weight_L, np.float64)[self._landmark_index]
        self._weight_n = weight_n / weight_n.sum() / self.settings.sigma_px**2
        self._mean_n3 = model.mean_V3[vertex_index].astype(np.float64)
        self._expression = _Basis(model.expression_KV3[:, vertex_index], self._weight_n)
        self._identity = _Basis(model.identity_KV3[:, vertex_index], self._weight_n)
        self._pose_Pn3 = model.pose_PV3[:, vertex_index].astype(np.float64)

    def fit_identity(self, landmarks_TL3: Float32, crop_scale_T: Float32) -> Float32:
        """The person's identity from a few frames.

        Args:
            landmarks_TL3: (T, L, 3) px, frames that differ in pose and mouth; see `spread_frames`.
            crop_scale_T: (T,) px of the crop per px of the picture.

        Returns:
            (I,) float32 standard deviations.
        """
        identity_I = np.zeros(self._identity.size)
        for _ in range(self.settings.num_identity_rounds):
            poses = self.fit_frames(landmarks_TL3, crop_scale_T, identity_I)
            identity_I = self._identity_step(landmarks_TL3, crop_scale_T, poses)
        return identity_I.astype(np.float32)

    def fit_frames(
        self, landmarks_TL3: Float32, crop_scale_T: Float32, identity_I: Float32 | Float64
    ) -> FramePoses:
        """Pose and expression of each frame, given the identity.

        Args:
            landmarks_TL3: (T, L, 3) px.
            crop_scale_T: (T,) px of the crop per px of the picture.
            identity_I: (I,) standard deviations.
        """
        base_n3 = self._mean_n3 + self._identity.shape(identity_I[None])[0]
        chunks = [
            self._fit_chunk(landmarks_TL3[part][:, self._landmark_index], crop_scale_T[part], base_n3)
            for part in _chunks(len(landmarks_TL3))
        ]
        names = ("expression_TK", "rotation_T3", "scale_T", "translation_T2")
        return FramePoses(
            **{name: np.concatenate([getattr(chunk, name) for chunk in chunks]) for name in names}
        )

    def refit_expression(
        self, landmarks_TL3: Float32, crop_scale_T: Float32, identity_I: Float32 | Float64, poses: FramePoses
    ) -> FramePoses:
        """Expression for poses that are given (because they were smoothed): one linear step.

        Args:
            landmarks_TL3: (T, L, 3) px.
            crop_scale_T: (T,) px of the crop per px of the picture.
            identity_I: (I,) standard deviations.
            poses: Poses to keep; their expression is not looked at.
        """
        base_n3 = self._mean_n3 + self._identity.shape(identity_I[None])[0]
        rows = [
            self._expression_step(
                landmarks_TL3[part][:, self._landmark_index, :2],
                crop_scale_T[part],
                base_n3,
                poses.part(part),
            )
            for part in _chunks(len(landmarks_TL3))
        ]
        return FramePoses(np.concatenate(rows), poses.rotation_T3, poses.scale_T, poses.translation_T2)

    def _expression_step(
        self, points_Tn2: Float32, crop_scale_T: Float32, base_n3: Float64, poses: FramePoses
    ) -> Float64:
        """(T, K) the expression that fits given poses best: a linear problem."""
        shape_Tn3 = base_n3 + self._posed(rotation_matrices(poses.rotation_T3))
        camera_T23, residual_Tn2 = _residual(points_Tn2, crop_scale_T, shape_Tn3, poses)
        normal_TKK = self._expression.normal(camera_T23) + self._expression_prior()
        right_TK = self._expression.project((residual_Tn2 @ camera_T23)[:, None])[:, 0]
        return np.asarray(np.linalg.solve(normal_TKK, right_TK[..., None])[..., 0], np.float64)

    def _posed(self, rotation_T33: Float64) -> Float64:
        """(T, n, 3) or zero: what the tracker's mesh does with the pose."""
        if not len(self._pose_Pn3):
            return np.zeros(1)
        return np.asarray(np.tensordot(view_features(rotation_T33), self._pose_Pn3, 1), np.float64)

    def _expression_prior(self) -> Float64:
        size = self._expression.size
        return np.asarray(np.eye(size) * (self.settings.expression_weight / max(1, size)), np.float64)

    def _identity_step(self, landmarks_TL3: Float32, crop_scale_T: Float32, poses: FramePoses) -> Float64:
        """(I,) the identity that fits given poses and expressions best: a linear problem."""
        posed_Tn3 = self._posed(rotation_matrices(poses.rotation_T3))
        shape_Tn3 = self._mean_n3 + posed_Tn3 + self._expression.shape(poses.expression_TK)
        points_Tn2 = landmarks_TL3[:, self._landmark_index, :2]
        camera_T23, residual_Tn2 = _residual(points_Tn2, crop_scale_T, shape_Tn3, poses)
        size = self._identity.size
        prior_II = np.eye(size) * (self.settings.identity_weight / max(1, size))
        normal_II = self._identity.normal(camera_T23).mean(axis=0) + prior_II
        right_I = self._identity.project((residual_Tn2 @ camera_T23)[:, None]).mean(axis=0)[0]
        return np.asarray(np.linalg.solve(normal_II, right_I), np.float64)

    def _fit_chunk(self, points_Tn3: Float32, crop_scale_T: Float32, base_n3: Float64) -> FramePoses:
        """Gauss-Newton for some frames at once, from the best rigid pose of the neutral face."""
        crop_scale_T = np.asarray(crop_scale_T, np.float64)
        points = np.asarray(points_Tn3, np.float64) * crop_scale_T[:, None, None]
        rotation_T33, scale_T, shift_T3 = rigid_pose(points, base_n3, self._weight_n)
        shift_T2 = shift_T3[:, :2]
        expression_TK = np.zeros((len(points), self._expression.size))
        for _ in range(self.settings.num_iterations):
            shape_Tn3 = base_n3 + self._posed(rotation_T33) + self._expression.shape(expression_TK)
            turned_Tn3 = shape_Tn3 @ np.swapaxes(rotation_T33, 1, 2)
            step = self._step(points[..., :2], turned_Tn3, rotation_T33, scale_T, shift_T2, expression_TK)
            rotation_T33 = rotation_matrices(step[:, :3]) @ rotation_T33
            scale_T = scale_T * np.exp(step[:, 3])
            shift_T2 = shift_T2 + step[:, 4:6]
            expression_TK = expression_TK + step[:, 6:]
        return FramePoses(
            expression_TK, axis_angles(rotation_T33), scale_T / crop_scale_T, shift_T2 / crop_scale_T[:, None]
        )

    def _step(
        self,
        points_Tn2: Float64,
        turned_Tn3: Float64,
        rotation_T33: Float64,
        scale_T: Float64,
        shift_T2: Float64,
        expression_TK: Float64,
    ) -> Float64:
        """(T, 6 + K) one Gauss-Newton step: small left rotation, log scale, shift, expression.

        All px are px of the crop. With B the basis and C = scale * R_xy, the expression's columns of the
        Jacobian are C B. They are never built: what is needed of them are their products with each other,
        which depend on C alone, and with the pose's columns, which C' brings into the model's frame first.
        """
        scale_T11 = scale_T[:, None, None]
        residual_Tn2 = points_Tn2 - scale_T11 * turned_Tn3[..., :2] - shift_T2[:, None]
        pose_T6n2 = _pose_columns(turned_Tn3, scale_T11)
        camera_T23 = rotation_T33[:, :2] * scale_T11
        columns_T7n2 = np.concatenate([pose_T6n2, residual_Tn2[:, None]], axis=1)
        products_T7K = self._expression.project(columns_T7n2 @ camera_T23[:, None])
        weighted_T6m = (pose_T6n2 * self._weight_n[:, None]).reshape(len(pose_T6n2), 6, -1)
        flat_T7m = columns_T7n2.reshape(len(columns_T7n2), 7, -1)
        pose_T67 = weighted_T6m @ np.swapaxes(flat_T7m, 1, 2)
        size = self._expression.size
        normal = np.empty((len(points_Tn2), 6 + size, 6 + size))
        prior_KK = self._expression_prior()
        normal[:, :6, :6] = pose_T67[..., :6] + np.eye(6) * 1e-9
        normal[:, :6, 6:] = products_T7K[:, :6]
        normal[:, 6:, :6] = np.swapaxes(products_T7K[:, :6], 1, 2)
        normal[:, 6:, 6:] = self._expression.normal(camera_T23) + prior_KK
        right = np.concatenate([pose_T67[..., 6], products_T7K[:, 6] - expression_TK @ prior_KK], axis=1)
        return np.asarray(np.linalg.solve(normal, right[..., None])[..., 0], np.float64)


def _chunks(num_frames: int) -> list[slice]:
    """Frames in portions; one empty portion where there are none."""
    return [slice(start, start + CHUNK_FRAMES) for start in range(0, max(1, num_frames), CHUNK_FRAMES)]


def _residual(
    points_Tn2: Float32, crop_scale_T: Float32, shape_Tn3: Float64, poses: FramePoses
) -> tuple[Float64, Float64]:
    """Cameras (T, 2, 3) of given poses, and what a shape leaves of the landmarks (T, n, 2), crop px."""
    scale_T = np.asarray(crop_scale_T, np.float64)
    camera_T23 = rotation_matrices(poses.rotation_T3)[:, :2] * (poses.scale_T * scale_T)[:, None, None]
    target_Tn2 = (points_Tn2 - poses.translation_T2[:, None]) * scale_T[:, None, None]
    return camera_T23, target_Tn2 - shape_Tn3 @ np.swapaxes(camera_T23, 1, 2)


class _Basis:
    """A linear basis with its weighted products, so that normal equations cost next to nothing per frame."""

    def __init__(self, basis_Kn3: Float32, weight_n: Float64) -> None:
        basis = basis_Kn3.astype(np.float64)
        self.size = len(basis)
        self._shape_n3 = basis.shape[1:]
        self._flat_Km = basis.reshape(self.size, -1)
        self._weighted_mK = np.ascontiguousarray((basis * weight_n[:, None]).reshape(self.size, -1).T)
        products = np.einsum("knx,lny->xykl", basis * weight_n[:, None], basis, optimize=True)
        self._products = products.reshape(9, self.size * self.size)

    def shape(self, coefficients_TK: Float32 | Float64) -> Float64:
        """(T, n, 3) displacements."""
        moved = np.asarray(coefficients_TK, np.float64) @ self._flat_Km[: coefficients_TK.shape[1]]
        return np.asarray(moved.reshape(-1, *self._shape_n3), np.float64)

    def normal(self, camera_T23: Float64) -> Float64:
        """(T, K, K) weighted products of the projected basis with itself."""
        gram_T9 = (np.swapaxes(camera_T23, 1, 2) @ camera_T23).reshape(-1, 9)
        return np.asarray((gram_T9 @ self._products).reshape(-1, self.size, self.size), np.float64)

    def project(self, columns_Tcn3: Float64) -> Float64:
        """(T, c, K) weighted products of displacements with the basis."""
        num_frames, num_columns = columns_Tcn3.shape[:2]
        flat = columns_Tcn3.reshape(num_frames * num_columns, -1) @ self._weighted_mK
        return np.asarray(flat.reshape(num_frames, num_columns, self.size), np.float64)


def _pose_columns(turned_Tn3: Float64, scale_T11: Float64) -> Float64:
    """(T, 6, n, 2) derivative of the projection by a small left rotation (3), log scale (1) and shift (2)."""
    scaled = turned_Tn3 * scale_T11
    x, y, z = np.moveaxis(scaled, -1, 0)
    zero, one = np.zeros_like(x), np.ones_like(x)
    columns = [(zero, -z), (z, zero), (-y, x), (x, y), (one, zero), (zero, one)]
    return np.stack([np.stack(pair, axis=-1) for pair in columns], axis=1)


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


def residual_px(
    model: LinearFaceModel,
    identity_I: Float32,
    poses: FramePoses,
    landmarks_TL3: Float32,
    crop_scale_T: Float32,
) -> Float32:
    """(T,) mean distance between projected vertices and tracked landmarks, px of the crop."""
    tracker, vertices = model.landmark_sets[TRACKER], model.landmark_sets[TRACKER_VERTICES]
    means = []
    for part in _chunks(len(landmarks_TL3)):
        some = poses.part(part)
        projected_Tn2 = project_TL2(
            model,
            identity_I,
            some.expression_TK.astype(np.float32),
            some.rotation_T3.astype(np.float32),
            some.scale_T.astype(np.float32),
            some.translation_T2.astype(np.float32),
            vertices,
        )
        means.append(
            np.linalg.norm(projected_Tn2 - landmarks_TL3[part][:, tracker, :2], axis=-1).mean(axis=1)
        )
    return np.asarray(np.concatenate(means) * crop_scale_T, np.float32)
