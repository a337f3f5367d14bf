"""Tasks that wait for workers, in the order in which they are taken."""

from __future__ import annotations

from bisect import insort
from collections.abc import Collection
from dataclasses import dataclass, field, replace
from pathlib import Path

from dubber.batch.executor import Arrivals
from dubber.batch.work import Phase, Task

_PHASES = list(Phase)

_Common = tuple[Path, Phase]
"""A video, and the phase in which a job makes something of its people that other jobs need as well."""


@dataclass(frozen=True, order=True)
class Queued:
    """A task, and when its turn is.

    Attributes:
        wave: Waves go one after the other.
        phase: Its number; so do the phases of a wave.
        number: Its job's, in the order in which jobs came.
        task: The task.
    """

    wave: int
    phase: int
    number: int
    task: Task = field(compare=False)


class TaskQueue:
    """The tasks of jobs that come lot by lot.

    What comes first is done first: the first lot's first wave, of it the first phase. What jobs on one video
    have in common, its people and what is learned of them, is made by one of them while the others wait.

    Args:
        arrivals: The jobs.
        wave: So many jobs go through the phases together; what is kept for later phases is bounded by it.
    """

    def __init__(self, arrivals: Arrivals, wave: int) -> None:
        self._arrivals, self._wave = arrivals, wave
        self._waiting: list[Queued] = []
        self._made: set[_Common] = set()
        self._num_jobs = self._num_waves = 0
        self.may_grow = True

    def __len__(self) -> int:
        """Tasks that wait."""
        return len(self._waiting)

    def fetch(self) -> None:
        """Take in what came since the last time.

        What was made is forgotten as soon as nobody waits: files may be replaced, and come for weeks.
        """
        if not self._waiting:
            self._made.clear()
        while lot := (next(self._arrivals, None) if self.may_grow else None):
            for place, task in enumerate(lot):
                wave = self._num_waves + place // self._wave
                insort(self._waiting, Queued(wave, _PHASES.index(task.phase), self._num_jobs + place, task))
            self._num_jobs += len(lot)
            self._num_waves += -(-len(lot) // self._wave)
        self.may_grow = lot is not None

    def take(self, at_work: Collection[Queued]) -> Queued | None:
        """Take out what is next.

        Args:
            at_work: What is being done now.

        Returns:
            None where nothing waits, or all of it for what others make.
        """
        making = {_common(queued.task) for queued in at_work} - self._made
        for place, queued in enumerate(self._waiting):
            if queued.task.phase is Phase.paint or _common(queued.task) not in making:
                return self._waiting.pop(place)
        return None

    def follow(self, queued: Queued, task: Task) -> None:
        """Put in what follows a task: its job's next phase, or the same one again."""
        if task.phase is not queued.task.phase:
            self._made.add(_common(queued.task))
        insort(self._waiting, replace(queued, phase=_PHASES.index(task.phase), task=task))


def _common(task: Task) -> _Common:
    return task.job.video.absolute(), task.phase
