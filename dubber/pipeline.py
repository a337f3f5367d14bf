"""The method, as one straight function, and the Python API that runs it."""

from __future__ import annotations

import filecmp
import os
import shutil
import time
import uuid
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import platformdirs

from dubber.config import DubConfig
from dubber.engine.device import choose_device
from dubber.engine.disk import check_space
from dubber.engine.execute import Run, StageReport
from dubber.engine.plan import Plan, Ref
from dubber.engine.progress import Progress, SilentProgress
from dubber.engine.stage import Runtime
from dubber.engine.store import Store
from dubber.engine.weights import WeightsFolder, default_weights_dir
from dubber.errors import ConfigError, OutputExistsError, OutputFolderError
from dubber.stages.adapt import Adapt
from dubber.stages.blend import Blend
from dubber.stages.deflicker import Deflicker
from dubber.stages.demux import Demux
from dubber.stages.disk_need import disk_need
from dubber.stages.fit import Fit
from dubber.stages.painter_check import CheckPainter
from dubber.stages.people import plan_people
from dubber.stages.remux import Remux
from dubber.stages.render import Render
from dubber.stages.retime import Retime
from dubber.stages.speech import ExtractOwnSpeech, ExtractSpeech
from dubber.stages.teeth import Teeth
from dubber.stages.timeline import SetLength
from dubber.stages.track import plan_track
from dubber.stages.translate import Translate
from dubber.types import (
    AdaptedPainter,
    Bool,
    Clip,
    DubbedVideo,
    ExpressionTrack,
    FaceCoeffs,
    FaceTrack,
    Mouths,
    PainterVerdict,
    People,
    RetimeMap,
    SourceFile,
    Speech,
    Timeline,
)

if TYPE_CHECKING:
    from dubber.media.flow import FrameStream

CONTAINERS = ("mp4", "mov", "mkv", "webm", "avi")
"""Containers an output may have; not every encoder fits every one."""

AUDIBLE_CUT_S = 0.1
"""Speech cut by less, about half a syllable, is not worth a warning."""

_KEPT_CONTAINERS = ("mp4", "mov", "mkv")
"""Containers that take the default encoder: outputs keep the video's, others become mp4."""


@dataclass(frozen=True)
class DubPlan:
    """A planned dub: every intermediate is named and has its key before any work is done.

    A finishing stage that is switched off is not in the plan; what it would have made is what it would have
    been given.
    """

    config: DubConfig
    plan: Plan
    video: Ref[SourceFile]
    audio: Ref[SourceFile]
    clip: Ref[Clip]
    speech: Ref[Speech]
    own_speech: Ref[Speech]
    people: Ref[People]
    track: Ref[FaceTrack]
    coeffs: Ref[FaceCoeffs]
    timeline: Ref[Timeline]
    expression: Ref[ExpressionTrack]
    retime: Ref[RetimeMap]
    adapted: Ref[AdaptedPainter] | None
    rendered: Ref[Mouths]
    toothed: Ref[Mouths]
    mouths: Ref[Mouths]
    frames: Ref[FrameStream]
    dubbed: Ref[DubbedVideo]


def plan_dub(
    config: DubConfig, video_path: Path, audio_path: Path, *, runtime: Runtime, store: Store | None = None
) -> DubPlan:
    """Plan a dub. Reading this function is reading the method (docs/method.md).

    Args:
        config: Parameters of all stages.
        video_path: A person talking.
        audio_path: What the person shall say.
        runtime: Names the cache and the weights.
        store: Knows the files' checksums; None: the cache's own.

    Raises:
        MediaError: A file is missing or cannot be read.
        WeightsError: The weights' manifest is missing or malformed.
    """
    plan = Plan(runtime.weights, store or Store(runtime.cache_dir))
    video, audio = plan.source(video_path), plan.source(audio_path)

    clip = plan.add(Demux(config.demux), video)
    speech = plan.add(ExtractSpeech(config.speech), audio)
    timeline = plan.add(SetLength(config.length), clip, speech)

    people = plan_people(plan, config.people, video, clip)
    own_speech = plan.add(ExtractOwnSpeech(), video)
    track = plan_track(plan, config.track, video, clip, people, own_speech)
    coeffs = plan.add(Fit(config.fit), track)

    expression = plan.add(Translate(config.translate), speech, timeline, coeffs, track, clip, own_speech)
    retime = plan.add(Retime(config.retime), timeline, expression, coeffs, track)

    geometry = (video, clip, track, coeffs)
    adapted = plan.add(Adapt(config.adapt), *geometry) if _adapts(config) else None
    learned: tuple[Ref[AdaptedPainter] | Ref[PainterVerdict], ...] = () if adapted is None else (adapted,)
    if config.render.renderer == "hybrid" and config.render.is_checked:
        learned = (*learned, plan.add(CheckPainter(config.render), *geometry, *learned))
    mouths = rendered = plan.add(Render(config.render), *geometry, expression, retime, *learned)
    shown = (video, clip, track, retime)
    if config.teeth.is_on:
        mouths = plan.add(Teeth(config.teeth), *shown, mouths)
    toothed = mouths
    if config.deflicker.is_on:
        mouths = plan.add(Deflicker(config.deflicker), *shown, mouths)

    frames = plan.add(Blend(config.blend), *shown, mouths)
    dubbed = plan.add(Remux(config.remux), frames, audio, clip, timeline)
    return DubPlan(
        config=config,
        plan=plan,
        video=video,
        audio=audio,
        clip=clip,
        speech=speech,
        own_speech=own_speech,
        people=people,
        track=track,
        coeffs=coeffs,
        timeline=timeline,
        expression=expression,
        retime=retime,
        adapted=adapted,
        rendered=rendered,
        toothed=toothed,
        mouths=mouths,
        frames=frames,
        dubbed=dubbed,
    )


