"""Reading video: exact timestamps, upright frames, in order or at chosen indices, in bounded memory."""

from __future__ import annotations

import logging
from collections.abc import Generator, Iterator, Sequence
from contextlib import contextmanager
from fractions import Fraction
from pathlib import Path
from typing import TYPE_CHECKING

import av
import av.error
import numpy as np

from dubber.errors import MediaError
from dubber.media.color import MATRIX_BT709, RANGE_FULL, RANGE_LIMITED, UNSPECIFIED, resolve_color
from dubber.media.container import INCOMPLETE_ADVICE, open_media, video_stream
from dubber.media.frame import Frame
from dubber.types import Clip, ColorTags, Int32, Int64, UInt8

if TYPE_CHECKING:
    from av.container import InputContainer
    from av.video.frame import VideoFrame
    from av.video.stream import VideoStream

logger = logging.getLogger(__name__)

MAX_CACHED_FRAMES = 64
MAX_CACHED_BYTES = 256 * 2**20
"""Bounds of what reading out of order may hold; whichever is reached first."""

_SEEK_INSTEAD_OF_DECODING = 300
"""A gap so long that seeking over it beats decoding through it (a usual keyframe distance is 250)."""

_TIMES_ONLY = {"skip_loop_filter": "all", "skip_idct": "all"}
"""Options of a decoder whose pictures nobody looks at: it parses all, so that it meets the same damage, and
leaves out what only makes the pixels.
"""

_PLAIN_FORMATS = {"yuv420p", "yuvj420p"}


class Decoder:
    """Decodes one stream forward, skips what is damaged, and can go back to a keyframe.

    Attributes:
        num_damaged: Packets and frames that were skipped.
    """

    def __init__(self, container: InputContainer, stream: VideoStream) -> None:
        self.num_damaged = 0
        self._container = container
        self._stream = stream
        self._first_valid_pts: int | None = None

    def use_all_processors(self) -> None:
        """Decode with several threads; to be asked before the first frame."""
        self._stream.thread_type = "AUTO"

    def frames(self) -> Iterator[tuple[int, VideoFrame]]:
        """Frames with their timestamps, strictly increasing, from where the decoder stands."""
        previous: int | None = None
        for frame in self._decoded():
            pts = frame.pts if frame.pts is not None else frame.dts
            if pts is None or (previous is not None and pts <= previous):
                self.num_damaged += 1
                continue
            if self._first_valid_pts is not None and pts < self._first_valid_pts:
                continue
            previous = pts
            yield pts, frame

    def seek(self, pts: int) -> bool:
        """Go to a keyframe at or before a time; the frames that follow are exact.

        Returns:
            False when the container led to a place behind `pts`: seek earlier, or reopen.
        """
        try:
            self._container.seek(pts, stream=self._stream, backward=True)
        except av.error.FFmpegError:
            return False
        for packet in self._container.demux(self._stream):
            if packet.is_keyframe and packet.size:
                key_pts = packet.pts if packet.pts is not None else packet.dts
                break
        else:
            return False
        # Pictures that precede the keyframe in display order may lack their references: they are dropped.
        self._first_valid_pts = key_pts
        if key_pts is None or key_pts > pts:
            return False
        self._container.seek(pts, stream=self._stream, backward=True)
        return True

    def _decoded(self) -> Iterator[VideoFrame]:
        packets = self._container.demux(self._stream)
        while True:
            try:
                packet = next(packets)
            except StopIteration:
                return
            except av.error.InvalidDataError:
                self.num_damaged += 1
                continue
            except av.error.EOFError:
                return
            try:
                yield from self._stream.decode(packet)
            except av.error.EOFError:
                return
            except av.error.FFmpegError:
                self.num_damaged += 1


