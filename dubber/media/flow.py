"""Streams of frames: a replayable one, and one that is made ahead of its consumer."""

from __future__ import annotations

import queue
import threading
import time
from collections.abc import Callable, Generator, Iterable
from dataclasses import dataclass
from typing import Any, Generic, TypeVar

from dubber.media.frame import Frame
from dubber.types import Bool

Item = TypeVar("Item")

_POLL_S = 0.05
"""How long the maker waits for room before it looks whether anybody still consumes."""


@dataclass(frozen=True)
class FrameStream:
    """Full frames that are made while they are consumed.

    Attributes:
        is_dubbed_N: (N,) bool, one for each frame that `open` yields: whether its mouth is re-made.
        open: Starts the stream from its first frame; may be called again.
        is_marked_N: (N,) bool, frames that have words written into them; None where none has.
        mark: The words.
        is_moved_N: (N,) bool, frames that show another picture than the source's of the same number; None
            where none does.
    """

    is_dubbed_N: Bool
    open: Callable[[], Generator[Frame]]
    is_marked_N: Bool | None = None
    mark: str = ""
    is_moved_N: Bool | None = None

    @property
    def is_changed_N(self) -> Bool:
        """(N,) bool, frames that are not the source's."""
        is_changed_N = self.is_dubbed_N
        for others_N in (self.is_marked_N, self.is_moved_N):
            is_changed_N = is_changed_N if others_N is None else is_changed_N | others_N
        return is_changed_N

    @property
    def num_frames(self) -> int:
        """N, how many frames `open` yields."""
        return len(self.is_dubbed_N)


@dataclass(frozen=True)
class _Failure:
    error: BaseException


class _End:
    pass


@dataclass
class _Maker(Generic[Item]):
    """The background side of `prefetch`: pulls items into a bounded queue until told to stop."""

    source: Iterable[Item]
    items: queue.Queue[Item | _Failure | _End]
    is_stopped: threading.Event
    on_end: Callable[[float], None] | None

    def run(self) -> None:
        _current.maker = self
        started_s = time.thread_time()
        iterator = iter(self.source)
        last: _Failure | _End = _End()
        try:
            for item in iterator:
                if not self._put(item):
                    break
        except BaseException as error:  # it is raised again in the consumer
            last = _Failure(error)
        try:
            # A generator must be closed by the thread that ran it.
            if isinstance(iterator, Generator):
                iterator.close()
        except BaseException as error:  # it is raised again in the consumer
            last = _Failure(error)
        if self.on_end is not None:
            self.on_end(time.thread_time() - started_s)
        self._put(last)

    def _put(self, item: Item | _Failure | _End) -> bool:
        while not self.is_stopped.is_set():
            try:
                self.items.put(item, timeout=_POLL_S)
            except queue.Full:
                continue
            return True
        return False


_current = threading.local()
"""`maker`: whose thread this is."""


class _Abandoned(BaseException):
    """Nobody wants any more what this thread makes."""


def _next_item(items: queue.Queue[Item | _Failure | _End]) -> Item | _Failure | _End:
    """Wait for an item, but no longer than somebody waits for the thread that does.

    Raises:
        _Abandoned: Nobody does.
    """
    maker: _Maker[Any] | None = getattr(_current, "maker", None)
    while True:
        if maker is not None and maker.is_stopped.is_set():
            raise _Abandoned
        try:
            return items.get(timeout=None if maker is None else _POLL_S)
        except queue.Empty:
            continue


def prefetch(
    source: Iterable[Item], depth: int, on_end: Callable[[float], None] | None = None
) -> Generator[Item]:
    """Make items in a background thread, at most `depth` ahead.

    The thread starts with the first item asked for and has ended when this generator has: at its end, on an
    error (raised here as it was there), or when the consumer closes it early; a chain of such threads is told
    from the last one to the first, so that none finishes work that nobody waits for.

    Args:
        source: Consumed by one thread; a generator is closed there.
        depth: Items waiting at most, at least 1.
        on_end: Is told, by that thread, how much processor time it used, in seconds.

    Yields:
        The items of `source`, in order.
    """
    maker: _Maker[Item] = _Maker(source, queue.Queue(maxsize=max(1, depth)), threading.Event(), on_end)
    thread = threading.Thread(target=maker.run, name="prefetch", daemon=True)
    thread.start()
    try:
        while True:
            item = _next_item(maker.items)
            if isinstance(item, _End):
                return
            if isinstance(item, _Failure):
                raise item.error
            yield item
    finally:
        maker.is_stopped.set()
        thread.join()
