"""Whose mouth: how a user names one of the people in a video."""

from __future__ import annotations

import os
import re
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from dubber.errors import ConfigError

REFERENCE = "reference"
"""What a choice by a picture is called where the picture itself comes another way."""

_ADVICE = (
    "Say largest, longest, auto, a number as `dubber faces` lists them, X,Y@SECONDS, or a picture's name."
)

_PLACE = re.compile(r"\s*(\d+(?:\.\d+)?)\s*,\s*(\d+(?:\.\d+)?)\s*@\s*(\d+(?:\.\d+)?)\s*s?\s*")


@dataclass(frozen=True)
class Speaker:
    """One of the people in a video, as a user names them.

    Attributes:
        by: How they are named.
        number: Counting from 1, those with the largest faces first; of "number".
        place_px: (x, y) in the picture as it is shown; of "place".
        time_s: Seconds from the first frame; of "place".
        picture: A picture of them; of "reference".
    """

    by: Literal["largest", "longest", "auto", "number", "place", "reference"]
    number: int = 0
    place_px: tuple[float, float] = (0.0, 0.0)
    time_s: float = 0.0
    picture: Path | None = None


_LONGEST_NAME = 4096
"""Bytes of a path on Linux, with room to spare elsewhere."""

_WORDS = {"largest": Speaker("largest"), "longest": Speaker("longest"), "auto": Speaker("auto")}


def parse_speaker(text: str) -> Speaker:
    """Understand what a user says.

    Args:
        text: "largest": whose face fills most, summed over all frames; "longest": who is seen in most
            frames; "auto": whose lips go with the sound; a number, counting from 1, the largest first, as
            `dubber faces` lists them; "X,Y@T": whose face is at a place of the picture, in pixels, at a time
            in seconds; else the path of a picture of them.

    Raises:
        ConfigError: It is none of these.
    """
    word = text.strip()
    if word in _WORDS:
        return _WORDS[word]
    if re.fullmatch(r"[+-]?\d+", word):
        if int(word) < 1:
            raise ConfigError("People are counted from 1.", where=f"speaker {word}", advice=_ADVICE)
        return Speaker("number", number=int(word))
    if place := _PLACE.fullmatch(word):
        x, y, time_s = (float(value) for value in place.groups())
        return Speaker("place", place_px=(x, y), time_s=time_s)
    if word == REFERENCE or _is_picture(word):
        return Speaker("reference", picture=Path(word))
    raise ConfigError(f"'{text}' names nobody.", where="speaker", advice=_ADVICE)


def _is_picture(word: str) -> bool:
    """Whether a word is a file's name, by its suffix or because there is such a file."""
    if "\0" in word or len(os.fsencode(word)) > _LONGEST_NAME:
        return False
    return bool(Path(word).suffix and "@" not in word) or os.path.isfile(word)  # noqa: PTH113 - never raises
