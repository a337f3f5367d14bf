"""Taking the voice's identity out of the features, and checking that it is gone.

A classifier learns to tell the speakers apart from one second of features, and is frozen. The remover is
trained, together with the translator, so that the classifier knows no better than chance. Then a fresh
classifier, trained on what the remover gives now, joins the judges, and so on: one judge alone would be
fooled. Whether identity is gone is told by a last probe that has judged nothing.

Source: EBT, Audio ID-Removing Network; method.md section 4 for the trap (a frozen judge can be fooled) and
the small term that keeps the speech.

Index letters: B a batch, W steps, C features, S speakers, H channels.
"""

from __future__ import annotations

from collections import defaultdict
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn
from torch.nn import functional

from dubber.models.expression import ExpressionNet
from dubber.ops import mfcc
from dubber.training.loop import Loop, Optimisation
from dubber.training.speech_data import Lesson
from dubber.types import Float32

WINDOW_STEPS = 100
"""One second, as the translator hears. Source: method.md section 4."""

_LEAST_S = 7.0
"""Speakers of whom there is less are too short to be learned and tested apart."""

_HELD_OUT = 0.25
_MANY_CLIPS = 8
"""From so many clips on, whole clips are held out; of fewer, the end of each."""

_BATCH = 48


class SpeakerClassifier(nn.Module):
    """Three convolutions over time, their mean and spread, one linear layer.

    Args:
        num_features: C.
        num_speakers: S.
        width: H.

    Source: statistics pooling: Snyder et al. 2018, x-vectors; method.md section 4 asks for a small
        classifier on MFCC, for VGGVox hears spectrograms.
    """

    def __init__(self, num_features: int, num_speakers: int, *, width: int = 64) -> None:
        super().__init__()
        layers: list[nn.Module] = []
        for inputs, kernel, dilation in ((num_features, 5, 1), (width, 3, 2), (width, 3, 3)):
            layers += [
                nn.Conv1d(inputs, width, kernel, dilation=dilation),
                nn.BatchNorm1d(width),
                nn.ReLU(),
            ]
        self.layers = nn.Sequential(*layers)
        self.dropout = nn.Dropout(0.3)
        self.last = nn.Linear(2 * width, num_speakers)

    def forward(self, features_BWC: Tensor) -> Tensor:
        """(B, S) scores."""
        x_BHW = self.layers(features_BWC.transpose(1, 2))
        pooled = torch.cat([x_BHW.mean(dim=-1), x_BHW.std(dim=-1)], dim=-1)
        scores: Tensor = self.last(self.dropout(pooled))
        return scores


class SpeakerWindows:
    """Windows of each speaker, equally often, some of every speaker held out.

    Args:
        lessons: The clips.
        before: Steps of context before each window: the remover has to have heard something.
    """

    def __init__(self, lessons: list[Lesson], before: int) -> None:
        self.before = before
        by_speaker: dict[str, list[Lesson]] = defaultdict(list)
        for lesson in lessons:
            by_speaker[lesson.clip.speaker].append(lesson)
        self.speakers = sorted(
            name
            for name, clips in by_speaker.items()
            if sum(len(clip.clip.samples_S) for clip in clips) >= _LEAST_S * mfcc.SAMPLE_RATE_HZ
        )
        self._learned, self._held_out = [], []
        for name in self.speakers:
            learned, held_out = _split([lesson_steps(lesson) for lesson in by_speaker[name]])
            self._learned.append(learned)
            self._held_out.append(held_out)

    def draw(
        self, size: int, rng: np.random.Generator, *, is_held_out: bool = False
    ) -> tuple[Float32, NDArray[np.int64]]:
        """(B, before + 100, C) features and (B,) speakers."""
        parts = self._held_out if is_held_out else self._learned
        windows, answers = [], []
        for _ in range(size):
            speaker = int(rng.integers(len(self.speakers)))
            recordings = parts[speaker]
            steps = np.array([len(variants[0]) for variants in recordings], np.float64)
            variants = recordings[int(rng.choice(len(recordings), p=steps / steps.sum()))]
            heard_FC = variants[0 if is_held_out else int(rng.integers(len(variants)))]
            length = self.before + WINDOW_STEPS
            start = int(rng.integers(0, max(len(heard_FC) - length, 0) + 1))
            # A recording that is too short is heard again and again.
            windows.append(np.take(heard_FC, np.arange(start, start + length), axis=0, mode="wrap"))
            answers.append(speaker)
        return np.stack(windows).astype(np.float32), np.array(answers, np.int64)


def lesson_steps(lesson: Lesson) -> list[Float32]:
    """(F, C) features of each of a clip's variants."""
    return [heard.features.steps_FC for heard in lesson.heard]


