"""The same words by another voice, in another room, through another microphone: what must not matter.

Every change but `at_speed` leaves each sound at its time, so the mouth's motion stays the right answer to it.

Index letters: S samples, K frequency bins, F spectral frames of 8 ms.
"""

from __future__ import annotations

from collections.abc import Sequence
from math import gcd

import librosa
import numpy as np
from librosa.effects import pitch_shift
from numpy.typing import NDArray
from scipy import fft, signal

from dubber.ops.mfcc import SAMPLE_RATE_HZ, loud_level
from dubber.types import Float32, Float64

Complex64 = NDArray[np.complex64]

_FFT = 512
_HOP = 128
_ENVELOPE_QUEFRENCY_S = 0.0018
"""Cepstrum up to here is the vocal tract, beyond it the voice's pitch: shorter than the period of 500 Hz."""
_MAX_CORRECTION_DB = 30.0
_WHISPER_TILT_DB = 4.0
"""Per octave: whispering takes little from hissing consonants and much from low vowels."""
_NUM_SPEED_STEPS = 100
_MU = 255.0

_CHANCE_WHISPER = 0.03
_CHANCE_VOICE, _SEMITONES, _FORMANT_RATIO = 0.8, 5.0, 1.2
"""Another voice: up to a fourth higher or lower; vocal tracts of adults differ in length by about a fifth."""
_CHANCE_SPEED, _SPEED_RATIO = 0.5, 1.12
_CHANCE_ROOM, _T60_S, _WET_DB = 0.15, (0.15, 0.6), (-20.0, -3.0)
_CHANCE_NOISE, _SNR_DB = 0.5, (6.0, 30.0)
_CHANCE_COLOUR = 0.8
_CHANCE_BAND = 0.1
_GAIN_DB = (-20.0, 6.0)


def disguised(
    samples_S: Float32, rng: np.random.Generator, others: Sequence[Float32] = ()
) -> tuple[Float32, float]:
    """The clip by a random other voice, at another speed, in another room, with noise, over another channel.

    Args:
        samples_S: (S,) float32 in -1..1, mono, 16 kHz, S >= 512.
        rng: Source of chance; the same state gives the same samples.
        others: Other recordings of speech at 16 kHz, of any length, from which babble is mixed; none: no
            babble.

    Returns:
        (S',) float32 in -1..1; the speed: what is heard at time t was at time t * speed of the clip.
    """
    if rng.random() < _CHANCE_WHISPER:
        samples_S = whispered(samples_S, rng)
    if rng.random() < _CHANCE_VOICE:
        pitch = 2 ** (rng.uniform(-_SEMITONES, _SEMITONES) / 12)
        formants = _FORMANT_RATIO ** rng.uniform(-1, 1)
        samples_S = with_voice(samples_S, pitch=pitch, formants=formants)
    speed = 1.0
    if rng.random() < _CHANCE_SPEED:
        samples_S, speed = at_speed(samples_S, _SPEED_RATIO ** rng.uniform(-1, 1))
    if rng.random() < _CHANCE_ROOM:
        samples_S = in_room(samples_S, rng, t60_s=rng.uniform(*_T60_S), wet_db=rng.uniform(*_WET_DB))
    if rng.random() < _CHANCE_NOISE:
        samples_S = with_noise(samples_S, _noise(len(samples_S), rng, others), snr_db=rng.uniform(*_SNR_DB))
    if rng.random() < _CHANCE_COLOUR:
        samples_S = coloured(samples_S, rng)
    if rng.random() < _CHANCE_BAND:
        samples_S = over_telephone(samples_S) if rng.random() < 0.5 else low_passed(samples_S, 3800.0)
    return with_gain(samples_S, rng.uniform(*_GAIN_DB)), speed


def with_voice(samples_S: Float32, *, pitch: float = 1.0, formants: float = 1.0) -> Float32:
    """Move pitch and formants independently of each other, every sound at its time.

    Args:
        samples_S: (S,) float32.
        pitch: Factor on the fundamental frequency.
        formants: Factor on the resonances of the vocal tract.

    Returns:
        (S,) float32.

    Source: phase vocoder (Flanagan and Golden 1966) and resampling move both; multiplying the
        spectrum by the ratio of the warped to the present cepstral envelope then moves the formants alone.
    """
    if pitch != 1.0:
        samples_S = pitch_shift(
            samples_S,
            sr=SAMPLE_RATE_HZ,
            n_steps=12 * np.log2(pitch),
            n_fft=_FFT,
            hop_length=_HOP,
            res_type="soxr_qq",
        )
    warp = formants / pitch
    if warp == 1.0:
        return samples_S
    spectrum_KF = _spectrum(samples_S)
    envelope_KF = _log_envelope(spectrum_KF)
    wanted_KF = _stretched(envelope_KF, warp)
    limit = _MAX_CORRECTION_DB / 20 * np.log(10)
    spectrum_KF *= np.exp(np.clip(wanted_KF - envelope_KF, -limit, limit))
    return _samples(spectrum_KF, len(samples_S))