def _adapts(config: DubConfig) -> bool:
    """Whether the renderer learns the target; only one of them can.

    Raises:
        ConfigError: It is asked of another.
    """
    if config.adapt.is_on and config.render.renderer != "hybrid":
        raise ConfigError(
            f"The renderer '{config.render.renderer}' cannot adapt to the video.",
            where="adapt.is_on",
            advice="Choose `--renderer hybrid`, or leave `--adapt` out.",
        )
    return config.adapt.is_on


@dataclass(frozen=True)
class DubResult:
    """What a dub did.

    Attributes:
        output: The finished file; None when the run was told to stop earlier.
        num_frames: Frames of the output.
        duration_s: Its length.
        frame_rate: Its frames per second, from the median frame distance.
        length_mode: How the lengths were matched.
        num_dubbed_frames: Frames whose mouth was re-made.
        fit_residual_px: Median distance of tracked and modelled landmarks, px of the 384 crop.
        renderer: The one that made the mouths, which may be another than was asked for; see `warnings`. ""
            where that is no longer in the cache.
        crop_size_px: Side of the face's crop that it worked at: small faces are not enlarged.
        adaptation_gain_db: What learning the person gained on frames held out; None without `--adapt`.
        warnings: What the user may not have meant, in sentences.
        passed_through_s: Time ranges of the output, in seconds, that were left as they are: no usable face.
        stages: What each stage did.
        seconds: Wall-clock time of the whole.
    """

    output: Path | None
    num_frames: int = 0
    duration_s: float = 0.0
    frame_rate: float = 0.0
    length_mode: str = ""
    num_dubbed_frames: int = 0
    fit_residual_px: float = float("nan")
    renderer: str = ""
    crop_size_px: int = 0
    adaptation_gain_db: float | None = None
    warnings: tuple[str, ...] = ()
    passed_through_s: tuple[tuple[float, float], ...] = ()
    stages: tuple[StageReport, ...] = field(default=())
    seconds: float = 0.0


def make_runtime(
    *,
    cache_dir: Path | None = None,
    weights_dir: Path | None = None,
    device: str = "auto",
    threads: int = 1,
    batch_size: int = 8,
) -> Runtime:
    """Settle where and how to run.

    Args:
        cache_dir: Default: `DUBBER_CACHE`, else the platform's user cache.
        weights_dir: Default: `DUBBER_WEIGHTS`, else the weights that come with dubber.
        device: "auto", "cpu", "mps", "cuda" or "cuda:N".
        threads: CPU threads of each network; 0: torch's own number. Stages run beside each other, and more
            than 1 makes them wait for each other; see `dubber.engine.device`.
        batch_size: Windows per network call.

    Raises:
        DeviceError: The device does not exist here.
    """
    if cache_dir is None:
        cache_dir = Path(os.environ.get("DUBBER_CACHE") or platformdirs.user_cache_path("dubber"))
    return Runtime(
        cache_dir=cache_dir.expanduser().absolute(),
        device=choose_device(device),
        weights=WeightsFolder(weights_dir or default_weights_dir()),
        threads=threads,
        batch_size=batch_size,
    )


