"""Opening files with PyAV: what can go wrong there, said in words a user can act on."""

from __future__ import annotations

import logging
import stat
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, TypeVar

import av
import av.error

from dubber.errors import MediaError

if TYPE_CHECKING:
    from av.audio.stream import AudioStream
    from av.container import InputContainer
    from av.video.stream import VideoStream

logger = logging.getLogger(__name__)

MAX_SIDE_PX = 16384
MAX_PIXELS = 2**26
"""Larger pictures are refused before anything is made room for: 8192 x 8192, twice 8K."""

MAX_STREAMS = 1000
"""More are refused; a film with every language and font has a tenth of that."""

OPEN_LIMIT_S, READ_LIMIT_S = 60.0, 60.0
"""A demuxer may look for so long at a header, and at what follows for a packet: it goes round in circles."""

_GUARDS = {"max_pixels": str(MAX_PIXELS), "max_streams": str(MAX_STREAMS)}

DECODER_GUARDS = {"max_pixels": str(MAX_PIXELS)}
"""Options that every decoder of pictures gets."""

AnyStream = TypeVar("AnyStream", "VideoStream", "AudioStream")

_PIPE_ADVICE = "dubber reads its inputs several times: save it to a file first."
_STALLED_ADVICE = "The file is damaged, or its disk or network does not answer: copy it to another disk."

INCOMPLETE_ADVICE = "The file seems cut off: copy, download or export it again."


def check_readable(path: Path) -> None:
    """Say plainly what keeps a file from being read before any library tries.

    Raises:
        MediaError: The path is missing, a folder, a pipe or device, empty or forbidden.
    """
    try:
        mode = path.stat().st_mode
        if not stat.S_ISREG(mode) and not stat.S_ISDIR(mode):
            raise MediaError("This is a pipe or device, not a file.", where=str(path), advice=_PIPE_ADVICE)
        if stat.S_ISDIR(mode):
            raise MediaError("This is a folder, not a file.", where=str(path), advice="Name one file in it.")
        with path.open("rb") as stream:
            is_empty = not stream.read(1)
    except (FileNotFoundError, NotADirectoryError, ValueError) as error:  # ValueError: a zero byte in a name
        advice = "Check the name and the folder."
        raise MediaError("There is no such file.", where=str(path), advice=advice) from error
    except OSError as error:
        message, advice = f"The file cannot be read ({error.strerror}).", "Check that you may read it."
        raise MediaError(message, where=str(path), advice=advice) from error
    if is_empty:
        raise MediaError("The file is empty.", where=str(path), advice=INCOMPLETE_ADVICE)


@contextmanager
def open_media(path: Path) -> Iterator[InputContainer]:
    """Open a file for reading; it is closed at the end, and PyAV's errors become `MediaError`.

    Raises:
        MediaError: The file cannot be opened, its pictures are larger than `MAX_PIXELS`, or reading it fails
            inside the block.
    """
    check_readable(path)
    try:
        # The protocol keeps names such as "a:b.mp4" from being taken for addresses.
        with av.open(
            f"file:{path}",
            metadata_errors="replace",
            options=dict(_GUARDS),
            timeout=(OPEN_LIMIT_S, READ_LIMIT_S),
        ) as container:
            _check_sizes(container, path)
            yield container
    except av.error.ExitError as error:
        message = f"Nothing could be read from the file for {READ_LIMIT_S:.0f} seconds."
        raise MediaError(message, where=str(path), advice=_STALLED_ADVICE) from error
    except av.error.InvalidDataError as error:
        message = "The file is damaged, cut off, or not a video or audio file."
        raise MediaError(message, where=str(path), advice=_advice(path)) from error
    except av.error.FFmpegError as error:
        raise MediaError(f"The file cannot be read ({error.strerror}).", where=str(path)) from error


def video_stream(container: InputContainer, path: Path) -> VideoStream:
    """The stream a player would show; cover pictures of music files do not count.

    It is decoded by the thread that reads it: other stages have work for the other cores, and FFmpeg's own
    threads cost a tenth to a third more processor time.

    Raises:
        MediaError: There is none.
    """
    videos = _moving(container)
    if not videos:
        advice = "The first argument must be the video; the speech comes second."
        raise MediaError("The file has no video stream.", where=str(path), advice=advice)
    best = container.streams.best("video")
    stream = next((s for s in videos if best is not None and s.index == best.index), videos[0])
    stream.thread_type = "NONE"
    # Pictures may turn out larger than the container says.
    stream.codec_context.options = dict(DECODER_GUARDS)
    return stream


def has_video(container: InputContainer) -> bool:
    """Whether there is a video stream; cover pictures of music files do not count."""
    return bool(_moving(container))


def _moving(container: InputContainer) -> list[VideoStream]:
    attached = av.stream.Disposition.attached_pic
    return [stream for stream in decodable(container.streams.video) if not stream.disposition & attached]


def decodable(streams: Sequence[AnyStream]) -> list[AnyStream]:
    """Those of some streams whose codec is built in; PyAV can do nothing with others."""
    return [stream for stream in streams if stream.codec_context is not None]


def _check_sizes(container: InputContainer, path: Path) -> None:
    """Refuse what no camera films, before memory is taken for it.

    Raises:
        MediaError: A picture is too large.
    """
    for stream in _moving(container):
        width, height = stream.codec_context.width, stream.codec_context.height
        if width * height > MAX_PIXELS or max(width, height) > MAX_SIDE_PX:
            raise MediaError(
                f"Its pictures are {width} x {height}; at most {MAX_PIXELS // 10**6} megapixels and "
                f"{MAX_SIDE_PX} on a side can be dubbed.",
                where=str(path),
                advice="Scale the video down first.",
            )


def _advice(path: Path) -> str:
    if path.suffix.lower() in {".mp4", ".mov", ".m4v", ".m4a", ".3gp"}:
        return f"{INCOMPLETE_ADVICE} A recording that was not stopped properly lacks its index."
    return ""