def whispered(samples_S: Float32, rng: np.random.Generator) -> Float32:
    """Breath in the place of the voice: noise with the envelope of each moment, tilted upwards.

    Args:
        samples_S: (S,) float32.
        rng: Source of chance.

    Returns:
        (S,) float32.

    Source: whispered speech lacks the glottal tone and its low frequencies (Ito et al. 2005, Analysis and
        recognition of whispered speech).
    """
    envelope_KF = np.exp(_log_envelope(_spectrum(samples_S)))
    breath_KF = _spectrum(rng.standard_normal(len(samples_S), np.float32))
    octave_K = np.log2(np.maximum(np.arange(len(envelope_KF)), 1) * SAMPLE_RATE_HZ / _FFT / 1000.0)
    tilt_K = 10 ** (np.clip(octave_K * _WHISPER_TILT_DB, -24, 6) / 20)
    breath_KF *= envelope_KF * tilt_K[:, None].astype(np.float32)
    breath_S = _samples(breath_KF, len(samples_S))
    level = loud_level(breath_S)
    return breath_S * np.float32(loud_level(samples_S) / level) if level > 0 else breath_S


def at_speed(samples_S: Float32, speed: float) -> tuple[Float32, float]:
    """Play faster or slower; pitch and formants move with it.

    Args:
        samples_S: (S,) float32.
        speed: Wanted factor; above 1 is faster.

    Returns:
        (ceil(S / speed),) float32; the factor truly used, the nearest 100 / n.
    """
    up = round(_NUM_SPEED_STEPS / speed)
    shared = gcd(up, _NUM_SPEED_STEPS)
    if up == _NUM_SPEED_STEPS:
        return samples_S, 1.0
    played_S = signal.resample_poly(samples_S, up // shared, _NUM_SPEED_STEPS // shared)
    return np.asarray(played_S, np.float32), _NUM_SPEED_STEPS / up


def coloured(samples_S: Float32, rng: np.random.Generator) -> Float32:
    """Another microphone: a spectral tilt of up to 4 dB per octave and three broad peaks or dips.

    Args:
        samples_S: (S,) float32.
        rng: Source of chance.

    Returns:
        (S,) float32, without delay.
    """
    hz_K = np.arange(_FFT // 2 + 1) * SAMPLE_RATE_HZ / _FFT
    octave_K = np.log2(hz_K + 100)
    gain_db_K = rng.uniform(-4, 4) * (octave_K - np.log2(1000.0))
    for centre_hz in np.exp(rng.uniform(np.log(200), np.log(6000), 3)):
        width = rng.uniform(0.3, 1.0)
        gain_db_K += rng.uniform(-9, 9) * np.exp(-(((octave_K - np.log2(centre_hz)) / width) ** 2))
    return _filtered(samples_S, 10 ** (np.clip(gain_db_K, -25, 25) / 20))


def in_room(samples_S: Float32, rng: np.random.Generator, *, t60_s: float, wet_db: float) -> Float32:
    """Add reverberation: exponentially decaying noise after the direct sound.

    Args:
        samples_S: (S,) float32.
        rng: Source of chance.
        t60_s: Time in which it decays by 60 dB.
        wet_db: Energy of the reverberation relative to the direct sound.

    Returns:
        (S,) float32; the direct sound is not delayed.

    Source: Polack's model of late reverberation, white Gaussian noise times exp(-6.9 t / T60).
    """
    first = round(0.003 * SAMPLE_RATE_HZ)
    age_s = np.arange(round(t60_s * SAMPLE_RATE_HZ)) / SAMPLE_RATE_HZ
    tail = rng.standard_normal(len(age_s), np.float32) * np.exp(-np.log(1000) * age_s / t60_s)
    tail[:first] = 0
    tail *= 10 ** (wet_db / 20) / np.sqrt(np.sum(tail**2))
    tail[0] = 1.0  # the direct sound
    return np.asarray(signal.oaconvolve(samples_S, tail.astype(np.float32))[: len(samples_S)], np.float32)


def over_telephone(samples_S: Float32) -> Float32:
    """300 to 3400 Hz, 8 bits of mu-law.

    Args:
        samples_S: (S,) float32.

    Returns:
        (S,) float32, without delay.

    Source: ITU-T G.711 (the continuous mu-law), G.712 (the band).
    """
    band = signal.butter(4, (300.0, 3400.0), "bandpass", fs=SAMPLE_RATE_HZ, output="sos")
    narrow_S = signal.sosfiltfilt(band, samples_S, padlen=0)
    peak = max(float(np.max(np.abs(narrow_S), initial=0.0)), 1e-6)
    coded_S = np.sign(narrow_S) * np.log1p(_MU * np.abs(narrow_S) / peak) / np.log1p(_MU)
    coded_S = np.round(coded_S * 127) / 127
    return np.asarray(np.sign(coded_S) * peak * np.expm1(np.abs(coded_S) * np.log1p(_MU)) / _MU, np.float32)


def low_passed(samples_S: Float32, cutoff_hz: float) -> Float32:
    """What a recording of a lower sample rate keeps.

    Args:
        samples_S: (S,) float32.
        cutoff_hz: Nothing above it is left.

    Returns:
        (S,) float32, without delay.
    """
    band = signal.butter(6, cutoff_hz, "lowpass", fs=SAMPLE_RATE_HZ, output="sos")
    return np.asarray(signal.sosfiltfilt(band, samples_S, padlen=0), np.float32)


def with_noise(samples_S: Float32, noise_S: Float32, *, snr_db: float) -> Float32:
    """Mix noise under the speech.

    Args:
        samples_S: (S,) float32.
        noise_S: (S,) float32.
        snr_db: Level of the louder half of the speech over that of the noise.

    Returns:
        (S,) float32.
    """
    level, noise_level = loud_level(samples_S), loud_level(noise_S)
    if noise_level == 0:
        return samples_S
    return samples_S + noise_S * np.float32(level / noise_level * 10 ** (-snr_db / 20))


def _noise(num_samples: int, rng: np.random.Generator, others: Sequence[Float32]) -> Float32:
    kind = rng.integers(3 if len(others) else 2)
    if kind == 2:
        return babble(num_samples, rng, others)
    return pink_noise(num_samples, rng) if kind else rng.standard_normal(num_samples, np.float32)


def pink_noise(num_samples: int, rng: np.random.Generator) -> Float32:
    """(S,) float32 noise that falls by 3 dB per octave from 50 Hz on."""
    hz_K = np.maximum(np.arange(_FFT // 2 + 1) * SAMPLE_RATE_HZ / _FFT, 50.0)
    return _filtered(rng.standard_normal(num_samples, np.float32), 1 / np.sqrt(hz_K))


def babble(num_samples: int, rng: np.random.Generator, others: Sequence[Float32]) -> Float32:
    """Several people talking at once.

    Args:
        num_samples: S.
        rng: Source of chance.
        others: Recordings at 16 kHz, at least one; three to six pieces of them are mixed, equally loud.

    Returns:
        (S,) float32.
    """
    mixed_S = np.zeros(num_samples, np.float32)
    for _ in range(rng.integers(3, 7)):
        voice_S = others[rng.integers(len(others))]
        level = loud_level(voice_S)
        if level > 0:
            start = int(rng.integers(len(voice_S)))
            mixed_S += np.take(voice_S, np.arange(start, start + num_samples), mode="wrap") / np.float32(
                level
            )
    return mixed_S


def with_gain(samples_S: Float32, gain_db: float) -> Float32:
    """Louder or softer, as far as full scale allows.

    Args:
        samples_S: (S,) float32.
        gain_db: Wanted gain.

    Returns:
        (S,) float32 in -1..1.
    """
    peak = float(np.max(np.abs(samples_S), initial=0.0))
    gain = 10 ** (gain_db / 20)
    return np.asarray(samples_S * (min(gain, 1 / peak) if peak > 0 else gain), np.float32)


def _spectrum(samples_S: Float32) -> Complex64:
    return np.asarray(librosa.stft(samples_S, n_fft=_FFT, hop_length=_HOP))


def _samples(spectrum_KF: Complex64, num_samples: int) -> Float32:
    return np.asarray(librosa.istft(spectrum_KF, hop_length=_HOP, n_fft=_FFT, length=num_samples))


def _log_envelope(spectrum_KF: Complex64) -> Float32:
    """(K, F) logarithm of the magnitude without the harmonics: the low part of its cepstrum."""
    cepstrum_QF = fft.irfft(np.log(np.abs(spectrum_KF) + 1e-7), axis=0)
    keep = round(_ENVELOPE_QUEFRENCY_S * SAMPLE_RATE_HZ)
    cepstrum_QF[keep + 1 : _FFT - keep] = 0
    return np.asarray(fft.rfft(cepstrum_QF, axis=0).real, np.float32)


def _stretched(envelope_KF: Float32, ratio: float) -> Float32:
    """(K, F): what was at frequency f is at f * ratio."""
    source_K = np.minimum(np.arange(len(envelope_KF)) / ratio, len(envelope_KF) - 1.001)
    left_K = source_K.astype(np.int64)
    weight_K1 = (source_K - left_K)[:, None].astype(np.float32)
    return np.asarray((1 - weight_K1) * envelope_KF[left_K] + weight_K1 * envelope_KF[left_K + 1], np.float32)


def _filtered(samples_S: Float32, gain_K: Float64) -> Float32:
    """Zero-phase filter of a given gain at each bin."""
    kernel = np.roll(np.fft.irfft(gain_K), _FFT // 2) * np.hanning(_FFT + 1)[:-1]
    return np.asarray(signal.oaconvolve(samples_S, kernel.astype(np.float32), mode="same"), np.float32)
