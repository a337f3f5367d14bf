"""The ways of making mouth patches, behind one protocol. Loaded only when a render stage runs."""

from __future__ import annotations

import math
from collections import OrderedDict
from collections.abc import Callable, Iterator
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path
from typing import ClassVar, Protocol

import numpy as np

from dubber.media.frame import Frame, even_box
from dubber.media.reader import read_frames_at
from dubber.ops.align import apply_similarity, invert_similarity
from dubber.ops.exemplar import (
    HopCost,
    ShapeWeights,
    bank_subset,
    dissolve_weights,
    exemplar_path,
    nearest_candidates,
    shape_features,
)
from dubber.ops.optical_flow import halfway_picture
from dubber.ops.warp import landmark_displacement, remap, sample_patch
from dubber.stages.mouth_geometry import patch_size
from dubber.types import CROP_SIZE_PX, MOUTH_WINDOW, Bool, Clip, Float32, Int32, UInt8

_CACHED_CROPS = 16

_MARGIN_PX = 24
"""How far around its window an exemplar is kept, in px of the 384 crop: warps pull pixels in from there."""


@dataclass(frozen=True)
class ExemplarSearch:
    """Settings of the exemplar renderer; see `dubber.stages.render.RenderParams`."""

    shape: ShapeWeights
    hop: HopCost
    num_candidates: int
    bank_frames: int
    dissolve_frames: int
    regularisation: float


@dataclass(frozen=True)
class RenderJob:
    """What a renderer is given. Landmarks in px of the patch, each in its own frame's crop.

    Attributes:
        video: The file.
        clip: What probing told.
        work_dir: For files that only this renderer reads.
        crop_size_px: Side of the whole crop at the patches' resolution.
        search: Settings of the exemplar renderer.
        source_index_N: (N,) int32 source frame of each output frame.
        is_halfway_N: (N,) bool, the output frame lies between that one and the next.
        has_patch_N: (N,) bool.
        starts_anew_N: (N,) bool, the output frame does not continue the one before.
        similarity_N23: (N, 2, 3) display px to patch px.
        wanted_NP2: (N, P, 2) wanted landmarks: 39 of mouth and jaw, then anchors that stay.
        rotation_N3: (N, 3) head rotation of the output frame, axis-angle, radians.
        similarity_T23: (T, 2, 3) display px to patch px, of the source frames.
        landmarks_TP2: (T, P, 2) tracked landmarks of the source frames, the same points.
        rotation_T3: (T, 3) head rotation of the source frames.
        is_exemplar_T: (T,) bool, frames that may lend their mouth.
    """

    video: Path
    clip: Clip
    work_dir: Path
    crop_size_px: int
    search: ExemplarSearch
    source_index_N: Int32
    is_halfway_N: Bool
    has_patch_N: Bool
    starts_anew_N: Bool
    similarity_N23: Float32
    wanted_NP2: Float32
    rotation_N3: Float32
    similarity_T23: Float32
    landmarks_TP2: Float32
    rotation_T3: Float32
    is_exemplar_T: Bool

    @property
    def patch_size(self) -> tuple[int, int]:
        """(height, width) of the patches."""
        return patch_size(self.crop_size_px)

    @property
    def unit_px(self) -> float:
        """Patch px that a px of the 384 crop is."""
        return self.crop_size_px / CROP_SIZE_PX


class Renderer(Protocol):
    """Makes mouth patches.

    Attributes:
        is_own_pixels: Whether the patches are the source's own pixels, so that nothing need be blended.
    """

    is_own_pixels: ClassVar[bool]

    def patches(self, start: int, stop: int) -> Iterator[UInt8]:
        """(height, width, 3) uint8 patches of those output frames in start..stop that have one.

        The bytes do not depend on how the frames are divided into calls.
        """


class CopyRenderer:
    """Null twin: the source's own crops."""

    is_own_pixels: ClassVar[bool] = True

    def __init__(self, job: RenderJob) -> None:
        self._job = job

    def patches(self, start: int, stop: int) -> Iterator[UInt8]:
        """See `Renderer`."""
        job = self._job
        chosen = [n for n in range(start, stop) if job.has_patch_N[n]]
        indices: list[int] = []
        for n in chosen:
            index = int(job.source_index_N[n])
            indices += [index, index + 1] if job.is_halfway_N[n] else [index]
        with closing(read_frames_at(job.video, job.clip, indices)) as frames:
            for n in chosen:
                similarity = job.similarity_N23[n]
                patch = crop_of(next(frames), similarity, job.patch_size)
                if job.is_halfway_N[n]:
                    patch = halfway_picture(patch, crop_of(next(frames), similarity, job.patch_size))
                yield patch


