"""Many files, few of them open: an operating system lends a process some hundred handles at most."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Callable
from contextlib import AbstractContextManager
from types import TracebackType
from typing import Generic, TypeVar

Opened = TypeVar("Opened")

MOST_OPEN = 32
"""macOS lends 256 handles, and a run needs some for other things."""


class OpenFiles(Generic[Opened]):
    """Opens files when they are asked for and closes what was not asked for longest.

    Args:
        open_one: Opens the file of a number.
        most_open: How many stay open.
    """

    def __init__(
        self, open_one: Callable[[int], AbstractContextManager[Opened]], most_open: int = MOST_OPEN
    ) -> None:
        self._open_one, self._most_open = open_one, most_open
        self._open: OrderedDict[int, tuple[AbstractContextManager[Opened], Opened]] = OrderedDict()

    def __getitem__(self, number: int) -> Opened:
        """An open file; to be used before the next one is asked for.

        Raises:
            DubberError: As opening does.
        """
        if number not in self._open:
            while len(self._open) >= self._most_open:
                self._close_oldest()
            manager = self._open_one(number)
            self._open[number] = manager, manager.__enter__()
        self._open.move_to_end(number)
        return self._open[number][1]

    def __enter__(self) -> OpenFiles[Opened]:
        """Nothing is open yet."""
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Close all files."""
        while self._open:
            self._close_oldest()

    def _close_oldest(self) -> None:
        _, (manager, _) = self._open.popitem(last=False)
        manager.__exit__(None, None, None)
