"""Decoding a stream forward, from its start or from any frame, past what is damaged."""

from __future__ import annotations

from collections.abc import Generator, Iterator
from contextlib import closing, contextmanager
from fractions import Fraction
from functools import lru_cache
from pathlib import Path
from typing import TYPE_CHECKING, cast

import av
import av.error

from dubber.media.container import DECODER_GUARDS, has_video, open_media, video_stream
from dubber.media.deinterlace import WARM_UP_FRAMES, deinterlaced
from dubber.types import Clip

if TYPE_CHECKING:
    from av.container import InputContainer
    from av.video.codeccontext import VideoCodecContext
    from av.video.frame import VideoFrame
    from av.video.stream import VideoStream

_ALPHA_DECODERS = {"vp8": "libvpx", "vp9": "libvpx-vp9"}
"""FFmpeg's own decoders of these leave the alpha out."""


class Decoder:
    """Decodes one stream forward, skips what is damaged, and can go back to a keyframe.

    Args:
        container: The open file.
        stream: One of its streams.

    Attributes:
        num_damaged: Packets and frames that were skipped.
        context: What decodes; its options may be set before the first frame.
    """

    def __init__(self, container: InputContainer, stream: VideoStream) -> None:
        self.num_damaged = 0
        self.context = _context(stream)
        self._container = container
        self._stream = stream
        self._first_valid_pts: int | None = None

    def use_all_processors(self) -> None:
        """Decode with several threads; to be asked before the first frame."""
        self.context.thread_type = "AUTO"

    def frames(self) -> Generator[tuple[int, VideoFrame]]:
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
                yield from self.context.decode(packet)
            except av.error.EOFError:
                return
            except av.error.FFmpegError:
                self.num_damaged += 1


def decoded_from(
    path: Path, clip: Clip, start: int, *, is_alone: bool = False
) -> Iterator[tuple[int, VideoFrame]]:
    """Pictures and their times from a frame on, the same wherever reading starts.

    Args:
        path: The file `clip` was probed from.
        clip: What probing told.
        start: Index of the first frame.
        is_alone: All processors decode.
    """
    first = max(start - WARM_UP_FRAMES, 0) if clip.is_deinterlaced else start
    with _positioned(path, clip, first) as (decoder, stream):
        if is_alone:
            decoder.use_all_processors()
        frames = decoder.frames()
        for pts, picture in deinterlaced(frames, stream) if clip.is_deinterlaced else frames:
            if pts >= clip.pts_T[start]:
                yield pts, picture


def first_picture_s(path: Path) -> Fraction | None:
    """When the first picture that decodes is shown, on the file's clock: where a `Clip` of the file begins.

    Where a recording begins in the middle of a group of pictures, that is later than its first packet.

    Args:
        path: Any file FFmpeg can read.

    Returns:
        Seconds; None where there is no video, or nothing of it decodes.

    Raises:
        MediaError: It cannot be read.
    """
    state = path.stat()
    return _first_picture_s(path, state.st_size, state.st_mtime_ns)


@lru_cache(maxsize=64)
def _first_picture_s(path: Path, num_bytes: int, changed_ns: int) -> Fraction | None:  # noqa: ARG001 - the key
    with open_media(path) as container:
        if not has_video(container):
            return None
        stream = video_stream(container, path)
        with closing(Decoder(container, stream).frames()) as frames:
            first = next(frames, None)
        if first is None or stream.time_base is None:
            return None
        return first[0] * stream.time_base


@contextmanager
def _positioned(path: Path, clip: Clip, start: int) -> Iterator[tuple[Decoder, VideoStream]]:
    """An open decoder whose next frames include frame `start`."""
    step = 1
    index = start
    with open_media(path) as container:
        stream = video_stream(container, path)
        decoder = Decoder(container, stream)
        # Containers may lead to a keyframe behind the wanted time: ask for ever earlier times.
        while index > 0 and not (is_there := decoder.seek(int(clip.pts_T[index]))):
            index, step = max(index - step, 0), 2 * step
        if start == 0 or (index > 0 and is_there):
            yield decoder, stream
            return
    with open_media(path) as container:
        stream = video_stream(container, path)
        yield Decoder(container, stream), stream


def has_alpha_beside(stream: VideoStream) -> bool:
    """Whether transparency lies beside a stream's packets, as WebM has it."""
    return any(name.lower() == "alpha_mode" and value == "1" for name, value in stream.metadata.items())


def _context(stream: VideoStream) -> VideoCodecContext:
    """The stream's own decoder, or another one where that would lose the alpha."""
    name = _ALPHA_DECODERS.get(stream.codec_context.name)
    if name is None or not has_alpha_beside(stream):
        return stream.codec_context
    try:
        context = cast("VideoCodecContext", av.CodecContext.create(name, "r"))
    except ValueError:  # not built in
        return stream.codec_context
    context.thread_type = stream.thread_type
    context.options = dict(DECODER_GUARDS)
    return context
