"""A batch as the command line leads it: finding the jobs, having them done, showing how it goes."""

from __future__ import annotations

import logging
import sys
import threading
from collections.abc import Callable, Collection, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from dubber.batch.events import Event, Logged, Tell, Warned, event_document
from dubber.batch.executor import Executor
from dubber.batch.index import check_index, write_batch_index
from dubber.batch.ledger import Ledger, open_ledger
from dubber.batch.pairing import DEFAULT_PATTERN, pair_folder
from dubber.batch.readers import read_jobs
from dubber.batch.runner import Outcome, Planned, check_jobs, plan_batch, run_batch
from dubber.batch.watch import Watch
from dubber.cli.batch_jobs import Given, build_jobs
from dubber.cli.batch_view import COLUMNS, BatchLines, BatchView, ending
from dubber.cli.console import escape, live_table, print_json, print_line, say, show_table, stderr
from dubber.errors import BatchFailedError, ConfigError, DubberError
from dubber.jobs import Job

logger = logging.getLogger(__name__)

_COLORS = {"done": "green", "skipped": "dim", "failed": "red", "lost": "yellow", "warning": "yellow"}


@dataclass(frozen=True)
class Source:
    """Where jobs come from.

    Attributes:
        path: A folder or a jobs file.
        output_dir: Where results go.
        pattern: What names of speech look like in a folder; None: the usual.
        given: Options for every job.
        has_report: Whether every job gets a report.
    """

    path: Path
    output_dir: Path
    pattern: str | None
    given: Given
    has_report: bool = False

    def find(self) -> tuple[list[Job], tuple[str, ...]]:
        """The jobs that there are now, and what of a folder belongs to none.

        Raises:
            ConfigError: They cannot be read, or cannot be meant.
        """
        if self.path.is_dir() or (not self.path.suffix and not self.path.is_file()):
            if self.output_dir.resolve() == self.path.resolve():
                raise ConfigError(
                    "The output folder is the input folder.",
                    where=str(self.path),
                    advice="Choose another with -o.",
                )
            rows = pair_folder(self.path, self.pattern or DEFAULT_PATTERN, results=self.output_dir)
        elif self.pattern is not None:
            raise ConfigError("`--pattern` pairs files of a folder; this is none.", where=str(self.path))
        else:
            rows = read_jobs(self.path)
        return build_jobs(rows, self.output_dir, self.given, has_report=self.has_report), rows.unpaired


