"""Options about who says what when."""

from __future__ import annotations

from enum import Enum
from pathlib import Path
from typing import Annotated

import typer

_PANEL = "Who says what when"


class AudioTrackUse(str, Enum):
    """What becomes of the film's own sound track."""

    replaced = "replace"
    added = "add"


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
Speakers = Annotated[
    list[str] | None,
    typer.Option(
        "--speaker",
        metavar="WHO[=FILE]",
        help="Whose mouth: largest, longest, auto (whose lips go with the film's sound), a number as `dubber "
        "faces` prints it, X,Y@SECONDS, or a picture of the person. With =FILE what they say; repeat it for "
        "several people. Beside --script NAME=WHO: whom a name in it means.",
        rich_help_panel=_PANEL,
        show_default="largest",
    ),
]
ScriptFile = Annotated[
    Path | None,
    typer.Option(
        "--script", help="Who says what when: TOML, JSON or RTTM.", rich_help_panel=_PANEL, show_default=False
    ),
]
Start = Annotated[
    str | None,
    typer.Option(
        "--start",
        metavar="TIME",
        help="AUDIO begins here, in seconds or H:MM:SS; all else stays the film's own, picture and sound.",
        rich_help_panel=_PANEL,
        show_default=False,
    ),
]
End = Annotated[
    str | None,
    typer.Option(
        "--end",
        metavar="TIME",
        help="AUDIO ends here at the latest.",
        rich_help_panel=_PANEL,
        show_default="where AUDIO ends",
    ),
]
Bed = Annotated[
    Path | None,
    typer.Option(
        "--bed",
        help="Sound to be heard under the speech: music, noises.",
        rich_help_panel=_PANEL,
        show_default=False,
    ),
]
BedGain = Annotated[
    float | None,
    typer.Option("--bed-gain-db", help="How loud the bed is.", rich_help_panel=_PANEL, show_default="0"),
]
AudioTrack = Annotated[
    AudioTrackUse | None,
    typer.Option(
        "--audio-track",
        help="replace: the speech takes the place of the film's first sound track; add: that stays too.",
        rich_help_panel=_PANEL,
        show_default="replace",
    ),
]
AudioLanguage = Annotated[
    str | None,
    typer.Option(
        "--audio-language",
        metavar="CODE",
        help="Language of the speech, such as deu.",
        rich_help_panel=_PANEL,
        show_default=False,
    ),
]
Curves = Annotated[
    Path | None,
    typer.Option(
        "--curves",
        metavar="FILE",
        help="What mouth and footage shall do, where you corrected it: a file of `dubber export curves`.",
        rich_help_panel="Method",
        show_default=False,
    ),
]
