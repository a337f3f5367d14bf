"""What a person sees: progress on stderr, one JSON document on stdout, errors with advice.

The only importer of rich.
"""

from __future__ import annotations

import dataclasses
import json
import logging
import re
import sys
import time
import traceback
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from rich import markup
from rich.console import Console, Group
from rich.live import Live
from rich.logging import RichHandler
from rich.progress import (
    BarColumn,
    MofNCompleteColumn,
    ProgressColumn,
    SpinnerColumn,
    Task,
    TaskID,
    TextColumn,
    TimeRemainingColumn,
)
from rich.progress import Progress as RichBars
from rich.table import Table
from rich.text import Text

from dubber.batch.events import error_document
from dubber.cli.command_tables import wants_json
from dubber.engine.progress import Progress, SilentProgress
from dubber.errors import DubberError

stderr = Console(stderr=True, highlight=False)

PLAIN_INTERVAL_S = 5.0
"""Seconds between two plain progress lines of one stage."""

REFRESH_HZ = 4
"""How often a live table is drawn."""


_CONTROLS = {code: f"\\x{code:02x}" for code in (*range(32), *range(127, 160)) if chr(code) not in "\n\t"}


def escape(text: str) -> str:
    """Text that is shown as it is: neither markup nor, in a file's name, what a terminal would obey."""
    return markup.escape(text.translate(_CONTROLS))


def set_up_logging(*, verbosity: int, is_quiet: bool) -> None:
    """Send log messages to stderr: warnings by default, more with -v, errors only when quiet."""
    level = logging.ERROR if is_quiet else (logging.WARNING, logging.INFO, logging.DEBUG)[min(verbosity, 2)]
    handler = RichHandler(console=stderr, show_time=verbosity > 0, show_path=verbosity > 1, markup=False)
    handler.setFormatter(logging.Formatter("%(message)s"))
    root = logging.getLogger("dubber")
    root.handlers[:] = [handler]
    root.setLevel(level)
    root.propagate = False


def print_json(document: Any) -> None:
    """Write one JSON document to stdout, and nothing else ever."""
    print_text(json.dumps(document, indent=2, default=_plain, ensure_ascii=False) + "\n")


def print_text(text: str) -> None:
    """Write a text that was asked for to stdout, and nothing else ever."""
    # Names of files may hold bytes that are no text; in JSON what stands for them then is its own escape.
    sys.stdout.write(text.encode("utf-8", "backslashreplace").decode())
    sys.stdout.flush()


def print_line(document: Any) -> None:
    """Write one JSON document to stdout, in a line of its own."""
    print_text(json.dumps(document, default=_plain, ensure_ascii=False) + "\n")


def say(message: str, *, is_quiet: bool = False) -> None:
    """A line for the person, on stderr."""
    if not is_quiet:
        stderr.print(message, soft_wrap=True)


def show_table(title: str, columns: list[str], rows: list[list[str]]) -> None:
    """A table for the person, on stderr."""
    table = Table(title=title, title_justify="left", title_style="bold", box=None, pad_edge=False)
    for column in columns:
        table.add_column(column, overflow="fold")
    for row in rows:
        table.add_row(*(escape(cell) for cell in row))
    stderr.print(table)


def show_error(error: DubberError) -> None:
    """What is wrong, where, and what to do next."""
    where = f"{error.where}: " if error.where else ""
    stderr.print(f"[bold red]Error:[/] {escape(where)}{escape(error.message)}", soft_wrap=True)
    if error.advice:
        stderr.print(f"[dim]→[/] {escape(error.advice)}", soft_wrap=True)


def is_verbose(arguments: list[str]) -> bool:
    """Whether a command line asks for more to be said."""
    return any(re.fullmatch("-v+|--verbose", each) for each in arguments)


def report_error(error: DubberError, arguments: list[str]) -> int:
    """Show an error, as a person or a program wants it.

    Args:
        error: The error.
        arguments: Of the command line.

    Returns:
        The exit code.
    """
    show_error(error)
    if is_verbose(arguments) and error.__cause__ is not None:
        stderr.print("".join(traceback.format_exception(error.__cause__)), markup=False)
    if wants_json(arguments):
        print_error(error)
    return error.exit_code


def print_error(error: DubberError) -> None:
    """Write an error to stdout as a line of JSON, also where there are lines before it."""
    print_line({"error": error_document(error)})


@contextmanager
def progress_display(*, is_quiet: bool) -> Iterator[Progress]:
    """Bars on a terminal, plain lines elsewhere, nothing when quiet."""
    if is_quiet:
        yield SilentProgress()
    elif stderr.is_terminal:
        with _bars() as bars:
            yield BarProgress(bars)
    else:
        yield PlainProgress()


