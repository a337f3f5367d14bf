"""Which stretches of a film can be copied packet by packet when only some of its frames have changed.

A copied stretch begins with a picture that needs nothing before it, and may end wherever what was decoded so
far is just what was shown so far. What lies between is encoded anew.

Index letters: P packets of the source in decoding order, T source frames, N output frames.
"""

from __future__ import annotations

import logging
from collections.abc import Generator, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import cast

import av
import av.error
import numpy as np

from dubber.errors import MediaError
from dubber.media.container import open_media, video_stream
from dubber.media.layout import kept_layout, written_layout
from dubber.media.output import AnyPacket
from dubber.media.splice_nal import (
    CODECS,
    PictureKind,
    has_layers,
    join_start_codes,
    picture_kind,
    read_configuration,
    renewed_sets,
    split,
    with_sets,
)
from dubber.types import Bool, Clip, Int32, Int64, UInt8

logger = logging.getLogger(__name__)

MIN_COPIED_FRAMES = 8
"""Shorter stretches are encoded with their neighbours: each change of encoder costs a keyframe."""

NO_FRAME = -1


@dataclass(frozen=True)
class Stretch:
    """Neighbouring frames of one origin.

    Attributes:
        start_frame: The first in display order.
        stop_frame: One behind the last.
        is_copied: Whether the source's packets are used.
        start_packet: The first of these in decoding order; 0 where nothing is copied.
        stop_packet: One behind the last. Packets between that show other frames are left out.
        reorder: By how many frames its packets come later than in display order, at most.
    """

    start_frame: int
    stop_frame: int
    is_copied: bool
    start_packet: int = 0
    stop_packet: int = 0
    reorder: int = 0

    @property
    def num_frames(self) -> int:
        """Its frames."""
        return self.stop_frame - self.start_frame


@dataclass(frozen=True)
class SplicePlan:
    """What is copied and what is encoded.

    Attributes:
        stretches: All frames in order; empty where nothing can be copied.
        reason: Why nothing is copied, a sentence; empty where something is.
    """

    stretches: tuple[Stretch, ...]
    reason: str = ""

    @property
    def num_copied(self) -> int:
        """Frames whose packets are copied."""
        return sum(stretch.num_frames for stretch in self.stretches if stretch.is_copied)

    def is_copied(self, num_frames: int) -> Bool:
        """(N,) bool, frames whose packets are copied, of so many."""
        is_copied_N = np.zeros(num_frames, np.bool_)
        for stretch in self.stretches:
            is_copied_N[stretch.start_frame : stretch.stop_frame] = stretch.is_copied
        return is_copied_N


@dataclass(frozen=True)
class SourcePacket:
    """A packet of the source as its place in the stream makes it.

    Attributes:
        pts: Ticks of the stream; None where the file has none.
        units: Its NAL units.
        kind: What its picture is.
        sets: The parameter sets that hold for it.
        is_keyframe: As the container says.
        is_sound: Not damaged, of one layer, and its parameter sets are known.
    """

    pts: int | None
    units: list[bytes]
    kind: PictureKind
    sets: tuple[bytes, ...]
    is_keyframe: bool
    is_sound: bool


def source_packets(source: Path, codec: str) -> Generator[SourcePacket]:
    """The packets of a file's video in decoding order.

    Args:
        source: The file.
        codec: "h264" or "hevc".

    Raises:
        MediaError: The file cannot be read.
        ValueError: A packet or the stream's configuration is damaged.
    """
    with open_media(source) as container:
        stream = video_stream(container, source)
        configuration = read_configuration(codec, stream.codec_context.extradata or b"")
        sets, are_known = configuration.parameter_sets, True
        for packet in container.demux(stream):
            if not packet.size:
                continue
            if packet.has_sidedata("new_extradata"):
                configuration = read_configuration(codec, _side_data(packet))
                sets, are_known = configuration.parameter_sets, True
            units = split(bytes(packet), configuration.length_size)
            renewed = renewed_sets(codec, sets, units)
            sets, are_known = (sets, False) if renewed is None else (renewed, are_known or renewed != sets)
            yield SourcePacket(
                pts=packet.pts,
                units=units,
                kind=picture_kind(codec, units),
                sets=sets,
                is_keyframe=packet.is_keyframe,
                is_sound=are_known and not packet.is_corrupt and not has_layers(codec, units),
            )


