"""A folder that files are dropped into: which jobs' files are whole."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence

from dubber.batch.work import FileFacts
from dubber.jobs import Job

POLL_S = 2.0
"""Seconds between two looks at the folder."""

STILL_S = 5.0
"""A file that has not changed for so long is taken as whole: copying over a network halts now and then."""

_Stamp = tuple[tuple[int, int], ...]


class DropFolder:
    """Tells jobs whose files have stopped growing, each once for each state of its files.

    Args:
        clock: Tells the time in seconds, from any moment on.
    """

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self._seen: dict[str, tuple[_Stamp, float]] = {}
        self._given: dict[str, _Stamp] = {}

    def ready(self, jobs: Sequence[Job]) -> list[Job]:
        """Jobs that can be done now.

        Args:
            jobs: Those that there are now.

        Returns:
            Those whose files are there, have been the same for `STILL_S`, and were not given as they are.
        """
        now_s, before = self._clock(), self._seen
        self._seen, ready = {}, []
        for job in jobs:
            stamp = _stamp(job)
            was, since_s = before.get(job.name, (stamp, now_s))
            since_s = since_s if was == stamp else now_s
            self._seen[job.name] = stamp, since_s
            is_whole = now_s - since_s >= STILL_S and all(size > 0 for size, _ in stamp)
            if is_whole and self._given.get(job.name) != stamp:
                self._given[job.name] = stamp
                ready.append(job)
        return ready


def _stamp(job: Job) -> _Stamp:
    facts = [FileFacts.unread(path) for path in job.inputs]
    return tuple((each.num_bytes, each.modified_ns) for each in facts)
