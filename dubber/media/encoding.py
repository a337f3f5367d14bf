"""How pictures are coded: what is asked of an encoder, in its own words, and whether it takes it."""

from __future__ import annotations

import logging
from dataclasses import dataclass
from fractions import Fraction
from typing import cast

import av
import av.error
import cv2

from dubber.errors import ConfigError
from dubber.media.hdr import hdr_options
from dubber.media.layout import PLAIN, Kept, written_format
from dubber.media.output import check_encoder, quieten
from dubber.types import HdrMetadata

logger = logging.getLogger(__name__)

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
        raise refused(options.codec, error) from error


def refused(codec: str, error: av.error.FFmpegError) -> ConfigError:
    """What to tell the user of an encoder's refusal."""
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
