"""check: whether the painter may be trusted with a clip: it must paint its frames better than an exemplar."""

from __future__ import annotations

import logging
from typing import TYPE_CHECKING, Any

from dubber.engine.stage import Stage, StageContext
from dubber.stages.render import RenderParams
from dubber.stages.render_job import crop_size, lending_frames
from dubber.types import AdaptedPainter, Clip, FaceCoeffs, FaceTrack, PainterVerdict, SourceFile

if TYPE_CHECKING:
    from dubber.types import Bool, Int32

logger = logging.getLogger(__name__)

_NUM_LESSONS = 12
_STRETCH_FRAMES = 250
"""Lessons are taken from so many neighbouring frames: a clip may be hours long."""

_APART_FRAMES = 12
_LEAST_FRAMES = 40


class CheckPainter(Stage[PainterVerdict]):
    """Let the painter paint some frames of the footage whose mouths are known."""

    name = "check"
    version = 1
    output_type = PainterVerdict
    params: RenderParams

    def weights(self) -> tuple[str, ...]:
        """The painter."""
        return ("renderer_hybrid",)

    def run(self, ctx: StageContext, *inputs: Any) -> PainterVerdict:
        """Compare.

        Args:
            ctx: Lessons lie in its scratch folder meanwhile.
            *inputs: `SourceFile` of the video, `Clip`, `FaceTrack`, `FaceCoeffs`; `AdaptedPainter` where the
                painter has learned the target.

        Raises:
            MediaError: The video can no longer be read.
            WeightsError: The painter is missing or damaged.
        """
        return check_painter(ctx, self.params, *inputs)


def check_painter(
    ctx: StageContext,
    params: RenderParams,
    video: SourceFile,
    clip: Clip,
    track: FaceTrack,
    coeffs: FaceCoeffs,
    adapted: AdaptedPainter | None = None,
) -> PainterVerdict:
    """Compare painter and exemplars; the stage's core.

    Args:
        ctx: Files go to its scratch folder.
        params: The renderer's.
        video: The footage.
        clip: What probing told.
        track: The tracked face.
        coeffs: Its head rotation is part of the search.
        adapted: What the painter has learned of the target.

    Returns:
        The verdict; in the painter's favour where there is too little footage to tell.

    Raises:
        MediaError: The video can no longer be read.
    """
    import numpy as np

    from dubber.engine.device import torch_threads
    from dubber.stages.painter_samples import make_samples, psnr_of_lessons
    from dubber.stages.renderers.hybrid import read_painter

    lends_T = lending_frames(params, clip, track)
    frames = _stretch(lends_T)
    if len(frames) < _LEAST_FRAMES:
        return PainterVerdict(is_better=True, painted_db=0.0, exemplar_db=0.0)
    net = read_painter(ctx.runtime, () if adapted is None else adapted.painter)
    chosen = frames[np.linspace(0, len(frames) - 1, _NUM_LESSONS).round().astype(int)]
    known_T = np.zeros_like(lends_T)
    known_T[frames] = True
    lessons = make_samples(
        ctx,
        ctx.scratch_dir() / f"check_{crop_size(params, track)}",
        video,
        clip,
        track,
        coeffs,
        chosen,
        known_T,
        np.full(_NUM_LESSONS, _APART_FRAMES, np.int32),
        params=params,
        num_exemplars=net.num_exemplars,
        seed=0,
    )
    with torch_threads(ctx.runtime.threads):
        painted_db, exemplar_db = psnr_of_lessons(net, lessons, count=_NUM_LESSONS)
    logger.info("The painter on the clip's own frames: %.1f dB; exemplars: %.1f dB.", painted_db, exemplar_db)
    return PainterVerdict(painted_db >= exemplar_db, painted_db, exemplar_db)


def _stretch(lends_T: Bool) -> Int32:
    """Usable frames around the middle of the footage."""
    import numpy as np

    usable = np.flatnonzero(lends_T).astype(np.int32)
    start = max(0, (len(usable) - _STRETCH_FRAMES) // 2)
    return usable[start : start + _STRETCH_FRAMES]
