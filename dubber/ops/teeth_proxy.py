"""Choosing, for each made mouth, the target's own frame whose teeth it may borrow.

Source: EBT Appendix F: the proxy is the frame whose inner mouth overlaps best (intersection over union, laid
on each other at the mouth's centre); all crops share one scale. That proxies stay for a while, and what else
counts besides the overlap, is dubber's own (method.md section 5, "Teeth").

Index letters: N output frames, T frames that may lend, M = 39 mouth and jaw landmarks.
"""

from __future__ import annotations

from dataclasses import dataclass

import cv2
import numpy as np

from dubber.ops.landmarks import MOUTH_INNER, MOUTH_OUTER
from dubber.types import Bool, Float32, Int32, UInt8

INNER_LIPS = slice(len(MOUTH_OUTER), len(MOUTH_OUTER) + len(MOUTH_INNER))
"""Where the inner lips' 8 points are among the 39."""

NO_PROXY = -1

_OUTERMOST = [0, 3, 6, 9]
"""Corners, top and bottom of the outer lips among the 39."""

_CELLS = 64
_CELL_PX = 2.0
"""The masks' grid: 64 x 64 cells of 2 px of the 384 crop hold every mouth, and fit into 512 bytes."""

_SUBPIXEL_BITS = 4
_CHUNK = 256
_BLOCK = 1024
"""Output frames and lenders that are compared at a time; their bits are unpacked for that."""


def inner_mouth_areas(landmarks_NM2: Float32, unit_px: float) -> Float32:
    """Area of the inner-lip polygon.

    Args:
        landmarks_NM2: (N, 39, 2) px.
        unit_px: Pixels that a pixel of the 384 crop is.

    Returns:
        (N,) float32 square px of the 384 crop, at least 0: lips that cross have none.
    """
    points = np.asarray(landmarks_NM2[:, INNER_LIPS], np.float64) / unit_px
    after = np.roll(points, -1, axis=1)
    twice = (points[..., 0] * after[..., 1] - points[..., 1] * after[..., 0]).sum(1)
    return np.asarray(np.maximum(twice / 2, 0), np.float32)


