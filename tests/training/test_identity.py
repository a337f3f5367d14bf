"""Voices are told apart before the remover and not after it, and what they say stays."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import pytest
import torch

from dubber.engine.progress import SilentProgress
from dubber.models.expression import ExpressionNet
from dubber.ops import mfcc
from dubber.training.identity import (
    WINDOW_STEPS,
    IdentityTask,
    SpeakerWindows,
    accuracy,
    classifier_inputs,
    ignorance,
    train_classifier,
)
from dubber.training.loop import Loop, Optimisation
from dubber.training.speech_data import Heard, Lesson, TalkingClip

CPU = torch.device("cpu")
BEFORE = 60
VOICE_C = 0.6 * np.array([1.0, -1.0, 1.0, -1.0])
VOICES = {"low": VOICE_C, "high": -VOICE_C}


def lesson(speaker: str, steps_FC: np.ndarray, said: np.ndarray | None = None, name: str = "") -> Lesson:
    """A clip that is heard as given."""
    times_s, num_samples = np.arange(len(steps_FC)) / 100, 160 * len(steps_FC)
    modes = np.zeros((len(steps_FC), 1), np.float32) if said is None else said.astype(np.float32)
    is_usable = np.ones(len(steps_FC), np.bool_)
    clip = TalkingClip(name, speaker, np.zeros(num_samples, np.float32), times_s, modes, is_usable)
    features = mfcc.Features(steps_FC.astype(np.float32), np.zeros(steps_FC.shape[1], np.float32))
    return Lesson([Heard(features, times_s)], modes, clip)


def talk(speaker: str, seed: int, seconds: float = 60.0) -> Lesson:
    """Someone says four slow curves, with the voice's own offset on each."""
    rng = np.random.default_rng(seed)
    noise = rng.standard_normal((round(100 * seconds) + 30, 4))
    said = np.stack([np.convolve(column, np.hanning(31) / 3.3, mode="valid") for column in noise.T], axis=1)
    return lesson(speaker, said + VOICES[speaker] + 0.1 * rng.standard_normal(said.shape), said)


@dataclass(frozen=True)
class Course:
    net: ExpressionNet
    before: float
    after: float


@pytest.fixture(scope="module")
def course(tmp_path_factory: pytest.TempPathFactory) -> Course:
    """The remover before a growing bench of judges, and a fresh probe of what it gives."""
    loop = Loop(tmp_path_factory.mktemp("identity"), CPU, SilentProgress(), "test")
    windows = SpeakerWindows([talk(speaker, seed) for seed, speaker in enumerate(VOICES)], BEFORE)
    torch.manual_seed(0)
    net = ExpressionNet("conv", len(VOICE_C), 2, 2, num_bases=4, width=8)

    def classifier(name: str, seed: int, *, is_clean: bool) -> tuple[torch.nn.Module, float]:
        made = train_classifier(loop, name, net, windows, is_clean=is_clean, iterations=25, seed=seed)
        return made, accuracy(made, net, windows, CPU, is_clean=is_clean, num_batches=2)

    judge, before = classifier("first", 0, is_clean=False)
    judges, after = [judge], before
    for index in range(3):
        task = IdentityTask(net, judges, windows, keep=0.02)
        how = Optimisation(50, 1e-2)
        loop.train(f"remover{index}", task, lambda rng, task=task: task.loss(rng, CPU), how, index)
        judge, after = classifier(f"judge{index}", 1 + index, is_clean=True)
        judges.append(judge)
    return Course(net, before, after)


@pytest.mark.slow
def test_a_fresh_probe_knows_the_voices_before_and_not_after(course: Course) -> None:
    assert course.before > 0.95
    assert course.after == pytest.approx(0.5, abs=0.2)


