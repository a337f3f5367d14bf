"""Probing: what a video truly holds, found by decoding it once."""

from __future__ import annotations

import logging
from fractions import Fraction
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from dubber.errors import MediaError
from dubber.media.color import MATRIX_BT709, RANGE_FULL, RANGE_LIMITED, UNSPECIFIED
from dubber.media.container import INCOMPLETE_ADVICE, open_media, video_stream
from dubber.media.decoder import Decoder
from dubber.media.hdr import dolby_vision_profile, dynamic_metadata, hdr_metadata
from dubber.types import Clip, ColorTags

if TYPE_CHECKING:
    from av.container import InputContainer
    from av.video.frame import VideoFrame
    from av.video.stream import VideoStream

logger = logging.getLogger(__name__)

_TIMES_ONLY = {"skip_loop_filter": "all", "skip_idct": "all"}
"""Options of a decoder whose pictures nobody looks at: it parses all, so that it meets the same damage, and
leaves out what only makes the pixels.
"""

_PICTURE_FORMATS = ("gif", "webp", "apng", "image2")
"""Demuxers of pictures, still or moving; those whose names end in "_pipe" read single ones."""


def probe(path: Path, *, deinterlaces: bool = False) -> Clip:
    """Decode a video once to learn what it truly holds.

    Args:
        path: Any file FFmpeg can read.
        deinterlaces: Reading shall make whole pictures of fields, if any frame is flagged to hold them; their
            times are the frames' own.

    Returns:
        The clip; `color` tells what the frames of `read_frames` mean, so RGB footage is tagged as what it is
        converted to. `pixel_aspect` is that of the upright picture.

    Raises:
        MediaError: Missing, a folder, damaged, cut off, without video, a picture, or nothing in it decodes.
    """
    with open_media(path) as container:
        check_moving(path, container.format.name)
        stream = video_stream(container, path)
        decoder = Decoder(container, stream)
        decoder.context.options = {**decoder.context.options, **_TIMES_ONLY}
        decoder.use_all_processors()  # nothing else can run before the frames are known
        first, last = None, None
        num_interlaced = 0
        ticks: list[int] = []
        for pts, frame in decoder.frames():
            first = first or frame
            last = frame
            num_interlaced += bool(frame.interlaced_frame)
            ticks.append(pts)
        if first is None or last is None:
            message = "No frame of the video can be decoded."
            raise MediaError(message, where=str(path), advice=INCOMPLETE_ADVICE)
        check_complete(path, stream)
        check_shown(path, first)
        _say_what_is_lost(path, first, decoder)
        if deinterlaces and not num_interlaced:
            logger.info("%s: no frame is flagged as interlaced; nothing is deinterlaced.", path.name)
        return clip_of(
            container,
            stream,
            first,
            ticks,
            _end_pts(ticks, last, stream),
            is_interlaced=2 * num_interlaced > len(ticks),
            is_deinterlaced=deinterlaces and num_interlaced > 0,
        )


def clip_of(
    container: InputContainer,
    stream: VideoStream,
    first: VideoFrame,
    ticks: list[int],
    end_pts: int,
    *,
    is_interlaced: bool,
    is_deinterlaced: bool = False,
) -> Clip:
    """What a stream and its first picture tell.

    Args:
        container: The open file.
        stream: Its video.
        first: The first picture.
        ticks: When each picture is shown.
        end_pts: When the last one ends.
        is_interlaced: See `Clip`.
        is_deinterlaced: See `Clip`.
    """
    rotation = _clockwise_rotation(first, stream)
    size = (first.height, first.width) if rotation % 180 == 0 else (first.width, first.height)
    aspect = Fraction(stream.sample_aspect_ratio or 1) or Fraction(1)
    assert stream.time_base is not None  # noqa: S101 - streams that decode have one; for the type checker
    return Clip(
        pts_T=np.array(ticks, np.int64),
        time_base=stream.time_base,
        end_pts=end_pts,
        size=size,
        rotation_deg=rotation,
        pixel_aspect=aspect if rotation % 180 == 0 else 1 / aspect,
        pixel_format=first.format.name,
        color=_color_tags(first, stream),
        codec=stream.codec_context.name,
        bit_rate=int(stream.bit_rate or container.bit_rate or 0),
        has_audio=bool(container.streams.audio),
        hdr=hdr_metadata(first),
        is_interlaced=is_interlaced,
        is_deinterlaced=is_deinterlaced,
    )


