"""What a video file says of itself: its headers, its index and its first picture; nothing more is decoded.

Probing decodes every frame to know their times for certain. This looks at an hour in a moment and may be
wrong about a file whose headers are.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from fractions import Fraction
from functools import cached_property
from itertools import pairwise
from pathlib import Path
from typing import TYPE_CHECKING

import av
import av.error
import numpy as np

from dubber.errors import MediaError
from dubber.media.container import INCOMPLETE_ADVICE, open_media, video_stream
from dubber.media.decoder import Decoder
from dubber.media.probe import check_complete, check_moving, check_shown, clip_of
from dubber.types import Clip, ColorTags, Int64

if TYPE_CHECKING:
    from av.container import InputContainer
    from av.video.stream import VideoStream

_WHOLE_FILE_BYTES = 64 * 2**20
"""Packets of a file up to this size are all read where it has no full index; of larger ones some are."""

_NUM_STRETCHES, _STRETCH_PACKETS = 6, 150

_HDR = {16: "PQ", 18: "HLG"}
"""Transfer characteristics of HDR. Source: ISO/IEC 23091-2 table 3."""

_UNEVEN_SHARE = 0.1
"""A distance of frames that is off by more than this share of the usual one is uneven."""

_UNEVEN_FRAMES = 0.01
"""A rate is variable where more than this share of distances is uneven."""

_GAP_STEPS = 4.0
"""A frame shown for so many usual distances is a gap in the recording."""


@dataclass(frozen=True)
class VideoFacts:
    """What is known of a video without decoding it.

    Attributes:
        container: FFmpeg's name of the container.
        codec: Of the video.
        size: Display (height, width): after rotation, before pixel aspect.
        rotation_deg: Clockwise rotation that turns the coded picture upright.
        pixel_aspect: Width : height of one pixel of the upright picture.
        pixel_format: FFmpeg's name.
        bit_depth: Bits of a sample.
        has_alpha: Whether pixels carry transparency.
        is_interlaced: Whether a picture is two half-pictures of different times.
        color: Colour tags.
        hdr: "PQ", "HLG" or "".
        duration_s: From the first picture's start to the last one's end.
        num_frames: Frames; an estimate where the index is not complete.
        frame_rate: Frames per second, from the usual distance.
        is_variable_rate: Whether distances differ; None where nothing tells.
        longest_frame_s: The longest time between two pictures that was met.
        start_s: When the first picture is shown, on the container's clock.
        file_bytes: Size of the file.
        bytes_per_s: Of the whole file.
    """

    container: str
    codec: str
    size: tuple[int, int]
    rotation_deg: int
    pixel_aspect: Fraction
    pixel_format: str
    bit_depth: int
    has_alpha: bool
    is_interlaced: bool
    color: ColorTags
    hdr: str
    duration_s: float
    num_frames: int
    frame_rate: float
    is_variable_rate: bool | None
    longest_frame_s: float
    start_s: float
    file_bytes: int
    bytes_per_s: float

    @property
    def num_pixels(self) -> int:
        """Pixels of a picture."""
        return self.size[0] * self.size[1]

    @property
    def has_gaps(self) -> bool:
        """Whether the recording pauses somewhere: a picture is shown for a multiple of the usual time."""
        return self.longest_frame_s * self.frame_rate > _GAP_STEPS


@dataclass(frozen=True)
class SeekIndex:
    """Where one can look into a video, and what its pictures are.

    Attributes:
        clip: As probing tells, about: times are those of packets, or even ones where the index is not
            complete, and what only pictures tell is told by the first.
        keyframes_K: (K,) int64 presentation times of known keyframes, about; empty where none are known.
    """

    clip: Clip
    keyframes_K: Int64

    @property
    def first_tick(self) -> int:
        """Presentation time of the first picture."""
        return int(self.clip.pts_T[0])

    @property
    def time_base(self) -> Fraction:
        """Seconds per tick."""
        return self.clip.time_base


@dataclass(frozen=True)
class _Times:
    """Times of packets: `ticks_P` of each one looked at, a list per stretch that is without holes."""

    stretches: tuple[Int64, ...]
    keyframes_K: Int64
    is_complete: bool

    @cached_property
    def distances_D(self) -> Int64:
        """(D,) int64 distances of neighbours, ticks, all above 0."""
        steps = [np.diff(np.unique(ticks_P)) for ticks_P in self.stretches]
        return np.concatenate(steps) if steps else np.zeros(0, np.int64)

    @property
    def step(self) -> float:
        """The usual distance, ticks; 0 where there is none.

        A constant rate that was rounded to ticks has distances a tick apart, so their mean counts.
        """
        if not len(self.distances_D):
            return 0.0
        is_usual_D = np.abs(self.distances_D - np.median(self.distances_D)) <= 1
        return float(np.mean(self.distances_D[is_usual_D]))

    @property
    def is_variable(self) -> bool | None:
        """Whether distances differ by more than rounding to ticks explains; None where there are none."""
        if len(self.distances_D) < 2:
            return None
        off_D = np.abs(self.distances_D - self.step)
        return bool(np.mean(off_D > max(_UNEVEN_SHARE * self.step, 1.0)) > _UNEVEN_FRAMES)

    def all_ticks(self, container: InputContainer, stream: VideoStream, first_tick: int) -> list[int]:
        """When each picture is shown, and the end of the last one; where not all are known, at even times."""
        time_base = _time_base(stream)
        length = stream.duration or round((container.duration or 0) / av.time_base / time_base)
        if self.is_complete and len(self.stretches[0]):
            ticks_P = np.unique(self.stretches[0])
            last = first_tick + length - int(ticks_P[-1])
            longest = max(int(self.distances_D.max(initial=0)), 1)
            step = last if 0 < last <= 2 * longest else round(max(self.step, 1.0))
            return [*ticks_P.tolist(), int(ticks_P[-1]) + step]
        seconds = float(length * time_base)
        count = max(stream.frames or round(seconds * self.frame_rate(stream)), 1)
        even = np.arange(count + 1, dtype=np.int64) * max(length, count) // count
        return [*(first_tick + even).tolist()]

    def frame_rate(self, stream: VideoStream) -> float:
        """Frames per second, from the usual distance."""
        return 1 / (self.step * float(_time_base(stream))) if self.step else float(stream.average_rate or 25)


def survey(path: Path) -> tuple[VideoFacts, SeekIndex]:
    """Look at a video.

    Args:
        path: Any file FFmpeg can read.

    Returns:
        What it is, and where one can look into it.

    Raises:
        MediaError: Missing, a folder, damaged, cut off, without video, or its first picture does not decode.
    """
    with open_media(path) as container:
        check_moving(path, container.format.name)
        stream = video_stream(container, path)
        check_complete(path, stream)
        first = next(Decoder(container, stream).frames(), None)
        if first is None:
            message = "No frame of the video can be decoded."
            raise MediaError(message, where=str(path), advice=INCOMPLETE_ADVICE)
        first_tick, picture = first
        check_shown(path, picture)
        times = _packet_times(container, stream, first_tick, path)
        ticks = times.all_ticks(container, stream, first_tick)
        is_interlaced = bool(picture.interlaced_frame)
        clip = clip_of(container, stream, picture, ticks[:-1], ticks[-1], is_interlaced=is_interlaced)
        file_bytes = path.stat().st_size
        facts = VideoFacts(
            container=container.format.name,
            codec=clip.codec,
            size=clip.size,
            rotation_deg=clip.rotation_deg,
            pixel_aspect=clip.pixel_aspect,
            pixel_format=clip.pixel_format,
            bit_depth=max(component.bits for component in picture.format.components),
            has_alpha=any(component.is_alpha for component in picture.format.components),
            is_interlaced=clip.is_interlaced,
            color=clip.color,
            hdr=_HDR.get(clip.color.transfer, ""),
            duration_s=clip.duration_s,
            num_frames=clip.num_frames,
            frame_rate=times.frame_rate(stream),
            is_variable_rate=times.is_variable,
            longest_frame_s=float(times.distances_D.max(initial=0) * clip.time_base),
            start_s=float(first_tick * clip.time_base),
            file_bytes=file_bytes,
            bytes_per_s=file_bytes / clip.duration_s,
        )
        return facts, SeekIndex(clip, times.keyframes_K)


def listed(path: Path) -> Clip:
    """A video whose packets are listed, and of whose pictures only the first is decoded.

    Args:
        path: A file that is whole, such as dubber's own: its packets have the times of their pictures.

    Returns:
        As probing tells; what only pictures tell is told by the first.

    Raises:
        MediaError: Missing, without video, or its first picture does not decode.
    """
    packets = _all_packets(path)
    with open_media(path) as container:
        stream = video_stream(container, path)
        first = next(Decoder(container, stream).frames(), None)
        if first is None or not packets:
            message = "No frame of the video can be decoded."
            raise MediaError(message, where=str(path), advice=INCOMPLETE_ADVICE)
        ticks_P = np.unique([tick for tick, _ in packets])
        step = int(np.median(np.diff(ticks_P))) if len(ticks_P) > 1 else 1
        is_interlaced = bool(first[1].interlaced_frame)
        ticks = ticks_P.tolist()
        return clip_of(container, stream, first[1], ticks, ticks[-1] + step, is_interlaced=is_interlaced)


def _packet_times(container: InputContainer, stream: VideoStream, first_tick: int, path: Path) -> _Times:
    kept = _index(stream)
    if len(kept) > 1 and (len(kept) >= stream.frames > 0 or not all(is_key for _, is_key in kept)):
        return _of_index(kept, first_tick)
    if path.stat().st_size <= _WHOLE_FILE_BYTES:
        packets = _all_packets(path)
        ticks_P = np.sort(np.array([tick for tick, _ in packets], np.int64))
        return _Times((ticks_P,), np.array([t for t, is_key in packets if is_key], np.int64), True)
    length = stream.duration or round((container.duration or 0) / av.time_base / _time_base(stream))
    starts = [first_tick + length * part // _NUM_STRETCHES for part in range(_NUM_STRETCHES)]
    stretches = tuple(_stretch(container, stream, start) for start in starts)
    # Matroska's list of keyframes is read when somebody seeks. What was come across while reading is no list.
    keyframes = sorted(tick for tick, is_key in _index(stream) if is_key)
    known = keyframes if _reaches(keyframes, starts) else []
    return _Times(stretches, np.array(known, np.int64), False)


def _index(stream: VideoStream) -> list[tuple[int, bool]]:
    """Times of the packets that the container lists, and which are keyframes."""
    entries = getattr(stream, "index_entries", None) or ()  # absent before PyAV 15
    return [(entry.timestamp, entry.is_keyframe) for entry in entries if not entry.is_discard]


def _reaches(keyframes: list[int], starts: list[int]) -> bool:
    """Whether some keyframes lie all over a file, not only where it was read."""
    between = [(one + other) // 2 for one, other in pairwise(starts)]
    quarter = (starts[1] - starts[0]) // 4
    return all(any(abs(key - middle) < quarter for key in keyframes) for middle in between)


def _of_index(kept: list[tuple[int, bool]], first_tick: int) -> _Times:
    """Of an index that lists all packets. It gives the times of decoding, which are earlier throughout."""
    ticks_P = np.array([tick for tick, _ in kept], np.int64)
    ticks_P += first_tick - int(ticks_P[0])
    is_key_P = np.array([is_key for _, is_key in kept], bool)
    return _Times((np.sort(ticks_P),), ticks_P[is_key_P], True)


def _stretch(container: InputContainer, stream: VideoStream, start: int) -> Int64:
    ticks = []
    for tick, _ in _packets(container, stream, start):
        ticks.append(tick)
        if len(ticks) == _STRETCH_PACKETS:
            break
    # Around its ends a stretch of reordered packets has holes.
    return np.sort(np.array(ticks, np.int64))[8:-8]


def _all_packets(path: Path) -> list[tuple[int, bool]]:
    """Of a file opened anew: going back to the start of a transport stream loses what comes first."""
    with open_media(path) as container:
        return list(_packets(container, video_stream(container, path), None))


def _packets(container: InputContainer, stream: VideoStream, start: int | None) -> Iterator[tuple[int, bool]]:
    """Presentation time and whether it is a keyframe, in the order of decoding, from a time on."""
    try:
        if start is not None:
            container.seek(start, stream=stream, backward=True)
        for packet in container.demux(stream):
            if packet.pts is not None and packet.size:
                yield packet.pts, bool(packet.is_keyframe)
    except av.error.FFmpegError:
        return


def _time_base(stream: VideoStream) -> Fraction:
    assert stream.time_base is not None  # noqa: S101 - streams that decode have one; for the type checker
    return stream.time_base


def ffmpeg_libraries() -> str:
    """Versions of FFmpeg's libraries that read and encode here."""
    names = ("libavcodec", "libavformat", "libswscale")
    return ", ".join(f"{name} {'.'.join(map(str, av.library_versions[name]))}" for name in names)
