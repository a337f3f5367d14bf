"""The executor of this machine: order, isolation, lost workers, endings."""

from __future__ import annotations

import multiprocessing
import pickle
import signal
import time
from collections.abc import Iterator
from contextlib import closing
from dataclasses import replace
from multiprocessing import resource_tracker
from pathlib import Path

import pytest

from dubber.batch import processes
from dubber.batch.events import Event, JobRetried, JobStarted, PhaseFinished, Warned
from dubber.batch.processes import ProcessExecutor
from dubber.batch.work import Resources, Task, TaskEnd, retried
from dubber.errors import DubberError, NoFaceError, WorkerLostError
from tests.batch import fake_workers
from tests.batch.fakes import make_job


def _run(
    tmp_path: Path, names: list[str], num_workers: int = 1, wave: int = 16
) -> tuple[dict[str, TaskEnd], list[Event]]:
    told: list[Event] = []
    executor = ProcessExecutor(Resources(), num_workers, wave, main=fake_workers.work)
    tasks = [Task(make_job(tmp_path, name)) for name in names]
    with closing(executor.execute(iter([tasks]), told.append)) as ends:
        found = {end.task.job.name: end for end in ends}
    assert multiprocessing.active_children() == []
    return found, told


def test_jobs_go_through_the_phases_in_waves(tmp_path: Path) -> None:
    ends, told = _run(tmp_path, ["a", "b", "c"], wave=2)
    order = [f"{event.job} {event.phase}" for event in told if isinstance(event, JobStarted)]
    first = ["a look", "b look", "a listen", "b listen", "a paint", "b paint"]
    assert order == [*first, "c look", "c listen", "c paint"]
    assert {name: end.total_s for name, end in ends.items()} == {"a": 1.5, "b": 1.5, "c": 1.5}
    assert len({end.worker for end in ends.values()}) == 1
    assert sum(isinstance(event, Warned) for event in told) == 9


def test_jobs_on_one_video_do_not_make_the_same_at_the_same_time(tmp_path: Path) -> None:
    jobs = [replace(make_job(tmp_path, name), video=tmp_path / "film.mp4") for name in ("a", "b")]
    tasks = [Task(job) for job in (*jobs, make_job(tmp_path, "c"))]
    told: list[Event] = []
    executor = ProcessExecutor(Resources(), 2, main=fake_workers.work)
    with closing(executor.execute(iter([tasks]), told.append)) as ends:
        assert len(list(ends)) == 3
    of_film = [
        event for event in told if isinstance(event, (JobStarted, PhaseFinished)) and event.job in "ab"
    ]
    for phase in ("look", "listen"):
        of_phase = [type(event) for event in of_film if event.phase == phase]
        assert of_phase == [JobStarted, PhaseFinished] * 2


def test_a_job_that_comes_while_another_is_done_is_done_beside_it(tmp_path: Path) -> None:
    told: list[Event] = []

    def arrivals() -> Iterator[list[Task]]:
        yield [Task(make_job(tmp_path, "long"))]
        while not any(isinstance(event, JobStarted) for event in told):
            yield []
        yield [Task(make_job(tmp_path, "a"))]
        while not any(end.task.job.name == "a" for end in ended):
            yield []
        (tmp_path / "go").touch()

    executor = ProcessExecutor(Resources(), 2, main=fake_workers.work)
    ended: list[TaskEnd] = []
    with closing(executor.execute(arrivals(), told.append)) as ends:
        for end in ends:
            ended.append(end)  # noqa: PERF402 - each as soon as it is known
    assert [end.task.job.name for end in ended] == ["a", "long"]


