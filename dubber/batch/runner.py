"""A batch from beginning to end: what is to be done, having it done, and writing down how it went."""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Sequence
from contextlib import closing
from dataclasses import dataclass
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
    error_document,
)
from dubber.batch.executor import Executor
from dubber.batch.ledger import Ledger, Standing, Verdict
from dubber.batch.work import Phase, Task, TaskEnd
from dubber.errors import ConfigError, DubberError
from dubber.jobs import Job
from dubber.outcome import DubResult


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
        result: What was done now.
        error: Why it failed now.
        seconds: Of work.
    """

    job: Job
    state: Literal["done", "skipped", "failed"]
    reason: str = ""
    result: DubResult | None = None
    error: DubberError | None = None
    seconds: float = 0.0


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
    jobs: Sequence[Job], ledger: Ledger, *, is_overwrite: bool = False, retries_failed: bool = False
) -> list[Planned]:
    """Settle which jobs will be done.

    Args:
        jobs: All of them.
        ledger: Knows what became of them before.
        is_overwrite: Do those again whose inputs or settings were changed, and replace what no batch made.
        retries_failed: Try those again that failed before.

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
        planned.append(Planned(job, verdict, wanted[verdict.standing]))
    return planned


def run_batch(
    planned: Sequence[Planned], *, executor: Executor, ledger: Ledger, output_dir: Path, tell: Tell
) -> list[Outcome]:
    """Do the jobs that are to be done.

    Args:
        planned: See `plan_batch`; made while the ledger is locked.
        executor: Who does them.
        ledger: Is told how each ended.
        output_dir: Where results go.
        tell: Is told what happens.

    Returns:
        What became of each job, in order.

    Raises:
        OutputFolderError: The results can no longer be written down.
    """
    started = time.perf_counter()
    tasks = [Task(each.job, is_overwrite=_may_replace(each)) for each in planned if each.will_run]
    tell(BatchStarted(str(output_dir), executor.name, len(planned), len(tasks)))
    outcomes = {each.job.name: _skipped(each, tell) for each in planned if not each.will_run}
    of = {task.job.name: task.job for task in tasks}
    teller = _Teller(of, ledger, tell)
    with closing(executor.execute(tasks, teller)) as ends:
        for end in ends:
            ledger.end(end)
            outcomes[end.task.job.name] = _ended(end, tell)
    ordered = [outcomes[each.job.name] for each in planned]
    count = Counter(outcome.state for outcome in ordered)
    seconds = time.perf_counter() - started
    tell(BatchFinished(count["done"], count["failed"], count["skipped"], seconds))
    return ordered


class _Teller:
    """Passes events on.

    Before a job may put its output in place it is marked as begun. What an earlier phase made and a later
    one found in the cache is not told again.
    """

    def __init__(self, jobs: dict[str, Job], ledger: Ledger, tell: Tell) -> None:
        self._jobs, self._ledger, self._tell = jobs, ledger, tell
        self._finished: set[tuple[str, str]] = set()

    def __call__(self, event: Event) -> None:
        if isinstance(event, JobStarted) and event.phase == Phase.paint.value:
            self._ledger.begin(self._jobs[event.job])
        if isinstance(event, StageFinished):
            place = (event.job, event.stage)
            if event.is_hit and place in self._finished:
                return
            self._finished.add(place)
        self._tell(event)


def _may_replace(planned: Planned) -> bool:
    """A batch may replace what it made itself, and whatever the user said it may."""
    return planned.verdict.is_ours or planned.verdict.standing is not Standing.new


def _skipped(planned: Planned, tell: Tell) -> Outcome:
    standing = planned.verdict.standing
    tell(JobSkipped(planned.job.name, standing.value, planned.reason))
    return Outcome(planned.job, "failed" if standing is Standing.failed else "skipped", planned.reason)


def _ended(end: TaskEnd, tell: Tell) -> Outcome:
    job = end.task.job
    if end.result is not None:
        tell(JobFinished(job.name, str(job.output), end.total_s, end.result.num_frames))
        return Outcome(job, "done", result=end.result, seconds=end.total_s)
    error = end.error or DubberError("It ended without a result.")
    tell(JobFailed(job.name, error_document(error), end.total_s, end.task.attempt))
    return Outcome(job, "failed", error.message, error=error, seconds=end.total_s)


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
