"""What the mouth shall do, and when."""

from __future__ import annotations

from dataclasses import dataclass
from fractions import Fraction
from typing import Literal

import numpy as np

from dubber.types.arrays import Bool, Float32, Float64, Int32, Int64
from dubber.units import ticks_to_seconds

LengthMode = Literal["auto", "cut_off", "loop", "bounce", "silence", "remap", "retime"]


@dataclass(frozen=True)
class Timeline:
    """When the output's frames are shown, and, unless the footage is retimed, which source frame each one is.

    Attributes:
        mode: How the lengths are matched; never "auto".
        pts_N: (N,) int64 ticks of the clip's time base; equal to the source's where frames are one to one.
        end_pts: Ticks at which the last frame stops being shown.
        time_base: Seconds per tick.
        source_index_N: (N,) int32 source frame of each output frame; -1 throughout when `mode` is "retime".
        audio_duration_s: Seconds of the user's audio that are heard; the rest of the output is silent.
    """

    mode: LengthMode
    pts_N: Int64
    end_pts: int
    time_base: Fraction
    source_index_N: Int32
    audio_duration_s: float

    @property
    def num_frames(self) -> int:
        """N, the number of output frames."""
        return len(self.pts_N)

    @property
    def times_s_N(self) -> Float64:
        """(N,) seconds from the first output frame, which is when the audio starts."""
        return ticks_to_seconds(self.pts_N - self.pts_N[0], self.time_base)

    @property
    def duration_s(self) -> float:
        """Seconds the output lasts."""
        return float((self.end_pts - int(self.pts_N[0])) * self.time_base)


@dataclass(frozen=True)
class ExpressionTrack:
    """What the mouth should do.

    Attributes:
        expression_NK: (N, K_exp) float32, in standard deviations of the face model's basis.
        is_silent_N: (N,) bool, nobody speaks at this frame.
        is_asked_N: (N,) bool, the mouth is to be made; elsewhere it stays the film's own.
    """

    expression_NK: Float32
    is_silent_N: Bool
    is_asked_N: Bool


@dataclass(frozen=True)
class RetimeMap:
    """Which source frame each output frame shows.

    Attributes:
        source_index_N: (N,) int32.
        is_halfway_N: (N,) bool, show the picture half-way between `source_index_N` and the next frame.
    """

    source_index_N: Int32
    is_halfway_N: Bool

    @property
    def is_moved_N(self) -> Bool:
        """(N,) bool, frames that show another picture than the source frame of the same number."""
        is_other_N = self.source_index_N != np.arange(len(self.source_index_N))
        return np.asarray(self.is_halfway_N | is_other_N, np.bool_)
