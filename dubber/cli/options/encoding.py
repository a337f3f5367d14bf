"""Options about the file that comes out."""

from __future__ import annotations

from enum import Enum
from typing import Annotated

import typer

_PANEL = "Encoding"


class ChromaKept(str, Enum):
    """How much of the footage's colour sampling the output has."""

    compatible = "compatible"
    source = "source"


Crf = Annotated[
    int | None,
    typer.Option(help="Quality of the encode; lower is better.", rich_help_panel=_PANEL, show_default="13"),
]
EncoderPreset = Annotated[
    str | None,
    typer.Option(
        "--encoder-preset",
        help="Speed of the encoder, in x264's words: the slower, the smaller the file.",
        rich_help_panel=_PANEL,
        show_default="veryfast",
    ),
]
VideoCodec = Annotated[
    str | None,
    typer.Option(
        "--vcodec",
        help="FFmpeg encoder; auto: x264, x265 for deeper footage; h264 or hevc: the format's fastest that "
        "works here, hardware before software.",
        rich_help_panel=_PANEL,
        show_default="auto",
    ),
]
Chroma = Annotated[
    ChromaKept | None,
    typer.Option(
        "--chroma",
        help="compatible: what players take; source: the footage's colour sampling and depth, as far as the "
        "encoder can.",
        rich_help_panel=_PANEL,
        show_default="compatible",
    ),
]
