"""What happens in a batch, as values: what `--json` prints and what the live table shows."""

from __future__ import annotations

import dataclasses
import time
from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime, timezone
from typing import Any, ClassVar

from dubber.errors import DubberError

SCHEMA = "dubber.batch.event"
"""Name of the events' form, in every one of them."""

VERSION = 1
"""Raised where a field goes or means something else; new fields and kinds of events come without."""

PROGRESS_INTERVAL_S = 1.0
"""A stage tells of its progress at most so often."""


@dataclass(frozen=True)
class Event:
    """Something that happened.

    Attributes:
        kind: What, as `--json` calls it.
    """

    kind: ClassVar[str]


@dataclass(frozen=True)
class BatchStarted(Event):
    """The jobs are known; work begins.

    Attributes:
        output_dir: Where results go.
        engine: What does the work: "local" or "ray".
        num_jobs: All jobs.
        num_to_do: Those that will be done now; the others are skipped.
    """

    kind = "batch_started"
    output_dir: str
    engine: str
    num_jobs: int
    num_to_do: int


@dataclass(frozen=True)
class JobStarted(Event):
    """A worker begins with a phase of a job.

    Attributes:
        job: The job's name.
        phase: "look", "listen" or "paint".
        worker: Who does it.
        attempt: 1, and more after workers were lost.
    """

    kind = "job_started"
    job: str
    phase: str
    worker: str
    attempt: int


@dataclass(frozen=True)
class StageStarted(Event):
    """A stage of a job begins.

    Attributes:
        job: The job's name.
        stage: As `dubber plan` calls it.
        num_frames: What it will go through; None where that is not known.
    """

    kind = "stage_started"
    job: str
    stage: str
    num_frames: int | None


@dataclass(frozen=True)
class StageProgress(Event):
    """How far a stage is; told about once a second.

    Attributes:
        job: The job's name.
        stage: As `dubber plan` calls it.
        num_done: Frames it has gone through.
        num_frames: Of how many; None where that is not known.
        fps: Frames per second since it began.
    """

    kind = "stage_progress"
    job: str
    stage: str
    num_done: int
    num_frames: int | None
    fps: float


@dataclass(frozen=True)
class StageFinished(Event):
    """A stage of a job is done.

    Attributes:
        job: The job's name.
        stage: As `dubber plan` calls it.
        seconds: What it took; 0 for a hit.
        is_hit: Whether its result was in the cache.
    """

    kind = "stage_finished"
    job: str
    stage: str
    seconds: float
    is_hit: bool


@dataclass(frozen=True)
class PhaseFinished(Event):
    """A phase of a job is done.

    Attributes:
        job: The job's name.
        phase: "look", "listen" or "paint".
        seconds: What it took.
    """

    kind = "phase_finished"
    job: str
    phase: str
    seconds: float


@dataclass(frozen=True)
class JobFinished(Event):
    """A job's output is there.

    Attributes:
        job: The job's name.
        output: The file.
        seconds: Of work, in all phases.
        num_frames: Frames of the output.
    """

    kind = "job_finished"
    job: str
    output: str
    seconds: float
    num_frames: int


@dataclass(frozen=True)
class JobFailed(Event):
    """A job ended without output.

    Attributes:
        job: The job's name.
        error: See `error_document`.
        seconds: Of work, in all phases.
        attempt: Which try it was.
    """

    kind = "job_failed"
    job: str
    error: dict[str, Any]
    seconds: float
    attempt: int


@dataclass(frozen=True)
class JobRetried(Event):
    """The worker of a job was lost; another one goes on with the job.

    Attributes:
        job: The job's name.
        worker: Who was lost.
        reason: How, in words.
        attempt: Which try begins now.
    """

    kind = "job_retried"
    job: str
    worker: str
    reason: str
    attempt: int


@dataclass(frozen=True)
class JobSkipped(Event):
    """A job is not done now.

    Attributes:
        job: The job's name.
        state: See `dubber.batch.ledger.Standing`.
        reason: Why, in words.
    """

    kind = "job_skipped"
    job: str
    state: str
    reason: str


