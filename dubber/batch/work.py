"""A job's work in three phases, and what comes back from each: what every executor has done somewhere.

Jobs go through the phases together, all of a wave through one before the next, so that a worker uses the
same networks for one clip after the other.
"""

from __future__ import annotations

import logging
import os
import socket
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field, replace
from enum import Enum
from pathlib import Path
from typing import Any

from dubber.batch.events import EventProgress, JobRetried, JobStarted, Logged, PhaseFinished, Tell, Warned
from dubber.batch.warned import Heard, of_findings, of_result
from dubber.dubbing import make_runtime
from dubber.engine.execute import StageReport
from dubber.engine.memory import is_out_of_memory, memory_error
from dubber.engine.stage import Runtime
from dubber.engine.store import Store
from dubber.engine.watchdog import STALL_LIMIT_S
from dubber.errors import DubberError, MediaError, OutputExistsError, StageError, WorkerLostError
from dubber.jobs import Extras, Job, do_job, look_first, plan_job
from dubber.outcome import DubResult

logger = logging.getLogger(__name__)


class Phase(str, Enum):
    """What is done of a job in one go, in this order."""

    look = "look"
    """Headers, then every face of the video."""
    listen = "listen"
    """The speech, what the mouths shall do, and what is learned of the people."""
    paint = "paint"
    """All the rest, until the output is there."""


@dataclass(frozen=True)
class Task:
    """One phase of one job. Can be pickled.

    Attributes:
        job: The job; it has a name.
        is_overwrite: Existing results may be replaced.
        phase: Which part of it.
        attempt: 1, and more after workers were lost.
        reports: What stages did in earlier phases.
        spent_s: Seconds that earlier phases took.
        warnings: What was warned of in earlier phases and attempts.
    """

    job: Job
    is_overwrite: bool = False
    phase: Phase = Phase.look
    attempt: int = 1
    reports: tuple[StageReport, ...] = ()
    spent_s: float = 0.0
    warnings: tuple[Warned, ...] = ()


@dataclass(frozen=True)
class Resources:
    """Where and how to work, as any process can be told. Can be pickled.

    Attributes:
        cache_dir: Root of the artefact store; None: the usual one.
        weights_dir: Where weights are read from; None: those that come with dubber.
        device: As `make_runtime` takes it.
        threads: CPU threads of each network.
        stall_limit_s: Standing still for so long ends a worker; 0: nothing does.
        is_commercial: Refuse weights and models that may not be used commercially.
        is_strict: Take warnings before the work as errors.
        log_level: Log messages from this level of `logging` on are told.
    """

    cache_dir: Path | None = None
    weights_dir: Path | None = None
    device: str = "auto"
    threads: int = 1
    stall_limit_s: float = STALL_LIMIT_S
    is_commercial: bool = False
    is_strict: bool = False
    log_level: int = logging.WARNING

    def runtime(self) -> Runtime:
        """The runtime they name.

        Raises:
            DeviceError: The device does not exist here.
        """
        runtime = make_runtime(
            cache_dir=self.cache_dir,
            weights_dir=self.weights_dir,
            device=self.device,
            threads=self.threads,
            is_commercial=self.is_commercial,
        )
        return replace(runtime, stall_limit_s=self.stall_limit_s)


@dataclass(frozen=True)
class FileFacts:
    """A file as it was found.

    Attributes:
        path: Where it lies.
        num_bytes: Its size; -1 for none.
        modified_ns: When its content was changed, as it says.
        sha256: Of its bytes; "" where it was not read.
    """

    path: Path
    num_bytes: int = -1
    modified_ns: int = 0
    sha256: str = ""

    @classmethod
    def of(cls, path: Path, store: Store) -> FileFacts:
        """The facts of a file that may be missing.

        Args:
            path: The file.
            store: Remembers checksums.
        """
        try:
            digest, stamp = store.source_sha256(path)
        except DubberError:
            return cls.unread(path)
        return cls(path.absolute(), stamp.num_bytes, stamp.modified_ns, digest)

    @classmethod
    def unread(cls, path: Path) -> FileFacts:
        """What is known of a file without reading it."""
        path = path.absolute()
        with suppress(OSError, ValueError):
            found = path.stat()
            return cls(path, found.st_size, found.st_mtime_ns)
        return cls(path)


