"""A video file being written: closed whatever happens, removed when it did not become whole."""

from __future__ import annotations

import os
from fractions import Fraction
from pathlib import Path
from types import TracebackType
from typing import Any, TypeAlias, cast

import av
from av.video.stream import VideoStream

from dubber.errors import ConfigError

AnyPacket: TypeAlias = "av.Packet[Any]"
"""A coded picture. (Packets are generic only in PyAV's type stubs, hence the quotes.)"""


class VideoOutput:
    """One video stream in one file; a context manager.

    The bytes depend on nothing but the pictures and the settings: no dates, no random identifiers.

    Attributes:
        path: The file.
        stream: Set its size and format before the first `encode`.
        num_written: Pictures so far.
    """

    def __init__(
        self, path: Path, container_format: str, codec: str, rate: Fraction, options: dict[str, str]
    ) -> None:
        """Open the file.

        Args:
            path: Where to write; replaced if it exists.
            container_format: FFmpeg's name of the muxer.
            codec: FFmpeg's name of the encoder.
            rate: Nominal frames per second, for rate control; timestamps are the caller's.
            options: The encoder's private options.

        Raises:
            ConfigError: There is no such encoder, or it refuses the container.
        """
        check_encoder(codec)
        quieten(codec)
        self.path = path
        self.num_written = 0
        self._container = av.open(
            f"file:{path}", "w", format=container_format, options={"fflags": "+bitexact"}
        )
        try:
            stream = self._container.add_stream(codec, rate=rate, options=options)
        except ValueError as error:
            self.discard()
            raise ConfigError(f"The encoder '{codec}' does not fit: {error}.") from error
        self.stream = cast("VideoStream", stream)

    def encode(self, picture: av.VideoFrame | None) -> list[AnyPacket]:
        """Packets that are ready once a picture is in; None flushes."""
        return self.stream.encode(picture)

    def mux(self, packets: list[AnyPacket]) -> None:
        """Write packets."""
        self._container.mux(packets)

    def finish(self) -> None:
        """Flush what the encoder still holds."""
        if self.num_written:
            self.mux(self.encode(None))

    def discard(self) -> None:
        """Close and remove the file."""
        self._container.close()
        self.path.unlink(missing_ok=True)

    def __enter__(self) -> VideoOutput:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        if kind is not None:
            self.discard()
            return
        try:
            self.finish()
            self._container.close()
        except BaseException:
            self.discard()
            raise


def quieten(codec: str) -> None:
    """Keep an encoder from writing to the user's terminal past all logging; to be called before it opens.

    SVT-AV1 hears only this: its errors are still told, unless the user's environment says otherwise.
    """
    if codec == "libsvtav1":
        os.environ.setdefault("SVT_LOG", "1")


def check_encoder(codec: str) -> None:
    """Make sure that an encoder is built in.

    Raises:
        ConfigError: It is not; the message lists those that are.
    """
    try:
        is_video = av.Codec(codec, "w").type == "video"
    except ValueError:  # PyAV's UnknownCodecError is one
        is_video = False
    if not is_video:
        advice = f"Choose one of: {', '.join(available_encoders())}."
        raise ConfigError(f"There is no video encoder '{codec}' here.", where="--vcodec", advice=advice)


def available_encoders() -> list[str]:
    """The encoders for finished video that are built in, the usual ones first."""
    return [name for name in _USUAL_ENCODERS if has_encoder(name)]


_USUAL_ENCODERS = (
    "libx264",
    "libx265",
    "libsvtav1",
    "libaom-av1",
    "libvpx-vp9",
    "h264_nvenc",
    "hevc_nvenc",
    "h264_qsv",
    "hevc_qsv",
    "h264_videotoolbox",
    "hevc_videotoolbox",
    "mpeg4",
    "prores_ks",
    "ffv1",
)


def has_encoder(name: str) -> bool:
    """Whether an encoder is built in."""
    try:
        av.Codec(name, "w")
    except ValueError:
        return False
    return True
