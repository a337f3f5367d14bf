"""Choosing, for each output frame, which of the target's own frames lends its mouth.

A per-frame nearest neighbour hops between look-alikes; so the few best candidates of each frame are kept and
a path through them is found that pays for hops (method.md section 0, "candidates by path, not by frame").

Index letters: T frames of the footage, B frames of the bank, N output frames, D features, C candidates per
frame, M = 39 landmarks.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from dubber.ops.landmarks import MOUTH_OUTER, NUM_MOUTH
from dubber.types import Bool, Float32, Int32

_INNER_TOP, _INNER_BOTTOM = 14, 18
_CORNER_RIGHT, _CORNER_LEFT = 0, len(MOUTH_OUTER) // 2
_CHUNK = 512

_PROHIBITIVE = 1e6
"""Squared px, more than any mouth is away from another."""


@dataclass(frozen=True)
class ShapeWeights:
    """How much each kind of difference counts; all features are made comparable to px of the 384 crop.

    Attributes:
        opening: Extra weight of the mouth's opening, whose error shows most: teeth and the dark inside cannot
        be warped.
        width: Extra weight of the distance of the mouth's corners.
        jaw: Weight of the jaw's points.
        place: Weight of the mouth's place in the crop.
        rotation_px: Pixels that a radian of head rotation is worth.
    """

    opening: float = 2.0
    width: float = 1.0
    jaw: float = 0.5
    place: float = 0.3
    rotation_px: float = 40.0


def shape_features(landmarks_TM2: Float32, rotation_T3: Float32, weights: ShapeWeights) -> Float32:
    """Vectors whose squared distance tells how badly one frame's mouth serves as another's.

    Args:
        landmarks_TM2: (T, 39, 2) in px of the 384 crop.
        rotation_T3: (T, 3) head rotation, axis-angle, radians.
        weights: See `ShapeWeights`.

    Returns:
        (T, D) float32 px; the root of a squared distance is comparable to a mean landmark distance.
    """
    mouth = landmarks_TM2[:, :NUM_MOUTH]
    center = mouth.mean(1, keepdims=True)
    jaw = landmarks_TM2[:, NUM_MOUTH:]
    opening = mouth[:, _INNER_BOTTOM] - mouth[:, _INNER_TOP]
    width = mouth[:, _CORNER_LEFT] - mouth[:, _CORNER_RIGHT]
    parts = [
        (mouth - center).reshape(len(mouth), -1) / np.sqrt(NUM_MOUTH),
        jaw.reshape(len(jaw), -1) * (weights.jaw / np.sqrt(jaw.shape[1])),
        center[:, 0] * weights.place,
        opening * weights.opening,
        width * weights.width,
        rotation_T3 * weights.rotation_px,
    ]
    return np.asarray(np.concatenate(parts, 1), np.float32)


def bank_subset(
    features_of: Callable[[Int32], Float32], is_allowed_T: Bool, num_frames: int, run_frames: int = 8
) -> Int32:
    """A varied subset of the footage: runs of consecutive frames, picked far from each other.

    Whole runs are kept because a path that follows the footage for a while does not flicker.

    Args:
        features_of: The (n, D) features of n frames; asked for a frame of each run at most.
        is_allowed_T: (T,) bool; other frames are never picked.
        num_frames: Upper bound of the subset's size.
        run_frames: Length of a run.

    Returns:
        Sorted indices.

    Source: Gonzalez 1985, farthest-first traversal for the k-centre problem.
    """
    allowed = np.flatnonzero(is_allowed_T)
    if len(allowed) <= num_frames:
        return allowed.astype(np.int32)
    runs = np.array_split(allowed, -(-len(allowed) // run_frames))
    middles = features_of(np.array([run[len(run) // 2] for run in runs], np.int32))
    picked = [int(((middles - middles.mean(0)) ** 2).sum(1).argmin())]
    distance = ((middles - middles[picked[0]]) ** 2).sum(1)
    for _ in range(max(1, num_frames // run_frames) - 1):
        picked.append(int(distance.argmax()))
        np.minimum(distance, ((middles - middles[picked[-1]]) ** 2).sum(1), out=distance)
    return np.sort(np.concatenate([runs[index] for index in sorted(set(picked))])).astype(np.int32)


def nearest_candidates(wanted_ND: Float32, bank_BD: Float32, num_candidates: int) -> tuple[Int32, Float32]:
    """The bank's nearest entries of each wanted vector; memory does not grow with N * B.

    Args:
        wanted_ND: (N, D).
        bank_BD: (B, D), B >= 1.
        num_candidates: C, at most B of them are given.

    Returns:
        (N, C) int32 positions in the bank, nearest first, and (N, C) float32 squared distances.
    """
    count = min(num_candidates, len(bank_BD))
    indices = np.empty((len(wanted_ND), count), np.int32)
    costs = np.empty((len(wanted_ND), count), np.float32)
    offset = bank_BD.mean(0)
    bank = bank_BD - offset
    bank_squared = (bank**2).sum(1)
    for start in range(0, len(wanted_ND), _CHUNK):
        wanted = wanted_ND[start : start + _CHUNK] - offset
        squared = (wanted**2).sum(1)[:, None] + bank_squared - 2 * (wanted @ bank.T)
        best = np.argpartition(squared, count - 1, axis=1)[:, :count]
        order = np.lexsort((best, np.take_along_axis(squared, best, 1)), axis=1)
        best = np.take_along_axis(best, order, 1)
        indices[start : start + _CHUNK] = best
        costs[start : start + _CHUNK] = np.maximum(np.take_along_axis(squared, best, 1), 0)
    return indices, costs


def shunned(candidates_NC: Int32, costs_NC: Float32, path_N: Int32, radius: int) -> Float32:
    """Costs that keep the next path away from one that is taken.

    Args:
        candidates_NC: (N, C) int32 frames of the footage.
        costs_NC: (N, C) float32.
        path_N: (N,) int32 frames of the footage.
        radius: Candidates within so many frames of the path are only taken where there are no others.

    Returns:
        (N, C) float32.
    """
    is_near_NC = np.abs(candidates_NC - path_N[:, None]) <= radius
    return np.where(is_near_NC, costs_NC + np.float32(_PROHIBITIVE), costs_NC)


@dataclass(frozen=True)
class HopCost:
    """What it costs to change the exemplar.

    Attributes:
        smoothness: Weight of the squared change of the misfit (exemplar minus wanted) from one frame to the
        next.
        switch: Added, in squared px, whenever the footage is not followed one frame on.
        limit: The whole cost of a hop is at most this, in squared px: a cut costs no more than that.
    """

    smoothness: float = 1.0
    switch: float = 4.0
    limit: float = 60.0

    def between(self, first_AD: Float32, second_BD: Float32, is_free_AB: Bool) -> Float32:
        """Costs of going from candidates of a frame to those of the next.

        Args:
            first_AD: (A, D) misfits of the first frame's candidates.
            second_BD: (B, D) misfits of the next frame's.
            is_free_AB: (A, B) bool, the second is the footage's next frame (or its own half-way neighbour).

        Returns:
            (A, B) float32.
        """
        squared = (first_AD**2).sum(1)[:, None] + (second_BD**2).sum(1) - 2 * (first_AD @ second_BD.T)
        hop = self.smoothness * np.maximum(squared, 0) + np.where(is_free_AB, 0.0, self.switch)
        return np.asarray(np.minimum(hop, self.limit), np.float32)


def exemplar_path(
    wanted_ND: Float32,
    bank_BD: Float32,
    frames_B: Int32,
    candidates_NC: Int32,
    costs_NC: Float32,
    starts_anew_N: Bool,
    hop: HopCost,
) -> Int32:
    """The cheapest sequence of exemplars, one candidate per output frame.

    Args:
        wanted_ND: (N, D) wanted features.
        bank_BD: (B, D) features of the frames that may be exemplars.
        frames_B: (B,) int32 which frames of the footage these are.
        candidates_NC: (N, C) int32 positions in the bank.
        costs_NC: (N, C) float32 what each candidate costs by itself.
        starts_anew_N: (N,) bool, nothing is continued from the frame before (cuts, gaps).
        hop: What changing costs.

    Returns:
        (N,) int32 positions in the bank. Ties go to the earlier candidate.

    Source: Viterbi 1967.
    """
    num_frames, count = candidates_NC.shape
    if num_frames == 0:
        return np.zeros(0, np.int32)
    came_from = np.zeros((num_frames, count), np.int16)
    total = costs_NC[0].astype(np.float64)
    misfit = bank_BD[candidates_NC[0]] - wanted_ND[0]
    for n in range(1, num_frames):
        before, misfit = misfit, bank_BD[candidates_NC[n]] - wanted_ND[n]
        if starts_anew_N[n]:
            came_from[n] = total.argmin()
            total = total.min() + costs_NC[n]
            continue
        step = frames_B[candidates_NC[n]][None] - frames_B[candidates_NC[n - 1]][:, None]
        arrival = total[:, None] + hop.between(before, misfit, step == 1)
        came_from[n] = arrival.argmin(0)
        total = arrival.min(0) + costs_NC[n]
    path = np.empty(num_frames, np.int32)
    choice = int(total.argmin())
    for n in range(num_frames - 1, -1, -1):
        path[n] = candidates_NC[n, choice]
        choice = int(came_from[n, choice])
    return path


def dissolve_weights(
    path_N: Int32, starts_anew_N: Bool, is_allowed_T: Bool, radius: int
) -> list[dict[int, float]]:
    """Exemplars and their shares for each output frame, so that a hop becomes a short dissolve.

    Each neighbour in a window votes for the frame its own exemplar would continue to; where the path follows
    the footage all votes agree and the frame has one exemplar.

    Args:
        path_N: (N,) int32 chosen frames.
        starts_anew_N: (N,) bool, nothing dissolves across this frame's beginning.
        is_allowed_T: (T,) bool, frames that may be exemplars.
        radius: Frames to either side that vote; 0 switches dissolving off.

    Returns:
        N dictionaries from frame to share; shares sum to one.
    """
    group = np.cumsum(starts_anew_N)
    result = []
    for n, chosen in enumerate(path_N.tolist()):
        votes: dict[int, float] = {}
        for offset in range(-radius, radius + 1):
            other = n + offset
            if not 0 <= other < len(path_N) or group[other] != group[n]:
                continue
            frame = int(path_N[other]) - offset
            if not 0 <= frame < len(is_allowed_T) or not is_allowed_T[frame]:
                frame = chosen if offset == 0 else int(path_N[other])
            votes[frame] = votes.get(frame, 0.0) + 1.0 - abs(offset) / (radius + 1)
        whole = sum(votes.values())
        result.append({frame: share / whole for frame, share in sorted(votes.items())})
    return result