def test_what_was_said_is_still_there(course: Course) -> None:
    """A linear reading of the cleaned features, fitted to one voice, follows the other."""

    def read(speaker: str, seed: int) -> tuple[np.ndarray, np.ndarray]:
        made = talk(speaker, seed)
        with torch.inference_mode():
            clean = course.net.cleaned(torch.from_numpy(made.heard[0].features.steps_FC)[None])[0].numpy()
        return np.concatenate([clean, np.ones((len(clean), 1))], axis=1)[BEFORE:], made.modes_TZ[BEFORE:]

    heard, said = read("low", 20)
    other, wanted = read("high", 21)
    answer = other @ np.linalg.lstsq(heard, said, rcond=None)[0]
    for found, truth in zip(answer.T, wanted.T, strict=True):
        assert np.corrcoef(found, truth)[0, 1] > 0.8


def test_only_the_remover_learns() -> None:
    windows = SpeakerWindows([talk(speaker, seed, 10.0) for seed, speaker in enumerate(VOICES)], BEFORE)
    net = ExpressionNet("conv", len(VOICE_C), 2, 2, num_bases=4, width=8)
    judge = torch.nn.Sequential(torch.nn.Flatten(), torch.nn.Linear(WINDOW_STEPS * 4, 2))
    task = IdentityTask(net, [judge], windows, keep=0.02)
    task.loss(np.random.default_rng(0), CPU).backward()
    assert all(value.grad is None for value in judge.parameters())
    assert all(value.grad is not None for value in net.remover.parameters())
    assert all(value.grad is None for value in net.members.parameters())
    same = [float(task.loss(np.random.default_rng(1), CPU).detach()) for _ in range(2)]
    assert same[0] == same[1]


def test_ignorance_is_least_where_nothing_is_known() -> None:
    assert float(ignorance(torch.zeros(3, 5))) == pytest.approx(np.log(5))
    assert float(ignorance(torch.tensor([[4.0, 0.0, 0.0]]))) > np.log(3) + 0.5


def constant(speaker: str, values: list[float]) -> Lesson:
    """A clip each of whose seconds has its own value."""
    return lesson(speaker, np.repeat(np.array(values, np.float32), 100)[:, None])


def test_windows_come_from_all_speakers_alike_and_what_is_held_out_is_never_learned() -> None:
    lessons = [
        constant("a", list(range(40))),
        constant("b", list(range(100, 108))),
        constant("too short", [1000.0] * 6),
    ]
    windows = SpeakerWindows(lessons, 20)
    assert windows.speakers == ["a", "b"]
    rng = np.random.default_rng(0)
    learned, who = windows.draw(400, rng)
    held_out, _ = windows.draw(400, rng, is_held_out=True)
    assert learned.shape == (400, 20 + WINDOW_STEPS, 1)
    assert learned.dtype == np.float32
    assert 0.4 < who.mean() < 0.6
    assert ((learned[:, 0, 0] >= 100) == who).all()
    assert set(np.unique(learned)) == {*range(30), *range(100, 106)}
    assert set(np.unique(held_out)) == {*range(30, 40), *range(106, 108)}


def test_of_many_clips_whole_ones_are_held_out() -> None:
    lessons = [constant("a", [float(index)] * 2) for index in range(8)] + [constant("b", [50.0] * 8)]
    windows, rng = SpeakerWindows(lessons, 0), np.random.default_rng(0)
    learned, _ = windows.draw(300, rng)
    held_out, _ = windows.draw(300, rng, is_held_out=True)
    heard = [set(np.unique(windows)) - {50.0} for windows in (learned, held_out)]
    assert heard[0] | heard[1] == set(range(8))
    assert not heard[0] & heard[1]
    assert len(heard[1]) == 2


def test_the_classifier_hears_scaled_features_without_the_run_up() -> None:
    windows = SpeakerWindows([talk(speaker, seed, 10.0) for seed, speaker in enumerate(VOICES)], 20)
    net = ExpressionNet("conv", 4, 2, 2, num_bases=4, width=8)
    net.feature_mean_C[:], net.feature_std_C[:] = 1.0, 2.0
    heard = torch.randn(3, 20 + WINDOW_STEPS, 4)
    with torch.inference_mode():
        plain = classifier_inputs(net, windows, heard, is_clean=False)
        clean = classifier_inputs(net, windows, heard, is_clean=True)
    torch.testing.assert_close(plain, (heard[:, 20:] - 1) / 2)
    torch.testing.assert_close(clean, net.cleaned(heard)[:, 20:])
