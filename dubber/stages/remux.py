"""The finished file: one encode of the new frames, the user's audio, checked before anybody gets it."""

from __future__ import annotations

import logging
from contextlib import closing
from errno import ENAMETOOLONG
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar, Literal

import numpy as np
from pydantic import Field

from dubber.engine.stage import Params, Stage, StageContext
from dubber.errors import ConfigError, MediaError, StageError
from dubber.types import Bool, Clip, DubbedVideo, Sound, SourceFile, StoredFile, Timeline

if TYPE_CHECKING:
    from dubber.media.edits import Edits
    from dubber.media.encoding import EncodeOptions
    from dubber.media.flow import FrameStream
    from dubber.media.splice_plan import SplicePlan
    from dubber.media.stream_plan import StreamPlan
    from dubber.media.streams import SourceStreams

logger = logging.getLogger(__name__)


class RemuxParams(Params):
    """How the output is coded, and what it holds besides the pictures.

    Attributes:
        container: Suffix of the output.
        vcodec: FFmpeg's name of a video encoder; "auto" for x264 or, where the footage is deeper than 8 bit,
            x265 (what WebM takes, in WebM); "h264" or "hevc" for the first of that format's that works here,
            hardware before software.
        chroma: "compatible": H.264 is 8 bit 4:2:0 and HEVC at most 10 bit 4:2:2, which players take;
            "source": the depth and colour sampling of the footage, as far as the encoder can.
        crf: Constant quality on the encoder's scale; lower is better.
        preset: Speed for size, in x264's words.
        is_labelled: Whether the file says that it was edited, and is signed.
        consent: Who agreed to the dub; the file says so.
        audio_track: "replace": the new speech stands for one of the video's audio tracks; "add": all of them
            stay. Either way it comes first and is the one that players choose.
        replaced_track: Which audio track it stands for, counting from 0; None for the one players choose.
        audio_language: ISO 639-2 tag of the new speech, such as "deu"; empty where it shall not be told.
        audio_title: Name of its track; empty for none.
        copies_packets: Whether stretches in which nothing changes are copied from the video instead of being
            encoded, where its codec and keyframes allow.
    """

    container: Literal["mp4", "mov", "m4v", "mkv", "webm", "avi", "ts"] = "mp4"
    vcodec: str = "auto"
    chroma: Literal["compatible", "source"] = "compatible"
    crf: int = Field(13, ge=0, le=63)
    preset: str = "veryfast"
    is_labelled: bool = True
    consent: str = Field("", max_length=2000)
    audio_track: Literal["replace", "add"] = "replace"
    replaced_track: int | None = Field(None, ge=0)
    audio_language: str = Field("", pattern="^([a-z]{3})?$")
    audio_title: str = Field("", pattern=r"^[^\x00]*$")
    copies_packets: bool = False


