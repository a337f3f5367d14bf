"""A job's phases within one process: what is done in each, and what comes back."""

from __future__ import annotations

import logging
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from dubber.batch import work
from dubber.batch.events import Event, JobStarted, Logged, PhaseFinished, StageFinished, Warned
from dubber.batch.work import Phase, Resources, Task, TaskEnd, do_task
from dubber.errors import (
    DeviceError,
    DubberError,
    MediaError,
    OutputExistsError,
    OutputFolderError,
    StageError,
)
from dubber.jobs import Job
from dubber.outcome import DubResult, PassedThrough
from dubber.preflight import Finding, Preflight
from dubber.script import whole
from dubber.types import WhyNot
from tests.batch.fakes import make_job
from tests.synth import make_wall_clip, talking_sound, write_wav


def _do(task: Task, cache_dir: Path, **resources: Any) -> tuple[TaskEnd, list[Event]]:
    told: list[Event] = []
    return do_task(task, Resources(cache_dir, device="cpu", **resources), told.append), told


@pytest.fixture
def job(tmp_path: Path) -> Job:
    """Half a second of a wall, which nobody can dub."""
    make_wall_clip(tmp_path / "a.mp4", num_frames=10)
    audio = write_wav(tmp_path / "a.wav", talking_sound(0.4))
    config = make_job(tmp_path).config
    return Job(tmp_path / "a.mp4", whole(audio), tmp_path / "out" / "a.mp4", config, name="a")


def test_looking_finds_people_and_goes_on_to_listening(job: Job, tmp_path: Path) -> None:
    end, told = _do(Task(job), tmp_path / "cache")
    assert end.error is None
    following = end.next()
    assert following is not None
    assert (following.phase, following.spent_s) == (Phase.listen, end.seconds)
    made = [event.stage for event in told if isinstance(event, StageFinished) and not event.is_hit]
    assert made[-1] == "people"
    assert {report.name for report in following.reports} == set(made)
    assert [type(event) for event in (told[0], told[-1])] == [JobStarted, PhaseFinished]

    end, _ = _do(following, tmp_path / "cache")
    assert (type(end.error).__name__, end.next()) == ("NoFaceError", None)
    assert [facts.path.name for facts in end.inputs] == ["a.mp4", "a.wav"]
    assert all(len(facts.sha256) == 64 for facts in end.inputs)
    assert end.output is None


