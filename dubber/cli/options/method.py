"""Options about how mouths are made."""

from __future__ import annotations

from enum import Enum
from pathlib import Path
from typing import Annotated

import typer

from dubber.cli import completion
from dubber.cli.command_tables import CONFIG_VARIABLE, take_config, take_settings

_PANEL = "Method"


class Length(str, Enum):
    """How the lengths of video and speech are matched."""

    auto = "auto"
    cut_off = "cut_off"
    loop = "loop"
    bounce = "bounce"
    silence = "silence"
    remap = "remap"
    retime = "retime"


Preset = Annotated[
    str | None,
    typer.Option(
        help="Many settings at once: fast, balanced or best. The config file's settings, `--set` and other "
        "options go before it.",
        autocompletion=completion.presets,
        rich_help_panel=_PANEL,
        show_default="balanced",
    ),
]
LengthOption = Annotated[
    Length | None,
    typer.Option(
        "--length",
        "--sync-mode",
        help="When speech and video differ in length. auto: keep every frame if they differ by less than "
        "half a second, else retime. cut_off: to the shorter. loop, bounce: repeat the video. silence: to "
        "the video. remap: stretch evenly. retime: stretch where nobody notices.",
        rich_help_panel=_PANEL,
        show_default="auto",
    ),
]
Renderer = Annotated[
    str | None,
    typer.Option(
        help="What makes the pictures of mouths: see `dubber methods`; or one of yours, FILE.py:CLASS.",
        autocompletion=completion.renderers,
        rich_help_panel=_PANEL,
        show_default="hybrid",
    ),
]
AdaptTime = Annotated[
    str | None,
    typer.Option(
        "--adapt",
        metavar="MINUTES|auto",
        help="Let the hybrid renderer learn the person's mouth first, for so long; kept if it gains.",
        rich_help_panel=_PANEL,
        show_default="off",
    ),
]
Translator = Annotated[
    str | None,
    typer.Option(
        help="What turns speech into the mouth's motion: see `dubber methods`.",
        autocompletion=completion.translators,
        rich_help_panel=_PANEL,
        show_default="conv",
    ),
]
MouthGain = Annotated[
    float | None,
    typer.Option(help="Livelier (more) or calmer (less) mouth.", rich_help_panel=_PANEL, show_default="1"),
]
AvOffset = Annotated[
    float | None,
    typer.Option(
        "--av-offset-ms",
        help="Move the mouth later (+) or earlier (-) than the voice.",
        rich_help_panel=_PANEL,
        show_default="0",
    ),
]
Tracker = Annotated[
    str | None,
    typer.Option(
        "--tracker",
        autocompletion=completion.trackers,
        help="mediapipe; insightface and mediapipe-tasks with models of yours.",
        rich_help_panel=_PANEL,
        show_default="mediapipe",
    ),
]
Deinterlace = Annotated[
    bool | None,
    typer.Option("--deinterlace", help="Take interlaced footage, deinterlaced.", rich_help_panel=_PANEL),
]
ConfigFile = Annotated[
    Path | None,
    typer.Option(
        "--config",
        help="TOML file: a preset, a table per stage, a table of options per command; `dubber config init` "
        "writes one.",
        callback=take_config,
        is_eager=True,
        envvar=CONFIG_VARIABLE,
        show_default=False,
        rich_help_panel=_PANEL,
    ),
]
Settings = Annotated[
    list[str] | None,
    typer.Option(
        "--set",
        metavar="STAGE.NAME=VALUE",
        help="Any stage parameter, such as render.num_candidates=64. Repeatable.",
        callback=take_settings,
        autocompletion=completion.settings,
        show_default=False,
        rich_help_panel=_PANEL,
    ),
]
