"""What is read of footage and sound, and sound that is made."""

from __future__ import annotations

from dataclasses import dataclass
from fractions import Fraction

from dubber.types.arrays import Float64, Int64
from dubber.types.files import StoredFile
from dubber.units import median_frame_rate, ticks_to_seconds


@dataclass(frozen=True)
class ColorTags:
    """How a stream's YUV numbers mean colour; FFmpeg's integer codes (ISO/IEC 23091-2), 2 = unspecified."""

    range: int
    matrix: int
    primaries: int
    transfer: int


@dataclass(frozen=True)
class HdrMetadata:
    """What HDR footage says of its grading, in the units of HEVC's SEI messages (ITU-T H.265 D.3.28, D.3.35).

    Attributes:
        primaries: (x, y) of the mastering display's green, blue, red and white, in 1/50000; empty if not
            told.
        luminance: Its highest and lowest, in 1/10000 cd/m2; empty if not told.
        content_light: Brightest pixel and brightest frame average, cd/m2; empty if not told.
    """

    primaries: tuple[tuple[int, int], ...]
    luminance: tuple[int, ...]
    content_light: tuple[int, ...]


@dataclass(frozen=True)
class Clip:
    """What demuxing a video tells.

    Attributes:
        pts_T: (T,) int64, presentation time of each decoded frame in ticks, strictly increasing.
        time_base: Seconds per tick.
        end_pts: Ticks at which the last frame stops being shown.
        size: Display (height, width): after rotation, before pixel aspect.
        rotation_deg: Clockwise rotation, one of 0, 90, 180, 270, that turns the coded picture upright.
        pixel_aspect: Width : height of one pixel.
        pixel_format: FFmpeg's name of the coded format.
        color: Colour tags.
        codec: FFmpeg's name of the video codec.
        bit_rate: Bits per second of the video stream; 0 where unknown.
        has_audio: Whether the file has an audio stream.
        hdr: Mastering display and content light; None where the footage tells neither.
        is_interlaced: Whether most frames are coded as two fields.
        is_deinterlaced: Whether reading makes whole pictures of fields.
    """

    pts_T: Int64
    time_base: Fraction
    end_pts: int
    size: tuple[int, int]
    rotation_deg: int
    pixel_aspect: Fraction
    pixel_format: str
    color: ColorTags
    codec: str
    bit_rate: int
    has_audio: bool
    hdr: HdrMetadata | None = None
    is_interlaced: bool = False
    is_deinterlaced: bool = False

    @property
    def num_frames(self) -> int:
        """T, the number of frames."""
        return len(self.pts_T)

    @property
    def times_s_T(self) -> Float64:
        """(T,) seconds from the first frame."""
        return ticks_to_seconds(self.pts_T - self.pts_T[0], self.time_base)

    @property
    def duration_s(self) -> float:
        """Seconds from the first frame's start to the last frame's end."""
        return float((self.end_pts - int(self.pts_T[0])) * self.time_base)

    @property
    def frame_rate(self) -> Fraction:
        """Frames per second, from the median frame distance."""
        return median_frame_rate(self.pts_T, self.time_base)


@dataclass(frozen=True)
class Speech:
    """What the model hears: 16 kHz mono. The user's own audio is muxed from the source file, not from here.

    Attributes:
        wav: PCM file, mono, `sample_rate_hz`.
        sample_rate_hz: Always 16000.
        num_samples: Length.
    """

    wav: StoredFile
    sample_rate_hz: int
    num_samples: int

    @property
    def duration_s(self) -> float:
        """Length in seconds."""
        return self.num_samples / self.sample_rate_hz


@dataclass(frozen=True)
class Sound:
    """Sound made for the output where the user's file cannot simply be copied.

    Attributes:
        file: A sound file.
        sample_rate_hz: Samples per second.
        num_channels: Channels.
        duration_s: Length.
        gain_db: By how much all of it was lowered, so that its peaks fit; at most 0.
        ranges: (start, end) in seconds, where it is not the video's own; None for all of it.
    """

    file: StoredFile
    sample_rate_hz: int
    num_channels: int
    duration_s: float
    gain_db: float
    ranges: tuple[tuple[float, float], ...] | None = None

    def replaced_ranges(self, end_s: float) -> tuple[tuple[float, float], ...]:
        """Where it is not the video's own, in milliseconds, in a film that ends at `end_s`."""
        if self.ranges is None:
            return ((0.0, end_s),)
        return tuple(
            (round(start, 3), round(min(end, end_s), 3)) for start, end in self.ranges if start < end_s
        )
