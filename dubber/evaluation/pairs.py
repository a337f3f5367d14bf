"""Made pictures beside the filmed ones, frame by frame, and the measures that are taken over them.

A measure is fed every pair once, in order, and asked for its numbers at the end; it holds sums, not pictures,
so memory does not depend on the length of the clip.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from typing import Protocol

import cv2
import numpy as np
from scipy.ndimage import median_filter

from dubber.evaluation.measures import Measures
from dubber.evaluation.metrics import mouth_box
from dubber.ops.align import apply_similarity, invert_similarity, similarity_scale
from dubber.ops.landmarks import MOUTH_JAW, MOUTH_OUTER, NOSE_BASE
from dubber.ops.masks import mouth_mask
from dubber.ops.warp import sample_crop
from dubber.types import CROP_SIZE_PX, MOUTH_WINDOW, Bool, FaceTrack, Float32, Int32, UInt8

_BOX_FRAMES = 13
"""Source: joonson/syncnet_python, which smooths its detector's boxes so."""


INSIDE = 0.5
"""Where a mask is above this, the made picture is mostly what is seen."""

_MASK_MARGIN_PX = 16


@dataclass(frozen=True)
class MadePart:
    """A part of a picture, at the picture's own resolution.

    Attributes:
        lumas: (h, w) uint8, made and filmed.
        is_made_hw: (h, w) bool, where the mask is above one half.
        is_lips_hw: (h, w) bool, the filmed lips and what lies between them: the hull of their outline.
    """

    lumas: tuple[UInt8, UInt8]
    is_made_hw: Bool
    is_lips_hw: Bool


@dataclass(frozen=True)
class Pair:
    """One frame, as made and as filmed.

    Attributes:
        n: Its number; a pair whose number does not follow its predecessor's stands behind a gap.
        time_s: Seconds from the first frame of the clip.
        made: (H, W, 3) uint8 RGB, the whole picture.
        filmed: (H, W, 3) uint8 RGB, of the same size.
        similarity_23: (2, 3) display px to the 384 crop, of the filmed face.
        landmarks_L3: (468, 3) the filmed face's landmarks, display px.
        box_4: (4,) xyxy display px, the filmed face's box, steady in time.
    """

    n: int
    time_s: float
    made: UInt8
    filmed: UInt8
    similarity_23: Float32
    landmarks_L3: Float32
    box_4: Float32

    @cached_property
    def made_crop(self) -> UInt8:
        """(384, 384, 3) uint8 RGB."""
        return sample_crop(self.made, (0, 0), self.similarity_23, CROP_SIZE_PX)

    @cached_property
    def filmed_crop(self) -> UInt8:
        """(384, 384, 3) uint8 RGB."""
        return sample_crop(self.filmed, (0, 0), self.similarity_23, CROP_SIZE_PX)

    @cached_property
    def lumas(self) -> tuple[UInt8, UInt8]:
        """Luma of the made and of the filmed crop, (384, 384) uint8."""
        made, filmed = (cv2.cvtColor(crop, cv2.COLOR_RGB2GRAY) for crop in (self.made_crop, self.filmed_crop))
        return np.asarray(made, np.uint8), np.asarray(filmed, np.uint8)

    def in_crop(self, index_P: Int32) -> Float32:
        """(P, 2) some of the filmed landmarks, px of the crop."""
        return apply_similarity(self.similarity_23, self.landmarks_L3[index_P, :2])

    @cached_property
    def mouth_box(self) -> tuple[slice, slice]:
        """Rows and columns of the crop: the 39 filmed landmarks' box, grown by a quarter."""
        x0, y0, x1, y1 = mouth_box(self.in_crop(MOUTH_JAW))
        return slice(y0, y1), slice(x0, x1)

    @cached_property
    def shown_mask(self) -> tuple[tuple[int, int], Float32]:
        """Where the mouth is made, in the picture's own px: the compositor's mask for the filmed landmarks.

        Returns:
            Corner (x, y) of a part of the picture, which may leave it; and the part's mask, (h, w) in 0..1.
        """
        jaw, nose = self.landmarks_L3[MOUTH_JAW, :2], self.landmarks_L3[NOSE_BASE, :2]
        left, top, right, bottom = MOUTH_WINDOW
        window_42 = np.array([[left, top], [right, top], [right, bottom], [left, bottom]], np.float32)
        rendered_42 = apply_similarity(invert_similarity(self.similarity_23), window_42)
        unit_px = 1 / float(similarity_scale(self.similarity_23))
        points = np.concatenate([jaw, nose])
        margin = _MASK_MARGIN_PX * max(unit_px, 1)  # a mask is empty near its part's rim
        low, high = np.floor(points.min(axis=0) - margin), np.ceil(points.max(axis=0) + margin)
        (width, height), corner = (high - low).astype(int), low.astype(np.float32)
        mask_hw = mouth_mask(
            (jaw - corner,),
            nose - corner,
            (int(height), int(width)),
            unit_px=unit_px,
            patch_42=rendered_42 - corner,
        )
        return (int(low[0]), int(low[1])), mask_hw

    @cached_property
    def mask_HW(self) -> Float32:
        """(384, 384) in 0..1, the same in the crop."""
        corner, mask_hw = self.shown_mask
        levels = np.asarray(np.rint(mask_hw * 255), np.uint8)
        crop_HW = sample_crop(levels, corner, self.similarity_23, CROP_SIZE_PX)
        return np.asarray(crop_HW / np.float32(255), np.float32)

    @cached_property
    def made_part(self) -> MadePart:
        """The part of the pictures that holds the mask, in their own px."""
        (x0, y0), mask_hw = self.shown_mask
        height, width = self.filmed.shape[:2]
        rows = slice(max(y0, 0), max(min(y0 + mask_hw.shape[0], height), 0))
        columns = slice(max(x0, 0), max(min(x0 + mask_hw.shape[1], width), 0))
        inside = (slice(rows.start - y0, rows.stop - y0), slice(columns.start - x0, columns.stop - x0))
        is_lips_hw = np.zeros(mask_hw.shape, np.uint8)
        lips = self.landmarks_L3[MOUTH_OUTER, :2] - np.array([x0, y0], np.float32)
        cv2.fillConvexPoly(is_lips_hw, cv2.convexHull(np.rint(lips - 0.5).astype(np.int32)), (1,))
        made, filmed = (
            np.asarray(cv2.cvtColor(picture, cv2.COLOR_RGB2GRAY)[rows, columns], np.uint8)
            for picture in (self.made, self.filmed)
        )
        return MadePart((made, filmed), mask_hw[inside] > INSIDE, is_lips_hw[inside] > 0)


@dataclass(frozen=True)
class MaskedPair(Pair):
    """A pair of dubber's own making.

    Attributes:
        used_mask: Corner (x, y) in the picture, and (h, w) float32 in 0..1: where the compositor showed the
            patch.
    """

    used_mask: tuple[tuple[int, int], Float32]

    @cached_property
    def shown_mask(self) -> tuple[tuple[int, int], Float32]:
        """The very mask that the compositor used; see `Pair.shown_mask`."""
        return self.used_mask


class PairMeasure(Protocol):
    """Something that is measured over pairs of pictures."""

    def add(self, pair: Pair) -> None:
        """Look at the next pair."""

    def measures(self) -> Measures:
        """The numbers, by name; None where one has no meaning."""


def steady_boxes(track: FaceTrack) -> Float32:
    """(T, 4) the face's boxes, medians over half a second: a face that is cut out must not tremble."""
    return np.asarray(median_filter(track.boxes_T4, size=(_BOX_FRAMES, 1), mode="nearest"), np.float32)
