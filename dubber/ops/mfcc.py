"""What the mouth hears: 28 features at 100 Hz, whatever the video's frame rate (method.md section 4).

Index letters: S samples, F feature steps, C = 28 features.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from dubber.types import Bool, Float32, Float64, Samples

SAMPLE_RATE_HZ = 16000
RATE_HZ = 100
"""Steps per second: a hop of 10 ms."""

NUM_MFCC = 13
NUM_FEATURES = 28
"""13 MFCC and log energy, and their first differences. Source: method.md section 4."""

_HOP = SAMPLE_RATE_HZ // RATE_HZ
_FRAME = SAMPLE_RATE_HZ * 25 // 1000
_FFT = 512
_NUM_MELS = 40
_LOWEST_HZ, _HIGHEST_HZ = 60.0, 7600.0
_PRE_EMPHASIS = 0.97
_LOUD_RMS = 0.05
"""The loud half of any speech is brought to this level (-26 dB full scale) before its features are taken,
so that the recording's gain does not matter and the floor below means the same for everyone."""
_MEL_FLOOR = 1e-4
"""Power added to each mel band, about 55 dB below loud speech: room noise and digital silence look alike."""
_CHUNK_STEPS = 6000


@dataclass(frozen=True)
class Features:
    """Features of a recording.

    Attributes:
        steps_FC: (F, 28) float32, step f is centred on f / 100 s.
        silence_C: (28,) float32, the features of digital silence; what lies outside the recording.
    """

    steps_FC: Float32
    silence_C: Float32


