"""Landmarks of the face's outline, which slide over the skin as the head turns.

A tracker that marks the outline marks no fixed point of the skin. A model that knows the lines such a
landmark may slide along (`LinearFaceModel.contour_JC`) is compared where its own outline lies. Which vertex
that is follows from shape and pose alone, so it is not kept: whoever has the coefficients finds it again.

Source: Zhu et al. 2015, High-fidelity pose and expression normalization (landmark marching).

Shapes: T frames, J landmarks of the outline, C candidates on each line, K expression coefficients, I identity
coefficients.
"""

from __future__ import annotations

import numpy as np

from dubber.models.morphable import CONTOUR_TRACKER, NO_VERTEX, LinearFaceModel, view_features
from dubber.types import Float64, Int32


class Contour:
    """The lines of a model's outline.

    Args:
        model: The face model; it may have no lines.
        weight_J: (J,) importance of the landmarks, not negative.
    """

    def __init__(self, model: LinearFaceModel, weight_J: Float64) -> None:
        line_JC = model.contour_JC
        self.landmark_index: Int32 = model.landmark_sets.get(CONTOUR_TRACKER, np.zeros(0, np.int32))
        self.weight_J = weight_J
        self._is_there_JC = line_JC != NO_VERTEX
        self._mean_JC3 = model.mean_V3[line_JC].astype(np.float64)
        self._identity_IJC3 = model.identity_KV3[:, line_JC].astype(np.float64)
        self._expression_KJC3 = model.expression_KV3[:, line_JC].astype(np.float64)
        self._pose_PJC3 = model.pose_PV3[:, line_JC].astype(np.float64)
        x_J = (self._mean_JC3[..., 0] * self._is_there_JC).sum(axis=1)
        self._side_J = np.where(x_J < 0, -1.0, 1.0)

    @property
    def size(self) -> int:
        """J, how many landmarks slide."""
        return len(self.landmark_index)

    def neutral(self, identity_I: Float64) -> Float64:
        """(J, C, 3) the candidates on a person's neutral face."""
        return np.asarray(self._mean_JC3 + np.tensordot(identity_I, self._identity_IJC3, 1), np.float64)

    def chosen(
        self, neutral_JC3: Float64, expression_TK: Float64, rotation_T33: Float64
    ) -> tuple[Float64, Float64]:
        """The vertices on the outline: on each line the farthest to its side, as the picture shows it.

        Args:
            neutral_JC3: (J, C, 3) see `neutral`.
            expression_TK: (T, K) standard deviations.
            rotation_T33: (T, 3, 3) the head's rotations.

        Returns:
            Their places (T, 3, J) in the model's frame, and their expression basis (T, K, 3, J).
        """
        if not self.size:
            return np.zeros((len(expression_TK), 3, 0)), np.zeros((*expression_TK.shape, 3, 0))
        moved_TJC3 = neutral_JC3 + np.tensordot(expression_TK, self._expression_KJC3, 1)
        if len(self._pose_PJC3):
            moved_TJC3 += np.tensordot(view_features(rotation_T33), self._pose_PJC3, 1)
        # The direction in which the picture shows the head's own x axis, brought back into the model's frame.
        direction_T3 = (rotation_T33[:, None, :2, 0] @ rotation_T33[:, :2])[:, 0]
        reach_TJC = np.einsum("tjcx,tx->tjc", moved_TJC3, direction_T3) * self._side_J[:, None]
        position_TJ = np.where(self._is_there_JC, reach_TJC, -np.inf).argmax(axis=2)
        chosen_TJ3 = np.take_along_axis(moved_TJC3, position_TJ[..., None, None], axis=2)[:, :, 0]
        basis_KTJ3 = self._expression_KJC3[:, np.arange(self.size), position_TJ]
        return np.swapaxes(chosen_TJ3, 1, 2), basis_KTJ3.transpose(1, 0, 3, 2)
