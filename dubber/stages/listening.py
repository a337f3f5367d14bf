"""What translate hears: the network's answers over time, and what the target's own speech teaches.

Index letters: S samples, F steps of 10 ms, N output frames, T frames of the target, Z modes, X any values.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from dubber.types import Bool, FaceCoeffs, FaceTrack, Float32, Float64, Samples, Speech

if TYPE_CHECKING:
    import torch

    from dubber.models.expression import ExpressionNet, TargetRange
    from dubber.models.self_adaptation import OwnAnswer

RATE_HZ = 100
"""Steps of the network per second."""

_LEAST_AGREEMENT = 0.3
"""Correlation of heard and seen mouth opening below which the target's sound says nothing about its delay."""

_MAX_OWN_S = 300.0
"""Own speech beyond this is not learned from."""


@dataclass(frozen=True)
class Target:
    """Whose mouth it is: what was fitted, on which frames, when, and what the person said in the video."""

    coeffs: FaceCoeffs
    track: FaceTrack
    times_s_T: Float64
    own_speech: Speech


def predicted(
    net: ExpressionNet,
    samples_S: Samples,
    reach: TargetRange,
    device: torch.device,
    own_answer: OwnAnswer | None = None,
) -> Float32:
    """Deviations from the target's mean at every step of 10 ms.

    Args:
        net: The network.
        samples_S: (S,) speech, mono 16 kHz.
        reach: The target's range.
        device: Where the network runs.
        own_answer: What was learned from the target itself.

    Returns:
        (F, Z) float32 in the target's range.
    """
    from dubber.models.expression import listen
    from dubber.ops import mfcc

    heard = mfcc.normalised(mfcc.features(samples_S))
    deviation_FZ = np.zeros((len(heard.steps_FC), len(reach.scale_Z)), np.float32)
    first = 0
    for modes_fZ, hidden_fH in listen(net, heard.steps_FC, heard.silence_C, device):
        deviation_fZ = modes_fZ * reach.scale_Z
        last = first + len(deviation_fZ)
        deviation_FZ[first:last] = own_answer(deviation_fZ, hidden_fH) if own_answer else deviation_fZ
        first = last
    return deviation_FZ


def learned_answer(
    net: ExpressionNet, target: Target, reach: TargetRange, width_steps: float, device: torch.device
) -> OwnAnswer | None:
    """What the target's own speech teaches about its mouth, if it has any and it holds."""
    from dubber.media.audio import open_speech
    from dubber.models.expression import listen
    from dubber.models.self_adaptation import fit_own_answer
    from dubber.ops import mfcc

    with open_speech(target.own_speech) as own:
        samples_S = own[: round(_MAX_OWN_S * target.own_speech.sample_rate_hz)]
    if not samples_S.any():
        return None
    heard = mfcc.normalised(mfcc.features(samples_S))
    heard_F = _gathered(listen(net, heard.steps_FC, heard.silence_C, device), len(heard.steps_FC))
    modes_FZ, hidden_FH = (smoothed(values_FX, width_steps) for values_FX in heard_F)
    modes_FZ = modes_FZ * reach.scale_Z
    wanted_TZ = net.encode(target.coeffs.expression_TK) - reach.mean_Z
    delay_s = _delay_s(modes_FZ, wanted_TZ, target)
    steps_T = (target.times_s_T + delay_s) * RATE_HZ
    is_heard_T = target.track.is_usable_T & (steps_T >= 0) & (steps_T <= len(modes_FZ) - 1)
    steps_T = steps_T[is_heard_T]
    return fit_own_answer(
        at_steps(hidden_FH, steps_T),
        at_steps(modes_FZ, steps_T),
        wanted_TZ[is_heard_T],
        target.times_s_T[is_heard_T],
    )


def _gathered(chunks: Iterable[tuple[Float32, Float32]], num_steps: int) -> Iterator[Float32]:
    """The chunks' first and second arrays, each as one; at no time is there more than these."""
    whole: list[Float32] = []
    first = 0
    for chunk in chunks:
        whole = whole or [np.empty((num_steps, values.shape[1]), np.float32) for values in chunk]
        for array, values in zip(whole, chunk, strict=True):
            array[first : first + len(values)] = values
        first += len(chunk[0])
    while whole:
        yield whole.pop(0)


def _delay_s(modes_FZ: Float32, wanted_TZ: Float32, target: Target) -> float:
    """By how much the target's sound comes after its picture; 0 where they hardly agree."""
    from dubber.ops.sync import at_media_times, sound_delay

    step_s_F = np.arange(len(modes_FZ)) / RATE_HZ
    seen_FZ, is_known_F = at_media_times(step_s_F, target.times_s_T, wanted_TZ, target.track.is_usable_T)
    # The first mode is the largest motion of the mouth: its opening.
    _, delay_s = sound_delay(
        modes_FZ[:, 0], seen_FZ[:, 0], is_known_F, RATE_HZ, least_agreement=_LEAST_AGREEMENT
    )
    return delay_s


def at_steps(values_FX: Float32, steps_N: Float64) -> Float32:
    """(N, X) values between steps, linearly."""
    every_F = np.arange(len(values_FX))
    return np.stack([np.interp(steps_N, every_F, column) for column in values_FX.T], axis=1).astype(
        np.float32
    )


def smoothed(modes_FZ: Float32, width_steps: float) -> Float32:
    """Symmetric smoothing in time (no lag).

    Args:
        modes_FZ: (F, Z).
        width_steps: Full width of a Hann window at half its height; below one step nothing is done.

    Returns:
        (F, Z).
    """
    from scipy.ndimage import convolve1d

    reach = round(width_steps)
    if reach < 1:
        return modes_FZ
    weights = np.hanning(2 * reach + 1)[1:-1]
    return np.asarray(convolve1d(modes_FZ, weights / weights.sum(), axis=0, mode="nearest"), np.float32)


def centred(modes_FZ: Float32, is_voiced_F: Bool) -> Float32:
    """Take out the mean over the spoken part: the target's own mean comes in its place.

    Args:
        modes_FZ: (F, Z).
        is_voiced_F: (F or F - 1,) spoken steps; a short speech says little about its mean, and less is
            taken out.

    Returns:
        (F, Z).
    """
    spoken_FZ = modes_FZ[: len(is_voiced_F)][is_voiced_F[: len(modes_FZ)]]
    if not len(spoken_FZ):
        return modes_FZ
    trust = len(spoken_FZ) / (len(spoken_FZ) + 200.0)
    return np.asarray(modes_FZ - trust * spoken_FZ.mean(axis=0), np.float32)
