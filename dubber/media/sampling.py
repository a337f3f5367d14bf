"""Pictures from all over a video, for those who need to look at few and cannot wait for all."""

from __future__ import annotations

from collections.abc import Generator, Iterator
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from dubber.media.container import open_media, video_stream
from dubber.media.decoder import Decoder
from dubber.media.frame import Frame
from dubber.media.frame_maker import FrameMaker
from dubber.media.survey import SeekIndex, VideoFacts
from dubber.types import Int64

if TYPE_CHECKING:
    from av.video.frame import VideoFrame

_SEEK_DISTANCE_S = 3.0
"""Where no keyframes are known, a target so far ahead is sought; nearer ones are decoded up to."""


def spread_ticks(facts: VideoFacts, index: SeekIndex, count: int) -> Int64:
    """Times spread evenly over a video, each moved to a keyframe where one is near: that costs one picture.

    Args:
        facts: The video's length.
        index: Its keyframes.
        count: How many times, at most as many as there are frames.

    Returns:
        (K,) int64 ticks, increasing, K <= `count`.
    """
    count = max(min(count, facts.num_frames), 1)
    spacing = facts.duration_s / count / float(index.time_base)
    wanted_K = index.first_tick + (np.arange(count) + 0.5) * spacing
    return np.unique([near_keyframe(index, tick, spacing / 2) for tick in wanted_K])


def near_keyframe(index: SeekIndex, tick: float, reach: float) -> int:
    """The keyframe nearest to a time, if it is less than `reach` ticks away; else the time, rounded."""
    keyframes_K = index.keyframes_K
    if len(keyframes_K):
        nearest = int(keyframes_K[np.abs(keyframes_K - tick).argmin()])
        if abs(nearest - tick) < reach:
            return nearest
    return round(tick)


def pictures_at(path: Path, index: SeekIndex, ticks_K: Int64) -> Generator[tuple[int, Frame] | None]:
    """The pictures that follow chosen times.

    Args:
        path: The video.
        index: Its keyframes: what lies between is decoded only where something is wanted of it.
        ticks_K: (K,) int64, increasing.

    Yields:
        The first picture not before each time, with its own time in ticks; `Frame.pts` is not its time. Where
        no keyframes are known, one before it is near enough: what lies between would have to be decoded.
        None for each picture that was decoded on the way, so that the caller can give up in between. The end
        of the video ends it.

    Raises:
        MediaError: The file cannot be read.
    """
    if not len(ticks_K):
        return
    with open_media(path) as container:
        decoder = Decoder(container, video_stream(container, path))
        decoder.use_all_processors()
        maker = FrameMaker(index.clip)
        frames: Iterator[tuple[int, VideoFrame]] = decoder.frames()
        position = index.first_tick
        for tick in ticks_K.tolist():
            is_sought = _is_worth_seeking(index, position, tick) and _seek(decoder, index, tick)
            if is_sought:
                frames = decoder.frames()
            is_near_enough = is_sought and not len(index.keyframes_K)
            for pts, picture in frames:
                position = pts
                if pts >= tick or is_near_enough:
                    yield pts, maker.frame(picture, 0)
                    break
                yield None
            else:
                return


def _is_worth_seeking(index: SeekIndex, position: int, tick: int) -> bool:
    keyframes_K = index.keyframes_K
    if len(keyframes_K):
        return bool(((keyframes_K > position) & (keyframes_K <= tick)).any())
    return (tick - position) * float(index.time_base) > _SEEK_DISTANCE_S


def _seek(decoder: Decoder, index: SeekIndex, tick: int) -> bool:
    """Go before a time; some containers lead to a keyframe behind it, so ever earlier ones are asked for."""
    back = 0
    while not decoder.seek(max(tick - back, index.first_tick)):
        if tick - back <= index.first_tick:
            return False
        back = 2 * back + round(1 / float(index.time_base))
    return True
