"""A batch from beginning to end: what is to be done, having it done, and writing down how it went."""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Callable, Collection, Iterator, Sequence
from contextlib import closing
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Literal

from dubber.batch.events import (
    BatchFinished,
    BatchStarted,
    Event,
    JobFailed,
    JobFinished,
    JobSkipped,
    JobStarted,
    StageFinished,
    Tell,
    Warned,
    error_document,
)
from dubber.batch.executor import Arrivals, Executor
from dubber.batch.ledger import Ledger, Standing, Verdict
from dubber.batch.work import Phase, Task, TaskEnd
from dubber.errors import ConfigError, DubberError
from dubber.jobs import Job


@dataclass(frozen=True)
class Planned:
    """A job, and whether it will be done.

    Attributes:
        job: The job.
        verdict: How it stands.
        will_run: Whether this batch does it.
    """

    job: Job
    verdict: Verdict
    will_run: bool

    @property
    def reason(self) -> str:
        """Why it will run, or not, in words."""
        advice = {
            Standing.changed: "; `--overwrite` makes it again",
            Standing.foreign: "; `--overwrite` replaces it",
        }
        is_held = not self.will_run
        return self.verdict.reason + (advice.get(self.verdict.standing, "") if is_held else "")


@dataclass(frozen=True)
class Outcome:
    """What became of a job.

    Attributes:
        job: The job.
        state: "failed" also for those that failed before and were not tried again.
        reason: Why it failed or was skipped, in words.
        error: Why it failed now.
        seconds: Of work.
        is_stale: Whether its files were replaced while it was done.
    """

    job: Job
    state: Literal["done", "skipped", "failed"]
    reason: str = ""
    error: DubberError | None = None
    seconds: float = 0.0
    is_stale: bool = False


def check_jobs(jobs: Sequence[Job]) -> None:
    """Find out before anything runs whether jobs are in each other's way.

    Raises:
        ConfigError: Two have one name or write one file, or one writes what another reads.
    """
    inputs = {_place(path) for job in jobs for path in job.inputs}
    outputs: dict[Path, Job] = {}
    names: dict[str, Job] = {}
    for job in jobs:
        for path in _written(job):
            if (other := outputs.setdefault(_place(path), job)) is not job:
                raise ConfigError(
                    f"Two jobs write it: of {other.video.name} with {_speech(other)}, and of "
                    f"{job.video.name} with {_speech(job)}.",
                    where=str(path),
                    advice="Give each an `output` of its own, or move one of them away.",
                )
            if _place(path) in inputs:
                raise ConfigError(
                    "A job writes what another one reads.",
                    where=str(path),
                    advice="Choose another folder for the results with `-o`.",
                )
        if names.setdefault(job.name, job) is not job:
            raise ConfigError(
                f"Two jobs are named '{job.name}'.", where=str(job.output), advice="Give one a `name`."
            )


def plan_batch(
    jobs: Sequence[Job],
    ledger: Ledger,
    *,
    is_overwrite: bool = False,
    retries_failed: bool = False,
    stale: Collection[str] = (),
) -> list[Planned]:
    """Settle which jobs will be done.

    Args:
        jobs: All of them.
        ledger: Knows what became of them before.
        is_overwrite: Do those again whose inputs or settings were changed, and replace what no batch made.
        retries_failed: Try those again that failed before.
        stale: Names of jobs whose files were replaced while they were done; they are done again.

    Raises:
        ConfigError: See `check_jobs`.
    """
    check_jobs(jobs)
    wanted = {
        Standing.new: True,
        Standing.done: False,
        Standing.changed: is_overwrite,
        Standing.foreign: is_overwrite,
        Standing.failed: retries_failed,
    }
    planned = []
    for job in jobs:
        verdict = ledger.verdict(job)
        is_stale = verdict.standing is Standing.changed and job.name in stale
        planned.append(Planned(job, verdict, is_stale or wanted[verdict.standing]))
    return planned


def run_batch(
    arrivals: Iterator[Sequence[Planned]],
    *,
    executor: Executor,
    ledger: Ledger,
    output_dir: Path,
    tell: Tell,
    settle: Callable[[Outcome], None],
) -> None:
    """Do the jobs that are to be done.

    Args:
        arrivals: See `plan_batch`, made while the ledger is locked: all at once, or lot by lot as they come,
            none while a job of its name is being done. An empty lot where none came; ends when no more will.
        executor: Who does them.
        ledger: Is told how each ended.
        output_dir: Where results go.
        tell: Is told what happens.
        settle: Is told what became of each job as soon as that is written down.

    Raises:
        OutputFolderError: The results can no longer be written down.
    """
    course = _Course(executor.name, ledger, output_dir, tell, settle)
    with closing(executor.execute(course.tasks(arrivals), course.tell)) as ends:
        for end in ends:
            course.end(end)