def probe(path: Path) -> Clip:
    """Decode a video once to learn what it truly holds.

    Args:
        path: Any file FFmpeg can read.

    Returns:
        The clip; `color` tells what the frames of `read_frames` mean, so RGB footage is tagged as what it is
        converted to. `pixel_aspect` is that of the upright picture.

    Raises:
        MediaError: Missing, a folder, damaged, cut off, without video, or nothing in it decodes.
    """
    with open_media(path) as container:
        stream = video_stream(container, path)
        stream.codec_context.options = {**stream.codec_context.options, **_TIMES_ONLY}
        decoder = Decoder(container, stream)
        decoder.use_all_processors()  # nothing else can run before the frames are known
        first, last = None, None
        ticks: list[int] = []
        for pts, frame in decoder.frames():
            first = first or frame
            last = frame
            ticks.append(pts)
        if first is None or last is None:
            message = "No frame of the video can be decoded."
            raise MediaError(message, where=str(path), advice=INCOMPLETE_ADVICE)
        _check_complete(path, stream, len(ticks))
        if decoder.num_damaged:
            logger.warning("%s: %d damaged frames are left out.", path.name, decoder.num_damaged)
        if first.format.name not in _PLAIN_FORMATS:
            logger.warning("%s: %s is converted to 8 bit 4:2:0.", path.name, first.format.name)
        rotation = _clockwise_rotation(first, stream)
        size = (first.height, first.width) if rotation % 180 == 0 else (first.width, first.height)
        aspect = Fraction(stream.sample_aspect_ratio or 1) or Fraction(1)
        assert stream.time_base is not None  # noqa: S101 - streams that decode have one; for the type checker
        return Clip(
            pts_T=np.array(ticks, np.int64),
            time_base=stream.time_base,
            end_pts=_end_pts(ticks, last, stream),
            size=size,
            rotation_deg=rotation,
            pixel_aspect=aspect if rotation % 180 == 0 else 1 / aspect,
            pixel_format=first.format.name,
            color=_color_tags(first, stream),
            codec=stream.codec_context.name,
            bit_rate=int(stream.bit_rate or container.bit_rate or 0),
            has_audio=bool(container.streams.audio),
        )


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
    capacity = min(cache_capacity(clip.size), reach + 2)
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


