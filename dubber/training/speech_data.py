"""Talking clips as lessons for the expression network: what is heard, and what the mouth did meanwhile.

Index letters: S samples, F feature steps, C features, T frames, K coefficients, Z modes, B a batch, W its
steps.
"""

from __future__ import annotations

import logging
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from scipy.signal import resample_poly

from dubber.engine.execute import Run
from dubber.engine.progress import Progress
from dubber.engine.stage import Runtime
from dubber.errors import MediaError, NoFaceError
from dubber.media.audio import read_speech
from dubber.ops import mfcc
from dubber.stages.fit import Fit, FitParams
from dubber.stages.speech import ExtractSpeech
from dubber.training.dataset import plan_clip, read_manifest
from dubber.types import Bool, Float32, Float64

logger = logging.getLogger(__name__)

_SPEEDS = (1.0, 0.92, 1.08, 1.0, 0.95, 1.06)
"""Playback speed (and so pitch) of each variant of a clip; the first variant is the clip itself."""


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
    """

    name: str
    speaker: str
    samples_S: Float32
    times_s_T: Float64
    expression_TK: Float32
    is_usable_T: Bool


@dataclass(frozen=True)
class Heard:
    """One variant of a clip's sound.

    Attributes:
        features: Normalised features.
        media_s_F: (F,) the clip's time at each step; the speed changes it.
    """

    features: mfcc.Features
    media_s_F: Float64


def talking_clips(manifest: Path, runtime: Runtime, progress: Progress, split: str) -> Iterator[TalkingClip]:
    """Clips of a split with sound and fitted face, through the cache; others are left out.

    Args:
        manifest: See `dubber.training.dataset.read_manifest`.
        runtime: Names cache and weights.
        progress: Is told of each clip.
        split: Which rows.

    Raises:
        ConfigError: The manifest cannot be used.
        WeightsError: There is no face model yet.
    """
    rows = read_manifest(manifest, split)
    progress.start(f"fit {split} clips", len(rows))
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
                row.path.name, row.speaker, samples_S, clip.times_s_T, coeffs.expression_TK, track.is_usable_T
            )
        progress.advance(f"fit {split} clips")


def variants(samples_S: Float32, count: int, seed: int) -> list[Heard]:
    """The clip's sound, then changed copies of it: speed and pitch, equalisation, noise.

    Args:
        samples_S: (S,) 16 kHz.
        count: How many, at most six speeds.
        seed: Of the random changes.
    """
    rng = np.random.default_rng(seed)
    out = []
    for index in range(count):
        speed = _SPEEDS[index % len(_SPEEDS)]
        changed_S = samples_S
        if index:
            up = round(100 / speed)
            speed = 100 / up
            if up != 100:
                changed_S = resample_poly(samples_S, up, 100).astype(np.float32)
            changed_S = _recoloured(changed_S, rng)
        found = mfcc.normalised(mfcc.features(changed_S))
        out.append(Heard(found, np.arange(len(found.steps_FC)) / mfcc.RATE_HZ * speed))
    return out


def _recoloured(samples_S: Float32, rng: np.random.Generator) -> Float32:
    """Another microphone: a spectral tilt, a broad peak or dip, noise 15 to 45 dB below."""
    spectrum = np.fft.rfft(samples_S)
    octave = np.log2(np.linspace(0, mfcc.SAMPLE_RATE_HZ / 2, len(spectrum)) + 100)
    centre = np.log2(rng.uniform(200, 4000))
    gain_db = rng.uniform(-8, 8) * (octave - 10) / 3 + rng.uniform(-8, 8) * np.exp(
        -(((octave - centre) / 0.7) ** 2)
    )
    coloured_S = np.fft.irfft(spectrum * 10 ** (gain_db / 20), len(samples_S))
    noise = np.sqrt(np.mean(coloured_S**2)) * 10 ** (-rng.uniform(15, 45) / 20)
    return np.asarray(coloured_S + noise * rng.standard_normal(len(samples_S)), np.float32)


def at_media_times(
    media_s_F: Float64, times_s_T: Float64, values_TZ: Float32, is_usable_T: Bool
) -> tuple[Float32, Bool]:
    """Values of frames at other times, linearly between frames.

    Args:
        media_s_F: (F,) wanted times.
        times_s_T: (T,) times of the frames.
        values_TZ: (T, Z).
        is_usable_T: (T,) frames that have values.

    Returns:
        (F, Z) float32; (F,) bool, between two usable frames.
    """
    values_FZ = np.stack([np.interp(media_s_F, times_s_T, column) for column in values_TZ.T], axis=1)
    is_known_F = np.interp(media_s_F, times_s_T, is_usable_T.astype(np.float64)) > 0.99
    is_inside_F = (media_s_F >= times_s_T[0]) & (media_s_F <= times_s_T[-1])
    return values_FZ.astype(np.float32), is_known_F & is_inside_F


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


class Lessons:
    """Draws batches of feature runs with the modes wanted at each step.

    Args:
        lessons: The clips.
        late_s: By how much each clip's sound comes after its picture.
        delay_steps: The answer to step i is for the time of step i - delay.
        length: Steps of a run.
        warm_steps: Steps at a run's start that are not judged: the network has heard too little.
    """

    def __init__(
        self, lessons: list[Lesson], late_s: list[float], *, delay_steps: int, length: int, warm_steps: int
    ) -> None:
        self.lessons, self.delay_steps, self.length, self.warm_steps = (
            lessons,
            delay_steps,
            length,
            warm_steps,
        )
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
            (B, W, C) features, (B, W, Z) wanted modes, (B, W) weight 0 or 1.
        """
        features, wanted, weight = [], [], []
        for _ in range(size):
            which = int(rng.choice(len(self.lessons), p=self._chance))
            variant = int(rng.integers(len(self.lessons[which].heard)))
            found = self.lessons[which].heard[variant].features
            steps_FC = found.steps_FC
            index_W = int(rng.integers(-60, max(len(steps_FC) - self.length + 60, -59))) + np.arange(
                self.length
            )
            is_heard_W = (index_W >= 0) & (index_W < len(steps_FC))
            run_WC = np.where(
                is_heard_W[:, None], steps_FC[np.clip(index_W, 0, len(steps_FC) - 1)], found.silence_C
            )
            gain_C, shift_C = (
                1 + jitter * rng.standard_normal(run_WC.shape[1]),
                rng.standard_normal(run_WC.shape[1]),
            )
            features.append(run_WC * gain_C + jitter * shift_C)
            modes_FZ, is_known_F = self._wanted[which][variant]
            answer_W = index_W - self.delay_steps
            is_asked_W = (
                (answer_W >= 0) & (answer_W < len(modes_FZ)) & (np.arange(self.length) >= self.warm_steps)
            )
            answer_W = np.clip(answer_W, 0, len(modes_FZ) - 1)
            wanted.append(modes_FZ[answer_W])
            weight.append(is_asked_W & is_known_F[answer_W])
        return np.stack(features).astype(np.float32), np.stack(wanted), np.stack(weight).astype(np.float32)


def best_lag(heard_F: Float64, seen_F: Float64, is_known_F: Bool, reach: int) -> tuple[float, int]:
    """Where two curves agree best.

    Args:
        heard_F: (F,) curve predicted from the sound.
        seen_F: (F,) curve measured in the picture.
        is_known_F: (F,) steps at which the picture is known.
        reach: Largest lag in steps.

    Returns:
        Correlation, and the lag in steps by which the sound comes later than the picture; (0, 0) if
        undefined.
    """
    best = (0.0, 0)
    for lag in range(-reach, reach + 1):
        moved_F = np.roll(heard_F, -lag)
        inside_F = is_known_F.copy()
        inside_F[: max(-lag, 0)] = False
        inside_F[len(inside_F) - max(lag, 0) :] = False
        if inside_F.sum() < 50 or np.std(moved_F[inside_F]) < 1e-9 or np.std(seen_F[inside_F]) < 1e-9:
            continue
        correlation = float(np.corrcoef(moved_F[inside_F], seen_F[inside_F])[0, 1])
        if correlation > best[0]:
            best = (correlation, lag)
    return best