class _Course:
    """The way of a batch: keeps the ledger, tells, and knows what is being done."""

    def __init__(
        self, engine: str, ledger: Ledger, output_dir: Path, tell: Tell, settle: Callable[[Outcome], None]
    ) -> None:
        self._engine, self._ledger, self._output_dir = engine, ledger, output_dir
        self._tell, self._settle = tell, settle
        self._jobs: dict[str, Job] = {}
        self._finished: dict[str, set[str]] = {}
        self._warned: dict[str, list[Warned]] = {}
        self._count: Counter[str] = Counter()
        self._started_s = 0.0

    def tasks(self, arrivals: Iterator[Sequence[Planned]]) -> Arrivals:
        """The first tasks of the jobs that are to be done."""
        for planned in arrivals:
            tasks = self._begun(planned) if planned else ()
            if tasks or not planned:  # a lot that is empty asks for patience
                yield tasks

    def tell(self, event: Event) -> None:
        """Pass an event on.

        Before a job may put its output in place it is marked as begun. What an earlier phase made and a later
        one found in the cache is not told again.
        """
        if isinstance(event, JobStarted) and event.phase == Phase.paint.value:
            self._ledger.begin(self._jobs[event.job])
        if isinstance(event, StageFinished):
            finished = self._finished.setdefault(event.job, set())
            if event.is_hit and event.stage in finished:
                return
            finished.add(event.stage)
        if isinstance(event, Warned) and event.job in self._jobs:
            self._warned.setdefault(event.job, []).append(event)
        self._tell(event)

    def end(self, end: TaskEnd) -> None:
        """Write down how a job ended, and tell.

        Of workers that were lost or stood still the warnings are known that they told.
        """
        job = end.task.job
        warnings = dict.fromkeys((*end.warnings, *self._warned.pop(job.name, ())))
        self._ledger.end(replace(end, warnings=tuple(warnings)))
        verdict = self._ledger.verdict(job)
        is_stale = verdict.standing is Standing.changed
        if is_stale:
            self._tell(
                Warned(job.name, f"It was dubbed from other files than there are now: {verdict.reason}.")
            )
        self._jobs.pop(job.name)
        self._finished.pop(job.name, None)
        outcome, event = _ended(end)
        self._note(replace(outcome, is_stale=is_stale), event)
        self._finish()

    def _begun(self, planned: Sequence[Planned]) -> list[Task]:
        if not self._jobs:
            self._count, self._started_s = Counter(), time.perf_counter()
        tasks = [Task(each.job, is_overwrite=_may_replace(each)) for each in planned if each.will_run]
        self._jobs |= {task.job.name: task.job for task in tasks}
        self._tell(BatchStarted(str(self._output_dir), self._engine, len(planned), len(tasks)))
        for each in planned:
            if not each.will_run:
                self._note(*_skipped(each))
        self._finish()
        return tasks

    def _note(self, outcome: Outcome, event: Event) -> None:
        self._count[outcome.state] += 1
        self._settle(outcome)
        self._tell(event)

    def _finish(self) -> None:
        """Tell when nothing is left to do."""
        if not self._jobs:
            seconds = time.perf_counter() - self._started_s
            count = self._count
            self._tell(BatchFinished(count["done"], count["failed"], count["skipped"], seconds))


def _may_replace(planned: Planned) -> bool:
    """A batch may replace what it made itself, and whatever the user said it may."""
    return planned.verdict.is_ours or planned.verdict.standing is not Standing.new


def _skipped(planned: Planned) -> tuple[Outcome, Event]:
    standing, reason = planned.verdict.standing, planned.reason
    outcome = Outcome(planned.job, "failed" if standing is Standing.failed else "skipped", reason)
    return outcome, JobSkipped(planned.job.name, standing.value, reason)


def _ended(end: TaskEnd) -> tuple[Outcome, Event]:
    job = end.task.job
    if end.result is not None:
        outcome = Outcome(job, "done", seconds=end.total_s)
        return outcome, JobFinished(job.name, str(job.output), end.total_s, end.result.num_frames)
    error = end.error or DubberError("It ended without a result.")
    outcome = Outcome(job, "failed", error.message, error=error, seconds=end.total_s)
    return outcome, JobFailed(job.name, error_document(error), end.total_s, end.task.attempt)


def _written(job: Job) -> tuple[Path, ...]:
    return (job.output, *job.extras.named.values())


def _place(path: Path) -> Path:
    """Where a file lies, whatever leads there."""
    try:
        return path.resolve()
    except (OSError, ValueError, RuntimeError):  # no name of a file, or links in a circle
        return path.absolute()


def _speech(job: Job) -> str:
    return ", ".join(path.name for path in job.said.voices)
