"""Options that several commands share, said once."""

from __future__ import annotations

from dataclasses import replace
from enum import Enum
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from dubber.errors import ConfigError

if TYPE_CHECKING:
    from dubber.config import DubConfig
    from dubber.engine.stage import Runtime
    from dubber.script import Script


class Length(str, Enum):
    """How the lengths of video and speech are matched."""

    auto = "auto"
    cut_off = "cut_off"
    loop = "loop"
    bounce = "bounce"
    silence = "silence"
    remap = "remap"
    retime = "retime"


class AudioTrackUse(str, Enum):
    """What becomes of the film's own sound track."""

    replaced = "replace"
    added = "add"


class ChromaKept(str, Enum):
    """How much of the footage's colour sampling the output has."""

    compatible = "compatible"
    source = "source"


_WHO = "Who says what when"
_METHOD = "Method"
_ENCODING = "Encoding"
_RUNNING = "Running"

Video = Annotated[Path, typer.Argument(help="A person talking.", show_default=False)]
Audio = Annotated[
    Path, typer.Argument(help="What the person shall say: audio, or a video's sound.", show_default=False)
]
SomeAudio = Annotated[
    Path | None,
    typer.Argument(
        help="What the person shall say: audio, or a video's sound. Not needed where --speaker or --script "
        "name their own.",
        show_default=False,
    ),
]
Overwrite = Annotated[bool, typer.Option("--overwrite", help="Replace an existing output.")]
LengthOption = Annotated[
    Length | None,
    typer.Option(
        "--length",
        "--sync-mode",
        help="When speech and video differ in length. auto: keep every frame if they differ by less than "
        "half a second, else retime. cut_off: to the shorter. loop, bounce: repeat the video. silence: to "
        "the video. remap: stretch evenly. retime: stretch where nobody notices.",
        rich_help_panel=_METHOD,
        show_default="auto",
    ),
]
Renderer = Annotated[
    str | None,
    typer.Option(help="See `dubber methods`.", rich_help_panel=_METHOD, show_default="hybrid"),
]
AdaptTime = Annotated[
    str | None,
    typer.Option(
        "--adapt",
        metavar="MINUTES|auto",
        help="Let the hybrid renderer learn the person's mouth first, for so long; kept if it gains.",
        rich_help_panel=_METHOD,
        show_default="off",
    ),
]
Translator = Annotated[
    str | None, typer.Option(help="See `dubber methods`.", rich_help_panel=_METHOD, show_default="conv")
]
MouthGain = Annotated[
    float | None,
    typer.Option(help="Livelier (more) or calmer (less) mouth.", rich_help_panel=_METHOD, show_default="1"),
]
AvOffset = Annotated[
    float | None,
    typer.Option(
        "--av-offset-ms",
        help="Move the mouth later (+) or earlier (-) than the voice.",
        rich_help_panel=_METHOD,
        show_default="0",
    ),
]
Speakers = Annotated[
    list[str] | None,
    typer.Option(
        "--speaker",
        metavar="WHO[=FILE]",
        help="Whose mouth: largest, longest, auto (whose lips go with the film's sound), a number as `dubber "
        "faces` prints it, X,Y@SECONDS, or a picture of the person. With =FILE what they say; repeat it for "
        "several people. Beside --script NAME=WHO: whom a name in it means.",
        rich_help_panel=_WHO,
        show_default="largest",
    ),
]
ScriptFile = Annotated[
    Path | None,
    typer.Option(
        "--script", help="Who says what when: TOML, JSON or RTTM.", rich_help_panel=_WHO, show_default=False
    ),
]
Start = Annotated[
    str | None,
    typer.Option(
        "--start",
        metavar="TIME",
        help="AUDIO begins here, in seconds or H:M:S; all else stays the film's own, picture and sound.",
        rich_help_panel=_WHO,
        show_default=False,
    ),
]
End = Annotated[
    str | None,
    typer.Option(
        "--end",
        metavar="TIME",
        help="AUDIO ends here at the latest.",
        rich_help_panel=_WHO,
        show_default="where AUDIO ends",
    ),
]
Bed = Annotated[
    Path | None,
    typer.Option(
        "--bed",
        help="Sound to be heard under the speech: music, noises.",
        rich_help_panel=_WHO,
        show_default=False,
    ),
]
BedGain = Annotated[
    float | None,
    typer.Option("--bed-gain-db", help="How loud the bed is.", rich_help_panel=_WHO, show_default="0"),
]
AudioTrack = Annotated[
    AudioTrackUse | None,
    typer.Option(
        "--audio-track",
        help="replace: the speech takes the place of the film's first sound track; add: that stays too.",
        rich_help_panel=_WHO,
        show_default="replace",
    ),
]
AudioLanguage = Annotated[
    str | None,
    typer.Option(
        "--audio-language",
        metavar="CODE",
        help="Language of the speech, such as deu.",
        rich_help_panel=_WHO,
        show_default=False,
    ),
]
Tracker = Annotated[
    str | None,
    typer.Option(
        "--tracker",
        help="mediapipe; insightface and mediapipe-tasks with models of yours.",
        rich_help_panel=_METHOD,
        show_default="mediapipe",
    ),
]
Deinterlace = Annotated[
    bool | None,
    typer.Option("--deinterlace", help="Take interlaced footage, deinterlaced.", rich_help_panel=_METHOD),
]
Strict = Annotated[
    bool, typer.Option("--strict", help="Take warnings before the work as errors.", rich_help_panel=_RUNNING)
]
Crf = Annotated[
    int | None,
    typer.Option(
        help="Quality of the encode; lower is better.", rich_help_panel=_ENCODING, show_default="13"
    ),
]
Preset = Annotated[
    str | None, typer.Option(help="Speed of the encoder.", rich_help_panel=_ENCODING, show_default="veryfast")
]
VideoCodec = Annotated[
    str | None,
    typer.Option(
        "--vcodec",
        help="FFmpeg encoder; auto: x264, x265 for deeper footage; h264 or hevc: the format's fastest that "
        "works here, hardware before software.",
        rich_help_panel=_ENCODING,
        show_default="auto",
    ),
]
Chroma = Annotated[
    ChromaKept | None,
    typer.Option(
        "--chroma",
        help="compatible: what players take; source: the footage's colour sampling and depth, as far as the "
        "encoder can.",
        rich_help_panel=_ENCODING,
        show_default="compatible",
    ),
]
ConfigFile = Annotated[
    Path | None, typer.Option("--config", help="TOML file: a table per stage.", rich_help_panel=_METHOD)
]
Settings = Annotated[
    list[str] | None,
    typer.Option("--set", help="Any stage parameter: STAGE.NAME=VALUE. Repeatable.", rich_help_panel=_METHOD),
]
DeviceOption = Annotated[
    str, typer.Option("--device", help="auto, cpu, mps, cuda or cuda:N.", rich_help_panel=_RUNNING)
]
Threads = Annotated[
    int,
    typer.Option(
        help="CPU threads of each network; 0: as many as torch likes. A run keeps all cores busy with 1: its "
        "stages work beside each other.",
        min=0,
        rich_help_panel=_RUNNING,
    ),
]
CacheDir = Annotated[
    Path | None,
    typer.Option(
        "--cache",
        help="Where intermediates are kept.",
        envvar="DUBBER_CACHE",
        show_default="the user's cache folder",
        rich_help_panel=_RUNNING,
    ),
]
WeightsDir = Annotated[
    Path | None,
    typer.Option(
        "--weights",
        help="Folder with weights and their manifest.",
        envvar="DUBBER_WEIGHTS",
        show_default="those that come with dubber",
        rich_help_panel=_RUNNING,
    ),
]
Json = Annotated[
    bool, typer.Option("--json", help="Print one JSON document on stdout.", rich_help_panel=_RUNNING)
]
Quiet = Annotated[bool, typer.Option("--quiet", "-q", help="Only errors.", rich_help_panel=_RUNNING)]
Verbose = Annotated[
    int,
    typer.Option(
        "--verbose", "-v", count=True, help="Say more; twice for even more.", rich_help_panel=_RUNNING
    ),
]


