"""Whether a painter may be trusted with a clip: it must paint the clip's own frames better than an exemplar.

Loaded only when a render stage runs.
"""

from __future__ import annotations

import logging

import numpy as np

from dubber.engine.device import torch_threads
from dubber.engine.stage import StageContext
from dubber.models.hybrid import HybridPainter
from dubber.stages.painter_samples import make_samples, psnr_of_lessons
from dubber.stages.render import RenderParams
from dubber.types import Bool, Clip, FaceCoeffs, FaceTrack, Int32, SourceFile

logger = logging.getLogger(__name__)

_NUM_LESSONS = 12
_STRETCH_FRAMES = 250
"""Lessons are taken from so many neighbouring frames: a clip may be hours long."""

_APART_FRAMES = 12
_LEAST_FRAMES = 40


def paints_better(
    ctx: StageContext,
    net: HybridPainter,
    params: RenderParams,
    video: SourceFile,
    clip: Clip,
    track: FaceTrack,
    coeffs: FaceCoeffs,
    lends_T: Bool,
) -> bool:
    """Let the painter paint some frames of the footage whose mouths are known.

    Args:
        ctx: Files go to its `work_dir`.
        net: The painter.
        params: The renderer's.
        video: The footage.
        clip: What probing told.
        track: The tracked face.
        coeffs: Its head rotation is part of the search.
        lends_T: (T,) bool, frames that may be known.

    Returns:
        Whether the mean PSNR of the lower face is above that of the best exemplar. True where there is too
        little footage to tell.

    Raises:
        MediaError: The video can no longer be read.
    """
    frames = _stretch(lends_T)
    if len(frames) < _LEAST_FRAMES:
        return True
    chosen = frames[np.linspace(0, len(frames) - 1, _NUM_LESSONS).round().astype(int)]
    known_T = np.zeros_like(lends_T)
    known_T[frames] = True
    folder = ctx.work_dir / "check"
    folder.mkdir(parents=True, exist_ok=True)
    lessons = make_samples(
        StageContext(ctx.runtime, folder, folder, ctx.stage_name),
        folder,
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
    return painted_db >= exemplar_db


def _stretch(lends_T: Bool) -> Int32:
    """Usable frames around the middle of the footage."""
    usable = np.flatnonzero(lends_T).astype(np.int32)
    start = max(0, (len(usable) - _STRETCH_FRAMES) // 2)
    return usable[start : start + _STRETCH_FRAMES]
