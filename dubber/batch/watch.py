"""A folder that files are dropped into: which jobs' files are whole, and when their turn comes."""

from __future__ import annotations

import time
from collections.abc import Callable, Collection, Iterator, Sequence

from dubber.batch.runner import Outcome, Planned
from dubber.batch.work import FileFacts
from dubber.jobs import Job

POLL_S = 2.0
"""Seconds between two looks at the folder."""

STILL_S = 5.0
"""A file that has not changed for so long is taken as whole: copying over a network halts now and then."""

_REST = 10.0
"""The pause after a look is at least so many times its length: large folders are looked at less often."""

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

    def ready(self, jobs: Sequence[Job], at_work: Collection[str] = ()) -> list[Job]:
        """Jobs that can be done now.

        Args:
            jobs: Those that there are now.
            at_work: Names of those that are being done: their turn comes after.

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
            if is_whole and job.name not in at_work and self._given.get(job.name) != stamp:
                self._given[job.name] = stamp
                ready.append(job)
        return ready

    def reconsider(self, job: Job) -> None:
        """Let a job have its turn again where its files are not, or no longer, those that were given."""
        if self._given.get(job.name) != _stamp(job):
            self._given.pop(job.name, None)


class Watch:
    """A folder as a batch that goes on and on.

    Args:
        find: Tells the jobs that there are now.
        plan: Settles which of some jobs will be done; is given the names of those that are to be done again
            because their files were replaced meanwhile.
        clock: As for `DropFolder`.
    """

    def __init__(
        self,
        find: Callable[[], Sequence[Job]],
        plan: Callable[[Sequence[Job], Collection[str]], Sequence[Planned]],
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._find, self._plan, self._clock = find, plan, clock
        self._folder = DropFolder(clock)
        self._stale: set[str] = set()
        self.at_work: set[str] = set()

    def arrivals(self) -> Iterator[Sequence[Planned]]:
        """What `run_batch` takes: never ends."""
        next_s = self._clock()
        while True:
            began_s = self._clock()
            if began_s < next_s:
                yield ()
                continue
            ready = self._folder.ready(self._find(), self.at_work)
            planned = self._plan(ready, self._stale) if ready else ()
            self._stale -= {job.name for job in ready}
            self.at_work |= {each.job.name for each in planned if each.will_run}
            now_s = self._clock()
            next_s = now_s + max(POLL_S, _REST * (now_s - began_s))
            yield planned

    def settle(self, outcome: Outcome) -> None:
        """Be told what became of a job."""
        self.at_work.discard(outcome.job.name)
        if outcome.is_stale:
            self._stale.add(outcome.job.name)
        if outcome.state == "failed":  # perhaps because they were away for a moment
            self._folder.reconsider(outcome.job)


def _stamp(job: Job) -> _Stamp:
    facts = [FileFacts.unread(path) for path in job.inputs]
    return tuple((each.num_bytes, each.modified_ns) for each in facts)
