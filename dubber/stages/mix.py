"""The sound of the output where the user's file is not all that is heard."""

from __future__ import annotations

import logging
from typing import Any, ClassVar

import numpy as np
from pydantic import Field, model_validator

from dubber.engine.stage import Params, Stage, StageContext
from dubber.errors import ConfigError
from dubber.types import Sound, SourceFile, StoredFile, Timeline

logger = logging.getLogger(__name__)


class Line(Params):
    """A piece of a recording and when it is heard.

    Attributes:
        voice_index: Number of the recording, counting from 0.
        at_s: When it begins in the output.
        from_s: Where it begins in the recording.
        until_s: Where it ends there; what the recording lacks is silent.
    """

    voice_index: int = Field(ge=0)
    at_s: float = Field(ge=0)
    from_s: float = Field(0.0, ge=0)
    until_s: float = Field(gt=0)

    @model_validator(mode="after")
    def _is_some_time(self) -> Line:
        if self.until_s <= self.from_s:
            raise ValueError("a line must end after it begins")
        return self


class MixParams(Params):
    """What is heard when.

    Attributes:
        lines: Pieces of the recordings.
        keeps_own: Whether the video's own sound is heard outside of `ranges`.
        own_track: Which of its audio tracks that is, counting from 0; None for the one players choose.
        ranges: (start, end) in seconds of the output.
        has_bed: Whether there is a bed: music and noises, heard throughout.
        bed_gain_db: By which the bed is louder.
    """

    lines: tuple[Line, ...] = ()
    keeps_own: bool = False
    own_track: int | None = Field(None, ge=0)
    ranges: tuple[tuple[float, float], ...] = ()
    has_bed: bool = False
    bed_gain_db: float = Field(0.0, ge=-120, le=40)


class Mix(Stage[Sound]):
    """Mixes lines of speech, the video's own sound and a bed to one file."""

    name: ClassVar[str] = "mix"
    version: ClassVar[int] = 4
    output_type: ClassVar[type] = Sound

    params: MixParams

    def __init__(self, params: MixParams | None = None) -> None:
        super().__init__(params or MixParams())

    def run(self, ctx: StageContext, *inputs: Any) -> Sound:
        """Write the mix as 24 bit PCM.

        Args:
            ctx: The context.
            *inputs: timeline (Timeline), own (SourceFile of the video), bed (SourceFile) if `has_bed`, and
                the recordings (SourceFile).

        Raises:
            ConfigError: There is no such recording, or the video's own sound no longer fits its frames.
            MediaError: A file is missing or cannot be decoded, or the video has no such track.
        """
        from dubber.media.mixing import MixJob, PlacedLine, mix_sound

        timeline: Timeline
        own: SourceFile
        timeline, own, *others = inputs
        bed = others.pop(0) if self.params.has_bed else None
        self._check(timeline, len(others))
        job = MixJob(
            duration_s=max(timeline.duration_s, timeline.audio_duration_s),
            voices=[voice.path for voice in others],
            lines=[PlacedLine(*_values(line)) for line in self.params.lines],
            own=own.path if self.params.keeps_own else None,
            own_track=self.params.own_track,
            ranges=self.params.ranges,
            bed=None if bed is None else bed.path,
            bed_gain_db=self.params.bed_gain_db,
        )
        wav = ctx.new_file("mix.wav")
        mixed = mix_sound(job, wav, ctx.scratch_dir())
        if mixed.gain_db < 0:
            logger.warning(
                "The sound was lowered by %.1f dB: together, its parts are louder than a file can be.",
                -mixed.gain_db,
            )
        duration_s = mixed.num_samples / mixed.rate_hz
        ranges = self.params.ranges if self.params.keeps_own else None
        return Sound(StoredFile(wav), mixed.rate_hz, mixed.num_channels, duration_s, mixed.gain_db, ranges)

    def _check(self, timeline: Timeline, num_voices: int) -> None:
        lines = self.params.lines
        if any(line.voice_index >= num_voices for line in lines):
            raise ConfigError(
                f"A line is said by voice {max(line.voice_index for line in lines)} of {num_voices}."
            )
        is_in_time = np.array_equal(timeline.source_index_N, np.arange(timeline.num_frames))
        if self.params.keeps_own and not is_in_time:
            raise ConfigError(
                "The video's own sound cannot be kept where its frames are shown at other times.",
                where="--length",
                advice="Choose `--length silence` or `--length cut_off`.",
            )


def _values(line: Line) -> tuple[int, float, float, float]:
    return line.voice_index, line.at_s, line.from_s, line.until_s
