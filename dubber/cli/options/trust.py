"""Options about what the output says of itself, and what may be used for it."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

_PANEL = "Trust"

Consent = Annotated[
    str | None,
    typer.Option(
        "--consent",
        metavar="TEXT|FILE",
        help="Who agreed to the dub: words, or a document, of which name and sha256 are recorded. Whoever "
        "has the output can read it.",
        rich_help_panel=_PANEL,
        show_default=False,
    ),
]
Label = Annotated[
    bool | None,
    typer.Option(
        "--label/--no-label",
        help="Write 'AI-dubbed' into the pictures.",
        rich_help_panel=_PANEL,
        show_default="--no-label",
    ),
]
LabelText = Annotated[
    str | None,
    typer.Option(
        "--label-text",
        help="What `--label` writes; switches it on.",
        rich_help_panel=_PANEL,
        show_default="AI-dubbed",
    ),
]
Labelled = Annotated[
    bool | None,
    typer.Option(
        "--labelled/--unlabelled",
        help="Whether the output says in its metadata, and under a signature, that it was edited.",
        rich_help_panel=_PANEL,
        show_default="--labelled",
    ),
]
Certificate = Annotated[
    Path | None,
    typer.Option(
        "--certificate",
        help="PEM file with the certificate that signs the output, then those above it.",
        rich_help_panel=_PANEL,
        show_default="one that this computer makes for itself",
    ),
]
PrivateKey = Annotated[
    Path | None,
    typer.Option(
        "--private-key",
        help="PEM file with the certificate's key; the variable DUBBER_KEY_PASSWORD holds its password.",
        rich_help_panel=_PANEL,
        show_default=False,
    ),
]
Commercial = Annotated[
    bool,
    typer.Option(
        "--commercial",
        help="Refuse weights and models whose licence does not allow commercial use.",
        rich_help_panel=_PANEL,
    ),
]
