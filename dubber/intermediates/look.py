"""A dub that is looked at: its pictures, close up, of the moments that are shown.

Index letters: N output frames, T source frames, n chosen frames.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import closing
from dataclasses import dataclass
from functools import cached_property

import cv2
import numpy as np

from dubber.engine.execute import Run
from dubber.engine.plan import Ref
from dubber.engine.stage import Runtime
from dubber.errors import NoFaceError
from dubber.media.patches import read_patches
from dubber.media.reader import read_frames_at
from dubber.ops.align import scale_similarity
from dubber.ops.landmarks import NUM_MOUTH
from dubber.ops.warp import sample_patch
from dubber.pipeline import DubPlan
from dubber.stages.mouth_geometry import shown_halfway
from dubber.types import Float32, Int64, Mouths, UInt8

CLOSE_UP_PX = 480
"""Least width of a mouth's or face's close-up."""

_FACE_MARGIN = 0.15
"""Part of the face's box that is shown around it on each side."""

_MOUTH_GROWTH, _MOUTH_ASPECT = 1.5, 4 / 3
"""What a mouth's picture shows, in widths of the lips; and its width over its height."""


@dataclass(frozen=True)
class Look:
    """A dub that is looked at."""

    dub: DubPlan
    runtime: Runtime
    run: Run
    num_frames: int

    @cached_property
    def mouths(self) -> Mouths:
        """Where the mouths are; finishing changes nothing but the patches."""
        return self.run.get(self.dub.rendered)

    @cached_property
    def whole_n(self) -> Int64:
        """Output frames with a patch, without those half-way between two source frames if there are others.

        Raises:
            NoFaceError: There is none.
        """
        has_patch_N = self.mouths.has_patch_N
        is_halfway_N = shown_halfway(self.run.get(self.dub.track), self.run.get(self.dub.retime))
        is_whole_N = has_patch_N & ~is_halfway_N
        if not has_patch_N.any():
            raise NoFaceError("No frame shows a face that can be dubbed.", where="inspect")
        return np.flatnonzero(is_whole_N if is_whole_N.any() else has_patch_N)

    @cached_property
    def chosen_n(self) -> Int64:
        """Those of them to show."""
        return self.spread(self.whole_n)

    @cached_property
    def zoom(self) -> float:
        """Pixels of a close-up per pixel of a patch."""
        return max(1.0, CLOSE_UP_PX / self.mouths.patch_size[1])

    @property
    def close_up_size(self) -> tuple[int, int]:
        """(height, width) of a mouth's close-up."""
        height, width = self.mouths.patch_size
        return round(height * self.zoom), round(width * self.zoom)

    def spread(self, candidates_n: Int64) -> Int64:
        """As many of the candidates, of which there is one at least, as are to be shown, evenly spread."""
        places = np.linspace(0, len(candidates_n) - 1, min(self.num_frames, len(candidates_n)))
        return np.asarray(candidates_n[np.rint(places).astype(np.int64)], np.int64)

    def name(self, n: int) -> str:
        """The frame's number and time, and the source frame's number."""
        time_s = self.run.get(self.dub.timeline).times_s_N[n]
        return f"{n}  {time_s:.2f} s  source {self.run.get(self.dub.retime).source_index_N[n]}"

    def sources(self, chosen_n: Sequence[int] | Int64) -> Iterator[UInt8]:
        """Whole source pictures of output frames."""
        index_n = self.run.get(self.dub.retime).source_index_N[np.asarray(chosen_n)]
        yield from self.pictures(index_n.tolist())

    def usable_frames(self) -> Iterator[tuple[int, UInt8]]:
        """Number and picture of source frames with a usable face."""
        usable_t = self.spread(np.flatnonzero(self.run.get(self.dub.track).is_usable_T))
        yield from zip(usable_t.tolist(), self.pictures(usable_t.tolist()), strict=True)

    def pictures(self, index_t: Sequence[int]) -> Iterator[UInt8]:
        """Whole pictures of source frames."""
        video, clip = self.run.get(self.dub.video), self.run.get(self.dub.clip)
        with closing(read_frames_at(video.path, clip, index_t)) as frames:
            for frame in frames:
                yield frame.rgb()

    def close_up(self, picture: UInt8, n: int) -> UInt8:
        """The part of a whole picture that a patch covers."""
        similarity_23 = scale_similarity(self.mouths.similarity_N23[n], self.zoom)
        return sample_patch(picture, (0, 0), similarity_23, self.close_up_size)

    def enlarged(self, patch: UInt8) -> UInt8:
        """A patch as large as a close-up."""
        height, width = self.close_up_size
        if patch.shape[:2] == (height, width):
            return patch
        return np.asarray(cv2.resize(patch, (width, height), interpolation=cv2.INTER_CUBIC), np.uint8)

    @cached_property
    def mouth_width_px(self) -> float:
        """Width of what a mouth's picture shows, px of a patch: half as wide again as the lips."""
        x_NM = self.mouths.landmarks_NM2[self.mouths.has_patch_N, :NUM_MOUTH, 0]
        return float(np.median(np.ptp(x_NM, axis=1))) * _MOUTH_GROWTH

    def mouth(self, picture: UInt8, n: int, similarity_23: Float32) -> UInt8:
        """The lips alone, as high as a close-up.

        Args:
            picture: A whole picture or a patch.
            n: The output frame.
            similarity_23: (2, 3) its px to the patch's px.
        """
        height = self.close_up_size[0]
        size = (height, round(height * _MOUTH_ASPECT))
        middle = self.mouths.landmarks_NM2[n, :NUM_MOUTH].mean(axis=0)
        shown = np.array([self.mouth_width_px, self.mouth_width_px / _MOUTH_ASPECT], np.float32)
        moved_23 = np.array(similarity_23, np.float32)
        moved_23[:, 2] -= middle - shown / 2
        return sample_patch(picture, (0, 0), scale_similarity(moved_23, size[1] / float(shown[0])), size)

    def patches(self, ref: Ref[Mouths], chosen_n: Int64) -> Iterator[UInt8]:
        """Patches of some output frames, in order."""
        mouths = self.run.get(ref)
        if mouths.is_own_pixels:  # of the film: no patches are made of them
            for n, picture in zip(chosen_n.tolist(), self.sources(chosen_n), strict=True):
                yield sample_patch(picture, (0, 0), mouths.similarity_N23[n], mouths.patch_size)
            return
        wanted = set((np.cumsum(mouths.has_patch_N) - 1)[chosen_n].tolist())
        last = max(wanted)
        with closing(read_patches([file.path for file in mouths.patches])) as stream:
            for index, patch in enumerate(stream):
                if index in wanted:
                    yield patch
                if index == last:
                    return


def face_window(box_4: Float32) -> tuple[Float32, tuple[int, int]]:
    """Display px to a square close-up of a face; and the close-up's size."""
    low, high = box_4[:2], box_4[2:]
    side = float((high - low).max()) * (1 + 2 * _FACE_MARGIN)
    scale = max(1.0, CLOSE_UP_PX / side)
    corner = (low + high) / 2 - side / 2
    similarity_23 = np.array([[scale, 0, -scale * corner[0]], [0, scale, -scale * corner[1]]], np.float32)
    return similarity_23, (round(side * scale), round(side * scale))
