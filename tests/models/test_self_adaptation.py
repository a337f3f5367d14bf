"""What the target's own speech teaches is kept where it holds, and only there."""

from __future__ import annotations

import numpy as np
import pytest

from dubber.models.self_adaptation import fit_own_answer

NUM_HIDDEN, NUM_MODES = 12, 3


def footage(seconds=20.0, *, share=1.0, seed=0, num_frames=None):
    """Hidden units that drift as speech does, a mouth that follows them, a network that half knows it.

    `share` is how much of the mouth the hidden units tell; the network always knows the rest.
    """
    rng = np.random.default_rng(seed)
    num_frames = num_frames or round(25 * seconds)
    times_s = np.arange(num_frames) * seconds / num_frames
    noise = rng.standard_normal((num_frames + 8, NUM_HIDDEN))
    hidden = np.stack([np.convolve(column, np.ones(9) / 3, mode="valid") for column in noise.T], axis=1)
    hidden = (hidden + 4.0).astype(np.float32)
    truth = np.random.default_rng(99).standard_normal((NUM_HIDDEN, NUM_MODES))
    told = share * (hidden - hidden.mean(axis=0)) @ truth
    left = 0.5 * rng.standard_normal(told.shape)
    predicted = 0.5 * told + (1 - share) * left
    return hidden, predicted.astype(np.float32), (told + left).astype(np.float32), times_s, truth


def test_a_relation_is_found_and_holds_for_new_speech():
    hidden, predicted, wanted, times_s, truth = footage()
    own = fit_own_answer(hidden, predicted, wanted, times_s)
    assert own is not None
    assert own.is_own_Z.all()
    assert 0.8 < own.gain <= 1.0
    heard, said, filmed, _, _ = footage(seed=1)
    filmed = filmed - filmed.mean(axis=0)
    assert np.mean((filmed - own(said, heard)) ** 2) < 0.3 * np.mean((filmed - said) ** 2)
    assert np.corrcoef(own.weight_HZ.ravel(), truth.ravel())[0, 1] > 0.99
    assert own(said, heard).dtype == np.float32


def test_the_average_is_the_target_s_and_not_learned():
    hidden, predicted, wanted, times_s, _ = footage()
    plain = fit_own_answer(hidden, predicted, wanted, times_s)
    shifted = fit_own_answer(hidden, predicted, wanted + np.float32(7), times_s)
    np.testing.assert_allclose(plain(predicted, hidden).mean(axis=0), 0, atol=1e-3)
    np.testing.assert_allclose(shifted(predicted, hidden), plain(predicted, hidden), atol=1e-3)


@pytest.mark.parametrize("seed", range(5))
def test_where_the_network_knows_better_it_answers(seed):
    hidden, predicted, wanted, times_s, _ = footage(share=0.0, seed=seed)
    assert fit_own_answer(hidden, predicted, wanted, times_s) is None


def test_each_mode_is_decided_alone():
    hidden, predicted, wanted, times_s, _ = footage()
    predicted[:, 1] = wanted[:, 1]
    own = fit_own_answer(hidden, predicted, wanted, times_s)
    assert own.is_own_Z.tolist() == [True, False, True]
    np.testing.assert_array_equal(own(predicted, hidden)[:, 1], predicted[:, 1])


@pytest.mark.parametrize(
    ("seconds", "num_frames"), [(0.0, 0), (0.04, 1), (3.0, 75), (8.0, 2), (8.0, 3), (1.0, 25)]
)
def test_too_little_footage_teaches_nothing(seconds, num_frames):
    hidden, predicted, wanted, times_s, _ = (part[:num_frames] for part in footage(max(seconds, 5.0)))
    if num_frames:
        times_s = np.arange(num_frames) * seconds / max(num_frames - 1, 1)
    assert fit_own_answer(hidden, predicted, wanted, times_s) is None


def test_few_frames_far_apart_do_not_fail():
    hidden, predicted, wanted, _, _ = footage(num_frames=30)
    for num_frames in (4, 5, 9, 30):
        own = fit_own_answer(
            hidden[:num_frames], predicted[:num_frames], wanted[:num_frames], np.arange(num_frames) * 2.0
        )
        assert own is None or np.isfinite(own(predicted, hidden)).all()


def test_hidden_units_that_never_move_are_harmless():
    hidden, predicted, wanted, times_s, _ = footage()
    still = np.concatenate([hidden, np.full((len(hidden), 4), 2.0, np.float32)], axis=1)
    own = fit_own_answer(still, predicted, wanted, times_s)
    np.testing.assert_allclose(own.weight_HZ[NUM_HIDDEN:], 0, atol=1e-4)
    without = fit_own_answer(hidden, predicted, wanted, times_s)
    np.testing.assert_allclose(own(predicted, still), without(predicted, hidden), atol=1e-2)
