"""adapt: the hybrid renderer's network goes on learning, from the target's own frames.

What it has learned is kept only if it paints frames better that it has not learned from.
"""

from __future__ import annotations

import logging
from typing import TYPE_CHECKING, Annotated, Any, Literal

from pydantic import Field

from dubber.engine.stage import Params, Stage, StageContext
from dubber.types import AdaptedPainter, Clip, FaceCoeffs, FaceTrack, SourceFile, StoredFile

if TYPE_CHECKING:
    from dubber.models.hybrid import HybridPainter
    from dubber.stages.painter_samples import PainterSamples

logger = logging.getLogger(__name__)

LEAST_LESSONS = 40
"""Shorter footage teaches nothing: it is about two seconds."""

_HELD_OUT_SHARE = 0.2
_APART_FRAMES = (6, 12, 25)
_TIMED_STEPS = 4
_MOUTH_WEIGHT = 1.0


class AdaptParams(Params):
    """How long to learn.

    Attributes:
        is_on: Whether the stage is part of the plan; only the `hybrid` renderer adapts.
        minutes: Time for learning; "auto": ten seconds for each second of footage, within 1 and 10 minutes.
            How far it comes in that time depends on the machine, so unlike other stages this one does not
            make the same bytes everywhere; what it made is kept.
        least_gain_db: What must be gained on frames held out, or the network stays as it was.
        num_lessons: At most so many frames are learned from.
        learning_rate: Peak.
        batch_size: Frames per step.
        held_out_from_frame: Source frames from this one on are not known; for measuring.
        seed: Of everything.
    """

    is_on: bool = False
    minutes: Annotated[float, Field(gt=0, le=600)] | Literal["auto"] = "auto"
    least_gain_db: float = Field(0.1, ge=0)
    num_lessons: int = Field(600, ge=LEAST_LESSONS)
    learning_rate: float = Field(3e-4, gt=0)
    batch_size: int = Field(4, ge=1)
    held_out_from_frame: int | None = Field(None, ge=0)
    seed: int = 0


class Adapt(Stage[AdaptedPainter]):
    """Teach the painter the target."""

    name = "adapt"
    version = 2
    output_type = AdaptedPainter
    params: AdaptParams

    def weights(self) -> tuple[str, ...]:
        """The network it starts from."""
        return ("renderer_hybrid",)

    def run(self, ctx: StageContext, *inputs: Any) -> AdaptedPainter:
        """Learn.

        Args:
            ctx: Lessons lie in its `work_dir` meanwhile.
            *inputs: `SourceFile` of the video, `Clip`, `FaceTrack`, `FaceCoeffs`.

        Raises:
            MediaError: The video can no longer be read.
        """
        return adapt_painter(ctx, self.params, *inputs)


