"""The player of a report: source and dub side by side, with one bar of controls.

Without its script the page still shows the film, with the browser's own controls.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from dubber.report.html import Child, Markup, data_block, tag
from dubber.report.pictures import FilmLayout, Moment

_TIME_DIGITS = 5
_SAME_S = 1e-4

_SPEEDS = {"0.1": "1/10", "0.25": "1/4", "0.5": "1/2", "1": "1", "2": "2"}
_WINDOWS = {"": "all", "60": "1 min", "20": "20 s", "5": "5 s"}
_LONG_S = 180.0
"""Curves of longer films are a thicket where all of them is shown: charts begin with a minute."""

_KEYS = (
    ("Space", "play, pause"),
    ("← →", "a second"),
    (", .", "a frame"),
    ("Home End", "begin, end (with the player in focus)"),
    ("[ ]", "loop from, to here"),
    ("\\", "no loop"),
    ("m", "mute"),
    ("z", "mouths only"),
)


@dataclass(frozen=True)
class Film:
    """The film as the page has it.

    Attributes:
        address: Of the film: a data URL, or relative to the page.
        source_sound: Of the source's sound; None where it cannot be offered.
        layout: Where the film's parts lie.
        moments: Mouths to look at closely.
        times_s: When each output frame is shown.
        end_s: When the last one ends.
        sources: Which source frame each was made from.
        states: For each speaker, (first frame, behind the last, words).
    """

    address: str
    source_sound: str | None
    layout: FilmLayout
    moments: tuple[Moment, ...]
    times_s: Sequence[float]
    end_s: float
    sources: Sequence[int]
    states: tuple[tuple[tuple[int, int, str], ...], ...]


def player(film: Film, charts: Markup) -> Child:
    """The player, with charts below it."""
    fallback = tag("p", "This page's script does not run; the film shows the source left, the dub right.")
    video = tag("video", id="film", src=film.address, controls=True, playsinline=True, preload="auto")
    sound = film.source_sound
    return [
        tag("div", fallback, video, id="fallback"),
        None if sound is None else tag("audio", id="source-sound", src=sound, preload="auto"),
        tag("p", "The film of this page cannot be played.", id="film-error", class_="notice", hidden=True),
        tag("div", _stage(), _bar(film), _tools(film), charts, _keys(), id="live", hidden=True),
        data_block("film-data", film_document(film)),
    ]


def film_document(film: Film) -> dict[str, Any]:
    """What the script knows of the film."""
    return {
        "half": film.layout.half,
        "closeUp": film.layout.close_up,
        "end": round(film.end_s, _TIME_DIGITS),
        "times": packed(film.times_s, _SAME_S),
        "sources": packed(film.sources, 0),
        "states": film.states,
    }


def packed(values: Sequence[float], same: float) -> list[list[float]]:
    """Numbers as runs [count, first, step] of equal steps; a steady film needs one.

    Args:
        values: The numbers.
        same: So far a number may be from where its run has it.
    """
    runs: list[list[float]] = []
    for value in values:
        count, first, step = runs[-1] if runs else (0, 0.0, 0.0)
        if count == 1:
            runs[-1] = [2, first, value - first]
        elif count and abs(first + count * step - value) <= same:
            runs[-1][0] += 1
        else:
            runs.append([1, value, 0])
    return [[count, _short(first), _short(step)] for count, first, step in runs]


def _short(value: float) -> float:
    """A number with no more digits than a time of a day of film needs."""
    return int(value) if value == int(value) else round(value, 9)


def _stage() -> Markup:
    halves = [
        tag(
            "figure",
            tag("canvas", id=name, role="img", aria_label=said),
            tag("figcaption", caption),
        )
        for name, caption, said in (
            ("before", "Before", "The source, at the player's position"),
            ("after", "After", "The dub, at the player's position"),
        )
    ]
    return tag("div", halves, id="stage", class_="stage")


def _bar(film: Film) -> Markup:
    scrub = tag(
        "input",
        id="scrub",
        type="range",
        min="0",
        max=f"{film.end_s:.3f}",
        step="any",
        value="0",
        aria_label="Position",
    )
    return tag(
        "div",
        _button("play", "Play"),
        _button("back", "−1 frame"),
        _button("on", "+1 frame"),
        scrub,
        tag("span", "", id="time", class_="time"),
        class_="bar",
        role="group",
        aria_label="Player",
    )


def _tools(film: Film) -> Markup:
    sounds = {"dub": "the dub", "source": "the source", "none": "off"}
    if film.source_sound is None:
        del sounds["source"]
    views = {"whole": "picture", "mouth": "mouth"} if film.layout.close_up[0] else {"whole": "picture"}
    return tag(
        "div",
        _choice("view", "View", views, "whole"),
        _choice("sound", "Sound", sounds, "dub"),
        _choice("speed", "Speed", _SPEEDS, "1"),
        _choice("zoom", "Charts", _WINDOWS, "" if film.end_s < _LONG_S else "60"),
        _button("loop-from", "Loop from here"),
        _button("loop-to", "Loop to here"),
        tag("button", "No loop", id="loop-off", type="button", disabled=True),
        tag("span", "", id="loop-said", class_="quiet", role="status"),
        tag("span", "", id="frame", class_="quiet"),
        class_="bar",
        role="group",
        aria_label="View and sound",
    )


def _button(identifier: str, text: str) -> Markup:
    return tag("button", text, id=identifier, type="button")


def _choice(identifier: str, name: str, options: dict[str, str], chosen: str) -> Markup:
    listed = [tag("option", text, value=value, selected=value == chosen) for value, text in options.items()]
    return tag("label", name, tag("select", listed, id=identifier))


def _keys() -> Markup:
    listed = [tag("tr", tag("th", tag("kbd", keys), scope="row"), tag("td", what)) for keys, what in _KEYS]
    table = tag("table", tag("caption", "Anywhere on the page"), tag("tbody", listed))
    return tag("details", tag("summary", "Keys"), table)
