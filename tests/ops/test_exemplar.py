"""The exemplar search against brute force, and its rules."""

from __future__ import annotations

import itertools

import numpy as np
import pytest

from dubber.ops.exemplar import (
    HopCost,
    ShapeWeights,
    bank_subset,
    dissolve_weights,
    exemplar_path,
    nearest_candidates,
    shape_features,
)


def random_face(count: int, seed: int = 0) -> tuple[np.ndarray, np.ndarray]:
    rng = np.random.default_rng(seed)
    return rng.uniform(50, 300, (count, 39, 2)).astype(np.float32), rng.normal(0, 0.1, (count, 3)).astype(
        np.float32
    )


def test_candidates_are_those_of_an_exhaustive_search() -> None:
    rng = np.random.default_rng(0)
    wanted = rng.normal(100, 5, (1100, 6)).astype(np.float32)
    bank = rng.normal(100, 5, (50, 6)).astype(np.float32)
    indices, costs = nearest_candidates(wanted, bank, 7)
    exact = ((wanted[:, None].astype(float) - bank) ** 2).sum(-1)
    assert (indices == exact.argsort(1)[:, :7]).mean() > 0.999
    np.testing.assert_allclose(costs, np.sort(exact, 1)[:, :7], atol=1e-2)


def test_a_small_bank_gives_all_it_has() -> None:
    indices, costs = nearest_candidates(np.zeros((3, 2), np.float32), np.eye(2, dtype=np.float32), 10)
    assert indices.shape == costs.shape == (3, 2)


@pytest.mark.parametrize("seed", range(12))
def test_the_path_is_the_cheapest_of_all(seed: int) -> None:
    rng = np.random.default_rng(seed)
    num_frames, footage_len, count = 5, 9, 3
    footage = rng.normal(0, 2, (footage_len, 3)).astype(np.float32)
    wanted = rng.normal(0, 2, (num_frames, 3)).astype(np.float32)
    candidates, costs = nearest_candidates(wanted, footage, count)
    anew = rng.random(num_frames) < 0.25
    hop = HopCost(smoothness=0.7, switch=3.0, limit=9.0)

    def price(choice: tuple[int, ...]) -> float:
        frames = [int(candidates[n, c]) for n, c in enumerate(choice)]
        total = sum(float(costs[n, c]) for n, c in enumerate(choice))
        for n in range(1, num_frames):
            if not anew[n]:
                change = (footage[frames[n]] - wanted[n]) - (footage[frames[n - 1]] - wanted[n - 1])
                step = 0.7 * float((change**2).sum()) + (0.0 if frames[n] == frames[n - 1] + 1 else 3.0)
                total += min(step, 9.0)
        return total

    path = exemplar_path(wanted, footage, np.arange(len(footage)), candidates, costs, anew, hop)
    found = tuple(int(np.flatnonzero(candidates[n] == frame)[0]) for n, frame in enumerate(path))
    best = min(price(choice) for choice in itertools.product(range(count), repeat=num_frames))
    assert price(found) == pytest.approx(best, rel=1e-4, abs=1e-3)


def test_own_landmarks_choose_the_footage_itself() -> None:
    landmarks, rotation = random_face(30)
    features = shape_features(landmarks, rotation, ShapeWeights())
    candidates, costs = nearest_candidates(features, features, 5)
    path = exemplar_path(features, features, np.arange(30), candidates, costs, np.zeros(30, bool), HopCost())
    assert (path == np.arange(30)).all()


def test_a_path_prefers_to_follow_the_footage() -> None:
    rng = np.random.default_rng(1)
    footage = np.repeat(rng.normal(0, 3, (10, 4)), 2, 0).astype(np.float32)
    footage[1::2] += rng.normal(0, 0.05, (10, 4)).astype(np.float32)
    footage = np.concatenate([footage[::2], footage[1::2]])
    wanted = (footage[:10] + footage[10:]) / 2
    candidates, costs = nearest_candidates(wanted, footage, 4)
    greedy = candidates[:, 0]
    frames, starts_anew = np.arange(20), np.zeros(10, bool)
    path = exemplar_path(wanted, footage, frames, candidates, costs, starts_anew, HopCost())
    assert (np.diff(path) == 1).all()
    assert not (np.diff(greedy) == 1).all()


def test_an_opening_weighs_more_than_a_shift_of_the_mouth() -> None:
    landmarks = np.repeat(random_face(1)[0], 3, 0)
    landmarks[1, 13:16, 1] -= 3
    landmarks[1, 17:20, 1] += 3
    landmarks[2, :20] += 3
    features = shape_features(landmarks, np.zeros((3, 3), np.float32), ShapeWeights())
    distance = ((features[1:] - features[0]) ** 2).sum(1)
    assert distance[0] > 5 * distance[1] > 0


def test_a_bank_is_a_varied_part_of_what_is_allowed() -> None:
    rng = np.random.default_rng(2)
    features = np.concatenate([rng.normal(0, 0.1, (900, 3)), rng.normal(50, 0.1, (16, 3))]).astype(np.float32)
    allowed = np.ones(916, bool)
    allowed[100:200] = False
    bank = bank_subset(features.__getitem__, allowed, 80)
    assert 0 < len(bank) <= 88
    assert (np.diff(bank) > 0).all()
    assert allowed[bank].all()
    assert (bank >= 900).any(), "the rare mouths are in it"
    assert (bank_subset(features.__getitem__, allowed, 5000) == np.flatnonzero(allowed)).all()


def test_a_hop_becomes_a_dissolve_and_a_straight_path_does_not() -> None:
    allowed = np.ones(40, bool)
    path = np.array([3, 4, 5, 20, 21, 22], np.int32)
    shares = dissolve_weights(path, np.zeros(6, bool), allowed, 1)
    assert shares[0] == {3: 1.0}
    assert shares[5] == {22: 1.0}
    assert shares[2] == pytest.approx({5: 0.75, 19: 0.25})
    assert shares[3] == pytest.approx({6: 0.25, 20: 0.75})
    assert all(sum(share.values()) == pytest.approx(1) for share in shares)


def test_nothing_dissolves_across_a_cut_or_into_forbidden_frames() -> None:
    path = np.array([3, 20], np.int32)
    cut = dissolve_weights(path, np.array([True, True]), np.ones(40, bool), 2)
    assert cut == [{3: 1.0}, {20: 1.0}]
    allowed = np.zeros(40, bool)
    allowed[path] = True
    shares = dissolve_weights(path, np.zeros(2, bool), allowed, 2)
    assert all(allowed[list(share)].all() for share in shares)