@dataclass(frozen=True)
class TaskEnd:
    """How a task ended. Can be pickled.

    Attributes:
        task: The task.
        worker: Who did it: host and process.
        seconds: What it took.
        result: What a finished phase did; its stages are those of all phases.
        error: Why it failed.
        inputs: The files of the user's it read, as they were when it began.
        output: The finished file, which is there too where only what goes with it could not be made; None
            where there is none.
        warnings: What was warned of in all phases so far, each once.
    """

    task: Task
    worker: str
    seconds: float = 0.0
    result: DubResult | None = None
    error: DubberError | None = None
    inputs: tuple[FileFacts, ...] = field(default=(), repr=False)
    output: FileFacts | None = None
    warnings: tuple[Warned, ...] = ()

    def next(self) -> Task | None:
        """What is to be done of the job now; None where it is over."""
        phases = list(Phase)
        later = phases[phases.index(self.task.phase) + 1 :]
        if self.result is None or not later:
            return None
        spent_s = self.task.spent_s + self.seconds
        stages, warnings = self.result.stages, self.warnings
        return replace(self.task, phase=later[0], reports=stages, spent_s=spent_s, warnings=warnings)

    @property
    def total_s(self) -> float:
        """Seconds that the job has taken in all phases."""
        return self.task.spent_s + self.seconds

    @classmethod
    def lost(cls, task: Task, worker: str, reason: str) -> TaskEnd:
        """How a task ended whose worker did, twice.

        Args:
            task: What it was doing.
            worker: Who it was.
            reason: How it ended, in words.
        """
        error = WorkerLostError(
            f"The worker process ended {task.attempt} times at this job, in the phase '{task.phase.value}' "
            f"({reason}).",
            where=str(task.job.video),
        )
        return cls.broken_off(task, worker, error)

    @classmethod
    def broken_off(cls, task: Task, worker: str, error: DubberError) -> TaskEnd:
        """How a task ended that did not come to its end.

        Args:
            task: What was being done.
            worker: Who did it.
            error: Why it was ended.
        """
        inputs = tuple(FileFacts.unread(path) for path in task.job.inputs)
        return cls(task, worker, error=error, warnings=task.warnings, inputs=inputs)


def retried(task: Task, worker: str, reason: str, tell: Tell) -> Task:
    """A task to be tried again after its worker was lost.

    Args:
        task: What it was doing.
        worker: Who it was.
        reason: How it ended, in words.
        tell: Is told of it.
    """
    # Painting began because no output was there, or because it may be replaced: what is there now was put
    # there by the lost worker.
    is_overwrite = task.is_overwrite or task.phase is Phase.paint
    again = replace(task, attempt=task.attempt + 1, is_overwrite=is_overwrite)
    tell(JobRetried(task.job.name, worker, reason, again.attempt))
    return again


def do_task(
    task: Task, resources: Resources, tell: Tell, on_stall: Callable[[MediaError], None] | None = None
) -> TaskEnd:
    """Do one phase of a job, in this process.

    Args:
        task: What to do.
        resources: Where and how.
        tell: Is told what happens; from any thread.
        on_stall: See `Runtime`.

    Returns:
        How it ended; a failure of any kind is the task's, and is not raised.
    """
    worker, started, heard = worker_name(), time.perf_counter(), Heard(tell, task.warnings)
    output, inputs = FileFacts.unread(task.job.output), _input_facts(task.job, resources)
    tell(JobStarted(task.job.name, task.phase.value, worker, task.attempt))
    result, error = None, None
    with _told_log(task.job.name, resources.log_level, heard.tell):
        try:
            result = _do_phase(task, resources, heard.tell, on_stall)
        except DubberError as failure:
            error = failure
        except Exception as failure:
            logger.debug("The job failed.", exc_info=True)
            is_memory = is_out_of_memory(failure)
            error = memory_error() if is_memory else StageError(f"{type(failure).__name__}: {failure}")
    seconds = time.perf_counter() - started
    end = TaskEnd(task, worker, seconds, result, error, inputs, warnings=heard.warnings)
    if result is not None:
        tell(PhaseFinished(task.job.name, task.phase.value, end.seconds))
    return end if end.next() else _with_output(end, resources, output)


