"""Talking clips as lessons for the expression network: what is heard, and what the mouth did meanwhile.

Index letters: S samples, F feature steps, C features, T frames, K coefficients, Z modes, B a batch, W steps
of a run, L steps of it that are answered, M = 39 mouth and jaw landmarks.
"""

from __future__ import annotations

import logging
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np

from dubber.engine.execute import Run
from dubber.engine.progress import Progress
from dubber.engine.stage import Runtime
from dubber.errors import MediaError, NoFaceError
from dubber.media.audio import read_speech
from dubber.ops import mfcc
from dubber.ops.align import apply_similarity
from dubber.ops.landmarks import MOUTH_JAW
from dubber.ops.sync import at_media_times
from dubber.stages.fit import Fit, FitParams
from dubber.stages.speech import ExtractSpeech
from dubber.training.augment import disguised
from dubber.training.dataset import plan_clip, read_manifest
from dubber.types import Bool, Float32, Float64

logger = logging.getLogger(__name__)


@dataclass(frozen=True)
class TalkingClip:
    """One clip to learn from.

    Attributes:
        name: The file's name.
        speaker: Who speaks.
        samples_S: (S,) float32 mono, 16 kHz, from the first frame's time on.
        times_s_T: (T,) seconds of the frames.
        expression_TK: (T, K) fitted coefficients.
        is_usable_T: (T,) frames that have them.
        rights: What may be done with the clip; "" where nothing is known.
        landmarks_TM2: (T, 39, 2) float32 tracked landmarks, px of the 384 crop; needed only where landmarks
            are the target (`dubber.training.targets`), (0, 39, 2) where nobody needs them.
    """

    name: str
    speaker: str
    samples_S: Float32
    times_s_T: Float64
    expression_TK: Float32
    is_usable_T: Bool
    rights: str = ""
    landmarks_TM2: Float32 = field(default_factory=lambda: np.zeros((0, len(MOUTH_JAW), 2), np.float32))


@dataclass(frozen=True)
class Heard:
    """One variant of a clip's sound.

    Attributes:
        features: Normalised features.
        media_s_F: (F,) the clip's time at each step; the speed changes it.
    """

    features: mfcc.Features
    media_s_F: Float64


def talking_clips(
    manifest: Path, runtime: Runtime, progress: Progress, split: str | None
) -> Iterator[TalkingClip]:
    """Clips of a split with sound and fitted face, through the cache; others are left out.

    Args:
        manifest: See `dubber.training.dataset.read_manifest`.
        runtime: Names cache and weights.
        progress: Is told of each clip.
        split: Which rows; all if None.

    Raises:
        ConfigError: The manifest cannot be used.
        WeightsError: There is no face model yet.
    """
    rows = read_manifest(manifest, split)
    stage = f"fit {split or 'all'} clips"
    progress.start(stage, len(rows))
    for row in rows:
        planned = plan_clip(row.path, runtime)
        coeffs_ref = planned.plan.add(Fit(FitParams()), planned.track)
        speech_ref = planned.plan.add(ExtractSpeech(), planned.video)
        run = Run(planned.plan, runtime)
        try:
            clip, track, coeffs = run.get(planned.clip), run.get(planned.track), run.get(coeffs_ref)
            samples_S = read_speech(run.get(speech_ref))
        except (NoFaceError, MediaError) as error:
            logger.warning("%s", error)
        else:
            yield TalkingClip(
                row.path.name,
                row.speaker,
                samples_S,
                clip.times_s_T,
                coeffs.expression_TK,
                track.is_usable_T,
                row.rights,
                apply_similarity(track.similarity_T23, track.landmarks_TL3[:, MOUTH_JAW, :2]),
            )
        progress.advance(stage)


def variants(samples_S: Float32, count: int, seed: int, others: Sequence[Float32] = ()) -> list[Heard]:
    """The clip's sound, then copies of it in other voices, rooms and channels, at other speeds, with noise.

    Args:
        samples_S: (S,) 16 kHz.
        count: How many.
        seed: Of the random changes.
        others: Other recordings, of which babble is mixed.
    """
    rng = np.random.default_rng(seed)
    out = []
    for index in range(count):
        changed_S, speed = disguised(samples_S, rng, others) if index else (samples_S, 1.0)
        found = mfcc.normalised(mfcc.features(changed_S))
        out.append(Heard(found, np.arange(len(found.steps_FC)) / mfcc.RATE_HZ * speed))
    return out