@contextmanager
def live_table() -> Iterator[Callable[[list[str], list[list[str]], str], None]]:
    """A table that is drawn again and again in the same place, with a line below it; gone in the end.

    Yields:
        What draws it, from columns, rows and the line.
    """

    def draw(columns: list[str], rows: list[list[str]], line: str) -> None:
        table = Table(box=None, pad_edge=False, header_style="dim")
        for number, column in enumerate(columns):
            is_number = number > len(columns) - 4
            table.add_column(column, justify="right" if is_number else "left", no_wrap=True)
        for row in rows:
            table.add_row(*(escape(cell) for cell in row))
        live.update(Group(table, Text(line, style="bold")))

    with Live(console=stderr, refresh_per_second=REFRESH_HZ, transient=True, redirect_stdout=False) as live:
        yield draw


class _RateColumn(ProgressColumn):
    """Frames per second."""

    def render(self, task: Task) -> Text:
        """The rate while running, the time once finished."""
        if task.fields.get("result"):
            return Text(task.fields["result"], style="dim")
        return Text(f"{task.speed:5.1f} fps" if task.speed else "", style="cyan")


def _bars() -> RichBars:
    return RichBars(
        SpinnerColumn(finished_text="[green]✓[/]"),
        TextColumn("{task.description:<10}"),
        BarColumn(bar_width=30),
        MofNCompleteColumn(),
        _RateColumn(),
        TimeRemainingColumn(compact=True),
        console=stderr,
    )


class BarProgress:
    """The stage list with a bar each."""

    def __init__(self, bars: RichBars) -> None:
        self._bars = bars
        self._tasks: dict[str, TaskID] = {}

    def plan(self, stages: list[str]) -> None:
        """Forget the last run's stages and list this one's."""
        for task in self._tasks.values():
            self._bars.remove_task(task)
        self._tasks = {name: self._bars.add_task(name, total=None, start=False) for name in stages}

    def start(self, stage: str, total: int | None) -> None:
        """Start the bar."""
        if stage in self._tasks:
            self._bars.start_task(self._tasks[stage])
            self._bars.update(self._tasks[stage], total=total)

    def advance(self, stage: str, count: int = 1) -> None:
        """Move the bar."""
        if stage in self._tasks:
            self._bars.advance(self._tasks[stage], count)

    def finish(self, stage: str, seconds: float, *, is_hit: bool) -> None:
        """Fill the bar and say how long it took."""
        if stage not in self._tasks:
            return
        task = self._bars.tasks[self._bars.task_ids.index(self._tasks[stage])]
        total = task.total or max(task.completed, 1)
        self._bars.start_task(task.id)
        self._bars.update(
            task.id, total=total, completed=total, result="cached" if is_hit else f"{seconds:.1f} s"
        )


class PlainProgress:
    """A line now and then, for logs."""

    def __init__(self) -> None:
        self._total: dict[str, int | None] = {}
        self._done: dict[str, int] = {}
        self._started_s: dict[str, float] = {}
        self._said_s: dict[str, float] = {}

    def plan(self, stages: list[str]) -> None:
        """Nothing to say yet."""

    def start(self, stage: str, total: int | None) -> None:
        """Remember when and how much."""
        self._total[stage], self._done[stage] = total, 0
        self._started_s[stage] = self._said_s[stage] = time.monotonic()

    def advance(self, stage: str, count: int = 1) -> None:
        """Say a line every few seconds."""
        now = time.monotonic()
        self._done[stage] = self._done.get(stage, 0) + count
        if now - self._said_s.setdefault(stage, now) < PLAIN_INTERVAL_S:
            return
        self._said_s[stage] = now
        rate = self._done[stage] / max(now - self._started_s.setdefault(stage, now), 1e-9)
        total = self._total.get(stage)
        left = f", {(total - self._done[stage]) / rate:.0f} s left" if total and rate > 0 else ""
        stderr.print(
            f"{stage}: {self._done[stage]}/{total or '?'} frames, {rate:.1f} fps{left}", soft_wrap=True
        )

    def finish(self, stage: str, seconds: float, *, is_hit: bool) -> None:
        """Say that it is done."""
        stderr.print(f"{stage}: {'cached' if is_hit else f'done in {seconds:.1f} s'}", soft_wrap=True)


def _plain(value: Any) -> Any:
    if isinstance(value, Path):
        return str(value)
    if dataclasses.is_dataclass(value) and not isinstance(value, type):
        return dataclasses.asdict(value)
    raise TypeError(f"{type(value).__name__} has no JSON form")