def worker_name(pid: int | None = None) -> str:
    """A process of this machine, as results and events call it.

    Args:
        pid: Which; None: this one.
    """
    return f"{socket.gethostname()}-{os.getpid() if pid is None else pid}"


def _do_phase(
    task: Task, resources: Resources, tell: Tell, on_stall: Callable[[MediaError], None] | None
) -> DubResult:
    job, runtime = task.job, replace(resources.runtime(), on_stall=on_stall)
    progress = EventProgress(job.name, tell)
    if task.phase is Phase.look:
        found = look_first(job, runtime, is_overwrite=task.is_overwrite)
        for warning in of_findings(job.name, found.findings):
            tell(warning)
        if (error := found.failure(is_strict=resources.is_strict)) is not None:
            raise error
    how: Any = {"runtime": runtime, "progress": progress, "is_overwrite": task.is_overwrite}
    if task.phase is Phase.paint:
        result = do_job(job, earlier=task.reports, spent_s=task.spent_s, **how)
        for warning in of_result(job.name, result):
            tell(warning)
        return result
    result = DubResult(None, stages=task.reports)
    for stage in _last_stages(job, task.phase, runtime):
        part = replace(job, extras=Extras())
        result = do_job(part, until_stage=stage, earlier=result.stages, **how)
    return result


def _last_stages(job: Job, phase: Phase, runtime: Runtime) -> list[str]:
    """The stages that a phase ends with, by name."""
    planned = plan_job(job, runtime)
    if phase is Phase.look:
        refs = [planned.people.index]
    else:
        refs = [person.expression.index for person in planned.performances]
        refs += [painting.adapted.index for painting in planned.paintings if painting.adapted is not None]
    return [planned.plan.nodes[index].name for index in refs]


def _input_facts(job: Job, resources: Resources) -> tuple[FileFacts, ...]:
    """The files of the user's that are read, as they are now."""
    try:
        store = Store(resources.runtime().cache_dir)
    except DubberError:  # no such device
        return tuple(FileFacts.unread(path) for path in job.inputs)
    return tuple(FileFacts.of(path, store) for path in job.inputs)


def _with_output(end: TaskEnd, resources: Resources, before: FileFacts) -> TaskEnd:
    """The end of a job with what was written.

    A job that failed has written an output where only what goes with it could not be made.
    """
    if end.result is not None:
        end = replace(end, result=replace(end.result, seconds=end.total_s))
    after = FileFacts.unread(before.path)
    is_made = end.result is not None or not (after == before or isinstance(end.error, OutputExistsError))
    if not is_made or after.num_bytes < 0:
        return end
    return replace(end, output=FileFacts.of(after.path, Store(resources.runtime().cache_dir)))


class _TellingHandler(logging.Handler):
    """Tells log messages as events of a job."""

    def __init__(self, job: str, level: int, tell: Tell) -> None:
        super().__init__(level)
        self._job, self._tell = job, tell

    def emit(self, record: logging.LogRecord) -> None:
        """Tell one."""
        message = self.format(record)
        if record.levelno >= logging.WARNING:
            self._tell(Warned(self._job, message))
        else:
            self._tell(Logged(self._job, record.levelno, message))


@contextmanager
def _told_log(job: str, level: int, tell: Tell) -> Iterator[None]:
    """Let log messages carry the job's name meanwhile."""
    root = logging.getLogger("dubber")
    before = root.level, root.propagate, list(root.handlers)
    root.handlers, root.propagate = [_TellingHandler(job, level, tell)], False
    root.setLevel(level)
    try:
        yield
    finally:
        root.setLevel(before[0])
        root.propagate, root.handlers = before[1], before[2]
