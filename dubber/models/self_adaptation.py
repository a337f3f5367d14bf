"""Learning from the target itself: where its video has its own speech, a small correction is fitted.

The network stays as it is. What its last layers see of the target's own speech is mapped linearly to what the
network left of the target's own mouth: ridge regression, which takes a second. It is kept only if it also
helps on parts of the footage it was not fitted to.

Index letters: T frames, H hidden units, Z modes, L strengths of the ridge.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from dubber.types import Float32, Float64

_RIDGES: Float64 = 10.0 ** np.arange(1.5, 5.01, 0.5)
_NUM_PARTS = 4
_GAP_S = 0.4
"""Frames this near a held-out part are not learned from: their sounds overlap."""

_LEAST_GAIN = 0.02
"""Share of the error that a correction has to take away, on held-out parts, to be kept."""

_LEAST_S = 4.0
"""Footage shorter than this teaches nothing that could be checked."""


@dataclass(frozen=True)
class Correction:
    """A linear map from hidden units to a change of the modes.

    Attributes:
        mean_H: (H,) float32 hidden units' mean in the target's own speech.
        weight_HZ: (H, Z) float32.
        gain: Share of the error it took away on held-out parts, 0..1.
    """

    mean_H: Float32
    weight_HZ: Float32
    gain: float

    def __call__(self, hidden_FH: Float32) -> Float32:
        """(F, Z) change of the modes, in the target's range."""
        return np.asarray((hidden_FH - self.mean_H) @ self.weight_HZ, np.float32)


def fit_correction(
    hidden_TH: Float32, predicted_TZ: Float32, wanted_TZ: Float32, times_s_T: Float64
) -> Correction | None:
    """Fit a correction, and keep it if it generalises.

    Args:
        hidden_TH: (T, H) what the network's last layers see, at frames with a known mouth.
        predicted_TZ: (T, Z) deviations from the target's mean that the network predicts for them.
        wanted_TZ: (T, Z) those that were filmed.
        times_s_T: (T,) seconds, increasing.

    Returns:
        The correction; None if it took away less than 2 % of the squared error on held-out parts (four
        contiguous ones in turn), or there is too little footage.

    Source: ridge regression (Hoerl and Kennard 1970), its strength by blocked cross-validation.
    """
    if len(times_s_T) < _NUM_PARTS or times_s_T[-1] - times_s_T[0] < _LEAST_S:
        return None
    mean_H = hidden_TH.mean(axis=0)
    scale_H = 1 / (hidden_TH.std(axis=0) + 0.02)
    inputs_TH = ((hidden_TH - mean_H) * scale_H).astype(np.float64)
    missing_TZ = (wanted_TZ - predicted_TZ).astype(np.float64)
    missing_TZ -= missing_TZ.mean(axis=0)
    part_T = np.arange(len(times_s_T)) * _NUM_PARTS // len(times_s_T)
    error_L, before = np.zeros(len(_RIDGES)), 0.0
    for part in range(_NUM_PARTS):
        is_out_T = part_T == part
        first_s, last_s = times_s_T[is_out_T][[0, -1]]
        is_in_T = (times_s_T < first_s - _GAP_S) | (times_s_T > last_s + _GAP_S)
        if not is_in_T.any():
            return None
        for index, weight_HZ in enumerate(_ridges(inputs_TH[is_in_T], missing_TZ[is_in_T])):
            error_L[index] += np.sum((missing_TZ[is_out_T] - inputs_TH[is_out_T] @ weight_HZ) ** 2)
        before += np.sum(missing_TZ[is_out_T] ** 2)
    best = int(error_L.argmin())
    gain = 1 - error_L[best] / max(before, 1e-12)
    if gain < _LEAST_GAIN:
        return None
    weight_HZ = _ridges(inputs_TH, missing_TZ)[best] * scale_H[:, None]
    return Correction(mean_H.astype(np.float32), weight_HZ.astype(np.float32), float(gain))


def _ridges(inputs_TH: Float64, wanted_TZ: Float64) -> list[Float64]:
    """(H, Z) solutions for each strength, from one decomposition."""
    values_H, vectors_HH = np.linalg.eigh(inputs_TH.T @ inputs_TH)
    turned_HZ = vectors_HH.T @ (inputs_TH.T @ wanted_TZ)
    return [vectors_HH @ (turned_HZ / (values_H + ridge)[:, None]) for ridge in _RIDGES]
