"""Joining copied and encoded stretches of one codec in one MP4 stream.

Index letters: N frames of the output, K packets of a stretch.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from contextlib import closing
from dataclasses import dataclass
from fractions import Fraction
from itertools import chain
from pathlib import Path

import av
import numpy as np

from dubber.errors import StageError
from dubber.media.container import open_media, video_stream
from dubber.media.output import AnyPacket
from dubber.media.splice_nal import (
    PictureKind,
    as_broken_link,
    has_all_sets,
    join_lengths,
    join_start_codes,
    parameter_sets,
    record_without_sets,
    with_sets,
)
from dubber.media.splice_plan import NO_FRAME, SourcePacket, Stretch, reorder_delay, source_packets
from dubber.types import Clip, Int64

_TAGS = {"h264": "avc3", "hevc": "hev1"}
"""Sample entries whose samples bring their parameter sets. Source: ISO/IEC 14496-15 sections 5.4.2, 8.4.1."""


@dataclass(frozen=True)
class Display:
    """When the output's frames are shown.

    Attributes:
        pts_N: (N,) int64 ticks, from 0 on.
        end_pts: When the last one ends.
        time_base: Seconds per tick.
    """

    pts_N: Int64
    end_pts: int
    time_base: Fraction


@dataclass(frozen=True)
class _CodedFrame:
    """A frame's place in display order, its NAL units, and whether decoding may start with it."""

    frame: int
    units: list[bytes]
    is_keyframe: bool


def join_stretches(
    path: Path,
    source: Path,
    clip: Clip,
    stretches: Sequence[Stretch],
    encoded: Mapping[int, Path],
    display: Display,
) -> None:
    """Write one file from the source's packets and those of encoded stretches.

    Args:
        path: The MP4 file to make; it is removed where that fails.
        source: The file `clip` was probed from.
        clip: What probing told.
        stretches: All frames in order.
        encoded: MP4 files of the stretches that are not copied, by their first frame.
        display: When the frames are shown.

    Raises:
        MediaError: A file cannot be read.
        StageError: The source is not what it was when the stretches were found.
    """
    orders = {start: _display_order(file, clip.codec) for start, file in encoded.items()}
    reorder = max([stretch.reorder for stretch in stretches] + [delay for _, delay in orders.values()])
    pts_of = {start: pts_K for start, (pts_K, _) in orders.items()}
    frames = _all_frames(source, clip, stretches, encoded, pts_of)
    model = next(iter(encoded.values()), source)
    timed = _timed(frames, display, reorder)
    try:
        _write(path, model, clip.codec, timed, display.time_base, is_mixed=bool(encoded))
    except BaseException:
        path.unlink(missing_ok=True)
        raise


def _all_frames(
    source: Path,
    clip: Clip,
    stretches: Sequence[Stretch],
    encoded: Mapping[int, Path],
    pts_of: Mapping[int, Int64],
) -> Iterator[_CodedFrame]:
    """The output's frames in decoding order; the source is read once."""
    with closing(source_packets(source, clip.codec)) as packets:
        kept = enumerate(packets)
        for stretch in stretches:
            start = stretch.start_frame
            if stretch.is_copied:
                yield from _coded_frames(_within(kept, stretch), clip.codec, clip.pts_T, 0, stretch)
            else:
                with closing(source_packets(encoded[start], clip.codec)) as made:
                    yield from _coded_frames(made, clip.codec, pts_of[start], start, stretch)


def _display_order(path: Path, codec: str) -> tuple[Int64, int]:
    """When the frames of a file are shown, ascending, and by how many frames decoding must run ahead."""
    pts_K = np.array([packet.pts for packet in source_packets(path, codec)], np.int64)
    rank_K = np.argsort(np.argsort(pts_K))
    return np.sort(pts_K), reorder_delay(rank_K)


def _within(packets: Iterator[tuple[int, SourcePacket]], stretch: Stretch) -> Iterator[SourcePacket]:
    """The packets of a copied stretch; those of the next are left in the iterator."""
    for index, packet in packets:
        if index >= stretch.start_packet:
            yield packet
        if index + 1 == stretch.stop_packet:
            return


