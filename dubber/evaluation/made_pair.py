"""Two videos of the same frames, one made and one filmed, compared picture by picture."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from dubber.config import DubConfig
from dubber.engine.execute import Run
from dubber.engine.plan import Plan
from dubber.engine.progress import Progress
from dubber.engine.stage import Runtime
from dubber.engine.store import Store
from dubber.errors import ConfigError
from dubber.evaluation.footage import silent_frames
from dubber.evaluation.pairs import Pair, PairMeasure, steady_boxes
from dubber.evaluation.pictures import Detail, Fidelity, Flicker, Seam, SeenMouth
from dubber.evaluation.user_networks import UserNetworks
from dubber.media.audio import read_speech
from dubber.media.reader import read_frames_at
from dubber.stages.demux import Demux
from dubber.stages.people import plan_people
from dubber.stages.speech import ExtractSpeech
from dubber.stages.track import plan_track
from dubber.types import Clip, FaceTrack, Float32, Int64, SourceFile, Speech

MAX_ASPECT_DIFFERENCE = 0.01
"""A made video may be smaller or larger than the reference, but not of another shape by more than this."""


@dataclass(frozen=True)
class _Videos:
    """Both videos with their speech, where they have any, and the reference's face."""

    made: SourceFile
    made_clip: Clip
    speech: Speech | None
    filmed: SourceFile
    filmed_speech: Speech | None
    filmed_clip: Clip
    track: FaceTrack


def evaluate_pair(
    made: Path,
    reference: Path,
    *,
    config: DubConfig,
    runtime: Runtime,
    progress: Progress,
    networks: UserNetworks | None = None,
) -> dict[str, Any]:
    """Compare a made video with the filmed one.

    Frames are partners when their times, counted from each video's first frame, are nearest and less than
    half a frame apart. Frames whose reference shows no usable face are left out.

    Args:
        made: What is judged, with the speech it says.
        reference: What was filmed; the face is tracked here.
        config: Parameters of the stages.
        runtime: Device, cache and weights.
        progress: Is told of the stages and frames.
        networks: Measures that need a network of the user's.

    Returns:
        {"made", "reference", "frames", "frames_without_partner", "metrics"}; metrics are those of
        `dubber.evaluation.pictures` and of `networks`.

    Raises:
        WeightsError: A network's file is not what it should be.
        ConfigError: The videos differ in shape, or share no frame with a usable face.
        DubberError: A video cannot be read; see the stages.
    """
    networks = networks or UserNetworks()
    networks.check()
    videos = _open(made, reference, config, runtime, progress)
    _check_shapes(videos)
    partner_T = partners(videos.made_clip, videos.filmed_clip)
    shown_T = np.flatnonzero(videos.track.is_usable_T & (partner_T >= 0))
    if not len(shown_T):
        raise ConfigError(
            "The videos share no frame that shows a usable face.",
            where=f"{made}, {reference}",
            advice="Compare a dubbed video with the video it was made from.",
        )
    is_silent_T = None
    if videos.speech is not None:
        is_silent_T = silent_frames(
            videos.speech,
            videos.filmed_clip.times_s_T,
            videos.filmed_clip.duration_s,
            config.translate.min_gap_s,
        )
    progress.start("compare", len(shown_T))
    with SeenMouth(is_silent_T, videos.filmed_clip.times_s_T) as seen:
        voices = [
            None if speech is None else read_speech(speech)
            for speech in (videos.speech, videos.filmed_speech)
        ]
        over_pairs: list[PairMeasure] = [Fidelity(), Detail(), Seam(), Flicker(), seen]
        over_pairs += networks.measures(*voices)
        for pair in _pairs(videos, shown_T, partner_T):
            for measure in over_pairs:
                measure.add(pair)
            progress.advance("compare")
    return {
        "made": made.name,
        "reference": reference.name,
        "frames": len(shown_T),
        "frames_without_partner": int((partner_T < 0).sum()),
        "metrics": {key: value for measure in over_pairs for key, value in measure.measures().items()},
    }


def partners(made: Clip, filmed: Clip) -> Int64:
    """Frame of the made video that is shown when a frame of the filmed one is.

    Args:
        made: T' frames.
        filmed: T frames.

    Returns:
        (T,) int64 index of the frame nearest in time, both counted from the first frame; -1 where it is half
        a frame away or more.
    """
    made_s, times_s_T = made.times_s_T, filmed.times_s_T
    after_T = np.clip(np.searchsorted(made_s, times_s_T), 0, len(made_s) - 1)
    before_T = np.maximum(after_T - 1, 0)
    is_before_T = np.abs(made_s[before_T] - times_s_T) <= np.abs(made_s[after_T] - times_s_T)
    nearest_T = np.where(is_before_T, before_T, after_T)
    is_near_T = np.abs(made_s[nearest_T] - times_s_T) * 2 * float(filmed.frame_rate) < 1
    return np.where(is_near_T, nearest_T, -1)


def _open(
    made_path: Path, reference: Path, config: DubConfig, runtime: Runtime, progress: Progress
) -> _Videos:
    """Run the stages that tell what the videos hold, through the cache."""
    plan = Plan(runtime.weights, Store(runtime.cache_dir))
    made, filmed = plan.source(made_path), plan.source(reference)
    made_clip, filmed_clip = plan.add(Demux(config.demux), made), plan.add(Demux(config.demux), filmed)
    speech = plan.add(ExtractSpeech(config.speech), made)
    filmed_speech = plan.add(ExtractSpeech(config.speech), filmed)
    people = plan_people(plan, config.people, filmed, filmed_clip)
    track = plan_track(plan, config.track, filmed, filmed_clip, people, filmed_speech)
    run = Run(plan, runtime, progress)
    progress.plan(["demux", "speech", "people", "track", "compare"])
    return _Videos(
        made=run.get(made),
        made_clip=run.get(made_clip),
        speech=run.get(speech) if run.get(made_clip).has_audio else None,
        filmed=run.get(filmed),
        filmed_clip=run.get(filmed_clip),
        filmed_speech=run.get(filmed_speech) if run.get(filmed_clip).has_audio else None,
        track=run.get(track),
    )


def _check_shapes(videos: _Videos) -> None:
    (height, width), (made_height, made_width) = videos.filmed_clip.size, videos.made_clip.size
    if abs(made_width * height / (made_height * width) - 1) > MAX_ASPECT_DIFFERENCE:
        raise ConfigError(
            f"The videos differ in shape: {made_width} x {made_height} and {width} x {height}.",
            where=str(videos.made.path),
            advice="Compare pictures of the same field of view; a scaled one is scaled back by itself.",
        )


def _pairs(videos: _Videos, shown_T: Int64, partner_T: Int64) -> Iterator[Pair]:
    track, clip = videos.track, videos.filmed_clip
    boxes_T4: Float32 = steady_boxes(track)
    with (
        closing(read_frames_at(videos.made.path, videos.made_clip, partner_T[shown_T].tolist())) as made,
        closing(read_frames_at(videos.filmed.path, clip, shown_T.tolist())) as filmed,
    ):
        for index, ours, theirs in zip(shown_T.tolist(), made, filmed, strict=True):
            yield Pair(
                n=index,
                time_s=float(clip.times_s_T[index]),
                made=ours.rgb(clip.size),
                filmed=theirs.rgb(),
                similarity_23=track.similarity_T23[index],
                landmarks_L3=track.landmarks_TL3[index],
                box_4=boxes_T4[index],
            )
