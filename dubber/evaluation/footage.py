"""A talking clip prepared for measuring: what the stages before the translator find, and what is hidden.

The last quarter of the clip is held out. Nothing of it may be known to whatever is measured: its frames lend
no mouth, and the translator is calibrated without them.

Index letters: T source frames, N measured frames of the held-out part, M = 39 mouth and jaw landmarks, K
coefficients.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from dubber.config import DubConfig
from dubber.engine.execute import Run
from dubber.engine.plan import Plan
from dubber.engine.progress import Progress
from dubber.engine.stage import Runtime
from dubber.engine.store import Store
from dubber.errors import ConfigError, MediaError
from dubber.media.audio import read_speech
from dubber.models.morphable import LinearFaceModel
from dubber.ops import silence
from dubber.ops.align import apply_similarity
from dubber.ops.landmarks import MOUTH_JAW
from dubber.pipeline import plan_dub
from dubber.stages.adapt import Adapt
from dubber.stages.demux import Demux
from dubber.stages.fit import Fit
from dubber.stages.mouth_geometry import wanted_landmarks
from dubber.stages.people import plan_people
from dubber.stages.speech import ExtractOwnSpeech
from dubber.stages.track import plan_track
from dubber.training.dataset import ManifestRow, plan_clip
from dubber.types import (
    AdaptedPainter,
    Bool,
    Clip,
    FaceCoeffs,
    FaceTrack,
    Float32,
    Float64,
    RetimeMap,
    SourceFile,
    Speech,
    Timeline,
)

HELD_OUT_SHARE = 0.25
"""Part of the clip, at its end, that is made again and compared."""


@dataclass(frozen=True)
class Footage:
    """A clip with what the stages before the translator found, and where the held-out part begins."""

    name: str
    video: SourceFile
    clip: Clip
    speech: Speech
    timeline: Timeline
    track: FaceTrack
    coeffs: FaceCoeffs
    held_out_from_frame: int
    measured_to_frame: int

    @property
    def measured(self) -> slice:
        """The held-out frames that are measured: all of them, or the first of them."""
        return slice(self.held_out_from_frame, self.measured_to_frame)

    @property
    def known_track(self) -> FaceTrack:
        """The track as it is known: nothing of the held-out part is usable."""
        is_known_T = np.arange(self.clip.num_frames) < self.held_out_from_frame
        return dataclasses.replace(self.track, is_usable_T=self.track.is_usable_T & is_known_T)

    @property
    def known_expression_nK(self) -> Float32:
        """(n, K) fitted expressions of the frames that may be known, in order."""
        return self.coeffs.expression_TK[self.known_track.is_usable_T]

    @property
    def true_expression_NK(self) -> Float32:
        """(N, K) fitted expressions of the held-out frames."""
        return self.coeffs.expression_TK[self.measured]

    @property
    def true_landmarks_NM2(self) -> Float32:
        """(N, 39, 2) tracked landmarks of the held-out frames, px of the 384 crop."""
        display_NM2 = self.track.landmarks_TL3[self.measured, MOUTH_JAW, :2]
        return self.in_crop(display_NM2)

    @property
    def retime(self) -> RetimeMap:
        """The held-out frames as output frames."""
        indices = np.arange(self.held_out_from_frame, self.measured_to_frame, dtype=np.int32)
        return RetimeMap(indices, np.zeros(len(indices), np.bool_))

    @property
    def is_measured_N(self) -> Bool:
        """(N,) bool, held-out frames with a usable face."""
        return self.track.is_usable_T[self.measured]

    @property
    def times_s_N(self) -> Float32:
        """(N,) seconds from the first frame of the clip."""
        return np.asarray(self.timeline.times_s_N[self.measured], np.float32)

    def adapted(self, config: DubConfig, runtime: Runtime) -> AdaptedPainter | None:
        """What the renderer has learned of the known part, through the cache; None where it does not learn.

        Raises:
            DubberError: See the stage.
        """
        if not config.adapt.is_on:
            return None
        plan = Plan(runtime.weights, Store(runtime.cache_dir))
        video = plan.source(self.video.path)
        clip = plan.add(Demux(config.demux), video)
        people = plan_people(plan, config.people, video, clip)
        track = plan_track(plan, config.track, video, clip, people, plan.add(ExtractOwnSpeech(), video))
        coeffs = plan.add(Fit(config.fit), track)
        params = config.adapt.model_copy(update={"held_out_from_frame": self.held_out_from_frame})
        return Run(plan, runtime).get(plan.add(Adapt(params), video, clip, track, coeffs))

    def in_crop(self, display_NM2: Float32) -> Float32:
        """(N, M, 2) display px of the held-out frames as px of the 384 crop."""
        return apply_similarity(self.track.similarity_T23[self.measured], display_NM2)

    def is_silent_T(self, min_gap_s: float) -> Bool:
        """(T,) bool, frames at which nobody speaks; shorter gaps belong to the utterance around them."""
        return silent_frames(self.speech, self.timeline.times_s_N, self.timeline.duration_s, min_gap_s)


def silent_frames(speech: Speech, times_s_T: Float64, duration_s: float, min_gap_s: float) -> Bool:
    """(T,) bool, frames at which nobody speaks; gaps shorter than `min_gap_s` belong to the utterance."""
    is_voiced_F = silence.is_voiced(silence.level_db(read_speech(speech)))
    return ~silence.utterances(is_voiced_F, np.append(times_s_T, duration_s), min_gap_s=min_gap_s)


def prepare(
    path: Path, config: DubConfig, runtime: Runtime, progress: Progress, *, max_frames: int | None = None
) -> Footage:
    """Run the stages before the translator, through the cache.

    Args:
        path: A talking clip with its own sound.
        config: Parameters of the stages; the length is one to one whatever it says.
        runtime: Names cache and weights.
        progress: Is told of the stages.
        max_frames: Only so many of the held-out frames, the first ones, are measured; None: all.

    Raises:
        ConfigError: No usable face in the known part, or none in what is measured.
        DubberError: See the stages.
    """
    # The renderer is not run here, and its weights need not be there.
    first_stages = {"length.mode": "silence", "render.renderer": "copy", "adapt.is_on": False}
    one_to_one = config.with_overrides(first_stages)
    plan = plan_dub(one_to_one, path, path, runtime=runtime)
    run = Run(plan.plan, runtime, progress)
    progress.plan(["demux", "speech", "timeline", "people", "track", "fit"])
    clip, track = run.get(plan.clip), run.get(plan.track)
    held_out = round(clip.num_frames * (1 - HELD_OUT_SHARE))
    end = clip.num_frames if max_frames is None else min(held_out + max_frames, clip.num_frames)
    if not track.is_usable_T[:held_out].any() or not track.is_usable_T[held_out:end].any():
        raise ConfigError(
            "The clip shows no usable face in its first three quarters or in its last.",
            where=str(path),
            advice="Measure on a clip with a face throughout.",
        )
    return Footage(
        name=path.stem,
        video=run.get(plan.video),
        clip=clip,
        speech=run.get(plan.speech),
        timeline=run.get(plan.timeline),
        track=track,
        coeffs=run.get(plan.coeffs),
        held_out_from_frame=held_out,
        measured_to_frame=end,
    )


def longest_first(clips: Sequence[ManifestRow], min_seconds: float, runtime: Runtime) -> list[ManifestRow]:
    """Clips by their length, so that the numbers that tell most come first.

    Args:
        clips: Rows of a manifest.
        min_seconds: Shorter clips are left out.
        runtime: Names the cache.

    Returns:
        The clips; files that cannot be read come last, for `prepare` to say why.

    Raises:
        ConfigError: No clip lasts so long.
    """
    seconds: dict[ManifestRow, float] = {}
    unreadable = []
    for row in clips:
        try:
            planned = plan_clip(row.path, runtime)
            seconds[row] = Run(planned.plan, runtime).get(planned.clip).duration_s
        except MediaError:
            unreadable.append(row)
    chosen = sorted((row for row in seconds if seconds[row] >= min_seconds), key=lambda row: -seconds[row])
    if not chosen and not unreadable:
        raise ConfigError(
            f"No clip lasts {min_seconds:g} s; the longest has {max(seconds.values()):.1f} s.",
            where="--min-seconds",
        )
    return chosen + unreadable


def on_own_heads(model: LinearFaceModel, footage: Footage, expression: Float32) -> Float32:
    """Landmarks of an expression on the held-out frames' heads, as the renderer would be asked for them.

    Args:
        model: The face model.
        footage: Knows the heads.
        expression: (K,) one for all frames, or (N, K).

    Returns:
        (N, 39, 2) display px; the clip's own expression gives the tracked landmarks back.
    """
    retime = footage.retime
    num_frames = len(retime.source_index_N)
    expression_NK = np.broadcast_to(expression, (num_frames, expression.shape[-1])).astype(np.float32)
    return wanted_landmarks(model, footage.track, footage.coeffs, expression_NK, retime)
