"""The page about a batch: a row for each dub, which can be sorted, searched and filtered."""

from __future__ import annotations

import os
import tempfile
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import quote

from dubber.output import publish
from dubber.report.clock import clock
from dubber.report.html import FOOT, Markup, document, name_of, prose, tag
from dubber.report.summary import Summary, data_url, read_summary, verdict_list

_COLUMNS = ("", "Name", "State", "Quality", "Warnings", "Length", "Work", "Files")
_SORTED = ("Name", "State", "Quality", "Warnings", "Length", "Work")
_WORTH = {"good": 0, "unknown": 1, "fair": 2, "poor": 4}
"""How much a verdict weighs where rows are sorted by quality."""


@dataclass(frozen=True)
class IndexEntry:
    """One dub of a batch.

    Attributes:
        name: What people call it.
        state: A word such as "done" or "failed"; rows can be filtered by it.
        output: The finished file; None where there is none.
        report: Its page, which tells picture, length, quality, warnings; None where there is none.
        warnings: Sentences; those of the page need not be among them.
        error: Why it failed, a sentence; empty where it did not.
        seconds: Wall-clock time of the work; None where it is not known.
    """

    name: str
    state: str
    output: Path | None = None
    report: Path | None = None
    warnings: tuple[str, ...] = ()
    error: str = ""
    seconds: float | None = None


def write_index(entries: Sequence[IndexEntry], path: Path, *, title: str = "Batch") -> None:
    """Write the page about a batch, whole or not at all; an earlier one is replaced.

    Args:
        entries: Its dubs, in the order to be shown.
        path: An `.html` file; links in it are relative.
        title: What the batch is called.

    Raises:
        OutputFolderError: It cannot be written.
    """
    with tempfile.TemporaryDirectory(prefix="dubber-") as folder:
        page = Path(folder) / "index.html"
        page.write_text(index_page(entries, path.absolute().parent, title), encoding="utf-8")
        publish(page, path, is_overwrite=True)


def index_page(entries: Sequence[IndexEntry], folder: Path, title: str) -> str:
    """The page as HTML.

    Args:
        entries: Its dubs.
        folder: Where the page will lie, absolute.
        title: What the batch is called.
    """
    states = Counter(entry.state for entry in entries)
    counts = [f"{count} {state}" for state, count in sorted(states.items())]
    total = f"{len(entries)} dub{'' if len(entries) == 1 else 's'}"
    heading = tag(
        "header",
        tag("h1", name_of(title)),
        tag("p", " · ".join([total, *counts]), class_="quiet"),
    )
    head = tag("thead", tag("tr", [_heading(name) for name in _COLUMNS]))
    body = tag("tbody", [_row(entry, folder) for entry in entries])
    table = tag("table", tag("caption", "All dubs of the batch"), head, body, id="jobs", class_="stacked")
    section = tag(
        "section",
        tag("h2", "Dubs", id="dubs-title"),
        _chooser(sorted(states)),
        tag("div", table, class_="wide"),
        aria_labelledby="dubs-title",
    )
    return document(
        f"{title} – dubber", "index.js", [heading, tag("main", section), tag("footer", tag("p", FOOT))]
    )


def _chooser(states: Sequence[str]) -> Markup:
    options = [tag("option", "all", value="all")]
    options += [tag("option", f"only {state}", value=_kind(state)) for state in states]
    options.append(tag("option", "only with warnings", value="warned"))
    return tag(
        "div",
        tag("label", "Show", tag("select", options, id="filter")),
        tag("label", "Search", tag("input", type="search", id="search")),
        tag("span", "", id="counted", class_="quiet", role="status"),
        id="choose",
        class_="bar",
        role="search",
        hidden=True,
    )


def _heading(name: str) -> Markup:
    if name not in _SORTED:
        return tag("th", name or tag("span", "Picture", class_="skip"), scope="col")
    return tag("th", tag("button", name, type="button"), scope="col", aria_sort="none")


def _row(entry: IndexEntry, folder: Path) -> Markup:
    summary = None if entry.report is None else read_summary(entry.report)
    warnings = tuple(dict.fromkeys((*entry.warnings, *(summary.warnings if summary else ()))))
    kinds = _kind(entry.state) + (" warned" if warnings else "")
    return tag(
        "tr",
        tag("td", _picture(summary)),
        tag("th", name_of(entry.name), scope="row"),
        _state(entry),
        _quality(summary),
        tag("td", _listed(warnings), data_sort=len(warnings)),
        tag("td", _length(summary), class_="plain", data_sort=_sortable(summary)),
        tag("td", _work(entry.seconds), class_="plain", data_sort=entry.seconds),
        tag(
            "td",
            _link("report", entry.report, folder),
            " ",
            _link("dub", entry.output, folder),
            class_="plain",
        ),
        data_kinds=kinds,
    )


def _picture(summary: Summary | None) -> Markup | None:
    if summary is None or not summary.thumbnail:
        return None
    return tag("img", src=data_url("image/jpeg", summary.thumbnail), alt="", loading="lazy")


def _state(entry: IndexEntry) -> Markup:
    """The state's word, and under it why a dub failed."""
    why = tag("p", tag("bdi", entry.error)) if entry.error else None
    word = tag("strong", entry.state, class_="failed" if entry.error else None)
    return tag("td", word, why, class_="state", data_sort=entry.state)


def _quality(summary: Summary | None) -> Markup:
    if summary is None:
        return tag("td", data_sort="")
    worth = sum(_WORTH[verdict] for _, verdict, _ in summary.verdicts)
    others = [each for each in summary.verdicts if each[1] != "good"]
    num_good = len(summary.verdicts) - len(others)
    return tag("td", verdict_list(others, num_good=num_good), data_sort=worth)


def _work(seconds: float | None) -> str:
    return "" if seconds is None else f"{seconds:.0f} s"


def _length(summary: Summary | None) -> str:
    return "" if summary is None else clock(summary.duration_s)


def _sortable(summary: Summary | None) -> str:
    return "" if summary is None else f"{summary.duration_s:.3f}"


def _listed(sentences: Sequence[str]) -> Markup | None:
    if not sentences:
        return None
    count = f"{len(sentences)} warning{'' if len(sentences) == 1 else 's'}"
    listed = tag("ul", [tag("li", prose(sentence)) for sentence in sentences], class_="said")
    return tag("details", tag("summary", count), listed)


def _link(word: str, path: Path | None, folder: Path) -> Markup | None:
    """A link that still leads there when all of the folder is moved."""
    if path is None:
        return None
    relative = Path(os.path.relpath(path.absolute(), folder)).as_posix()
    address = quote(os.fsencode(relative))
    return tag("a", word, href=f"./{address}", aria_label=f"{word} {path.name}")


def _kind(state: str) -> str:
    """A state as one word."""
    return "-".join(state.split())