def dub(
    video: Path | str,
    audio: Path | str,
    output: Path | str | None = None,
    *,
    config: DubConfig | None = None,
    runtime: Runtime | None = None,
    progress: Progress | None = None,
    is_overwrite: bool = False,
    from_stage: str | None = None,
    until_stage: str | None = None,
) -> DubResult:
    """Make the person in a video say other speech.

    Args:
        video: A person talking.
        audio: What the person shall say: an audio file, or a video whose sound is taken.
        output: Where the result goes; its suffix names the container. Default: see `default_output`.
        config: Parameters of the stages.
        runtime: Device, cache and weights; see `make_runtime`.
        progress: Is told how far the run is.
        is_overwrite: Replace an existing output.
        from_stage: Make this stage and all after it again, whatever the cache holds.
        until_stage: Stop after this stage; no output is written.

    Returns:
        What was done.

    Raises:
        DubberError: With what is wrong, where, and what to do; nothing is left under the output's name.
    """
    started = time.perf_counter()
    runtime = runtime or make_runtime()
    video, audio = Path(video), Path(audio)
    output = Path(output) if output is not None else default_output(video)
    if until_stage is None:
        check_output(output, inputs=(video, audio), is_overwrite=is_overwrite)
    config = (config or DubConfig()).with_overrides({"remux.container": container_of(output)})
    if until_stage is None:
        check_encoding(config)
    dub_plan = plan_dub(config, video, audio, runtime=runtime)
    plan = dub_plan.plan
    forced = plan.downstream_of(plan.index_of(from_stage)) if from_stage else set()
    run = Run(plan, runtime, progress or SilentProgress(), forced=forced)
    run.store.sweep()
    target = dub_plan.dubbed.index if until_stage is None else _last_stored(plan, plan.index_of(until_stage))
    run.check_weights(target)
    if target > dub_plan.timeline.index:
        run.get(dub_plan.timeline)  # cheap, and headers do not always tell how long a video is
    need = disk_need(plan, run.store, target, run.forced, keeps_all=runtime.keeps_all)
    output_bytes = need.output_bytes if until_stage is None else 0
    check_space([(runtime.cache_dir, need.cache_bytes), (output.parent, output_bytes)])
    run.progress.plan(plan.stage_names())
    if until_stage is not None:
        run.get(Ref(plan.nodes[target].key, target))
        return DubResult(None, stages=tuple(run.reports), seconds=time.perf_counter() - started)
    dubbed = run.get(dub_plan.dubbed)
    publish(dubbed.file.path, output, is_overwrite=is_overwrite)
    return _describe(run, dub_plan, dubbed, output, started)


def default_output(video: Path) -> Path:
    """Where the result goes when the user does not say: beside the video."""
    suffix = video.suffix.lower() if video.suffix.lower().lstrip(".") in _KEPT_CONTAINERS else ".mp4"
    return video.with_name(f"{video.stem}.dubbed{suffix}")


def container_of(output: Path) -> str:
    """Container named by a file's suffix.

    Raises:
        ConfigError: dubber does not write that container.
    """
    container = output.suffix.lower().lstrip(".")
    if container not in CONTAINERS:
        raise ConfigError(
            f"dubber does not write '{output.suffix or 'files without a suffix'}'.",
            where=str(output),
            advice=f"End the output's name with one of: {', '.join('.' + name for name in CONTAINERS)}.",
        )
    return container


def check_output(output: Path, *, inputs: tuple[Path, ...], is_overwrite: bool) -> None:
    """Find out before the work whether its result can be written.

    Raises:
        ConfigError: The output is one of the inputs, or its suffix is not known.
        OutputExistsError: It exists and may not be replaced.
        OutputFolderError: Its folder cannot be written.
    """
    container_of(output)
    if any(path.exists() and output.exists() and path.samefile(output) for path in inputs):
        raise ConfigError("The output is one of the inputs; dubber never changes those.", where=str(output))
    if output.is_dir():
        raise OutputFolderError("The output's name is that of a folder.", where=str(output))
    if output.exists() and not is_overwrite:
        raise OutputExistsError("The output is there already.", where=str(output))
    probe = output.parent / f".{uuid.uuid4().hex}.part"
    try:
        output.parent.mkdir(parents=True, exist_ok=True)
        probe.touch()
        probe.unlink()
    except OSError as error:
        raise OutputFolderError(
            f"The output folder cannot be written ({error.strerror}).", where=str(output.parent)
        ) from error


