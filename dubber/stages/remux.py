"""The finished file: one encode of the new frames, the user's audio, checked before anybody gets it."""

from __future__ import annotations

from contextlib import closing
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar, Literal

from pydantic import Field

from dubber.engine.stage import Params, Stage, StageContext
from dubber.errors import StageError
from dubber.types import Clip, DubbedVideo, SourceFile, StoredFile, Timeline

if TYPE_CHECKING:
    from dubber.media.flow import FrameStream
    from dubber.media.writer import EncodeOptions


class RemuxParams(Params):
    """How the output is coded.

    Attributes:
        container: Suffix of the output.
        vcodec: FFmpeg's name of a video encoder; "h264" or "hevc" for the first of that format's that works
            here, hardware before software.
        crf: Constant quality on the encoder's scale; lower is better.
        preset: Speed for size, in x264's words.
        is_labelled: Whether the file's metadata say that it was edited.
    """

    container: Literal["mp4", "mov", "mkv", "webm", "avi"] = "mp4"
    vcodec: str = "libx264"
    crf: int = Field(13, ge=0, le=63)
    preset: str = "veryfast"
    is_labelled: bool = True


class Remux(Stage[DubbedVideo]):
    """Encodes the frames once, puts the user's audio to them and verifies the file."""

    name: ClassVar[str] = "remux"
    version: ClassVar[int] = 2
    output_type: ClassVar[type] = DubbedVideo

    params: RemuxParams

    def __init__(self, params: RemuxParams | None = None) -> None:
        super().__init__(params or RemuxParams())

    def run(self, ctx: StageContext, *inputs: Any) -> DubbedVideo:
        """Write the output.

        Args:
            ctx: The context.
            *inputs: frames (FrameStream), audio (SourceFile), clip (Clip), timeline (Timeline).

        Raises:
            ConfigError: The encoder is absent or does not fit the container.
            ToolMissingError: There is no ffmpeg.
            StageError: The file is not what it should be.
        """
        from dubber.media.encoders import chosen_encoder
        from dubber.media.mux import check_container, mux, verify_output
        from dubber.media.writer import EncodeOptions, coded_size

        frames: FrameStream
        audio: SourceFile
        clip: Clip
        timeline: Timeline
        frames, audio, clip, timeline = inputs
        params = self.params
        options = chosen_encoder(EncodeOptions(params.vcodec, params.crf, params.preset), clip.size)
        check_container(params.container, options.codec)
        pictures = ctx.new_file("pictures.mp4")
        output = ctx.new_file(f"dubbed.{params.container}")
        try:
            _encode(ctx, frames, pictures, clip, timeline, options)
            is_audio_copied = mux(
                pictures,
                audio.path,
                output,
                heard_s=timeline.audio_duration_s,
                output_s=timeline.duration_s,
                is_labelled=params.is_labelled,
            )
        finally:
            pictures.unlink(missing_ok=True)
        size = coded_size(clip.size, options.codec)
        verify_output(output, num_frames=timeline.num_frames, duration_s=timeline.duration_s, size=size)
        return DubbedVideo(
            StoredFile(output), frames.is_dubbed_N, timeline.duration_s, options.codec, is_audio_copied
        )


def _encode(
    ctx: StageContext,
    frames: FrameStream,
    path: Path,
    clip: Clip,
    timeline: Timeline,
    options: EncodeOptions,
) -> None:
    """Write the pictures, starting at time 0, each at its own time."""
    from dubber.media.writer import VideoWriter

    if frames.num_frames != timeline.num_frames:
        raise StageError(f"{frames.num_frames} frames for a timeline of {timeline.num_frames}.")
    first_pts = int(timeline.pts_N[0])
    end_pts = timeline.end_pts - first_pts
    with (
        ctx.frames(timeline.num_frames),
        VideoWriter(path, clip, timeline.time_base, options, end_pts=end_pts) as writer,
        closing(frames.open()) as made,
    ):
        for frame in made:
            if writer.num_written == timeline.num_frames:
                raise StageError(f"There are more than {timeline.num_frames} frames.")
            writer.write(frame, int(timeline.pts_N[writer.num_written]) - first_pts)
            ctx.advance()
        if writer.num_written != timeline.num_frames:
            raise StageError(f"Only {writer.num_written} of {timeline.num_frames} frames were made.")
