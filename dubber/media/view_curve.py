"""From the samples that footage was coded in to the 8 bit levels all algorithms see, and back.

Ordinary footage only loses its lower bits. Codes of PQ and HLG would look flat and dim, so that faces and
mouths would not be what trackers and renderers know: their view is the picture as a display of ordinary range
shows it.

Index letters: V values a sample can have; E the 256 levels of the view.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray

from dubber.types import Float32, Float64, UInt8

Coded = NDArray[np.unsignedinteger[Any]]
"""Samples as they were coded, uint8 or uint16."""

TRANSFER_PQ, TRANSFER_HLG = 16, 18
"""Codes of SMPTE ST 2084 and ARIB STD-B67 (ISO/IEC 23091-2 table 3)."""

_WHITE_NITS = 203.0
"""Diffuse white in HDR footage. Source: ITU-R BT.2408 section 2."""

_DISPLAY_GAMMA = 2.4
"""Source: ITU-R BT.1886."""

_PEAK_NITS = {TRANSFER_PQ: 4000.0, TRANSFER_HLG: 1000.0}
"""Brightest light that is told apart. PQ reaches 10000, but footage above 4000 is not made; HLG's is that of
its reference display.
"""

_CHROMA_GAINS = {TRANSFER_PQ: (2.2, 3.6), TRANSFER_HLG: (1.15, 1.75)}
"""Of u and v: HDR's wide gamut and its curves make colours small numbers. Fitted to skin of eight clips of
BT.709, converted at a white of 203 cd/m2: there the view's luma is within 1 % of the original's, and its u
and v within 2 and 4 of 255 levels.
"""

_BAND_ROWS = 64
"""Rows looked up at once: numpy's index takes 8 bytes per pixel."""


@dataclass(frozen=True)
class ViewCurve:
    """How samples of one depth, range and transfer become 8 bit levels. Triples are of y, u and v.

    Attributes:
        depth: Bits per sample.
        levels_V: (2**depth,) uint8, increasing; None where the view is the sample's upper 8 bits.
        samples_E: (256,) float32, increasing: the sample that a level of the view stands for.
        ranges: Lowest and highest sample that an edit may write.
    """

    depth: int
    levels_V: tuple[UInt8, UInt8, UInt8] | None
    samples_E: tuple[Float32, Float32, Float32]
    ranges: tuple[tuple[int, int], tuple[int, int], tuple[int, int]]

    def levels(self, samples_HW: Coded, place: int) -> UInt8:
        """The view of a plane; 8 bit samples are their own.

        Args:
            samples_HW: The plane.
            place: 0, 1, 2 for y, u, v.
        """
        if self.levels_V is not None:
            levels_HW = np.empty(samples_HW.shape, np.uint8)
            for row in range(0, len(samples_HW), _BAND_ROWS):
                band = slice(row, row + _BAND_ROWS)
                np.take(self.levels_V[place], samples_HW[band], out=levels_HW[band], mode="clip")
            return levels_HW
        if self.depth == 8:
            return np.asarray(samples_HW, np.uint8)
        return np.asarray(cv2.convertScaleAbs(samples_HW, alpha=2.0 ** (8 - self.depth)), np.uint8)


@lru_cache(maxsize=16)
def view_curve(depth: int, transfer: int, *, is_full_range: bool) -> ViewCurve:
    """The curve of a kind of footage.

    Args:
        depth: Bits per sample.
        transfer: Its code (ISO/IEC 23091-2).
        is_full_range: Whether luma uses all codes.
    """
    step = 2 ** (depth - 8)
    top = 2**depth - 1
    luma_range = (0, top) if is_full_range else (16 * step, 235 * step)
    chroma_range = (0, top) if is_full_range else (16 * step, 240 * step)
    ranges = (luma_range, chroma_range, chroma_range)
    if depth == 8 or transfer not in _PEAK_NITS:
        straight_E = np.arange(256, dtype=np.float32) * step
        return ViewCurve(depth, None, (straight_E, straight_E, straight_E), ranges)
    codes_V = np.arange(2**depth, dtype=np.float64)
    low, high = luma_range
    scale, black = (255.0, 0.0) if is_full_range else (219.0, 16.0)
    shown_V = black + scale * _shown((codes_V - low) / (high - low), transfer)
    gain_u, gain_v = _CHROMA_GAINS[transfer]
    curves = (shown_V, *(128 + gain * (codes_V / step - 128) for gain in (gain_u, gain_v)))
    y_V, u_V, v_V = (_rounded(curve_V) for curve_V in curves)
    y_E, u_E, v_E = (_inverse(curve_V, codes_V) for curve_V in curves)
    return ViewCurve(depth, (y_V, u_V, v_V), (y_E, u_E, v_E), ranges)


