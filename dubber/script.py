"""Who says what, and when: one speech for one person, several, or lines placed on the film's clock."""

from __future__ import annotations

import json
import math
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from dubber.errors import ConfigError, MediaError
from dubber.ops.speaker import parse_speaker

if sys.version_info >= (3, 11):
    import tomllib
else:
    import tomli as tomllib

MOST_BYTES = 16_000_000
"""A script of a day of talk is far smaller; what is larger is something else."""

LONGEST_S = 1e6
"""Times beyond some days are in another unit than seconds."""

_FORM_ADVICE = (
    'A line is `[[line]]` with start = seconds, end = seconds, speaker = 1, audio = "file.wav"; see README, '
    "Who says what, and when."
)


@dataclass(frozen=True)
class Line:
    """A stretch of a voice that somebody says.

    Attributes:
        speaker: Index among the script's speakers.
        voice: Index among its voices.
        start_s: When it begins, seconds on the film's clock, which starts with its first picture.
        end_s: When it ends; infinite: with the voice's file.
        from_s: Where in the voice's file it begins.
    """

    speaker: int
    voice: int
    start_s: float = 0.0
    end_s: float = math.inf
    from_s: float = 0.0


@dataclass(frozen=True)
class Script:
    """Who says what, and when.

    Attributes:
        voices: Files with speech.
        speakers: Whose mouths move, each as `TrackParams.speaker` says it; empty: the one that the
            configuration names.
        lines: What they say.
        whole_voices: Indices of the voices that are heard from their beginning to their end; of the others
            only the lines are.
        bed: Sound to be heard under the voices.
    """

    voices: tuple[Path, ...]
    speakers: tuple[str, ...] = ()
    lines: tuple[Line, ...] = (Line(0, 0),)
    whole_voices: tuple[int, ...] = (0,)
    bed: Path | None = None

    @property
    def keeps_rest(self) -> bool:
        """Whether picture and sound stay the film's own outside the lines; else mouths rest there."""
        return not self.whole_voices

    @property
    def files(self) -> tuple[Path, ...]:
        """All files it needs."""
        return self.voices if self.bed is None else (*self.voices, self.bed)

    @property
    def num_speakers(self) -> int:
        """How many people's mouths move."""
        return max(1, len(self.speakers))

    @property
    def is_one_recording(self) -> bool:
        """Whether one file, from its beginning to its end, is all that is to be heard."""
        return len(self.voices) == 1 and self.whole_voices == (0,) and self.bed is None

    @property
    def is_simple(self) -> bool:
        """Whether one person says all of one recording, and nothing else is heard."""
        return self.is_one_recording and not self.has_places

    @property
    def has_places(self) -> bool:
        """Whether lines have places in the film; else each speaker says all of a recording."""
        return self.keeps_rest or any(
            line.start_s or line.from_s or line.end_s < math.inf for line in self.lines
        )

    def lines_of(self, speaker: int) -> tuple[Line, ...]:
        """The lines of one of the speakers."""
        return tuple(line for line in self.lines if line.speaker == speaker)

    def resolved(self, durations_s: Sequence[float]) -> Script:
        """The script with every line's end known.

        Args:
            durations_s: Seconds of each voice.

        Raises:
            ConfigError: A line begins behind the end of its voice.
        """
        lines = []
        for line in self.lines:
            left_s = durations_s[line.voice] - line.from_s
            if left_s <= 0:
                raise ConfigError(
                    f"A line begins at {line.from_s:g} s of a recording of {durations_s[line.voice]:.2f} s.",
                    where=str(self.voices[line.voice]),
                )
            lines.append(replace(line, end_s=min(line.end_s, line.start_s + left_s)))
        return replace(self, lines=tuple(lines))

    def heard(self, durations_s: Sequence[float]) -> tuple[Line, ...]:
        """What is to be heard of the voices.

        Args:
            durations_s: Seconds of each voice.
        """
        whole = [Line(0, voice, 0.0, durations_s[voice]) for voice in self.whole_voices]
        parts = [replace(line, speaker=0) for line in self.lines if line.voice not in self.whole_voices]
        return tuple(dict.fromkeys([*whole, *parts]))


