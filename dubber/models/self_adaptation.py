"""Learning from the target itself: its own speech, where the video has some, fits a last layer of its own.

The network stays as it is. What its last layers see of the target's own speech is mapped linearly to the
target's own mouth: ridge regression, which takes a second. Mode by mode, the new answer is
heard only if it is better on parts of the footage it was not fitted to, and the more, the more there is.

Index letters: T frames, F steps, H hidden units, Z modes, L strengths of the ridge.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from dubber.types import Bool, Float32, Float64

_RIDGES: Float64 = 10.0 ** np.arange(1.0, 6.01, 0.5)
_NUM_PARTS = 4
_GAP_S = 0.4
"""Frames this near a held-out part are not learned from: their sounds overlap."""

_LEAST_GAIN = 0.02
"""Share of a mode's squared error that has to go for its new answer to be kept: chance alone takes some."""

_HALF_TRUST_S = 10.0
"""With so much footage the target's answer counts as much as the network's: it may not hold on."""

_LEAST_S = 4.0
"""Footage shorter than this teaches nothing that could be checked."""


@dataclass(frozen=True)
class OwnAnswer:
    """A linear map from hidden units to modes, for the modes it tells better than the network.

    Attributes:
        mean_H: (H,) float32 hidden units' mean in the target's own speech.
        weight_HZ: (H, Z) float32; zeros for the other modes.
        is_own_Z: (Z,) bool, the modes it answers for.
        trust: How much its answer counts beside the network's, 0..1.
        gain: Share of the squared error it took away on held-out parts, 0..1, from the network's or from a
            still mouth's, whichever is smaller.
    """

    mean_H: Float32
    weight_HZ: Float32
    is_own_Z: Bool
    trust: float
    gain: float

    def __call__(self, predicted_FZ: Float32, hidden_FH: Float32) -> Float32:
        """The network's answer, with the target's own where that is better.

        Args:
            predicted_FZ: (F, Z) deviations from the target's mean that the network predicts.
            hidden_FH: (F, H) what its last layers see.

        Returns:
            (F, Z) float32.
        """
        own_FZ = (hidden_FH - self.mean_H) @ self.weight_HZ
        mixed_FZ = self.trust * own_FZ + (1 - self.trust) * predicted_FZ
        return np.where(self.is_own_Z, mixed_FZ, predicted_FZ).astype(np.float32)


def fit_own_answer(
    hidden_TH: Float32, predicted_TZ: Float32, wanted_TZ: Float32, times_s_T: Float64
) -> OwnAnswer | None:
    """Fit the target's own answer, and keep what generalises of it.

    Args:
        hidden_TH: (T, H) what the network's last layers see, at frames with a known mouth.
        predicted_TZ: (T, Z) deviations from the target's mean that the network predicts for them.
        wanted_TZ: (T, Z) those that were filmed.
        times_s_T: (T,) seconds, increasing.

    Returns:
        The answer; None if it is better for no mode, or there is too little footage.

    Source: ridge regression (Hoerl and Kennard 1970); each mode's strength, and whether it is kept, by
        cross-validation over four contiguous parts.
    """
    if len(times_s_T) < _NUM_PARTS or times_s_T[-1] - times_s_T[0] < _LEAST_S:
        return None
    mean_H = hidden_TH.mean(axis=0)
    scale_H = 1 / (hidden_TH.std(axis=0) + 0.02)
    inputs_TH = ((hidden_TH - mean_H) * scale_H).astype(np.float64)
    wanted = (wanted_TZ - wanted_TZ.mean(axis=0)).astype(np.float64)
    missed = wanted - (predicted_TZ - predicted_TZ.mean(axis=0))
    part_T = np.arange(len(times_s_T)) * _NUM_PARTS // len(times_s_T)
    error_LZ = np.zeros((len(_RIDGES), wanted.shape[1]))
    for part in range(_NUM_PARTS):
        is_out_T = part_T == part
        first_s, last_s = times_s_T[is_out_T][[0, -1]]
        is_in_T = (times_s_T < first_s - _GAP_S) | (times_s_T > last_s + _GAP_S)
        if not is_in_T.any():
            return None
        for index, weight_HZ in enumerate(_ridges(inputs_TH[is_in_T], wanted[is_in_T])):
            error_LZ[index] += np.sum((wanted[is_out_T] - inputs_TH[is_out_T] @ weight_HZ) ** 2, axis=0)
    # Better than a still mouth, too: where the sound is not the target's own speech, that is what would win.
    before_Z = np.minimum(np.sum(missed**2, axis=0), np.sum(wanted**2, axis=0))
    after_Z = error_LZ.min(axis=0)
    is_own_Z: Bool = after_Z < (1 - _LEAST_GAIN) * before_Z
    if not is_own_Z.any():
        return None
    weight_LHZ = np.stack(_ridges(inputs_TH, wanted))
    weight_HZ = weight_LHZ[error_LZ.argmin(axis=0), :, np.arange(wanted.shape[1])].T * scale_H[:, None]
    seconds = float(times_s_T[-1] - times_s_T[0])
    gain = 1 - np.where(is_own_Z, after_Z, before_Z).sum() / before_Z.sum()
    return OwnAnswer(
        mean_H.astype(np.float32),
        (weight_HZ * is_own_Z).astype(np.float32),
        is_own_Z,
        trust=seconds / (seconds + _HALF_TRUST_S),
        gain=float(gain),
    )


def _ridges(inputs_TH: Float64, wanted_TZ: Float64) -> list[Float64]:
    """(H, Z) solutions for each strength, from one decomposition."""
    values_H, vectors_HH = np.linalg.eigh(inputs_TH.T @ inputs_TH)
    turned_HZ = vectors_HH.T @ (inputs_TH.T @ wanted_TZ)
    return [vectors_HH @ (turned_HZ / (values_H + ridge)[:, None]) for ridge in _RIDGES]
