"""Aligned pictures of the footage: in the output's order, and by source frame in any order."""

from __future__ import annotations

import hashlib
import math
import threading
import uuid
from collections import OrderedDict
from collections.abc import Generator, Iterable
from contextlib import closing
from pathlib import Path

import numpy as np

from dubber.engine.stage import StageContext
from dubber.media.flow import prefetch
from dubber.media.frame import Frame, even_box
from dubber.media.reader import read_frames_at
from dubber.ops.align import apply_similarity, invert_similarity
from dubber.ops.optical_flow import halfway_picture
from dubber.ops.warp import sample_patch
from dubber.stages.mouth_geometry import patch_size
from dubber.stages.renderers.base import RenderJob
from dubber.types import CROP_SIZE_PX, Clip, Float32, UInt8

_CACHED_CROPS = 16
_DECODED_AHEAD = 4

_MARGIN_PX = 24
"""How far around its window an exemplar is kept, in px of the 384 crop: warps pull pixels in from there."""


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


def source_pictures(
    job: RenderJob, output_frames: Iterable[int], *, is_whole_crop: bool = False
) -> Generator[UInt8]:
    """What the source shows at output frames, half-way pictures included; one pass over the video.

    Args:
        job: Where the frames are.
        output_frames: Numbers of output frames that have a patch, in the order wanted.
        is_whole_crop: The whole crop instead of the patch.

    Yields:
        (height, width, 3) uint8 RGB at the patches' resolution.
    """
    chosen = list(output_frames)
    size = (job.crop_size_px, job.crop_size_px) if is_whole_crop else job.patch_size
    corner = np.array(job.corner_xy if is_whole_crop else (0, 0), np.float32)
    indices: list[int] = []
    for n in chosen:
        index = int(job.source_index_N[n])
        indices += [index, index + 1] if job.is_halfway_N[n] else [index]
    with closing(read_frames_at(job.video, job.clip, indices)) as frames:
        for n in chosen:
            similarity_23 = _shifted(job.similarity_N23[n], corner)
            picture = crop_of(next(frames), similarity_23, size)
            if job.is_halfway_N[n]:
                picture = halfway_picture(picture, crop_of(next(frames), similarity_23, size))
            yield picture


class FaceCrops:
    """Patches of source frames with a margin around them, as raw bytes on disk, for reading in any order.

    All stages of a run share them, so that all that is wanted is decoded in one pass, with the first frame
    that is read. The last few read are kept in memory. Threads may read at the same time.

    Args:
        folder: For the bytes.
        video: The footage.
        clip: What probing told.
        similarity_T23: (T, 2, 3) display px to patch px.
        crop_size_px: Side of the whole crop at the patches' resolution.
    """

    def __init__(
        self, folder: Path, video: Path, clip: Clip, similarity_T23: Float32, crop_size_px: int
    ) -> None:
        self._video, self._clip, self._similarity_T23 = video, clip, similarity_T23
        self._path = folder / f"crops_{uuid.uuid4().hex}.raw"
        self._margin_px = _MARGIN_PX * crop_size_px // CROP_SIZE_PX
        height, width = patch_size(crop_size_px)
        self._shape = (height + 2 * self._margin_px, width + 2 * self._margin_px, 3)
        self._wanted: set[int] = set()
        self._position: dict[int, int] = {}
        self._recent: OrderedDict[int, UInt8] = OrderedDict()
        self._lock = threading.Lock()

    @classmethod
    def of(
        cls, ctx: StageContext, video: Path, clip: Clip, similarity_T23: Float32, crop_size_px: int
    ) -> FaceCrops:
        """The crops that the stages of this run share."""
        key = (cls, video, crop_size_px, hashlib.sha256(similarity_T23.tobytes()).digest())
        if key not in ctx.shared:
            ctx.shared[key] = cls(ctx.scratch_dir(), video, clip, similarity_T23, crop_size_px)
        crops: FaceCrops = ctx.shared[key]
        return crops

    def want(self, frames: Iterable[int]) -> None:
        """Tell which frames will be read; best before any is."""
        with self._lock:
            self._wanted.update(frames)

    def read(self, frame: int) -> UInt8:
        """The patch of a wanted frame and its margin, (height, width, 3) uint8.

        Raises:
            MediaError: The video can no longer be read.
        """
        with self._lock:
            if frame in self._recent:
                self._recent.move_to_end(frame)
                return self._recent[frame]
            if frame not in self._position:
                self._write()
            num_bytes = math.prod(self._shape)
            crop = np.fromfile(self._path, np.uint8, num_bytes, offset=self._position[frame] * num_bytes)
            self._recent[frame] = crop = crop.reshape(self._shape)
            if len(self._recent) > _CACHED_CROPS:
                self._recent.popitem(last=False)
            return crop

    def patch(self, frame: int) -> UInt8:
        """The patch of a wanted frame, (height, width, 3) uint8; see `read`."""
        margin = self._margin_px
        return self.read(frame)[margin:-margin, margin:-margin]

    def _write(self) -> None:
        """Append the wanted frames that are not there yet."""
        missing = sorted(self._wanted - self._position.keys())
        margin = np.full(2, self._margin_px, np.float32)
        with (
            self._path.open("ab") as file,
            closing(
                prefetch(read_frames_at(self._video, self._clip, missing, is_alone=True), _DECODED_AHEAD)
            ) as frames,
        ):
            for frame in frames:
                similarity_23 = _shifted(self._similarity_T23[frame.index], margin)
                file.write(crop_of(frame, similarity_23, self._shape[:2]).tobytes())
                self._position[frame.index] = len(self._position)


def _shifted(similarity_23: Float32, corner_2: Float32) -> Float32:
    """The similarity to a picture in which the patch lies at `corner_2`."""
    shifted = similarity_23.copy()
    shifted[:, 2] += corner_2
    return shifted