def _split(recordings: list[list[Float32]]) -> tuple[list[list[Float32]], list[list[Float32]]]:
    """Recordings to learn from, and others of the same speaker."""
    if len(recordings) >= _MANY_CLIPS:
        every = round(1 / _HELD_OUT)
        held_out = recordings[every - 1 :: every]
        return [one for index, one in enumerate(recordings) if index % every != every - 1], held_out
    learned, held_out = [], []
    for variants in recordings:
        cuts = [round(len(steps_FC) * (1 - _HELD_OUT)) for steps_FC in variants]
        learned.append([steps_FC[:cut] for steps_FC, cut in zip(variants, cuts, strict=True)])
        held_out.append([steps_FC[cut:] for steps_FC, cut in zip(variants, cuts, strict=True)])
    return learned, held_out


def ignorance(scores_BS: Tensor) -> Tensor:
    """Cross-entropy of the uniform distribution and the scores; at least log S.

    Source: EBT, eq. 2: -(1/N) sum_c log p(c | x').
    """
    return -functional.log_softmax(scores_BS, dim=-1).mean()


class IdentityTask(nn.Module):
    """The remover before its judges.

    Args:
        net: Its remover is trained.
        judges: Frozen classifiers.
        windows: Speakers' windows.
        keep: Weight of |x' - x|^2.
    """

    def __init__(
        self, net: ExpressionNet, judges: list[SpeakerClassifier], windows: SpeakerWindows, *, keep: float
    ) -> None:
        super().__init__()
        self.net = net
        self._judges = [judge.requires_grad_(False).eval() for judge in judges]
        self._windows, self._keep = windows, keep
        self._chance = float(np.log(len(windows.speakers)))

    def loss(self, rng: np.random.Generator, device: torch.device) -> Tensor:
        """How much the judges can tell, mean over them, and what the remover changes."""
        heard = torch.from_numpy(self._windows.draw(_BATCH, rng)[0]).to(device)
        plain_BWC = classifier_inputs(self.net, self._windows, heard, is_clean=False)
        clean_BWC = classifier_inputs(self.net, self._windows, heard, is_clean=True)
        told = torch.stack([ignorance(judge(clean_BWC)) for judge in self._judges]).mean() - self._chance
        return told + self._keep * functional.mse_loss(clean_BWC, plain_BWC)


@dataclass(frozen=True)
class ProbeReport:
    """How well a fresh classifier tells speakers apart on held-out speech.

    Attributes:
        before: Share of windows named right, from the features as they are.
        after: The same from the cleaned ones.
        chance: One over the number of speakers.
    """

    before: float
    after: float
    chance: float


def train_classifier(
    loop: Loop,
    name: str,
    net: ExpressionNet,
    windows: SpeakerWindows,
    *,
    is_clean: bool,
    iterations: int,
    seed: int,
) -> SpeakerClassifier:
    """A classifier of the speakers, from features as they are or cleaned."""
    torch.manual_seed(seed)
    classifier = SpeakerClassifier(net.feature_mean_C.shape[0], len(windows.speakers))
    net.to(loop.device).eval()

    def loss(rng: np.random.Generator) -> Tensor:
        heard, answers = windows.draw(_BATCH, rng)
        with torch.no_grad():
            inputs = classifier_inputs(
                net, windows, torch.from_numpy(heard).to(loop.device), is_clean=is_clean
            )
        return functional.cross_entropy(classifier(inputs), torch.from_numpy(answers).to(loop.device))

    loop.train(name, classifier, loss, Optimisation(iterations), seed)
    return classifier


def classifier_inputs(
    net: ExpressionNet, windows: SpeakerWindows, heard_BWC: Tensor, *, is_clean: bool
) -> Tensor:
    """(B, 100, C) scaled features, with or without identity, less the run-up."""
    if is_clean:
        return net.cleaned(heard_BWC)[:, windows.before :]
    return ((heard_BWC - net.feature_mean_C) / net.feature_std_C)[:, windows.before :]


@torch.inference_mode()
def accuracy(
    classifier: SpeakerClassifier,
    net: ExpressionNet,
    windows: SpeakerWindows,
    device: torch.device,
    *,
    is_clean: bool,
    seed: int = 0,
    num_batches: int = 20,
) -> float:
    """Share of held-out windows whose speaker is named, every speaker counting alike."""
    rng = np.random.default_rng(seed)
    right = 0.0
    for _ in range(num_batches):
        heard, answers = windows.draw(100, rng, is_held_out=True)
        inputs = classifier_inputs(net, windows, torch.from_numpy(heard).to(device), is_clean=is_clean)
        right += float((classifier(inputs).argmax(dim=-1).cpu().numpy() == answers).mean())
    return right / num_batches
