"""Mouth patches on disk: lossless RGB video, one file per segment."""

from __future__ import annotations

from collections.abc import Generator, Iterable
from fractions import Fraction
from pathlib import Path

import av
import numpy as np

from dubber.errors import StageError
from dubber.media.container import open_media, video_stream
from dubber.media.output import VideoOutput
from dubber.types import UInt8

_CODEC = "libx264rgb"
_OPTIONS = {"qp": "0", "preset": "ultrafast"}
"""Lossless H.264 in RGB: a third of FFV1's time, to write and to read, at the same size."""

_DECODED_FORMAT = "gbrp"
_RATE = Fraction(25)


class PatchWriter(VideoOutput):
    """Writes RGB patches; a context manager. A file whose writing failed is removed.

    Args:
        path: A `.mkv` file. Without any patch it becomes an empty file, which `read_patches` understands.
        size: (height, width) of the patches.
    """

    def __init__(self, path: Path, size: tuple[int, int]) -> None:
        super().__init__(path, "matroska", _CODEC, _RATE, _OPTIONS)
        self.size = size
        self.stream.height, self.stream.width = size
        self.stream.pix_fmt = "rgb24"
        self.stream.codec_context.thread_count = 1

    def write(self, rgb: UInt8) -> None:
        """Append a patch.

        Args:
            rgb: (height, width, 3) uint8 RGB.

        Raises:
            ValueError: It has another shape or type.
        """
        if rgb.shape != (*self.size, 3) or rgb.dtype != np.uint8:
            raise ValueError(f"a patch is {self.size} px of uint8 RGB, not {rgb.shape} {rgb.dtype}")
        picture = av.VideoFrame.from_ndarray(np.ascontiguousarray(rgb), format="rgb24")
        picture.pts = self.num_written
        picture.time_base = 1 / _RATE
        self.mux(self.encode(picture))
        self.num_written += 1

    def finish(self) -> None:
        """Flush the encoder; without any patch, leave an empty file."""
        super().finish()
        if not self.num_written:
            self.path.write_bytes(b"")

    def __enter__(self) -> PatchWriter:
        return self


def read_patches(paths: Iterable[Path]) -> Generator[UInt8]:
    """The patches of consecutive files, in order.

    Args:
        paths: Files of `PatchWriter`.

    Yields:
        (height, width, 3) uint8 RGB, bit for bit what was written.

    Raises:
        StageError: A file holds something else.
        MediaError: A file is missing or damaged.
    """
    for path in paths:
        if path.is_file() and path.stat().st_size == 0:
            continue
        with open_media(path) as container:
            for picture in container.decode(video_stream(container, path)):
                if picture.format.name != _DECODED_FORMAT:
                    raise StageError(f"A patch file holds {picture.format.name}.", where=str(path))
                yield np.asarray(picture.to_ndarray(format=_DECODED_FORMAT), np.uint8)
