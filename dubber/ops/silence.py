"""When somebody speaks: flags for re-timing, and a gate that closes the mouth.

Source: method.md section 1, A(i).

Index letters: S samples, F steps of 10 ms, N output frames.
"""

from __future__ import annotations

import numpy as np
from scipy import ndimage
from skimage.filters import apply_hysteresis_threshold

from dubber.ops.mfcc import RATE_HZ as RATE_HZ
from dubber.ops.mfcc import hop_power
from dubber.types import Bool, Float32, Float64, Samples

_SILENT_DB = -100.0
_QUIETEST_SPEECH_DB = -60.0
"""Recordings whose loudest parts stay below this full-scale level hold no speech."""
_DEEPEST_DB, _SHALLOWEST_DB = 30.0, 10.0
"""Speech is sought at most, and at least, this far below the recording's loud parts."""
_SHARE_OF_RANGE = 0.6
_PROBABLE = (0.35, 0.5)
"""Speech begins above the higher probability and ends below the lower one. Source: Silero VAD's defaults."""
_REACH, _BLUNT = 12, 8
"""Steps by which a run of probable speech may begin or end beside the speech; by which it is so in noise."""
_LEAST_BACKGROUND = 20
"""Steps far from speech from which the background's level is taken; else from the quietest of all."""
_OVER_BACKGROUND_DB, _LEAST_CONTRAST_DB = 6.0, 16.0
"""A step of speech is louder than the background by the first; a run whose loud parts stand out by less than
the second has no edges that its level could show."""


def level_db(samples_S: Samples) -> Float64:
    """Loudness over 30 ms, every 10 ms.

    Args:
        samples_S: (S,) in -1..1, 16 kHz.

    Returns:
        (F,) dB relative to full scale, F = ceil(S / 160); at least -100.
    """
    smooth_F = ndimage.uniform_filter1d(hop_power(samples_S), 3, mode="nearest")
    return np.asarray(10 * np.log10(np.maximum(smooth_F, 10 ** (_SILENT_DB / 10))))


def speech_threshold_db(level_db_F: Float64) -> float:
    """The level above which somebody speaks, from the recording's own loud and quiet parts.

    Args:
        level_db_F: (F,) dB.

    Returns:
        dB; infinite when the recording is silent throughout.

    Source: method.md section 1 asks for a threshold on volume; taking it from the recording makes it
        independent of gain. 0.6 of the range between noise (5th percentile) and loud speech (95th), within
        10..30 dB.
    """
    loud, quiet = np.percentile(level_db_F, [95, 5]) if len(level_db_F) else (_SILENT_DB, _SILENT_DB)
    loud = max(float(loud), float(np.max(level_db_F, initial=_SILENT_DB)) - 15.0)
    if loud < _QUIETEST_SPEECH_DB:
        return float("inf")
    return loud - float(np.clip(_SHARE_OF_RANGE * (loud - float(quiet)), _SHALLOWEST_DB, _DEEPEST_DB))


def fill_runs(is_on_F: Bool, *, value: bool, shorter_than: int, is_edge_kept: bool = True) -> Bool:
    """Turn runs of `value` that are shorter than a length into the opposite.

    Args:
        is_on_F: (F,) bool.
        value: Which runs.
        shorter_than: Length in steps below which a run goes.
        is_edge_kept: Leave runs that touch the start or the end.

    Returns:
        (F,) bool.
    """
    edges = np.flatnonzero(np.diff(np.concatenate([[not value], is_on_F, [not value]]).astype(np.int8)))
    out_F = is_on_F.copy()
    for start, stop in zip(edges[::2], edges[1::2], strict=True):
        is_edge = start == 0 or stop == len(is_on_F)
        if stop - start < shorter_than and not (is_edge and is_edge_kept):
            out_F[start:stop] = not value
    return out_F


def is_voiced(level_db_F: Float64, probability_F: Float32 | None = None) -> Bool:
    """Steps in which somebody speaks; bursts under 40 ms and holes under 120 ms do not count.

    Args:
        level_db_F: (F,) dB from `level_db`.
        probability_F: (F,) 0..1 that somebody speaks, from a detector of voices; None: whatever is loud is
            speech.

    Returns:
        (F,) bool.

    Source: method.md section 4, silence.
    """
    threshold_db = speech_threshold_db(level_db_F)
    if probability_F is None or np.isinf(threshold_db):
        is_on_F = level_db_F > threshold_db
    else:
        is_on_F = _sharpened(_is_probable(probability_F), level_db_F)
    is_on_F = fill_runs(is_on_F, value=False, shorter_than=12)
    return fill_runs(is_on_F, value=True, shorter_than=4, is_edge_kept=False)


