"""What the target's own speech teaches is kept where it holds, and only there."""

from __future__ import annotations

import numpy as np
import pytest

from dubber.models.self_adaptation import fit_correction

NUM_HIDDEN, NUM_MODES = 12, 3


def footage(seconds=20.0, *, share=1.0, seed=0, num_frames=None):
    """Hidden units that drift as speech does, and a mouth that follows them but for some noise."""
    rng = np.random.default_rng(seed)
    num_frames = num_frames or round(25 * seconds)
    times_s = np.arange(num_frames) * seconds / num_frames
    noise = rng.standard_normal((num_frames + 8, NUM_HIDDEN))
    hidden = np.stack([np.convolve(column, np.ones(9) / 3, mode="valid") for column in noise.T], axis=1)
    hidden = (hidden + 4.0).astype(np.float32)
    truth = np.random.default_rng(99).standard_normal((NUM_HIDDEN, NUM_MODES))
    predicted = rng.standard_normal((num_frames, NUM_MODES)).astype(np.float32)
    missing = (hidden - hidden.mean(axis=0)) @ truth
    left = share * missing + 0.3 * missing.std() * rng.standard_normal(missing.shape)
    return hidden, predicted, (predicted + left).astype(np.float32), times_s, truth


def test_a_relation_is_found_and_holds_for_new_speech():
    hidden, predicted, wanted, times_s, truth = footage()
    correction = fit_correction(hidden, predicted, wanted, times_s)
    assert correction is not None
    assert 0.8 < correction.gain <= 1.0
    heard, said, filmed, _, _ = footage(seed=1)
    before = np.mean((filmed - said - (filmed - said).mean(axis=0)) ** 2)
    left = filmed - said - correction(heard)
    assert np.mean((left - left.mean(axis=0)) ** 2) < 0.2 * before
    assert np.corrcoef(correction.weight_HZ.ravel(), truth.ravel())[0, 1] > 0.99
    np.testing.assert_allclose(correction(heard), (heard - correction.mean_H) @ correction.weight_HZ)
    assert correction(heard).dtype == np.float32
    assert correction.mean_H.dtype == correction.weight_HZ.dtype == np.float32


def test_nothing_changes_on_average():
    """The target's mean is known from its mouth; a correction only says how it moves."""
    hidden, predicted, wanted, times_s, _ = footage()
    plain = fit_correction(hidden, predicted, wanted, times_s)
    shifted = fit_correction(hidden, predicted, wanted + np.float32(7), times_s)
    np.testing.assert_allclose(plain(hidden).mean(axis=0), 0, atol=1e-3)
    np.testing.assert_allclose(shifted(hidden), plain(hidden), atol=1e-3)


@pytest.mark.parametrize("seed", range(5))
def test_noise_teaches_nothing(seed):
    hidden, predicted, wanted, times_s, _ = footage(share=0.0, seed=seed)
    assert fit_correction(hidden, predicted, wanted, times_s) is None


def test_the_gain_is_what_held_out_speech_shows():
    gains = [fit_correction(*footage(share=share)[:4]).gain for share in (0.3, 1.0)]
    assert 0.3 < gains[0] < 0.6 < gains[1]  # 0.3 ^ 2 / (0.3 ^ 2 + 0.3 ^ 2) is a half


@pytest.mark.parametrize(
    ("seconds", "num_frames"), [(0.0, 0), (0.04, 1), (3.0, 75), (8.0, 2), (8.0, 3), (1.0, 25)]
)
def test_too_little_footage_teaches_nothing(seconds, num_frames):
    hidden, predicted, wanted, times_s, _ = (part[:num_frames] for part in footage(max(seconds, 5.0)))
    if num_frames:
        times_s = np.arange(num_frames) * seconds / max(num_frames - 1, 1)
    assert fit_correction(hidden, predicted, wanted, times_s) is None


def test_few_frames_far_apart_do_not_fail():
    hidden, predicted, wanted, _, _ = footage(num_frames=30)
    for num_frames in (4, 5, 9, 30):
        correction = fit_correction(
            hidden[:num_frames], predicted[:num_frames], wanted[:num_frames], np.arange(num_frames) * 2.0
        )
        assert correction is None or np.isfinite(correction(hidden)).all()


def test_hidden_units_that_never_move_are_harmless():
    hidden, predicted, wanted, times_s, _ = footage()
    still = np.concatenate([hidden, np.full((len(hidden), 4), 2.0, np.float32)], axis=1)
    correction = fit_correction(still, predicted, wanted, times_s)
    np.testing.assert_allclose(correction.weight_HZ[NUM_HIDDEN:], 0, atol=1e-4)
    np.testing.assert_allclose(
        correction(still), fit_correction(hidden, predicted, wanted, times_s)(hidden), atol=1e-2
    )
