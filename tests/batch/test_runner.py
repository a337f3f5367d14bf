"""A batch from beginning to end, with an executor that does no work."""

from __future__ import annotations

from collections.abc import Generator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from dubber.batch.events import (
    BatchFinished,
    BatchStarted,
    Event,
    JobFailed,
    JobSkipped,
    StageFinished,
    Tell,
    Warned,
)
from dubber.batch.executor import Arrivals
from dubber.batch.ledger import RESULTS_NAME, open_ledger, read_results
from dubber.batch.runner import Outcome, check_jobs, plan_batch, run_batch
from dubber.batch.work import Task, TaskEnd
from dubber.errors import ConfigError
from dubber.jobs import Extras, Job
from tests.batch.fakes import FakeExecutor, ended, make_job


def _batch(
    out: Path,
    jobs: list[Job],
    executor: FakeExecutor,
    *,
    is_overwrite: bool = False,
    retries_failed: bool = False,
) -> tuple[dict[str, Outcome], list[Event]]:
    told: list[Event] = []
    found: list[Outcome] = []
    with open_ledger(out) as ledger:
        planned = plan_batch(jobs, ledger, is_overwrite=is_overwrite, retries_failed=retries_failed)
        how: Any = {"executor": executor, "ledger": ledger, "output_dir": out}
        run_batch(iter([planned]), **how, tell=told.append, settle=found.append)
    assert sorted(outcome.job.name for outcome in found) == [job.name for job in jobs]
    return {outcome.job.name: outcome for outcome in found}, told


def _but_b(task: Task) -> TaskEnd:
    return ended(task, is_done=task.job.name != "b")


def test_a_second_run_does_what_the_first_did_not(tmp_path: Path) -> None:
    out = tmp_path / "out"
    jobs = [make_job(tmp_path, name) for name in "abc"]
    found, told = _batch(out, jobs, FakeExecutor(_but_b))
    assert {name: outcome.state for name, outcome in found.items()} == {
        "a": "done",
        "b": "failed",
        "c": "done",
    }
    assert next(event for event in told if isinstance(event, BatchStarted)).num_to_do == 3
    assert next(event.error for event in told if isinstance(event, JobFailed))["exit_code"] == 3
    stamps = {path: path.stat().st_mtime_ns for path in out.glob("*.mp4")}

    executor = FakeExecutor()
    found, told = _batch(out, [*jobs, make_job(tmp_path, "d")], executor)
    assert [task.job.name for task in executor.given] == ["d"]
    assert {name: outcome.state for name, outcome in found.items()} == {
        "a": "skipped",
        "b": "failed",
        "c": "skipped",
        "d": "done",
    }
    assert {path: path.stat().st_mtime_ns for path in stamps} == stamps
    finished = next(event for event in told if isinstance(event, BatchFinished))
    assert (finished.num_done, finished.num_failed, finished.num_skipped) == (1, 1, 2)

    executor = FakeExecutor()
    found, _ = _batch(out, jobs, executor, retries_failed=True)
    assert [task.job.name for task in executor.given] == ["b"]
    assert found["b"].state == "done"


def test_what_was_changed_since_is_told_and_made_again_only_on_request(tmp_path: Path) -> None:
    out = tmp_path / "out"
    job = make_job(tmp_path)
    _batch(out, [job], FakeExecutor())
    other = make_job(tmp_path, remux__crf=30)
    executor = FakeExecutor()
    found, told = _batch(out, [other], executor)
    assert executor.given == []
    reason = "its settings are others now; `--overwrite` makes it again"
    assert (found["a"].state, found["a"].reason) == ("skipped", reason)
    assert [event.state for event in told if isinstance(event, JobSkipped)] == ["changed"]
    executor = FakeExecutor()
    _batch(out, [other], executor, is_overwrite=True)
    assert [task.is_overwrite for task in executor.given] == [True]


def test_files_of_others_are_replaced_only_on_request(tmp_path: Path) -> None:
    out = tmp_path / "out"
    job = make_job(tmp_path)
    out.mkdir()
    job.output.write_bytes(b"mine")
    found, _ = _batch(out, [job], FakeExecutor())
    assert found["a"].state == "skipped"
    assert job.output.read_bytes() == b"mine"
    found, _ = _batch(out, [job], FakeExecutor(), is_overwrite=True)
    assert found["a"].state == "done"