def plan_splice(
    source: Path, clip: Clip, is_changed_N: Bool, codec: str, container: str = "mp4"
) -> SplicePlan:
    """Find what can be copied.

    Args:
        source: The file `clip` was probed from.
        clip: What probing told.
        is_changed_N: (N,) whether an output frame differs from the source frame of the same index; frames
            behind the source's last count as changed.
        codec: FFmpeg's name of the encoder of what changed.
        container: Suffix of the finished film.

    Returns:
        The plan.
    """
    is_changed_N = is_changed_N.copy()
    is_changed_N[clip.num_frames :] = True
    if reason := splice_refusal(clip, codec, container):
        return SplicePlan((), reason)
    if is_changed_N.all():
        return SplicePlan((), "All frames change.")
    try:
        frame_P, kind_P = _survey(source, clip)
    except (MediaError, ValueError) as error:
        return SplicePlan((), f"The source's packets cannot be told apart ({error}).")
    if not (frame_P != NO_FRAME).any():
        return SplicePlan((), "The source's packets do not show one whole picture of the clip's kind each.")
    copied = list(copied_stretches(frame_P, kind_P, is_changed_N))
    if not copied:
        return SplicePlan((), "No keyframe is followed by enough frames that stay as they are.")
    return SplicePlan(tuple(_with_gaps(copied, len(is_changed_N))))


_APPLE_CONTAINERS = {"mp4", "mov", "m4v"}


def splice_refusal(clip: Clip, codec: str, container: str) -> str:
    """Why a clip cannot be spliced, as far as its facts tell; a sentence, empty where they do not forbid it.

    Args:
        clip: What probing told.
        codec: FFmpeg's name of the encoder of what changed.
        container: Suffix of the finished film.
    """
    made = av.Codec(codec, "w").canonical_name
    if clip.codec not in CODECS:
        return f"Packets of '{clip.codec}' cannot be joined with others, only those of H.264 and HEVC."
    if clip.codec == "hevc" and container in _APPLE_CONTAINERS:
        # Two encodings need the sample entry hev1; Apple's players know hvc1 only.
        return (
            f"Apple's players do not open HEVC of two encodings in .{container}; choose .mkv or .ts for it."
        )
    if made != clip.codec:
        return f"The source is {clip.codec}, the output {made}."
    if clip.rotation_deg:
        return "The source's pictures lie on their side; those of the output are upright."
    if any(side % 2 for side in clip.size):
        return "The source's size is odd; the output has one more row or column."
    written = written_layout(codec, kept_layout(clip), "source").name
    if clip.pixel_format.replace("yuvj", "yuv") != written:  # "j" tells the range, not the layout
        return f"The source is {clip.pixel_format}, the output {written}."
    if clip.is_interlaced or clip.is_deinterlaced:
        return "The source is interlaced."
    return ""


def _survey(source: Path, clip: Clip) -> tuple[Int32, UInt8]:
    """Which frame each packet shows and what its picture is.

    Returns:
        (P,) int32 frames, `NO_FRAME` for packets that show none, share one or must not be copied, and (P,)
        uint8 `PictureKind`.
    """
    pts: list[int] = []
    kinds: list[int] = []
    fits: dict[tuple[bytes, ...], bool] = {}
    nowhere = int(clip.pts_T[0]) - 1
    for packet in source_packets(source, clip.codec):
        is_start = packet.kind in {PictureKind.IDR, PictureKind.OPEN}
        if is_start and packet.sets not in fits:
            fits[packet.sets] = _decodes_as(clip, packet)
        is_usable = packet.is_sound and fits.get(packet.sets, True)
        pts.append(packet.pts if packet.pts is not None and is_usable else nowhere)
        kinds.append(packet.kind)
    pts_P: Int64 = np.array(pts, np.int64)
    frame_P = np.searchsorted(clip.pts_T, pts_P).clip(max=clip.num_frames - 1).astype(np.int32)
    frame_P[clip.pts_T[frame_P] != pts_P] = NO_FRAME
    uses_T = np.bincount(frame_P[frame_P != NO_FRAME], minlength=clip.num_frames)
    frame_P[(frame_P != NO_FRAME) & (uses_T[frame_P] > 1)] = NO_FRAME
    return frame_P, np.array(kinds, np.uint8)


