"""How the lengths of footage and speech are matched: when each output frame is shown, and which one it is.

Everything is integer ticks of the clip's time base; fractional frame distances are rounded from the start
each time, so that nothing drifts.

Index letters: T frames of the clip, N output frames.
"""

from __future__ import annotations

import math
from fractions import Fraction

import numpy as np

from dubber.ops.retime import ping_pong
from dubber.types import Int32, Int64, LengthMode, Timeline

AUTO_TOLERANCE_S = Fraction(1, 2)
"""`auto` keeps the frames one to one while speech and clip differ by no more than this."""


def resolve_mode(mode: LengthMode, clip_s: Fraction, speech_s: Fraction) -> LengthMode:
    """What `auto` means for these lengths; other modes stay.

    Args:
        mode: The user's wish.
        clip_s: Length of the clip.
        speech_s: Length of the speech.

    Returns:
        "silence" (every frame, one to one) where the lengths agree within half a second, else "retime".
    """
    if mode != "auto":
        return mode
    return "silence" if abs(clip_s - speech_s) <= AUTO_TOLERANCE_S else "retime"


def frame_step(pts_T: Int64, end_pts: int) -> Fraction:
    """The usual distance of frames in ticks, exact where a constant rate was rounded to ticks.

    29.97 fps in a base of 1/1000 s has distances 33 and 34; their median would run 1 % fast. So it is the
    mean of all distances within a tick of the median.

    Args:
        pts_T: (T,) ticks, strictly increasing.
        end_pts: Tick at which the last frame ends.

    Returns:
        Ticks per frame, > 0.
    """
    distances = np.diff(pts_T) if len(pts_T) > 1 else np.array([end_pts - int(pts_T[0])])
    usual = distances[np.abs(distances - np.median(distances)) <= 1]
    return max(Fraction(int(usual.sum()), len(usual)) if len(usual) else Fraction(1), Fraction(1))


def regular_ticks(first: int, step: Fraction, count: int) -> Int64:
    """Ticks first + round(n * step) for n = 0 … count - 1, in integers.

    Args:
        first: Tick of frame 0.
        step: Ticks per frame.
        count: Frames.

    Returns:
        (count,) int64, increasing for step >= 1.
    """
    n = np.arange(count, dtype=np.int64)
    doubled = 2 * step.denominator
    return np.asarray(first + (2 * n * step.numerator + step.denominator) // doubled, np.int64)


def _to_ticks(seconds: Fraction, time_base: Fraction) -> Fraction:
    return seconds / time_base


def _frames_before(pts_N: Int64, length_ticks: Fraction) -> int:
    """How many frames begin before `length_ticks` have passed; at least one."""
    limit = math.ceil(length_ticks)  # ticks are integers: begins before means below the ceiling
    return max(int(np.searchsorted(pts_N - pts_N[0], limit, side="left")), 1)


def _repeated(
    mode: LengthMode, pts_T: Int64, end_pts: int, length_ticks: Fraction
) -> tuple[Int32, Int64, int]:
    """Frames of `loop` and `bounce`, in the distances they have in the clip (reversed, going back)."""
    num_frames = len(pts_T)
    is_bounce = mode == "bounce" and num_frames > 1
    cycle_frames = 2 * num_frames - 2 if is_bounce else num_frames
    cycle_ticks = 2 * int(pts_T[-1] - pts_T[0]) if is_bounce else int(end_pts - pts_T[0])
    count = (int(length_ticks) // cycle_ticks + 2) * cycle_frames
    index_N = ping_pong(num_frames, count) if is_bounce else (np.arange(count) % num_frames).astype(np.int32)
    ahead_N = np.roll(index_N, -1)
    there_N = np.where(ahead_N > index_N, pts_T[ahead_N], end_pts)
    distance_N = np.abs(pts_T[ahead_N] - pts_T[index_N]) if is_bounce else there_N - pts_T[index_N]
    pts_N = int(pts_T[0]) + np.concatenate([[0], np.cumsum(distance_N)]).astype(np.int64)
    num_out = _frames_before(pts_N[:-1], length_ticks)
    return index_N[:num_out], pts_N[:num_out], int(pts_N[num_out])


def _stretched(pts_T: Int64, end_pts: int, length_ticks: Fraction) -> tuple[Int32, Int64, int]:
    """Frames of `remap`: own rate, the clip run through once at constant speed."""
    pts_N, end = _regular(pts_T, end_pts, length_ticks)
    duration = end_pts - int(pts_T[0])
    middle_N = (np.arange(len(pts_N)) + 0.5) * duration / len(pts_N)
    index_N = np.searchsorted(pts_T - pts_T[0], middle_N, side="right") - 1
    return index_N.astype(np.int32), pts_N, end


def _regular(pts_T: Int64, end_pts: int, length_ticks: Fraction) -> tuple[Int64, int]:
    step = frame_step(pts_T, end_pts)
    num_out = max(round(length_ticks / step), 1)
    ticks = regular_ticks(int(pts_T[0]), step, num_out + 1)
    return ticks[:-1], int(ticks[-1])


def make_timeline(
    mode: LengthMode, pts_T: Int64, end_pts: int, time_base: Fraction, speech_s: Fraction
) -> Timeline:
    """Match the lengths of a clip and a speech.

    - `auto`: every frame one to one and the whole speech where they differ by no more than half a second
    (reported
      as "silence"), else `retime`.
    - `cut_off`: the shorter of both; frames one to one.
    - `loop`, `bounce`: the length of the speech; the clip again from its start, or back and forth.
    - `silence`: the whole clip; the speech is cut at its end, or silence follows.
    - `remap`: the clip at another constant speed, for the length of the speech.
    - `retime`: the length of the speech; which frames is decided later (`source_index_N` is -1).

    Args:
        mode: See above.
        pts_T: (T,) the clip's ticks, strictly increasing, T >= 1.
        end_pts: Tick at which its last frame ends.
        time_base: Seconds per tick.
        speech_s: Length of the speech, > 0.

    Returns:
        The timeline; its first frame has the clip's first pts.
    """
    clip_ticks = end_pts - int(pts_T[0])
    clip_s = clip_ticks * time_base
    resolved = resolve_mode(mode, clip_s, speech_s)
    speech_ticks = _to_ticks(speech_s, time_base)
    index_N, pts_N, end, heard_s = np.arange(len(pts_T), dtype=np.int32), pts_T, end_pts, speech_s
    if resolved == "silence":
        heard_s = speech_s if mode == "auto" else min(speech_s, clip_s)
    elif resolved == "cut_off":
        num_out = _frames_before(pts_T, min(speech_ticks, Fraction(clip_ticks)))
        index_N, pts_N = index_N[:num_out], pts_T[:num_out]
        end = int(pts_T[num_out]) if num_out < len(pts_T) else end_pts
        heard_s = min(speech_s, clip_s)
    elif resolved == "remap":
        index_N, pts_N, end = _stretched(pts_T, end_pts, speech_ticks)
    elif resolved == "retime":
        pts_N, end = _regular(pts_T, end_pts, speech_ticks)
        index_N = np.full(len(pts_N), -1, np.int32)
    else:
        index_N, pts_N, end = _repeated(resolved, pts_T, end_pts, speech_ticks)
    return Timeline(
        mode=resolved,
        pts_N=np.asarray(pts_N, np.int64),
        end_pts=end,
        time_base=time_base,
        source_index_N=index_N,
        audio_duration_s=float(heard_s),
    )
