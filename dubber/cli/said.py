"""What the options about who says what when come to."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

from dubber.errors import ConfigError

if TYPE_CHECKING:
    from dubber.script import Script


def build_script(
    audio: Path | None,
    speakers: list[str] | None,
    script_file: Path | None,
    start: str | None,
    end: str | None,
    bed: Path | None,
) -> tuple[Script, str | None]:
    """Turn the options about who says what into a script.

    Returns:
        The script; and whose mouth it is, where one person was named without a recording of their own.

    Raises:
        ConfigError: They contradict each other, or there is no speech.
    """
    from dubber import script as s

    if script_file is not None and start is None and end is None:
        names_of = dict(_pair(speaker, "NAME=WHO") for speaker in speakers or [])
        return replace(s.read_script(script_file, audio, names_of), bed=bed), None
    pairs = dict(_pair(speaker, "WHO=FILE") for speaker in speakers or [] if "=" in speaker)
    voices = {who: Path(file) for who, file in pairs.items()}
    names = [speaker for speaker in speakers or [] if "=" not in speaker]
    is_ranged = start is not None or end is not None
    if len(names) > 1 or (names and voices) or len(voices) < len(speakers or []) - len(names):
        raise ConfigError(
            "Of several speakers each needs speech of their own.",
            where="--speaker",
            advice="Say `--speaker 1=anna.wav --speaker 2=ben.wav`, or use `--script`.",
        )
    if sum([bool(voices), script_file is not None, is_ranged]) > 1:
        raise ConfigError(
            "`--speaker WHO=FILE`, `--script` and `--start/--end` exclude each other.",
            advice="A script can name speakers, files and times.",
        )
    if voices:
        if audio is not None:
            raise ConfigError("There is AUDIO, and speech for each speaker too.", where=str(audio))
        made = s.of_speakers(voices)
    elif audio is None:
        raise ConfigError("There is no speech.", advice="Name a file with it: `dubber run VIDEO AUDIO`.")
    else:
        made = s.in_range(audio, seconds(start), seconds(end)) if is_ranged else s.whole(audio)
    return replace(made, bed=bed), names[0] if names else None


def _pair(speaker: str, form: str) -> tuple[str, str]:
    first, _, second = speaker.partition("=")
    if not first or not second:
        raise ConfigError(f"'{speaker}' is not of the form {form}.", where="--speaker")
    return first, second


def seconds(text: str | None) -> float | None:
    """Read a time: seconds, minutes:seconds or hours:minutes:seconds.

    Raises:
        ConfigError: It is none.
    """
    from dubber import script as s

    if text is None:
        return None
    try:
        parts = [float(part) for part in text.split(":")]
    except ValueError:
        parts = []
    if not 1 <= len(parts) <= 3 or not all(0 <= part <= s.LONGEST_S for part in parts):
        raise ConfigError(f"'{text}' is no time.", advice="Say seconds, such as 62.5, or 1:02.5.")
    return float(sum(part * 60**place for place, part in enumerate(reversed(parts))))
