"""The ways of making mouth patches, behind one protocol. Loaded only when a render stage runs."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Callable, Iterator
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path
from typing import ClassVar, Protocol

import numpy as np

from dubber.media.frame import Frame, even_box
from dubber.media.reader import read_frames_at
from dubber.ops.align import apply_similarity, invert_similarity, scale_similarity
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
from dubber.ops.warp import sample_crop, warp_to_landmarks
from dubber.types import CROP_SIZE_PX, Bool, Clip, Float32, Int32, UInt8

_CACHED_CROPS = 16


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
        size_px: Side of the patches.
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
    size_px: int
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


class Renderer(Protocol):
    """Makes mouth patches.

    Attributes:
        is_own_pixels: Whether the patches are the source's own pixels, so that nothing need be blended.
    """

    is_own_pixels: ClassVar[bool]

    def patches(self, start: int, stop: int) -> Iterator[UInt8]:
        """(S, S, 3) uint8 patches of those output frames in start..stop that have one.

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
                patch = crop_of(next(frames), similarity, job.size_px)
                if job.is_halfway_N[n]:
                    patch = halfway_picture(patch, crop_of(next(frames), similarity, job.size_px))
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
        total = np.zeros((job.size_px, job.size_px, 3), np.float32)
        for frame, share in shares.items():
            warped = warp_to_landmarks(
                self._crops.read(frame),
                job.wanted_NP2[n],
                job.landmarks_TP2[frame],
                job.search.regularisation,
            )
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
    unit = np.float32(CROP_SIZE_PX / job.size_px)
    footage = shape_features(job.landmarks_TP2[:, :39] * unit, job.rotation_T3, search.shape)
    wanted = shape_features(job.wanted_NP2[chosen, :39] * unit, job.rotation_N3[chosen], search.shape)
    bank = bank_subset(footage, job.is_exemplar_T, search.bank_frames)
    positions, costs = nearest_candidates(wanted, footage[bank], search.num_candidates)
    # A gap or a cut between two patches lies between the frames, not on them.
    starts = np.add.accumulate(job.starts_anew_N | ~job.has_patch_N)[chosen]
    starts_anew = np.concatenate([[True], np.diff(starts) > 0])
    path = exemplar_path(wanted, footage, bank[positions], costs, starts_anew, search.hop)
    return dissolve_weights(path, starts_anew, job.is_exemplar_T, search.dissolve_frames)


class CropFile:
    """Crops of some frames as raw bytes on disk, made in one pass over the video.

    The last few read are kept in memory.

    Args:
        job: Where the frames are.
        frames: Sorted indices of the source frames.
    """

    def __init__(self, job: RenderJob, frames: list[int]) -> None:
        self._job = job
        self._position = {frame: position for position, frame in enumerate(frames)}
        self._path = job.work_dir / "crops.raw"
        self._num_bytes = 3 * job.size_px**2
        self._recent: OrderedDict[int, UInt8] = OrderedDict()

    def read(self, frame: int) -> UInt8:
        """The crop of a frame, (S, S, 3) uint8."""
        if frame in self._recent:
            self._recent.move_to_end(frame)
            return self._recent[frame]
        if not self._path.is_file():
            self._write()
        side = self._job.size_px
        offset = self._position[frame] * self._num_bytes
        crop = np.fromfile(self._path, np.uint8, self._num_bytes, offset=offset).reshape(side, side, 3)
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
                file.write(crop_of(frame, job.similarity_T23[frame.index], job.size_px).tobytes())
        part.rename(self._path)


def crop_of(frame: Frame, similarity_23: Float32, size_px: int) -> UInt8:
    """The aligned crop of a frame.

    Args:
        frame: The frame.
        similarity_23: (2, 3) display px to crop px.
        size_px: Side of the crop.

    Returns:
        (size_px, size_px, 3) uint8 RGB; beyond the frame its border colour continues.
    """
    corners = np.array([[0, 0], [size_px, 0], [size_px, size_px], [0, size_px]], np.float32)
    corners = apply_similarity(invert_similarity(similarity_23), corners)
    (x0, y0), (x1, y1) = corners.min(0) - 4, corners.max(0) + 4
    box = even_box((float(x0), float(y0), float(x1), float(y1)), frame.size)
    return sample_crop(frame.rgb_box(box), box[:2], similarity_23, size_px)


def patch_similarities(similarity_23: Float32, size_px: int) -> Float32:
    """Similarities to a patch of some size, from those to the 384 crop."""
    return scale_similarity(similarity_23, size_px / CROP_SIZE_PX)
