"""What an output keeps of its source's streams.

Streams are copied as they are, text subtitles and sound are turned into what the container holds where they
must be, and what cannot be kept is said in words.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace

from dubber.media import formats
from dubber.media.languages import is_three_letters
from dubber.media.streams import Chapter, SourceStream, SourceStreams

_RETIMED = "the footage was retimed; `--length silence` and `--length cut_off` keep the times of its frames"


@dataclass(frozen=True)
class KeptStream:
    """A stream that goes into the output.

    Attributes:
        stream: Which one.
        codec: FFmpeg's name of the encoder, "copy" for none.
    """

    stream: SourceStream
    codec: str = "copy"


@dataclass(frozen=True)
class StreamPlan:
    """What becomes of a source's streams.

    Attributes:
        kept: Those that go into the output, sound first.
        chapters: In seconds from the output's first picture.
        keeps_timecode: Whether the output's frames are counted as the source's.
        converted: Sentences on streams that are coded anew.
        left_out: Sentences on what the output lacks.
        until_s: Where the output ends before the source does, its end; else None.
    """

    kept: tuple[KeptStream, ...] = ()
    chapters: tuple[Chapter, ...] = ()
    keeps_timecode: bool = False
    converted: tuple[str, ...] = ()
    left_out: tuple[str, ...] = ()
    until_s: float | None = None


def plan_streams(
    source: SourceStreams,
    container: str,
    *,
    is_in_time: bool,
    replaced: SourceStream | None = None,
    until_s: float | None = None,
) -> StreamPlan:
    """Decide what an output keeps of its source.

    Args:
        source: The video's file.
        container: One of `formats.CONTAINERS`.
        is_in_time: Whether the output's frames are the source's, one by one from the first; more may follow.
        replaced: The audio track that the new speech stands for; None keeps all.
        until_s: Where the output ends before the source does, its end in seconds; else None.
    """
    kept: list[KeptStream] = []
    converted: list[str] = []
    left_out: list[str] = []
    has_timecode = any("timecode" in data for data in (source.metadata, source.video_metadata))
    for stream in source.others:
        if stream == replaced or stream.kind == "timecode":
            continue
        if not is_in_time and stream.kind not in ("cover", "attachment"):
            left_out.append(f"The {stream} was left out: {_RETIMED}.")
        elif (codec := codec_for(stream, container)) is None:
            left_out.append(f"The {stream} was left out: .{container} files cannot hold it.")
        else:
            kept.append(KeptStream(stream, codec))
            if container in formats.THREE_LETTERS and not is_three_letters(stream.language or "und"):
                left_out.append(f"The language of the {stream} was left out: it has no ISO 639-2 tag.")
            if codec != "copy":
                converted.append(f"The {stream} became {codec}: .{container} files cannot hold it as it was.")
    chapters = _chapters(source, container, until_s) if is_in_time else ()
    keeps_timecode = has_timecode and is_in_time and container in formats.TIMECODES
    reason = f".{container} files cannot hold them" if is_in_time else _RETIMED
    if source.chapters and not chapters:
        left_out.append(f"The {len(source.chapters)} chapters were left out: {reason}.")
    if has_timecode and not keeps_timecode:
        left_out.append(f"The timecode was left out: {reason}.")
    order = ("audio", "subtitle", "video", "cover", "data", "attachment")
    kept.sort(key=lambda each: order.index(each.stream.kind))
    return StreamPlan(
        tuple(kept), chapters, keeps_timecode, tuple(converted), tuple(left_out), until_s=until_s
    )


def codec_for(stream: SourceStream, container: str) -> str | None:
    """How a stream goes into a container: "copy", the name of an encoder, or None for not at all."""
    if stream.kind == "audio" and stream.codec:
        is_held = stream.codec in formats.HELD_AUDIO[container]
        return "copy" if is_held else formats.audio_encoder(container)
    if stream.kind == "subtitle":
        if stream.codec in formats.SUBTITLES[container]:
            return "copy"
        return formats.TEXT_OF.get(container) if stream.codec in formats.TEXT_SUBTITLES else None
    if stream.kind == "attachment":
        return "copy" if container in formats.ATTACHMENTS else None
    if stream.kind == "audio":
        return None
    held = {"video": formats.VIDEO, "cover": formats.COVERS, "data": formats.DATA}[stream.kind]
    return "copy" if stream.codec in held.get(container, ()) else None


def _chapters(source: SourceStreams, container: str, until_s: float | None) -> tuple[Chapter, ...]:
    """The chapters of the output.

    QuickTime keeps them as a track of texts, which begins at 0 and has a text for each.
    """
    if container not in formats.CHAPTERS:
        return ()
    chapters = list(_moved(source, until_s))
    if container not in formats.QUICKTIME or not chapters:
        return tuple(chapters)
    chapters = [
        replace(chapter, title=chapter.title or f"Chapter {number}")
        for number, chapter in enumerate(chapters, start=1)
    ]
    if chapters[0].start_s > 0:
        chapters.insert(0, Chapter(0.0, chapters[0].start_s, "Beginning"))
    return tuple(chapters)


def _moved(source: SourceStreams, until_s: float | None) -> Iterator[Chapter]:
    """Chapters on the output's clock, those that lie in it."""
    zero_s = float(source.zero_s)
    end_s = float("inf") if until_s is None else until_s
    for chapter in source.chapters:
        start_s, stop_s = max(chapter.start_s - zero_s, 0.0), min(chapter.end_s - zero_s, end_s)
        if stop_s > start_s:
            yield Chapter(start_s, stop_s, chapter.title)
