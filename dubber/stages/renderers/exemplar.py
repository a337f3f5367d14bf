"""The target's own frames with the nearest mouth, warped onto the wanted landmarks."""

from __future__ import annotations

from collections.abc import Generator, Iterator, Sequence
from dataclasses import replace
from functools import lru_cache
from itertools import islice

import cv2
import numpy as np

from dubber.ops.exemplar import (
    dissolve_weights,
    exemplar_path,
    nearest_candidates,
    shape_features,
    shunned,
)
from dubber.ops.exemplar_warp import doubled, warp_exemplars
from dubber.stages.mouth_stream import PART_FRAMES, Shown
from dubber.stages.renderers.base import RenderJob
from dubber.stages.renderers.crops import FaceCrops
from dubber.types import CROP_SIZE_PX, UInt8

_APART_FRAMES = 5
"""A second exemplar is at least so many frames away from the first, or it would be the same mouth again."""

_DOUBLED_CROPS = 8

Shares = dict[int, float]
"""Source frames that share in a patch; see `dubber.ops.exemplar.dissolve_weights`."""


class ExemplarSource:
    """Warped exemplars of the output's frames; the ground of the renderers that start from one.

    Args:
        job: Where footage and landmarks are.
        paths: Exemplars of each output frame that has a patch, as `choose_exemplars` gives them.
    """

    def __init__(self, job: RenderJob, paths: Sequence[Sequence[Shares]]) -> None:
        self._job = job
        self._position = {int(n): place for place, n in enumerate(np.flatnonzero(job.has_patch_N))}
        self._paths = paths
        self._crops = FaceCrops.of(job.ctx, job.video, job.clip, job.lenders.similarity_T23, job.crop_size_px)
        frames = sorted({frame for path in paths for shares in path for frame in shares})
        self._crops.want(frames)
        self._landmarks = dict(zip(frames, job.lenders.landmarks(frames), strict=True))
        crops = self._crops
        # Neighbouring output frames have exemplars in common.
        self._doubled = lru_cache(_DOUBLED_CROPS)(lambda frame: doubled(crops.read(frame)))
        unit_px = job.unit_px
        left, top = job.corner_xy
        self._crop_box = (-left, -top, CROP_SIZE_PX * unit_px - left, CROP_SIZE_PX * unit_px - top)

    def want(self, frames: list[int]) -> None:
        """Tell of exemplars that will be wanted later; see `FaceCrops.want`."""
        self._crops.want(frames)

    def patches(self, n: int) -> list[UInt8]:
        """The exemplars of an output frame that has a patch, warped onto the wanted landmarks.

        Args:
            n: The output frame.

        Returns:
            One of each path, the best first, (height, width, 3) uint8 RGB. Any order of calls gives the same
            bytes; in order it is fastest.
        """
        job = self._job
        shares_of_paths = [path[self._position[n]] for path in self._paths]
        frames = [frame for shares in shares_of_paths for frame in shares]
        warped = iter(
            warp_exemplars(
                [self._doubled(frame) for frame in frames],
                job.wanted_NP2[n],
                np.stack([self._landmarks[frame] for frame in frames]),
                job.patch_size,
                job.search.regularisation,
                job.unit_px,
                self._crop_box,
            )
        )
        return [
            weighted_mean(list(islice(warped, len(shares))), list(shares.values()))
            for shares in shares_of_paths
        ]


def chosen_source(job: RenderJob, num_paths: int = 1) -> ExemplarSource:
    """The exemplars that a renderer of parts of a film starts from; see `choose_exemplars`."""
    source = ExemplarSource(job, choose_exemplars(job, num_paths))
    if len(job.lenders.may_lend_T) > PART_FRAMES:
        # The parts to come will want others: one pass over the film is to be enough.
        source.want(job.lenders.bank[0].tolist())
    return source


class ExemplarRenderer:
    """The warped exemplar as it is."""

    def __init__(self, job: RenderJob) -> None:
        self._has_patch_N = job.has_patch_N
        self._exemplars = chosen_source(job)

    def paint(self, shown: Iterator[Shown]) -> Generator[Shown]:
        """See `Renderer`."""
        for each in shown:
            yield (
                replace(each, patch=self._exemplars.patches(each.n)[0]) if self._has_patch_N[each.n] else each
            )


def weighted_mean(images: Sequence[UInt8], weights: Sequence[float]) -> UInt8:
    """The mean of pictures of one size, rounded.

    Args:
        images: (H, W, 3) uint8 each, at least one.
        weights: Positive, one per picture.

    Returns:
        (H, W, 3) uint8.
    """
    if len(images) == 1:
        return images[0]
    mean_HW3 = images[0].astype(np.float32)
    for place, image in enumerate(images[1:], 1):
        # A running mean: the new picture's share of all so far.
        cv2.accumulateWeighted(image, mean_HW3, weights[place] / sum(weights[: place + 1]))
    return np.asarray(cv2.convertScaleAbs(mean_HW3), np.uint8)


def choose_exemplars(job: RenderJob, num_paths: int = 1) -> list[list[Shares]]:
    """Exemplars and shares for each output frame that has a patch.

    Args:
        job: Landmarks of the footage and of the output.
        num_paths: Different choices wanted. Each keeps away, frame by frame, from those before it, as far as
            there is other footage.

    Returns:
        For each path, the best first, the shares of each output frame that has a patch, in order.
    """
    search = job.search
    chosen, starts_anew = job.patched_frames()
    if len(chosen) == 0:
        return [[] for _ in range(num_paths)]
    unit = np.float32(job.unit_px)
    wanted = shape_features(job.wanted_NP2[chosen, :39] / unit, job.rotation_N3[chosen], search.shape)
    frames_B, bank_BD = job.lenders.bank
    positions, costs = nearest_candidates(wanted, bank_BD, search.num_candidates)
    is_in_bank_T = np.zeros_like(job.lenders.may_lend_T)
    is_in_bank_T[frames_B] = True
    paths = []
    for _ in range(num_paths):
        path = frames_B[exemplar_path(wanted, bank_BD, frames_B, positions, costs, starts_anew, search.hop)]
        paths.append(dissolve_weights(path, starts_anew, is_in_bank_T, search.dissolve_frames))
        costs = shunned(frames_B[positions], costs, path, _APART_FRAMES)
    return paths
