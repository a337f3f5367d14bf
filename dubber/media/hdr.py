"""Mastering display and content light of HDR footage: read from decoded frames, said in encoders' words."""

from __future__ import annotations

import struct
from collections.abc import Iterable
from typing import TYPE_CHECKING, cast

from dubber.types import HdrMetadata

if TYPE_CHECKING:
    from av.sidedata.sidedata import SideData
    from av.video.frame import VideoFrame

_PRIMARY_UNIT = 50_000
_LUMINANCE_UNIT = 10_000

_MASTERING = struct.Struct("=20i2i")
"""AVMasteringDisplayMetadata: ten rationals (x, y of red, green, blue, white; lowest, highest luminance),
then whether there are primaries, and luminances. Source: libavutil/mastering_display_metadata.h.
"""

_CONTENT_LIGHT = struct.Struct("=2I")
"""AVContentLightMetadata: MaxCLL, MaxFALL."""

_SIZE = struct.Struct("@N")
_RPU_HEADER = struct.Struct("=4xB5xB")
"""AVDOVIMetadata begins with where its AVDOVIRpuDataHeader lies, of which these are vdr_rpu_profile and
bl_video_full_range_flag. Source: libavutil/dovi_meta.h.
"""

_DYNAMIC = {"DOVI_RPU_BUFFER": "Dolby Vision", "DYNAMIC_HDR_PLUS": "HDR10+", "DYNAMIC_HDR_VIVID": "HDR Vivid"}


def hdr_metadata(frame: VideoFrame) -> HdrMetadata | None:
    """What a frame tells of its mastering; None where it tells nothing."""
    primaries: tuple[tuple[int, int], ...] = ()
    luminance: tuple[int, ...] = ()
    content_light: tuple[int, ...] = ()
    side_data = _side_data(frame)
    mastering = side_data.get("MASTERING_DISPLAY_METADATA", b"")
    if len(mastering) >= _MASTERING.size:
        numbers = _MASTERING.unpack_from(mastering)
        ratios = [n / d if d else 0.0 for n, d in zip(numbers[:20:2], numbers[1:20:2], strict=True)]
        red, green, blue, white = (
            (round(ratios[i] * _PRIMARY_UNIT), round(ratios[i + 1] * _PRIMARY_UNIT)) for i in (0, 2, 4, 6)
        )
        primaries = (green, blue, red, white) if numbers[20] else ()
        low, high = (round(ratio * _LUMINANCE_UNIT) for ratio in ratios[8:])
        luminance = (high, low) if numbers[21] else ()
    light = side_data.get("CONTENT_LIGHT_LEVEL", b"")
    if len(light) >= _CONTENT_LIGHT.size:
        content_light = _CONTENT_LIGHT.unpack_from(light)
    if not (primaries or luminance or any(content_light)):
        return None
    return HdrMetadata(primaries, luminance, content_light)


def dynamic_metadata(frame: VideoFrame) -> str:
    """The name of metadata that changes from scene to scene, which encoders here cannot write; "" if none."""
    kinds = _side_data(frame)
    return next((name for kind, name in _DYNAMIC.items() if kind in kinds), "")


def dolby_vision_profile(frame: VideoFrame) -> int | None:
    """Which Dolby Vision a frame is.

    Returns:
        5 where its base layer shows right in no other player, 0 for other profiles, None where it is none.

    Source: `ff_dovi_guess_profile_hevc` in libavcodec/dovi_rpu.c.
    """
    metadata = _side_data(frame).get("DOVI_METADATA", b"")
    if len(metadata) < _SIZE.size:
        return None
    (offset,) = _SIZE.unpack_from(metadata)
    if offset + _RPU_HEADER.size > len(metadata):
        return None
    profile, is_full_range = _RPU_HEADER.unpack_from(metadata, offset)
    return 5 if profile == 0 and is_full_range else 0


def _side_data(frame: VideoFrame) -> dict[str, bytes]:
    """A frame's side data by FFmpeg's names of their kinds."""
    # PyAV's container calls itself a mapping, but iterates over its values.
    found = cast("Iterable[SideData]", frame.side_data)
    return {each.type.name: bytes(each) for each in found}


def hdr_options(codec: str, hdr: HdrMetadata | None) -> dict[str, str]:
    """An encoder's own parameters for metadata.

    Args:
        codec: FFmpeg's name of the encoder.
        hdr: The metadata.

    Returns:
        Names and values for `x265-params`, `x264-params` or `svtav1-params`; nothing for other encoders.
    """
    if hdr is None or codec not in _WORDS:
        return {}
    mastering, light = _WORDS[codec]
    options = {}
    if hdr.primaries and hdr.luminance:
        units = (_PRIMARY_UNIT, _LUMINANCE_UNIT) if codec == "libsvtav1" else (1, 1)
        corners = [
            f"{name}({_in(x, units[0])},{_in(y, units[0])})"
            for name, (x, y) in zip(("G", "B", "R", "WP"), hdr.primaries, strict=True)
        ]
        high, low = (_in(value, units[1]) for value in hdr.luminance)
        options[mastering] = f"{''.join(corners)}L({high},{low})"
    if hdr.content_light:
        options[light] = ",".join(str(value) for value in hdr.content_light)
    return options


def keeps_hdr(codec: str) -> bool:
    """Whether an encoder's stream tells mastering display and content light."""
    return codec in _WORDS


_WORDS = {
    "libx265": ("master-display", "max-cll"),
    "libx264": ("mastering-display", "cll"),
    "libsvtav1": ("mastering-display", "content-light"),
}
"""What encoders call the two."""


def _in(value: int, unit: int) -> str:
    return str(value) if unit == 1 else f"{value / unit:.6g}"
