"""What is joined to an output: pictures, speech, other streams, and what it says of itself."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path

from dubber.media import formats
from dubber.media.audio import AudioInfo
from dubber.media.edits import Edits
from dubber.media.stream_plan import StreamPlan
from dubber.media.streams import SourceStream, SourceStreams


@dataclass(frozen=True)
class AudioPlan:
    """What happens to the user's audio.

    Attributes:
        codec: FFmpeg's name of the encoder, "copy" when its packets go in untouched.
        info: The audio.
        heard_s: Cut after so many seconds; None where nothing is cut.
        output_s: Seconds the output lasts. Encoded audio is padded to it with silence; copied audio ends.
    """

    codec: str
    info: AudioInfo
    output_s: float
    heard_s: float | None = None

    @property
    def is_copied(self) -> bool:
        """Whether its packets go in untouched."""
        return self.codec == "copy"


@dataclass(frozen=True)
class Words:
    """What the output says of itself.

    Attributes:
        language: ISO 639-2 tag of the new speech; empty for none.
        title: Of the new speech's track; empty for none.
        edits: What was edited; None where the file shall not say so.
    """

    language: str = ""
    title: str = ""
    edits: Edits | None = None


@dataclass(frozen=True)
class MuxJob:
    """What is joined.

    Attributes:
        executable: ffmpeg.
        video: The encoded pictures, starting at time 0.
        audio: The user's audio, or video with sound.
        output: The file to make; its suffix names the container.
        sound: What happens to the audio.
        source: The file that the pictures come from; None where nothing of it is kept.
        streams: What is kept of it.
        words: What the output says of itself.
        side_folder: Where further files lie that go into the output.
        last_duration: Ticks of the last packet of `video`; None where it is that of the others.
        has_alpha: Whether WebM's transparency lies beside the packets of `video`, which only a tag tells.
    """

    executable: str
    video: Path
    audio: Path
    output: Path
    sound: AudioPlan
    source: SourceStreams | None = None
    streams: StreamPlan = field(default_factory=StreamPlan)
    words: Words = field(default_factory=Words)
    side_folder: Path = Path()
    last_duration: int | None = None
    has_alpha: bool = False

    @property
    def container(self) -> str:
        """One of `formats.CONTAINERS`."""
        return self.output.suffix.removeprefix(".")

    @property
    def chapters(self) -> Path:
        """The chapters' file, if there are any; see `chapters_text`."""
        return self.side_folder / "chapters.txt"

    @property
    def attached_covers(self) -> list[SourceStream]:
        """Cover pictures that go in as attached files, which is how Matroska has them."""
        is_matroska = self.container in formats.MATROSKA
        return [each.stream for each in self.streams.kept if is_matroska and each.stream.kind == "cover"]

    def cover_file(self, cover: SourceStream) -> Path:
        """The file of a cover picture that goes in as one."""
        return self.side_folder / f"cover{cover.index}.{formats.IMAGE_TYPES[cover.codec][0]}"

    @property
    def holds_opus(self) -> bool:
        """Whether any sound of the output will be Opus in Matroska."""
        kept = (each for each in self.streams.kept if each.stream.kind == "audio")
        codecs = [_coded_as(self.sound.codec, self.sound.info.codec)]
        codecs += [_coded_as(each.codec, each.stream.codec) for each in kept]
        return self.container in formats.MATROSKA and "opus" in codecs


def _coded_as(encoder: str, codec: str) -> str:
    return codec if encoder == "copy" else encoder.removeprefix("lib")
