"""Which picture formats are kept as they were coded, and which format of an encoder comes nearest."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Literal

import av
import numpy as np

from dubber.types import Clip

Chroma = Literal["gray", "420", "422", "444"]

Kept = Literal["compatible", "source"]
"""What an encoder shall keep of a layout: what usual players show, or all it can."""

_CHROMA_SAMPLES: dict[Chroma, int] = {"gray": 0, "420": 1, "422": 2, "444": 4}
"""Colour samples per 2x2 pixels: what is lost from more to less."""

_CHROMA_SHARES: dict[Chroma, tuple[int, int]] = {"gray": (1, 1), "420": (2, 2), "422": (1, 2), "444": (1, 1)}
"""Rows and columns of luma per sample of chroma."""

_DEPTHS = (8, 10, 12, 16)
"""Depths at which FFmpeg has every layout; others are held in the next one up."""

_HARDWARE_LAYOUTS = {"nv12": "yuv420p", "p010le": "yuv420p10le", "p016le": "yuv420p16le"}
"""Formats whose chroma planes are interleaved, and what they hold."""

_ALPHA_ENCODERS = {"prores_ks", "ffv1", "libvpx-vp9"}
"""Encoders whose alpha comes back; others only name such formats."""


@dataclass(frozen=True)
class PixelLayout:
    """A planar YUV format, little endian.

    Attributes:
        chroma: How finely colour is sampled; "gray" has none.
        depth: Bits per sample: 8, 10, 12 or 16.
        has_alpha: Whether a last plane holds opacity.
    """

    chroma: Chroma
    depth: int
    has_alpha: bool

    @property
    def name(self) -> str:
        """FFmpeg's name of it."""
        base = "gray" if self.chroma == "gray" else f"yuv{'a' if self.has_alpha else ''}{self.chroma}p"
        return base if self.depth == 8 else f"{base}{self.depth}le"

    @property
    def is_plain(self) -> bool:
        """Whether it is 8 bit 4:2:0 without alpha: what all algorithms work on."""
        return self == PLAIN

    @property
    def dtype(self) -> np.dtype[np.unsignedinteger[Any]]:
        """Type of a sample: uint8 or uint16."""
        return np.dtype("u1" if self.depth == 8 else "<u2")

    @property
    def chroma_shares(self) -> tuple[int, int]:
        """Rows and columns of luma per sample of chroma."""
        return _CHROMA_SHARES[self.chroma]

    def plane_sizes(self, size: tuple[int, int]) -> list[tuple[int, int]]:
        """(height, width) of each plane of a picture of a size."""
        small = tuple(-(-side // share) for side, share in zip(size, self.chroma_shares, strict=True))
        chroma = [] if self.chroma == "gray" else [(small[0], small[1])] * 2
        return [size, *chroma, *([size] if self.has_alpha else [])]

    def num_bytes(self, size: tuple[int, int]) -> int:
        """Bytes of a picture of a size."""
        samples = sum(height * width for height, width in self.plane_sizes(size))
        return samples * self.dtype.itemsize


PLAIN = PixelLayout("420", 8, has_alpha=False)


def layout_of(format_name: str) -> PixelLayout:
    """The nearest layout that holds a format without loss, but for the rounding of RGB to YUV.

    Args:
        format_name: FFmpeg's name of a pixel format.
    """
    pixel = av.VideoFormat(format_name, 16, 16)
    has_alpha = any(each.is_alpha for each in pixel.components)
    needed = max((each.bits for each in pixel.components), default=8)
    depth = next((each for each in _DEPTHS if each >= needed), _DEPTHS[-1])
    chroma = _chroma_of(pixel)
    if has_alpha and chroma == "gray":
        chroma = "444"
    if has_alpha and chroma == "420" and depth == 12:  # FFmpeg has no such format
        depth = 16
    return PixelLayout(chroma, depth, has_alpha)


def _chroma_of(pixel: av.VideoFormat) -> Chroma:
    if pixel.is_rgb or pixel.has_palette:
        return "444"
    if len(pixel.components) < 3:
        return "gray"
    is_narrow, is_low = pixel.chroma_width(16) < 16, pixel.chroma_height(16) < 16
    if is_narrow:
        return "420" if is_low else "422"
    return "444"  # 4:4:0 too: half the rows at full width has no layout here


def kept_layout(clip: Clip) -> PixelLayout:
    """The layout in which a clip's upright frames keep their samples.

    A picture that is turned by a quarter has its 4:2:2 chroma halved the other way, which encoders do not
    take: it is held as 4:4:4.
    """
    layout = layout_of(clip.pixel_format)
    if layout.chroma == "422" and clip.rotation_deg % 180:
        return PixelLayout("444", layout.depth, layout.has_alpha)
    return layout


def frame_bytes(clip: Clip) -> int:
    """Memory of one decoded frame of a clip, its 8 bit 4:2:0 planes included."""
    layout = kept_layout(clip)
    view = PLAIN.num_bytes(clip.size)
    return view if layout.is_plain else view + layout.num_bytes(clip.size)


def written_format(codec: str, layout: PixelLayout, kept: Kept = "compatible") -> str:
    """The format of an encoder that loses least of a layout, and adds least to it.

    Args:
        codec: FFmpeg's name of an encoder that is built in.
        layout: What is to be written.
        kept: "compatible" leaves out formats of H.264 and HEVC that usual players refuse.

    Returns:
        FFmpeg's name of the format.
    """
    offered = [each.name for each in av.Codec(codec, "w").video_formats or []]
    known = {name: held for name in offered if (held := _held_by(name, codec)) is not None}
    if not known:
        return PLAIN.name
    played = _played_layouts(codec, layout, kept)
    known = {name: held for name, held in known.items() if played is None or held in played} or known
    return min(known, key=lambda name: (*_loss(layout, known[name]), name in _HARDWARE_LAYOUTS))


def _played_layouts(codec: str, layout: PixelLayout, kept: Kept) -> set[PixelLayout] | None:
    """The formats of an encoder to choose from for a layout; None for all.

    Phones, browsers and televisions decode H.264 in its High profile and HEVC in Main and Main 10; for more
    than 8 bits many also know HEVC in 4:2:2. Almost none knows either without colour.
    """
    made = av.Codec(codec, "w").canonical_name
    if made not in {"h264", "hevc"}:
        return None
    if kept == "source":
        chromas: tuple[Chroma, ...] = ("420", "422", "444")
        return {PixelLayout(chroma, depth, has_alpha=False) for chroma in chromas for depth in _DEPTHS}
    if made == "h264" or layout.depth == PLAIN.depth:
        return {PLAIN}
    return {PLAIN, PixelLayout("420", 10, has_alpha=False), PixelLayout("422", 10, has_alpha=False)}


def written_layout(codec: str, layout: PixelLayout, kept: Kept = "compatible") -> PixelLayout:
    """What of a layout an encoder keeps; see `written_format`."""
    name = written_format(codec, layout, kept)
    return layout_of(_HARDWARE_LAYOUTS.get(name, name))


def losses(layout: PixelLayout, written: PixelLayout) -> list[str]:
    """What a layout loses by being written in another, in words; empty where nothing."""
    said = []
    if written.depth < layout.depth:
        said.append(f"{written.depth} instead of {layout.depth} bits per sample")
    if _CHROMA_SAMPLES[written.chroma] < _CHROMA_SAMPLES[layout.chroma]:
        said.append(f"colour at 4:{':'.join(written.chroma[1:])} instead of 4:{':'.join(layout.chroma[1:])}")
    if layout.has_alpha and not written.has_alpha:
        said.append("no alpha (transparency)")
    return said


def _held_by(format_name: str, codec: str) -> PixelLayout | None:
    """What a format of an encoder holds; None where it is nothing this module fills."""
    layout = layout_of(_HARDWARE_LAYOUTS.get(format_name, format_name))
    if layout.has_alpha and codec not in _ALPHA_ENCODERS:
        return None
    return layout if format_name in (layout.name, *_HARDWARE_LAYOUTS) else None


def _loss(layout: PixelLayout, written: PixelLayout) -> tuple[int, ...]:
    """What is worst first: depth, alpha, colour; then what is added for nothing."""
    chroma = _CHROMA_SAMPLES[layout.chroma] - _CHROMA_SAMPLES[written.chroma]
    depth = layout.depth - written.depth
    return (
        max(0, depth),
        int(layout.has_alpha and not written.has_alpha),
        max(0, chroma),
        int(written.has_alpha and not layout.has_alpha),
        max(0, -chroma),
        max(0, -depth),
    )
