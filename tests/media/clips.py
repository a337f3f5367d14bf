"""Tiny clips with known pictures and times, and the sounds to go with them."""

from __future__ import annotations

from fractions import Fraction
from pathlib import Path

import av
import numpy as np
import soundfile

from dubber.media.audio import heard
from dubber.media.color import YuvColor
from dubber.media.frame import Frame
from dubber.types import Clip, ColorTags, Float32, UInt8

BT601 = YuvColor(matrix=6, is_full_range=False)

VFR = [0, 512, 1024, 2560, 3072, 3500, 5120, 5632, 6144, 9000, 9512, 10024, 10536, 11048, 12000, 12100]
"""Times of frames at a rate that varies, in ticks."""


def planes(index: int, size: tuple[int, int]) -> tuple[UInt8, UInt8, UInt8]:
    """A smooth picture whose mean luma tells its index, with a bright corner that tells its orientation."""
    height, width = size
    rows, columns = np.mgrid[0:height, 0:width]
    y = 60 + 4 * index + 20 * np.sin(columns / 9) * np.cos(rows / 7)
    y[: height // 4, : width // 4] = 230  # top left
    half = (-(-height // 2), -(-width // 2))
    u = 128 + 30 * np.sin(np.arange(half[1]) / 8)[None] * np.ones(half)
    v = 128 + 30 * np.cos(np.arange(half[0]) / 8)[:, None] * np.ones(half)
    return y.astype(np.uint8), u.astype(np.uint8), v.astype(np.uint8)


def frame(index: int, size: tuple[int, int], pts: int = 0, color: YuvColor = BT601) -> Frame:
    return Frame(index, pts, *planes(index, size), color)


def index_of(picture: Frame) -> int:
    """Which frame of a clip made here a decoded picture is."""
    height, width = picture.size
    expected, _, _ = planes(0, picture.size)
    region = (slice(height // 2, None), slice(width // 2, None))
    return round(float(picture.y[region].mean() - expected[region].mean()) / 4)


def write_clip(
    path: Path,
    ticks: list[int],
    *,
    size: tuple[int, int] = (48, 64),
    time_base: Fraction = Fraction(1, 12800),
    codec: str = "libx264",
    options: dict[str, str] | None = None,
    pixel_format: str = "yuv420p",
    rotation: int = 0,
    container_format: str | None = None,
    color: ColorTags | None = None,
) -> Path:
    """A clip with a frame at each tick; with x264, B-frames and a keyframe every 12 frames."""
    if options is None:
        options = {"crf": "4", "g": "12", "bf": "2", "preset": "fast"} if codec == "libx264" else {}
    with av.open(str(path), "w", format=container_format) as container:
        stream = container.add_stream(codec, rate=25, options=options)
        stream.height, stream.width = size
        stream.pix_fmt = pixel_format
        stream.codec_context.time_base = time_base
        if rotation:
            stream.set_display_rotation(rotation)
        if color is not None:
            context = stream.codec_context
            context.color_range, context.colorspace = color.range, color.matrix
            context.color_primaries, context.color_trc = color.primaries, color.transfer
        for index, pts in enumerate(ticks):
            picture = av.VideoFrame(size[1], size[0], "yuv420p")
            for plane, samples in zip(picture.planes, planes(index, size), strict=True):
                rows = np.frombuffer(memoryview(plane), np.uint8).reshape(-1, plane.line_size)
                rows[: samples.shape[0], : samples.shape[1]] = samples
            picture.pts, picture.time_base = pts, time_base
            if pixel_format != "yuv420p":
                picture = picture.reformat(format=pixel_format)
                picture.pts, picture.time_base = pts, time_base
            container.mux(stream.encode(picture))
        container.mux(stream.encode(None))
    return path


def tone(seconds: float, rate_hz: int, hz: float = 220.0) -> np.ndarray:
    return (0.3 * np.sin(2 * np.pi * hz * np.arange(round(seconds * rate_hz)) / rate_hz)).astype(np.float32)


def write_tone(path: Path, seconds: float, rate_hz: int = 22050, num_channels: int = 1) -> Path:
    samples = np.repeat(tone(seconds, rate_hz)[:, None], num_channels, axis=1)
    soundfile.write(path, samples, rate_hz)
    return path


def write_aac(
    path: Path, seconds: float, rate_hz: int = 44100, codec: str = "aac", onset_s: float = 0.0
) -> Path:
    """A tone, from its onset on, in whatever container the suffix names."""
    with av.open(str(path), "w") as container:
        stream = container.add_stream(codec, rate=rate_hz, layout="mono")
        samples = tone(seconds, rate_hz)
        samples[: round(onset_s * rate_hz)] = 0
        for start in range(0, len(samples), 1024):
            piece = av.AudioFrame.from_ndarray(
                samples[None, start : start + 1024], format="fltp", layout="mono"
            )
            piece.sample_rate, piece.pts, piece.time_base = rate_hz, start, Fraction(1, rate_hz)
            container.mux(stream.encode(piece))
        container.mux(stream.encode(None))
    return path


def write_talk(path: Path, folder: Path, *, picture_s: float, sound_s: float, onset_s: float) -> Path:
    """A second of pictures that begin at one time and sound that begins at another.

    The tone is heard from `onset_s` after the sound's first sample on.
    """
    sound = write_aac(folder / "sound.m4a", 1.0, onset_s=onset_s)
    video = write_clip(folder / "pictures.mp4", [512 * i for i in range(25)])
    with av.open(str(sound)) as a, av.open(str(video)) as v, av.open(str(path), "w") as target:
        pairs = [(v, v.streams.video[0], picture_s), (a, a.streams.audio[0], sound_s)]
        outputs = [target.add_stream_from_template(stream) for _, stream, _ in pairs]
        for (source, stream, begin_s), output in zip(pairs, outputs, strict=True):
            for packet in source.demux(stream):
                if packet.dts is None or packet.pts is None:
                    continue
                shift = round(begin_s / float(packet.time_base))
                packet.pts, packet.dts, packet.stream = packet.pts + shift, packet.dts + shift, output
                target.mux(packet)
    return path


def clip_of(ticks: list[int], time_base: Fraction, size: tuple[int, int] = (48, 64), step: int = 512) -> Clip:
    """What probing would tell of a plain clip."""
    return Clip(
        pts_T=np.array(ticks, np.int64),
        time_base=time_base,
        end_pts=ticks[-1] + step,
        size=size,
        rotation_deg=0,
        pixel_aspect=Fraction(1),
        pixel_format="yuv420p",
        color=ColorTags(1, 6, 6, 6),
        codec="h264",
        bit_rate=0,
        has_audio=False,
    )


def read_audio(path: Path) -> tuple[Float32, int]:
    """All samples that speech extraction hears in a file, mono, and their rate in Hz."""
    chunks = list(heard(path))
    return np.concatenate([chunk for chunk, _ in chunks]), chunks[0][1]


def cfr(count: int, start: int = 0) -> list[int]:
    """Times of frames at a constant rate, in ticks."""
    return [start + 512 * i for i in range(count)]


def fields_clip(path: Path, count: int = 30) -> Path:
    """A bar that moves 4 px with every field, coded as interlaced MPEG-2, the upper field first."""
    with av.open(str(path), "w") as container:
        stream = container.add_stream("mpeg2video", rate=25, options={"flags": "+ildct+ilme", "b": "8M"})
        stream.height, stream.width = 96, 256
        stream.pix_fmt = "yuv420p"
        stream.codec_context.gop_size = 12
        stream.codec_context.max_b_frames = 2
        for index in range(count):
            y = np.full((96, 256), 60, np.uint8)
            for field in (0, 1):
                x = 4 * (2 * index + field)
                y[field::2, x : x + 16] = 200
            chroma = np.full(48 * 128 * 2, 128, np.uint8)
            pixels = np.concatenate([y.ravel(), chroma]).reshape(144, 256)
            container.mux(stream.encode(av.VideoFrame.from_ndarray(pixels, format="yuv420p")))
        container.mux(stream.encode(None))
    return path
