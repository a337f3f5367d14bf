"""Where sound and picture agree."""

from __future__ import annotations

import numpy as np
import pytest

from dubber.ops.sync import at_media_times, best_lag, sound_delay


@pytest.fixture
def seen() -> np.ndarray:
    rng = np.random.default_rng(0)
    return np.convolve(rng.standard_normal(500), np.ones(9), mode="same").astype(np.float32)


@pytest.mark.parametrize("lag", [0, 7, -4, 20, -20])
def test_sound_that_comes_later_has_a_positive_lag(seen: np.ndarray, lag: int) -> None:
    correlation, found = best_lag(np.roll(seen, lag), seen, 20)
    assert found == lag
    assert correlation == pytest.approx(1, abs=1e-4)


def test_unknown_steps_do_not_count(seen: np.ndarray) -> None:
    is_known = np.ones(500, np.bool_)
    is_known[200:300] = False
    damaged = seen.copy()
    damaged[200:300] = 1000
    correlation, lag = best_lag(np.roll(seen, 5), damaged, 20, is_truth_known_N=is_known)
    assert lag == 5
    assert correlation == pytest.approx(1, abs=1e-4)


def test_what_cannot_be_compared_has_no_lag(seen: np.ndarray) -> None:
    nothing = np.zeros(500, np.bool_)
    assert best_lag(np.zeros(500, np.float32), seen, 20) == (0.0, 0)
    assert best_lag(seen, np.zeros(500, np.float32), 20) == (0.0, 0)
    assert best_lag(seen, seen, 20, is_truth_known_N=nothing)
    assert best_lag(seen, seen, 20, is_track_known_N=nothing) == (0.0, 0)
    assert best_lag(seen[:40], seen[:40], 20) == (0.0, 0)


def test_noise_hardly_agrees(seen: np.ndarray) -> None:
    other = np.random.default_rng(1).standard_normal(500).astype(np.float32)
    assert best_lag(other, seen, 20)[0] < 0.3


@pytest.mark.parametrize(("steps", "delay_s"), [(13, 0.13), (-39, -0.39), (40, 0.0), (45, 0.0)])
def test_sound_is_late_by_less_than_the_limit(seen: np.ndarray, steps: int, delay_s: float) -> None:
    everywhere = np.ones(500, np.bool_)
    found = sound_delay(np.roll(seen, steps), seen, everywhere, 100, least_agreement=0.5)
    assert found[1] == pytest.approx(delay_s)


def test_sound_that_hardly_agrees_is_not_late(seen: np.ndarray) -> None:
    everywhere = np.ones(500, np.bool_)
    noise = np.random.default_rng(1).standard_normal(500).astype(np.float32)
    agreement, delay_s = sound_delay(
        np.roll(seen, 13) + 9 * noise, seen, everywhere, 100, least_agreement=0.8
    )
    assert 0 < agreement < 0.8
    assert delay_s == 0.0


def test_frames_are_read_between_their_times() -> None:
    times_s = np.arange(10) / 10
    values = np.stack([times_s, -2 * times_s], axis=1).astype(np.float32)
    wanted_s = np.array([-0.05, 0.0, 0.25, 0.31, 0.9, 0.95])
    found, is_known = at_media_times(wanted_s, times_s, values, np.ones(10, np.bool_))
    assert found.dtype == np.float32
    assert is_known.tolist() == [False, True, True, True, True, False]
    np.testing.assert_allclose(found[is_known, 0], wanted_s[is_known], atol=1e-6)
    np.testing.assert_allclose(found[is_known, 1], -2 * wanted_s[is_known], atol=1e-6)


def test_beside_a_frame_without_values_nothing_is_known() -> None:
    is_usable = np.ones(10, np.bool_)
    is_usable[4] = False
    wanted_s = np.array([0.3, 0.35, 0.4, 0.45, 0.5])
    _, is_known = at_media_times(wanted_s, np.arange(10) / 10, np.zeros((10, 1), np.float32), is_usable)
    assert is_known.tolist() == [True, False, False, False, True]
