"""What a batch looks like while it runs: from events to a table, or to lines."""

from __future__ import annotations

import time
from collections import defaultdict
from dataclasses import dataclass, field

from dubber.batch import events as e
from dubber.batch.work import Phase

LINE_INTERVAL_S = 10.0
"""Where no table can be drawn, a job tells of its progress at most so often."""

COLUMNS = ["job", "phase", "stage", "frames", "fps", "left"]

_USUAL_S = {Phase.look.value: 6.0, Phase.listen.value: 2.0, Phase.paint.value: 10.0}
"""What phases take relative to each other, until some have ended. Source: docs/performance.md."""


@dataclass
class _Stage:
    """How far a stage is."""

    num_frames: int | None = None
    num_done: int = 0
    fps: float = 0.0

    @property
    def share(self) -> float:
        return self.num_done / self.num_frames if self.num_frames else 0.0

    @property
    def left_s(self) -> float | None:
        if not (self.num_frames and self.fps):
            return None
        return max(self.num_frames - self.num_done, 0) / self.fps


@dataclass
class _Running:
    """A job at work."""

    phase: str
    since_s: float
    stages: dict[str, _Stage] = field(default_factory=dict)

    def slowest(self) -> tuple[str, _Stage] | None:
        """Of the stages that work beside each other the one that is furthest behind."""
        known = [(name, stage) for name, stage in self.stages.items() if stage.num_frames]
        return min(known or self.stages.items(), key=lambda pair: pair[1].share, default=None)


class BatchView:
    """Keeps what was told of a batch, as a person wants to see it."""

    def __init__(self) -> None:
        self._running: dict[str, _Running] = {}
        self._ahead: dict[str, tuple[str, ...]] = {}
        self._took_s: dict[str, list[float]] = defaultdict(list)
        self._num_to_do = self._num_done = self._num_failed = self._num_held = 0
        self._num_beside = 1  # jobs that were seen at work at once
        self._started_s = time.monotonic()

    def take(self, event: e.Event) -> None:
        """Take notice of an event."""
        match event:
            case e.BatchStarted():
                self._num_to_do += event.num_to_do  # a watched folder brings one lot after the other
            case e.JobStarted():
                self._running[event.job] = _Running(event.phase, time.monotonic())
                self._ahead[event.job] = _after(event.phase)
                self._num_beside = max(self._num_beside, len(self._running))
            case e.StageStarted():
                self._stages(event.job)[event.stage] = _Stage(event.num_frames)
            case e.StageProgress():
                self._stages(event.job)[event.stage] = _Stage(event.num_frames, event.num_done, event.fps)
            case e.StageFinished():
                self._stages(event.job).pop(event.stage, None)
            case e.PhaseFinished():
                self._running.pop(event.job, None)
                self._took_s[event.phase].append(event.seconds)
            case e.JobFinished():
                self._ahead.pop(event.job, None)
                self._num_done += 1
            case e.JobFailed():
                self._running.pop(event.job, None)
                self._ahead.pop(event.job, None)
                self._num_failed += 1
            case e.JobRetried():
                self._running.pop(event.job, None)
            case e.JobSkipped():
                self._num_held += 1
            case _:
                pass

    def rows(self) -> list[list[str]]:
        """The jobs at work, under `COLUMNS`."""
        rows = []
        for job, running in sorted(self._running.items()):
            name, stage = running.slowest() or ("", _Stage())
            frames = f"{stage.num_done}/{stage.num_frames}" if stage.num_frames else ""
            fps = f"{stage.fps:.1f}" if stage.fps else ""
            left = "" if stage.left_s is None else clock(stage.left_s)
            rows.append([job, running.phase, name, frames, fps, left])
        return rows

    def totals(self) -> str:
        """All of the batch in a line."""
        left = self._num_to_do - self._num_done - self._num_failed
        left_s = self.left_s()
        parts = [
            f"{self._num_done} done",
            f"{self._num_failed} failed",
            f"{left} left",
            *([f"{self._num_held} skipped"] if self._num_held else []),
            f"{clock(time.monotonic() - self._started_s)} so far",
            *([f"about {clock(left_s)} to go"] if left_s else []),
        ]
        return " · ".join(parts)

    def left_s(self) -> float | None:
        """Seconds until all is done, from what phases took so far; None until one has ended."""
        known = {phase: sum(took_s) / len(took_s) for phase, took_s in self._took_s.items()}
        if not known:
            return None
        scale = sum(known.values()) / sum(_USUAL_S[phase] for phase in known)
        cost_s = {phase: known.get(phase, usual_s * scale) for phase, usual_s in _USUAL_S.items()}
        now_s = time.monotonic()
        left_s = sum(cost_s[phase] for ahead in self._ahead.values() for phase in ahead)
        left_s += sum(
            max(cost_s[running.phase] - (now_s - running.since_s), 0.0) for running in self._running.values()
        )
        num_unseen = self._num_to_do - self._num_done - self._num_failed - len(self._ahead)
        return (left_s + max(num_unseen, 0) * sum(cost_s.values())) / self._num_beside

    def _stages(self, job: str) -> dict[str, _Stage]:
        running = self._running.get(job)
        return running.stages if running is not None else {}


def _after(phase: str) -> tuple[str, ...]:
    """The phases that follow one."""
    phases = tuple(_USUAL_S)
    return phases[phases.index(phase) + 1 :]


class BatchLines:
    """Tells a batch in lines, for logs."""

    def __init__(self) -> None:
        self._told_s: dict[str, float] = {}

    def line(self, event: e.Event) -> str | None:
        """What to say of an event; None for nothing."""
        match event:
            case e.BatchStarted():
                return f"{event.num_to_do} of {event.num_jobs} jobs to do, into {event.output_dir}"
            case e.JobStarted():
                self._told_s[event.job] = time.monotonic()
                again = f" (attempt {event.attempt})" if event.attempt > 1 else ""
                return f"{event.job}: {event.phase}{again}"
            case e.StageProgress():
                return self._progress(event)
            case _:
                return None

    def _progress(self, event: e.StageProgress) -> str | None:
        now_s = time.monotonic()
        if now_s - self._told_s.get(event.job, now_s) < LINE_INTERVAL_S:
            return None
        self._told_s[event.job] = now_s
        return f"{event.job}: {event.stage} {event.num_done}/{event.num_frames or '?'}, {event.fps:.1f} fps"


def ending(event: e.Event) -> str | None:
    """A line that is said of an event however the batch is shown; None for nothing."""
    match event:
        case e.JobFinished():
            return f"done {event.job}: {event.output} ({event.num_frames} frames, {event.seconds:.1f} s)"
        case e.JobFailed():
            where = f"{event.error['where']}: " if event.error["where"] else ""
            return f"failed {event.job}: {where}{event.error['message']} {event.error['advice']}".rstrip()
        case e.JobSkipped():
            word = "failed" if event.state == "failed" else "skipped"
            return f"{word} {event.job}: {event.reason}"
        case e.JobRetried():
            return f"lost {event.job}: its worker ended ({event.reason}); attempt {event.attempt} begins"
        case e.Warned():
            return f"warning {event.job}: {event.message}" if event.job else f"warning: {event.message}"
        case _:
            return None


def clock(seconds: float) -> str:
    """A duration as H:MM:SS, or M:SS below an hour."""
    minutes, rest = divmod(round(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours}:{minutes:02}:{rest:02}" if hours else f"{minutes}:{rest:02}"