def whole(audio: Path) -> Script:
    """One person says all of one recording."""
    return Script((audio,))


def in_range(audio: Path, start_s: float | None, end_s: float | None) -> Script:
    """One person says a recording from some time on; the rest of the film stays as it is.

    Args:
        audio: What is said.
        start_s: When it begins; None: with the film.
        end_s: When it ends at the latest; None: when the recording does.

    Raises:
        ConfigError: The range is empty or negative.

    Example:
        >>> from pathlib import Path
        >>> from dubber.script import in_range
        >>> in_range(Path("line.wav"), 0.2, 0.5).keeps_rest  # picture and sound are the film's elsewhere
        True
    """
    line = Line(0, 0, start_s or 0.0, math.inf if end_s is None else end_s)
    if not 0 <= line.start_s < line.end_s:
        raise ConfigError(
            f"There is nothing between {line.start_s:g} s and {line.end_s:g} s.", where="--start, --end"
        )
    return Script((audio,), lines=(line,), whole_voices=())


def of_speakers(voices: Mapping[str, Path]) -> Script:
    """Several people, each saying all of a recording.

    Args:
        voices: The recording of each speaker.

    Example:
        >>> from pathlib import Path
        >>> from dubber.script import of_speakers
        >>> of_speakers({"1": Path("anna.wav"), "2": Path("ben.wav")}).speakers
        ('1', '2')
    """
    files = tuple(dict.fromkeys(voices.values()))
    lines = tuple(Line(number, files.index(file)) for number, file in enumerate(voices.values()))
    return Script(files, tuple(voices), lines, tuple(range(len(files))))


class _FileLine(BaseModel):
    """A line as a file has it."""

    model_config = ConfigDict(extra="forbid", frozen=True, allow_inf_nan=False)

    speaker: int | str = 1
    start: float = Field(ge=0, le=LONGEST_S)
    end: float | None = Field(None, gt=0, le=LONGEST_S)
    audio: str | None = None
    start_in_audio: float = Field(0.0, ge=0, le=LONGEST_S)


