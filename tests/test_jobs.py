"""One dub with what goes beside it: what is checked before the work, and what fails after it."""

from __future__ import annotations

from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from dubber import intermediates, jobs, make_runtime, report
from dubber.engine.stage import Runtime
from dubber.errors import ConfigError, DubberError, OutputFolderError, StageError
from dubber.jobs import Extras, Job, do_job
from dubber.outcome import DubResult
from dubber.preflight import Finding
from dubber.script import whole


@pytest.fixture
def runtime(tmp_path: Path) -> Runtime:
    return make_runtime(cache_dir=tmp_path / "cache", device="cpu")


@pytest.fixture
def dubs(monkeypatch: pytest.MonkeyPatch) -> list[Path]:
    """Dubs that are made: they take two seconds, and nobody looks at the files."""
    made: list[Path] = []

    def dub(video: Path, said: Any, output: Path, **_: Any) -> DubResult:
        made.append(output)
        output.write_bytes(b"dubbed")
        return DubResult(output, warnings=("The face is small.",), seconds=2.0)

    monkeypatch.setattr(jobs, "dub", dub)
    monkeypatch.setattr(jobs, "plan_job", lambda *_: None)
    return made


def job_of(folder: Path, **extras: Path) -> Job:
    return Job(folder / "a.mp4", whole(folder / "a.wav"), folder / "dub.mp4", extras=Extras(**extras))


def test_two_spellings_of_one_name_are_one_name(tmp_path: Path, runtime: Runtime, dubs: list[Path]) -> None:
    (tmp_path / "in").mkdir()
    for other in (tmp_path / "in" / ".." / "dub.mp4", tmp_path / "dub.mp4"):
        with pytest.raises(ConfigError, match="cannot both"):
            do_job(job_of(tmp_path, overlay=other), runtime=runtime, is_overwrite=True)
    assert dubs == []


def test_intermediates_need_a_folder(tmp_path: Path, runtime: Runtime, dubs: list[Path]) -> None:
    (tmp_path / "file").write_text("mine")
    with pytest.raises(OutputFolderError, match="intermediates"):
        do_job(job_of(tmp_path, keep_stages=tmp_path / "file"), runtime=runtime)
    assert dubs == []


@pytest.mark.parametrize(
    ("failure", "kind"),
    [(OutputFolderError("The disk is full."), OutputFolderError), (ValueError("no such thing"), StageError)],
)
def test_what_fails_beside_a_dub_says_that_the_dub_is_there(
    tmp_path: Path,
    runtime: Runtime,
    dubs: list[Path],
    monkeypatch: pytest.MonkeyPatch,
    failure: Exception,
    kind: type[DubberError],
) -> None:
    def fail(*_: Any, **__: Any) -> None:
        raise failure

    monkeypatch.setattr(intermediates, "write_overlay", fail)
    job = job_of(tmp_path, overlay=tmp_path / "marked.mp4")
    with pytest.raises(kind, match=str(failure.args[0])) as caught:
        do_job(job, runtime=runtime)
    assert f"The dub itself is finished: {job.output}." in str(caught.value)
    assert dubs == [job.output] and job.output.read_bytes() == b"dubbed"


def test_a_page_tells_of_the_first_look_and_of_earlier_phases(
    tmp_path: Path, runtime: Runtime, dubs: list[Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    findings = (
        Finding("warning", "length", "It is shortened.", advice="Use loop."),
        Finding("info", "size", "It is large."),
    )
    monkeypatch.setattr(jobs, "quick", lambda _: SimpleNamespace(findings=findings))
    told: list[DubResult] = []
    monkeypatch.setattr(report, "write_report", lambda _plan, _runtime, result, *_, **__: told.append(result))
    job = job_of(tmp_path, report=tmp_path / "new" / "page.html")
    result = do_job(job, runtime=runtime, spent_s=40.0)
    assert told[0].warnings == ("It is shortened. Use loop.", "The face is small.")
    assert told[0].seconds == result.seconds == 42.0
    assert result.warnings == ("The face is small.",)  # the others were said before the work
    assert len(dubs) == 1