def check_encoding(config: DubConfig) -> None:
    """Find out before the work whether its result can be encoded.

    Raises:
        ConfigError: The encoder is absent, refuses its settings or does not fit the container.
    """
    from dubber.media.encoders import chosen_encoder
    from dubber.media.mux import check_container
    from dubber.media.writer import EncodeOptions, check_settings

    remux = config.remux
    options = chosen_encoder(EncodeOptions(remux.vcodec, remux.crf, remux.preset))
    check_container(remux.container, options.codec)
    check_settings(options)


def publish(finished: Path, output: Path, *, is_overwrite: bool) -> None:
    """Copy a finished file to the user's name: whole or not at all, and not if it is there already.

    Raises:
        OutputExistsError: A file of that name appeared meanwhile.
        OutputFolderError: The folder cannot be written, or the disk is full.
    """
    part = output.with_name(f".{output.name}.{uuid.uuid4().hex}.part")
    try:
        if is_overwrite and output.is_file() and filecmp.cmp(finished, output, shallow=False):
            return
        shutil.copyfile(finished, part)
        with part.open("rb+") as file:
            os.fsync(file.fileno())
        if output.exists() and not is_overwrite:
            raise OutputExistsError("The output appeared while dubber was working.", where=str(output))
        part.replace(output)
    except OSError as error:
        raise OutputFolderError(
            f"The output cannot be written ({error.strerror}).", where=str(output)
        ) from error
    finally:
        part.unlink(missing_ok=True)


def _last_stored(plan: Plan, index: int) -> int:
    """A stream is no result of its own: running until it means until the stage that feeds it."""
    stage = plan.nodes[index].stage
    while stage is not None and not stage.is_stored:
        index = plan.nodes[index].inputs[-1]
        stage = plan.nodes[index].stage
    return index


def _describe(run: Run, dub_plan: DubPlan, dubbed: DubbedVideo, output: Path, started: float) -> DubResult:
    timeline = run.get(dub_plan.timeline)
    # Too dear to be made again for a report, where only they were thrown out of the cache.
    mouths = run.peek(dub_plan.rendered)
    adapted = None if dub_plan.adapted is None else run.peek(dub_plan.adapted)
    return DubResult(
        output=output,
        num_frames=dubbed.num_frames,
        duration_s=dubbed.duration_s,
        frame_rate=float(run.get(dub_plan.clip).frame_rate),
        length_mode=timeline.mode,
        num_dubbed_frames=int(dubbed.is_dubbed_N.sum()),
        fit_residual_px=float(np.nanmedian(run.get(dub_plan.coeffs).residual_px_T)),
        renderer="" if mouths is None else mouths.renderer,
        crop_size_px=0 if mouths is None else mouths.crop_size_px,
        adaptation_gain_db=None if adapted is None else adapted.after_db - adapted.before_db,
        warnings=_warnings(dub_plan.config, timeline, run.get(dub_plan.speech), mouths, adapted, dubbed),
        passed_through_s=_untouched_ranges(timeline, dubbed.is_dubbed_N),
        stages=tuple(run.reports),
        seconds=time.perf_counter() - started,
    )


def _warnings(
    config: DubConfig,
    timeline: Timeline,
    speech: Speech,
    mouths: Mouths | None,
    adapted: AdaptedPainter | None,
    dubbed: DubbedVideo,
) -> tuple[str, ...]:
    """What the user may not have meant."""
    found = []
    if not dubbed.is_dubbed_N.any():
        found.append("Nothing was dubbed: no frame of the output shows a usable face.")
    if mouths is not None and mouths.renderer != config.render.renderer:
        found.append(
            f"The renderer '{config.render.renderer}' would have painted this clip worse than "
            f"'{mouths.renderer}', which was used."
        )
    if adapted is not None and not adapted.painter:
        found.append(
            "Learning the person gained too little to be kept: the footage is short, or suits as it is."
        )
    cut_s = speech.duration_s - timeline.audio_duration_s
    if cut_s > AUDIBLE_CUT_S:
        found.append(
            f"The last {cut_s:.1f} s of the speech were cut off (--length {timeline.mode}); "
            "auto, retime, loop, bounce and remap keep all of it."
        )
    return tuple(found)


def _untouched_ranges(timeline: Timeline, is_dubbed_N: Bool) -> tuple[tuple[float, float], ...]:
    """Time ranges of consecutive frames that were left as they are."""
    edges_s = np.append(timeline.times_s_N, timeline.duration_s)
    changes = np.flatnonzero(np.diff(np.concatenate([[True], is_dubbed_N, [True]]).astype(np.int8)))
    return tuple(
        (round(float(edges_s[start]), 3), round(float(edges_s[stop]), 3))
        for start, stop in zip(changes[::2], changes[1::2], strict=True)
    )