class Remux(Stage[DubbedVideo]):
    """Encodes the frames once, puts the speech and other streams to them and verifies the file."""

    name: ClassVar[str] = "remux"
    version: ClassVar[int] = 11
    output_type: ClassVar[type] = DubbedVideo

    params: RemuxParams

    def __init__(self, params: RemuxParams | None = None) -> None:
        super().__init__(params or RemuxParams())

    def run(self, ctx: StageContext, *inputs: Any) -> DubbedVideo:
        """Write the output.

        Args:
            ctx: The context.
            *inputs: frames (FrameStream), audio (SourceFile or Sound), clip (Clip), timeline (Timeline),
                video (SourceFile), whose other streams are kept; without it the output has none.

        Raises:
            ConfigError: The encoder is absent or does not fit the container; the video has no such track.
            ToolMissingError: There is no ffmpeg.
            StageError: The file is not what it should be.
        """
        from dubber.media.encoders import chosen_encoder
        from dubber.media.encoding import EncodeOptions, coded_size
        from dubber.media.formats import check_container
        from dubber.media.mux import mux
        from dubber.media.mux_job import Words
        from dubber.media.verify import Expected, verify_output

        frames, audio, clip, timeline, video = _inputs(*inputs)
        params = self.params
        codec = self._encoder(clip)
        chroma = params.chroma if codec == params.vcodec else "source"  # beside copied packets: theirs
        wanted = EncodeOptions(codec, params.crf, params.preset, chroma)
        options = chosen_encoder(wanted, clip, params.container)
        check_container(params.container, options.codec, params.crf)
        source, streams = (None, None) if video is None else kept_streams(params, video.path, clip, timeline)
        pictures = ctx.new_file("pictures.mp4")
        output = ctx.new_file(f"dubbed.{params.container}")
        try:
            plan = self._encode(ctx, frames, pictures, clip, timeline, options, video)
            is_copied_N = plan.is_copied(timeline.num_frames)
            edits = None
            if params.is_labelled:
                edits = edits_made(params, frames, audio, clip, timeline, is_copied_N)
            muxed = mux(
                pictures,
                audio.file.path if isinstance(audio, Sound) else audio.path,
                output,
                heard_s=audio.duration_s if isinstance(audio, Sound) else timeline.audio_duration_s,
                output_s=timeline.duration_s,
                may_copy=not isinstance(audio, Sound),
                source=source,
                streams=streams,
                words=Words(params.audio_language, params.audio_title, edits),
            )
        finally:
            pictures.unlink(missing_ok=True)
        expected = Expected(
            num_frames=timeline.num_frames,
            duration_s=timeline.duration_s,
            size=coded_size(clip.size, options.codec),
            language=params.audio_language,
            streams=muxed.streams,
        )
        verify_output(output, expected)
        for sentence in muxed.streams.left_out:
            logger.warning("%s", sentence)
        return DubbedVideo(
            StoredFile(output),
            frames.is_dubbed_N,
            is_copied_N,
            timeline.duration_s,
            options.codec,
            muxed.is_audio_copied,
            label="" if edits is None else edits.line(),
            kept=tuple(str(each.stream) for each in muxed.streams.kept),
            converted=muxed.streams.converted,
            left_out=muxed.streams.left_out,
            why_not_copied=plan.reason,
        )

    def _encoder(self, clip: Clip) -> str:
        """The encoder to ask for: packets can be copied only beside others of their codec."""
        from dubber.media.formats import check_container
        from dubber.media.splice_plan import splice_refusal

        if self.params.vcodec != "auto" or not self.params.copies_packets or clip.codec not in _SAME_CODEC:
            return self.params.vcodec
        codec = _SAME_CODEC[clip.codec]
        if splice_refusal(clip, codec, self.params.container):
            return "auto"
        try:
            check_container(self.params.container, codec)
        except ConfigError:
            return "auto"
        return codec

    def _encode(
        self,
        ctx: StageContext,
        frames: FrameStream,
        path: Path,
        clip: Clip,
        timeline: Timeline,
        options: EncodeOptions,
        video: SourceFile | None,
    ) -> SplicePlan:
        """Write the pictures, starting at time 0, each at its own time.

        Returns:
            Which of them are the video's own packets.
        """
        from dubber.media.splice import open_picture_writer

        if frames.num_frames != timeline.num_frames:
            raise StageError(f"{frames.num_frames} frames for a timeline of {timeline.num_frames}.")
        first_pts = int(timeline.pts_N[0])
        source = video.path if video is not None and self.params.copies_packets else None
        opened, plan = open_picture_writer(
            path,
            source,
            clip,
            timeline,
            options,
            frames.is_changed_N,
            container=self.params.container,
        )
        with ctx.frames(timeline.num_frames), opened as writer, closing(frames.open()) as made:
            for frame in made:
                if writer.num_written == timeline.num_frames:
                    raise StageError(f"There are more than {timeline.num_frames} frames.")
                writer.write(frame, int(timeline.pts_N[writer.num_written]) - first_pts)
                ctx.advance()
            if writer.num_written != timeline.num_frames:
                raise StageError(f"Only {writer.num_written} of {timeline.num_frames} frames were made.")
        return plan


_SAME_CODEC = {"h264": "libx264", "hevc": "libx265"}
"""Encoders of the codecs that `dubber.media.splice` knows."""


def _inputs(
    frames: FrameStream,
    audio: SourceFile | Sound,
    clip: Clip,
    timeline: Timeline,
    video: SourceFile | None = None,
) -> tuple[FrameStream, SourceFile | Sound, Clip, Timeline, SourceFile | None]:
    return frames, audio, clip, timeline, video