@dataclass(frozen=True)
class Lesson:
    """A clip, ready to be drawn from.

    Attributes:
        heard: Its variants.
        modes_TZ: (T, Z) deviations from the clip's mean, for a person of usual liveliness.
        clip: The clip.
    """

    heard: list[Heard]
    modes_TZ: Float32
    clip: TalkingClip


def run_of(found: mfcc.Features, start: int, length: int, rng: np.random.Generator, jitter: float) -> Float32:
    """Some steps of a recording, silence beyond its ends, each feature with a random gain and shift.

    Args:
        found: The recording.
        start: First step; may be negative.
        length: W.
        rng: Source of chance.
        jitter: Standard deviation of gain and shift.

    Returns:
        (W, C) float32.
    """
    steps_FC = found.steps_FC
    index_W = start + np.arange(length)
    is_heard_W = (index_W >= 0) & (index_W < len(steps_FC))
    inside_W = np.clip(index_W, 0, len(steps_FC) - 1)
    run_WC = np.where(is_heard_W[:, None], steps_FC[inside_W], found.silence_C)
    gain_C, shift_C = rng.standard_normal((2, run_WC.shape[1]))
    return np.asarray(run_WC * (1 + jitter * gain_C) + jitter * shift_C, np.float32)


class Lessons:
    """Draws runs of features with the modes wanted at their inner steps.

    Args:
        lessons: The clips.
        late_s: By how much each clip's sound comes after its picture.
        before: Steps of context before the first answer.
        after: Steps of context after the last.
        length: Answers of a run.
    """

    _OVERHANG = 40
    """Steps by which a run may begin before, or end after, the clip: silence is part of speaking."""

    def __init__(
        self, lessons: list[Lesson], late_s: list[float], *, before: int, after: int, length: int
    ) -> None:
        self.lessons, self.before, self.after, self.length = lessons, before, after, length
        self._wanted = [
            [
                at_media_times(
                    heard.media_s_F - late, lesson.clip.times_s_T, lesson.modes_TZ, lesson.clip.is_usable_T
                )
                for heard in lesson.heard
            ]
            for lesson, late in zip(lessons, late_s, strict=True)
        ]
        seconds = np.array([len(lesson.clip.times_s_T) for lesson in lessons], np.float64)
        # A speaker with ten times the footage is no ten times better teacher: weight by the square root.
        speakers = [lesson.clip.speaker for lesson in lessons]
        totals = {
            name: sum(s for s, who in zip(seconds, speakers, strict=True) if who == name) for name in speakers
        }
        weight = np.array([s / np.sqrt(totals[who]) for s, who in zip(seconds, speakers, strict=True)])
        self._chance = weight / weight.sum()

    def draw(self, size: int, rng: np.random.Generator, jitter: float) -> tuple[Float32, Float32, Float32]:
        """A batch.

        Args:
            size: B.
            rng: Source of chance.
            jitter: Standard deviation of a random gain and shift of each feature.

        Returns:
            (B, before + L + after, C) features, (B, L, Z) wanted modes, (B, L) weight 0 or 1.
        """
        features, wanted, weight = [], [], []
        for _ in range(size):
            which = int(rng.choice(len(self.lessons), p=self._chance))
            variant = int(rng.integers(len(self.lessons[which].heard)))
            found = self.lessons[which].heard[variant].features
            last = max(len(found.steps_FC) - self.length + self._OVERHANG, 1 - self._OVERHANG)
            start = int(rng.integers(-self._OVERHANG, last))
            features.append(
                run_of(found, start - self.before, self.before + self.length + self.after, rng, jitter)
            )
            modes_FZ, is_known_F = self._wanted[which][variant]
            index_L = start + np.arange(self.length)
            inside_L = np.clip(index_L, 0, len(modes_FZ) - 1)
            wanted.append(modes_FZ[inside_L])
            weight.append((index_L == inside_L) & is_known_F[inside_L])
        return np.stack(features), np.stack(wanted), np.stack(weight).astype(np.float32)
