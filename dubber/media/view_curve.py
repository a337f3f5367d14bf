"""From the samples that footage was coded in to the 8 bit levels all algorithms see, and back.

Ordinary footage only loses its lower bits. Codes of PQ and HLG would look flat and dim, so that faces and
mouths would not be what trackers and renderers know: their view is the picture as a display of ordinary range
shows it.

Index letters: V values a sample can have; H, W samples of a plane.
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
        curves_V: (2**depth,) float64, increasing: the exact level of each sample; None where the view is the
            sample's upper 8 bits.
        levels_V: (2**depth,) uint8, `curves_V` rounded.
        ranges: Lowest and highest sample that an edit may write.
    """

    depth: int
    curves_V: tuple[Float64, ...] | None
    levels_V: tuple[UInt8, ...] | None
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

    def samples(self, levels_HW: UInt8 | Float32, place: int) -> Coded:
        """Samples that are seen as given levels.

        Args:
            levels_HW: The levels, which need not be whole.
            place: 0, 1, 2 for y, u, v.
        """
        top = 2**self.depth - 1
        if self.curves_V is None:
            exact_HW = np.asarray(levels_HW, np.float64) * 2 ** (self.depth - 8)
        else:
            exact_HW = np.interp(levels_HW, self.curves_V[place], np.arange(top + 1))
        dtype = np.uint8 if self.depth == 8 else np.uint16
        return np.asarray(np.clip(np.rint(exact_HW), 0, top), dtype)

    def moved(self, samples_HW: Coded, difference_HW: Float32, place: int) -> Coded:
        """Samples whose levels are moved; those that are not stay as they are.

        What a sample has below a level is kept: it is moved on the exact curve.

        Args:
            samples_HW: As coded.
            difference_HW: Levels, any fraction of them.
            place: 0, 1, 2 for y, u, v.
        """
        if self.curves_V is None:
            exact_HW = samples_HW + difference_HW * np.float32(2 ** (self.depth - 8))
        else:
            curve_V = self.curves_V[place]
            exact_HW = np.interp(curve_V[samples_HW] + difference_HW, curve_V, np.arange(len(curve_V)))
        moved_HW = np.clip(np.rint(exact_HW), *self.ranges[place]).astype(samples_HW.dtype)
        return np.where(difference_HW != 0, moved_HW, samples_HW)


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
        return ViewCurve(depth, None, None, ranges)
    codes_V = np.arange(2**depth, dtype=np.float64)
    low, high = luma_range
    scale, black = (255.0, 0.0) if is_full_range else (219.0, 16.0)
    shown_V = black + scale * _shown((codes_V - low) / (high - low), transfer)
    curves_V = (shown_V, *(128 + gain * (codes_V / step - 128) for gain in _CHROMA_GAINS[transfer]))
    levels_V = tuple(np.clip(np.rint(curve_V), 0, 255).astype(np.uint8) for curve_V in curves_V)
    return ViewCurve(depth, curves_V, levels_V, ranges)


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
