"""What the network is taught to say of a mouth, and the modes in which it says it.

Index letters: T frames, K numbers per frame, V vertices, D weighted displacements, Z modes, M = 39 mouth and
jaw landmarks.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Literal

import numpy as np

from dubber.models.morphable import MOUTH_JAW, LinearFaceModel
from dubber.ops import landmarks
from dubber.training.speech_data import TalkingClip
from dubber.types import CROP_SIZE_PX, Float32

TargetName = Literal["expression", "landmarks"]

_JAW_WEIGHT = 0.5
"""Jaw landmarks slide along the outline on a turned head: they count half."""
_CALM = 0.02
"""Weight of the numbers themselves beside their effect on the mouth: the modes span all of them."""


@dataclass(frozen=True)
class MouthTarget:
    """What is predicted: K numbers per frame.

    Attributes:
        numbers: (T, K) float32 of a clip.
        metric_KD: What the numbers do to the mouth: weighted displacements.
        opening_K: Change of the mouth's opening.
    """

    numbers: Callable[[TalkingClip], Float32]
    metric_KD: Float32
    opening_K: Float32


def mouth_target(name: TargetName, model: LinearFaceModel) -> MouthTarget:
    """What is predicted, by name.

    Args:
        name: "expression": the face model's coefficients; "landmarks": where the picture shows lips and jaw,
            however the head stands.
        model: The face model that the clips were fitted with.
    """
    if name == "landmarks":
        every = np.eye(2 * len(landmarks.MOUTH_JAW), dtype=np.float32)
        lower, upper = _inner_lips()
        return MouthTarget(
            lambda clip: landmark_numbers(clip.landmarks_TM2),
            every,
            every[2 * lower + 1] - every[2 * upper + 1],
        )
    return MouthTarget(lambda clip: clip.expression_TK, *mouth_metric(model))


def landmark_numbers(landmarks_TM2: Float32) -> Float32:
    """(T, 78) numbers that landmarks are predicted as: x and y in turn, parts of the crop.

    Args:
        landmarks_TM2: (T, 39, 2) px of the 384 crop.
    """
    return np.asarray(landmarks_TM2.reshape(len(landmarks_TM2), -1) / CROP_SIZE_PX, np.float32)


def numbered_landmarks(numbers_TK: Float32) -> Float32:
    """(T, 39, 2) px of the 384 crop: the way back from `landmark_numbers`."""
    return np.asarray(numbers_TK.reshape(len(numbers_TK), -1, 2) * CROP_SIZE_PX, np.float32)


def mouth_metric(model: LinearFaceModel) -> tuple[Float32, Float32]:
    """What expression coefficients do to the mouth.

    Args:
        model: The face model.

    Returns:
        (K, D) coefficients to weighted displacements of the 39 landmarks, model units; (K,) change of the
        mouth's opening.
    """
    basis_KM3 = model.expression_KV3[:, model.landmark_sets[MOUTH_JAW]].astype(np.float64)
    weight_M = np.where(np.arange(basis_KM3.shape[1]) < landmarks.NUM_MOUTH, 1.0, np.sqrt(_JAW_WEIGHT))
    # Depth is not seen, and is the tracker's weakest coordinate.
    weighted = basis_KM3 * weight_M[:, None] * np.array([1.0, 1.0, 0.5])
    lower, upper = _inner_lips()
    opening_K = basis_KM3[:, lower, 1] - basis_KM3[:, upper, 1]
    return weighted.reshape(len(basis_KM3), -1).astype(np.float32), opening_K.astype(np.float32)


def _inner_lips() -> tuple[int, int]:
    """Places of the lower and the upper inner lip's middle among the 39 landmarks."""
    order = landmarks.MOUTH_JAW.tolist()
    return order.index(landmarks.LOWER_INNER_LIP), order.index(landmarks.UPPER_INNER_LIP)


def deviations(clip: TalkingClip) -> Float32:
    """(T, K) numbers less the clip's mean over usable frames."""
    return np.asarray(clip.expression_TK - clip.expression_TK[clip.is_usable_T].mean(axis=0), np.float32)


def make_modes(clips: list[TalkingClip], metric_KD: Float32) -> tuple[Float32, Float32, Float32, list[float]]:
    """Principal axes of the numbers under the mouth's metric.

    Args:
        clips: The clips, with the target's numbers in the place of coefficients.
        metric_KD: See `MouthTarget`.

    Returns:
        (K, Z) encode, (Z, K) decode with Z = K, (Z,) usual standard deviations, and each clip's liveliness:
        the root mean square of its mouth's displacements over the usual one.
    """
    used = [deviations(clip)[clip.is_usable_T].astype(np.float64) for clip in clips]
    metric_KK = metric_KD.astype(np.float64) @ metric_KD.T
    metric_KK += _CALM * np.trace(metric_KK) / len(metric_KK) * np.eye(len(metric_KK))
    root_KK = np.linalg.cholesky(metric_KK)
    energy = [float(np.sqrt(np.mean(np.sum((one @ root_KK) ** 2, axis=1)))) for one in used]
    usual = float(np.median(energy))
    lively = [max(one / usual, 1e-3) for one in energy]
    moved = np.concatenate([one @ root_KK / live for one, live in zip(used, lively, strict=True)])
    values, axes_KZ = np.linalg.eigh(moved.T @ moved / len(moved))
    order = np.argsort(values)[::-1]
    encode_KZ = root_KK @ axes_KZ[:, order]
    return (
        encode_KZ.astype(np.float32),
        np.linalg.inv(encode_KZ).astype(np.float32),
        np.sqrt(np.maximum(values[order], 1e-12)).astype(np.float32),
        lively,
    )
