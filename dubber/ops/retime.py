"""Video re-timing: which source frame each output frame shows (method.md section 1; EBT Appendix E).

The footage is walked through in order. Each output frame either advances to the next source frame or
repeats the present one, at most once; the cheapest walk keeps the head still in silence and lets it move
when speech begins.

Index letters: N output frames, M source frames (the footage, perhaps extended by ping-pong), T frames of
the clip.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from dubber.ops.landmarks import EYE_CORNERS, EYE_LEFT, EYE_RIGHT, NOSE_TIP
from dubber.types import Bool, Float32, Float64, Int32, UInt8

_NO_EYES = 1e-6
_MAX_CELLS = 400_000_000
"""Cells (N x M) of one exact solution: 50 MB of backtrack bits, about two seconds of work."""


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


def eye_distance(landmarks_TL3: Float32) -> Float64:
    """Distance of the outer eye corners.

    Args:
        landmarks_TL3: (T, 468, 3) px.

    Returns:
        (T,) px; at least a tiny positive number, so that it can divide.
    """
    outer_T2 = landmarks_TL3[:, EYE_CORNERS[0], :2] - landmarks_TL3[:, EYE_CORNERS[3], :2]
    return np.asarray(np.maximum(np.linalg.norm(outer_T2.astype(np.float64), axis=1), _NO_EYES))


def head_motion(landmarks_TL3: Float32, shot_id_T: Int32, has_face_T: Bool) -> Float64:
    """V(j) without blinks: how fast the tip of the nose moves, per frame, in inter-ocular distances.

    Central difference inside a shot, one-sided at its ends and beside frames without a face.

    Args:
        landmarks_TL3: (T, 468, 3) px.
        shot_id_T: (T,) shots; no difference is taken across their borders.
        has_face_T: (T,) whether the landmarks mean anything.

    Returns:
        (T,) >= 0; 0 where nothing can be said.

    Source: method.md section 1, V(j); the normalisation makes it independent of the face's size.
    """
    nose_T2 = landmarks_TL3[:, NOSE_TIP, :2].astype(np.float64)
    is_joined = (shot_id_T[1:] == shot_id_T[:-1]) & has_face_T[1:] & has_face_T[:-1]
    step_2 = np.where(is_joined[:, None], np.diff(nose_T2, axis=0), 0.0)
    total_T2, num_T = np.zeros_like(nose_T2), np.zeros(len(nose_T2))
    total_T2[1:] += step_2
    total_T2[:-1] += step_2
    num_T[1:] += is_joined
    num_T[:-1] += is_joined
    speed_T = np.linalg.norm(total_T2 / np.maximum(num_T, 1.0)[:, None], axis=1)
    return np.where(num_T > 0, speed_T / eye_distance(landmarks_TL3), 0.0)


def blinks(landmarks_TL3: Float32, has_face_T: Bool, *, threshold_ratio: float = 0.55) -> Bool:
    """B(j): frames on which the eyes are shut.

    Args:
        landmarks_TL3: (T, 468, 3) px.
        has_face_T: (T,) whether the landmarks mean anything.
        threshold_ratio: Shut when height over width falls below this share of the clip's median.

    Returns:
        (T,) bool, gaps of one frame closed.

    Source: method.md section 1, B(j); the threshold is the one proposed there.
    """
    points_TL2 = landmarks_TL3[..., :2].astype(np.float64)
    ratio_T = np.zeros(len(points_TL2))
    for outer, inner, upper, lower in (EYE_RIGHT, EYE_LEFT):
        width_T = np.linalg.norm(points_TL2[:, outer] - points_TL2[:, inner], axis=1)
        ratio_T += (
            np.linalg.norm(points_TL2[:, upper] - points_TL2[:, lower], axis=1)
            / np.maximum(width_T, _NO_EYES)
            / 2
        )
    if not has_face_T.any():
        return np.zeros(len(points_TL2), bool)
    is_shut_T = has_face_T & (ratio_T < threshold_ratio * float(np.median(ratio_T[has_face_T])))
    padded = np.pad(is_shut_T, 1)
    return np.asarray(is_shut_T | (padded[:-2] & padded[2:]))


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
    """G(i, j) = weight(i) * V(j) + speech(i) * faceless(j), never built as a matrix."""

    weight_N: Float64
    speech_N: Float64
    motion_M: Float64
    faceless_M: Float64
    again_M: Float64

    def row(self, i: int) -> Float64:
        return np.asarray(self.weight_N[i] * self.motion_M + self.speech_N[i] * self.faceless_M)


def _energy(is_speech_N: Bool, motion_M: Float64, is_faceless_M: Bool, costs: RetimeCosts) -> _Energy:
    is_onset_N = onsets(is_speech_N, delay_frames=costs.onset_delay_frames)
    weight_N = np.where(~is_speech_N, 1.0, np.where(is_onset_N, -costs.onset, 0.0))
    faceless_M = costs.faceless * is_faceless_M.astype(np.float64)
    again_M = costs.repeat * (motion_M + costs.repeat_floor)
    return _Energy(weight_N, is_speech_N.astype(np.float64), motion_M, faceless_M, again_M)


def _backtrack(bits: UInt8, j: int, is_repeat: bool) -> tuple[Int32, Bool]:
    """Read the walk from its end; `bits[i]` says whether state 0 of row i came from a repeated frame."""
    num_out = len(bits)
    path_N, is_repeat_N = np.zeros(num_out, np.int32), np.zeros(num_out, bool)
    for i in range(num_out - 1, -1, -1):
        path_N[i], is_repeat_N[i] = j, is_repeat
        if is_repeat:
            is_repeat = False
        elif i:
            is_repeat = bool(bits[i, (j - 1) >> 3] >> (7 - ((j - 1) & 7)) & 1)
            j -= 1
    return path_N, is_repeat_N


def _solve(
    energy: _Energy, first: int, last: int, *, start: int | None, is_literal: bool
) -> tuple[Int32, Bool]:
    """The cheapest walk for output frames first..last-1; it begins at `start` where given."""
    motion_M = energy.motion_M
    fresh_M = energy.row(first)
    if is_literal and first == 0:
        fresh_M = motion_M.copy()
        fresh_M[0] = 0.0
    if start is not None:
        fresh_M[np.arange(len(fresh_M)) != start] = np.inf
    again_M = np.full(len(motion_M), np.inf)
    bits = np.zeros((last - first, (len(motion_M) + 6) // 8), np.uint8)
    for i in range(first + 1, last):
        cost_M = energy.row(i)
        bits[i - first] = np.packbits(again_M[:-1] < fresh_M[:-1])
        next_fresh_M = np.full(len(motion_M), np.inf)
        next_fresh_M[1:] = np.minimum(fresh_M[:-1], again_M[:-1]) + cost_M[1:]
        again_M = fresh_M + energy.again_M + cost_M
        if is_literal:
            again_M[0] = np.inf
        fresh_M = next_fresh_M
    end_fresh, end_again = int(np.argmin(fresh_M)), int(np.argmin(again_M))
    is_repeat = bool(again_M[end_again] < fresh_M[end_fresh])
    return _backtrack(bits, end_again if is_repeat else end_fresh, is_repeat)


def cheapest_walk(
    is_speech_N: Bool,
    motion_M: Float64,
    is_faceless_M: Bool,
    costs: RetimeCosts,
    *,
    max_cells: int = _MAX_CELLS,
) -> tuple[Int32, Bool]:
    """The dynamic programme: the walk of least energy through the footage.

    Exact while N x M <= `max_cells`; beyond, the output is solved piece by piece, each piece beginning
    where the last one ended.

    Args:
        is_speech_N: (N,) A(i), N >= 1.
        motion_M: (M,) V(j) with blinks, M >= ceil(N / 2) (literal base case: 2 M - 1 >= N).
        is_faceless_M: (M,) frames that cannot be dubbed.
        costs: Weights.
        max_cells: Bound of one exact solution.

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
    energy = _energy(is_speech_N, np.asarray(motion_M, np.float64), is_faceless_M, costs)
    if num_out * num_in <= max_cells:
        return _solve(energy, 0, num_out, start=None, is_literal=costs.is_literal)
    return _solve_in_pieces(energy, num_out, max_cells, costs)


def _solve_in_pieces(energy: _Energy, num_out: int, max_cells: int, costs: RetimeCosts) -> tuple[Int32, Bool]:
    num_in = len(energy.motion_M)
    length = 2 * max(int(np.sqrt(max_cells)) // 4, 1)  # even, so that a piece can live on half as many frames
    paths: list[Int32] = []
    repeats: list[Bool] = []
    low = 0
    for first in range(0, num_out, length):
        last = min(first + length, num_out)
        # Leave enough footage for what comes after, and look no further than the piece can walk.
        high = min(low + 2 * length, num_in - (num_out - last + 1) // 2)
        footage = slice(low, high)
        window = _Energy(
            energy.weight_N,
            energy.speech_N,
            energy.motion_M[footage],
            energy.faceless_M[footage],
            energy.again_M[footage],
        )
        start = 0 if first else None
        path_N, is_repeat_N = _solve(
            window, first, last, start=start, is_literal=costs.is_literal and not first
        )
        paths.append(path_N + np.int32(low))
        repeats.append(is_repeat_N)
        low = min(int(paths[-1][-1]) + 1, num_in - 1)
    return np.concatenate(paths), np.concatenate(repeats)


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
