"""A drop folder: files are taken when they have stopped growing, once."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from pathlib import Path

import pytest

from dubber.batch.ledger import Standing, Verdict
from dubber.batch.runner import Outcome, Planned
from dubber.batch.watch import POLL_S, STILL_S, DropFolder, Watch
from dubber.jobs import Job
from tests.batch.fakes import make_job


class _Watched:
    """A drop folder that is looked at as time goes by."""

    def __init__(self) -> None:
        self.now_s = 0.0
        self._folder = DropFolder(lambda: self.now_s)

    def after(self, wait_s: float, job: Job) -> bool:
        """Whether the job is ready some time later."""
        self.now_s += wait_s
        return self._folder.ready([job]) == [job]


@pytest.fixture
def watched() -> _Watched:
    return _Watched()


def test_a_job_is_ready_when_its_files_have_stopped_growing(tmp_path: Path, watched: _Watched) -> None:
    job = make_job(tmp_path)
    assert not watched.after(0.0, job)
    for _ in range(3):  # a slow copy that halts for a while now and then
        assert not watched.after(STILL_S - 1.0, job)
        with job.video.open("ab") as file:
            file.write(b"more")
        assert not watched.after(2.0, job)
    assert not watched.after(STILL_S - 1.0, job)
    assert watched.after(1.0, job)
    assert not watched.after(STILL_S, job)


def test_a_file_that_is_replaced_is_taken_again(tmp_path: Path, watched: _Watched) -> None:
    job = make_job(tmp_path)
    watched.after(0.0, job)
    assert watched.after(STILL_S, job)
    job.video.write_bytes(b"another take")
    assert not watched.after(STILL_S, job)
    assert watched.after(STILL_S, job)


def test_a_file_that_is_replaced_while_it_is_dubbed_has_its_turn_afterwards(
    tmp_path: Path, watched: _Watched
) -> None:
    job = make_job(tmp_path)
    lots: list[list[str]] = []

    def plan(jobs: Sequence[Job], stale: Collection[str]) -> list[Planned]:
        lots.append(sorted(stale))
        return [Planned(job, Verdict(Standing.new), will_run=True) for job in jobs]

    watch = Watch(lambda: [job], plan, lambda: watched.now_s)
    arrivals = watch.arrivals()

    def after(wait_s: float) -> list[Job]:
        watched.now_s += wait_s
        return [each.job for each in next(arrivals)]

    assert after(0.0) == []
    assert after(STILL_S) == [job]
    job.video.write_bytes(b"another take")
    assert [after(STILL_S) for _ in range(3)] == [[]] * 3
    watch.settle(Outcome(job, "done", is_stale=True))
    assert after(POLL_S / 2) == []  # not looked at yet
    assert after(POLL_S / 2) == [job]
    watch.settle(Outcome(job, "done"))
    assert [after(STILL_S) for _ in range(3)] == [[]] * 3
    assert (lots, watch.at_work) == ([[], ["a"]], set())


def test_a_job_that_failed_while_its_files_were_away_has_its_turn_again(
    tmp_path: Path, watched: _Watched
) -> None:
    job = make_job(tmp_path)

    def plan(jobs: Sequence[Job], stale: Collection[str]) -> list[Planned]:
        return [Planned(job, Verdict(Standing.new), will_run=True) for job in jobs]

    watch = Watch(lambda: [job], plan, lambda: watched.now_s)
    arrivals = watch.arrivals()

    def after(wait_s: float) -> list[Job]:
        watched.now_s += wait_s
        return [each.job for each in next(arrivals)]

    assert [after(STILL_S) for _ in range(2)] == [[], [job]]
    away = job.video.rename(tmp_path / "away")
    watch.settle(Outcome(job, "failed"))
    away.rename(job.video)
    assert after(STILL_S) == [job]
    watch.settle(Outcome(job, "failed"))  # for another reason
    assert [after(STILL_S) for _ in range(2)] == [[]] * 2


def test_empty_and_missing_files_are_waited_for(tmp_path: Path, watched: _Watched) -> None:
    job = make_job(tmp_path)
    content = job.video.read_bytes()
    job.video.write_bytes(b"")
    for _ in range(3):
        assert not watched.after(STILL_S, job)
    job.video.unlink()
    for _ in range(3):
        assert not watched.after(STILL_S, job)
    job.video.write_bytes(content)
    assert not watched.after(STILL_S, job)
    assert watched.after(STILL_S, job)
