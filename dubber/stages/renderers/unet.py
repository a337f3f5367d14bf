"""EBT's renderer as printed: the window is painted anew from the landmarks and the surroundings alone."""

from __future__ import annotations

from collections.abc import Generator, Iterator
from contextlib import closing
from dataclasses import replace

import numpy as np
import torch

from dubber.engine.device import torch_threads
from dubber.models.frame_painter import FRAME_CHANNELS, FramePainter, HeatmapMode
from dubber.ops.heatmap import landmark_heatmap
from dubber.stages.mouth_stream import Shown
from dubber.stages.renderers.base import RenderJob
from dubber.stages.renderers.crops import source_pictures
from dubber.types import CROP_SIZE_PX, MOUTH_WINDOW, Float32, Int64, UInt8

WEIGHT = "renderer_unet"
"""Row of the weights' manifest."""


class UNetRenderer:
    """Paints windows of consecutive frames; where windows overlap in time, their mean is taken.

    Windows lie at fixed places of each run of connected frames, and are painted one by one, so that the bytes
    do not depend on which frames are asked for together.
    """

    def __init__(self, job: RenderJob) -> None:
        self._job = job
        self._device = job.ctx.runtime.device.torch_device()
        self._net = FramePainter.from_weight(job.ctx.runtime.weights.open(WEIGHT)).to(self._device)
        frames, starts_anew = job.patched_frames()
        self._runs = np.split(frames, np.flatnonzero(starts_anew)[1:]) if len(frames) else []

    def paint(self, shown: Iterator[Shown]) -> Generator[Shown]:
        """See `Renderer`."""
        run_of = {int(n): run for run in self._runs for n in run}
        painted: Iterator[UInt8] | None = None
        for each in shown:
            run = run_of.get(each.n)
            if run is None:
                yield each
                continue
            if painted is None or each.n == run[0]:
                painted = self._painted(run, int(np.searchsorted(run, each.n)))
            yield replace(each, patch=next(painted))

    def _painted(self, run: Int64, first: int) -> Generator[UInt8]:
        """Patches of a run from the place `first` on."""
        job, length = self._job, self._net.num_frames
        starts = [s for s in window_starts(len(run), length, job.window_stride) if s + length > first]
        sums: dict[int, Float32] = {}
        counts: dict[int, int] = {}
        inputs: list[Float32] = []
        begins = starts[0]
        with closing(source_pictures(job, run[begins:].tolist(), is_whole_crop=True)) as crops:
            for start, following in zip(starts, [*starts[1:], len(run)], strict=True):
                del inputs[: start - begins]
                begins = start
                while len(inputs) < length:
                    place = begins + len(inputs)
                    # A run shorter than a window ends with its last frame again.
                    inputs.append(self._input(next(crops), run[place]) if place < len(run) else inputs[-1])
                for place, painted in enumerate(self._paint(np.stack(inputs)), start):
                    if first <= place < len(run):
                        sums[place] = sums.get(place, np.float32(0)) + painted
                        counts[place] = counts.get(place, 0) + 1
                for place in sorted(place for place in sums if place < following):
                    yield _picture(sums.pop(place) / np.float32(counts[place]))

    def _input(self, crop_SS3: UInt8, n: int) -> Float32:
        landmarks_M2 = self._job.wanted_NP2[n, :39] + np.array(self._job.corner_xy, np.float32)
        return painter_input(crop_SS3, landmarks_M2, int(n), *self._net.heatmap)

    def _paint(self, inputs_T4SS: Float32) -> Float32:
        """(T, h, w, 3) what the network paints into the window, -1..1."""
        rows, columns = window_slices(self._job.crop_size_px)
        with torch_threads(self._job.ctx.runtime.threads), torch.inference_mode():
            painted = self._net(torch.from_numpy(inputs_T4SS)[None].to(self._device))[0, :, :, rows, columns]
        return np.asarray(painted.float().cpu().numpy().transpose(0, 2, 3, 1), np.float32)


def window_starts(num_frames: int, length: int, stride: int) -> list[int]:
    """Places at which windows of `length` frames begin, so that they cover a run of `num_frames`.

    They are `stride` apart, at most `length`; the last ends with the run.
    """
    final = max(num_frames - length, 0)
    return [*range(0, final, min(stride, length)), final]


def painter_input(
    crop_SS3: UInt8, landmarks_M2: Float32, noise_seed: int, mode: HeatmapMode, sigma_px: float
) -> Float32:
    """One frame as `FramePainter` sees it.

    Args:
        crop_SS3: (S, S, 3) uint8 RGB, the whole crop; what its window shows is not looked at.
        landmarks_M2: (39, 2) the wanted landmarks, px of the crop.
        noise_seed: Names the noise, so that it repeats.
        mode: See `landmark_heatmap`.
        sigma_px: In px of the 384 crop.

    Returns:
        (4, S, S) float32 in -1..1.
    """
    size_px = len(crop_SS3)
    heatmap_1SS = landmark_heatmap(
        landmarks_M2[None], (size_px, size_px), sigma_px * size_px / CROP_SIZE_PX, mode
    )
    seen_4SS = np.empty((FRAME_CHANNELS, size_px, size_px), np.float32)
    seen_4SS[:3] = crop_SS3.transpose(2, 0, 1) / np.float32(127.5) - 1
    seen_4SS[3:] = 2 * heatmap_1SS - 1
    rows, columns = window_slices(size_px)
    hole = seen_4SS[:3, rows, columns]
    hole[:] = 2 * np.random.default_rng(noise_seed).random(hole.shape, np.float32) - 1
    return seen_4SS


def window_slices(crop_size_px: int) -> tuple[slice, slice]:
    """Rows and columns of the mouth window in a crop of that side."""
    left, top, right, bottom = (edge * crop_size_px // CROP_SIZE_PX for edge in MOUTH_WINDOW)
    return slice(top, bottom), slice(left, right)


def _picture(painted_HW3: Float32) -> UInt8:
    return np.asarray(np.clip(np.rint((painted_HW3 + 1) * np.float32(127.5)), 0, 255), np.uint8)
