"""lines: what one person says, where the film has it; silence between."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, ClassVar, Protocol

from pydantic import Field

from dubber.engine.stage import Params, Stage, StageContext
from dubber.types import Clip, Speech, StoredFile

if TYPE_CHECKING:
    from collections.abc import Generator, Sequence

    from dubber.types import Float32, Samples

_CHUNK_SAMPLES = 1 << 18


class PlacedLine(Params):
    """A stretch of a voice.

    Attributes:
        voice: Index of the input that holds it.
        start_s: When it begins, seconds from the first picture.
        end_s: When it ends.
        from_s: Where in the voice it begins.
    """

    voice: int = Field(ge=0)
    start_s: float = Field(ge=0)
    end_s: float = Field(gt=0)
    from_s: float = Field(0.0, ge=0)


class PlaceParams(Params):
    """What is said.

    Attributes:
        lines: In any order; where two overlap, both are heard.
    """

    lines: tuple[PlacedLine, ...]


class PlaceLines(Stage[Speech]):
    """One person's part of a script, as the model hears it."""

    name: ClassVar[str] = "lines"
    version: ClassVar[int] = 2
    output_type: ClassVar[type] = Speech

    params: PlaceParams

    def run(self, ctx: StageContext, *inputs: Any) -> Speech:
        """Write the lines as 16 bit PCM.

        Args:
            ctx: The context.
            *inputs: The film (`Clip`) and the `Speech` of each voice.

        Raises:
            MediaError: One of their files is damaged.
        """
        from dubber.media.audio import SPEECH_RATE_HZ, open_speech, write_wav
        from dubber.media.open_files import OpenFiles

        clip: Clip
        speeches: list[Speech]
        clip, *speeches = inputs
        lines, wav = self.params.lines, ctx.new_file("speech.wav")
        end_s = end_of_lines_s(lines, clip.duration_s)
        with OpenFiles(lambda voice: open_speech(speeches[voice])) as voices:
            num_samples = write_wav(wav, placed(voices, lines, SPEECH_RATE_HZ, end_s))
        return Speech(StoredFile(wav), SPEECH_RATE_HZ, num_samples)


class Voices(Protocol):
    """Voices by their number, such as a list of them."""

    def __getitem__(self, voice: int, /) -> Samples:
        """The samples of a voice, to be read before the next one is asked for."""


def end_of_lines_s(lines: Sequence[PlacedLine], film_s: float) -> float:
    """When the last of the lines ends that are said.

    Lines behind the film's end are not, else a slip in a script would fill the disk with silence; but a
    recording that goes with the film from the first picture on may be longer, for `--length` to deal with.

    Args:
        lines: What is said.
        film_s: Length of the film.
    """
    with_film_s = [line.end_s for line in lines if line.start_s == line.from_s]
    latest_s = max(film_s, *with_film_s, 0.0)
    return min(latest_s, max((line.end_s for line in lines), default=0.0))


def placed(voices: Voices, lines: Sequence[PlacedLine], rate_hz: int, end_s: float) -> Generator[Float32]:
    """The sum of all lines, chunk by chunk.

    Args:
        voices: (S,) float32 samples each.
        lines: Which parts of them are heard, and when.
        rate_hz: Samples per second of all voices.
        end_s: What is later is left out.

    Yields:
        (s,) float32 in -1..1.
    """
    import numpy as np

    spans = [(round(line.start_s * rate_hz), round(line.end_s * rate_hz), line) for line in lines]
    length = round(end_s * rate_hz)
    for start in range(0, length, _CHUNK_SAMPLES):
        stop = min(start + _CHUNK_SAMPLES, length)
        chunk = np.zeros(stop - start, np.float32)
        for begin, end, line in spans:
            first, last = max(begin, start), min(end, stop)
            if first < last:
                offset = round(line.from_s * rate_hz) - begin
                heard = voices[line.voice][first + offset : last + offset]
                chunk[first - start : first - start + len(heard)] += heard
        yield np.clip(chunk, -1, 1)
