"""Several exemplars, mixed, moved and mended by a network: the default."""

from __future__ import annotations

from collections.abc import Generator, Iterator, Sequence
from contextlib import closing
from dataclasses import replace
from itertools import islice

import numpy as np
from safetensors.numpy import load_file

from dubber.engine.device import torch_threads
from dubber.engine.stage import Runtime
from dubber.engine.weights import Weight
from dubber.media.flow import prefetch
from dubber.models.hybrid import HybridPainter
from dubber.models.prepared_painter import PreparedPainter
from dubber.ops.landmarks import NUM_MOUTH_JAW, NUM_NOSE_BASE
from dubber.ops.painter_input import painter_input
from dubber.stages.mouth_stream import Shown
from dubber.stages.renderers.base import RenderJob
from dubber.stages.renderers.crops import crop_of
from dubber.stages.renderers.exemplar import chosen_source
from dubber.types import StoredFile, UInt8

WEIGHT = "renderer_hybrid"
"""Row of the weights' manifest."""

_PREPARED_AHEAD = 4


class HybridRenderer:
    """Shows the painter each frame's exemplars and surroundings."""

    def __init__(self, job: RenderJob) -> None:
        self._job = job
        self._painter = _prepared_painter(job)
        self._exemplars = chosen_source(job, self._painter.num_exemplars)

    def paint(self, shown: Iterator[Shown]) -> Generator[Shown]:
        """See `Renderer`."""
        with closing(prefetch(self._prepared(shown), _PREPARED_AHEAD, self._job.ctx.spend)) as prepared:
            while group := list(islice(prepared, self._painter.batch_size)):
                yield from self._painted(group)

    def _prepared(self, shown: Iterator[Shown]) -> Generator[tuple[Shown, UInt8 | None]]:
        """Frames and what the painter is shown of them: work beside the network's, in another thread."""
        for each in shown:
            yield each, self._input(each) if self._job.has_patch_N[each.n] else None

    def _input(self, shown: Shown) -> UInt8:
        job, n = self._job, shown.n
        wanted_P2 = job.wanted_NP2[n]
        return painter_input(
            self._exemplars.patches(n),
            crop_of(shown.frame, job.similarity_N23[n], job.patch_size),
            wanted_P2[:NUM_MOUTH_JAW],
            job.own_NM2[n],
            wanted_P2[NUM_MOUTH_JAW : NUM_MOUTH_JAW + NUM_NOSE_BASE],
            job.unit_px,
        )

    def _painted(self, group: list[tuple[Shown, UInt8 | None]]) -> Generator[Shown]:
        inputs = [inputs_HWC for _, inputs_HWC in group if inputs_HWC is not None]
        with torch_threads(self._job.ctx.runtime.threads):
            painted = iter(self._painter.paint(_stacked(inputs)) if inputs else ())
        for each, inputs_HWC in group:
            yield each if inputs_HWC is None else replace(each, patch=next(painted))


def _stacked(inputs: list[UInt8]) -> UInt8:
    """(B, H, W, C) of B inputs; a single one is not copied."""
    return inputs[0][None] if len(inputs) == 1 else np.stack(inputs)


def _prepared_painter(job: RenderJob) -> PreparedPainter:
    """The painter, made ready once for all parts of a run."""
    key = (PreparedPainter, job.painter)
    if key not in job.ctx.shared:
        net = read_painter(job.ctx.runtime, job.painter)
        job.ctx.shared[key] = PreparedPainter(net, job.ctx.runtime.device.torch_device())
    painter: PreparedPainter = job.ctx.shared[key]
    return painter


def read_painter(runtime: Runtime, adapted: Sequence[StoredFile] = ()) -> HybridPainter:
    """The painter that has learned the target, or the shipped one.

    Args:
        runtime: Names the weights.
        adapted: The file of the former; none: the latter.

    Raises:
        WeightsError: There is none, or it is damaged.
    """
    weight = Weight(load_file(adapted[0].path), {}) if adapted else runtime.weights.open(WEIGHT)
    return HybridPainter.from_weight(weight)
