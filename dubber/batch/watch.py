"""A folder that files are dropped into: which jobs' files are whole."""

from __future__ import annotations

from collections.abc import Sequence

from dubber.batch.work import FileFacts
from dubber.jobs import Job

POLL_S = 2.0
"""Seconds between two looks at the folder; a file that does not change in between is taken as whole."""

_Stamp = tuple[tuple[int, int], ...]


class DropFolder:
    """Tells jobs whose files have stopped growing, each once for each state of its files."""

    def __init__(self) -> None:
        self._seen: dict[str, _Stamp] = {}
        self._given: dict[str, _Stamp] = {}

    def ready(self, jobs: Sequence[Job]) -> list[Job]:
        """Jobs that can be done now.

        Args:
            jobs: Those that there are now.

        Returns:
            Those whose files are there, were the same at the last call, and were not given then.
        """
        found = {job.name: _stamp(job) for job in jobs}
        ready = [
            job
            for job in jobs
            if found[job.name] == self._seen.get(job.name) != self._given.get(job.name)
            and all(size > 0 for size, _ in found[job.name])
        ]
        self._seen = found
        self._given.update({job.name: found[job.name] for job in ready})
        return ready


def _stamp(job: Job) -> _Stamp:
    facts = [FileFacts.unread(path) for path in job.inputs]
    return tuple((each.num_bytes, each.modified_ns) for each in facts)
