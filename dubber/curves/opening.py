"""How far a mouth is open, as one curve: what expressions open it, and which one opens it so far.

Index letters: N frames, K coefficients.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from dubber.errors import WeightsError
from dubber.models.morphable import TRACKER, TRACKER_VERTICES, LinearFaceModel
from dubber.ops.landmarks import EYE_CORNERS, LOWER_INNER_LIP, UPPER_INNER_LIP
from dubber.types import Float32, Float64


@dataclass(frozen=True)
class LipOpening:
    """The mouth's opening of one person, linear in the expression.

    It is how far the middle of the lower inner lip lies below that of the upper one on the upright face, as a
    share of the distance between the outer corners of the eyes: opening(e) = rest + gradient . e. Below 0 the
    face model's lips cross; they are drawn shut.

    Attributes:
        rest: Opening of the mean expression.
        gradient_K: (K,) float64 opening per standard deviation of each coefficient.
    """

    rest: float
    gradient_K: Float64

    @classmethod
    def of_person(cls, model: LinearFaceModel, identity_K: Float32) -> LipOpening:
        """The opening of a person.

        Args:
            model: The face model.
            identity_K: (K_id,) who it is, standard deviations.

        Raises:
            WeightsError: The model has no lips or no eyes.
        """
        upper, lower, right, left = vertices_of(
            model, [UPPER_INNER_LIP, LOWER_INNER_LIP, int(EYE_CORNERS[0]), int(EYE_CORNERS[3])]
        )
        neutral_K = np.zeros((1, model.num_expression), np.float32)
        shape_V3 = model.vertices_TV3(identity_K, neutral_K)[0].astype(np.float64)
        eyes = float(np.linalg.norm(shape_V3[right] - shape_V3[left]))
        moved_K = model.expression_KV3[:, lower, 1].astype(np.float64) - model.expression_KV3[:, upper, 1]
        return cls(float(shape_V3[lower, 1] - shape_V3[upper, 1]) / eyes, moved_K / eyes)

    def of(self, expression_NK: Float32 | Float64) -> Float64:
        """(N,) openings of expressions (N, K)."""
        return np.asarray(self.rest + np.asarray(expression_NK, np.float64) @ self.gradient_K)

    def moved(self, expression_NK: Float32 | Float64, opening_N: Float64) -> Float64:
        """The expressions nearest to given ones that open the mouth as far as is wanted.

        Of all that do, it is the one with the least sum of squared changes of the coefficients, which are in
        standard deviations: the most probable one. The jaw follows, and the corners of the mouth, as far as
        they commonly do.

        Args:
            expression_NK: (N, K) standard deviations.
            opening_N: (N,) shares of the eyes' distance.

        Returns:
            (N, K) float64.

        Source: least norm subject to one linear equation, e + (o - opening(e)) g / (g . g); the mean of a
            normal distribution under that condition (Bishop 2006, Pattern Recognition, eq. 2.81).
        """
        step_K = self.gradient_K / (self.gradient_K @ self.gradient_K)
        missing_N = opening_N - self.of(expression_NK)
        return np.asarray(expression_NK, np.float64) + missing_N[:, None] * step_K


def vertices_of(model: LinearFaceModel, landmarks: list[int]) -> list[int]:
    """The model's vertices of some landmarks of the tracker.

    Raises:
        WeightsError: It lacks one of them.
    """
    tracker, vertices = model.landmark_sets[TRACKER], model.landmark_sets[TRACKER_VERTICES]
    vertex_of = dict(zip(tracker.tolist(), vertices.tolist(), strict=True))
    missing = [landmark for landmark in landmarks if landmark not in vertex_of]
    if missing:
        raise WeightsError(
            f"The face model '{model.name}' has no vertex for the landmarks {missing}.",
            advice="Use the face model that comes with dubber.",
        )
    return [vertex_of[landmark] for landmark in landmarks]
