"""Self-adaptation: let the expression network listen to the target's own voice before it speaks for it.

Not part of the default plan. Source: method.md section 0, the trial in which it was the strongest lever
found.
"""

from __future__ import annotations

import copy

import numpy as np
import torch
from torch import nn

from dubber.models.expression import ExpressionNet, predict_steps
from dubber.ops import mfcc
from dubber.training.speech_data import Lesson, Lessons, TalkingClip, at_media_times, variants
from dubber.types import Bool, Float32

_HELD_OUT_SHARE = 0.2
_LENGTH, _WARM = 240, 60


def adapt(
    net: ExpressionNet,
    clip: TalkingClip,
    *,
    late_s: float = 0.0,
    steps: int = 150,
    learning_rate: float = 5e-4,
    batch_size: int = 12,
    seed: int = 0,
) -> tuple[ExpressionNet, bool]:
    """A copy of the network that has learned a clip's own mouth, if that helped on frames it did not see.

    The last fifth of the usable frames decides: the copy is kept only where its modes err less there than the
    original's (each at its own mean).

    Args:
        net: Stays as it is.
        clip: The target talking, at least some seconds.
        late_s: By how much the clip's sound comes after its picture.
        steps: Gradient steps.
        learning_rate: Of Adam.
        batch_size: Runs of features per step.
        seed: Of the draws.

    Returns:
        The better network in evaluation mode, and whether it is the adapted one.
    """
    usable = np.flatnonzero(clip.is_usable_T)
    if len(usable) < 100:
        return net, False
    split = usable[round(len(usable) * (1 - _HELD_OUT_SHARE))]
    is_taught_T = clip.is_usable_T & (np.arange(len(clip.is_usable_T)) < split)
    is_judged_T = clip.is_usable_T & ~is_taught_T
    modes_TZ = net.encode(clip.expression_TK)
    modes_TZ = modes_TZ - modes_TZ[is_taught_T].mean(axis=0)
    usual = float(np.sqrt(np.sum(net.mode_std_Z.cpu().numpy() ** 2)))
    modes_TZ *= usual / max(float(np.sqrt(np.sum(modes_TZ[is_taught_T] ** 2, axis=1).mean())), 1e-6)
    heard = variants(clip.samples_S, 3, seed)
    taught = TalkingClip(
        clip.name, clip.speaker, clip.samples_S, clip.times_s_T, clip.expression_TK, is_taught_T
    )
    lessons = Lessons(
        [Lesson(heard, modes_TZ, taught)],
        [late_s],
        delay_steps=net.num_future - 1,
        length=_LENGTH,
        warm_steps=_WARM,
    )
    learned = _taught(net, lessons, steps, learning_rate, batch_size, seed)
    before, after = (
        _error(one, heard[0].features, clip, modes_TZ, is_judged_T, late_s) for one in (net, learned)
    )
    return (learned, True) if after < before else (net, False)


def _taught(
    net: ExpressionNet, lessons: Lessons, steps: int, learning_rate: float, batch_size: int, seed: int
) -> ExpressionNet:
    torch.manual_seed(seed)
    learned = copy.deepcopy(net).train()
    rng = np.random.default_rng(seed)
    optimiser = torch.optim.AdamW(learned.parameters(), lr=learning_rate, weight_decay=1e-3)
    for _ in range(steps):
        features, wanted, weight = (torch.from_numpy(array) for array in lessons.draw(batch_size, rng, 0.1))
        error = (((learned.steps(features) - wanted) ** 2).sum(dim=-1) * weight).sum() / weight.sum().clamp(
            min=1
        )
        optimiser.zero_grad()
        (error / (learned.mode_std_Z**2).sum()).backward()  # type: ignore[no-untyped-call]
        nn.utils.clip_grad_norm_(learned.parameters(), 1.0)
        optimiser.step()
    return learned.eval()


def _error(
    net: ExpressionNet,
    found: mfcc.Features,
    clip: TalkingClip,
    modes_TZ: Float32,
    is_judged_T: Bool,
    late_s: float,
) -> float:
    """Mean squared error of the modes on the judged frames, each curve at its own mean."""
    said_FZ = predict_steps(net, found.steps_FC, found.silence_C, torch.device("cpu"))
    media_s_F = np.arange(len(said_FZ)) / mfcc.RATE_HZ - late_s
    seen_FZ, is_known_F = at_media_times(media_s_F, clip.times_s_T, modes_TZ, is_judged_T)
    if not is_known_F.any():
        return float("inf")
    gap_FZ = (said_FZ - seen_FZ)[is_known_F]
    return float(np.mean(np.sum((gap_FZ - gap_FZ.mean(axis=0)) ** 2, axis=1)))
