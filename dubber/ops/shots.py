"""Where one shot ends and the next begins, decided while frames flow by.

A cut changes both the colours a picture holds (histogram) and where they are (pixel differences), suddenly.
Motion changes the second much and the first little; a fade changes both, but slowly. So a frame starts a new
shot where both differences jump out of what they were over the last frames.
"""

from __future__ import annotations

from collections import deque

import cv2
import numpy as np

from dubber.types import Float32, UInt8

SMALL_SIZE = (36, 64)
"""(height, width) of the pictures that are compared."""

NUM_BINS = 16
HISTORY_FRAMES = 12
PIXEL_FLOOR, PIXEL_RATIO = 0.035, 1.5
HISTOGRAM_FLOOR, HISTOGRAM_RATIO = 0.12, 3.0
"""A cut's difference is above floor + ratio * median of the last frames'. Chosen on synthetic cuts and
pans.
"""


class CutDetector:
    """Tells of each frame whether it starts a new shot. Holds one small picture and a short history."""

    def __init__(self) -> None:
        self._last: tuple[Float32, Float32] | None = None
        self._history: deque[tuple[float, float]] = deque(maxlen=HISTORY_FRAMES)

    def is_cut(self, rgb_HW3: UInt8) -> bool:
        """Look at the next frame.

        Args:
            rgb_HW3: (H, W, 3) uint8 RGB, any size; smaller is faster.

        Returns:
            Whether the frame shows another shot than the one before; False for the first.
        """
        now = _signature(rgb_HW3)
        last, self._last = self._last, now
        if last is None:
            return False
        pixel = float(np.abs(now[0] - last[0]).mean())
        histogram = float(np.abs(now[1] - last[1]).sum(axis=-1).mean()) / 2
        usual = np.median(np.array(self._history), axis=0) if self._history else np.zeros(2)
        is_cut = bool(
            pixel > PIXEL_FLOOR + PIXEL_RATIO * usual[0]
            and histogram > HISTOGRAM_FLOOR + HISTOGRAM_RATIO * usual[1]
        )
        if is_cut:
            self._history.clear()
        else:
            self._history.append((pixel, histogram))
        return is_cut


def _signature(rgb_HW3: UInt8) -> tuple[Float32, Float32]:
    """Small picture in 0..1 and the histograms (3, bins) of its channels, each summing to 1."""
    small = cv2.resize(rgb_HW3, SMALL_SIZE[::-1], interpolation=cv2.INTER_AREA)
    bins = small.astype(np.int64) * NUM_BINS // 256
    counts = np.stack([np.bincount(bins[..., c].ravel(), minlength=NUM_BINS) for c in range(3)])
    return small.astype(np.float32) / 255, (counts / small[..., 0].size).astype(np.float32)
