"""Which encoder suits a clip, and makes a format best on this machine: hardware's where it proves itself."""

from __future__ import annotations

import logging
import tempfile
from dataclasses import replace
from fractions import Fraction
from pathlib import Path

import cv2
import numpy as np

from dubber.errors import ConfigError, DubberError
from dubber.media.color import MATRIX_BT709, RANGE_LIMITED, YuvColor
from dubber.media.encoding import EncodeOptions
from dubber.media.formats import MATROSKA
from dubber.media.frame import Frame
from dubber.media.hdr import keeps_hdr
from dubber.media.layout import PLAIN, Kept, kept_layout, losses, written_layout
from dubber.media.output import has_encoder
from dubber.media.probe import probe
from dubber.media.reader import read_frames
from dubber.media.writer import VideoWriter
from dubber.types import Clip, ColorTags, UInt8

logger = logging.getLogger(__name__)

FORMATS: dict[str, tuple[str, ...]] = {
    "h264": ("h264_nvenc", "h264_qsv", "h264_videotoolbox", "libx264"),
    "hevc": ("hevc_nvenc", "hevc_qsv", "hevc_videotoolbox", "libx265"),
}
"""Formats and their encoders, the fastest first."""

AUTO = "auto"
"""The encoder that players like best among those that keep a clip's depth."""

_AUTO: dict[str, tuple[str, str]] = {"webm": ("libvpx-vp9", "libsvtav1"), "avi": ("mpeg4", "ffv1")}
_AUTO_ELSEWHERE = ("libx264", "libx265")
"""For 8 bits per sample, and for more, by what the container can hold."""

_TRIAL_SIZE = (360, 640)
_TRIAL_FRAMES = 8
_TRIAL_CRF = 18
_TRIAL_PSNR_DB = 37.0
"""x264 and x265 reach 43 and more; an encoder that goes by some bit rate of its own does not."""

_TICKS_PER_FRAME = 512


def chosen_encoder(options: EncodeOptions, clip: Clip | None = None, container: str = "mp4") -> EncodeOptions:
    """`encoder_for`, and say what it will lose of the clip."""
    options = encoder_for(options, clip, container)
    if clip is not None and has_encoder(options.codec):
        _say_what_is_lost(options, clip, container)
    return options


def encoder_for(options: EncodeOptions, clip: Clip | None = None, container: str = "mp4") -> EncodeOptions:
    """Put an encoder in the place of "auto" or of a format's name.

    Args:
        options: Where `codec` is one of `FORMATS`, its encoders are tried in turn, those that keep the clip's
            depth first; see `trial_failure`.
        clip: The pictures to come; None stands for plain ones of some size.
        container: Suffix of the output.

    Returns:
        The options with the encoder; those that name an encoder as they are.

    Raises:
        ConfigError: No encoder of the format works.
    """
    if options.codec == AUTO:
        is_deep = clip is not None and kept_layout(clip).depth > PLAIN.depth
        options = replace(options, codec=_AUTO.get(container, _AUTO_ELSEWHERE)[is_deep])
    elif options.codec in FORMATS:
        options = _first_that_works(options, clip)
    return options


def encoding_losses(codec: str, clip: Clip, container: str, kept: Kept = "compatible") -> list[str]:
    """What a clip's pictures lose by an encoder's format, in words; empty where nothing.

    Args:
        codec: FFmpeg's name of an encoder that is built in.
        clip: The pictures.
        container: Suffix of the output.
        kept: `EncodeOptions.chroma`.
    """
    layout = kept_layout(clip)
    written = written_layout(codec, layout, kept)
    if codec.startswith("libvpx") and container not in MATROSKA:  # their alpha lies beside the packets
        written = replace(written, has_alpha=False)
    said = losses(layout, written)
    if clip.hdr is not None and not keeps_hdr(codec):
        said.append("no mastering display and content light metadata")
    return said


def _say_what_is_lost(options: EncodeOptions, clip: Clip, container: str) -> None:
    said = encoding_losses(options.codec, clip, container, options.chroma)
    if not said:
        return
    ways = [
        f"--vcodec {other} (.{suffix})"
        for other, suffix in _KEEPERS
        if not encoding_losses(other, clip, suffix)
    ]
    if not encoding_losses(options.codec, clip, container, "source"):
        ways.insert(0, "--chroma source (few players show it)")
    advice = f" To keep all, choose {' or '.join(ways)}." if ways else ""
    logger.warning("'%s' will write %s.%s", options.codec, ", ".join(said), advice)


_KEEPERS = (
    ("libx265", "mp4"),
    ("prores_ks", "mov"),
    ("libvpx-vp9", "webm"),
    ("ffv1", "mkv"),
)
"""Encoders that between them keep most, with a container for each."""


def _first_that_works(options: EncodeOptions, clip: Clip | None) -> EncodeOptions:
    """The first encoder of a format that passes its trial.

    Raises:
        ConfigError: None does.
    """

    def depth_lost(codec: str) -> int:
        if clip is None or not has_encoder(codec):
            return 0
        layout = kept_layout(clip)
        return max(0, layout.depth - written_layout(codec, layout, options.chroma).depth)

    for codec in sorted(FORMATS[options.codec], key=depth_lost):
        candidate = replace(options, codec=codec)
        if (failure := trial_failure(candidate, clip)) is None:
            logger.info("Encoding with %s.", codec)
            return candidate
        logger.debug("%s is not used: %s", codec, failure)
    raise ConfigError(f"No encoder of '{options.codec}' works here: {failure}", where="--vcodec")


def trial_failure(options: EncodeOptions, clip: Clip | None = None) -> str | None:
    """Encode a few pictures, decode them and compare.

    Args:
        options: The encoder.
        clip: Whose size and format the pictures have; None for plain ones.

    Returns:
        What went wrong; None if nothing did.
    """
    size = _TRIAL_SIZE if clip is None else clip.size
    pictures = _trial_pictures(size)
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "trial.mp4"
        try:
            _encode(path, pictures, replace(options, crf=_TRIAL_CRF), clip)
            decoded = [frame.y for frame in read_frames(path, probe(path))]
        except (DubberError, ValueError) as error:
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


def _encode(path: Path, pictures: list[UInt8], options: EncodeOptions, like: Clip | None) -> None:
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
        pixel_format=PLAIN.name if like is None else like.pixel_format,
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
