"""Where one shot ends and the next begins.

`CutDetector` tells it at once, for those who must not carry on into the next shot. `ShotFinder` tells it
better when all frames have flowed by: it has seen what comes after, keeps quiet about flashes and fades, and
finds dissolves (method.md section 3).

Index letters: T frames, H, W rows and columns of a small picture.
"""

from __future__ import annotations

from array import array
from collections import deque
from dataclasses import dataclass

import cv2
import numpy as np

from dubber.types import Bool, Float32, Int32, UInt8

SMALL_SIZE = (36, 64)
"""(height, width) of the pictures that are compared."""

NUM_BINS = 16
HISTORY_FRAMES = 12
PIXEL_FLOOR, PIXEL_RATIO = 0.035, 1.5
HISTOGRAM_FLOOR, HISTOGRAM_RATIO = 0.12, 3.0
"""A cut's difference is above floor + ratio * median of the last frames'. Chosen on synthetic cuts and
pans.
"""


_JUMP_FLOOR, _JUMP_RATIO, _SEEN_JUMP_RATIO = 0.02, 2.0, 1.0
"""A cut's jump is above floor + ratio * median step of the frames around; where histograms jump too, above a
smaller ratio of the frames before it. Chosen on real clips with cuts, and on cuts, pans, flashes and fades
made of such.
"""

_USUAL_FRAMES = 6
"""Frames before and after whose steps are the usual ones."""

_ASIDE = 3
"""Pictures before and after a cut that must all differ: a flash is shorter."""

_FLAT = 0.01
"""Standard deviation below which a picture shows nothing: black, between two fades."""

_DISSOLVE_REACHES = (4, 8, 14, 24)
"""Frames from a dissolve's middle to the pictures that it is the mean of."""

_DISSOLVE_FLOOR, _DISSOLVE_RESIDUE = 0.04, 0.15
"""In a dissolve two pictures differ by at least so much, and the one half-way is their mean but for so large
a part of that.
"""

_PURE = 0.08
"""Share of the other shot that nobody sees."""


class CutDetector:
    """Tells of each frame whether it starts a new shot. Holds one small picture and a short history.

    A cut changes both the colours a picture holds (histogram) and where they are (pixel differences),
    suddenly. Motion changes the second much and the first little; a fade changes both, but slowly. So a frame
    starts a new shot where both differences jump out of what they were over the last frames.
    """

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


@dataclass(frozen=True)
class _Dissolve:
    """What may be a dissolve: how far its ends differ, its middle, and the frames that show both shots."""

    change: float
    middle: int
    first: int
    last: int