def loud_level(samples_S: Samples) -> float:
    """Root mean square of the louder half of the hops that are not digital silence.

    Args:
        samples_S: (S,) in -1..1, 16 kHz.

    Returns:
        Level in 0..1; 0 for digital silence.
    """
    power_F = hop_power(samples_S)[: len(samples_S) // _HOP]
    power_F = power_F[power_F > 1e-10]
    if not len(power_F):
        return 0.0
    return float(np.sqrt(np.mean(power_F[power_F >= np.median(power_F)])))


def hop_power(samples_S: Samples) -> Float64:
    """Mean square of every 10 ms.

    Args:
        samples_S: (S,) in -1..1, 16 kHz.

    Returns:
        (F,), F = ceil(S / 160); silence follows the last sample.
    """
    num_steps = -(-len(samples_S) // _HOP)
    power_F = np.zeros(num_steps)
    for first in range(0, num_steps, _CHUNK_STEPS):
        last = min(first + _CHUNK_STEPS, num_steps)
        hops_FS = _cut(samples_S, first * _HOP, last * _HOP).reshape(-1, _HOP)
        power_F[first:last] = np.mean(hops_FS.astype(np.float64) ** 2, axis=1)
    return power_F


def _cut(samples_S: Samples, low: int, high: int) -> Float32:
    """(high - low,) samples low..high - 1, with silence before the first sample and after the last."""
    piece_S = samples_S[max(low, 0) : max(high, 0)]
    return np.pad(piece_S, (max(-low, 0), high - max(low, 0) - len(piece_S)))


def _mel_filters() -> Float32:
    """(40, 257) weights of the spectrum's lines in each band: triangles that meet in their peaks.

    Source: Slaney, Auditory Toolbox (1998): the mel scale is linear up to 1 kHz and logarithmic above.
    """
    linear_hz, knee_hz, log_step = 200 / 3, 1000.0, np.log(6.4) / 27
    knee_mel = knee_hz / linear_hz

    def mel(hz: float) -> float:
        return knee_mel + np.log(hz / knee_hz) / log_step if hz >= knee_hz else hz / linear_hz

    mels_M = np.linspace(mel(_LOWEST_HZ), mel(_HIGHEST_HZ), _NUM_MELS + 2)
    peaks_M = np.where(
        mels_M >= knee_mel, knee_hz * np.exp(log_step * (mels_M - knee_mel)), linear_hz * mels_M
    )
    away_MK = peaks_M[:, None] - np.fft.rfftfreq(_FFT, 1 / SAMPLE_RATE_HZ)
    width_M = np.diff(peaks_M)[:, None]
    rising_MK, falling_MK = -away_MK[:-2] / width_M[:-1], away_MK[2:] / width_M[1:]
    return np.asarray(np.maximum(0, np.minimum(rising_MK, falling_MK)), np.float32)


def _static_features(samples_S: Float32, mel_MK: Float32) -> Float32:
    """(F, 14) MFCC and log energy of the frames that fit into the samples."""
    from scipy.fft import dct

    frames_FS = np.lib.stride_tricks.sliding_window_view(samples_S, _FRAME + 1)[::_HOP]
    now_FS, before_FS = frames_FS[:, 1:], frames_FS[:, :-1]
    spectrum_FK = np.fft.rfft((now_FS - _PRE_EMPHASIS * before_FS) * np.hanning(_FRAME), _FFT)
    power_FK = (np.abs(spectrum_FK) ** 2).astype(np.float32)
    log_mel_MF = np.log(mel_MK @ power_FK.T + _MEL_FLOOR)
    mfcc_FC = dct(log_mel_MF, axis=0, norm="ortho")[:NUM_MFCC].T
    energy_F = np.log1p(np.mean((now_FS * 32768.0) ** 2, axis=1))
    return np.asarray(np.concatenate([mfcc_FC, energy_F[:, None]], axis=1), np.float32)


def features(samples_S: Samples) -> Features:
    """The 28 features of a recording, in chunks, so that long recordings need little memory.

    Args:
        samples_S: (S,) float32 in -1..1, mono, 16 kHz, S >= 1.

    Returns:
        ceil(S / 160) + 1 steps.

    Source: method.md section 4: 16 kHz, pre-emphasis 0.97, 25 ms windows every 10 ms, 13 MFCC, log energy
        ln(1 + mean square) on the int16 scale, first differences.
    """
    mel_MK = _mel_filters()
    level = loud_level(samples_S)
    gain = np.float32(_LOUD_RMS / level if level > 0 else 1.0)
    num_steps = -(-len(samples_S) // _HOP) + 1
    margin = _FRAME // 2 + 1  # step 0 is centred on sample 0; one sample more for the pre-emphasis
    steps_FC = np.zeros((num_steps, NUM_FEATURES), np.float32)
    static_FC, delta_FC = np.hsplit(steps_FC, 2)
    for first in range(0, num_steps, _CHUNK_STEPS):
        last = min(first + _CHUNK_STEPS, num_steps)
        low, high = first * _HOP - margin, (last - 1) * _HOP + _FRAME // 2
        static_FC[first:last] = _static_features(_cut(samples_S, low, high) * gain, mel_MK)
    np.subtract(static_FC[1:], static_FC[:-1], out=delta_FC[1:])
    silent_C = _static_features(np.zeros(_FRAME + 1, np.float32), mel_MK)[0]
    return Features(steps_FC, np.concatenate([silent_C, np.zeros_like(silent_C)]))


def normalised(found: Features, is_speech_F: Bool | None = None) -> Features:
    """Remove the recording's own mean and variance: much of the voice and all of the channel go with them.

    Args:
        found: Features.
        is_speech_F: (F,) bool, steps that count for the statistics; all when None or when fewer than 20
            count.

    Returns:
        Features of zero mean and unit variance over the counted steps.
    """
    steps_FC = found.steps_FC
    counted_FC = steps_FC if is_speech_F is None or is_speech_F.sum() < 20 else steps_FC[is_speech_F]
    exact_C = counted_FC.mean(axis=0, dtype=np.float64)
    chunks = range(0, len(counted_FC), _CHUNK_STEPS)
    square_C = sum(
        ((counted_FC[first : first + _CHUNK_STEPS] - exact_C) ** 2).sum(axis=0) for first in chunks
    )
    mean_C = exact_C.astype(np.float32)
    std_C = np.maximum(np.sqrt(square_C / len(counted_FC)), 1e-3).astype(np.float32)
    normal_FC = steps_FC - mean_C
    normal_FC /= std_C
    return Features(normal_FC, (found.silence_C - mean_C) / std_C)
