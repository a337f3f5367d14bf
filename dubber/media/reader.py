"""Reading frames: upright, with exact timestamps, in order or at chosen indices, in bounded memory."""

from __future__ import annotations

from collections.abc import Generator, Sequence
from pathlib import Path

import numpy as np

from dubber.errors import MediaError
from dubber.media.container import INCOMPLETE_ADVICE
from dubber.media.decoder import decoded_from
from dubber.media.frame import Frame
from dubber.media.frame_maker import FrameMaker
from dubber.media.layout import frame_bytes
from dubber.types import Clip, Int32, Int64

MAX_CACHED_FRAMES = 64
MAX_CACHED_BYTES = 256 * 2**20
"""Bounds of what reading out of order may hold; whichever is reached first."""

_SEEK_INSTEAD_OF_DECODING = 300
"""A gap so long that seeking over it beats decoding through it (a usual keyframe distance is 250)."""


def read_frames(path: Path, clip: Clip, start: int = 0, stop: int | None = None) -> Generator[Frame]:
    """Frames `start` to `stop` in order; closing the generator closes the file.

    Args:
        path: The file `clip` was probed from.
        clip: What probing told.
        start: First index.
        stop: One behind the last index; None for all.

    Yields:
        One frame per index. Where the file now lacks a frame that probing found, its predecessor is repeated.

    Raises:
        MediaError: The file cannot be read any more.
    """
    stop = clip.num_frames if stop is None else min(stop, clip.num_frames)
    if start < stop:
        yield from _forward(path, clip, start, stop)


def read_frames_at(
    path: Path, clip: Clip, source_index_N: Int32 | Sequence[int], *, is_alone: bool = False
) -> Generator[Frame]:
    """Frames at chosen indices, in that order: forward, repeated, jumping back or running backward.

    Running backward decodes in chunks that fit the cache, so each keyframe interval is decoded a few times
    rather than once per frame.

    Args:
        path: The file `clip` was probed from.
        clip: What probing told.
        source_index_N: (N,) indices of source frames.
        is_alone: Nothing else can run before these frames are there: all processors decode.

    Yields:
        One frame per entry; `Frame.index` and `Frame.pts` are the source's.

    Raises:
        MediaError: The file cannot be read any more.
        IndexError: An index is outside the clip.
    """
    wanted_N = np.asarray(source_index_N, np.int64)
    if len(wanted_N) and (wanted_N.min() < 0 or wanted_N.max() >= clip.num_frames):
        raise IndexError(f"frame indices must lie in 0..{clip.num_frames - 1}")
    # Only what is gone back to is worth keeping; one more for the frame after a half-way picture.
    reach = int((np.maximum.accumulate(wanted_N) - wanted_N).max(initial=0))
    capacity = min(cache_capacity(clip), reach + 2)
    cache: dict[int, Frame] = {}
    stream: Generator[Frame] | None = None
    position = 0  # index of the frame `stream` gives next
    try:
        for n, index in enumerate(wanted_N.tolist()):
            if index not in cache:
                if stream is None or index < position or index - position > _SEEK_INSTEAD_OF_DECODING:
                    if stream is not None:
                        stream.close()
                    position = index - (capacity - 1 if _runs_backward(wanted_N, n) else 0)
                    position = max(position, 0)
                    stream = _forward(path, clip, position, clip.num_frames, is_alone=is_alone)
                while position <= index:
                    frame = next(stream)
                    if len(cache) >= capacity:
                        del cache[next(iter(cache))]
                    cache.pop(frame.index, None)
                    cache[frame.index] = frame
                    position += 1
            yield cache[index]
    finally:
        if stream is not None:
            stream.close()


def cache_capacity(clip: Clip) -> int:
    """Frames of a clip that reading out of order may keep, at least 4."""
    return max(4, min(MAX_CACHED_FRAMES, MAX_CACHED_BYTES // frame_bytes(clip)))


def _runs_backward(wanted_N: Int64, n: int) -> bool:
    """Whether the next other frame after entry `n` is an earlier one."""
    others = np.flatnonzero(wanted_N[n:] != wanted_N[n])
    return bool(len(others)) and bool(wanted_N[n + others[0]] < wanted_N[n])


def _forward(path: Path, clip: Clip, start: int, stop: int, *, is_alone: bool = False) -> Generator[Frame]:
    """Frames start..stop, each with the timestamp probing found for it."""
    make = FrameMaker(clip)
    index = start
    held: Frame | None = None
    for pts, picture in decoded_from(path, clip, start, is_alone=is_alone):
        while index < stop and clip.pts_T[index] < pts and held is not None:
            held = make.repeated(held, index)
            yield held
            index += 1
        if index >= stop:
            return
        if pts < clip.pts_T[index]:
            continue
        held = make.frame(picture, index)
        yield held
        index += 1
        if index >= stop:
            return
    while index < stop:
        if held is None:
            raise MediaError("The video can no longer be decoded.", where=str(path), advice=INCOMPLETE_ADVICE)
        held = make.repeated(held, index)
        yield held
        index += 1