def inner_mouth_masks(landmarks_NM2: Float32, unit_px: float) -> UInt8:
    """The inner-lip polygons around the mouths' centres, one bit per cell.

    Args:
        landmarks_NM2: (N, 39, 2) px.
        unit_px: Pixels that a pixel of the 384 crop is.

    Returns:
        (N, 512) uint8, rows of 64 x 64 cells of 2 px of the 384 crop each.
    """
    centre_N12 = landmarks_NM2[:, _OUTERMOST].mean(1, keepdims=True)
    cells = (landmarks_NM2[:, INNER_LIPS] - centre_N12) / (unit_px * _CELL_PX) + _CELLS / 2 - 0.5
    fixed = np.rint(cells * 2**_SUBPIXEL_BITS).astype(np.int32)
    masks_NB = np.empty((len(fixed), _CELLS * _CELLS // 8), np.uint8)
    for mask_B, polygon in zip(masks_NB, fixed, strict=True):
        cells_YX = np.zeros((_CELLS, _CELLS), np.uint8)
        cv2.fillPoly(cells_YX, [polygon], (1.0,), cv2.LINE_8, _SUBPIXEL_BITS)
        mask_B[:] = np.packbits(cells_YX)
    return masks_NB


def mask_iou(masks_AB: UInt8, others_CB: UInt8) -> Float32:
    """Intersection over union of every mask of one set with every mask of another.

    Args:
        masks_AB: (A, B) uint8 bit masks.
        others_CB: (C, B) uint8 bit masks.

    Returns:
        (A, C) float32 in 0..1; 0 where both are empty.
    """
    # With bits as numbers a matrix product counts the common ones, exactly and several times as fast as a
    # table of bit counts: numpy before version 2 has no other.
    bits, others = (np.unpackbits(masks, axis=1).astype(np.float32) for masks in (masks_AB, others_CB))
    common = bits @ others.T
    union = bits.sum(1)[:, None] + others.sum(1) - common
    return np.asarray(common / np.maximum(union, 1), np.float32)


@dataclass(frozen=True)
class MouthViews:
    """What the search compares, of N mouths.

    Attributes:
        masks_NB: (N, 512) uint8, see `inner_mouth_masks`.
        turn_N2: (N, 2) float32 a measure of the head's turn in px of the 384 crop.
        scale_N: (N,) float32 crop px that a px of the picture became.
    """

    masks_NB: UInt8
    turn_N2: Float32
    scale_N: Float32


@dataclass(frozen=True)
class ProxyCost:
    """What a proxy costs; one unit is the whole overlap.

    Attributes:
        min_iou: Proxies that overlap less are never taken.
        turn: Price of a px by which the head is turned otherwise.
        scale: Price of a doubling or halving of the face's size in the picture.
        flaw: Price of a proxy of the worst quality.
        switch: Price of a change of proxy; a proxy stays until others are better by that in sum.
    """

    min_iou: float = 0.5
    turn: float = 0.02
    scale: float = 0.1
    flaw: float = 0.1
    switch: float = 0.5


def proxy_path(
    wanted: MouthViews,
    lenders: MouthViews,
    quality_T: Float32,
    is_open_N: Bool,
    starts_anew_N: Bool,
    cost: ProxyCost,
) -> Int32:
    """The cheapest sequence of proxies.

    Args:
        wanted: The output's mouths.
        lenders: The mouths that may lend.
        quality_T: (T,) float32 in 0..1 how good each lender's picture is.
        is_open_N: (N,) bool; a shut mouth has no proxy, and behind it the choice is free.
        starts_anew_N: (N,) bool, nothing is continued from the frame before.
        cost: Prices.

    Returns:
        (N,) int32 lenders, `NO_PROXY` where the mouth is shut or nobody is similar enough. Ties go to the
        earlier lender. Memory is that of a bit for each pair.

    Source: Viterbi 1967; with one price for all changes a frame's best arrival is the cheaper of staying and
    of changing from whatever was cheapest.
    """
    num_frames, num_lenders = len(is_open_N), len(quality_T)
    path = np.full(num_frames, NO_PROXY, np.int32)
    if num_lenders == 0:
        return path
    # "None" is one more choice. It costs as much as the worst that is allowed, so that a proxy is never
    # preferred for overlapping too little by a hair.
    price_of_none = (1 - cost.min_iou) + cost.flaw
    stays_NT = np.zeros((num_frames, (num_lenders + 8) // 8), np.uint8)
    best_N = np.zeros(num_frames, np.int32)
    total = np.zeros(num_lenders + 1)
    begins_N = starts_anew_N | ~is_open_N | np.concatenate([[True], ~is_open_N[:-1]])[:num_frames]
    for start in range(0, num_frames, _CHUNK):
        chunk = slice(start, min(start + _CHUNK, num_frames))
        prices = np.full((chunk.stop - start, num_lenders + 1), price_of_none)
        prices[:, :-1] = _prices(wanted, lenders, quality_T, chunk, cost)
        for n, price in enumerate(prices, start):
            if begins_N[n]:
                stays, arrival = np.zeros(num_lenders + 1, np.bool_), np.full(num_lenders + 1, total.min())
            else:
                changed = total.min() + cost.switch
                stays, arrival = total <= changed, np.minimum(total, changed)
            best_N[n] = total.argmin()
            stays_NT[n] = np.packbits(stays)
            total = arrival + (price if is_open_N[n] else 0.0)
            # Only differences matter: taking the least off keeps long clips exact.
            total -= total.min()
    choice = int(total.argmin())
    for n in range(num_frames - 1, -1, -1):
        if is_open_N[n] and choice < num_lenders:
            path[n] = choice
        if not np.unpackbits(stays_NT[n, choice // 8 : choice // 8 + 1])[choice % 8]:
            choice = int(best_N[n])
    return path


def _prices(
    wanted: MouthViews, lenders: MouthViews, quality_T: Float32, frames: slice, cost: ProxyCost
) -> Float32:
    """(n, T) price of each lender at some frames, infinite where it may not be taken."""
    blocks = range(0, len(lenders.masks_NB), _BLOCK)
    iou = np.concatenate(
        [mask_iou(wanted.masks_NB[frames], lenders.masks_NB[t : t + _BLOCK]) for t in blocks], axis=1
    )
    turned = np.linalg.norm(wanted.turn_N2[frames, None] - lenders.turn_N2, axis=2)
    sized = np.abs(np.log2(wanted.scale_N[frames, None] / lenders.scale_N))
    price = 1 - iou + cost.turn * turned + cost.scale * sized + cost.flaw * (1 - quality_T)
    return np.asarray(np.where(iou >= cost.min_iou, price, np.inf), np.float32)


def proxy_shares(path_N: Int32, starts_anew_N: Bool, radius: int) -> list[dict[int, float]]:
    """Proxies and their shares at each output frame, so that a change becomes a short dissolve.

    Args:
        path_N: (N,) int32 proxies, `NO_PROXY` where there is none.
        starts_anew_N: (N,) bool, nothing dissolves across this frame's beginning.
        radius: Frames to either side that vote, with triangular weights; 0 switches dissolving off.

    Returns:
        N dictionaries from proxy to share; empty where the frame has none. Shares sum to at most one: towards
        frames without a proxy the effect fades.
    """
    group_N = np.cumsum(starts_anew_N)
    shares: list[dict[int, float]] = []
    for n, own in enumerate(path_N):
        votes: dict[int, float] = {}
        whole = 0.0
        for other in range(max(n - radius, 0), min(n + radius + 1, len(path_N))):
            if own == NO_PROXY or group_N[other] != group_N[n]:
                continue
            weight = 1.0 - abs(other - n) / (radius + 1)
            whole += weight
            if (proxy := int(path_N[other])) != NO_PROXY:
                votes[proxy] = votes.get(proxy, 0.0) + weight
        shares.append({proxy: weight / whole for proxy, weight in sorted(votes.items())})
    return shares
