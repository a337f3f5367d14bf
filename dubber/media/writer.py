"""Writing video: exact timestamps, the source's size, pixel aspect, picture format and colour tags."""

from __future__ import annotations

import logging
from dataclasses import dataclass
from fractions import Fraction
from pathlib import Path
from typing import cast

import av
import av.error
import cv2
import numpy as np

from dubber.errors import ConfigError, StageError
from dubber.media.coded import planes_of_view
from dubber.media.color import RANGE_FULL, RANGE_LIMITED, resolve_color
from dubber.media.frame import Frame
from dubber.media.hdr import hdr_options
from dubber.media.layout import PLAIN, Kept, PixelLayout, kept_layout, layout_of, written_format
from dubber.media.output import AnyPacket, VideoOutput, check_encoder, quieten
from dubber.media.view_curve import Coded, view_curve
from dubber.types import Clip, HdrMetadata

logger = logging.getLogger(__name__)

NUM_THREADS = 4
"""Fixed: x264's output depends on how many frames it encodes at once, and the bytes must not depend on the
machine."""

_HEVC_ENCODERS = {"libx265", "hevc_nvenc", "hevc_qsv", "hevc_videotoolbox"}

_X265_UNTIMED = 2
"""Films so short get decoding times from memory nobody wrote: x265 sets its delay with the third picture. Two
pictures are decoded as they are shown.
"""

_ODD_SIZE_CODECS = {"libvpx-vp9", "libaom-av1", "mpeg4", "ffv1"}
"""Encoders that take odd sizes in 4:2:0; the others get one more column or row, a repeat of the last."""


@dataclass(frozen=True)
class EncodeOptions:
    """How pictures are coded.

    Attributes:
        codec: FFmpeg's name of an encoder.
        crf: Constant quality, lower is better; the scale is the encoder's. x264's 13 at "veryfast" is near
            transparent, and, at the mouth, better than 16 at "medium" in less than half the time with 1.4
            times the bytes; elsewhere up to 0.6 dB of luma and 1.5 dB of chroma less, at 50 dB and more.
        preset: Speed for size, in the encoder's own words.
        chroma: "compatible" writes H.264 and HEVC in formats that usual players show: 8 bit 4:2:0, deeper
            footage in HEVC of 10 bit and at most 4:2:2. "source" keeps the finer colour and depth of the
            footage where the encoder can. Other codecs keep all they can either way.
    """

    codec: str = "libx264"
    crf: int = 13
    preset: str = "veryfast"
    chroma: Kept = "compatible"