def _decodes_as(clip: Clip, packet: SourcePacket) -> bool:
    """Whether a picture that needs no other is a whole one of the clip's size and format."""
    context = cast("av.VideoCodecContext", av.CodecContext.create(clip.codec, "r"))
    coded = av.Packet(join_start_codes(with_sets(clip.codec, packet.units, packet.sets)))
    try:
        pictures = [*context.decode(coded), *context.decode(None)]
    except av.error.FFmpegError as error:
        logger.debug("A keyframe does not decode by itself: %s", error)
        return False
    return len(pictures) == 1 and all(
        (picture.height, picture.width) == clip.size
        and picture.format.name == clip.pixel_format
        and not picture.interlaced_frame
        for picture in pictures
    )


def copied_stretches(frame_P: Int32, kind_P: UInt8, is_changed_N: Bool) -> Iterator[Stretch]:
    """The longest stretches that can be copied, in order.

    Args:
        frame_P: (P,) int32, see `_survey`.
        kind_P: (P,) uint8.
        is_changed_N: (N,) bool.
    """
    limit_N = _next_changed(is_changed_N)
    highest_P = np.maximum.accumulate(np.concatenate([[NO_FRAME], frame_P]))
    starts = np.flatnonzero((kind_P == PictureKind.IDR) | (kind_P == PictureKind.OPEN))
    stops = [*starts[1:].tolist(), len(frame_P)]
    position = 0
    for start, stop in zip(starts.tolist(), stops, strict=True):
        # What needs pictures before the start is left out; it is shown before all that is kept.
        kept_K = start + np.flatnonzero(kind_P[start:stop] != PictureKind.SKIPPED)
        sound_K = kept_K[np.cumsum(frame_P[kept_K] == NO_FRAME) == 0]
        if not len(sound_K):
            continue
        first = int(frame_P[sound_K].min())
        if first < max(position, int(highest_P[start]) + 1) or first >= len(is_changed_N):
            continue
        num_most = int(limit_N[first]) - first
        rest_K = np.arange(stop, min(stop + num_most, len(frame_P)))
        stretch = _longest(frame_P, np.concatenate([kept_K, rest_K])[:num_most], first)
        if stretch.num_frames >= MIN_COPIED_FRAMES:
            yield stretch
            position = stretch.stop_frame


def _longest(frame_P: Int32, packet_K: Int64, first: int) -> Stretch:
    """As many of the packets as show the frames from `first` on without a gap."""
    frame_K = frame_P[packet_K]
    is_whole_K = np.maximum.accumulate(frame_K) - first == np.arange(len(frame_K))
    is_whole_K &= np.minimum.accumulate(frame_K) >= first
    if not is_whole_K.any():
        return Stretch(first, first, is_copied=True)
    last = int(np.flatnonzero(is_whole_K)[-1])
    reorder = reorder_delay(frame_K[: last + 1])
    return Stretch(first, first + last + 1, True, int(packet_K[0]), int(packet_K[last]) + 1, reorder)


def reorder_delay(frame_K: Int32 | Int64) -> int:
    """By how many frames decoding must run ahead of display.

    Args:
        frame_K: (K,) frames in decoding order, together a range without gaps.
    """
    return int((np.arange(len(frame_K)) - (frame_K - frame_K.min())).max())


def _next_changed(is_changed_N: Bool) -> Int64:
    """(N,) int64, the first changed frame at or behind each frame; N where there is none."""
    num_frames = len(is_changed_N)
    own_N = np.where(is_changed_N, np.arange(num_frames), num_frames)
    return np.minimum.accumulate(own_N[::-1])[::-1]


def _with_gaps(copied: list[Stretch], num_frames: int) -> Iterator[Stretch]:
    """The copied stretches and what lies between them."""
    position = 0
    for stretch in copied:
        if position < stretch.start_frame:
            yield Stretch(position, stretch.start_frame, is_copied=False)
        yield stretch
        position = stretch.stop_frame
    if position < num_frames:
        yield Stretch(position, num_frames, is_copied=False)


def _side_data(packet: AnyPacket) -> bytes:
    """A new configuration that comes with a packet."""
    return bytes(packet.get_sidedata("new_extradata"))
