"""Opening files with PyAV: what can go wrong there, said in words a user can act on."""

from __future__ import annotations

import logging
from collections.abc import Iterator
from contextlib import contextmanager
from fractions import Fraction
from pathlib import Path
from typing import TYPE_CHECKING

import av
import av.error

from dubber.errors import MediaError

if TYPE_CHECKING:
    from av.container import InputContainer
    from av.video.stream import VideoStream

logger = logging.getLogger(__name__)

INCOMPLETE_ADVICE = "The file seems cut off: copy, download or export it again."


def check_readable(path: Path) -> None:
    """Say plainly what keeps a file from being read before any library tries.

    Raises:
        MediaError: The path is missing, a folder, empty or forbidden.
    """
    if not path.exists():
        raise MediaError("There is no such file.", where=str(path), advice="Check the name and the folder.")
    if path.is_dir():
        raise MediaError("This is a folder, not a file.", where=str(path), advice="Name one file in it.")
    try:
        with path.open("rb") as stream:
            is_empty = not stream.read(1)
    except OSError as error:
        message, advice = f"The file cannot be read ({error.strerror}).", "Check that you may read it."
        raise MediaError(message, where=str(path), advice=advice) from error
    if is_empty:
        raise MediaError("The file is empty.", where=str(path), advice=INCOMPLETE_ADVICE)


@contextmanager
def open_media(path: Path) -> Iterator[InputContainer]:
    """Open a file for reading; it is closed at the end, and PyAV's errors become `MediaError`.

    Raises:
        MediaError: The file cannot be opened, or reading it fails inside the block.
    """
    check_readable(path)
    try:
        # The protocol keeps names such as "a:b.mp4" from being taken for addresses.
        with av.open(f"file:{path}", metadata_errors="replace") as container:
            yield container
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
    return stream


def first_picture_s(container: InputContainer) -> Fraction | None:
    """When a player would show the first picture, on the container's clock; None where there is no video."""
    for stream in _moving(container)[:1]:
        if stream.start_time is not None and stream.time_base is not None:
            return stream.start_time * stream.time_base
    return None


def _moving(container: InputContainer) -> list[VideoStream]:
    attached = av.stream.Disposition.attached_pic
    return [stream for stream in container.streams.video if not stream.disposition & attached]


def _advice(path: Path) -> str:
    if path.suffix.lower() in {".mp4", ".mov", ".m4v", ".m4a", ".3gp"}:
        return f"{INCOMPLETE_ADVICE} A recording that was not stopped properly lacks its index."
    return ""
