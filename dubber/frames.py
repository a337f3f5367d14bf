"""The finished frames one by one, without a file: for other encoders, viewers, and those who measure."""

from __future__ import annotations

from collections.abc import Generator
from contextlib import closing
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

from dubber.config import DubConfig
from dubber.dubbing import check_lines, check_speakers, make_runtime
from dubber.engine.disk import check_space
from dubber.engine.execute import Run
from dubber.engine.progress import Progress, SilentProgress
from dubber.engine.stage import Runtime
from dubber.pipeline import DubPlan, plan_dub
from dubber.script import Script
from dubber.stages.disk_need import disk_need

if TYPE_CHECKING:
    from dubber.types import UInt8

_AHEAD = 2


class DubbedFrame(NamedTuple):
    """A finished frame.

    Attributes:
        image_HW3: (H, W, 3) uint8 RGB, upright. Of footage of a higher dynamic range, or deeper than 8 bit,
            what an ordinary display shows of it.
        time_s: When it is shown, seconds from the first frame.
        is_dubbed: Whether its mouth was re-made; else it is the source's own.
    """

    image_HW3: UInt8
    time_s: float
    is_dubbed: bool


def dubbed_frames(
    video: Path | str,
    said: Path | str | Script,
    *,
    config: DubConfig | None = None,
    runtime: Runtime | None = None,
    progress: Progress | None = None,
    curves: Path | str | None = None,
    size: tuple[int, int] | None = None,
) -> Generator[DubbedFrame]:
    """Dub, and hand out the frames instead of writing a video.

    Frames are made while they are consumed, a few ahead, so that memory does not grow with the film. What
    leads to them (tracking, fitting, the new expression) is made before the first one and kept in the cache.
    Who stops early closes the generator, best by `contextlib.closing`; any thread may.

    Args:
        video: A person talking.
        said: What the person shall say, an audio file or a video whose sound is taken; or who says what
            when. It is not part of what is handed out.
        config: Parameters of the stages; those of `remux` mean nothing here.
        runtime: Device, cache and weights; see `make_runtime`.
        progress: Is told how far the run is.
        curves: What mouths and footage shall do, edited by the user (docs/curves.md).
        size: (height, width) that frames are scaled to; None: the video's.

    Returns:
        The output's frames in order.

    Raises:
        DubberError: With what is wrong, where, and what to do: at once what planning finds, the rest when the
            first frame is asked for, or whichever cannot be made.

    Example:
        >>> from contextlib import closing
        >>> from dubber import DubConfig, dubbed_frames
        >>> config = DubConfig().with_overrides({"render.renderer": "exemplar"})
        >>> with closing(dubbed_frames("talk.mp4", "line.wav", config=config)) as frames:
        ...     image_HW3, time_s, is_dubbed = next(frames)
        >>> image_HW3.shape, str(image_HW3.dtype), time_s, is_dubbed
        ((360, 360, 3), 'uint8', 0.0, True)
    """
    script = said if isinstance(said, Script) else Path(said)
    runtime = runtime or make_runtime()
    edited = None if curves is None else Path(curves)
    dub_plan = plan_dub(config or DubConfig(), Path(video), script, runtime=runtime, curves=edited)
    run = Run(dub_plan.plan, runtime, progress or SilentProgress())
    # Nothing heavy is loaded before there is a plan.
    from dubber.media.flow import prefetch

    # A run's locks belong to a thread; whoever consumes the frames may change theirs.
    return prefetch(_frames(run, dub_plan, size), _AHEAD)


def _frames(run: Run, dub_plan: DubPlan, size: tuple[int, int] | None) -> Generator[DubbedFrame]:
    run.store.sweep()
    run.check_weights(dub_plan.frames.index)
    timeline = run.get(dub_plan.timeline)
    check_lines(dub_plan.script, timeline)
    need = disk_need(dub_plan.plan, run.store, dub_plan.frames.index, run.forced)
    check_space([(run.runtime.cache_dir, need.cache_bytes)])
    run.progress.plan(dub_plan.plan.stage_names())
    check_speakers(run, dub_plan)
    run.get(dub_plan.retime)
    with run.flowing(dub_plan.frames) as stream, closing(stream.open()) as frames:
        facts = zip(timeline.times_s_N.tolist(), stream.is_dubbed_N.tolist(), strict=True)
        for frame, (time_s, is_dubbed) in zip(frames, facts, strict=True):
            yield DubbedFrame(frame.rgb(size), time_s, is_dubbed)