def test_a_batch_that_was_killed_goes_on_and_may_replace_its_own(tmp_path: Path) -> None:
    def die(task: Task) -> TaskEnd:
        end = ended(task)
        if task.job.name == "b":
            raise KeyboardInterrupt
        return end

    out = tmp_path / "out"
    jobs = [make_job(tmp_path, name) for name in "abc"]
    with pytest.raises(KeyboardInterrupt):
        _batch(out, jobs, FakeExecutor(die))
    executor = FakeExecutor()
    found, _ = _batch(out, jobs, executor)
    assert [(task.job.name, task.is_overwrite) for task in executor.given] == [("b", True), ("c", False)]
    assert {name: outcome.state for name, outcome in found.items()} == {
        "a": "skipped",
        "b": "done",
        "c": "done",
    }


def test_what_an_earlier_phase_made_is_not_told_again(tmp_path: Path) -> None:
    _, told = _batch(tmp_path / "out", [make_job(tmp_path)], FakeExecutor())
    assert [event.is_hit for event in told if isinstance(event, StageFinished)] == [False]


def test_a_job_whose_files_are_replaced_meanwhile_is_told_and_can_be_done_again(tmp_path: Path) -> None:
    def replaced(task: Task) -> TaskEnd:
        end = ended(task)
        task.job.video.write_bytes(b"another take")
        return end

    out, job = tmp_path / "out", make_job(tmp_path)
    found, told = _batch(out, [job], FakeExecutor(replaced))
    assert (found["a"].state, found["a"].is_stale) == ("done", True)
    reason = "It was dubbed from other files than there are now: a.mp4 was changed."
    assert Warned("a", reason) in told
    with open_ledger(out) as ledger:
        assert [each.will_run for each in plan_batch([job], ledger)] == [False]
        assert [each.will_run for each in plan_batch([job], ledger, stale={"a"})] == [True]


def test_jobs_that_come_in_lots_are_told_lot_by_lot(tmp_path: Path) -> None:
    jobs, told = [make_job(tmp_path, name) for name in "abc"], list[Event]()
    with open_ledger(tmp_path / "out") as ledger:
        lots = iter([plan_batch(jobs[:2], ledger), [], plan_batch(jobs[2:], ledger)])
        how: Any = {"executor": FakeExecutor(_but_b), "ledger": ledger, "output_dir": tmp_path / "out"}
        run_batch(lots, **how, tell=told.append, settle=lambda outcome: None)
    frame = [event for event in told if isinstance(event, (BatchStarted, BatchFinished))]
    assert [type(event) for event in frame] == [BatchStarted, BatchFinished] * 2
    counts = [(each.num_done, each.num_failed) for each in frame if isinstance(each, BatchFinished)]
    assert counts == [(1, 1), (1, 0)]


def test_nobody_waits_for_more_after_a_lot_with_nothing_to_do(tmp_path: Path) -> None:
    class Counting(FakeExecutor):
        def execute(self, arrivals: Arrivals, tell: Tell) -> Generator[TaskEnd, None, None]:
            lots = [list(lot) for lot in arrivals]
            num_tasks.append([len(lot) for lot in lots])
            return super().execute(iter(lots), tell)

    num_tasks: list[list[int]] = []
    jobs = [make_job(tmp_path)]
    for _ in range(2):
        _batch(tmp_path / "out", jobs, Counting())
    assert num_tasks == [[1], []]


def test_what_lost_workers_warned_of_is_written_down(tmp_path: Path) -> None:
    class Losing(FakeExecutor):
        def execute(self, arrivals: Arrivals, tell: Tell) -> Generator[TaskEnd, None, None]:
            ((task,),) = arrivals
            for message in ("It is dark.", "It is blurred.", "It is dark."):
                tell(Warned(task.job.name, message))
            yield TaskEnd.lost(replace(task, warnings=(Warned("a", "It is blurred."),)), "me-1", "gone")

    job, out = make_job(tmp_path), tmp_path / "out"
    _batch(out, [job], Losing())
    (record,) = read_results(out / RESULTS_NAME)
    assert [each["message"] for each in record["warnings"]] == ["It is blurred.", "It is dark."]


def test_jobs_in_each_others_way_are_refused_before_any_work(tmp_path: Path) -> None:
    a, b = make_job(tmp_path, "a"), make_job(tmp_path, "b")
    with pytest.raises(ConfigError, match=r"Two jobs write it: of a\.mp4 with a\.wav, and of b\.mp4"):
        check_jobs([a, replace(b, output=a.output)])
    with pytest.raises(ConfigError, match="Two jobs write it"):
        check_jobs([a, replace(b, extras=Extras(overlay=a.output))])
    with pytest.raises(ConfigError, match="writes what another one reads"):
        check_jobs([a, replace(b, output=a.video)])
    with pytest.raises(ConfigError, match="Two jobs are named 'a'"):
        check_jobs([a, replace(b, name="a")])
    check_jobs([a, b])
