"""Small films and sounds that every browser plays, for pages that people look at."""

from __future__ import annotations

import dataclasses
from fractions import Fraction
from pathlib import Path
from typing import cast

import av
import av.error
import cv2
import numpy as np
from av.audio.stream import AudioStream

from dubber.errors import MediaError
from dubber.media.audio import iterate_speech
from dubber.media.color import MATRIX_BT601, RANGE_LIMITED, YuvColor
from dubber.media.encoding import EncodeOptions
from dubber.media.frame import Frame
from dubber.media.layout import PLAIN
from dubber.media.mux import mux
from dubber.media.writer import VideoWriter
from dubber.types import Clip, ColorTags, Timeline, UInt8

SOUND_RATE_HZ = 44100
_SOUND_BIT_RATE = 96_000
"""Mono AAC; transparent enough for speech, a fifth of a small film's bytes."""

_OPTIONS = EncodeOptions("libx264", crf=24, preset="veryfast")
_KEYFRAME_S = 1.0
"""Between keyframes: who scrubs waits for no more than so much to be decoded."""

_COLOR = YuvColor(MATRIX_BT601, is_full_range=False)
_TAGS = ColorTags(RANGE_LIMITED, MATRIX_BT601, primaries=1, transfer=1)
"""BT.709's primaries; OpenCV's fast conversion knows the matrix of BT.601 only."""


def preview_size(clip: Clip, most: tuple[int, int]) -> tuple[int, int]:
    """Size of a clip's small pictures: square pixels, even sides, never larger than the clip.

    Args:
        clip: The film.
        most: (height, width) that they may have at most.

    Returns:
        (height, width).
    """
    height, width = clip.size[0], float(clip.size[1] * clip.pixel_aspect)
    scale = min(1.0, most[0] / height, most[1] / width)
    return max(2, round(height * scale / 2) * 2), max(2, round(width * scale / 2) * 2)


def open_preview(path: Path, clip: Clip, timeline: Timeline, size: tuple[int, int]) -> VideoWriter:
    """A writer of H.264 in 8 bit 4:2:0, with the output's times and a keyframe each second.

    Args:
        path: The MP4 file to make.
        clip: The film that the pictures are of.
        timeline: When they are shown.
        size: (height, width) of the pictures, even.

    Returns:
        A context manager that takes frames of `preview_frame`, at ticks from 0 on.
    """
    small = dataclasses.replace(
        clip,
        size=size,
        rotation_deg=0,
        pixel_aspect=Fraction(1),
        pixel_format=PLAIN.name,
        color=_TAGS,
        hdr=None,
        is_interlaced=False,
        is_deinterlaced=False,
    )
    end_pts = timeline.end_pts - int(timeline.pts_N[0])
    writer = VideoWriter(path, small, timeline.time_base, _OPTIONS, end_pts=end_pts)
    writer.stream.codec_context.gop_size = max(1, round(float(clip.frame_rate) * _KEYFRAME_S))
    return writer


def preview_frame(rgb: UInt8, pts: int) -> Frame:
    """A picture as `open_preview` takes it.

    Args:
        rgb: (H, W, 3) uint8, H and W even.
        pts: When it is shown, in ticks from 0 on.
    """
    height, width = rgb.shape[:2]
    planes = np.asarray(cv2.cvtColor(rgb, cv2.COLOR_RGB2YUV_I420), np.uint8)
    u, v = planes[height:].reshape(2, height // 2, width // 2)
    return Frame(0, pts, planes[:height], u, v, _COLOR)


def write_preview_sound(source: Path, output: Path) -> bool:
    """Write a file's sound as mono AAC in MP4, beginning at the file's time 0.

    Args:
        source: Audio file or video.
        output: The `.m4a` file to make.

    Returns:
        Whether there is any that can be heard; else no file is made.
    """
    try:
        with av.open(f"file:{output}", "w", format="mp4", options={"fflags": "+bitexact"}) as container:
            stream = cast("AudioStream", container.add_stream("aac", rate=SOUND_RATE_HZ, layout="mono"))
            stream.bit_rate = _SOUND_BIT_RATE
            num_samples = 0
            for chunk in iterate_speech(source, SOUND_RATE_HZ):
                frame = av.AudioFrame.from_ndarray(chunk[None], format="fltp", layout="mono")
                frame.sample_rate, frame.pts = SOUND_RATE_HZ, num_samples
                num_samples += len(chunk)
                container.mux(stream.encode(frame))
            container.mux(stream.encode(None))
    except (MediaError, av.error.FFmpegError):
        num_samples = 0
    if not num_samples:
        output.unlink(missing_ok=True)
    return num_samples > 0


def join_preview(pictures: Path, sound: Path, output: Path, duration_s: float) -> None:
    """Put sound of `write_preview_sound` to pictures of `open_preview`.

    Args:
        pictures: MP4 without sound.
        sound: The sound.
        output: The MP4 file to make.
        duration_s: Seconds the pictures last.

    Raises:
        ToolMissingError: There is no ffmpeg.
        StageError: ffmpeg failed.
    """
    mux(pictures, sound, output, heard_s=duration_s, output_s=duration_s)
