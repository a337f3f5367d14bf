"""What a script means for the stages: whose face, when, how long, and what is heard."""

from __future__ import annotations

from collections.abc import Sequence

from dubber.config import DubConfig
from dubber.errors import ConfigError
from dubber.script import Line, Script
from dubber.stages.mix import Line as HeardLine
from dubber.stages.mix import MixParams
from dubber.stages.timeline import LengthParams
from dubber.stages.track import TrackParams
from dubber.stages.translate import TranslateParams


def mix_params(config: DubConfig, script: Script, heard: Sequence[Line]) -> MixParams:
    """The sound of a script: its lines where the film has them, over a bed or the film's own sound."""
    lines = tuple(
        HeardLine(
            voice_index=line.voice,
            at_s=line.start_s,
            from_s=line.from_s,
            until_s=line.from_s + line.end_s - line.start_s,
        )
        for line in heard
    )
    ranges = tuple(sorted({(line.start_s, line.end_s) for line in heard})) if script.keeps_rest else ()
    return config.mix.model_copy(
        update={
            "lines": lines,
            "keeps_own": script.keeps_rest,
            "own_track": config.remux.replaced_track,
            "ranges": ranges,
            "has_bed": script.bed is not None,
        }
    )


def track_params(config: DubConfig, script: Script, speaker: int) -> TrackParams:
    """Whose face a speaker is."""
    if not script.speakers:
        return config.track
    return config.track.model_copy(update={"speaker": script.speakers[speaker]})


def translate_params(config: DubConfig, script: Script, speaker: int) -> TranslateParams:
    """When a speaker's mouth is made."""
    if not script.keeps_rest:
        return config.translate
    ranges_s = tuple((line.start_s, line.end_s) for line in script.lines_of(speaker))
    return config.translate.model_copy(update={"ranges_s": ranges_s})


def length_params(config: DubConfig, script: Script) -> LengthParams:
    """How lengths are matched: what has its place in the film is said there.

    Raises:
        ConfigError: The configuration wants otherwise.
    """
    mode = config.length.mode
    has_times = script.has_places or script.num_speakers > 1
    if script.keeps_rest or (mode == "auto" and has_times):
        if mode not in ("auto", "silence"):
            raise ConfigError(
                f"Where parts of a film are dubbed, `--length {mode}` cannot be.",
                where="--length",
                advice="Leave `--length` out: lines are said at their times.",
            )
        return LengthParams(mode="silence")
    if script.num_speakers > 1 and mode == "retime":
        raise ConfigError(
            "Footage cannot be retimed for several speakers at once.",
            where="--length",
            advice="Choose silence, cut_off, loop, bounce or remap.",
        )
    return config.length
