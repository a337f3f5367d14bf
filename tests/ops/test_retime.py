"""The walk through the footage is the cheapest one, never jumps, and never looks across a cut."""

from __future__ import annotations

import tracemalloc
from itertools import pairwise, product

import numpy as np
import pytest

from dubber.ops import retime as retiming
from dubber.ops.retime import RetimeCosts, cheapest_walk, halfway, onsets, ping_pong, retime


def energy_of(path, repeats, is_speech, motion, faceless, costs):
    is_onset = onsets(is_speech, delay_frames=costs.onset_delay_frames)
    total = 0.0
    for i, j in enumerate(path):
        if i == 0 and costs.is_literal:
            total += motion[j] if j else 0.0
            continue
        weight = 1.0 if not is_speech[i] else (-costs.onset if is_onset[i] else 0.0)
        total += weight * motion[j] + costs.faceless * is_speech[i] * faceless[j]
        total += costs.repeat * (motion[j] + costs.repeat_floor) * repeats[i]
    return total


def brute_force(is_speech, motion, faceless, costs):
    best = np.inf
    for start in range(len(motion)):
        for repeats in product((False, True), repeat=len(is_speech) - 1):
            repeats = (False, *repeats)
            path = start + np.cumsum([0] + [not r for r in repeats[1:]])
            if path[-1] >= len(motion) or any(a and b for a, b in pairwise(repeats)):
                continue
            if costs.is_literal and any(r and j == 0 for r, j in zip(repeats, path, strict=True)):
                continue
            best = min(best, energy_of(path, repeats, is_speech, motion, faceless, costs))
    return best


