"""Putting one mouth patch into one frame. Loaded only when a blend stage runs.

Index letters: N output frames, M = 39 mouth and jaw landmarks, B = 5 points along the nose's base.
"""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

import cv2
import numpy as np

from dubber.media.frame import Frame
from dubber.media.part import Part, Planes, planes_of
from dubber.ops.align import apply_similarity, invert_similarity, similarity_scale, smooth_per_segment
from dubber.ops.grain import GrainMatcher
from dubber.ops.landmarks import MOUTH_OUTER, NOSE_BASE, NUM_MOUTH
from dubber.ops.masks import MaskShape, mouth_mask
from dubber.ops.occlusion import occlusion
from dubber.ops.optical_flow import half_flow, halfway_plane
from dubber.ops.poisson import poisson_blend
from dubber.ops.portions import picked
from dubber.ops.warp import landmark_displacement, paste_crop
from dubber.stages.mouth_geometry import shown_halfway
from dubber.types import CROP_SIZE_PX, Bool, FaceTrack, Float32, Int32, Mouths, RetimeMap, UInt8

if TYPE_CHECKING:
    from dubber.stages.blend import BlendParams

_GROWTH = 0.25
"""The part of the frame that is worked on: the landmarks' box, grown by this part of its size on each
side.
"""

_STILL_PX = 0.05
"""A jaw that is to move less than this stays untouched."""

_CELL_PX = 5
"""Distance of the nodes on which the blend's membrane is solved, px of the 384 crop."""

_CHROMA_SHARE = 0.25
"""How much less the patch's chroma may be bent than its luma: skin varies in light, little in hue."""

_LIP_MARGIN_PX = 6
"""What is so near to the lips, px of the 384 crop, is not plain skin."""

_MOSTLY_PATCH = 0.5
"""Where the mask is above this, the patch is mostly what is seen."""

_MOSTLY_COVERED = 0.5
"""Where more of the lips than this is behind something, the frame is left as it is."""

_JAW_GRID_PX = 8
"""Distance of the nodes at which the jaw's warp is evaluated, px of the 384 crop."""

_TAPER = 0.12
"""Share of the box's sides over which the jaw's warp fades out."""


