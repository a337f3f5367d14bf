"""Noticing that a run stands still: a disk or network that no longer answers, a decoder that waits for ever.

Nothing in Python can end a thread that waits for the operating system, so a run that stands still cannot be
unwound. It can be left: whatever is killed goes on where it was, see `dubber.engine.store`.
"""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from dubber.engine.progress import Progress
from dubber.errors import MediaError

logger = logging.getLogger(__name__)

STALL_LIMIT_S = 600.0
"""So long a run may do nothing at all before it counts as standing still."""

_LOOKS = 20
_BUSY_SHARE = 0.1
"""Of a processor; threads that wait for each other, and a progress bar, use less."""
_BUSY_BYTES_PER_S = 10_000
"""Read or written; a link so slow is as good as none."""


class Pulse:
    """A `Progress` that passes everything on, and counts it.

    Args:
        progress: Who is told.
    """

    def __init__(self, progress: Progress) -> None:
        self.beats = 0
        self.stage = ""
        self._progress = progress

    def beat(self, stage: str) -> None:
        """Count that a stage is well, although it has nothing to tell."""
        self.beats, self.stage = self.beats + 1, stage

    def plan(self, stages: list[str]) -> None:
        """See `Progress`."""
        self._progress.plan(stages)

    def start(self, stage: str, total: int | None) -> None:
        """See `Progress`."""
        self.beat(stage)
        self._progress.start(stage, total)

    def advance(self, stage: str, count: int = 1) -> None:
        """See `Progress`."""
        self.beat(stage)
        self._progress.advance(stage, count)

    def finish(self, stage: str, seconds: float, *, is_hit: bool) -> None:
        """See `Progress`."""
        self.beats += 1
        self._progress.finish(stage, seconds, is_hit=is_hit)


@contextmanager
def watched(pulse: Pulse, limit_s: float, on_stall: Callable[[MediaError], None] | None) -> Iterator[None]:
    """Look now and then whether what is done inside the block goes on.

    It does as long as there is progress, or the process or one it started computes, reads or writes.

    Args:
        pulse: Counts progress.
        limit_s: Seconds of standing still that are too long; 0: none are.
        on_stall: Is told once, in a thread of its own; None: it is logged.
    """
    if not limit_s:
        yield
        return
    is_over = threading.Event()
    watcher = threading.Thread(
        target=_watch, args=(pulse, limit_s, on_stall or _log, is_over), name="watchdog", daemon=True
    )
    watcher.start()
    try:
        yield
    finally:
        is_over.set()
        watcher.join(1.0)


def _watch(
    pulse: Pulse, limit_s: float, on_stall: Callable[[MediaError], None], is_over: threading.Event
) -> None:
    step_s = limit_s / _LOOKS
    beats, effort, looked_s, idle_s = pulse.beats, _effort(), time.monotonic(), 0.0
    while not is_over.wait(step_s):
        # A process that was stopped, and its computer asleep, did not stand still.
        elapsed_s = min(time.monotonic() - looked_s, 2 * step_s)
        found = _effort()
        is_busy = found[0] - effort[0] > _BUSY_SHARE * elapsed_s
        is_busy |= found[1] - effort[1] > _BUSY_BYTES_PER_S * elapsed_s
        idle_s = 0.0 if is_busy or pulse.beats != beats else idle_s + elapsed_s
        beats, effort, looked_s = pulse.beats, found, time.monotonic()
        if idle_s >= limit_s:
            on_stall(_stalled(pulse.stage, limit_s))
            return


def _stalled(stage: str, limit_s: float) -> MediaError:
    duration = f"{limit_s / 60:.0f} minutes" if limit_s >= 120 else f"{limit_s:.0f} seconds"
    return MediaError(
        f"Nothing has happened for {duration} (stage '{stage}').",
        advice="A disk or network folder does not answer: copy the files to another disk. Finished stages "
        "are kept: the same command goes on from there.",
    )


def _log(error: MediaError) -> None:
    logger.error("%s", error)


def _effort() -> tuple[float, float]:
    """Processor seconds, and bytes read or written, of this process and, where Linux tells, its children.

    Without those of the thread that asks: looking is no work.
    """
    cpu_s = time.process_time() - time.thread_time()
    num_bytes = _io_bytes(Path("/proc/self")) - _io_bytes(Path("/proc/thread-self"))
    for child in children():
        with suppress(OSError, ValueError, IndexError):
            # Behind the name, which may hold anything: utime and stime are the 12th and 13th, in ticks.
            fields = (child / "stat").read_text().rpartition(")")[2].split()
            cpu_s += (int(fields[11]) + int(fields[12])) / 100
        num_bytes += _io_bytes(child)
    return cpu_s, num_bytes


def children() -> list[Path]:
    """Folders in /proc of the processes that this one started; none where there is no such thing."""
    found = []
    for path in Path("/proc/self/task").glob("*/children"):
        with suppress(OSError):
            found += [Path("/proc") / pid for pid in path.read_text().split()]
    return found


def _io_bytes(process: Path) -> float:
    with suppress(OSError, ValueError, IndexError):
        lines = (process / "io").read_text().splitlines()
        return float(sum(int(line.split()[1]) for line in lines[:2]))  # rchar and wchar
    return 0.0