@pytest.mark.parametrize("seed", range(60))
def test_equals_brute_force(seed):
    rng = np.random.default_rng(seed)
    num_out = int(rng.integers(1, 10))
    num_in = int(rng.integers(num_out // 2 + 1, 9))
    costs = RetimeCosts(repeat=rng.uniform(0, 3), onset=rng.uniform(0, 3), is_literal=bool(seed % 3 == 0))
    is_speech, motion = rng.random(num_out) < 0.6, rng.random(num_in)
    faceless = rng.random(num_in) < 0.3
    path, repeats = cheapest_walk(is_speech, motion, faceless, costs)
    found = energy_of(path, repeats, is_speech, motion, faceless, costs)
    assert found == pytest.approx(brute_force(is_speech, motion, faceless, costs), abs=1e-12)
    steps = np.diff(path)
    assert set(steps) <= {0, 1}
    assert np.array_equal(steps == 0, repeats[1:])
    assert not (repeats[1:] & repeats[:-1]).any()


def test_worked_example():
    # Silence, then speech: three quiet frames go under the silence, the jerk (0.9) under the onset (frame 4).
    is_speech = np.array([0, 0, 1, 1, 1, 1], bool)
    motion = np.array([0.5, 0.0, 0.0, 0.1, 0.0, 0.9, 0.3])
    path, repeats = cheapest_walk(is_speech, motion, np.zeros(7, bool), RetimeCosts())
    # i=4 is felt as the onset; the walk must be at frame 5 there: 1 2 3 4 5 6, energy -2 * 0.9.
    assert path.tolist() == [1, 2, 3, 4, 5, 6]
    assert not repeats.any()


def test_speech_avoids_frames_without_a_face():
    faceless = np.array([1, 1, 1, 0, 0, 0, 0, 1], bool)
    path, _ = cheapest_walk(np.ones(4, bool), np.zeros(8), faceless, RetimeCosts())
    assert path.tolist() == [3, 4, 5, 6]


def plain_energy(is_speech, motion, faceless, costs):
    """The recurrence of method.md section 1 as it stands there, over the whole matrix."""
    num_out, num_in = len(is_speech), len(motion)
    is_onset = onsets(is_speech, delay_frames=costs.onset_delay_frames)
    weight = np.where(~is_speech, 1.0, np.where(is_onset, -costs.onset, 0.0))
    cost = weight[:, None] * motion + costs.faceless * is_speech[:, None] * faceless
    fresh, again = np.full((2, num_out, num_in), np.inf)
    fresh[0] = np.where(np.arange(num_in) > 0, motion, 0.0) if costs.is_literal else cost[0]
    for i, j in product(range(1, num_out), range(num_in)):
        if j:
            fresh[i, j] = min(fresh[i - 1, j - 1], again[i - 1, j - 1]) + cost[i, j]
        if j or not costs.is_literal:
            again[i, j] = fresh[i - 1, j] + costs.repeat * (motion[j] + costs.repeat_floor) + cost[i, j]
    return min(fresh[-1].min(), again[-1].min())


@pytest.mark.parametrize("seed", range(60))
def test_checkpoints_do_not_show(seed, monkeypatch):
    rng = np.random.default_rng(seed)
    num_out = int(rng.integers(2, 60))
    num_in = int(rng.integers(num_out // 2 + 1, num_out + 20))
    length = int(rng.integers(1, 20))
    monkeypatch.setattr(retiming, "_block_length", lambda *_: length)
    costs = RetimeCosts(repeat=rng.uniform(0, 3), onset=rng.uniform(0, 3), is_literal=bool(seed % 3 == 0))
    is_speech = np.repeat(rng.random(num_out) < 0.5, 1 + seed % 4)[:num_out]
    # Rounded motion makes equal costs, among which any walk may be chosen.
    motion = rng.random(num_in) if seed % 5 else np.round(2 * rng.random(num_in)) / 2
    faceless = rng.random(num_in) < 0.2
    path, repeats = cheapest_walk(is_speech, motion, faceless, costs)
    steps = np.diff(path)
    assert set(steps) <= {0, 1}
    assert np.array_equal(steps == 0, repeats[1:])
    assert not (repeats[1:] & repeats[:-1]).any()
    assert 0 <= path[0] <= path[-1] < num_in
    found = energy_of(path, repeats, is_speech, motion, faceless, costs)
    assert found == pytest.approx(plain_energy(is_speech, motion, faceless, costs), abs=1e-9)


def test_memory_does_not_grow_with_the_square_of_the_length():
    num_frames = 8_000
    rng = np.random.default_rng(0)
    is_speech, motion = np.repeat(rng.random(num_frames // 20) < 0.7, 20), rng.random(num_frames)
    tracemalloc.start()
    cheapest_walk(is_speech, motion, np.zeros(num_frames, bool), RetimeCosts())
    _, peak_bytes = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert peak_bytes < num_frames**2 / 8 / 4  # a quarter of one bit per cell


def test_too_short_footage_is_refused():
    with pytest.raises(ValueError, match="2 frames of footage"):
        cheapest_walk(np.ones(5, bool), np.zeros(2), np.zeros(2, bool), RetimeCosts())
    with pytest.raises(ValueError):  # the literal base case may not repeat frame 0
        cheapest_walk(np.ones(4, bool), np.zeros(2), np.zeros(2, bool), RetimeCosts(is_literal=True))
    cheapest_walk(np.ones(4, bool), np.zeros(2), np.zeros(2, bool), RetimeCosts())


def test_footage_is_extended_by_ping_pong_without_jumps():
    source, is_halfway = retime(
        np.ones(40, bool), np.zeros(6), np.zeros(6, bool), np.zeros(6, np.int32), RetimeCosts()
    )
    position = source + 0.5 * is_halfway
    assert position.min() >= 0
    assert position.max() <= 5
    assert np.abs(np.diff(position)).max() <= 1


def test_one_frame_of_footage():
    source, is_halfway = retime(
        np.ones(7, bool), np.zeros(1), np.zeros(1, bool), np.zeros(1, np.int32), RetimeCosts()
    )
    assert source.tolist() == [0] * 7
    assert not is_halfway.any()


def test_repeated_frames_become_half_way_except_at_cuts_and_the_end():
    path = np.array([0, 0, 1, 1, 2, 3, 3, 4, 4])
    repeats = np.array([0, 1, 0, 1, 0, 0, 1, 0, 1], bool)
    footage = np.array([0, 1, 2, 1, 0])  # out and back
    shots = np.array([0, 0, 1])  # cut between 1 and 2
    source, is_halfway = halfway(path, repeats, footage, shots)
    assert source.tolist() == [
        0,
        0,
        1,
        1,
        2,
        1,
        0,
        0,
        0,
    ]  # going back, half-way between 1 and 0 is "0 and a half"
    assert is_halfway.tolist() == [False, True, False, False, False, False, True, False, False]


def test_ping_pong():
    assert ping_pong(3, 9).tolist() == [0, 1, 2, 1, 0, 1, 2, 1, 0]
    assert ping_pong(1, 3).tolist() == [0, 0, 0]
    assert ping_pong(2, 4).tolist() == [0, 1, 0, 1]


def test_onsets_come_two_frames_after_the_change():
    is_speech = np.array([1, 1, 0, 0, 1, 1, 1, 1, 0], bool)
    assert np.flatnonzero(onsets(is_speech)).tolist() == [6]
    assert not onsets(np.ones(1, bool)).any()
