"""Another voice says the same at the same time: pitch and formants move, each alone, and onsets stay."""

from __future__ import annotations

import numpy as np
import pytest
from scipy import ndimage, signal

from dubber.training import augment

RATE = 16000
FORMANTS_HZ = (700.0, 1800.0, 2900.0)
ONSETS_S = (0.3, 0.9, 1.37, 2.1)


def vowel(f0=120.0, seconds=3.0, formants_hz=FORMANTS_HZ):
    """Pulses through three resonances, in syllables of 0.3 s that start at `ONSETS_S`."""
    t = np.arange(round(seconds * RATE)) / RATE
    voice = np.diff(np.floor(t * f0), prepend=0)
    for centre_hz in formants_hz:
        radius = np.exp(-np.pi * 90 / RATE)
        poles = [1, -2 * radius * np.cos(2 * np.pi * centre_hz / RATE), radius**2]
        voice = signal.lfilter([1 - radius], poles, voice)
    on = np.any([(t >= start) & (t < start + 0.3) for start in ONSETS_S], axis=0)
    voice = voice * np.convolve(on, np.ones(160) / 160, "same")
    noise = 1e-4 * np.random.default_rng(1).standard_normal(len(t))
    return (0.3 * voice / np.abs(voice).max() + noise).astype(np.float32)


def fundamental_hz(samples):
    """From the autocorrelation of the first syllable's middle."""
    piece = samples[round(0.35 * RATE) : round(0.55 * RATE)].astype(np.float64)
    auto = np.correlate(piece, piece, "full")[len(piece) - 1 :]
    low, high = RATE // 400, RATE // 60
    return RATE / (low + np.argmax(auto[low:high]))


def resonance_ratio(before, after):
    """By what factor on frequency the smoothed spectrum of one is most like that of the other."""
    hz = np.arange(300.0, 4500.0, 10.0)

    def level_db(samples, factor):
        frequencies, power = signal.welch(samples, RATE, nperseg=1024)
        smooth = ndimage.gaussian_filter1d(10 * np.log10(power), 8)
        return np.interp(hz / factor, frequencies, smooth)

    factors = np.geomspace(0.7, 1.4, 71)
    likeness = [np.corrcoef(level_db(before, f), level_db(after, 1.0))[0, 1] for f in factors]
    assert max(likeness) > 0.9
    return factors[np.argmax(likeness)]


def energy(samples):
    """Level every millisecond."""
    return np.sqrt(np.convolve(samples.astype(np.float64) ** 2, np.ones(160) / 160, "same"))[::16]


def lag_ms(before, after):
    a, b = energy(before), energy(after)
    correlation = np.correlate(b - b.mean(), a - a.mean(), "full")
    return int(np.argmax(correlation)) - len(a) + 1


@pytest.mark.parametrize(
    ("pitch", "formants"), [(1.3, 1.0), (0.75, 1.0), (1.0, 1.18), (1.0, 0.85), (1.25, 1.15), (0.8, 0.87)]
)
def test_pitch_and_formants_move_each_alone(pitch, formants):
    said = vowel()
    assert fundamental_hz(said) == pytest.approx(120, rel=0.02)
    changed = augment.with_voice(said, pitch=pitch, formants=formants)
    assert changed.shape == said.shape
    assert changed.dtype == np.float32
    assert fundamental_hz(changed) == pytest.approx(120 * pitch, rel=0.03)
    assert resonance_ratio(said, changed) == pytest.approx(formants, abs=0.05)
    assert abs(lag_ms(said, changed)) <= 10


def test_a_whisper_has_the_resonances_and_no_pitch():
    said = vowel()
    breath = augment.whispered(said, np.random.default_rng(0))
    piece = breath[round(0.35 * RATE) : round(0.55 * RATE)].astype(np.float64)
    auto = np.correlate(piece, piece, "full")[len(piece) - 1 :]
    assert auto[RATE // 400 : RATE // 60].max() < 0.4 * auto[0]
    assert resonance_ratio(said, breath) == pytest.approx(1, abs=0.05)
    assert abs(lag_ms(said, breath)) <= 10


@pytest.mark.parametrize("wish", [0.9, 1.0, 1.08, 1.12])
def test_speed_says_what_it_did(wish):
    said = vowel()
    played, speed = augment.at_speed(said, wish)
    assert speed == pytest.approx(wish, abs=0.007)
    assert len(played) == pytest.approx(len(said) / speed, abs=1)
    back = np.interp(np.arange(len(said)) / speed, np.arange(len(played)), played)
    assert abs(lag_ms(said, back)) <= 2


@pytest.mark.parametrize(
    "change",
    [
        lambda said, rng: augment.coloured(said, rng),
        lambda said, rng: augment.in_room(said, rng, t60_s=0.3, wet_db=-8),
        lambda said, rng: augment.over_telephone(said),
        lambda said, rng: augment.low_passed(said, 3800.0),
        lambda said, rng: augment.with_noise(said, augment.pink_noise(len(said), rng), snr_db=6),
    ],
)
def test_rooms_and_microphones_keep_the_time(change):
    said = vowel()
    changed = change(said, np.random.default_rng(0))
    assert changed.shape == said.shape
    assert not np.allclose(changed, said, atol=1e-4)
    assert abs(lag_ms(said, changed)) <= 10


def test_a_telephone_passes_300_to_3400_hz():
    hiss = np.random.default_rng(0).standard_normal(5 * RATE).astype(np.float32)
    frequencies, power = signal.welch(augment.over_telephone(hiss), RATE, nperseg=1024)
    level_db = 10 * np.log10(power / power[(frequencies > 500) & (frequencies < 3000)].mean())
    assert level_db[frequencies < 150].max() < -20
    assert level_db[frequencies > 5000].max() < -20


@pytest.mark.parametrize("snr_db", [6.0, 30.0])
def test_noise_has_the_level_asked_for(snr_db):
    rng = np.random.default_rng(0)
    said = vowel(seconds=10.0)
    said[said.size // 2 :] = said[: said.size - said.size // 2]
    for noise in (augment.pink_noise(len(said), rng), augment.babble(len(said), rng, [vowel(200.0)])):
        mixed = augment.with_noise(said, noise, snr_db=snr_db)
        ratio = augment.loud_level(said) / augment.loud_level(mixed - said)
        assert 20 * np.log10(ratio) == pytest.approx(snr_db, abs=0.5)


def test_disguises_differ_and_repeat():
    said, others = vowel(), [vowel(200.0), vowel(90.0)]
    heard = [augment.disguised(said, np.random.default_rng(seed), others) for seed in range(30)]
    for (samples, speed), seed in zip(heard, range(30), strict=True):
        assert samples.dtype == np.float32
        assert np.isfinite(samples).all()
        assert np.abs(samples).max() <= 1.0
        assert len(samples) == pytest.approx(len(said) / speed, abs=1)
        if seed < 3:
            again, same_speed = augment.disguised(said, np.random.default_rng(seed), others)
            assert speed == same_speed
            assert np.array_equal(samples, again)
    assert len({speed for _, speed in heard}) > 5
    assert len({samples[:20000].tobytes() for samples, _ in heard}) == 30


@pytest.mark.parametrize("num_samples", [600, 5000])
def test_short_and_silent_clips_pass(num_samples):
    mute = np.zeros(num_samples, np.float32)
    for seed in range(20):
        samples, _ = augment.disguised(mute, np.random.default_rng(seed), [mute])
        assert np.isfinite(samples).all()
