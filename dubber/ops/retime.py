"""Video re-timing: which source frame each output frame shows (method.md section 1; EBT Appendix E).

The footage is walked through in order. Each output frame either advances to the next source frame or
repeats the present one, at most once; the cheapest walk keeps the head still in silence and lets it move
when speech begins.

Index letters: N output frames, M source frames (the footage, perhaps extended by ping-pong), T frames of
the clip.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np

from dubber.types import Bool, Float64, Int32, UInt8


@dataclass(frozen=True)
class RetimeCosts:
    """Weights of the energy.

    Attributes:
        repeat: alpha_s, on the motion of a repeated frame.
        repeat_floor: Added to a repeated frame's motion, in inter-ocular distances.
        onset: alpha_u, reward for motion where speech has just begun.
        onset_delay_frames: How long after the first speaking frame the onset is felt.
        faceless: Added where speech falls on a frame whose face cannot be dubbed.
        is_literal: Use the base case as printed (F(0, j) = V(j), F(0, 0) = 0, frame 0 never repeated)
            instead of the corrected one (F(0, j) = G(0, j), frame 0 like any other).

    Source: method.md section 1; values of the re-implementation of Audio2Obama. `faceless` and
        `repeat_floor` are dubber's own: a frame without a face has no measured motion and would otherwise
        attract the speech, and footage that stands still would be repeated for nothing.
    """

    repeat: float = 2.0
    repeat_floor: float = 1e-3
    onset: float = 2.0
    onset_delay_frames: int = 2
    faceless: float = 2.0
    is_literal: bool = False


def onsets(is_speech_N: Bool, *, delay_frames: int = 2) -> Bool:
    """U(i): true `delay_frames` after a change from silence to speech.

    Args:
        is_speech_N: (N,) A(i).
        delay_frames: Frames after the first speaking one.

    Returns:
        (N,) bool.

    Source: method.md section 1: A(i-2) = 1 and A(i-3) = 0.
    """
    is_start_N = np.zeros(len(is_speech_N), bool)
    is_start_N[1:] = is_speech_N[1:] & ~is_speech_N[:-1]
    out_N = np.zeros_like(is_start_N)
    if delay_frames < len(out_N):
        out_N[delay_frames:] = is_start_N[: len(is_start_N) - delay_frames]
    return out_N


def ping_pong(num_frames: int, length: int) -> Int32:
    """0, 1 … T-1, T-2 … 1, 0, 1 … : a walk that never jumps.

    Args:
        num_frames: T >= 1.
        length: How many indices.

    Returns:
        (length,) int32.
    """
    period = max(2 * num_frames - 2, 1)
    phase = np.arange(length) % period
    return (
        np.minimum(phase, period - phase).astype(np.int32) if num_frames > 1 else np.zeros(length, np.int32)
    )


@dataclass(frozen=True)
class _Energy:
    """What the states of a row cost, by the kind of the row; never built as a matrix.

    Column 0 stands for no frame at all, so that frame j lies in column j + 1 and every frame has one before.

    Attributes:
        kind_N: (N,) which of the K = 3 rows counts: silence, speech, onset.
        fresh_KJ: (K, M + 1) of a frame shown for the first time, G(i, j).
        again_KJ: (K, M + 1) of one that is repeated.
        first_J: (M + 1,) of the first output frame.
    """

    kind_N: UInt8
    fresh_KJ: Float64
    again_KJ: Float64
    first_J: Float64

    @classmethod
    def of(cls, is_speech_N: Bool, motion_M: Float64, is_faceless_M: Bool, costs: RetimeCosts) -> _Energy:
        is_onset_N = onsets(is_speech_N, delay_frames=costs.onset_delay_frames)
        faceless_M = costs.faceless * is_faceless_M
        fresh_KM = np.stack([motion_M, faceless_M, faceless_M - costs.onset * motion_M])
        again_KM = fresh_KM + costs.repeat * (motion_M + costs.repeat_floor)
        kind_N = np.where(~is_speech_N, 0, np.where(is_onset_N, 2, 1)).astype(np.uint8)
        first_M = fresh_KM[kind_N[0]]
        if costs.is_literal:
            again_KM[:, 0] = np.inf
            first_M = np.where(np.arange(len(motion_M)) > 0, motion_M, 0.0)
        first_J, fresh_KJ, again_KJ = (
            np.concatenate([np.full((*rows.shape[:-1], 1), np.inf), rows], axis=-1)
            for rows in (first_M, fresh_KM, again_KM)
        )
        return cls(kind_N, fresh_KJ, again_KJ, first_J)


@dataclass(frozen=True)
class _States:
    """F(i, j, 0) and F(i, j, 1) of one output frame i, in the columns of `_Energy` from `low` on."""

    low: int
    fresh_J: Float64
    again_J: Float64

    def part(self, low: int, high: int) -> _States:
        """A copy of columns low <= j < high, low >= self.low; those beyond the last cannot be reached."""
        inside = slice(low - self.low, high - self.low)
        copies = (self.fresh_J[inside], self.again_J[inside])
        fresh_J, again_J = (
            np.pad(copy_J, (0, high - low - len(copy_J)), constant_values=np.inf) for copy_J in copies
        )
        return _States(low, fresh_J, again_J)

    def advance(self, energy: _Energy, i: int, low: int, high: int) -> Bool:
        """Go on to output frame i in place, in columns low <= j < high alone, whose predecessors are known.

        Returns:
            (high - low,) bool, whether F(i, j, 0) comes from a repeated frame.
        """
        here, before = slice(low - self.low, high - self.low), slice(low - self.low - 1, high - self.low - 1)
        kind = energy.kind_N[i]
        is_from_again_J = self.again_J[before] < self.fresh_J[before]
        from_J = np.minimum(self.fresh_J[before], self.again_J[before])
        np.add(self.fresh_J[here], energy.again_KJ[kind, low:high], out=self.again_J[here])
        np.add(from_J, energy.fresh_KJ[kind, low:high], out=self.fresh_J[here])
        return is_from_again_J


def _checkpoints(energy: _Energy, length: int) -> tuple[list[_States], _States]:
    """States of every `length`-th output frame, and of the last one.

    Output frame i can show none of the first i // 2 frames of the footage, and what follows it needs half as
    many frames again: only the columns between are gone through.
    """
    num_out, num_columns = len(energy.kind_N), len(energy.first_J)
    high = num_columns - (num_out - 1) // 2
    states = _States(0, energy.first_J.copy(), np.full(num_columns, np.inf))
    states.fresh_J[high:] = np.inf
    found = [states.part(0, high)]
    for i in range(1, num_out):
        low, high = i // 2 + 1, num_columns - (num_out - 1 - i) // 2
        states.advance(energy, i, low, high)
        states.fresh_J[low - 1] = states.again_J[low - 1] = np.inf
        if i % length == 0:
            found.append(states.part(low - 1, high))
    return found, states


def _walk_back(
    energy: _Energy, states: _States, first: int, last: int, j: int, is_repeat: bool
) -> tuple[Int32, Bool]:
    """The cheapest walk to a known state of output frame `last`.

    Args:
        energy: The costs.
        states: Of output frame `first`.
        first: Where to stop.
        last: Where the state is known.
        j: Its column.
        is_repeat: Which of the two states of that column.

    Returns:
        (last - first + 1,) columns and (last - first + 1,) flags of the output frames first..last.
    """
    length = last - first
    low = max(j - length, states.low)
    states = states.part(low, j + 1)
    bits = np.zeros((length + 1, (j - low + 7) // 8), np.uint8)
    for i in range(1, length + 1):
        # The leftmost column has no predecessor in this window, and no part in the walk but at the start.
        bits[i] = np.packbits(states.advance(energy, first + i, low + 1, j + 1))
        states.fresh_J[0] = states.again_J[0] = np.inf
    columns, is_repeats = np.zeros(length + 1, np.int32), np.zeros(length + 1, bool)
    for i in range(length, -1, -1):
        columns[i], is_repeats[i] = j, is_repeat
        if is_repeat:
            is_repeat = False
        elif i:
            j -= 1
            is_repeat = bool(bits[i, (j - low) >> 3] >> (7 - ((j - low) & 7)) & 1)
    return columns, is_repeats


def _block_length(num_out: int, num_in: int) -> int:
    """Output frames between checkpoints.

    It makes the checkpoints, 16 bytes per column and N / length of them, about as large as one block's bits,
    which are a square of this length: 40 MB together for two hours.
    """
    return max(round(math.pow(128 * num_out * num_in, 1 / 3)), 1)


def cheapest_walk(
    is_speech_N: Bool, motion_M: Float64, is_faceless_M: Bool, costs: RetimeCosts
) -> tuple[Int32, Bool]:
    """The dynamic programme: the walk of least energy through the footage.

    Exact. Time grows with N x (M - N / 2), memory with its power 2/3: the states of a few output frames are
    kept, and the walk is found from the last frame back, block by block, by going once more through the
    columns that it can have come through.

    Args:
        is_speech_N: (N,) A(i), N >= 1.
        motion_M: (M,) V(j) with blinks, M >= ceil(N / 2) (literal base case: 2 M - 1 >= N).
        is_faceless_M: (M,) frames that cannot be dubbed.
        costs: Weights.

    Returns:
        (N,) int32 non-decreasing steps of 0 or 1 into the footage; (N,) bool, the frame repeats the one
        before.

    Raises:
        ValueError: The footage is too short for any walk.

    Source: method.md section 1, recurrence and lean form. Ties go to the earlier frame, not repeated.
    """
    num_out, num_in = len(is_speech_N), len(motion_M)
    reach = 2 * num_in - 1 if costs.is_literal else 2 * num_in
    if not num_out or reach < num_out:
        raise ValueError(f"{num_in} frames of footage cannot give {num_out} frames")
    energy = _Energy.of(is_speech_N, np.asarray(motion_M, np.float64), is_faceless_M, costs)
    length = _block_length(num_out, num_in)
    checkpoints, end = _checkpoints(energy, length)
    end_fresh, end_again = int(np.argmin(end.fresh_J)), int(np.argmin(end.again_J))
    is_repeat = bool(end.again_J[end_again] < end.fresh_J[end_fresh])
    columns_N, is_repeat_N = np.zeros(num_out, np.int32), np.zeros(num_out, bool)
    columns_N[-1], is_repeat_N[-1] = end_again if is_repeat else end_fresh, is_repeat
    for number in reversed(range(len(checkpoints))):
        first, last = number * length, min((number + 1) * length, num_out - 1)
        block = slice(first, last + 1)
        columns_N[block], is_repeat_N[block] = _walk_back(
            energy, checkpoints.pop(), first, last, int(columns_N[last]), bool(is_repeat_N[last])
        )
    return columns_N - np.int32(1), is_repeat_N


def halfway(path_N: Int32, is_repeat_N: Bool, footage_M: Int32, shot_id_T: Int32) -> tuple[Int32, Bool]:
    """Turn a walk into source frames, and repeated frames into pictures half-way to the next one.

    Args:
        path_N: (N,) steps into the footage.
        is_repeat_N: (N,) whether the step repeats the one before.
        footage_M: (M,) the clip's frame at each step of the footage (it may run backwards).
        shot_id_T: (T,) shots; a repeated frame at a cut, or at the footage's end, stays as it is.

    Returns:
        (N,) int32 source frames; (N,) bool, show the picture half-way between it and the clip's next frame.

    Source: method.md section 1, after the mapping.
    """
    here_N = footage_M[path_N]
    ahead_N = footage_M[np.minimum(path_N + 1, len(footage_M) - 1)]
    is_halfway_N = is_repeat_N & (ahead_N != here_N) & (shot_id_T[ahead_N] == shot_id_T[here_N])
    # Played backwards, half-way to the frame ahead is half-way from the frame before it in the clip.
    source_N = np.where(is_halfway_N, np.minimum(here_N, ahead_N), here_N)
    return source_N.astype(np.int32), is_halfway_N


def retime(
    is_speech_N: Bool, motion_T: Float64, is_faceless_T: Bool, shot_id_T: Int32, costs: RetimeCosts
) -> tuple[Int32, Bool]:
    """Source frame of each output frame, extending the footage by ping-pong where it is too short.

    Args:
        is_speech_N: (N,) whether somebody speaks.
        motion_T: (T,) head motion with blinks, of the clip.
        is_faceless_T: (T,) frames that cannot be dubbed.
        shot_id_T: (T,) shots.
        costs: Weights.

    Returns:
        (N,) int32 source frames; (N,) bool half-way flags (see `halfway`).
    """
    num_frames, num_out = len(motion_T), len(is_speech_N)
    # Footage that cannot last even with every frame shown twice is extended until none need be.
    is_enough = num_frames >= num_out // 2 + 2
    footage_M = ping_pong(num_frames, num_frames if is_enough else max(num_out, 4))
    path_N, is_repeat_N = cheapest_walk(is_speech_N, motion_T[footage_M], is_faceless_T[footage_M], costs)
    return halfway(path_N, is_repeat_N, footage_M, shot_id_T)