class ExemplarRenderer:
    """The target's own frames with the nearest mouth, warped onto the wanted landmarks."""

    is_own_pixels: ClassVar[bool] = False

    def __init__(self, job: RenderJob) -> None:
        self._job = job
        self._frames_N = np.flatnonzero(job.has_patch_N)
        self._shares = choose_exemplars(job)
        needed = sorted({frame for shares in self._shares for frame in shares})
        self._crops = CropFile(job, needed)

    def patches(self, start: int, stop: int) -> Iterator[UInt8]:
        """See `Renderer`."""
        first, last = np.searchsorted(self._frames_N, [start, stop])
        for position in range(int(first), int(last)):
            yield self._patch(int(self._frames_N[position]), self._shares[position])

    def _patch(self, n: int, shares: dict[int, float]) -> UInt8:
        job = self._job
        total = np.zeros((*job.patch_size, 3), np.float32)
        for frame, share in shares.items():
            field = landmark_displacement(
                job.wanted_NP2[n],
                job.landmarks_TP2[frame],
                job.patch_size,
                job.search.regularisation,
                job.unit_px,
                _crop_box(job.unit_px),
            )
            warped = remap(self._crops.read(frame), field)
            if share == 1.0:
                return warped
            total += np.float32(share) * warped
        return np.asarray(np.clip(np.rint(total), 0, 255), np.uint8)


RENDERERS: dict[str, Callable[[RenderJob], Renderer]] = {"exemplar": ExemplarRenderer, "copy": CopyRenderer}
"""The table of renderers by name."""


def choose_exemplars(job: RenderJob) -> list[dict[int, float]]:
    """Exemplars and shares for each output frame that has a patch, in order; see `dissolve_weights`."""
    search = job.search
    chosen = np.flatnonzero(job.has_patch_N)
    if len(chosen) == 0:
        return []
    unit = np.float32(job.unit_px)
    footage = shape_features(job.landmarks_TP2[:, :39] / unit, job.rotation_T3, search.shape)
    wanted = shape_features(job.wanted_NP2[chosen, :39] / unit, job.rotation_N3[chosen], search.shape)
    bank = bank_subset(footage, job.is_exemplar_T, search.bank_frames)
    positions, costs = nearest_candidates(wanted, footage[bank], search.num_candidates)
    # A gap or a cut between two patches lies between the frames, not on them.
    starts = np.add.accumulate(job.starts_anew_N | ~job.has_patch_N)[chosen]
    starts_anew = np.concatenate([[True], np.diff(starts) > 0])
    path = exemplar_path(wanted, footage, bank[positions], costs, starts_anew, search.hop)
    return dissolve_weights(path, starts_anew, job.is_exemplar_T, search.dissolve_frames)


class CropFile:
    """Patches of some frames, with a margin around them, as raw bytes on disk; one pass over the video.

    The last few read are kept in memory.

    Args:
        job: Where the frames are.
        frames: Sorted indices of the source frames.
    """

    def __init__(self, job: RenderJob, frames: list[int]) -> None:
        self._job = job
        self._position = {frame: position for position, frame in enumerate(frames)}
        self._path = job.work_dir / "crops.raw"
        self._margin_px = _MARGIN_PX * job.crop_size_px // CROP_SIZE_PX
        height, width = job.patch_size
        self._shape = (height + 2 * self._margin_px, width + 2 * self._margin_px, 3)
        self._recent: OrderedDict[int, UInt8] = OrderedDict()

    def read(self, frame: int) -> UInt8:
        """The patch of a frame and its margin, (height, width, 3) uint8."""
        if frame in self._recent:
            self._recent.move_to_end(frame)
            return self._recent[frame]
        if not self._path.is_file():
            self._write()
        num_bytes = math.prod(self._shape)
        offset = self._position[frame] * num_bytes
        crop = np.fromfile(self._path, np.uint8, num_bytes, offset=offset).reshape(self._shape)
        self._recent[frame] = crop
        if len(self._recent) > _CACHED_CROPS:
            self._recent.popitem(last=False)
        return crop

    def _write(self) -> None:
        job = self._job
        part = self._path.with_suffix(".part")
        with (
            part.open("wb") as file,
            closing(read_frames_at(job.video, job.clip, list(self._position))) as frames,
        ):
            for frame in frames:
                similarity_23 = job.similarity_T23[frame.index] + [[0, 0, self._margin_px]]
                file.write(crop_of(frame, similarity_23, self._shape[:2]).tobytes())
        part.rename(self._path)


def crop_of(frame: Frame, similarity_23: Float32, size: tuple[int, int]) -> UInt8:
    """An aligned rectangle of a frame.

    Args:
        frame: The frame.
        similarity_23: (2, 3) display px to the rectangle's px.
        size: (height, width) of the rectangle.

    Returns:
        (height, width, 3) uint8 RGB; beyond the frame its border colour continues.
    """
    height, width = size
    corners = np.array([[0, 0], [width, 0], [width, height], [0, height]], np.float32)
    corners = apply_similarity(invert_similarity(similarity_23), corners)
    (x0, y0), (x1, y1) = corners.min(0) - 4, corners.max(0) + 4
    box = even_box((float(x0), float(y0), float(x1), float(y1)), frame.size)
    return sample_patch(frame.rgb_box(box), box[:2], similarity_23, size)


def _crop_box(unit_px: float) -> tuple[float, float, float, float]:
    """Where the whole crop lies, xyxy in patch px."""
    left, top = -MOUTH_WINDOW[0] * unit_px, -MOUTH_WINDOW[1] * unit_px
    return left, top, left + CROP_SIZE_PX * unit_px, top + CROP_SIZE_PX * unit_px