def consent_words(said: str) -> str:
    """Who agreed, in words: of a document its name and checksum.

    Args:
        said: Words, or a document's path.

    Raises:
        ConfigError: What can only be a document is missing.
        MediaError: It cannot be read.
    """
    from dubber.engine.key import file_sha256

    try:
        if said and Path(said).is_file():
            return f"{Path(said).name} (sha256 {file_sha256(Path(said))})"
    except ValueError:  # no name of a file
        return said
    except OSError as error:
        if error.errno == ENAMETOOLONG:
            return said
        raise MediaError(f"The document cannot be read ({error.strerror}).", where=said) from error
    if len(said.split()) == 1 and Path(said).suffix.lower() in _DOCUMENTS:
        raise ConfigError(
            "There is no such document.",
            where=f"--consent {said}",
            advice="Name a file that is there, or say in words who agreed.",
        )
    return said


_DOCUMENTS = (".pdf", ".txt", ".md", ".doc", ".docx", ".odt", ".rtf", ".eml", ".png", ".jpg", ".jpeg")


def edits_made(
    params: RemuxParams,
    frames: FrameStream,
    audio: SourceFile | Sound,
    clip: Clip,
    timeline: Timeline,
    is_copied_N: Bool,
) -> Edits:
    """What the output says was changed.

    Args:
        params: Who agreed.
        frames: Those whose mouth was re-made, what is written into them, and which of them were moved.
        audio: What is heard.
        clip: Whose pictures they are.
        timeline: When they are shown.
        is_copied_N: (N,) bool, frames whose packets are the source's own.
    """
    from dubber import __version__
    from dubber.media.edits import Edits, changed_ranges, untouched_ranges

    end_s = round(timeline.duration_s, 3)
    whole = ((0.0, end_s),)
    is_in_time = timeline.mode in ("cut_off", "silence")  # what else moves frames is told by its name
    moved_N = frames.is_moved_N if is_in_time else None
    marked_N = frames.is_marked_N
    # Elsewhere, pictures may be made of two; deinterlaced ones are half guessed.
    is_encoded_N = ~frames.is_changed_N & (is_in_time and not clip.is_deinterlaced)
    return Edits(
        dubber=__version__,
        duration_s=end_s,
        pictures=changed_ranges(frames.is_dubbed_N, timeline),
        sound=audio.replaced_ranges(end_s) if isinstance(audio, Sound) else whole,
        length=timeline.mode,
        moved=() if moved_N is None else changed_ranges(moved_N, timeline),
        copied=untouched_ranges(is_copied_N, timeline),
        encoded=untouched_ranges(is_encoded_N & ~is_copied_N, timeline),
        mark=frames.mark,
        marked=() if marked_N is None or marked_N.all() else changed_ranges(marked_N, timeline),
        consent=params.consent,
    )


def kept_streams(
    params: RemuxParams, video: Path, clip: Clip, timeline: Timeline
) -> tuple[SourceStreams, StreamPlan]:
    """What the source holds besides its pictures, and what of it goes into the output.

    Args:
        params: What the output may hold.
        video: The source.
        clip: Its pictures.
        timeline: Which of them the output shows when.

    Raises:
        ConfigError: The source has no such audio track.
        MediaError: It cannot be read.
    """
    from dubber.media.stream_plan import plan_streams
    from dubber.media.streams import replaced_stream, source_streams

    source = source_streams(video, int(clip.pts_T[0]) * clip.time_base)
    replaced = None
    if params.audio_track == "replace":
        replaced = replaced_stream(source, params.replaced_track)
    num_first = min(timeline.num_frames, clip.num_frames)  # what repeats the footage may follow
    is_in_time = np.array_equal(timeline.source_index_N[:num_first], np.arange(num_first))
    is_cut = timeline.num_frames < clip.num_frames
    plan = plan_streams(
        source,
        params.container,
        is_in_time=is_in_time and np.array_equal(timeline.pts_N[:num_first], clip.pts_T[:num_first]),
        replaced=replaced,
        until_s=timeline.duration_s if is_cut else None,
    )
    return source, plan
