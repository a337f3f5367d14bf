"""A linear face model: mean shape plus identity and expression, and its projection into the picture.

Convention:
    model frame   x to the right of the picture, y down, z away from the camera, as seen when R is the
                  identity; the origin is the centroid of the rigid points (eyes, nose) of the mean face; one
                  unit is the distance between the outer corners of the mean face's eyes
    coefficients  in standard deviations of the training data: the bases carry the scale
    projection    scaled orthography: p = scale * (R @ v)_xy + translation, R from an axis-angle vector in
                  radians; v also has what the tracker's mesh does with the pose, see `view_features`

Shapes: T frames, V vertices, n chosen vertices, K coefficients, F triangles, J sliding landmarks.
Every size is data of the model.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

import numpy as np

from dubber.engine.weights import Weight
from dubber.errors import WeightsError
from dubber.ops.pose import rotation_matrices
from dubber.types import Float32, Float64, Int32

TRACKER = "tracker"
"""Landmark set: which landmarks of the tracker the model has a vertex for."""

TRACKER_VERTICES = "tracker_vertices"
"""Landmark set: those vertices, in the same order."""

MOUTH_JAW = "mouth_jaw"
"""Landmark set: vertices of the 39 mouth and jaw landmarks, in the order of `ops.landmarks.MOUTH_JAW`."""

RIGID = "rigid"
"""Landmark set: vertices that speech hardly moves."""

IBUG68 = "ibug68"
"""Landmark set: vertices of the 68 points of the iBUG scheme, in its order; see `ops.landmarks.IBUG68`."""

EYES = "eyes"
"""Landmark set: vertices of the eyelids' outline, corners among them: points 36..47 of the iBUG scheme."""

NOSE_TIP = "nose_tip"
"""Landmark set: the one vertex of the nose's tip."""

CONTOUR_TRACKER = "contour_tracker"
"""Landmark set: the J landmarks of the tracker that slide along the lines of `contour_JC`."""

NO_VERTEX = -1
"""Pads the lines of `contour_JC`."""

NUM_VIEW_FEATURES = 5
"""How many numbers `view_features` gives."""

_LANDMARK_PREFIX = "landmarks."

_NO_INDEX: Int32 = np.zeros(0, np.int32)