def build_config(config_file: Path | None, settings: list[str] | None, **flags: Any) -> DubConfig:
    """Layer defaults, the config file, `--set` and flags, later ones winning.

    Args:
        config_file: TOML file, or None.
        settings: STAGE.NAME=VALUE texts.
        **flags: Values by key with "__" for ".", such as render__renderer; None means not given.

    Raises:
        ConfigError: Something in them is wrong.
    """
    from dubber.config import DubConfig

    config = DubConfig.from_toml(config_file) if config_file else DubConfig()
    overrides: dict[str, Any] = {}
    for setting in settings or []:
        key, separator, value = setting.partition("=")
        if not separator:
            raise ConfigError(f"'{setting}' is not of the form STAGE.NAME=VALUE.")
        overrides[key.strip()] = _typed(value.strip())
    for name, value in flags.items():
        if value is not None:
            overrides[name.replace("__", ".")] = value.value if isinstance(value, Enum) else value
    return config.with_overrides(overrides) if overrides else config


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


def adapt_flags(adapt: str | None) -> dict[str, Any]:
    """The settings that `--adapt` stands for, as flags of `build_config`.

    Raises:
        ConfigError: Neither a number nor "auto".
    """
    if adapt is None:
        return {}
    try:
        minutes = adapt if adapt == "auto" else float(adapt)
    except ValueError as error:
        raise ConfigError(
            f"'{adapt}' is no time to adapt.", advice="Say `--adapt 5` or `--adapt auto`."
        ) from error
    return {"adapt__is_on": True, "adapt__minutes": minutes}


def build_runtime(cache: Path | None, weights: Path | None, device: str = "cpu", threads: int = 1) -> Runtime:
    """Turn the running options into a runtime; a run that stands still ends the process.

    Raises:
        ConfigError: `DUBBER_STALL_S` is no time.
        DeviceError: The device does not exist here.
    """
    from dubber.cli.stalled import leave_stalled, stall_limit_s
    from dubber.dubbing import make_runtime

    runtime = make_runtime(cache_dir=cache, weights_dir=weights, device=device, threads=threads)
    return replace(runtime, stall_limit_s=stall_limit_s(), on_stall=leave_stalled)


def _typed(text: str) -> Any:
    """Read a value as TOML would, and as plain text otherwise."""
    import sys

    if sys.version_info >= (3, 11):
        import tomllib
    else:
        import tomli as tomllib
    try:
        return tomllib.loads(f"value = {text}")["value"]
    except (ValueError, RecursionError):  # TOML's errors are ValueErrors
        return text
