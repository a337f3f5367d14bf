"""What a source file holds besides the video that is dubbed."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from fractions import Fraction
from pathlib import Path
from typing import TYPE_CHECKING, Literal, cast

import av

from dubber.errors import ConfigError
from dubber.media import formats
from dubber.media.container import open_media, video_stream
from dubber.media.decoding import num_channels_of
from dubber.media.languages import three_letters

if TYPE_CHECKING:
    from av.audio.stream import AudioStream
    from av.container import InputContainer
    from av.stream import Stream

Kind = Literal["audio", "subtitle", "video", "cover", "data", "attachment", "timecode"]

_NAMES: dict[Kind, str] = {
    "audio": "audio track",
    "subtitle": "subtitles",
    "video": "video track",
    "cover": "cover picture",
    "data": "data track",
    "attachment": "attached file",
    "timecode": "timecode",
}


@dataclass(frozen=True)
class SourceStream:
    """A stream of the source.

    Attributes:
        index: Its number in the file.
        kind: What it is for.
        codec: FFmpeg's name of the codec; empty where it has none.
        language: ISO 639-2 tag, or, where the file's tag is of no such language, that; empty for none.
        title: As the file says; an attached file's name.
        num_channels: Of sound.
        sample_rate_hz: Of sound.
        is_default: Whether players choose it.
    """

    index: int
    kind: Kind
    codec: str
    language: str = ""
    title: str = ""
    num_channels: int = 0
    sample_rate_hz: int = 0
    is_default: bool = False

    def __str__(self) -> str:
        words = [word for word in (self.language, self.codec, self.title) if word]
        return f"{_NAMES[self.kind]} (stream {self.index}{''.join(f', {word}' for word in words)})"


@dataclass(frozen=True)
class Chapter:
    """A chapter, in seconds on the file's own clock.

    Attributes:
        start_s: Its begin.
        end_s: Its end.
        title: Its name.
    """

    start_s: float
    end_s: float
    title: str


@dataclass(frozen=True)
class SourceStreams:
    """What a source file holds.

    Attributes:
        path: The file.
        video: Number of the stream that is dubbed.
        others: The other streams, in the file's order.
        chapters: Its chapters.
        metadata: Of the whole file.
        video_metadata: Of the stream that is dubbed.
        zero_s: When the first picture is shown, on the file's own clock.
        start_s: When its first stream begins.
    """

    path: Path
    video: int
    others: tuple[SourceStream, ...]
    chapters: tuple[Chapter, ...]
    metadata: dict[str, str]
    video_metadata: dict[str, str]
    zero_s: Fraction
    start_s: float

    def of(self, *kinds: Kind) -> list[SourceStream]:
        """Its streams of some kinds."""
        return [stream for stream in self.others if stream.kind in kinds]


def source_streams(path: Path, zero_s: Fraction) -> SourceStreams:
    """Look what a file holds.

    Args:
        path: A video.
        zero_s: When its first picture is shown, on its own clock.

    Raises:
        MediaError: It cannot be read, or has no video.
    """
    with open_media(path) as container:
        video = video_stream(container, path)
        others = tuple(
            _described(stream, kind)
            for stream in container.streams
            if stream.index != video.index and (kind := _kind(stream, container)) is not None
        )
        chapters = tuple(
            Chapter(
                float(each["start"] * (each["time_base"] or 0)),
                float(each["end"] * (each["time_base"] or 0)),
                each["metadata"].get("title", ""),
            )
            for each in container.chapters()
        )
        return SourceStreams(
            path=path,
            video=video.index,
            others=others,
            chapters=chapters,
            metadata=dict(container.metadata),
            video_metadata=dict(video.metadata),
            zero_s=zero_s,
            start_s=(container.start_time or 0) / av.time_base,
        )


def cover_pictures(path: Path, indices: Sequence[int]) -> list[bytes]:
    """The cover pictures of a file, as they are coded.

    Args:
        path: The file.
        indices: Numbers of their streams.

    Raises:
        MediaError: It cannot be read.
    """
    found: dict[int, bytes] = {}
    with open_media(path) as container:
        for packet in container.demux([container.streams[index] for index in indices]):
            if packet.size:
                found.setdefault(packet.stream.index, bytes(packet))
            if len(found) == len(indices):
                break
    return [found[index] for index in indices if index in found]


def replaced_stream(source: SourceStreams, number: int | None) -> SourceStream | None:
    """The audio track whose place the new speech takes.

    Args:
        source: The video's file.
        number: Of the audio track, counting from 0; None for the one that players choose.

    Returns:
        None where the file has no sound.

    Raises:
        ConfigError: There is no such track.
    """
    tracks = source.of("audio")
    if number is None:
        return next((track for track in tracks if track.is_default), tracks[0] if tracks else None)
    if number >= len(tracks):
        advice = f"It has {len(tracks)} audio tracks; they are counted from 0."
        message = f"The video has no audio track {number}."
        raise ConfigError(message, where="--replaced-track", advice=advice)
    return tracks[number]


def _kind(stream: Stream, container: InputContainer) -> Kind | None:
    if stream.type == "video":
        return "cover" if stream.disposition & av.stream.Disposition.attached_pic else "video"
    if stream.type == "data":
        if "timecode" in stream.metadata:
            return "timecode"
        is_quicktime = "mov" in container.format.name.split(",")
        if is_quicktime and stream.name == "bin_data" and _is_text_of_chapters(stream, container):
            return None
        return "data"
    return stream.type if stream.type in ("audio", "subtitle", "attachment") else None


def _is_text_of_chapters(stream: Stream, container: InputContainer) -> bool:
    """QuickTime keeps the chapters' names in a track of their own, which FFmpeg shows beside them."""
    return len(container.chapters()) > 0 and stream.frames == len(container.chapters())


def _described(stream: Stream, kind: Kind) -> SourceStream:
    context = stream.codec_context
    # Sound and pictures of codecs that are not built in have neither.
    codec = (context.name if context is not None else getattr(stream, "name", None)) or ""
    language = stream.metadata.get("language", "")
    language = three_letters(language) or language
    return SourceStream(
        index=stream.index,
        kind=kind,
        codec="" if kind == "attachment" else formats.codec_name(codec),
        language="" if language == "und" else language,
        title=stream.metadata.get("filename" if kind in ("attachment", "cover") else "title", ""),
        num_channels=num_channels_of(cast("AudioStream", stream)) if kind == "audio" and context else 0,
        sample_rate_hz=int(getattr(context, "sample_rate", 0) or 0) if kind == "audio" else 0,
        is_default=bool(stream.disposition & av.stream.Disposition.default),
    )
