"""Pages of results that people read, in Markdown."""

from __future__ import annotations

import tempfile
from collections.abc import Sequence
from pathlib import Path

from dubber.errors import OutputFolderError
from dubber.output import publish


def table(header: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    """A table whose first column is text and whose others are numbers."""
    lines = [header, ["---", *["--:"] * (len(header) - 1)], *rows]
    return "\n".join(f"| {' | '.join(line)} |" for line in lines)


def cell(text: str) -> str:
    """Text that may stand in a table."""
    return text.replace("|", "\\|").replace("\n", " ")


def number(value: float | None, form: str) -> str:
    """A number in a form such as "{:.2f}"; a dash where there is none."""
    return "–" if value is None else form.format(value)


def check_page(output: Path) -> None:
    """Find out before the work whether its page has a folder to lie in.

    Raises:
        OutputFolderError: It has not.
    """
    if not output.parent.is_dir():
        raise OutputFolderError("The page's folder does not exist.", where=str(output.parent))


def write_page(page: str, output: Path) -> None:
    """Write the page whole or not at all.

    Raises:
        OutputFolderError: The folder cannot be written.
    """
    with tempfile.TemporaryDirectory(prefix="dubber-") as folder:
        finished = Path(folder) / output.name
        finished.write_text(page, encoding="utf-8")
        publish(finished, output, is_overwrite=True)
