"""The features see speech, not gain; windows are taken at any time, with silence around the recording."""

from __future__ import annotations

import numpy as np
import pytest

from dubber.ops import mfcc


def sound(seconds, seed=0):
    """Bursts of coloured noise with pauses."""
    rng = np.random.default_rng(seed)
    t = np.arange(round(seconds * 16000)) / 16000
    tone = np.sin(2 * np.pi * 180 * t) + 0.5 * np.sin(2 * np.pi * 720 * t) + 0.1 * rng.standard_normal(len(t))
    return (0.1 * tone * (np.sin(2 * np.pi * 1.5 * t) > -0.3)).astype(np.float32)


def test_a_step_every_ten_milliseconds_and_finite_numbers():
    for num_samples in (1, 159, 160, 161, 16000):
        found = mfcc.features(sound(1.0)[:num_samples])
        assert found.steps_FC.shape == (-(-num_samples // 160) + 1, 28)
        assert np.isfinite(found.steps_FC).all()


def test_silence_gives_the_features_of_silence():
    found = mfcc.features(np.zeros(16000, np.float32))
    assert found.steps_FC == pytest.approx(np.tile(found.silence_C, (101, 1)), abs=1e-4)


def test_gain_does_not_matter():
    quiet, loud = mfcc.features(0.02 * sound(2.0)), mfcc.features(0.9 * sound(2.0))
    assert quiet.steps_FC == pytest.approx(loud.steps_FC, abs=0.05)


def test_a_step_is_centred_on_its_time():
    samples = np.zeros(16000, np.float32)
    samples[7900:8100] = 0.5
    energy = mfcc.features(samples).steps_FC[:, 13]
    assert int(np.argmax(energy)) == 50
    assert energy[50 - 3] == energy[50 + 3] == 0


def test_differences_are_the_last_fourteen():
    steps = mfcc.features(sound(1.0)).steps_FC
    assert steps[1:, 14:] == pytest.approx(np.diff(steps[:, :14], axis=0), abs=1e-4)


def test_chunks_do_not_show(monkeypatch):
    whole = mfcc.features(sound(3.0)).steps_FC
    monkeypatch.setattr(mfcc, "_CHUNK_STEPS", 37)
    assert mfcc.features(sound(3.0)).steps_FC == pytest.approx(whole, abs=1e-4)


def test_bands_are_those_of_librosa():
    from librosa.filters import mel

    bands = mel(sr=16000, n_fft=512, n_mels=40, fmin=60.0, fmax=7600.0, norm=None)
    assert np.array_equal(mfcc._mel_filters(), bands)


def test_loudness_counts_every_sample():
    samples = sound(1.0)[:15990]
    power = mfcc.hop_power(samples)
    assert len(power) == 100
    assert power.sum() * 160 == pytest.approx(np.sum(samples.astype(np.float64) ** 2))


def test_normalised_over_speech_only():
    found = mfcc.features(sound(2.0))
    is_speech = found.steps_FC[:, 13] > 1
    plain, chosen = mfcc.normalised(found), mfcc.normalised(found, is_speech)
    assert plain.steps_FC.mean(axis=0) == pytest.approx(np.zeros(28), abs=1e-4)
    assert chosen.steps_FC[is_speech].std(axis=0) == pytest.approx(np.ones(28), abs=1e-3)
    few = np.zeros(len(is_speech), bool)
    few[:5] = True
    assert np.array_equal(mfcc.normalised(found, few).steps_FC, plain.steps_FC)
    assert np.isfinite(mfcc.normalised(mfcc.features(np.zeros(800, np.float32))).steps_FC).all()
