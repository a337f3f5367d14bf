"""Options about what is written beside the dub."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

_PANEL = "Beside the dub"

Report = Annotated[
    Path | None,
    typer.Option(
        "--report",
        metavar="FILE",
        help="Also write a web page about the run: players side by side, curves, figures of quality.",
        rich_help_panel=_PANEL,
        show_default=False,
    ),
]
Overlay = Annotated[
    Path | None,
    typer.Option(
        "--overlay",
        metavar="FILE",
        help="Also write a video that shows in each frame what was seen and done: number, box, landmarks, "
        "state.",
        rich_help_panel=_PANEL,
        show_default=False,
    ),
]
SideBySide = Annotated[
    Path | None,
    typer.Option(
        "--side-by-side",
        metavar="FILE",
        help="Also write a video: source left, dub right.",
        rich_help_panel=_PANEL,
        show_default=False,
    ),
]
KeepStages = Annotated[
    Path | None,
    typer.Option(
        "--keep-stages",
        metavar="DIR",
        help="Write the intermediates as files to look at.",
        rich_help_panel=_PANEL,
        show_default=False,
    ),
]
