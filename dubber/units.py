"""Conversions between clocks: stream ticks, seconds, samples.

Time stays exact (`Fraction` or integer ticks) until the last moment; floats appear only where arrays of times
are handed to arithmetic that is approximate anyway.
"""

from __future__ import annotations

from fractions import Fraction

import numpy as np
from numpy.typing import NDArray


def ticks_to_seconds(ticks: NDArray[np.int64], time_base: Fraction) -> NDArray[np.float64]:
    """Convert timestamps to seconds.

    Args:
        ticks: (T,) int64, in units of `time_base` seconds.
        time_base: Seconds per tick.

    Returns:
        (T,) float64 seconds.
    """
    return np.asarray(ticks, dtype=np.float64) * time_base.numerator / time_base.denominator


def seconds_to_samples(seconds: Fraction | float, sample_rate_hz: int) -> int:
    """Nearest sample to a time, both counted from zero."""
    return round(seconds * sample_rate_hz)


def median_frame_rate(ticks: NDArray[np.int64], time_base: Fraction) -> Fraction:
    """Frame rate from the median distance of consecutive timestamps.

    Args:
        ticks: (T,) int64 increasing timestamps.
        time_base: Seconds per tick.

    Returns:
        Frames per second; 25 for fewer than two frames.
    """
    if len(ticks) < 2:
        return Fraction(25)
    step = Fraction(round(float(np.median(np.diff(ticks))) * 1000), 1000)
    return 1 / (step * time_base) if step > 0 else Fraction(25)