def test_all_that_a_run_warns_of_is_kept_until_the_job_is_over(
    job: Job, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    finding = Finding("warning", "dark", "It is dark.", advice="Add light.", ranges_s=((1.0, 2.0),))
    look_first = work.look_first

    def look(*args: Any, **how: Any) -> Preflight:
        logging.getLogger("dubber.media.reader").warning("A frame is damaged.")
        return replace(look_first(*args, **how), findings=(finding, Finding("info", "long", "It is long.")))

    def paint(job: Job, **_: Any) -> DubResult:
        left = PassedThrough(3.0, 4.0, WhyNot.TOO_SMALL)
        return DubResult(None, warnings=("Nobody speaks.", "Nobody speaks."), passed_through=(left,))

    monkeypatch.setattr(work, "look_first", look)
    monkeypatch.setattr(work, "do_job", paint)
    monkeypatch.setattr(work, "_last_stages", lambda *_: [])
    task: Task | None = Task(job)
    while task is not None:
        end, _ = _do(task, tmp_path / "cache")
        task = end.next()
    assert end.warnings == (
        Warned("a", "A frame is damaged."),
        Warned("a", "It is dark. Add light.", ((1.0, 2.0),)),
        Warned("a", "Nobody speaks."),
        Warned("a", "The face is too small: 1.0 s were left as they were.", ((3.0, 4.0),)),
    )


def test_inputs_are_told_as_they_were_when_the_work_began(
    job: Job, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    before = job.video.stat()

    def paint(job: Job, **_: Any) -> DubResult:
        job.video.write_bytes(b"another take")
        return DubResult(None)

    monkeypatch.setattr(work, "do_job", paint)
    end, _ = _do(Task(job, phase=Phase.paint), tmp_path / "cache")
    assert end.inputs[0].num_bytes == before.st_size != job.video.stat().st_size


def test_a_broken_file_ends_the_job_at_the_first_look(tmp_path: Path) -> None:
    end, told = _do(Task(make_job(tmp_path)), tmp_path / "cache")
    assert isinstance(end.error, MediaError)
    assert not any(isinstance(event, PhaseFinished) for event in told)
    gone = make_job(tmp_path)
    gone.video.unlink()
    end, _ = _do(Task(gone), tmp_path / "cache")
    assert [(facts.num_bytes, facts.sha256 == "") for facts in end.inputs] == [(-1, True), (50, False)]


def test_what_stages_did_in_earlier_phases_is_part_of_the_result(
    job: Job, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def paint(job: Job, *, earlier: Any, spent_s: float, **_: Any) -> DubResult:
        assert spent_s == 3.0  # a report tells of them
        job.output.parent.mkdir()
        job.output.write_bytes(b"dubbed")
        return DubResult(job.output, warnings=("Nobody speaks.",), stages=earlier)

    end, _ = _do(Task(job), tmp_path / "cache")
    monkeypatch.setattr(work, "do_job", paint)
    last = Task(job, phase=Phase.paint, reports=end.result.stages if end.result else (), spent_s=3.0)
    end, told = _do(last, tmp_path / "cache")
    assert end.result is not None
    assert "people" in {report.name for report in end.result.stages}
    assert end.result.seconds == end.total_s > 3.0
    assert end.output is not None
    assert (end.output.path, end.output.num_bytes) == (job.output, 6)
    assert Warned("a", "Nobody speaks.") in told
    assert end.next() is None


@pytest.mark.parametrize(
    ("raised", "kind", "message"),
    [
        (ValueError("not thought of"), StageError, "ValueError: not thought of"),
        (MemoryError(), DeviceError, "The memory is too small"),
    ],
)
def test_what_nobody_thought_of_is_the_job_s_failure(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, raised: Exception, kind: type, message: str
) -> None:
    def fail(*_: Any, **__: Any) -> None:
        raise raised

    monkeypatch.setattr(work, "look_first", fail)
    end, _ = _do(Task(make_job(tmp_path)), tmp_path / "cache")
    assert type(end.error) is kind
    assert message in str(end.error)


def test_a_device_that_is_not_there_fails_the_job(tmp_path: Path) -> None:
    told: list[Event] = []
    end = do_task(Task(make_job(tmp_path)), Resources(tmp_path / "cache", device="abacus"), told.append)
    assert isinstance(end.error, DeviceError)
    assert [facts.num_bytes for facts in end.inputs] == [50, 50]


def test_log_messages_carry_the_job_s_name(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def speak(*_: Any, **__: Any) -> None:
        log = logging.getLogger("dubber.stages.people")
        log.warning("It is %s.", "dark")
        log.info("Looking.")
        log.debug("Never mind.")
        raise MediaError("Enough.")

    monkeypatch.setattr(work, "look_first", speak)
    _, told = _do(Task(make_job(tmp_path)), tmp_path / "cache", log_level=logging.INFO)
    assert [event for event in told if isinstance(event, (Warned, Logged))] == [
        Warned("a", "It is dark."),
        Logged("a", logging.INFO, "Looking."),
    ]


@pytest.mark.parametrize(
    ("error", "is_recorded"), [(OutputFolderError("Full."), True), (OutputExistsError("It appeared."), False)]
)
def test_a_dub_whose_page_failed_is_known_as_the_job_s_own(
    job: Job, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, error: DubberError, is_recorded: bool
) -> None:
    def paint(job: Job, **_: Any) -> DubResult:
        if not job.output.exists():
            job.output.parent.mkdir()
            job.output.write_bytes(b"dubbed")
        raise error

    monkeypatch.setattr(work, "do_job", paint)
    end, _ = _do(Task(job, phase=Phase.paint), tmp_path / "cache")
    assert (end.result, end.error) == (None, error)
    assert (end.output is not None) == is_recorded
    end, _ = _do(Task(job, phase=Phase.paint), tmp_path / "cache")  # there before, and not touched
    assert end.output is None