def test_workers_that_have_nothing_to_do_for_long_are_ended(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(processes, "IDLE_S", 0.1)
    monkeypatch.setattr(processes, "ARRIVALS_S", 0.05)
    seen: list[int] = []

    def arrivals() -> Iterator[list[Task]]:
        yield [Task(make_job(tmp_path, "a"))]
        while not seen or multiprocessing.active_children():
            seen.append(len(multiprocessing.active_children()))
            yield []
        yield [Task(make_job(tmp_path, "b"))]

    executor = ProcessExecutor(Resources(), main=fake_workers.work)
    with closing(executor.execute(arrivals(), lambda event: None)) as ends:
        found = {end.task.job.name: end.worker for end in ends}
    assert max(seen) == 1
    assert found["a"] != found["b"]


def test_a_worker_that_has_nothing_to_do_for_long_is_ended_while_others_work(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(processes, "IDLE_S", 0.1)
    monkeypatch.setattr(processes, "ARRIVALS_S", 0.05)
    seen: list[int] = []

    def arrivals() -> Iterator[list[Task]]:
        yield [Task(make_job(tmp_path, name)) for name in ("long", "a")]
        deadline_s = time.monotonic() + 20
        while (max(seen, default=0) < 2 or seen[-1] > 1) and time.monotonic() < deadline_s:
            seen.append(len(multiprocessing.active_children()))
            yield []
        (tmp_path / "go").touch()

    executor = ProcessExecutor(Resources(), 2, main=fake_workers.work)
    with closing(executor.execute(arrivals(), lambda event: None)) as ends:
        assert [end.task.job.name for end in ends] == ["a", "long"]
    assert (max(seen), seen[-1]) == (2, 1)


def test_nothing_to_do_is_done_at_once() -> None:
    executor = ProcessExecutor(Resources(), main=fake_workers.work)
    for lots in ([], [[]]):
        with closing(executor.execute(iter(lots), lambda event: None)) as ends:
            assert list(ends) == []


def test_workers_share_out_the_gpus(tmp_path: Path) -> None:
    executor = ProcessExecutor(Resources(tmp_path, device="cuda"), 3, main=fake_workers.work_on_two_gpus)
    tasks = [Task(make_job(tmp_path, name)) for name in "abc"]
    with closing(executor.execute(iter([tasks]), lambda event: None)) as ends:
        devices = [end.error.message for end in ends if end.error]
    assert sorted(devices) == ["cuda:0", "cuda:0", "cuda:1"]


def test_neither_failures_nor_lost_workers_stop_other_jobs(tmp_path: Path) -> None:
    names = ["a", "faceless", "once", "killer", "torn", "b"]
    ends, told = _run(tmp_path, names, num_workers=2)
    errors = {name: type(end.error) for name, end in ends.items() if end.error is not None}
    assert errors == {"faceless": NoFaceError, "killer": WorkerLostError, "torn": WorkerLostError}
    assert sorted(ends) == sorted(names)
    faceless = ends["faceless"].error
    assert faceless is not None
    assert (faceless.where, faceless.advice) == (str(tmp_path / "faceless.mp4"), "Take another.")
    lost = "ended 2 times at this job, in the phase 'look'"
    assert f"{lost} (killed by SIGKILL)" in str(ends["killer"].error)
    assert f"{lost} (exit code 3)" in str(ends["torn"].error)
    retries = sorted((each.job, each.attempt) for each in told if isinstance(each, JobRetried))
    assert retries == [("killer", 2), ("once", 2), ("torn", 2)]


def test_who_goes_on_with_a_lost_worker_s_job_may_replace_what_that_one_published(tmp_path: Path) -> None:
    (tmp_path / "out").mkdir()
    ends, told = _run(tmp_path, ["published"])
    assert ends["published"].error is None
    assert [event.attempt for event in told if isinstance(event, JobRetried)] == [2]
    look = retried(Task(make_job(tmp_path)), "me-1", "killed by SIGKILL", told.append)
    assert not look.is_overwrite  # nothing was published yet: what is there is the user's


def test_who_stops_asking_ends_all_workers_even_deaf_ones(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(processes, "END_S", 0.5)
    (tmp_path / "out").mkdir()
    executor = ProcessExecutor(Resources(), 2, main=fake_workers.work)
    tasks = [Task(make_job(tmp_path, name)) for name in ("deaf", "slow", "a")]

    def stop(event: Event) -> None:
        deadline_s = time.monotonic() + 20
        while not (tmp_path / "out" / "deaf").exists() and time.monotonic() < deadline_s:
            time.sleep(0.02)
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt), closing(executor.execute(iter([tasks]), stop)) as ends:
        next(ends)
    assert multiprocessing.active_children() == []


@pytest.mark.skipif(not Path("/proc/self/status").exists(), reason="the system does not tell of signals")
def test_the_first_worker_too_does_not_hear_what_a_terminal_sends(tmp_path: Path) -> None:
    getattr(resource_tracker, "_resource_tracker")._stop()  # noqa: B009 - private: as in a process that is new
    masks: list[int] = []

    def look(event: Event) -> None:
        if isinstance(event, JobStarted):
            status = Path("/proc", event.worker.rpartition("-")[2], "status").read_text()
            masks.append(int(status.partition("SigBlk:")[2].split()[0], 16))

    executor = ProcessExecutor(Resources(), main=fake_workers.work)
    with closing(executor.execute(iter([[Task(make_job(tmp_path))]]), look)) as ends:
        list(ends)
    assert masks
    assert all(mask & 1 << (signal.SIGINT - 1) for mask in masks)


def test_every_error_survives_the_way_between_processes() -> None:
    kinds = [DubberError]
    for kind in kinds:
        kinds += kind.__subclasses__()
    for kind in kinds:
        error = pickle.loads(pickle.dumps(kind("It is so.", where="there", advice="Do this.")))
        assert type(error) is kind
        assert (error.message, error.where, error.advice) == ("It is so.", "there", "Do this.")


def test_as_many_workers_as_the_machine_has_room_for(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(processes.os, "sched_getaffinity", lambda _: set(range(8)), raising=False)
    monkeypatch.setattr(processes.os, "sysconf", lambda name: {"SC_PAGE_SIZE": 4096}.get(name, 2_000_000))
    assert processes.num_workers_for_machine() == 4
    monkeypatch.setattr(processes.os, "sysconf", lambda name: {"SC_PAGE_SIZE": 4096}.get(name, 600_000))
    assert processes.num_workers_for_machine() == 1
