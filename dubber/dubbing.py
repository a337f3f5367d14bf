"""Doing it: a plan made, checked and run, and what became of it; the Python API."""

from __future__ import annotations

import os
import time
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
import platformdirs

from dubber.config import DubConfig
from dubber.engine.device import choose_device
from dubber.engine.disk import check_space
from dubber.engine.execute import Run, StageReport
from dubber.engine.plan import Plan, Ref
from dubber.engine.progress import Progress, SilentProgress
from dubber.engine.stage import Runtime
from dubber.engine.weights import WeightsFolder, default_weights_dir
from dubber.output import check_encoding, check_output, container_of, default_output, publish
from dubber.pipeline import DubPlan, plan_dub
from dubber.script import Script, whole
from dubber.stages.disk_need import disk_need
from dubber.types import AdaptedPainter, Bool, DubbedVideo, Mouths, Speech, Timeline

AUDIBLE_CUT_S = 0.1
"""Speech cut by less, about half a syllable, is not worth a warning."""


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
    said: Path | str | Script,
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
        said: What the person shall say, an audio file or a video whose sound is taken; or who says what
            when.
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
    video = Path(video)
    script = said if isinstance(said, Script) else whole(Path(said))
    output = Path(output) if output is not None else default_output(video)
    if until_stage is None:
        check_output(output, inputs=(video, *script.files), is_overwrite=is_overwrite)
    config = (config or DubConfig()).with_overrides({"remux.container": container_of(output)})
    if until_stage is None:
        check_encoding(config)
    dub_plan = plan_dub(config, video, script, runtime=runtime)
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
