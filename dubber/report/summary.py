"""What a batch's index shows of a report: written into the page, read back from there."""

from __future__ import annotations

import base64
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from dubber.report.html import Markup, read_data_block, tag

if TYPE_CHECKING:
    from dubber.evaluation.quality_verdicts import Verdict

SUMMARY = "dubber-summary"
"""Name of the block in a page."""

_SCHEMA = 1
_VERDICTS: dict[object, Verdict] = {"good": "good", "fair": "fair", "poor": "poor", "unknown": "unknown"}


@dataclass(frozen=True)
class Summary:
    """A report in short.

    Attributes:
        name: What people call the dub.
        duration_s: Length of the output.
        verdicts: Name, verdict and words of each quality figure.
        thumbnail: JPEG of the dub.
        warnings: Sentences.
    """

    name: str
    duration_s: float
    verdicts: tuple[tuple[str, Verdict, str], ...]
    thumbnail: bytes
    warnings: tuple[str, ...] = ()


def summary_document(summary: Summary) -> dict[str, Any]:
    """As JSON."""
    return {
        "schema": _SCHEMA,
        "name": summary.name,
        "duration_s": round(summary.duration_s, 3),
        "verdicts": [list(each) for each in summary.verdicts],
        "thumbnail": base64.b64encode(summary.thumbnail).decode(),
        "warnings": list(summary.warnings),
    }


def read_summary(page: Path) -> Summary | None:
    """The summary in a report; None where the file is none that this version can read."""
    try:
        document = read_data_block(page.read_text(encoding="utf-8"), SUMMARY)
        if document is None or document["schema"] != _SCHEMA:
            return None
        verdicts = tuple(
            (str(name), _VERDICTS[found], str(words)) for name, found, words in document["verdicts"]
        )
        thumbnail = base64.b64decode(document["thumbnail"], validate=True)
        warnings = tuple(str(warning) for warning in document["warnings"])
        return Summary(str(document["name"]), float(document["duration_s"]), verdicts, thumbnail, warnings)
    except (OSError, ValueError, KeyError, TypeError):
        return None


def verdict_list(verdicts: Sequence[tuple[str, Verdict, str]], *, num_good: int = 0) -> Markup:
    """Figures as a row of badges.

    Args:
        verdicts: Name, verdict and words of each.
        num_good: So many good ones are counted and not named.
    """
    badges = [
        tag("li", tag("span", f"{name}: {verdict}", class_=f"verdict {verdict}", title=words))
        for name, verdict, words in verdicts
    ]
    if num_good:
        badges.append(tag("li", tag("span", f"{num_good} good", class_="verdict good")))
    return tag("ul", badges, class_="verdicts", aria_label="Quality")


def data_url(mime_type: str, data: bytes) -> str:
    """Bytes as an address that needs no file."""
    return f"data:{mime_type};base64,{base64.b64encode(data).decode()}"
