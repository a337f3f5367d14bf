"""What the video holds: its frames' times, size, colour."""

from __future__ import annotations

from typing import Any, ClassVar

from dubber.engine.stage import Params, Stage, StageContext
from dubber.errors import MediaError
from dubber.types import Clip, SourceFile


class DemuxParams(Params):
    """How the video is read.

    Attributes:
        deinterlace: Make whole pictures of interlaced footage's fields, one per frame; progressive footage
            stays as it is.
    """

    deinterlace: bool = False


class Demux(Stage[Clip]):
    """Decodes the video once and notes the exact time of every frame."""

    name: ClassVar[str] = "demux"
    version: ClassVar[int] = 3
    output_type: ClassVar[type] = Clip

    params: DemuxParams

    def __init__(self, params: DemuxParams | None = None) -> None:
        super().__init__(params or DemuxParams())

    def run(self, ctx: StageContext, *inputs: Any) -> Clip:
        """Probe the video.

        Args:
            ctx: The context.
            *inputs: video (SourceFile).

        Raises:
            MediaError: The file is missing, damaged or cut off; or it holds no video, a single picture, or
                interlaced footage that nobody asked to deinterlace.
        """
        from dubber.media.probe import probe

        video: SourceFile
        (video,) = inputs
        with ctx.frames(None):
            clip = probe(video.path, deinterlaces=self.params.deinterlace)
            ctx.advance(clip.num_frames)
        check_dubbable(clip, where=str(video.path))
        return clip


def check_dubbable(clip: Clip, *, where: str) -> None:
    """Refuse pictures that talk as nobody does.

    Args:
        clip: As probed.
        where: The file.

    Raises:
        MediaError: A single picture, or interlaced footage that nobody asked to deinterlace.
    """
    if clip.num_frames == 1:
        advice = "Give it footage of somebody who talks; a picture has no motion to work with."
        raise MediaError("The video holds a single picture.", where=where, advice=advice)
    if clip.is_interlaced and not clip.is_deinterlaced:
        advice = "Give `--deinterlace`, or convert it first with a deinterlacer of your choice."
        raise MediaError("The footage is interlaced.", where=where, advice=advice)
