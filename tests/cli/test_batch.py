"""`dubber batch`: what goes in, what comes out, what it says, and how it ends."""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import Any

import pytest

from dubber.batch.ledger import open_ledger
from tests.cli.command import dubber
from tests.synth import make_clip, talking_sound, write_wav

QUICK = ["--renderer", "copy", "--translator", "neutral", "--unlabelled", "--device", "cpu"]
"""The null twins: no network is loaded."""


@pytest.fixture
def clips(tmp_path: Path) -> Path:
    folder = tmp_path / "clips"
    folder.mkdir()
    make_clip(folder / "a.mp4", num_frames=10)
    write_wav(folder / "a.wav", talking_sound(0.4))
    write_wav(folder / "a.fr.wav", talking_sound(0.4, seed=1))
    (folder / "b.mp4").write_text("broken")
    shutil.copyfile(folder / "a.wav", folder / "b.wav")
    (folder / "lonely.mov").touch()
    return folder


def _states(out: Path) -> dict[str, str]:
    lines = (out / "results.jsonl").read_text(encoding="utf-8").splitlines()
    return {record["name"]: record["state"] for record in map(json.loads, lines)}


def _events(text: str) -> list[dict[str, Any]]:
    return [json.loads(line) for line in text.splitlines()]


def test_a_folder_is_dubbed_and_done_again_only_where_it_failed(clips: Path, tmp_path: Path) -> None:
    out = tmp_path / "out"
    command = ["batch", clips, "-o", out, "--cache", tmp_path / "cache", "--json", *QUICK]
    first = dubber(*command)
    assert first.returncode == 10, first.stderr
    assert _states(out) == {"a": "done", "a.fr": "done", "b": "failed"}
    assert sorted(path.name for path in out.glob("[!.]*")) == ["a.fr.mp4", "a.mp4", "results.jsonl"]
    events = _events(first.stdout)
    assert {event["schema"] for event in events} == {"dubber.batch.event"}
    ends = [
        (event["event"], event["job"]) for event in events if event["event"] in ("job_finished", "job_failed")
    ]
    assert sorted(ends) == [("job_failed", "b"), ("job_finished", "a"), ("job_finished", "a.fr")]
    assert [event["message"] for event in events if event["event"] == "warning" and not event["job"]] == [
        "lonely.mov: no speech goes with it"
    ]
    assert (events[-1]["num_done"], events[-1]["num_failed"]) == (2, 1)
    record = json.loads((out / "results.jsonl").read_text().splitlines()[-1])
    ran = {stage["name"] for stage in record["result"]["stages"] if not stage["is_hit"]}
    assert {"translate", "retime", "remux"} <= ran
    assert "1 of 3 failed" in first.stderr.replace("\n", " ")
    assert not list(out.glob(".dubber-batch/begun/*"))

    stamps = {path: (path.stat().st_mtime_ns, path.read_bytes()) for path in out.glob("*.mp4")}
    shutil.copyfile(clips / "a.mp4", clips / "b.mp4")
    second = dubber(*command)
    assert second.returncode == 0, second.stderr
    skipped = {
        event["job"]: event["state"] for event in _events(second.stdout) if event["event"] == "job_skipped"
    }
    assert skipped == {"a": "done", "a.fr": "done"}
    assert _states(out) == {"a": "done", "a.fr": "done", "b": "done"}
    assert {path: (path.stat().st_mtime_ns, path.read_bytes()) for path in stamps} == stamps


def test_a_dry_run_tells_the_jobs_and_touches_nothing(clips: Path, tmp_path: Path) -> None:
    out = tmp_path / "out"
    document = json.loads(dubber("batch", clips, "-o", out, "--dry-run", "--json").stdout)
    assert [(job["name"], job["state"], job["will_run"]) for job in document["jobs"]] == [
        ("a.fr", "new", True),
        ("a", "new", True),
        ("b", "new", True),
    ]
    assert document["unpaired"] == ["lonely.mov: no speech goes with it"]
    assert not out.exists()
    shown = dubber("batch", clips, "-o", out, "--dry-run").stderr
    assert "3 of 3 jobs would run" in shown
    assert "a.mp4 + a.fr.wav" in shown


def test_options_of_the_command_line_reach_every_job_and_rows_go_before_them(
    clips: Path, tmp_path: Path
) -> None:
    jobs = tmp_path / "jobs.toml"
    jobs.write_text(
        '[defaults]\nvideo = "clips/a.mp4"\ncrf = 25\nencoder_preset = "slow"\n'
        '[[job]]\naudio = "clips/a.wav"\n'
        '[[job]]\naudio = "clips/a.fr.wav"\noutput = "fr.mp4"\nremux.crf = 30\n'
    )
    from dubber.batch.readers import read_jobs
    from dubber.cli.batch_jobs import Given, build_jobs

    built = build_jobs(read_jobs(jobs), tmp_path / "out", Given({"crf": 20}), has_report=False)
    assert [(job.config.remux.crf, job.config.remux.preset) for job in built] == [(20, "slow"), (30, "slow")]
    listed = dubber("batch", jobs, "-o", tmp_path / "out", "--crf", "20", "--dry-run", "--json")
    assert [job["name"] for job in json.loads(listed.stdout)["jobs"]] == ["a", "fr"]


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--pattern", "{name}.wav"], "unknown in the pattern"),
        (["--jobs", "many"], "'many' is no number of jobs"),
        (["--set", "render.rendererr=copy"], "no setting 'render.rendererr'"),
    ],
)
def test_what_cannot_be_meant_ends_before_any_work(
    clips: Path, tmp_path: Path, arguments: list[str], message: str
) -> None:
    result = dubber("batch", clips, "-o", tmp_path / "out", "--json", *arguments)
    assert result.returncode == 2
    (line,) = result.stdout.splitlines()
    assert json.loads(line)["error"]["exit_code"] == 2
    assert message in result.stderr.replace("\n", " ")
    assert not (tmp_path / "out" / "results.jsonl").exists()


def test_a_folder_without_pairs_says_what_pairs_look_like(tmp_path: Path) -> None:
    (tmp_path / "in").mkdir()
    (tmp_path / "in" / "a.mp4").touch()
    result = dubber("batch", tmp_path / "in", "-o", tmp_path / "out")
    assert result.returncode == 2
    assert "a.mp4 with a.wav or a.fr.wav" in result.stderr.replace("\n", " ")
    result = dubber("batch", tmp_path / "in", "-o", tmp_path / "in")
    assert "output folder is the input folder" in result.stderr.replace("\n", " ")


def test_names_with_control_characters_are_shown_on_one_line_and_tell_the_terminal_nothing(
    tmp_path: Path,
) -> None:
    name = "new\nline\x1b[31m"
    for suffix in ("mp4", "wav"):
        (tmp_path / f"{name}.{suffix}").touch()
    shown = dubber("batch", tmp_path, "-o", tmp_path / "out", "--dry-run").stderr
    assert r"new\nline\x1b[31m" in shown
    assert "\x1b[31m" not in shown


def test_two_batches_do_not_share_a_folder(clips: Path, tmp_path: Path) -> None:
    with open_ledger(tmp_path / "out"):
        result = dubber("batch", clips, "-o", tmp_path / "out", *QUICK)
    assert result.returncode == 2
    assert "Another batch is working into this folder" in result.stderr.replace("\n", " ")