def _rounded(levels_V: Float64) -> UInt8:
    return np.clip(np.rint(levels_V), 0, 255).astype(np.uint8)


def _inverse(levels_V: Float64, codes_V: Float64) -> Float32:
    """The code at which a curve reaches each of the 256 levels, straight beyond its ends."""
    steps = np.diff(levels_V, prepend=levels_V[0] - 1)
    is_rising_V = steps > 1e-9
    levels, codes = levels_V[is_rising_V], codes_V[is_rising_V]
    asked_E = np.arange(256.0)
    found_E = np.interp(asked_E, levels, codes)
    found_E += np.minimum(asked_E - levels[0], 0) + np.maximum(asked_E - levels[-1], 0)
    return np.clip(found_E, 0, codes_V[-1]).astype(np.float32)


def _shown(signal_V: Float64, transfer: int) -> Float64:
    """A display's signal, 0..1, of ordinary range for HDR luma; increasing, straight beyond black and peak.

    Source: ITU-R BT.2390-11 section 5.4.1 (the EETF's knee and Hermite spline), BT.1886.
    """
    peak_nits = _PEAK_NITS[transfer]
    nits_V = (_pq_nits if transfer == TRANSFER_PQ else _hlg_nits)(np.clip(signal_V, 0, 1))
    peak = _pq_signal(np.array(peak_nits))
    e_V = np.minimum(_pq_signal(nits_V) / peak, 1.0)
    most = float(_pq_signal(np.array(_WHITE_NITS)) / peak)
    knee = 1.5 * most - 0.5
    t_V = np.clip((e_V - knee) / (1 - knee), 0, 1)
    bent_V = (
        (2 * t_V**3 - 3 * t_V**2 + 1) * knee
        + (t_V**3 - 2 * t_V**2 + t_V) * (1 - knee)
        + (3 * t_V**2 - 2 * t_V**3) * most
    )
    light_V = _pq_nits(np.where(e_V < knee, e_V, bent_V) * peak) / _WHITE_NITS
    return np.asarray(np.maximum(light_V, 0) ** (1 / _DISPLAY_GAMMA) + np.minimum(signal_V, 0), np.float64)


_M1, _M2 = 2610 / 16384, 2523 / 32
_C1, _C2, _C3 = 3424 / 4096, 2413 / 128, 2392 / 128
"""Source: SMPTE ST 2084 section 5."""


def _pq_nits(signal_V: Float64) -> Float64:
    power_V = np.asarray(signal_V, np.float64) ** (1 / _M2)
    nits_V: Float64 = 10000 * (np.maximum(power_V - _C1, 0) / (_C2 - _C3 * power_V)) ** (1 / _M1)
    return nits_V


def _pq_signal(nits_V: Float64) -> Float64:
    power_V = (np.asarray(nits_V, np.float64) / 10000) ** _M1
    signal_V: Float64 = ((_C1 + _C2 * power_V) / (1 + _C3 * power_V)) ** _M2
    return signal_V


def _hlg_nits(signal_V: Float64) -> Float64:
    """Light of gray on the reference display. Source: ITU-R BT.2100 table 5 (system gamma 1.2)."""
    a, b, c = 0.17883277, 0.28466892, 0.55991073
    scene_V = np.where(signal_V <= 0.5, signal_V**2 / 3, (np.exp((signal_V - c) / a) + b) / 12)
    return np.asarray(_PEAK_NITS[TRANSFER_HLG] * scene_V**1.2, np.float64)