def _is_probable(probability_F: Float32) -> Bool:
    """Hysteresis: runs above the lower threshold that reach the higher one, and are no mere click."""
    is_on_F = apply_hysteresis_threshold(probability_F, *_PROBABLE)
    is_on_F = fill_runs(is_on_F, value=False, shorter_than=10)
    return fill_runs(is_on_F, value=True, shorter_than=10, is_edge_kept=False)


def _sharpened(is_probable_F: Bool, level_db_F: Float64) -> Bool:
    """Edges that a detector smears, put where the level rises and falls.

    Args:
        is_probable_F: (F,) bool.
        level_db_F: (F,) dB.

    Returns:
        (F,) bool: in and around each run of probable speech, the steps that stand out of the background and
        are not far below the run's loud parts; the run, a little shorter, where it hardly stands out.
    """
    near_F = ndimage.binary_dilation(is_probable_F, iterations=_REACH)
    is_heard_alone = np.sum(~near_F) >= _LEAST_BACKGROUND
    quiet = float(np.median(level_db_F[~near_F]) if is_heard_alone else np.percentile(level_db_F, 5))
    core_F = ndimage.binary_erosion(is_probable_F, iterations=_BLUNT, border_value=1)
    out_F = np.zeros_like(is_probable_F)
    runs, _ = ndimage.label(is_probable_F)
    for (run,) in ndimage.find_objects(runs):
        reach = slice(max(run.start - _REACH, 0), run.stop + _REACH)
        loud = float(np.percentile(level_db_F[run], 95))
        if loud - quiet < _LEAST_CONTRAST_DB:
            out_F[run] = core_F[run] if core_F[run].any() else True
        else:
            out_F[reach] |= level_db_F[reach] > max(loud - _DEEPEST_DB, quiet + _OVER_BACKGROUND_DB)
    return out_F


def utterances(is_voiced_F: Bool, edges_s: Float64, *, min_gap_s: float = 0.5) -> Bool:
    """A(i): whether somebody speaks during each output frame; gaps in an utterance are part of it.

    Args:
        is_voiced_F: (F,) bool at 100 Hz.
        edges_s: (N + 1,) seconds; frame i lasts from edges_s[i] to edges_s[i + 1].
        min_gap_s: Silence shorter than this is part of the utterance around it.

    Returns:
        (N,) bool.

    Source: method.md section 1: silent runs shorter than 0.5 s become speech, then a closing.
    """
    filled_F = fill_runs(is_voiced_F, value=False, shorter_than=round(min_gap_s * RATE_HZ))
    count_F = np.concatenate([[0], np.cumsum(filled_F)])
    step = np.clip(np.round(np.asarray(edges_s) * RATE_HZ).astype(np.int64), 0, len(filled_F))
    spoken_N = count_F[step[1:]] - count_F[step[:-1]]
    return np.asarray(2 * spoken_N > np.maximum(np.diff(step), 0)) & (np.diff(step) > 0)


def gate(is_voiced_F: Bool, times_s_N: Float64, *, ramp_s: float = 0.08, min_gap_s: float = 0.5) -> Float32:
    """How open the mouth may be: 1 in speech, 0 in silence, with ramps that lie outside the speech.

    Args:
        is_voiced_F: (F,) bool at 100 Hz.
        times_s_N: (N,) seconds.
        ramp_s: Length of the ramp before and after speech.
        min_gap_s: Shorter silences leave the gate open: the model closes the mouth itself.

    Returns:
        (N,) float32 in 0..1.
    """
    if not len(is_voiced_F):
        return np.zeros(len(times_s_N), np.float32)
    ramp = max(round(ramp_s * RATE_HZ), 1)
    is_on_F = np.pad(fill_runs(is_voiced_F, value=False, shorter_than=round(min_gap_s * RATE_HZ)), 2 * ramp)
    # Half a ramp wider than the speech, then smoothed over a ramp: 1 at its border, 0 a ramp away.
    wide_F = ndimage.maximum_filter1d(is_on_F.astype(np.float64), 2 * (ramp // 2) + 1)
    weights = np.hanning(2 * (ramp // 2) + 3)[1:-1]
    smooth_F = ndimage.convolve1d(wide_F, weights / weights.sum(), mode="nearest")
    # A step covers 10 ms and is centred at 5 ms.
    position_N = np.asarray(times_s_N) * RATE_HZ - 0.5 + 2 * ramp
    return np.interp(position_N, np.arange(len(smooth_F)), smooth_F).astype(np.float32)