def check_moving(path: Path, container_format: str) -> None:
    """Refuse pictures, which FFmpeg reads as videos too.

    Raises:
        MediaError: The file is one.
    """
    names = container_format.split(",")
    if not any(name in _PICTURE_FORMATS or name.endswith("_pipe") for name in names):
        return
    advice = (
        "Give it footage of somebody who talks, or convert it first: "
        "ffmpeg -i PICTURE -pix_fmt yuv420p VIDEO.mp4"
    )
    raise MediaError("This is a picture or an animation, not a video.", where=str(path), advice=advice)


def check_shown(path: Path, first: VideoFrame) -> None:
    """Refuse pictures whose colours only their metadata explain, which cannot be written again.

    Args:
        path: The file.
        first: Its first picture.

    Raises:
        MediaError: It is Dolby Vision without a base layer that other players show.
    """
    if dolby_vision_profile(first) == 5:
        advice = "Export it as HDR10, HLG or SDR (in Dolby Vision: profile 8) and dub that."
        message = "This is Dolby Vision of profile 5: without its metadata the colours are wrong."
        raise MediaError(message, where=str(path), advice=advice)


def _say_what_is_lost(path: Path, first: VideoFrame, decoder: Decoder) -> None:
    """Warn of what reading leaves out."""
    if decoder.num_damaged:
        logger.warning("%s: %d damaged frames are left out.", path.name, decoder.num_damaged)
    if first.format.is_rgb or first.format.has_palette:
        logger.warning("%s: its RGB (%s) is converted to YUV.", path.name, first.format.name)
    if dynamic := dynamic_metadata(first):
        logger.warning("%s: its %s metadata are not kept, the picture itself is.", path.name, dynamic)


def _clockwise_rotation(frame: VideoFrame, stream: VideoStream) -> int:
    """Degrees to turn the coded picture; PyAV counts counter-clockwise, the old `rotate` tag clockwise."""
    degrees = -frame.rotation if frame.rotation else float(stream.metadata.get("rotate", 0) or 0)
    return round(degrees / 90) * 90 % 360


def _color_tags(frame: VideoFrame, stream: VideoStream) -> ColorTags:
    context = stream.codec_context
    if frame.format.is_rgb or frame.format.has_palette:
        return ColorTags(RANGE_LIMITED, MATRIX_BT709, MATRIX_BT709, MATRIX_BT709)
    ranges = (int(frame.color_range), int(context.color_range))
    is_full = frame.format.name.startswith("yuvj") or RANGE_FULL in ranges
    if frame.format.name.startswith("gray") and not any(ranges):
        is_full = context.name not in _LIMITED_UNTAGGED
    matrix = int(context.colorspace)
    return ColorTags(
        range=RANGE_FULL if is_full else max(ranges),
        matrix=matrix if matrix != 0 else UNSPECIFIED,
        primaries=int(context.color_primaries),
        transfer=int(context.color_trc),
    )


_LIMITED_UNTAGGED = {"h264", "hevc"}
"""Codecs whose standards say that luma is of limited range where no tag is; for FFmpeg plain gray is full."""


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


def check_complete(path: Path, stream: VideoStream) -> None:
    """Refuse a file whose index points behind its end.

    Raises:
        MediaError: It was cut off.
    """
    entries = getattr(stream, "index_entries", None)  # absent before PyAV 15
    if entries is None or len(entries) == 0:
        return
    num_bytes = path.stat().st_size
    last = entries[len(entries) - 1]
    if last.pos + last.size > num_bytes:
        num_there = sum(entry.pos + entry.size <= num_bytes for entry in entries)
        message = f"The file is cut off: only {num_there} of {len(entries)} frames are there."
        raise MediaError(message, where=str(path), advice=INCOMPLETE_ADVICE)