class VideoWriter(VideoOutput):
    """Encodes frames at given times into a file without sound; a context manager.

    The file is MP4, whose clock keeps any time base exactly, or what else holds the codec, whatever its name
    says; a file whose writing failed is removed.

    Args:
        path: The file.
        clip: Size, pixel aspect, picture format, colour tags, HDR metadata and nominal frame rate to keep.
        time_base: Seconds per tick of the times given to `write`.
        options: How to encode.
        end_pts: Ticks at which the last frame ends; None gives it its predecessor's duration.
    """

    def __init__(
        self,
        path: Path,
        clip: Clip,
        time_base: Fraction,
        options: EncodeOptions | None = None,
        *,
        end_pts: int | None = None,
    ) -> None:
        options = options or EncodeOptions()
        rate = clip.frame_rate.limit_denominator(100_000)
        check_encoder(options.codec)
        self._format = written_format(options.codec, kept_layout(clip), options.chroma)
        self._layout = _coded_layout(clip, self._format)
        self._is_full_range = resolve_color(clip.color, clip.size).is_full_range
        self._curve = view_curve(self._layout.depth, clip.color.transfer, is_full_range=self._is_full_range)
        self._color = clip.color
        container = _container(options.codec, has_alpha=layout_of(self._format).has_alpha)
        super().__init__(path, container, options.codec, rate, encoder_options(options, clip.hdr))
        self._time_base = time_base
        self._end_pts = end_pts
        self._clip_size = clip.size
        self._waiting: tuple[av.VideoFrame, int] | None = None
        self._last_duration = max(1, round(1 / (rate * time_base)))
        self._held_packet: AnyPacket | None = None
        self._first_times = (0, 0)
        self.coded_size = coded_size(clip.size, options.codec)
        stream, context = self.stream, self.stream.codec_context
        stream.height, stream.width = self.coded_size
        stream.pix_fmt = self._format
        if context.name in _HEVC_ENCODERS:
            context.codec_tag = "hvc1"  # Apple's players know no other name of HEVC
        context.time_base = time_base
        context.sample_aspect_ratio = clip.pixel_aspect
        context.color_range, context.colorspace = clip.color.range, clip.color.matrix
        context.color_primaries, context.color_trc = clip.color.primaries, clip.color.transfer
        context.thread_count = NUM_THREADS
        # By whole frames: PyAV's default is by slices, with which x264 now and then gives other bytes.
        context.thread_type = "FRAME"

    def write(self, frame: Frame, pts: int) -> None:
        """Append a frame.

        Args:
            frame: Of the clip's size.
            pts: When it is shown, in ticks; greater than the one before.

        Raises:
            ValueError: Wrong size, or time does not advance.
            ConfigError: The encoder refuses its settings.
        """
        if frame.size != self._clip_size:
            raise ValueError(f"the frame is {frame.size}, the clip {self._clip_size}")
        if self._waiting is not None:
            if pts <= self._waiting[1]:
                raise ValueError(f"frame times must increase: {pts} after {self._waiting[1]}")
            self._last_duration = pts - self._waiting[1]
            self._encode_waiting()
        self._waiting = (self._picture(frame), pts)
        self.num_written += 1

    def finish(self) -> None:
        """Flush the encoder and let the last frame end when it should."""
        if self._waiting is None:
            return
        end_pts = self._waiting[1] + self._last_duration if self._end_pts is None else self._end_pts
        self._encode_waiting()
        self._write_packets(None)
        packet = self._held_packet
        if packet is not None and packet.dts is not None:
            # MP4 counts durations in decoding order: a track lasts from its first dts to its last plus the
            # duration of that packet, whichever picture it holds.
            first_pts, first_dts = self._first_times
            packet.duration = max(1, (end_pts - first_pts) - (packet.dts - first_dts))
            self.mux([packet])

    def __enter__(self) -> VideoWriter:
        return self

    def _encode_waiting(self) -> None:
        if self._waiting is None:
            return
        picture, pts = self._waiting
        self._waiting = None
        picture.pts = pts
        picture.time_base = self._time_base
        self._write_packets(picture)

    def _write_packets(self, picture: av.VideoFrame | None) -> None:
        """Write what the encoder gives, but for its latest packet, whose duration is not known yet."""
        try:
            packets = self.encode(picture)
        except av.error.FFmpegError as error:
            raise _refused(self.stream.codec_context.name, error) from error
        for packet in packets:
            if self.stream.codec_context.name == "libx265" and self.num_written <= _X265_UNTIMED:
                packet.dts = packet.pts
            if packet.pts is None or packet.dts is None:
                raise StageError("The encoder gave a packet without a time.", where=str(self.path))
            if self._held_packet is None:
                self._first_times = (packet.pts, packet.dts)
            else:
                self._held_packet.duration = packet.dts - (self._held_packet.dts or 0)
                self.mux([self._held_packet])
            self._held_packet = packet

    def _picture(self, frame: Frame) -> av.VideoFrame:
        height, width = self.coded_size
        layout, planes = self._samples(frame)
        picture = av.VideoFrame(width, height, layout.name)
        for plane, samples in zip(picture.planes, planes, strict=True):
            rows = np.frombuffer(memoryview(plane), layout.dtype)
            rows = rows.reshape(-1, plane.line_size // layout.dtype.itemsize)
            _fill(rows[: plane.height, : plane.width], samples)
        return picture if layout.is_plain else self._tagged(picture)

    def _samples(self, frame: Frame) -> tuple[PixelLayout, tuple[Coded, ...]]:
        """The frame as it is to be coded: in the clip's layout, edits carried over."""
        layout, coded = self._layout, frame.coded
        if layout.is_plain:
            return layout, frame.planes
        if coded is not None and coded.layout == layout:
            planes = coded.lifted(frame.planes)
        else:
            planes = planes_of_view(frame.planes, layout, self._curve, frame.size)
        if layout.chroma == "gray" and not self._format.startswith("gray"):
            # swscale would take gray for full range and stretch it.
            layout = PixelLayout("420", layout.depth, has_alpha=False)
            small = layout.plane_sizes(frame.size)[1]
            neutral = np.full(small, 2 ** (layout.depth - 1), layout.dtype)
            planes = (*planes, neutral, neutral)
        return layout, planes

    def _tagged(self, picture: av.VideoFrame) -> av.VideoFrame:
        """The picture in the encoder's format, and with the tags that some encoders read there only."""
        if picture.format.name != self._format:
            same = RANGE_FULL if self._is_full_range else RANGE_LIMITED
            picture = picture.reformat(format=self._format, src_color_range=same, dst_color_range=same)
        tags = self._color
        picture.color_range, picture.colorspace = tags.range, tags.matrix
        for name, value in (("color_primaries", tags.primaries), ("color_trc", tags.transfer)):
            if hasattr(picture, name):  # absent from older versions of PyAV
                setattr(picture, name, value)
        return picture


def _coded_layout(clip: Clip, format_name: str) -> PixelLayout:
    """The layout in which frames are given to an encoder: the view itself where that is what is written."""
    layout = kept_layout(clip)
    has_this_view = layout.depth == PLAIN.depth and layout.chroma != "gray"  # which edits may have coloured
    return PLAIN if has_this_view and format_name == PLAIN.name else layout


def _container(codec: str, *, has_alpha: bool) -> str:
    """FFmpeg's muxer for the pictures of an encoder."""
    if codec.startswith("prores"):
        return "mov"
    # WebM's alpha is data beside the packets, which other containers drop.
    return "matroska" if codec.startswith("libvpx") and has_alpha else "mp4"


def check_settings(options: EncodeOptions) -> None:
    """Start an encoder and stop it again, to find out in time whether it is there and takes its settings.

    Raises:
        ConfigError: It is not built in, lacks its hardware, or refuses the settings.
    """
    check_encoder(options.codec)
    quieten(options.codec)
    context = cast("av.VideoCodecContext", av.CodecContext.create(options.codec, "w"))
    context.height, context.width = _TRIAL_SIZE
    context.pix_fmt = written_format(options.codec, PLAIN)
    context.time_base = Fraction(1, 25)
    context.options = encoder_options(options)
    try:
        context.open()
    except av.error.FFmpegError as error:
        raise _refused(options.codec, error) from error


def _refused(codec: str, error: av.error.FFmpegError) -> ConfigError:
    if isinstance(error, av.error.ArgumentError):
        message = f"The encoder '{codec}' refuses its settings or this picture size."
    else:
        message = f"The encoder '{codec}' cannot be used here ({error.strerror})."
    return ConfigError(message, where="--vcodec, --crf, --encoder-preset")


_TRIAL_SIZE = (256, 256)
"""Large enough for hardware encoders, which refuse tiny pictures."""


def encoder_options(options: EncodeOptions, hdr: HdrMetadata | None = None) -> dict[str, str]:
    """An encoder's private options for a quality and a speed.

    Args:
        options: What is wanted.
        hdr: What the stream shall say of its grading.

    Returns:
        Names and values as FFmpeg knows them; nothing for an encoder that is not known here.
    """
    crf, preset = str(options.crf), options.preset
    speed = _SPEED_NUMBERS.get(preset, preset)
    nvenc = {"rc": "vbr", "cq": crf, "preset": _NVENC_PRESETS.get(preset, preset)}
    qsv = {"global_quality": crf, "preset": _QSV_PRESETS.get(preset, preset)}
    videotoolbox = {"flags": "+qscale", "global_quality": str(_videotoolbox_quality(options.crf))}
    metadata = hdr_options(options.codec, hdr)
    table = {
        "libx264": {"crf": crf, "preset": preset, **_parameters("x264-params", _x264_repeatable(), metadata)},
        "libx265": {"crf": crf, "preset": preset, **_parameters("x265-params", _X265_REPEATABLE, metadata)},
        "h264_nvenc": nvenc,
        "hevc_nvenc": nvenc,
        "h264_qsv": qsv,
        "hevc_qsv": qsv,
        "h264_videotoolbox": videotoolbox,
        "hevc_videotoolbox": videotoolbox,
        "libsvtav1": {"crf": crf, "preset": speed, **_parameters("svtav1-params", {}, metadata)},
        "libaom-av1": {"crf": crf, "cpu-used": speed, "row-mt": "1"},
        "libvpx-vp9": {"crf": crf, "b": "0", "deadline": "good", "cpu-used": speed, "row-mt": "1"},
        "mpeg4": {"qscale": crf},
        "ffv1": {"level": "3"},  # FFmpeg finds the number of slices that an odd size allows
        "prores_ks": {"vendor": "apl0"},
    }
    if options.codec not in table:
        logger.warning("dubber has no settings for '%s'; it runs with its own defaults.", options.codec)
    return table.get(options.codec, {})


_SPEED_NUMBERS = {
    "ultrafast": "8",
    "superfast": "8",
    "veryfast": "7",
    "faster": "6",
    "fast": "5",
    "medium": "5",
    "slow": "4",
    "slower": "3",
    "veryslow": "2",
}
"""x264's words for encoders that count their speeds."""

_NVENC_PRESETS = {
    "ultrafast": "p1",
    "superfast": "p1",
    "veryfast": "p2",
    "faster": "p3",
    "fast": "p3",
    "medium": "p4",
    "slow": "p5",
    "slower": "p6",
    "veryslow": "p7",
}
_QSV_PRESETS = {"ultrafast": "veryfast", "superfast": "veryfast"}


def _videotoolbox_quality(crf: int) -> int:
    """Its scale is 1..100, higher is better, in units of FFmpeg's lambda; 65 is about x264's 18."""
    return _LAMBDA_PER_QUALITY * min(max(101 - 2 * crf, 1), 100)


_LAMBDA_PER_QUALITY = 118
"""FFmpeg's FF_QP2LAMBDA."""


def _parameters(name: str, *groups: dict[str, str]) -> dict[str, str]:
    """An encoder's own parameters as the one option FFmpeg passes on; nothing where there are none."""
    joined = ":".join(f"{key}={value}" for group in groups for key, value in group.items())
    return {name: joined} if joined else {}


_X265_REPEATABLE = {"frame-threads": "2", "log-level": "error"}


def _x264_repeatable() -> dict[str, str]:
    """Keep x264 from its AVX-512 code.

    In x264's core 164 and 165 that code's macroblock tree reads memory nobody wrote, for widths such as 544,
    480 or 360: the same frames then give other bytes from run to run. Every processor with AVX-512 has AVX2.
    """
    return {"asm": "AVX2"} if cv2.checkHardwareSupport(_CPU_AVX_512F) else {}


_CPU_AVX_512F = 13
"""OpenCV's number of that processor feature; its Python module does not name it."""


def coded_size(size: tuple[int, int], codec: str) -> tuple[int, int]:
    """The (height, width) an encoder needs for a clip of a size: even, unless it takes odd ones."""
    if codec in _ODD_SIZE_CODECS:
        return size
    return size[0] + size[0] % 2, size[1] + size[1] % 2


def _fill(target: Coded, samples: Coded) -> None:
    """Copy a plane, repeating the last row and column where the target is larger."""
    height, width = samples.shape
    target[:height, :width] = samples
    target[:height, width:] = samples[:, -1:]
    target[height:] = target[height - 1 : height]
