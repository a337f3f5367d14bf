"""Write small video files with exact timestamps; used by the example's script and by the tests' clips."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field
from fractions import Fraction
from pathlib import Path

import av
import numpy as np
from numpy.typing import NDArray

AUDIO_BLOCK_SAMPLES = 1024


@dataclass(frozen=True)
class VideoFormat:
    """How the pictures are coded.

    Attributes:
        codec: FFmpeg's name of the encoder.
        pixel_format: FFmpeg's name of the coded format.
        options: Options of the encoder.
        pixel_aspect: Width : height of one pixel.
    """

    codec: str = "libx264"
    pixel_format: str = "yuv420p"
    options: dict[str, str] = field(default_factory=lambda: {"crf": "16", "preset": "veryfast"})
    pixel_aspect: Fraction = Fraction(1)


def write_clip(
    path: Path,
    frames: Iterable[NDArray[np.uint8]],
    *,
    pts_T: Iterable[int],
    time_base: Fraction,
    video: VideoFormat | None = None,
    audio: tuple[NDArray[np.float32], int] | None = None,
    audio_bit_rate: int = 64_000,
    rotation_deg: int = 0,
) -> None:
    """Encode frames and, if given, sound.

    Args:
        path: File to write; its suffix chooses the container.
        frames: (H, W, 3) uint8 RGB pictures as they are coded (before rotation), of one even size.
        pts_T: Increasing timestamp of each frame.
        time_base: Seconds per tick.
        video: How to code the pictures.
        audio: Mono samples in -1..1 and their rate; AAC.
        audio_bit_rate: Bits per second.
        rotation_deg: Clockwise turn, 0, 90, 180 or 270, that players must give the coded picture (mp4, mov).
    """
    video = video or VideoFormat()
    with av.open(
        str(path), "w", container_options={"fflags": "+bitexact", "movflags": "+faststart"}
    ) as container:
        picture = container.add_stream(video.codec, rate=_nominal_rate(time_base))
        sound = container.add_stream("aac", rate=audio[1], layout="mono") if audio else None
        if sound is not None:
            sound.bit_rate = audio_bit_rate
        context = picture.codec_context
        context.time_base = time_base
        context.pix_fmt = video.pixel_format
        context.options = video.options
        context.sample_aspect_ratio = video.pixel_aspect
        picture.time_base = time_base
        for image, pts in zip(frames, pts_T, strict=True):
            if not context.is_open:
                context.height, context.width = image.shape[:2]
            frame = av.VideoFrame.from_ndarray(np.ascontiguousarray(image), format="rgb24")
            frame.pts, frame.time_base = int(pts), time_base
            container.mux(picture.encode(frame))
        container.mux(picture.encode(None))
        if sound is not None and audio is not None:
            for block in _audio_frames(*audio):
                container.mux(sound.encode(block))
            container.mux(sound.encode(None))
    if rotation_deg:
        _turn(path, rotation_deg)


def _nominal_rate(time_base: Fraction) -> Fraction:
    """A rate the muxer accepts; the timestamps say when frames are shown."""
    return Fraction(min(max(1 / time_base, Fraction(1)), Fraction(240)))


def _audio_frames(samples: NDArray[np.float32], rate_hz: int) -> Iterable[av.AudioFrame]:
    for start in range(0, len(samples), AUDIO_BLOCK_SAMPLES):
        block = np.ascontiguousarray(samples[None, start : start + AUDIO_BLOCK_SAMPLES], dtype=np.float32)
        frame = av.AudioFrame.from_ndarray(block, format="fltp", layout="mono")
        frame.sample_rate, frame.pts, frame.time_base = rate_hz, start, Fraction(1, rate_hz)
        yield frame


def _turn(path: Path, rotation_deg: int) -> None:
    """Set the display matrix of the first track.

    Source: ISO/IEC 14496-12, 8.3.2 (track header box, version 0): 40 bytes lie between the box's type and it.
    """
    cos, sin = {90: (0, 1), 180: (-1, 0), 270: (0, -1)}[rotation_deg]
    one, last = 1 << 16, 1 << 30
    matrix = np.array([cos * one, sin * one, 0, -sin * one, cos * one, 0, 0, 0, last], dtype=">i4")
    data = bytearray(path.read_bytes())
    at = data.index(b"tkhd") + 4 + 40
    data[at : at + 36] = matrix.tobytes()
    path.write_bytes(data)