def adapt_painter(
    ctx: StageContext,
    params: AdaptParams,
    video: SourceFile,
    clip: Clip,
    track: FaceTrack,
    coeffs: FaceCoeffs,
) -> AdaptedPainter:
    """Teach the painter one person; the stage's core.

    The last fifth of the frames that may be known is not learned from: it tells what was gained.

    Args:
        ctx: Files go to its folders.
        params: How.
        video: The footage.
        clip: What probing told.
        track: The tracked face.
        coeffs: What explains it.

    Raises:
        MediaError: The video can no longer be read.
        WeightsError: The network to start from is missing or damaged.
    """
    import numpy as np

    from dubber.engine.device import torch_threads
    from dubber.models.hybrid import HybridPainter
    from dubber.stages.painter_samples import make_samples, psnr_of_lessons
    from dubber.stages.render import RenderParams

    lends_T = track.is_usable_T.copy()
    if params.held_out_from_frame is not None:
        lends_T[params.held_out_from_frame :] = False
    usable = np.flatnonzero(lends_T)
    if len(usable) < LEAST_LESSONS:
        logger.warning("The footage is too short to adapt to: %d frames show the face.", len(usable))
        return AdaptedPainter((), 0.0, 0.0, 0)
    rng = np.random.default_rng(params.seed)
    count = min(params.num_lessons, len(usable))
    frames = usable[np.linspace(0, len(usable) - 1, count).round().astype(int)].astype(np.int32)
    apart = rng.choice(_APART_FRAMES, count).astype(np.int32)
    net = HybridPainter.from_weight(ctx.runtime.weights.open("renderer_hybrid"))
    with ctx.frames(count):
        lessons = make_samples(
            ctx,
            ctx.work_dir / "lessons",
            video,
            clip,
            track,
            coeffs,
            frames,
            lends_T,
            apart,
            params=RenderParams(),
            num_exemplars=net.num_exemplars,
            seed=params.seed,
        )
    num_learned = round(count * (1 - _HELD_OUT_SHARE))
    held_out = lessons.subset(slice(num_learned, None))
    with torch_threads(0):  # nothing runs beside it
        before_db, _ = psnr_of_lessons(net, held_out, count=32)
        minutes = _minutes(params, clip)
        net, num_steps = _taught(ctx, params, net, lessons.subset(slice(num_learned)), minutes)
        after_db, _ = psnr_of_lessons(net, held_out, count=32)
    is_kept = after_db - before_db >= params.least_gain_db
    logger.info("Adapted in %d steps: %.2f dB to %.2f dB.", num_steps, before_db, after_db)
    return AdaptedPainter(_written(ctx, net) if is_kept else (), before_db, after_db, num_steps)


def _minutes(params: AdaptParams, clip: Clip) -> float:
    if params.minutes == "auto":
        return min(max(clip.duration_s / 6, 1.0), 10.0)
    return params.minutes


def _taught(
    ctx: StageContext, params: AdaptParams, net: HybridPainter, lessons: PainterSamples, minutes: float
) -> tuple[HybridPainter, int]:
    """The painter after `minutes` of learning, and its number of steps."""
    import time

    import numpy as np
    from torch import nn

    from dubber.engine.progress import SilentProgress
    from dubber.models.learning import Painted, PaintingLoop, PaintingLosses, PaintingSchedule
    from dubber.stages.painter_samples import paint_batch

    device = ctx.runtime.device.torch_device()

    def paint(painter: nn.Module, rng: np.random.Generator) -> Painted:
        chosen = rng.integers(len(lessons), size=params.batch_size).tolist()
        flips = (rng.random(params.batch_size) < 0.5).tolist()
        return paint_batch(painter, lessons.batch(chosen, flips, _MOUTH_WEIGHT), lessons.unit_px, device)

    def loop(steps: int) -> PaintingLoop:
        schedule = PaintingSchedule(
            steps, learning_rate=params.learning_rate, ema_decay=0.99, seed=params.seed
        )
        return PaintingLoop(None, net, paint, PaintingLosses(), schedule, device)

    state = {name: value.clone() for name, value in net.state_dict().items()}
    timing = loop(1 + _TIMED_STEPS)
    # The first step is slower than the others.
    timing.run(SilentProgress(), ctx.stage_name, until=lambda: timing.iteration > 0)
    started = time.perf_counter()
    timing.run(SilentProgress(), ctx.stage_name)
    pace_s = (time.perf_counter() - started) / _TIMED_STEPS
    net.load_state_dict(state)
    steps = max(10, round(minutes * 60 / pace_s))
    learning = loop(steps)
    with ctx.frames(steps):
        learning.run(ctx.progress, ctx.stage_name)
    net.load_state_dict(learning.average.state_dict())
    return net.cpu().eval(), steps


def _written(ctx: StageContext, net: HybridPainter) -> tuple[StoredFile, ...]:
    from safetensors.numpy import save_file

    path = ctx.new_file("painter.safetensors")
    save_file(net.to_arrays(), path)
    return (StoredFile(path),)
