"""The executor of this machine: worker processes that live as long as the batch."""

from __future__ import annotations

import multiprocessing
import os
import signal
import time
from collections.abc import Callable, Generator, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from multiprocessing import resource_tracker
from multiprocessing.connection import Connection, wait
from multiprocessing.context import SpawnProcess

from dubber.batch.events import Event, Tell
from dubber.batch.executor import ARRIVALS_S, MAX_ATTEMPTS, Arrivals
from dubber.batch.task_queue import Queued, TaskQueue
from dubber.batch.work import Resources, Task, TaskEnd, retried, worker_name
from dubber.batch.worker import work

END_S = 15.0
"""A worker that is told to end has so long to tidy up."""

IDLE_S = 60.0
"""Workers that have nothing to do for so long give their memory back; starting others takes seconds."""

_WORKER_BYTES = 2_000_000_000
"""Memory that a worker may take. Source: docs/performance.md, a cold run of a 1080p clip, with room."""

Main = Callable[[Connection, Resources, int], None]
"""What a worker process does: takes `Task`s from the connection, and puts `Event`s and `TaskEnd`s into it.

It is told its number among the workers, too."""


def num_workers_for_machine() -> int:
    """How many workers processors and memory allow: a run keeps two processors busy."""
    by_memory = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") // _WORKER_BYTES
    num_processors = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    return max(1, min(num_processors // 2, by_memory))


@dataclass(frozen=True)
class ProcessExecutor:
    """Does jobs in processes of this machine.

    Workers take what comes first: of the first wave of jobs, of its first phase. Who finds nothing left of a
    phase goes on with the next, so that nobody waits at a phase's end; see `TaskQueue`.

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

    def execute(self, arrivals: Arrivals, tell: Tell) -> Generator[TaskEnd, None, None]:
        """See `Executor`."""
        queue, crew = TaskQueue(arrivals, self.wave), _Crew(self)
        try:
            while queue.may_grow or len(queue) or crew.at_work:
                queue.fetch()
                crew.give_out(queue)
                for worker in crew.speaking(ARRIVALS_S if queue.may_grow else None):
                    queued, message = worker.current, worker.receive()
                    if isinstance(message, Event):
                        tell(message)
                    elif queued is not None:
                        end, following = _followed(queued.task, message, worker, tell)
                        if following is not None:
                            queue.follow(queued, following)
                        elif end is not None:
                            yield end
        finally:
            crew.end()


def _followed(
    task: Task, end: TaskEnd | str, worker: _Worker, tell: Tell
) -> tuple[TaskEnd | None, Task | None]:
    """What follows a task: how its job ended, or what is to be done of it now."""
    if isinstance(end, str):
        if task.attempt < MAX_ATTEMPTS:
            return None, retried(task, worker.name, end, tell)
        return TaskEnd.lost(task, worker.name, end), None
    return end, end.next()


class _Crew:
    """The workers: each started when there is something to do, and ended when it had nothing for long."""

    def __init__(self, executor: ProcessExecutor) -> None:
        self._executor = executor
        self._workers: list[_Worker] = []

    @property
    def at_work(self) -> list[Queued]:
        """What is being done now."""
        return [worker.current for worker in self._workers if worker.current is not None]

    def give_out(self, queue: TaskQueue) -> None:
        """Let whoever has nothing to do take what is next."""
        while len(at_work := self.at_work) < self._executor.num_workers:
            if (queued := queue.take(at_work)) is None:
                return
            idle = next((worker for worker in self._workers if worker.current is None), None)
            (idle or self._hired()).give(queued)

    def speaking(self, timeout_s: float | None) -> list[_Worker]:
        """Those of the busy workers that have something to say; waits until one has, or so long.

        Args:
            timeout_s: None: for ever.
        """
        of: dict[Connection, _Worker] = {
            worker.connection: worker for worker in self._workers if worker.current
        }
        if timeout_s is None and not of:
            return []
        speaking = [of[each] for each in wait(list(of), timeout_s) if isinstance(each, Connection)]
        now_s = time.monotonic()
        for worker in of.values():
            worker.busy_s = now_s
        self._let_go(now_s)
        return speaking

    def end(self) -> None:
        """End all workers, and wait until they are gone."""
        for worker in self._workers:
            worker.dismiss()
        for worker in self._workers:
            worker.end()
        self._workers = []

    def _let_go(self, now_s: float) -> None:
        """End who had nothing to do for long, the last ones first: others keep their numbers."""
        while self._workers and now_s - self._workers[-1].busy_s > IDLE_S:
            self._workers[-1].dismiss()
            self._workers[-1].end()
            self._workers.pop()

    def _hired(self) -> _Worker:
        worker = _Worker(self._executor.main, self._executor.resources, len(self._workers))
        self._workers.append(worker)
        return worker


class _Worker:
    """A worker process as seen from outside; where it dies, another takes its place.

    Args:
        main: See `Main`.
        resources: Where and how to work.
        number: Which of the workers it is, from 0.

    Attributes:
        name: As in `work.worker_name`.
        current: What it is doing.
        busy_s: When it was last seen doing something, by `time.monotonic`.
    """

    def __init__(self, main: Main, resources: Resources, number: int) -> None:
        self._main, self._resources, self._number = main, resources, number
        self.current: Queued | None = None
        self.busy_s = time.monotonic()
        self._start()

    def _start(self) -> None:
        context = multiprocessing.get_context("spawn")
        self.connection, theirs = context.Pipe()
        self._process: SpawnProcess = context.Process(
            target=self._main, args=(theirs, self._resources, self._number)
        )
        resource_tracker.ensure_running()  # whoever starts it lets interrupts through again
        with _without_interrupts():
            self._process.start()
        theirs.close()

    @property
    def name(self) -> str:
        return worker_name(self._process.pid)

    def give(self, queued: Queued) -> None:
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


def _how(code: int) -> str:
    """An exit code in words."""
    if code >= 0:
        return f"exit code {code}"
    try:
        return f"killed by {signal.Signals(-code).name}"
    except ValueError:
        return f"killed by signal {-code}"