def cache_capacity(size: tuple[int, int]) -> int:
    """Frames of a size that reading out of order may keep, at least 4."""
    return max(4, min(MAX_CACHED_FRAMES, MAX_CACHED_BYTES * 2 // (3 * size[0] * size[1])))


def _runs_backward(wanted_N: Int64, n: int) -> bool:
    """Whether the next other frame after entry `n` is an earlier one."""
    others = np.flatnonzero(wanted_N[n:] != wanted_N[n])
    return bool(len(others)) and bool(wanted_N[n + others[0]] < wanted_N[n])


def _forward(path: Path, clip: Clip, start: int, stop: int, *, is_alone: bool = False) -> Generator[Frame]:
    """Frames start..stop, each with the timestamp probing found for it."""
    make = _FrameMaker(clip)
    index = start
    held: Frame | None = None
    for pts, picture in _decoded_from(path, clip, start, is_alone=is_alone):
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


@contextmanager
def _positioned(path: Path, clip: Clip, start: int) -> Iterator[Decoder]:
    """An open decoder whose next frames include frame `start`."""
    step = 1
    index = start
    with open_media(path) as container:
        decoder = Decoder(container, video_stream(container, path))
        # Containers may lead to a keyframe behind the wanted time: ask for ever earlier times.
        while index > 0 and not (is_there := decoder.seek(int(clip.pts_T[index]))):
            index, step = max(index - step, 0), 2 * step
        if start == 0 or (index > 0 and is_there):
            yield decoder
            return
    with open_media(path) as container:
        yield Decoder(container, video_stream(container, path))


def _decoded_from(path: Path, clip: Clip, start: int, *, is_alone: bool) -> Iterator[tuple[int, VideoFrame]]:
    with _positioned(path, clip, start) as decoder:
        if is_alone:
            decoder.use_all_processors()
        for pts, picture in decoder.frames():
            if pts >= clip.pts_T[start]:
                yield pts, picture


class _FrameMaker:
    """Turns decoded pictures into upright yuv420p frames."""

    def __init__(self, clip: Clip) -> None:
        self._clip = clip
        self._color = resolve_color(clip.color, clip.size)
        self._turns = -(clip.rotation_deg // 90)
        height, width = clip.size
        self._coded_size = (height, width) if self._turns % 2 == 0 else (width, height)
        self._has_warned = False

    def frame(self, picture: VideoFrame, index: int) -> Frame:
        height, width = self._coded_size
        if picture.format.name not in _PLAIN_FORMATS or (picture.height, picture.width) != self._coded_size:
            picture = self._converted(picture)
        sizes = ((height, width), (-(-height // 2), -(-width // 2)), (-(-height // 2), -(-width // 2)))
        y, u, v = (self._upright(picture, i, size) for i, size in enumerate(sizes))
        return Frame(index, int(self._clip.pts_T[index]), y, u, v, self._color)

    def repeated(self, held: Frame, index: int) -> Frame:
        if not self._has_warned:
            self._has_warned = True
            logger.warning("Frame %d can no longer be decoded; the one before it is shown instead.", index)
        return Frame(index, int(self._clip.pts_T[index]), held.y, held.u, held.v, held.color)

    def _upright(self, picture: VideoFrame, plane_index: int, size: tuple[int, int]) -> UInt8:
        plane = picture.planes[plane_index]
        rows = np.frombuffer(memoryview(plane), np.uint8)[: plane.line_size * size[0]].reshape(
            size[0], plane.line_size
        )
        result: UInt8 = rows[:, : size[1]]
        if self._turns:
            result = np.ascontiguousarray(np.rot90(result, self._turns))
        result.flags.writeable = False
        return result

    def _converted(self, picture: VideoFrame) -> VideoFrame:
        height, width = self._coded_size
        to_range = RANGE_FULL if self._color.is_full_range else RANGE_LIMITED
        from_range = RANGE_FULL if picture.format.is_rgb else to_range
        matrix = _SWSCALE_MATRIX[self._color.matrix]
        return picture.reformat(
            width=width,
            height=height,
            format="yuv420p",
            src_colorspace=matrix,
            dst_colorspace=matrix,
            src_color_range=from_range,
            dst_color_range=to_range,
        )


_SWSCALE_MATRIX = {1: 1, 6: 5, 9: 9}
"""SWS_CS_ITU709, SWS_CS_ITU601, SWS_CS_BT2020."""


def _clockwise_rotation(frame: VideoFrame, stream: VideoStream) -> int:
    """Degrees to turn the coded picture; PyAV counts counter-clockwise, the old `rotate` tag clockwise."""
    degrees = -frame.rotation if frame.rotation else float(stream.metadata.get("rotate", 0) or 0)
    return round(degrees / 90) * 90 % 360


def _color_tags(frame: VideoFrame, stream: VideoStream) -> ColorTags:
    context = stream.codec_context
    if frame.format.is_rgb:
        return ColorTags(RANGE_LIMITED, MATRIX_BT709, MATRIX_BT709, MATRIX_BT709)
    ranges = (int(frame.color_range), int(context.color_range))
    is_full = frame.format.name.startswith("yuvj") or RANGE_FULL in ranges
    matrix = int(context.colorspace)
    return ColorTags(
        range=RANGE_FULL if is_full else max(ranges),
        matrix=matrix if matrix != 0 else UNSPECIFIED,
        primaries=int(context.color_primaries),
        transfer=int(context.color_trc),
    )


def _end_pts(ticks: list[int], last: VideoFrame, stream: VideoStream) -> int:
    """When the last frame ends: the stream's own end where it is plausible, else the frame's duration.

    With reordered frames of varying length a packet's duration belongs to its neighbour in decoding order, so
    the stream's end is the better witness; but some files claim an end far from their frames.
    """
    step = int(np.median(np.diff(ticks))) if len(ticks) > 1 else 0
    longest = int(np.max(np.diff(ticks))) if len(ticks) > 1 else 0
    shown = int(last.duration or 0)
    if stream.duration is not None and stream.start_time is not None:
        end = stream.start_time + stream.duration
        if 0 < end - ticks[-1] <= 2 * max(longest, shown, step, 1):
            return end
    if shown > 0:
        return ticks[-1] + shown
    if step > 0:
        return ticks[-1] + step
    rate = Fraction(stream.average_rate or 25)
    return ticks[-1] + max(1, round(1 / (rate * Fraction(stream.time_base or 1))))


def _check_complete(path: Path, stream: VideoStream, num_decoded: int) -> None:
    """Refuse a file whose index points behind its end.

    Raises:
        MediaError: It was cut off.
    """
    entries = getattr(stream, "index_entries", None)  # absent before PyAV 15
    if entries is None or len(entries) == 0:
        return
    entry = entries[len(entries) - 1]
    if entry.pos + entry.size > path.stat().st_size:
        message = f"The file is cut off: only {num_decoded} of {len(entries)} frames are there."
        raise MediaError(message, where=str(path), advice=INCOMPLETE_ADVICE)