def _coded_frames(
    packets: Iterator[SourcePacket], codec: str, pts_K: Int64, first_frame: int, stretch: Stretch
) -> Iterator[_CodedFrame]:
    """The frames of a stretch, so that a decoder may start with any keyframe.

    Args:
        packets: Of one file, from the stretch's first on.
        codec: "h264" or "hevc".
        pts_K: (K,) when the file's frames are shown, ascending.
        first_frame: What the first of `pts_K` is in the output.
        stretch: Which frames are wanted.
    """
    num_made = 0
    for packet in packets:
        frame = _frame_at(packet.pts, pts_K, first_frame)
        if not stretch.start_frame <= frame < stretch.stop_frame:
            continue
        is_keyframe = packet.is_keyframe or num_made == 0
        units = packet.units
        if num_made == 0 and packet.kind == PictureKind.OPEN:
            units = as_broken_link(units, has_leading=frame > stretch.start_frame)
        elif num_made == 0 and packet.kind != PictureKind.IDR:
            raise StageError(f"The stretch from frame {stretch.start_frame} on does not start by itself.")
        if is_keyframe and not has_all_sets(codec, units):
            units = with_sets(codec, units, packet.sets)
        num_made += 1
        yield _CodedFrame(frame, units, is_keyframe)
    if num_made != stretch.num_frames:
        message = f"{num_made} packets for the frames {stretch.start_frame} to {stretch.stop_frame - 1}."
        raise StageError(message)


def _frame_at(pts: int | None, pts_K: Int64, first_frame: int) -> int:
    """Which frame of the output is shown at a time; `NO_FRAME` where none is."""
    if pts is None:
        return NO_FRAME
    place = int(np.searchsorted(pts_K, pts))
    return first_frame + place if place < len(pts_K) and pts_K[place] == pts else NO_FRAME


def _timed(
    frames: Iterator[_CodedFrame], display: Display, reorder: int
) -> Iterator[tuple[_CodedFrame, int, int, int]]:
    """Frames in decoding order with pts, dts and duration in ticks.

    A frame is decoded when the one `reorder` places before it is shown, which is never after itself. MP4
    counts durations in decoding order; the last packet's makes the track end when its last picture does.
    """
    pts_N = display.pts_N
    step = int(pts_N[1] - pts_N[0]) if len(pts_N) > 1 else display.end_pts
    lead_N = pts_N[0] - step * np.arange(reorder, 0, -1)
    dts_N = np.concatenate([lead_N, pts_N])[: len(pts_N)]
    ends_N = np.append(dts_N[1:], max(display.end_pts + dts_N[0], dts_N[-1] + 1))
    for coded, dts, end in zip(frames, dts_N.tolist(), ends_N.tolist(), strict=True):
        yield coded, int(pts_N[coded.frame]), dts, end - dts


def _write(
    path: Path,
    model: Path,
    codec: str,
    timed: Iterator[tuple[_CodedFrame, int, int, int]],
    time_base: Fraction,
    *,
    is_mixed: bool,
) -> None:
    """Mux coded frames into an MP4 file.

    Args:
        path: The file.
        model: A file whose video stream has the size, aspect and colours wanted.
        codec: "h264" or "hevc".
        timed: See `_timed`.
        time_base: Seconds per tick.
        is_mixed: Whether the frames are of two encodings.
    """
    first = next(timed)
    with (
        open_media(model) as container,
        av.open(f"file:{path}", "w", format="mp4", options={"fflags": "+bitexact"}) as output,
    ):
        template = video_stream(container, model)
        stream = output.add_stream_from_template(template, opaque=True)
        stream.time_base = time_base
        context = stream.codec_context
        context.codec_tag = _TAGS[codec]
        if codec == "hevc" and is_mixed:
            context.extradata, join = (
                record_without_sets(template.codec_context.extradata or b""),
                join_lengths,
            )
        else:
            context.extradata, join = (
                join_start_codes(parameter_sets(codec, first[0].units)),
                join_start_codes,
            )
        for coded, pts, dts, duration in chain([first], timed):
            packet: AnyPacket = av.Packet(join(coded.units))
            packet.stream, packet.time_base = stream, time_base
            packet.pts, packet.dts, packet.duration = pts, dts, duration
            packet.is_keyframe = coded.is_keyframe
            output.mux_one(packet)
