"""The NAL units of H.264 and HEVC, as far as joining two encodings in one stream needs to know them.

Source: ITU-T H.264 tables 7-1 and section 7.3.1, ITU-T H.265 table 7-1 and section 7.3.1.2; ISO/IEC 14496-15
sections 5.3.3 (`avcC`) and 8.3.3 (`hvcC`).
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from enum import IntEnum

START_CODE = b"\0\0\0\1"

CODECS = ("h264", "hevc")
"""FFmpeg's names of the codecs that are known here."""

_H264_SLICES = range(1, 6)
_H264_IDR, _H264_SPS, _H264_PPS, _H264_AUD, _H264_SUBSET_SPS, _H264_LAYER = 5, 7, 8, 9, 15, 20

_HEVC_FIRST_NON_SLICE = 32
_HEVC_RASL = (8, 9)
_HEVC_BLA, _HEVC_IDR, _HEVC_CRA = (16, 17, 18), (19, 20), 21
_HEVC_BLA_W_RADL, _HEVC_BLA_N_LP = 17, 18
_HEVC_VPS, _HEVC_SPS, _HEVC_PPS, _HEVC_AUD = 32, 33, 34, 35
_HVCC_FIXED_SIZE = 22
"""Bytes of an `hvcC` record before the number of its arrays."""


class PictureKind(IntEnum):
    """What a coded picture asks of a decoder that starts there.

    OTHER needs earlier pictures. IDR needs nothing, nor does what follows it. OPEN (CRA, BLA) needs nothing,
    but for pictures of kind SKIPPED (RASL) that follow it and are shown before it.
    """

    OTHER = 0
    IDR = 1
    OPEN = 2
    SKIPPED = 3


@dataclass(frozen=True)
class Configuration:
    """What a container says of a stream ahead of its packets.

    Attributes:
        length_size: Bytes of the length in front of each unit; 0 where there are start codes (Annex B).
        parameter_sets: VPS, SPS and PPS.
    """

    length_size: int
    parameter_sets: tuple[bytes, ...]


def read_configuration(codec: str, extradata: bytes) -> Configuration:
    """Understand the private data of a stream.

    Args:
        codec: One of `CODECS`.
        extradata: As FFmpeg hands it over: `avcC`, `hvcC` or Annex B.

    Raises:
        ValueError: It is damaged.
    """
    if extradata.startswith((b"\0\0\1", START_CODE)) or not extradata:
        return Configuration(0, parameter_sets(codec, split(extradata, 0)))
    try:
        if codec == "h264":
            sets, position = _counted(extradata, 6, extradata[5] & 31)
            pictures, _ = _counted(extradata, position + 1, extradata[position])
            return Configuration((extradata[4] & 3) + 1, (*sets, *pictures))
        units: list[bytes] = []
        position = _HVCC_FIXED_SIZE + 1
        for _ in range(extradata[_HVCC_FIXED_SIZE]):
            count = int.from_bytes(extradata[position + 1 : position + 3], "big")
            found, position = _counted(extradata, position + 3, count)
            units += found
        return Configuration((extradata[21] & 3) + 1, parameter_sets(codec, units))
    except IndexError as error:
        raise ValueError("the configuration record is cut off") from error


def record_without_sets(record: bytes) -> bytes:
    """An `hvcC` record that holds no parameter sets: each keyframe brings its own.

    FFmpeg before 6.1 puts the record's sets between a keyframe's own and its slices when it changes to Annex
    B, so sets of another encoding must not stand there.

    Args:
        record: A whole one.
    """
    return record[:_HVCC_FIXED_SIZE] + b"\0"


def split(payload: bytes, length_size: int) -> list[bytes]:
    """The NAL units of a packet, without what separates them.

    Args:
        payload: The packet's bytes.
        length_size: See `Configuration`.

    Raises:
        ValueError: A unit ends behind the packet.
    """
    return _split_start_codes(payload) if length_size == 0 else _split_lengths(payload, length_size)


def join_start_codes(units: Iterable[bytes]) -> bytes:
    """Units in Annex B."""
    return b"".join(START_CODE + unit for unit in units)


def join_lengths(units: Iterable[bytes]) -> bytes:
    """Units behind lengths of four bytes."""
    return b"".join(len(unit).to_bytes(4, "big") + unit for unit in units)


def parameter_sets(codec: str, units: Iterable[bytes]) -> tuple[bytes, ...]:
    """Those of the units that are a VPS, SPS or PPS."""
    types = _SET_TYPES[codec]
    return tuple(unit for unit in units if _type(codec, unit) in types)


