"""Teaching the encoder to tell sounds apart, before it has seen a mouth.

Filmed mouths are few and speak of little; synthetic voices say anything in any language, and their phones are
known to the hundredth of a second. The encoder learns to name each step's phone class, and how shut, rounded,
open and spread it makes the mouth.

Index letters: B a batch, W steps, C features, H hidden units, L answered steps, A articulatory targets, P
phone classes.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn
from torch.nn import functional

from dubber.models.speech_net import SpeechEncoder
from dubber.ops import mfcc
from dubber.training.augment import disguised
from dubber.training.phone_speech import phone_lessons
from dubber.training.phones import TARGETS, UNKNOWN, PhoneClass
from dubber.training.speech_data import run_of
from dubber.types import Float32

_PLAIN_EVERY = 3
"""Every third recording is heard as it is, the others disguised."""

_NUM_BABBLERS = 40
_TARGET_WEIGHT = 3.0
"""Of the squared error of the articulatory targets beside the cross-entropy of the classes."""


@dataclass(frozen=True)
class PhoneRecording:
    """A recording and its phones.

    Attributes:
        features: Normalised features.
        class_F: (F,) values of `PhoneClass`, or `UNKNOWN`.
        targets_FA: (F, A) float32.
    """

    features: mfcc.Features
    class_F: NDArray[np.uint8]
    targets_FA: Float32


def phone_recordings(seconds: float, seed: int) -> list[PhoneRecording]:
    """Synthetic speech, two thirds of it disguised.

    Args:
        seconds: How much.
        seed: Of everything.

    Raises:
        ConfigError: espeak-ng is not installed.
    """
    rng = np.random.default_rng(seed)
    clips = list(phone_lessons(seconds, seed))
    others = [clip.samples_S for clip in clips[:_NUM_BABBLERS]]
    out = []
    for index, clip in enumerate(clips):
        is_plain = index % _PLAIN_EVERY == 0
        samples_S, speed = (clip.samples_S, 1.0) if is_plain else disguised(clip.samples_S, rng, others)
        found = mfcc.normalised(mfcc.features(samples_S))
        source_F = np.round(np.arange(len(found.steps_FC)) * speed).astype(np.int64)
        source_F = np.clip(source_F, 0, len(clip.class_F) - 1)
        out.append(PhoneRecording(found, clip.class_F[source_F], clip.targets_FA[source_F]))
    return out


class PhoneTask(nn.Module):
    """The encoder with two linear answers: the phone's class, and what it does to the mouth.

    Args:
        encoder: To be taught.
        recordings: To learn from.
        feature_mean_C: (C,) float32, taken off the features.
        feature_std_C: (C,) float32, then divided by.
        length: L.
    """

    def __init__(
        self,
        encoder: SpeechEncoder,
        recordings: list[PhoneRecording],
        feature_mean_C: Float32,
        feature_std_C: Float32,
        *,
        length: int = 150,
    ) -> None:
        super().__init__()
        self.encoder = encoder
        self.classes = nn.Linear(encoder.width, len(PhoneClass))
        self.targets = nn.Linear(encoder.width, len(TARGETS))
        self._recordings, self._length = recordings, length
        self._mean_C, self._std_C = feature_mean_C, feature_std_C
        steps = np.array([len(recording.class_F) for recording in recordings], np.float64)
        self._chance = steps / steps.sum()

    def draw(
        self, size: int, rng: np.random.Generator, jitter: float
    ) -> tuple[Float32, NDArray[np.int64], Float32]:
        """(B, L + 2 reach, C) scaled features, (B, L) classes, (B, L, A) targets."""
        features, classes, targets = [], [], []
        reach = self.encoder.reach
        for _ in range(size):
            recording = self._recordings[int(rng.choice(len(self._recordings), p=self._chance))]
            num_steps = len(recording.class_F)
            start = int(rng.integers(0, max(num_steps - self._length, 0) + 1))
            run_WC = run_of(recording.features, start - reach, self._length + 2 * reach, rng, jitter)
            features.append((run_WC - self._mean_C) / self._std_C)
            # Recordings begin and end in silence.
            inside_L = np.minimum(start + np.arange(self._length), num_steps - 1)
            classes.append(recording.class_F[inside_L].astype(np.int64))
            targets.append(recording.targets_FA[inside_L])
        return np.stack(features).astype(np.float32), np.stack(classes), np.stack(targets)

    def forward(self, features_BWC: Tensor) -> tuple[Tensor, Tensor]:
        """(B, L, P) scores of the classes, (B, L, A) targets."""
        sounds_BLH = self.encoder(features_BWC)
        return self.classes(sounds_BLH), self.targets(sounds_BLH)

    def loss(self, size: int, rng: np.random.Generator, jitter: float, device: torch.device) -> Tensor:
        """Cross-entropy of the classes and weighted squared error of the targets on a drawn batch."""
        features, classes, targets = (
            torch.from_numpy(array).to(device) for array in self.draw(size, rng, jitter)
        )
        scores, answers = self(features)
        named = functional.cross_entropy(scores.flatten(0, 1), classes.flatten(), ignore_index=UNKNOWN)
        is_known = classes != UNKNOWN
        return named + _TARGET_WEIGHT * functional.mse_loss(answers[is_known], targets[is_known])

    @torch.inference_mode()
    def accuracy(self, seed: int, device: torch.device, num_batches: int = 8) -> float:
        """Share of steps whose phone class is named, silence aside, in evaluation mode."""
        rng = np.random.default_rng(seed)
        right = total = 0
        for _ in range(num_batches):
            features, classes, _ = self.draw(16, rng, 0.0)
            named = self(torch.from_numpy(features).to(device))[0].argmax(dim=-1).cpu().numpy()
            is_sound = (classes != int(PhoneClass.SILENCE)) & (classes != UNKNOWN)
            right += int((named == classes)[is_sound].sum())
            total += int(is_sound.sum())
        return right / max(total, 1)
