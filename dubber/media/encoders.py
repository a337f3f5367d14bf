"""Which encoder makes a format best on this machine: hardware's where it is there and proves itself."""

from __future__ import annotations

import logging
import tempfile
from dataclasses import replace
from fractions import Fraction
from pathlib import Path

import av
import av.error
import cv2
import numpy as np

from dubber.errors import ConfigError, DubberError
from dubber.media.color import MATRIX_BT709, RANGE_LIMITED, YuvColor
from dubber.media.frame import Frame
from dubber.media.writer import EncodeOptions, VideoWriter
from dubber.types import Clip, ColorTags, UInt8

logger = logging.getLogger(__name__)

FORMATS: dict[str, tuple[str, ...]] = {
    "h264": ("h264_nvenc", "h264_qsv", "h264_videotoolbox", "libx264"),
    "hevc": ("hevc_nvenc", "hevc_qsv", "hevc_videotoolbox", "libx265"),
}
"""Formats and their encoders, the fastest first."""

_TRIAL_SIZE = (360, 640)
_TRIAL_FRAMES = 8
_TRIAL_CRF = 18
_TRIAL_PSNR_DB = 37.0
"""x264 and x265 reach 43 and more; an encoder that goes by some bit rate of its own does not."""

_TICKS_PER_FRAME = 512


def chosen_encoder(options: EncodeOptions, size: tuple[int, int] = _TRIAL_SIZE) -> EncodeOptions:
    """Put an encoder in the place of a format's name.

    Args:
        options: Where `codec` is one of `FORMATS`, its encoders are tried in turn; see `trial_failure`.
        size: (height, width) of the pictures to come.

    Returns:
        The options with the first encoder that works; those that name an encoder as they are.

    Raises:
        ConfigError: No encoder of the format works.
    """
    if options.codec not in FORMATS:
        return options
    for codec in FORMATS[options.codec]:
        candidate = replace(options, codec=codec)
        if (failure := trial_failure(candidate, size)) is None:
            logger.info("Encoding with %s.", codec)
            return candidate
        logger.debug("%s is not used: %s", codec, failure)
    raise ConfigError(f"No encoder of '{options.codec}' works here: {failure}", where="--vcodec")


def trial_failure(options: EncodeOptions, size: tuple[int, int]) -> str | None:
    """Encode a few pictures, decode them and compare.

    Args:
        options: The encoder.
        size: (height, width).

    Returns:
        What went wrong; None if nothing did.
    """
    pictures = _trial_pictures(size)
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "trial.mp4"
        try:
            _encode(path, pictures, replace(options, crf=_TRIAL_CRF))
            with av.open(str(path)) as container:
                decoded = [_luma(picture) for picture in container.decode(video=0)]
        except (DubberError, av.error.FFmpegError, ValueError) as error:
            return str(error)
    if len(decoded) != len(pictures):
        return f"{len(decoded)} of {len(pictures)} pictures came back."
    height, width = size
    lowest_db = min(
        cv2.PSNR(picture, again[:height, :width]) for picture, again in zip(pictures, decoded, strict=True)
    )
    return None if lowest_db >= _TRIAL_PSNR_DB else f"pictures came back with {lowest_db:.0f} dB."


def _trial_pictures(size: tuple[int, int]) -> list[UInt8]:
    """Luma planes within the limited range: a texture that moves."""
    noise = np.random.default_rng(0).standard_normal(size, np.float32)
    texture = cv2.GaussianBlur(noise, (0, 0), 2.5)
    picture = np.clip(125 + 25 * texture / texture.std(), 20, 230).astype(np.uint8)
    return [np.roll(picture, 3 * n, axis=1) for n in range(_TRIAL_FRAMES)]


def _luma(picture: av.VideoFrame) -> UInt8:
    plane = picture.planes[0]
    rows = np.frombuffer(memoryview(plane), np.uint8).reshape(-1, plane.line_size)
    return rows[: plane.height, : plane.width].copy()


def _encode(path: Path, pictures: list[UInt8], options: EncodeOptions) -> None:
    size = pictures[0].shape[0], pictures[0].shape[1]
    pts_T = np.arange(len(pictures), dtype=np.int64) * _TICKS_PER_FRAME
    time_base = Fraction(1, 25 * _TICKS_PER_FRAME)
    clip = Clip(
        pts_T=pts_T,
        time_base=time_base,
        end_pts=len(pictures) * _TICKS_PER_FRAME,
        size=size,
        rotation_deg=0,
        pixel_aspect=Fraction(1),
        pixel_format="yuv420p",
        color=ColorTags(RANGE_LIMITED, MATRIX_BT709, MATRIX_BT709, MATRIX_BT709),
        codec="rawvideo",
        bit_rate=0,
        has_audio=False,
    )
    color = YuvColor(MATRIX_BT709, is_full_range=False)
    chroma = np.full((-(-size[0] // 2), -(-size[1] // 2)), 128, np.uint8)
    with VideoWriter(path, clip, time_base, options) as writer:
        for n, pts in enumerate(pts_T.tolist()):
            writer.write(Frame(n, pts, pictures[n], chroma, chroma, color), pts)