@dataclass(frozen=True)
class LinearFaceModel:
    """v = mean + identity + expression.

    Attributes:
        name: For logs.
        mean_V3: (V, 3) float32, model units.
        identity_KV3: (K_id, V, 3) float32, model units per standard deviation.
        expression_KV3: (K_exp, V, 3) float32, model units per standard deviation.
        triangles_F3: (F, 3) int32, may be empty.
        landmark_sets: Index arrays by name: `TRACKER` and `CONTOUR_TRACKER` are landmarks of the tracker, all
            others vertices. Every model has `TRACKER`, `TRACKER_VERTICES`, `MOUTH_JAW` and `RIGID`.
        identity_std_K: (K_id,) float32, what one standard deviation is in the coefficients of the file the
            model comes from: raw coefficient = coefficient * std. Ones if not given.
        expression_std_K: (K_exp,) float32, same for the expression.
        contour_JC: (J, C) int32, per landmark of the face's outline the vertices it may slide along (a
            horizontal parallel of the face), padded with `NO_VERTEX`; J = 0 where the tracker's points stay
            on the skin.
        pose_PV3: (P, V, 3) float32, how the tracker's mesh deforms with the head's pose, model units per unit
            of the P = 5 `view_features`; P = 0 where that is not known.
    """

    name: str
    mean_V3: Float32
    identity_KV3: Float32
    expression_KV3: Float32
    triangles_F3: Int32
    landmark_sets: dict[str, Int32] = field(default_factory=dict)
    identity_std_K: Float32 = field(default_factory=lambda: np.zeros(0, np.float32))
    expression_std_K: Float32 = field(default_factory=lambda: np.zeros(0, np.float32))
    contour_JC: Int32 = field(default_factory=lambda: np.zeros((0, 0), np.int32))
    pose_PV3: Float32 = field(default_factory=lambda: np.zeros((0, 0, 3), np.float32))

    def __post_init__(self) -> None:
        if not len(self.pose_PV3):
            object.__setattr__(self, "pose_PV3", np.zeros((0, *self.mean_V3.shape), np.float32))
        for name, count in (
            ("identity_std_K", self.num_identity),
            ("expression_std_K", self.num_expression),
        ):
            if not len(getattr(self, name)):
                object.__setattr__(self, name, np.ones(count, np.float32))

    @property
    def num_identity(self) -> int:
        """How many identity coefficients there are."""
        return len(self.identity_KV3)

    @property
    def num_expression(self) -> int:
        """How many expression coefficients there are."""
        return len(self.expression_KV3)

    @classmethod
    def from_weight(cls, weight: Weight) -> LinearFaceModel:
        """Read the model from a weight file.

        Args:
            weight: As opened; see `to_arrays` for its arrays.

        Raises:
            WeightsError: The file holds something else, or its arrays do not fit together.
        """
        arrays: dict[str, Any] = weight.arrays
        missing = {"mean", "identity", "expression", "triangles"} - arrays.keys()
        if missing:
            raise WeightsError(f"The weights are no linear face model: {', '.join(sorted(missing))} missing.")
        model = cls(
            name=weight.metadata.get("name", "face_model"),
            mean_V3=np.asarray(arrays["mean"], np.float32),
            identity_KV3=np.asarray(arrays["identity"], np.float32),
            expression_KV3=np.asarray(arrays["expression"], np.float32),
            triangles_F3=np.asarray(arrays["triangles"], np.int32).reshape(-1, 3),
            landmark_sets={
                key.removeprefix(_LANDMARK_PREFIX): np.asarray(array, np.int32)
                for key, array in arrays.items()
                if key.startswith(_LANDMARK_PREFIX)
            },
            identity_std_K=np.asarray(arrays.get("identity_std", []), np.float32),
            expression_std_K=np.asarray(arrays.get("expression_std", []), np.float32),
            contour_JC=np.asarray(arrays.get("contour", np.zeros((0, 0))), np.int32),
            pose_PV3=np.asarray(arrays.get("pose", np.zeros((0, 0, 3))), np.float32),
        )
        model.check()
        return model

    def check(self) -> None:
        """Check that the arrays fit together.

        Raises:
            WeightsError: They do not.
        """
        shape = self.mean_V3.shape
        contour_tracker = self.landmark_sets.get(CONTOUR_TRACKER, _NO_INDEX)
        if (
            len(shape) != 2
            or shape[1:] != (3,)
            or self.identity_KV3.shape[1:] != shape
            or self.expression_KV3.shape[1:] != shape
            or self.identity_std_K.shape != (self.num_identity,)
            or self.expression_std_K.shape != (self.num_expression,)
            or self.contour_JC.ndim != 2
            or self.pose_PV3.shape not in ((0, *shape), (NUM_VIEW_FEATURES, *shape))
            or len(self.contour_JC) != len(contour_tracker)
        ):
            raise WeightsError("The face model's arrays do not fit together.")
        vertex_sets = [
            index for name, index in self.landmark_sets.items() if name not in (TRACKER, CONTOUR_TRACKER)
        ]
        contour = self.contour_JC[self.contour_JC != NO_VERTEX]
        for index in [*vertex_sets, self.triangles_F3, contour]:
            if index.size and not 0 <= index.min() <= index.max() < shape[0]:
                raise WeightsError("The face model names vertices it does not have.")

    def to_arrays(self) -> dict[str, Any]:
        """Arrays by name, for a weight file; the bases in half precision: below 0.1 px of the crop."""
        return {
            "mean": self.mean_V3.astype(np.float32),
            "identity": self.identity_KV3.astype(np.float16),
            "expression": self.expression_KV3.astype(np.float16),
            "triangles": self.triangles_F3.astype(np.int32),
            "identity_std": self.identity_std_K.astype(np.float32),
            "expression_std": self.expression_std_K.astype(np.float32),
            "contour": self.contour_JC.astype(np.int32),
            "pose": self.pose_PV3.astype(np.float16),
            **{_LANDMARK_PREFIX + name: index.astype(np.int32) for name, index in self.landmark_sets.items()},
        }

    def vertices_TV3(
        self, identity_K: Float32, expression_TK: Float32, vertex_index: Int32 | None = None
    ) -> Float32:
        """Shapes of one person in many expressions.

        Args:
            identity_K: (K_id,) or fewer, standard deviations.
            expression_TK: (T, K_exp) standard deviations.
            vertex_index: (n,) wanted vertices; all if None.

        Returns:
            (T, n, 3) float32, model units.
        """
        chosen = slice(None) if vertex_index is None else vertex_index
        identity_KV3 = self.identity_KV3[: len(identity_K), chosen]
        expression_KV3 = self.expression_KV3[:, chosen]
        base_V3 = self.mean_V3[chosen] + np.tensordot(np.asarray(identity_K, np.float32), identity_KV3, 1)
        moved_TV3 = np.asarray(expression_TK, np.float32) @ expression_KV3.reshape(self.num_expression, -1)
        return np.asarray(base_V3 + moved_TV3.reshape(-1, *base_V3.shape), np.float32)


def view_features(rotation_T33: Float64) -> Float64:
    """What of a head's pose a tracker's mesh deforms with: nod and turn, their squares and their product.

    A mesh that a network read out of pictures is not quite rigid. What is taken is the direction of view in
    the head's own frame, so that tilting the picture changes nothing.

    Args:
        rotation_T33: (T, 3, 3) rotation matrices.

    Returns:
        (T, 5) sine of nod u, sine of turn v, u^2, v^2, u v.
    """
    u, v = rotation_T33[:, 2, 1], -rotation_T33[:, 2, 0]
    return np.stack([u, v, u * u, v * v, u * v], axis=-1)


def project_TL2(
    model: LinearFaceModel,
    identity_K: Float32,
    expression_TK: Float32,
    rotation_T3: Float32,
    scale_T: Float32,
    translation_T2: Float32,
    vertex_index: Int32 | None = None,
) -> Float32:
    """Where the model's vertices lie in the picture.

    Args:
        model: The face model.
        identity_K: (K_id,) standard deviations.
        expression_TK: (T, K_exp) standard deviations.
        rotation_T3: (T, 3) axis-angle, radians.
        scale_T: (T,) px per model unit.
        translation_T2: (T, 2) px.
        vertex_index: (n,) wanted vertices; all if None.

    Returns:
        (T, n, 2) float32 px.
    """
    vertices = model.vertices_TV3(identity_K, expression_TK, vertex_index)
    rotation_T33 = rotation_matrices(rotation_T3)
    if len(model.pose_PV3):
        chosen = slice(None) if vertex_index is None else vertex_index
        features_T5 = view_features(rotation_T33).astype(np.float32)
        vertices = vertices + np.tensordot(features_T5, model.pose_PV3[:, chosen], 1)
    camera_T23 = rotation_T33[:, :2] * np.asarray(scale_T, np.float64)[:, None, None]
    turned = vertices @ np.swapaxes(camera_T23, 1, 2).astype(np.float32)
    return np.asarray(turned + np.asarray(translation_T2, np.float32)[:, None], np.float32)