@dataclass
class Session:
    """A batch of the command line.

    Attributes:
        source: Where jobs come from.
        is_overwrite: See `plan_batch`.
        retries_failed: See `plan_batch`.
        is_json: Print events on stdout.
        is_quiet: Say nothing to a person but errors.
        jobs: Those that are known, by name.
        outcomes: What became of them so far, by name.
        index: The page about the batch; None where there is none.
    """

    source: Source
    is_overwrite: bool = False
    retries_failed: bool = False
    is_json: bool = False
    is_quiet: bool = False
    jobs: dict[str, Job] = field(default_factory=dict)
    outcomes: dict[str, Outcome] = field(default_factory=dict)
    index: Path | None = None

    def show_plan(self) -> None:
        """List the jobs and how they stand; nothing is changed."""
        jobs, alone = self._found()
        planned = self._plan(jobs, Ledger(self.source.output_dir))
        if self.is_json:
            print_json({"jobs": [_plan_document(each) for each in planned], "unpaired": list(alone)})
            return
        rows = [
            [
                _one_line(each.job.name),
                "run" if each.will_run else each.verdict.standing.value,
                _one_line(_inputs(each.job)),
                each.reason,
            ]
            for each in planned
        ]
        show_table("Batch", ["job", "", "from", ""], rows)
        _say_alone(alone)
        num_to_do = sum(each.will_run for each in planned)
        say(f"{num_to_do} of {len(planned)} jobs would run, into {escape(str(self.source.output_dir))}.")

    def run(self, executor: Executor) -> None:
        """Do all jobs.

        Raises:
            DubberError: Something stands against the whole batch.
        """
        jobs, alone = self._found()
        self._check_index()
        with open_ledger(self.source.output_dir) as ledger:
            planned = self._plan(jobs, ledger)
            with self._shown() as tell:
                _tell_alone(alone, tell)
                self._do(iter([planned]), executor, ledger, tell)

    def watch(self, executor: Executor) -> None:
        """Do what is in the folder, and what is put into it, until Ctrl-C.

        Raises:
            DubberError: Something stands against the whole batch.
            KeyboardInterrupt: It was ended while a job was being done.
        """
        if not self.source.path.is_dir():
            raise ConfigError("Only a folder can be watched.", where=str(self.source.path))
        self._check_index()
        told: set[str] = set()
        with open_ledger(self.source.output_dir) as ledger, self._shown() as tell:
            watch = Watch(
                lambda: self._found_so_far(told, tell), lambda jobs, stale: self._plan(jobs, ledger, stale)
            )
            say(f"Watching {escape(str(self.source.path))}; Ctrl-C ends it.", is_quiet=self.is_quiet)
            try:
                self._do(watch.arrivals(), executor, ledger, tell, watch)
            except KeyboardInterrupt:
                if watch.at_work:
                    raise

    def finish(self) -> BatchFailedError | None:
        """Show what became of the jobs.

        Returns:
            What the command ends with; None where all went well.
        """
        outcomes = [self.outcomes[name] for name in self.jobs if name in self.outcomes]
        if not self.is_quiet:
            show_table(
                "Batch", ["job", "state", "seconds", "output or reason"], [_row(each) for each in outcomes]
            )
        if self.index is not None:
            say(f"Report: {escape(str(self.index))}", is_quiet=self.is_quiet)
        num_failed = sum(outcome.state == "failed" for outcome in outcomes)
        if not num_failed:
            return None
        return BatchFailedError(f"{num_failed} of {len(outcomes)} failed.", where=str(self.source.path))

    def _check_index(self) -> None:
        if self.source.has_report:
            check_index(self.source.output_dir)

    def _found(self) -> tuple[list[Job], tuple[str, ...]]:
        jobs, alone = self.source.find()
        if not jobs:
            raise ConfigError(
                f"No pair of video and speech was found ({len(alone)} files without).",
                where=str(self.source.path),
                advice="Give the speech the video's name: a.mp4 with a.wav or a.fr.wav; or use `--pattern`.",
            )
        return jobs, alone

    def _found_so_far(self, told: set[str], tell: Tell) -> list[Job]:
        """The jobs in a folder that people put files into; what is wrong for now is told once."""
        try:
            jobs = self.source.find()[0]
            check_jobs(jobs)
        except DubberError as error:
            if str(error) not in told:
                told.add(str(error))
                tell(Warned("", str(error)))
            return []
        told.clear()
        return jobs

    def _plan(self, jobs: Sequence[Job], ledger: Ledger, stale: Collection[str] = ()) -> list[Planned]:
        self.jobs |= {job.name: job for job in jobs}
        how: Any = {"is_overwrite": self.is_overwrite, "retries_failed": self.retries_failed}
        return plan_batch(jobs, ledger, stale=stale, **how)

    def _do(
        self,
        arrivals: Iterator[Sequence[Planned]],
        executor: Executor,
        ledger: Ledger,
        tell: Tell,
        watch: Watch | None = None,
    ) -> None:
        def note(outcome: Outcome) -> None:
            if outcome.state != "skipped" or outcome.job.name not in self.outcomes:  # else it is done
                self.outcomes[outcome.job.name] = outcome
            if watch is not None:
                watch.settle(outcome)
            if outcome.state == "done" or outcome.error is not None:
                self._write_index(ledger)

        folder = self.source.output_dir
        run_batch(arrivals, executor=executor, ledger=ledger, output_dir=folder, tell=tell, settle=note)
        self._write_index(ledger)

    def _write_index(self, ledger: Ledger) -> None:
        if self.source.has_report:
            jobs = list(self.jobs.values())
            self.index = write_batch_index(jobs, ledger, self.source.output_dir)

    @contextmanager
    def _shown(self) -> Iterator[Tell]:
        """Show events: as JSON, as a table on a terminal, as lines elsewhere."""
        lock = threading.Lock()
        with self._drawn() as draw:

            def tell(event: Event) -> None:
                with lock:
                    if self.is_json:
                        print_line(event_document(event))
                    _log(event)
                    if not self.is_quiet:
                        draw(event)

            yield tell

    @contextmanager
    def _drawn(self) -> Iterator[Callable[[Event], None]]:
        has_terminal = stderr.is_terminal and not (self.is_json and sys.stdout.isatty())
        if self.is_quiet or not has_terminal:
            lines = BatchLines()
            yield lambda event: _say_line(lines.line(event) or ending(event))
            return
        view = BatchView()
        with live_table() as draw:

            def take(event: Event) -> None:
                view.take(event)
                _say_line(ending(event))
                rows = [[_one_line(cell) for cell in row] for row in view.rows()]
                draw(COLUMNS, rows, view.totals())

            yield take


def _log(event: Event) -> None:
    """Let a worker's log messages go where this process's own go."""
    if isinstance(event, Logged):
        logger.log(event.level, "%s: %s", event.job, event.message)


def _one_line(text: str) -> str:
    """Text without breaks: names of files may hold some."""
    return text.replace("\n", "\\n")


def _say_line(line: str | None) -> None:
    if line is not None:
        word, _, rest = _one_line(line).partition(" ")
        color = _COLORS.get(word)
        say(f"[{color}]{word}[/] {escape(rest)}" if color else escape(_one_line(line)))


def _tell_alone(alone: tuple[str, ...], tell: Tell) -> None:
    for reason in alone:
        tell(Warned("", reason))


def _say_alone(alone: tuple[str, ...]) -> None:
    for reason in alone:
        say(f"[yellow]Not paired:[/] {escape(reason)}")


def _inputs(job: Job) -> str:
    return " + ".join(path.name for path in job.inputs)


def _plan_document(planned: Planned) -> dict[str, Any]:
    job = planned.job
    return {
        "name": job.name,
        "inputs": [str(path) for path in job.inputs],
        "output": str(job.output),
        "state": planned.verdict.standing.value,
        "will_run": planned.will_run,
        "reason": planned.reason,
    }


def _row(outcome: Outcome) -> list[str]:
    seconds = f"{outcome.seconds:.1f}" if outcome.seconds else ""
    told = str(outcome.job.output) if outcome.state == "done" else outcome.reason
    return [_one_line(outcome.job.name), outcome.state, seconds, _one_line(told)]
