"""The encoder learns sounds whose names are known, and steps without a known sound teach nothing."""

from __future__ import annotations

from ctypes.util import find_library

import numpy as np
import pytest
import torch

from dubber.models.speech_net import SpeechEncoder
from dubber.ops import mfcc
from dubber.training.phone_pretraining import PhoneRecording, PhoneTask, phone_recordings
from dubber.training.phones import TARGETS, UNKNOWN, PhoneClass

CPU = torch.device("cpu")
KINDS = (int(PhoneClass.SILENCE), int(PhoneClass.BILABIAL), int(PhoneClass.OPEN))


def sounds(seed: int, num_steps: int = 2000) -> PhoneRecording:
    """Three sounds of 0.1 s or so, each with features of its own, in some noise."""
    rng = np.random.default_rng(seed)
    which = np.repeat(rng.integers(len(KINDS), size=num_steps // 10), 10)
    means = 2 * np.random.default_rng(0).standard_normal((len(KINDS), mfcc.NUM_FEATURES))
    steps = means[which] + rng.standard_normal((num_steps, mfcc.NUM_FEATURES))
    targets = np.eye(len(TARGETS))[which % len(TARGETS)]
    features = mfcc.Features(steps.astype(np.float32), means[0].astype(np.float32))
    return PhoneRecording(features, np.array(KINDS, np.uint8)[which], targets.astype(np.float32))


def task_of(recordings: list[PhoneRecording], encoder: SpeechEncoder | None = None) -> PhoneTask:
    torch.manual_seed(0)
    zeros = np.zeros(mfcc.NUM_FEATURES, np.float32)
    return PhoneTask(
        encoder or SpeechEncoder(mfcc.NUM_FEATURES, width=16), recordings, zeros, zeros + 1, length=50
    )


def taught(task: PhoneTask, iterations: int, size: int = 8) -> PhoneTask:
    optimiser = torch.optim.AdamW(task.parameters(), 5e-3)
    rng = np.random.default_rng(0)
    task.train()
    for _ in range(iterations):
        loss = task.loss(size, rng, 0.05, CPU)
        optimiser.zero_grad()
        loss.backward()
        optimiser.step()
    return task.eval()


def test_sounds_are_named_and_shape_the_mouth() -> None:
    task = task_of([sounds(1), sounds(2)])
    before = task.eval().accuracy(0, CPU)
    unheard = task_of([sounds(9)], taught(task, 40).encoder).eval()
    unheard.classes, unheard.targets = task.classes, task.targets
    assert before < 0.6 < 0.8 < unheard.accuracy(0, CPU)
    features, _, targets = unheard.draw(4, np.random.default_rng(0), 0.0)
    with torch.inference_mode():
        found = unheard(torch.from_numpy(features))[1].numpy()
    assert np.corrcoef(found[..., 1].ravel(), targets[..., 1].ravel())[0, 1] > 0.7


def test_silence_alone_earns_nothing() -> None:
    recording = sounds(1)
    silent = PhoneRecording(
        recording.features, np.zeros_like(recording.class_F) + KINDS[0], recording.targets_FA
    )
    task = taught(task_of([silent]), 10)
    assert task.accuracy(0, CPU) == 0.0


def test_what_is_drawn_belongs_together() -> None:
    """Each step's number is its feature, and its class the number's remainder."""
    steps = np.arange(120, dtype=np.float32)
    features = mfcc.Features(
        np.tile(steps[:, None], (1, mfcc.NUM_FEATURES)), np.zeros(mfcc.NUM_FEATURES, np.float32)
    )
    targets = np.tile(steps[:, None], (1, len(TARGETS)))
    task = task_of([PhoneRecording(features, (steps % 3).astype(np.uint8), targets)])
    drawn, classes, wanted = task.draw(6, np.random.default_rng(0), 0.0)
    reach = task.encoder.reach
    assert drawn.shape == (6, 50 + 2 * reach, mfcc.NUM_FEATURES)
    np.testing.assert_array_equal(drawn[:, reach:-reach, 0], wanted[..., 0])
    np.testing.assert_array_equal(classes, wanted[..., 0] % 3)


@pytest.mark.parametrize("num_steps", [1, 30, 50])
def test_recordings_shorter_than_a_run_end_in_silence(num_steps: int) -> None:
    recording = sounds(1, 50)
    short = PhoneRecording(
        mfcc.Features(recording.features.steps_FC[:num_steps], recording.features.silence_C),
        recording.class_F[:num_steps],
        recording.targets_FA[:num_steps],
    )
    task = task_of([short])
    drawn, classes, _ = task.draw(2, np.random.default_rng(0), 0.0)
    assert classes.shape == (2, 50)
    np.testing.assert_array_equal(drawn[0, -1], recording.features.silence_C)
    assert torch.isfinite(task.loss(2, np.random.default_rng(0), 0.1, CPU))


def test_steps_without_a_known_sound_teach_nothing() -> None:
    recording = sounds(1)
    hidden = np.arange(len(recording.class_F)) % 4 == 0
    classes = np.where(hidden, UNKNOWN, recording.class_F).astype(np.uint8)
    losses = []
    for nonsense in (0.0, np.nan):
        targets = recording.targets_FA.copy()
        targets[hidden] = nonsense
        task = task_of([PhoneRecording(recording.features, classes, targets)]).eval()
        losses.append(float(task.loss(4, np.random.default_rng(0), 0.0, CPU).detach()))
        assert 0 <= task.accuracy(0, CPU) <= 1
    assert losses[0] == pytest.approx(losses[1])


@pytest.mark.skipif(find_library("espeak-ng") is None, reason="espeak-ng is not installed")
def test_synthetic_speech_is_named_better_than_by_chance() -> None:
    recordings = phone_recordings(60.0, seed=1)
    for recording in recordings:
        assert len(recording.features.steps_FC) == len(recording.class_F) == len(recording.targets_FA)
    steps_FC = np.concatenate([recording.features.steps_FC for recording in recordings])
    mean_C, std_C = steps_FC.mean(axis=0), steps_FC.std(axis=0)
    torch.manual_seed(0)
    task = taught(
        PhoneTask(SpeechEncoder(mfcc.NUM_FEATURES, width=32), recordings, mean_C, std_C), 60, size=16
    )
    unheard = PhoneTask(task.encoder, phone_recordings(20.0, seed=2), mean_C, std_C)
    unheard.classes, unheard.targets = task.classes, task.targets
    classes = np.concatenate([recording.class_F for recording in recordings])
    shares = np.bincount(classes[(classes != KINDS[0]) & (classes != UNKNOWN)])
    commonest = shares.max() / shares.sum()
    assert unheard.eval().accuracy(0, CPU) > commonest + 0.1
