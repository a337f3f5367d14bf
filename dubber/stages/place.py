"""lines: what one person says, where the film has it; silence between."""

from __future__ import annotations

from contextlib import ExitStack
from typing import TYPE_CHECKING, Any, ClassVar

from pydantic import Field

from dubber.engine.stage import Params, Stage, StageContext
from dubber.types import Speech, StoredFile

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
    version: ClassVar[int] = 1
    output_type: ClassVar[type] = Speech

    params: PlaceParams

    def run(self, ctx: StageContext, *inputs: Any) -> Speech:
        """Write the lines as 16 bit PCM.

        Args:
            ctx: The context.
            *inputs: The `Speech` of each voice.

        Raises:
            MediaError: One of their files is damaged.
        """
        from dubber.media.audio import SPEECH_RATE_HZ, open_speech, write_wav

        speeches: tuple[Speech, ...] = inputs
        wav = ctx.new_file("speech.wav")
        with ExitStack() as opened:
            voices = [opened.enter_context(open_speech(speech)) for speech in speeches]
            num_samples = write_wav(wav, placed(voices, self.params.lines, SPEECH_RATE_HZ))
        return Speech(StoredFile(wav), SPEECH_RATE_HZ, num_samples)


def placed(voices: Sequence[Samples], lines: Sequence[PlacedLine], rate_hz: int) -> Generator[Float32]:
    """The sum of all lines, chunk by chunk, until the last one ends.

    Args:
        voices: (S,) float32 samples each.
        lines: Which parts of them are heard, and when.
        rate_hz: Samples per second of all voices.

    Yields:
        (s,) float32 in -1..1.
    """
    import numpy as np

    spans = [(round(line.start_s * rate_hz), round(line.end_s * rate_hz), line) for line in lines]
    length = max((end for _, end, _ in spans), default=0)
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