class Compositor:
    """Puts patches into frames, which come in order: it learns the film's grain as they pass.

    Args:
        params: See `BlendParams`.
        track: Knows the nose.
        retime: Which source frame each output frame shows.
        mouths: Landmarks and similarities of the patches.
        grain: What is known of the film's grain already.
    """

    def __init__(
        self,
        params: BlendParams,
        track: FaceTrack,
        retime: RetimeMap,
        mouths: Mouths,
        grain: GrainMatcher | None = None,
    ) -> None:
        self._params = params
        self._similarity_N23 = mouths.similarity_N23
        self._unit_px_N = mouths.crop_size_px / CROP_SIZE_PX / similarity_scale(mouths.similarity_N23)
        index_N = retime.source_index_N
        next_N = index_N + shown_halfway(track, retime)
        shot_N = track.shot_id_T[index_N]
        to_display_N23 = _inverse_where(mouths.similarity_N23, mouths.has_patch_N)
        self._wanted_NM2 = apply_similarity(to_display_N23, mouths.landmarks_NM2)
        self._own_NM2 = apply_similarity(to_display_N23, mouths.source_landmarks_NM2)
        height, width = mouths.patch_size
        corners_42 = np.array([[0, 0], [width, 0], [width, height], [0, height]], np.float32)
        self._patch_N42 = apply_similarity(to_display_N23, corners_42)
        nose_NB2, nose_after_NB2 = (
            picked(track.landmarks_TL3, NOSE_BASE, frames_N)[..., :2] for frames_N in (index_N, next_N)
        )
        self._nose_NB2 = np.asarray((nose_NB2 + nose_after_NB2) / 2, np.float32)
        # The mask's edge must not tremble with the tracker, nor the jaw's warp.
        calm = smooth_per_segment(
            np.concatenate([self._wanted_NM2, self._own_NM2, self._nose_NB2], 1),
            mouths.has_patch_N,
            shot_N,
            1.0,
        )
        self._calm_wanted_NM2, self._calm_own_NM2, self._calm_nose_NB2 = np.split(calm, [39, 78], 1)
        self._grain = grain or GrainMatcher(params.grain)
        self._strength_N = fade_strength(mouths.has_patch_N, shot_N, params.fade_frames)

    def composite(self, n: int, frame: Frame, patch: UInt8) -> Frame:
        """The output frame.

        Args:
            n: Its number.
            frame: The source picture.
            patch: (height, width, 3) uint8.

        Returns:
            The frame; pixels outside the mask and the moved jaw are the source's, bit for bit.
        """
        unit_px = float(self._unit_px_N[n])
        part = Part(*self._part(n, frame.size))
        source = part.cut(frame)
        planes = self._moved_jaw(n, source, part.corner, unit_px)
        mask_HW = self._mask(n, part.corner, part.size, unit_px)
        scale = max(2, round(_CELL_PX * unit_px))
        box = _masked_box(mask_HW, 2 * scale)
        if box is not None:
            rows, columns = box
            inner = Part(
                (part.corner[0] + columns.start, part.corner[1] + rows.start),
                (rows.stop - rows.start, columns.stop - columns.start),
            )
            base = inner.views(planes, part)
            y, u, v = _pasted(planes_of(patch, frame.color), inner, self._similarity_N23[n])
            is_lips_HW = self._lips(n, inner, unit_px)
            is_skin_HW = (mask_HW[box] > _MOSTLY_PATCH) & ~is_lips_HW
            filmed = inner.views(source, part)
            if self._params.keeps_occluded:
                covered_HW = occlusion(base, (y, u, v), is_skin_HW, is_lips_HW, unit_px)
                if covered_HW is not None:
                    if float(covered_HW[is_lips_HW].mean()) > _MOSTLY_COVERED:
                        return frame
                    mask_HW[box] *= 1 - covered_HW
                    is_skin_HW &= covered_HW == 0
            if self._params.grain > 0:
                y = self._grain.match(y, filmed[0], is_skin_HW, is_lips_HW, n)
            limit = self._params.color_limit
            limits = (limit, limit * _CHROMA_SHARE, limit * _CHROMA_SHARE)
            mixed = poisson_blend(base, (y, u, v), mask_HW[box], scale, limits)
            for plane, new in zip(base, mixed, strict=True):
                plane[...] = new
        return part.put(frame, planes)

    def mask(self, n: int, frame_size: tuple[int, int]) -> tuple[tuple[int, int], Float32]:
        """Where a patch is seen.

        Args:
            n: Number of the output frame.
            frame_size: Its (height, width).

        Returns:
            Corner (x, y) of a part of the frame, px, which may leave the frame; and the part's mask, (H, W)
            float32 in 0..1.
        """
        corner, size = self._part(n, frame_size)
        return corner, self._mask(n, corner, size, float(self._unit_px_N[n]))

    def _part(self, n: int, frame_size: tuple[int, int]) -> tuple[tuple[int, int], tuple[int, int]]:
        """Corner (x, y) and size (height, width) of the part worked on, whole px; it may leave the frame."""
        points = np.concatenate([self._wanted_NM2[n], self._own_NM2[n], self._nose_NB2[n]])
        low, high = points.min(0), points.max(0)
        margin = (high - low) * _GROWTH + 8
        # Far outside the frame there is nothing to see.
        limit = np.array(frame_size[::-1], np.float32)
        # Not upward: the jaw's warp must leave the eyes alone.
        low = np.clip(np.floor((low - margin * [1, 0]) / 2) * 2, -limit, limit - 16).astype(int)
        high = np.clip(np.ceil((high + margin) / 2) * 2, low + 16, 2 * limit).astype(int)
        return (int(low[0]), int(low[1])), (int(high[1] - low[1]), int(high[0] - low[0]))

    def _moved_jaw(self, n: int, planes: Planes, corner: tuple[int, int], unit_px: float) -> Planes:
        """The source picture with its jaw where it is wanted."""
        height, width = planes[0].shape
        wanted, own = (
            np.concatenate([points[n, NUM_MOUTH:], self._calm_nose_NB2[n]]) - np.asarray(corner, np.float32)
            for points in (self._calm_wanted_NM2, self._calm_own_NM2)
        )
        if not self._params.is_jaw_moved or np.abs(wanted - own).max() < _STILL_PX * unit_px:
            return planes
        # The field is smooth: half its resolution will do, which is chroma's.
        size = (height // 2, width // 2)
        field_hw2 = landmark_displacement(
            wanted / 2, own / 2, size, unit_px=unit_px / 2, grid_px=_JAW_GRID_PX
        )
        fade_hw = self._strength_N[n] * _taper(size)
        x_hw, y_hw = field_hw2[..., 0] * fade_hw, field_hw2[..., 1] * fade_hw
        is_moved_hw = np.maximum(np.abs(x_hw), np.abs(y_hw)) > _STILL_PX * unit_px / 2
        if not is_moved_hw.any():
            return planes
        # Pixels that are not moved stay the source's, bit for bit.
        x_hw *= is_moved_hw
        y_hw *= is_moved_hw
        left, top, columns, rows = cv2.boundingRect(is_moved_hw.view(np.uint8))
        of_chroma = (slice(top, top + rows), slice(left, left + columns))
        of_luma = (slice(2 * top, 2 * (top + rows)), slice(2 * left, 2 * (left + columns)))
        x_HW, y_HW = (
            2 * cv2.resize(part_hw, (width, height), interpolation=cv2.INTER_LINEAR)
            for part_hw in (x_hw, y_hw)
        )
        y, u, v = planes
        moved_y, moved_u, moved_v = (plane.copy() for plane in planes)
        moved_y[of_luma] = _pulled(y, x_HW, y_HW, of_luma)
        chroma = _pulled(np.asarray(cv2.merge([u, v]), np.uint8), x_hw, y_hw, of_chroma)
        moved_u[of_chroma], moved_v[of_chroma] = cv2.split(chroma)
        return moved_y, moved_u, moved_v

    def _lips(self, n: int, part: Part, unit_px: float) -> Bool:
        """(H, W) True on the lips of the source and of the patch, and near to them."""
        lips_HW = np.zeros(part.size, np.uint8)
        for points_NM2 in (self._calm_wanted_NM2, self._calm_own_NM2):
            outline_P2 = points_NM2[n, : len(MOUTH_OUTER)] - np.asarray(part.corner, np.float32)
            hull = np.rint(cv2.convexHull(outline_P2)).astype(np.int32)
            cv2.fillConvexPoly(lips_HW, hull, (1,))
            cv2.polylines(lips_HW, [hull], True, (1,), max(1, round(2 * _LIP_MARGIN_PX * unit_px)))
        return lips_HW.view(np.bool_)

    def _mask(self, n: int, corner: tuple[int, int], size: tuple[int, int], unit_px: float) -> Float32:
        params = self._params
        shape = MaskShape(params.erode_px, params.feather_px, params.below_nose_px)
        offset = np.asarray(corner, np.float32)
        hulls = [self._calm_wanted_NM2[n] - offset]
        if not params.is_jaw_moved:
            hulls.append(self._calm_own_NM2[n] - offset)
        nose, patch = self._calm_nose_NB2[n] - offset, self._patch_N42[n] - offset
        mask = mouth_mask(tuple(hulls), nose, size, shape, unit_px, patch)
        return np.asarray(mask * self._strength_N[n], np.float32)


def halfway_frame(first: Frame, second: Frame) -> Frame:
    """The picture half-way between two frames, with the first one's index and time."""
    flows = half_flow(first.y, second.y)
    y, u, v = (halfway_plane(a, b, flows) for a, b in zip(first.planes, second.planes, strict=True))
    coded = first.coded
    if coded is not None and second.coded is not None:
        pairs = zip(coded.planes, second.coded.planes, strict=True)
        planes = tuple(halfway_plane(a, b, flows) for a, b in pairs)
        coded = replace(coded, planes=planes, view=(y, u, v))
    return replace(first, y=y, u=u, v=v, coded=coded)


def fade_strength(has_patch_N: Bool, shot_id_N: Int32, fade_frames: int) -> Float32:
    """How visible each mouth is: it fades where, within a shot, a neighbour has none.

    Args:
        has_patch_N: (N,) bool.
        shot_id_N: (N,) int.
        fade_frames: Frames that are only partly visible next to a gap.

    Returns:
        (N,) float32 in 0..1; 0 where there is no patch.
    """
    strength_N = has_patch_N.astype(np.float32)
    index_N = np.arange(len(has_patch_N))
    for offset in range(1, fade_frames + 1):
        for other_N in (index_N - offset, index_N + offset):
            is_there_N = (other_N >= 0) & (other_N < len(index_N))
            other_N = np.clip(other_N, 0, len(index_N) - 1)
            is_gap_N = is_there_N & (shot_id_N[other_N] == shot_id_N) & ~has_patch_N[other_N]
            share = np.float32(offset / (fade_frames + 1))
            strength_N[is_gap_N] = np.minimum(strength_N[is_gap_N], share)
    return strength_N


def _inverse_where(similarity_N23: Float32, has_patch_N: Bool) -> Float32:
    """Inverses; the identity where there is no patch and the matrix may mean nothing."""
    safe = np.where(has_patch_N[:, None, None], similarity_N23, np.eye(2, 3, dtype=np.float32))
    return invert_similarity(safe)


def _taper(size: tuple[int, int]) -> Float32:
    """1 inside, 0 on the rim, smooth between, (H, W)."""
    profiles = []
    for side in size:
        place = (np.arange(side, dtype=np.float32) + 0.5) / side
        t = np.clip(np.minimum(place, 1 - place) / _TAPER - 0.05, 0, 1)
        profiles.append(t * t * (3 - 2 * t))
    return np.asarray(profiles[0][:, None] * profiles[1], np.float32)


def _masked_box(mask_HW: Float32, margin_px: int) -> tuple[slice, slice] | None:
    """Rows and columns, even, of where a mask is above 0, with a margin; None where it is nowhere."""
    left, top, columns, rows = cv2.boundingRect((mask_HW > 0).view(np.uint8))
    if not rows:
        return None
    height, width = mask_HW.shape
    return _even_range(top, rows, margin_px, height), _even_range(left, columns, margin_px, width)


def _even_range(first: int, length: int, margin_px: int, side: int) -> slice:
    """From an even to an even place, with a margin where the side has room."""
    start, stop = max(first - margin_px, 0), min(first + length + margin_px, side)
    return slice(start // 2 * 2, -(-stop // 2) * 2)


def _pulled(plane: UInt8, x_HW: Float32, y_HW: Float32, box: tuple[slice, slice]) -> UInt8:
    """A box of a plane, (H, W) or (H, W, C), whose pixels are fetched from (x, y) px away."""
    rows, columns = box
    map_x = x_HW[box] + np.arange(columns.start, columns.stop, dtype=np.float32)
    map_y = y_HW[box] + np.arange(rows.start, rows.stop, dtype=np.float32)[:, None]
    pulled = cv2.remap(plane, map_x, map_y, cv2.INTER_CUBIC, borderMode=cv2.BORDER_REPLICATE)
    return np.asarray(pulled, np.uint8)


def _pasted(patch_planes: Planes, part: Part, similarity_23: Float32) -> Planes:
    """A patch, planes of one size, over a part of the frame."""
    y, *chroma = patch_planes
    height, width = part.size
    halves = [cv2.resize(plane, None, fx=0.5, fy=0.5, interpolation=cv2.INTER_AREA) for plane in chroma]
    # Chroma samples lie on the left luma column of their block (`media.color`): half a luma px to the left of
    # the middle.
    to_half_23 = np.asarray(similarity_23, np.float32).copy()
    to_half_23[:, 2] -= to_half_23[:, :2] @ np.array([0.5, 0], np.float32)
    to_half_23[:, 2] /= 2
    corner = part.corner[0] // 2, part.corner[1] // 2
    u, v = (
        paste_crop(np.asarray(half, np.uint8), corner, to_half_23, (height // 2, width // 2))
        for half in halves
    )
    return paste_crop(y, part.corner, similarity_23, part.size), u, v
