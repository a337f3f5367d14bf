"""What became of jobs: written once, read back whatever happened since."""

from __future__ import annotations

import json
import os
from dataclasses import replace
from pathlib import Path

import pytest

from dubber.batch import ledger
from dubber.batch.ledger import RESULTS_NAME, Ledger, Standing, open_ledger, read_results
from dubber.batch.work import Task
from dubber.errors import ConfigError, OutputFolderError
from dubber.jobs import Extras, Job
from dubber.provenance import Provenance
from tests.batch.fakes import ended, make_job


@pytest.fixture
def job(tmp_path: Path) -> Job:
    return make_job(tmp_path)


@pytest.fixture
def out(tmp_path: Path) -> Path:
    return tmp_path / "out"


def _standing(out: Path, job: Job) -> Standing:
    return Ledger(out).verdict(job).standing


def _write(out: Path, job: Job, *, is_done: bool = True) -> None:
    with open_ledger(out) as ledger:
        ledger.begin(job)
        ledger.end(ended(Task(job), is_done=is_done))


def test_a_finished_job_is_done_until_it_is_asked_for_otherwise(job: Job, out: Path) -> None:
    assert _standing(out, job) is Standing.new
    _write(out, job)
    assert _standing(out, job) is Standing.done
    other = replace(job, config=job.config.with_overrides({"remux.crf": 30}))
    assert _standing(out, other) is Standing.changed
    assert _standing(out, replace(job, provenance=Provenance(private_key=Path("key")))) is Standing.changed
    same = replace(job, config=job.config.with_overrides({"remux.crf": job.config.remux.crf}))
    assert _standing(out, same) is Standing.done


def test_inputs_count_by_what_they_hold(job: Job, out: Path) -> None:
    _write(out, job)
    os.utime(job.video, ns=(1, 1))
    assert _standing(out, job) is Standing.done
    job.video.write_bytes(job.video.read_bytes()[::-1])
    verdict = Ledger(out).verdict(job)
    assert (verdict.standing, verdict.reason) == (Standing.changed, "a.mp4 was changed")
    job.video.unlink()
    assert _standing(out, job) is Standing.done


