"""How long and how large a video is, by its header alone: quick, and not always true."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from dubber.media.container import open_media, video_stream

_USUAL_RATE_HZ = 25.0
_TICKS_PER_S = 1_000_000


@dataclass(frozen=True)
class VideoExtent:
    """What a header says.

    Attributes:
        duration_s: Seconds; 0 where it says nothing.
        num_frames: Frames, from the rate where they are not counted.
        num_pixels: Pixels of a frame.
        bytes_per_s: Of the whole file; 0 where the duration is not known.
    """

    duration_s: float
    num_frames: int
    num_pixels: int
    bytes_per_s: float


def video_extent(path: Path) -> VideoExtent:
    """Read a video's header.

    Raises:
        MediaError: Missing, without video, or damaged.
    """
    with open_media(path) as container:
        stream = video_stream(container, path)
        duration_s = (container.duration or 0) / _TICKS_PER_S
        rate_hz = float(stream.average_rate or _USUAL_RATE_HZ)
        return VideoExtent(
            duration_s=duration_s,
            num_frames=stream.frames or round(duration_s * rate_hz),
            num_pixels=stream.codec_context.width * stream.codec_context.height,
            bytes_per_s=path.stat().st_size / duration_s if duration_s else 0.0,
        )
