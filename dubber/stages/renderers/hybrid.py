"""Several exemplars, mixed, moved and mended by a network: the default."""

from __future__ import annotations

from collections.abc import Generator, Iterator, Sequence
from contextlib import closing
from dataclasses import replace
from typing import ClassVar

import numpy as np
import torch
from safetensors.numpy import load_file

from dubber.engine.device import mixed_precision, torch_threads
from dubber.engine.stage import Runtime
from dubber.engine.weights import Weight
from dubber.media.flow import prefetch
from dubber.models.hybrid import HybridPainter, to_pictures, to_tensor
from dubber.ops.landmarks import NUM_MOUTH_JAW, NUM_NOSE_BASE
from dubber.ops.painter_input import painter_input
from dubber.stages.mouth_stream import Shown
from dubber.stages.renderers.base import RenderJob
from dubber.stages.renderers.crops import crop_of
from dubber.stages.renderers.exemplar import ExemplarSource, choose_exemplars
from dubber.types import StoredFile, UInt8

WEIGHT = "renderer_hybrid"
"""Row of the weights' manifest."""

_PREPARED_AHEAD = 4


class HybridRenderer:
    """Shows the painter each frame's exemplars and surroundings.

    Frames are painted one by one, so that the bytes do not depend on which are asked for together.
    """

    is_own_pixels: ClassVar[bool] = False

    def __init__(self, job: RenderJob) -> None:
        self._job = job
        self._device = job.ctx.runtime.device.torch_device()
        self._net = read_painter(job.ctx.runtime, job.painter).to(self._device)
        self._net.to(memory_format=torch.channels_last)  # type: ignore[call-overload]
        self._exemplars = ExemplarSource(job, choose_exemplars(job, self._net.num_exemplars))

    def paint(self, shown: Iterator[Shown]) -> Generator[Shown]:
        """See `Renderer`."""
        with closing(prefetch(self._prepared(shown), _PREPARED_AHEAD, self._job.ctx.spend)) as prepared:
            for each, inputs_HWC in prepared:
                yield each if inputs_HWC is None else replace(each, patch=self._painted(inputs_HWC))

    def _prepared(self, shown: Iterator[Shown]) -> Generator[tuple[Shown, UInt8 | None]]:
        """Frames and what the painter is shown of them: work beside the network's, in another thread."""
        for each in shown:
            yield each, self._input(each) if self._job.has_patch_N[each.n] else None

    def _input(self, shown: Shown) -> UInt8:
        job, n = self._job, shown.n
        wanted_P2 = job.wanted_NP2[n]
        return painter_input(
            [self._exemplars.patch(n, path) for path in range(self._net.num_exemplars)],
            crop_of(shown.frame, job.similarity_N23[n], job.patch_size),
            wanted_P2[:NUM_MOUTH_JAW],
            job.own_NM2[n],
            wanted_P2[NUM_MOUTH_JAW : NUM_MOUTH_JAW + NUM_NOSE_BASE],
            job.unit_px,
        )

    def _painted(self, inputs_HWC: UInt8) -> UInt8:
        inputs = to_tensor(inputs_HWC[None]).to(self._device)
        threads = self._job.ctx.runtime.threads
        with torch_threads(threads), torch.inference_mode(), mixed_precision(self._device):
            painted = self._net(inputs).picture_B3HW
        return np.asarray(to_pictures(painted)[0], np.uint8)


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
