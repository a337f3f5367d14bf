"""Who does the work of a batch: a protocol, obeyed by this machine's processes and by a cluster."""

from __future__ import annotations

from collections.abc import Generator, Iterator, Sequence
from typing import Protocol

from dubber.batch.events import Tell
from dubber.batch.work import Task, TaskEnd

MAX_ATTEMPTS = 2
"""A job whose worker is lost is tried so often in all: what kills two workers would kill a third."""

ARRIVALS_S = 0.5
"""Executors look for arrivals at least so often, as long as more may come."""

Arrivals = Iterator[Sequence[Task]]
"""Jobs' first tasks, lot by lot; an empty lot where none came since the last one. Ends when no more will."""


class Executor(Protocol):
    """Does jobs, each phase by phase, and several beside each other.

    A phase is done by `work.do_task`, wherever that runs; `TaskEnd.next` says what follows it. A job that
    fails stops no other. A worker that is lost is replaced, and `TaskEnd.lost` tells how its task goes on.
    """

    @property
    def name(self) -> str:
        """What events call it."""

    def execute(self, arrivals: Arrivals, tell: Tell) -> Generator[TaskEnd, None, None]:
        """Do all phases of jobs.

        Args:
            arrivals: Each job's first task; is asked while others are done, and must not wait.
            tell: Is told what happens meanwhile; from this process.

        Yields:
            How each job ended, once per job, as soon as it did. Who stops asking closes the iterator, which
            ends all workers before it returns.
        """