class ShotFinder:
    """Finds shots while frames flow by; holds some small pictures and three numbers a frame.

    Attributes:
        may_be_cut: Whether a shot may turn out to begin with the newest frame.
    """

    def __init__(self) -> None:
        self._quick = CutDetector()
        self._recent: deque[Float32] = deque(maxlen=2 * max(_DISSOLVE_REACHES) + 1)
        self._steps, self._jumps = array("f"), array("f")
        self._is_flat, self._is_quick = array("b"), array("b")
        self._dissolves: list[_Dissolve] = []
        self.may_be_cut = False

    def add(self, rgb_HW3: UInt8) -> bool:
        """Look at the next frame.

        Args:
            rgb_HW3: (H, W, 3) uint8 RGB, any size; smaller is faster.

        Returns:
            Whether it starts a new shot, as far as can be told now.
        """
        is_cut = self._quick.is_cut(rgb_HW3)
        small = cv2.resize(rgb_HW3, SMALL_SIZE[::-1], interpolation=cv2.INTER_AREA).astype(np.float32) / 255
        self._steps.append(_change(self._recent[-1], small) if self._recent else 0.0)
        self._jumps.append(0.0)
        usual = float(np.median(self._steps[-1 - _USUAL_FRAMES : -1] or [0.0]))
        self.may_be_cut = is_cut or self._steps[-1] > _JUMP_FLOOR + _SEEN_JUMP_RATIO * usual
        self._is_flat.append(bool(small.std(axis=(0, 1)).max() < _FLAT))
        self._is_quick.append(is_cut)
        self._recent.append(small)
        self._look_for_jump(len(self._steps) - _ASIDE)
        for reach in _DISSOLVE_REACHES:
            self._look_for_dissolve(reach)
        return is_cut

    def shots(self) -> tuple[Int32, Bool]:
        """What was found.

        Returns:
            (T,) int32 shot of each frame, counting from 0; (T,) bool, frames that show two shots at once.
        """
        num_frames = len(self._steps)
        for late in range(num_frames - _ASIDE + 1, num_frames):
            self._look_for_jump(late)
        starts_T = self._cuts_T()
        is_mixed_T = np.zeros(num_frames, np.bool_)
        for dissolve in self._best_dissolves():
            starts_T[dissolve.first : dissolve.last + 1] = False
            starts_T[dissolve.middle] = True
            is_mixed_T[dissolve.first : dissolve.last + 1] = True
        return np.cumsum(starts_T, dtype=np.int32), is_mixed_T

    def _look_for_jump(self, t: int) -> None:
        """The least change from any of some frames before frame `t` to any of those from it on."""
        if t < 1 or self._steps[t] <= _JUMP_FLOOR:
            return
        oldest = len(self._steps) - len(self._recent)
        before = [self._recent[k - oldest] for k in range(max(t - _ASIDE, oldest), t)]
        after = [self._recent[k - oldest] for k in range(t, min(t + _ASIDE, len(self._steps)))]
        self._jumps[t] = min(_change(first, second) for first in before for second in after)

    def _look_for_dissolve(self, reach: int) -> None:
        """Whether the frame `reach` ago is the mean of that before it by as much and of the newest."""
        if len(self._recent) <= 2 * reach:
            return
        first, middle, last = (self._recent[-1 - ago] for ago in (2 * reach, reach, 0))
        difference = last - first
        size = float(np.abs(difference).mean())
        if size < _DISSOLVE_FLOOR:
            return
        residue = float(np.abs(middle - (first + last) / 2).mean()) / size
        change = _change(first, last) if residue < _DISSOLVE_RESIDUE else 0.0
        if change < _DISSOLVE_FLOOR:
            return
        recent = list(self._recent)[-2 * reach - 1 :]
        share_K = np.array([((each - first) * difference).sum() for each in recent]) / (difference**2).sum()
        mixed = np.flatnonzero((share_K > _PURE) & (share_K < 1 - _PURE)) + len(self._steps) - len(recent)
        half = int(np.argmax(share_K > 0.5)) + len(self._steps) - len(recent)
        if len(mixed):
            self._dissolves.append(_Dissolve(change, half, int(mixed[0]), int(mixed[-1])))

    def _cuts_T(self) -> Bool:
        """(T,) frames that start a shot without a dissolve."""
        steps_T, jumps_T = np.array(self._steps), np.array(self._jumps)
        is_flat_T, is_quick_T = (np.array(flags, np.bool_) for flags in (self._is_flat, self._is_quick))
        starts_T = np.zeros(len(steps_T), np.bool_)
        starts_T[1:] = is_flat_T[1:] != is_flat_T[:-1]
        for t in np.flatnonzero(jumps_T > _JUMP_FLOOR):
            before_K, after_K = steps_T[max(t - _USUAL_FRAMES, 1) : t], steps_T[t + 1 : t + 1 + _USUAL_FRAMES]
            # Where colours jump too it is no camera that starts to move: what comes after does not matter.
            usual_K = before_K if is_quick_T[t] else np.concatenate([before_K, after_K])
            ratio = _SEEN_JUMP_RATIO if is_quick_T[t] else _JUMP_RATIO
            usual = float(np.median(usual_K)) if len(usual_K) else 0.0
            is_peak = jumps_T[t] >= jumps_T[max(t - 2, 0) : t + 3].max()
            starts_T[t] |= (is_peak or is_quick_T[t]) and jumps_T[t] > _JUMP_FLOOR + ratio * usual
        return starts_T

    def _best_dissolves(self) -> list[_Dissolve]:
        """Of those that overlap, the one whose ends differ most: they show one shot each."""
        best: list[_Dissolve] = []
        for found in sorted(self._dissolves, key=lambda dissolve: -dissolve.change):
            if all(found.first > other.last or found.last < other.first for other in best):
                best.append(found)
        return best


def _change(first_HW3: Float32, second_HW3: Float32) -> float:
    """Mean difference of two pictures that a fade or a flash does not raise.

    The means of the channels are taken out, and the livelier picture's contrast is brought to the other's by
    least squares.
    """
    one, other = (picture - picture.mean(axis=(0, 1)) for picture in (first_HW3, second_HW3))
    if (one**2).sum() < (other**2).sum():
        one, other = other, one
    gain = float(np.clip((one * other).sum() / max(float((one**2).sum()), 1e-6), 0, 1))
    return float(np.abs(other - gain * one).mean())
