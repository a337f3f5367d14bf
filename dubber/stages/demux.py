"""What the video holds: its frames' times, size, colour."""

from __future__ import annotations

from typing import Any, ClassVar

from dubber.engine.stage import Params, Stage, StageContext
from dubber.types import Clip, SourceFile


class DemuxParams(Params):
    """Nothing to choose."""


class Demux(Stage[Clip]):
    """Decodes the video once and notes the exact time of every frame."""

    name: ClassVar[str] = "demux"
    version: ClassVar[int] = 1
    output_type: ClassVar[type] = Clip

    def __init__(self, params: DemuxParams | None = None) -> None:
        super().__init__(params or DemuxParams())

    def run(self, ctx: StageContext, *inputs: Any) -> Clip:
        """Probe the video.

        Args:
            ctx: The context.
            *inputs: video (SourceFile).

        Raises:
            MediaError: The file is missing, damaged, cut off or holds no video.
        """
        from dubber.media.reader import probe

        video: SourceFile
        (video,) = inputs
        with ctx.frames(None):
            clip = probe(video.path)
            ctx.advance(clip.num_frames)
        return clip
