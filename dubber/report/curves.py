"""The curves of a report: how loud the speech is, how wide the mouth shall open, and how wide it was.

Index letters: N output frames, B bins of the chart, S samples.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from dubber.engine.execute import Run
from dubber.media.audio import open_speech
from dubber.ops.landmarks import mouth_opening
from dubber.pipeline import DubPlan
from dubber.types import CROP_SIZE_PX, Float32, Float64, Mouths, Speech

MOST_POINTS = 12_000
"""Of a curve: 8 minutes at 25 frames per second; of longer films the widest opening within a bin is shown."""

_ENVELOPE_S = 0.02
"""Length of a bin of the speech's envelope, half a frame: shorter ones show the voice's pitch."""


@dataclass(frozen=True)
class Curve:
    """A curve over the output's time; NaN where it is not known.

    Attributes:
        times_s_B: (B,) float64 seconds from the first output frame, increasing.
        values_B: (B,) float32.
    """

    times_s_B: Float64
    values_B: Float32


@dataclass(frozen=True)
class MouthCurves:
    """What is drawn of one speaker.

    Attributes:
        envelope: Of the speech, 0..1 of its loudest bin.
        wanted: The mouth's opening as the dub was to have it, px of the 384 crop.
        own: As the source's pictures have it.
    """

    envelope: Curve
    wanted: Curve
    own: Curve


def mouth_curves(run: Run, dub_plan: DubPlan, speaker: int) -> MouthCurves:
    """The curves of one speaker, counting from 0; what they need is in the cache."""
    person, mouths = dub_plan.performances[speaker], run.get(dub_plan.paintings[speaker].rendered)
    timeline = run.get(dub_plan.timeline)
    wanted_N, own_N = (
        opening(mouths, landmarks_NM2)
        for landmarks_NM2 in (mouths.landmarks_NM2, mouths.source_landmarks_NM2)
    )
    return MouthCurves(
        envelope(run.get(person.speech), timeline.duration_s),
        pooled(Curve(timeline.times_s_N, wanted_N)),
        pooled(Curve(timeline.times_s_N, own_N)),
    )


def opening(mouths: Mouths, landmarks_NM2: Float32) -> Float32:
    """(N,) float32, the mouth's opening in px of the 384 crop; NaN where no mouth was made.

    Args:
        mouths: Where they are.
        landmarks_NM2: (N, 39, 2) px of its patches.
    """
    scale = CROP_SIZE_PX / mouths.crop_size_px
    known_N = np.where(mouths.has_patch_N, scale, np.nan)  # elsewhere landmarks mean nothing
    return np.asarray(mouth_opening(landmarks_NM2) * known_N, np.float32)


def envelope(speech: Speech, duration_s: float) -> Curve:
    """How loud speech is: root mean square of short bins, the loudest 1.

    Args:
        speech: Extracted speech; read piece by piece.
        duration_s: What comes later is not heard.
    """
    bin_s = max(_ENVELOPE_S, duration_s / MOST_POINTS)
    size = round(bin_s * speech.sample_rate_hz)
    with open_speech(speech, duration_s) as samples_S:
        levels = [
            float(np.sqrt(np.mean(np.square(samples_S[start : start + size]))))
            for start in range(0, len(samples_S) - size + 1, size)
        ]
    levels_B = np.asarray(levels, np.float32)
    loudest = float(levels_B.max(initial=0))
    times_s_B = (np.arange(len(levels_B)) + 0.5) * size / speech.sample_rate_hz
    return Curve(times_s_B, levels_B / loudest if loudest else levels_B)


def pooled(curve: Curve) -> Curve:
    """A curve of at most `MOST_POINTS`: each stands for the largest value of as many frames."""
    count = -(-len(curve.values_B) // MOST_POINTS)
    if count <= 1:
        return curve
    starts = np.arange(0, len(curve.values_B), count)
    lowered_B = np.nan_to_num(curve.values_B, nan=-np.inf)
    peaks_B = np.maximum.reduceat(lowered_B, starts)
    values_B = np.where(np.isfinite(peaks_B), peaks_B, np.nan).astype(np.float32)
    return Curve(curve.times_s_B[starts], values_B)
