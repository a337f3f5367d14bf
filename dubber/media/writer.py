"""Writing video: exact timestamps, the source's size, pixel aspect, picture format and colour tags."""

from __future__ import annotations

from fractions import Fraction
from pathlib import Path

import av
import av.error
import numpy as np

from dubber.errors import StageError
from dubber.media.coded import planes_of_view
from dubber.media.color import RANGE_FULL, RANGE_LIMITED, resolve_color
from dubber.media.encoding import EncodeOptions, coded_size, encoder_options, refused
from dubber.media.frame import Frame
from dubber.media.layout import PLAIN, PixelLayout, kept_layout, layout_of, written_format
from dubber.media.output import AnyPacket, VideoOutput, check_encoder
from dubber.media.view_curve import Coded, view_curve
from dubber.types import Clip

NUM_THREADS = 4
"""Fixed: x264's output depends on how many frames it encodes at once, and the bytes must not depend on the
machine."""

_HEVC_ENCODERS = {"libx265", "hevc_nvenc", "hevc_qsv", "hevc_videotoolbox"}

_X265_UNTIMED = 2
"""Films so short get decoding times from memory nobody wrote: x265 sets its delay with the third picture. Two
pictures are decoded as they are shown.
"""


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
            raise refused(self.stream.codec_context.name, error) from error
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


def _fill(target: Coded, samples: Coded) -> None:
    """Copy a plane, repeating the last row and column where the target is larger."""
    height, width = samples.shape
    target[:height, :width] = samples
    target[:height, width:] = samples[:, -1:]
    target[height:] = target[height - 1 : height]
