"""Several exemplars, mixed, moved and mended by a network: the default."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import closing
from typing import ClassVar

import numpy as np
import torch
from safetensors.numpy import load_file

from dubber.engine.device import mixed_precision, torch_threads
from dubber.engine.weights import Weight
from dubber.models.hybrid import HybridPainter, to_pictures, to_tensor
from dubber.ops.landmarks import NUM_MOUTH_JAW, NUM_NOSE_BASE
from dubber.ops.painter_input import painter_input
from dubber.stages.renderers.base import RenderJob
from dubber.stages.renderers.crops import source_pictures
from dubber.stages.renderers.exemplar import ExemplarSource, choose_exemplars
from dubber.types import UInt8

WEIGHT = "renderer_hybrid"
"""Row of the weights' manifest."""


class HybridRenderer:
    """Shows the painter each frame's exemplars and surroundings.

    Frames are painted one by one, so that the bytes do not depend on which are asked for together.
    """

    is_own_pixels: ClassVar[bool] = False

    def __init__(self, job: RenderJob) -> None:
        self._job = job
        self._device = job.runtime.device.torch_device()
        self._net = read_painter(job).to(self._device)
        self._net.to(memory_format=torch.channels_last)  # type: ignore[call-overload]
        self._exemplars = ExemplarSource(job, choose_exemplars(job, self._net.num_exemplars))

    def patches(self, start: int, stop: int) -> Iterator[UInt8]:
        """See `Renderer`."""
        chosen = [n for n in range(start, stop) if self._job.has_patch_N[n]]
        with closing(source_pictures(self._job, chosen)) as sources:
            for n, source in zip(chosen, sources, strict=True):
                yield self._painted(n, source)

    def _painted(self, n: int, source: UInt8) -> UInt8:
        job = self._job
        wanted_P2 = job.wanted_NP2[n]
        shown = painter_input(
            [self._exemplars.patch(n, path) for path in range(self._net.num_exemplars)],
            source,
            wanted_P2[:NUM_MOUTH_JAW],
            job.own_NM2[n],
            wanted_P2[NUM_MOUTH_JAW : NUM_MOUTH_JAW + NUM_NOSE_BASE],
            job.unit_px,
        )
        inputs = to_tensor(shown[None]).to(self._device)
        with torch_threads(job.runtime.threads), torch.inference_mode(), mixed_precision(self._device):
            painted = self._net(inputs).picture_B3HW
        return np.asarray(to_pictures(painted)[0], np.uint8)


def read_painter(job: RenderJob) -> HybridPainter:
    """The painter that has learned the target, or the shipped one.

    Raises:
        WeightsError: There is none, or it is damaged.
    """
    weight = Weight(load_file(job.painter[0].path), {}) if job.painter else job.runtime.weights.open(WEIGHT)
    return HybridPainter.from_weight(weight)