def has_all_sets(codec: str, units: Iterable[bytes]) -> bool:
    """Whether the units bring every kind of parameter set."""
    return _SET_TYPES[codec] <= {_type(codec, unit) for unit in units}


def renewed_sets(codec: str, known: Sequence[bytes], units: Iterable[bytes]) -> tuple[bytes, ...] | None:
    """The parameter sets that hold after a packet.

    A packet with an SPS starts afresh with what it brings.

    Args:
        codec: One of `CODECS`.
        known: Those that held before.
        units: The packet's.

    Returns:
        Them; None where a packet changes others than an SPS, which is not followed here.
    """
    brought = parameter_sets(codec, units)
    if all(unit in known for unit in brought):
        return tuple(known)
    types = {_type(codec, unit) for unit in brought}
    if not types & {_H264_SPS, _HEVC_SPS}:
        return None
    return (*(unit for unit in known if _type(codec, unit) not in types), *brought)


def with_sets(codec: str, units: Sequence[bytes], sets: Sequence[bytes]) -> list[bytes]:
    """A packet that brings its parameter sets along; they come right behind an access unit delimiter."""
    delimiter = _HEVC_AUD if codec == "hevc" else _H264_AUD
    at = 1 if units and _type(codec, units[0]) == delimiter else 0
    return [*units[:at], *sets, *units[at:]]


def picture_kind(codec: str, units: Iterable[bytes]) -> PictureKind:
    """What the picture in a packet is."""
    for unit in units:
        kind = _type(codec, unit)
        if codec == "h264" and kind in _H264_SLICES:
            return PictureKind.IDR if kind == _H264_IDR else PictureKind.OTHER
        if codec == "hevc" and kind < _HEVC_FIRST_NON_SLICE:
            if kind in _HEVC_IDR:
                return PictureKind.IDR
            if kind == _HEVC_CRA or kind in _HEVC_BLA:
                return PictureKind.OPEN
            return PictureKind.SKIPPED if kind in _HEVC_RASL else PictureKind.OTHER
    return PictureKind.OTHER


def has_layers(codec: str, units: Iterable[bytes]) -> bool:
    """Whether there are further layers: another eye's view, depth or alpha."""
    if codec == "h264":
        return any(_type(codec, unit) in {_H264_SUBSET_SPS, _H264_LAYER} for unit in units)
    return any(len(unit) > 1 and (unit[0] & 1 or unit[1] >> 3) for unit in units)


def as_broken_link(units: Iterable[bytes], *, has_leading: bool) -> list[bytes]:
    """A CRA picture renamed to the BLA that the standard has for splicing; nothing but its name changes.

    Args:
        units: Of an HEVC packet.
        has_leading: Whether decodable pictures follow it that are shown before it.
    """
    name = _HEVC_BLA_W_RADL if has_leading else _HEVC_BLA_N_LP
    return [
        bytes([unit[0] & 0x81 | name << 1]) + unit[1:]
        if _type("hevc", unit) == _HEVC_CRA or _type("hevc", unit) in _HEVC_BLA
        else unit
        for unit in units
    ]


_SET_TYPES = {
    "h264": {_H264_SPS, _H264_PPS},
    "hevc": {_HEVC_VPS, _HEVC_SPS, _HEVC_PPS},
}


def _type(codec: str, unit: bytes) -> int:
    return unit[0] >> 1 & 63 if codec == "hevc" else unit[0] & 31


def _counted(data: bytes, position: int, count: int) -> tuple[list[bytes], int]:
    """So many units behind lengths of two bytes, and where they end."""
    units = []
    for _ in range(count):
        size = int.from_bytes(data[position : position + 2], "big")
        unit = data[position + 2 : position + 2 + size]
        if size == 0 or len(unit) < size:
            raise ValueError("the configuration record is cut off")
        units.append(unit)
        position += 2 + size
    return units, position


def _split_lengths(payload: bytes, length_size: int) -> list[bytes]:
    units, position = [], 0
    while position < len(payload):
        start = position + length_size
        position = start + int.from_bytes(payload[position:start], "big")
        if position > len(payload):
            raise ValueError("a NAL unit ends behind its packet")
        if position > start:
            units.append(payload[start:position])
    return units


def _split_start_codes(payload: bytes) -> list[bytes]:
    """Zeros before a start code belong to it, not to the unit."""
    pieces = payload.split(b"\0\0\1")[1:]
    return [unit for unit in (piece.rstrip(b"\0") for piece in pieces) if unit]