@dataclass(frozen=True)
class Warned(Event):
    """Something the user may want to know.

    Attributes:
        job: The job's name; "" where it concerns the batch.
        message: In words.
        ranges_s: Time ranges that it concerns, from and to, in seconds; empty: no time or all of it.
    """

    kind = "warning"
    job: str
    message: str
    ranges_s: tuple[tuple[float, float], ...] = ()


@dataclass(frozen=True)
class Logged(Event):
    """A line of a worker's log, below warnings; only with `-v`.

    Attributes:
        job: The job's name; "" between jobs.
        level: A number as in `logging`.
        message: The line.
    """

    kind = "log"
    job: str
    level: int
    message: str


@dataclass(frozen=True)
class BatchFinished(Event):
    """Nothing is left to do.

    Attributes:
        num_done: Jobs done now.
        num_failed: Jobs that failed now, or before and were not tried again.
        num_skipped: Jobs skipped otherwise.
        seconds: Wall-clock time.
    """

    kind = "batch_finished"
    num_done: int
    num_failed: int
    num_skipped: int
    seconds: float


EVENTS: tuple[type[Event], ...] = (
    BatchStarted,
    JobStarted,
    StageStarted,
    StageProgress,
    StageFinished,
    PhaseFinished,
    JobFinished,
    JobFailed,
    JobRetried,
    JobSkipped,
    Warned,
    Logged,
    BatchFinished,
)
"""All kinds."""

Tell = Callable[[Event], None]
"""Takes an event; may be called from any thread, and does not raise."""


def event_document(event: Event) -> dict[str, Any]:
    """An event as `--json` prints it: schema, version, event, time, and the event's own fields."""
    fields = {field.name: getattr(event, field.name) for field in dataclasses.fields(event)}
    rounded = {name: round(value, 3) if isinstance(value, float) else value for name, value in fields.items()}
    return {"schema": SCHEMA, "version": VERSION, "event": event.kind, "time": now(), **rounded}


def error_document(error: DubberError) -> dict[str, Any]:
    """An error as JSON takes it."""
    return {
        "type": type(error).__name__,
        "message": error.message,
        "where": error.where,
        "advice": error.advice,
        "exit_code": error.exit_code,
    }


def now() -> str:
    """The time, in UTC, to the millisecond."""
    return datetime.now(timezone.utc).isoformat(timespec="milliseconds").replace("+00:00", "Z")


class EventProgress:
    """A run's `Progress` as events of a job.

    Args:
        job: The job's name.
        tell: Takes them.
    """

    def __init__(self, job: str, tell: Tell) -> None:
        self._job, self._tell = job, tell
        self._total: dict[str, int | None] = {}
        self._done: dict[str, int] = {}
        self._began_s: dict[str, float] = {}
        self._told_s: dict[str, float] = {}

    def plan(self, stages: list[str]) -> None:
        """Nothing has happened yet."""

    def start(self, stage: str, total: int | None) -> None:
        """Tell that a stage began, or that it now knows how much it has to do."""
        self._total[stage], self._done[stage] = total, 0
        self._began_s[stage] = self._told_s[stage] = time.monotonic()
        self._tell(StageStarted(self._job, stage, total))

    def advance(self, stage: str, count: int = 1) -> None:
        """Tell how far it is, now and then."""
        now_s = time.monotonic()
        self._done[stage] = self._done.get(stage, 0) + count
        if now_s - self._told_s.setdefault(stage, now_s) < PROGRESS_INTERVAL_S:
            return
        self._told_s[stage] = now_s
        fps = self._done[stage] / max(now_s - self._began_s.setdefault(stage, now_s), 1e-9)
        self._tell(StageProgress(self._job, stage, self._done[stage], self._total.get(stage), fps))

    def finish(self, stage: str, seconds: float, *, is_hit: bool) -> None:
        """Tell that it is done."""
        self._tell(StageFinished(self._job, stage, seconds, is_hit))
