"""What stands below the picture of an overlay: numbers, and for each speaker the state, the voice, the mouth.

Index letters: N output frames, F steps of 10 ms, X columns of the strip.
"""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Sequence
from dataclasses import dataclass

import cv2
import numpy as np

from dubber.evaluation.coverage import Stretch
from dubber.intermediates.drawing import OWN_COLOR, WANTED_COLOR, draw_text, text_width
from dubber.ops.mfcc import RATE_HZ
from dubber.types import Bool, Float32, Float64, Int32, UInt8

STRIP_S = 4.0
"""Seconds of the voice that are shown, around now."""

_LETTER_SHARE, _LEAST_LETTER_PX = 1 / 36, 9
"""Height of a capital letter as part of the picture's shorter side; and its least height, px."""

_BACKGROUND, _STRIP, _WAVE, _NOW = (24, 24, 24), (44, 44, 44), (150, 150, 160), (255, 255, 255)


@dataclass(frozen=True)
class SpeakerLine:
    """What is shown of one speaker.

    Attributes:
        stretches: What was done when.
        loudness_F: (F,) float32 in 0..1, how loud the voice is.
        wanted_N: (N,) float32 in 0..1, how wide the mouth shall be open.
        own_N: (N,) float32 in 0..1, how wide the source frame's is.
        has_mouth_N: (N,) bool, frames of which both are known.
    """

    stretches: tuple[Stretch, ...]
    loudness_F: Float32
    wanted_N: Float32
    own_N: Float32
    has_mouth_N: Bool

    def words(self, n: int) -> str:
        """What was done in a frame."""
        return self.stretches[bisect_right(self.stretches, n, key=lambda each: each.start) - 1].words


class Panel:
    """Draws the panel of each frame.

    Args:
        picture_size: (height, width) of the picture, even.
        times_s_N: (N,) when frames are shown, seconds.
        source_index_N: (N,) int32 the source frame of each.
        is_halfway_N: (N,) bool, they show the picture between that one and the next.
        speakers: In the script's order.
    """

    def __init__(
        self,
        picture_size: tuple[int, int],
        times_s_N: Float64,
        source_index_N: Int32,
        is_halfway_N: Bool,
        speakers: Sequence[SpeakerLine],
    ) -> None:
        self._times_s_N, self._speakers = times_s_N, speakers
        self._source_index_N, self._is_halfway_N = source_index_N, is_halfway_N
        self.width = picture_size[1]
        texts = [self._heading(len(times_s_N) - 1)]
        texts += [self._caption(i, each.words) for i, who in enumerate(speakers) for each in who.stretches]
        self.letter_px = _fitting_letter(picture_size, texts)
        self._row_px = 5 * self.letter_px
        height = 3 * self.letter_px + self._row_px * len(speakers)
        self.height = height + height % 2

    def draw(self, n: int) -> UInt8:
        """The panel of a frame, (height, width, 3) uint8 RGB."""
        rgb = np.full((self.height, self.width, 3), _BACKGROUND, np.uint8)
        draw_text(rgb, self._heading(n), (self.letter_px, self.letter_px), self.letter_px)
        for number, speaker in enumerate(self._speakers):
            top = 3 * self.letter_px + number * self._row_px
            caption = self._caption(number, speaker.words(n))
            draw_text(rgb, caption, (self.letter_px, top), self.letter_px)
            strip = slice(top + round(1.6 * self.letter_px), top + round(4.4 * self.letter_px))
            right = self.width - 3 * self.letter_px
            self._draw_voice(rgb[strip, self.letter_px : right], speaker, float(self._times_s_N[n]))
            _draw_opening(rgb[strip, right + self.letter_px // 2 : self.width - self.letter_px], speaker, n)
        return rgb

    def _heading(self, n: int) -> str:
        half = ".5" if self._is_halfway_N[n] else ""
        return f"frame {n}  {self._times_s_N[n]:.2f} s  source {self._source_index_N[n]}{half}"

    @staticmethod
    def _caption(number: int, words: str) -> str:
        return f"{number + 1}  {words}"

    def _draw_voice(self, strip: UInt8, speaker: SpeakerLine, now_s: float) -> None:
        """Loudness as a wave and the wanted opening as a curve; now is in the middle."""
        height, width = strip.shape[:2]
        strip[:] = _STRIP
        times_s_X = now_s + ((np.arange(width) + 0.5) / width - 0.5) * STRIP_S
        step_X = np.floor(times_s_X * RATE_HZ).astype(np.int64)
        is_heard_X = (step_X >= 0) & (step_X < len(speaker.loudness_F))
        loudness_X = np.zeros(width)
        loudness_X[is_heard_X] = speaker.loudness_F[step_X[is_heard_X]]
        from_middle_H = np.abs(np.arange(height) + 0.5 - height / 2)
        strip[from_middle_H[:, None] <= loudness_X * height / 2] = _WAVE
        thickness = max(1, self.letter_px // 9)
        wanted_X = np.interp(times_s_X, self._times_s_N, speaker.wanted_N)
        is_known_X = np.interp(times_s_X, self._times_s_N, speaker.has_mouth_N.astype(np.float64)) > 0.99
        is_known_X &= (times_s_X >= self._times_s_N[0]) & (times_s_X <= self._times_s_N[-1])
        points_X2 = np.stack([np.arange(width), (1 - wanted_X) * (height - 1)], axis=1)
        edges = np.flatnonzero(np.diff(np.concatenate([[0], is_known_X.astype(np.int8), [0]])))
        for start, stop in edges.reshape(-1, 2).tolist():
            line = np.rint(points_X2[start:stop]).astype(np.int32)
            cv2.polylines(strip, [line], False, WANTED_COLOR, thickness, cv2.LINE_AA)
        cv2.line(strip, (width // 2, 0), (width // 2, height - 1), _NOW, thickness)


def _draw_opening(bar: UInt8, speaker: SpeakerLine, n: int) -> None:
    """How wide the mouth shall be open, from below; and a line at how wide the source's is."""
    height = bar.shape[0]
    bar[:] = _STRIP
    if not speaker.has_mouth_N[n]:
        return
    bar[height - round(float(speaker.wanted_N[n]) * height) :] = WANTED_COLOR
    own = min(round((1 - float(speaker.own_N[n])) * height), height - 1)
    bar[max(own - max(1, height // 24), 0) : own + 1] = OWN_COLOR


def _fitting_letter(picture_size: tuple[int, int], texts: Sequence[str]) -> int:
    """Height of the letters, px: as the picture's size asks for, smaller where a line would not fit."""
    letter_px = max(_LEAST_LETTER_PX, round(min(picture_size) * _LETTER_SHARE))
    while letter_px > _LEAST_LETTER_PX and any(
        text_width(text, letter_px) > picture_size[1] - 2 * letter_px for text in set(texts)
    ):
        letter_px -= 1
    return letter_px