class _File(BaseModel):
    """A script as a file has it."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    speakers: dict[str, int | str] = Field(default_factory=dict)
    line: tuple[_FileLine, ...] = Field(min_length=1)


def read_script(path: Path, audio: Path | None, names: Mapping[str, str] | None = None) -> Script:
    """Read who says what when: TOML, JSON, or the RTTM that diarisation gives.

    Lines that name no audio take theirs from the same time of `audio`; if there is one, it is heard
    throughout, and mouths rest where their speaker has no line. Without it, the film keeps its own picture
    and sound outside the lines.

    Args:
        path: The file; its suffix says which kind. Files it names lie in its folder or below.
        audio: The recording that diarised lines belong to.
        names: Who the file's speakers are, each as `TrackParams.speaker` says it; goes before the file's own.

    Raises:
        ConfigError: The file is missing or malformed, names nobody, or a line has no audio.
    """
    text = _text_of(path)
    document = _of_rttm(text, path) if path.suffix.lower() == ".rttm" else _parsed(text, path)
    try:
        file = _File.model_validate(document)
    except ValidationError as error:
        first = error.errors()[0]
        place = ".".join(str(part) for part in first["loc"])
        raise ConfigError(
            f"The script's '{place}' is wrong: {first['msg']}.", where=str(path), advice=_FORM_ADVICE
        ) from error
    return _assembled(file, path, audio, names or {})


def _assembled(file: _File, path: Path, audio: Path | None, names: Mapping[str, str]) -> Script:
    voices: dict[Path, int] = {} if audio is None else {audio: 0}
    speakers: dict[str, int] = {}
    lines = []
    for number, said in sorted(enumerate(file.line, 1), key=lambda pair: pair[1].start):
        where = f"{path}, line {number} (from {said.start:g} s)"
        if said.end is not None and said.end <= said.start:
            raise ConfigError(f"It ends at {said.end:g} s, before it begins.", where=where)
        voice = audio if said.audio is None else _inside(path, said.audio, where)
        if voice is None:
            raise ConfigError("It names no audio, and none was given beside the script.", where=where)
        who = names.get(str(said.speaker)) or _who(path, file, str(said.speaker), where)
        lines.append(
            Line(
                speakers.setdefault(who, len(speakers)),
                voices.setdefault(voice, len(voices)),
                said.start,
                math.inf if said.end is None else said.end,
                said.start if said.audio is None else said.start_in_audio,
            )
        )
    return Script(tuple(voices), tuple(speakers), tuple(lines), () if audio is None else (0,))


def _who(path: Path, file: _File, name: str, where: str) -> str:
    """Whom a line's speaker is, as `TrackParams.speaker` says it.

    Raises:
        ConfigError: The name means nobody.
    """
    who = str(file.speakers.get(name, name))
    try:
        picture = parse_speaker(who).picture
    except ConfigError as error:
        advice = f"Say who it is: `--speaker {name}=1`, or a table [speakers] in the script."
        raise ConfigError(f"The speaker '{who}' is nobody known.", where=where, advice=advice) from error
    return who if picture is None else str(_inside(path, who, where))


def _inside(path: Path, name: str, where: str) -> Path:
    """A file that the script names.

    Raises:
        ConfigError: It lies outside the script's folder: a script from elsewhere shall not reach other files.
    """
    folder = path.parent.resolve()
    try:
        file = (folder / name).resolve()
    except (OSError, ValueError) as error:
        raise ConfigError(f"'{name}' is no file name.", where=where) from error
    if folder not in file.parents:
        raise ConfigError(
            f"'{name}' lies outside the script's folder.",
            where=where,
            advice="Put the script beside its recordings, and name them relative to it.",
        )
    return file


def _text_of(path: Path) -> str:
    try:
        if path.stat().st_size > MOST_BYTES:
            raise ConfigError("The script is far too large to be one.", where=str(path), advice=_FORM_ADVICE)
        return path.read_text(encoding="utf-8-sig")
    except OSError as error:
        raise ConfigError(f"The script cannot be read ({error.strerror}).", where=str(path)) from error
    except UnicodeDecodeError as error:
        raise ConfigError("The script is no text in UTF-8.", where=str(path)) from error


def _parsed(text: str, path: Path) -> Any:
    try:
        return json.loads(text) if path.suffix.lower() == ".json" else tomllib.loads(text)
    except (ValueError, RecursionError) as error:  # both parsers' errors are ValueErrors
        kind = "JSON" if path.suffix.lower() == ".json" else "TOML"
        raise ConfigError(
            f"The script is no valid {kind}: {error}.", where=str(path), advice=_FORM_ADVICE
        ) from error


def _of_rttm(text: str, path: Path) -> dict[str, Any]:
    """The lines of a Rich Transcription Time Marked file; anything but SPEAKER is left out.

    Source: NIST, RT-09 evaluation plan, appendix A: type, file, channel, onset, duration, text, subtype,
        name, confidence, lookahead, separated by blanks.
    """
    lines = []
    for number, fields in enumerate((line.split() for line in text.splitlines()), 1):
        if not fields or fields[0] != "SPEAKER":
            continue
        try:
            start_s, length_s, name = float(fields[3]), float(fields[4]), fields[7]
        except (IndexError, ValueError) as error:
            raise ConfigError(
                "This is no SPEAKER record: type, file, channel, onset, duration, -, -, name.",
                where=f"{path}, row {number}",
            ) from error
        if length_s != 0:
            lines.append({"speaker": name, "start": start_s, "end": start_s + length_s})
    return {"line": lines}


def check_files(script: Script) -> list[float]:
    """Find out whether all recordings can be read.

    Returns:
        Seconds of each voice.

    Raises:
        MediaError: A voice or the bed is missing, or has no sound.
    """
    from dubber.media.audio import audio_duration_s

    durations_s = [audio_duration_s(file) for file in script.files]
    for file, duration_s in zip(script.files, durations_s, strict=True):
        if not duration_s > 0:
            raise MediaError("The audio is empty.", where=str(file))
    return durations_s[: len(script.voices)]