def test_inputs_that_cannot_be_read_now_stop_no_batch(
    job: Job, out: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(path: Path) -> str:
        raise PermissionError(13, "Permission denied", str(path))

    _write(out, job)
    os.utime(job.video, ns=(1, 1))
    monkeypatch.setattr(ledger, "file_sha256", refuse)
    assert _standing(out, job) is Standing.done


def test_outputs_of_others_are_known_as_such(job: Job, out: Path) -> None:
    out.mkdir()
    job.output.write_bytes(b"mine")
    assert _standing(out, job) is Standing.foreign
    job.output.unlink()
    _write(out, job)
    job.output.write_bytes(b"somebody cut it")
    assert _standing(out, job) is Standing.foreign
    job.output.unlink()
    assert Ledger(out).verdict(job).reason == "its output is gone"


def test_a_failed_job_stays_failed_until_something_is_changed(job: Job, out: Path) -> None:
    _write(out, job, is_done=False)
    verdict = Ledger(out).verdict(job)
    assert (verdict.standing, verdict.reason) == (Standing.failed, "It failed before: It is broken.")
    job.said.voices[0].write_bytes(b"another recording")
    assert _standing(out, job) is Standing.new


def test_the_output_of_a_job_whose_page_failed_is_the_batch_s_own(job: Job, out: Path) -> None:
    finished = ended(Task(job))
    broken = replace(finished, result=None, error=OutputFolderError("The report cannot be written."))
    for end in (broken, replace(broken, output=None)):  # the second try touched nothing
        with open_ledger(out) as ledger:
            ledger.end(end)
        verdict = Ledger(out).verdict(job)
        assert (verdict.standing, verdict.is_ours) == (Standing.failed, True)
    job.output.write_bytes(b"somebody cut it")
    assert _standing(out, job) is Standing.foreign


def test_what_goes_with_a_dub_is_made_where_it_is_missing(job: Job, out: Path) -> None:
    _write(out, job)
    asked = replace(job, extras=Extras(report=out / "a.report.html", overlay=out / "a.overlay.mp4"))
    verdict = Ledger(out).verdict(asked)
    assert (verdict.standing, verdict.is_ours) == (Standing.new, True)
    assert verdict.reason == "its dub is there without report and overlay"
    for path in asked.extras.named.values():
        path.touch()
    assert _standing(out, asked) is Standing.done


def test_a_name_that_can_be_none_has_no_output(job: Job, out: Path) -> None:
    out.mkdir()
    for name in ("x" * 300, "a\0b", "caf\udce9"):
        odd = replace(job, output=out / f"{name}.mp4", name=name)
        assert _standing(out, odd) is Standing.new
        _write(out, odd, is_done=False)
        assert _standing(out, odd) is Standing.failed


@pytest.mark.parametrize(
    "key", ["version", "name", "state", "inputs", "asked", "output", "result", "seconds"]
)
def test_a_line_that_somebody_edited_counts_as_none(job: Job, out: Path, key: str) -> None:
    _write(out, job)
    path = out / RESULTS_NAME
    record = json.loads(path.read_text())
    whole = {name: value for name, value in record.items() if name != key}
    for edited in (whole, {**record, key: ["?"]}, {**record, "output": {}}):
        path.write_text(json.dumps(edited) + "\n" + "[" * 100_000)
        assert _standing(out, job) is Standing.foreign


def test_an_output_that_was_put_in_place_before_the_kill_is_the_batch_s_own(job: Job, out: Path) -> None:
    with open_ledger(out) as ledger:
        ledger.begin(job)
        job.output.write_bytes(b"whole, but the record was never written")
    verdict = Ledger(out).verdict(job)
    assert (verdict.standing, verdict.is_ours) == (Standing.new, True)
    other = replace(job, config=job.config.with_overrides({"remux.crf": 30}))
    assert _standing(out, other) is Standing.foreign


def test_a_torn_line_costs_that_line_alone(job: Job, out: Path) -> None:
    _write(out, job)
    with (out / RESULTS_NAME).open("ab") as file:
        file.write(b'{"schema": "dubber.batch.result", "versi')
    assert _standing(out, job) is Standing.done
    _write(out, job, is_done=False)
    assert [record["state"] for record in read_results(out / RESULTS_NAME)] == ["done", "failed"]


def test_a_record_says_all_that_docs_say(job: Job, out: Path) -> None:
    _write(out, job)
    (record,) = [json.loads(line) for line in (out / RESULTS_NAME).read_text().splitlines()]
    assert (record["schema"], record["version"], record["name"], record["state"]) == (
        "dubber.batch.result",
        1,
        "a",
        "done",
    )
    assert [Path(each["path"]).name for each in record["inputs"]] == ["a.mp4", "a.wav"]
    assert record["output"]["bytes"] == job.output.stat().st_size
    assert record["result"]["frames"] == 3
    assert record["error"] is None


def test_results_of_a_newer_version_are_not_guessed_at(out: Path) -> None:
    out.mkdir()
    (out / RESULTS_NAME).write_text('{"schema": "dubber.batch.result", "version": 2, "name": "a"}\n')
    with pytest.raises(ConfigError, match="newer dubber wrote these results"):
        Ledger(out)


def test_a_second_batch_is_kept_out(out: Path) -> None:
    with open_ledger(out), pytest.raises(ConfigError, match="Another batch is working"), open_ledger(out):
        pass
    with open_ledger(out):
        pass


def test_a_folder_that_cannot_be_written_is_told(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    with pytest.raises(OutputFolderError, match="cannot be written"), open_ledger(tmp_path / "file" / "out"):
        pass
