"""The executor of this machine: worker processes that live as long as the batch."""

from __future__ import annotations

import multiprocessing
import os
import signal
from bisect import insort
from collections.abc import Callable, Generator, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from multiprocessing.connection import Connection, wait
from multiprocessing.context import SpawnProcess
from pathlib import Path

from dubber.batch.events import Event, Tell
from dubber.batch.executor import MAX_ATTEMPTS
from dubber.batch.work import Phase, Resources, Task, TaskEnd, retried, worker_name
from dubber.batch.worker import work

END_S = 15.0
"""A worker that is told to end has so long to tidy up."""

_WORKER_BYTES = 2_000_000_000
"""Memory that a worker may take. Source: docs/performance.md, a cold run of a 1080p clip, with room."""

Main = Callable[[Connection, Resources], None]
"""What a worker process does: takes `Task`s from the connection, and puts `Event`s and `TaskEnd`s into it."""

_PHASES = list(Phase)


def num_workers_for_machine() -> int:
    """How many workers processors and memory allow: a run keeps two processors busy."""
    by_memory = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") // _WORKER_BYTES
    num_processors = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    return max(1, min(num_processors // 2, by_memory))


@dataclass(frozen=True)
class ProcessExecutor:
    """Does jobs in processes of this machine.

    Workers take what comes first: of the first wave of jobs, of its first phase. Who finds nothing left of a
    phase goes on with the next, so that nobody waits at a phase's end. What jobs on one video have in common,
    its people and what is learned of them, is made by the first of them while the others do something else.

    Attributes:
        resources: Where and how to work.
        num_workers: Processes, at least 1.
        wave: So many jobs go through the phases together; what is kept for later phases is bounded by it.
        main: What a worker process does.
    """

    resources: Resources
    num_workers: int = 1
    wave: int = 16
    main: Main = work
    name: str = field(default="local", init=False)

    def execute(self, tasks: Sequence[Task], tell: Tell) -> Generator[TaskEnd, None, None]:
        """See `Executor`."""
        waiting = sorted(self._queued(number, task) for number, task in enumerate(tasks))
        made: set[_Common] = set()
        workers = [_Worker(self.main, self.resources) for _ in range(min(self.num_workers, len(tasks)))]
        try:
            while waiting or any(worker.current for worker in workers):
                for worker in workers:
                    if worker.current is None and (queued := _taken(waiting, workers, made)) is not None:
                        worker.give(queued)
                for worker in _ready(workers):
                    queued, message = worker.current, worker.receive()
                    if isinstance(message, Event):
                        tell(message)
                    elif queued is not None:
                        end, following = _followed(queued.task, message, worker, tell)
                        if following is not None and following.phase is not queued.task.phase:
                            made.add(_common(queued.task))
                        if following is not None:
                            insort(waiting, self._queued(queued.number, following))
                        elif end is not None:
                            yield end
        finally:
            _end(workers)

    def _queued(self, number: int, task: Task) -> _Queued:
        return _Queued(number // self.wave, _PHASES.index(task.phase), number, task)


@dataclass(frozen=True, order=True)
class _Queued:
    """A task, and when its turn is."""

    wave: int
    phase: int
    number: int
    task: Task = field(compare=False)


_Common = tuple[Path, Phase]
"""A video, and the phase in which a job makes something of its people that other jobs need as well."""


def _taken(waiting: list[_Queued], workers: Sequence[_Worker], made: set[_Common]) -> _Queued | None:
    """Take what is next out of the queue; None where all of it waits for what others make."""
    making = {_common(worker.current.task) for worker in workers if worker.current} - made
    for place, queued in enumerate(waiting):
        if queued.task.phase is Phase.paint or _common(queued.task) not in making:
            return waiting.pop(place)
    return None


def _common(task: Task) -> _Common:
    return task.job.video.absolute(), task.phase


def _followed(
    task: Task, end: TaskEnd | str, worker: _Worker, tell: Tell
) -> tuple[TaskEnd | None, Task | None]:
    """What follows a task: how its job ended, or what is to be done of it now."""
    if isinstance(end, str):
        if task.attempt < MAX_ATTEMPTS:
            return None, retried(task, worker.name, end, tell)
        return TaskEnd.lost(task, worker.name, end), None
    return end, end.next()


class _Worker:
    """A worker process as seen from outside; where it dies, another takes its place.

    Attributes:
        name: As in `work.worker_name`.
        current: What it is doing.
    """

    def __init__(self, main: Main, resources: Resources) -> None:
        self._main, self._resources = main, resources
        self.current: _Queued | None = None
        self._start()

    def _start(self) -> None:
        context = multiprocessing.get_context("spawn")
        self.connection, theirs = context.Pipe()
        self._process: SpawnProcess = context.Process(target=self._main, args=(theirs, self._resources))
        with _without_interrupts():
            self._process.start()
        theirs.close()

    @property
    def name(self) -> str:
        return worker_name(self._process.pid)

    def give(self, queued: _Queued) -> None:
        """Let it do something."""
        self.current = queued
        try:
            self.connection.send(queued.task)
        except OSError:  # died while it had nothing to do
            self._bury()
            self.connection.send(queued.task)

    def receive(self) -> Event | TaskEnd | str:
        """What it has to say.

        Returns:
            An event; how its task ended; or how the worker itself did, in words.
        """
        try:
            message: Event | TaskEnd = self.connection.recv()
        except Exception:  # the pipe's end, or half a message of a process that was killed
            self.current = None
            return self._bury()
        if isinstance(message, TaskEnd):
            self.current = None
        return message

    def _bury(self) -> str:
        """Start another process in this one's place, and say how it ended."""
        code = self.end()
        self._start()
        return _how(code)

    def dismiss(self) -> None:
        """Tell it to end: at once, and tidily."""
        if self.current is not None:
            self._process.terminate()
        self.connection.close()

    def end(self) -> int:
        """Wait until the process is gone, not for ever.

        Returns:
            Its exit code; negative: the signal that killed it.
        """
        self.connection.close()
        self._process.join(END_S)
        if self._process.is_alive():
            self._process.kill()
            self._process.join()
        return self._process.exitcode or 0


@contextmanager
def _without_interrupts() -> Iterator[None]:
    """Let Ctrl-C reach this process alone: a terminal sends it to those started meanwhile too."""
    before = signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGINT})
    try:
        yield
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, before)


def _ready(workers: Sequence[_Worker]) -> list[_Worker]:
    """Those of the busy workers that have something to say; waits until one has."""
    of: dict[Connection, _Worker] = {worker.connection: worker for worker in workers if worker.current}
    return [of[connection] for connection in wait(list(of)) if isinstance(connection, Connection)]


def _end(workers: Sequence[_Worker]) -> None:
    for worker in workers:
        worker.dismiss()
    for worker in workers:
        worker.end()


def _how(code: int) -> str:
    """An exit code in words."""
    if code >= 0:
        return f"exit code {code}"
    try:
        return f"killed by {signal.Signals(-code).name}"
    except ValueError:
        return f"killed by signal {-code}"
