"""Rows as jobs: layers of options, names of files, what is refused and where."""

from __future__ import annotations

import inspect
from pathlib import Path
from typing import Any

import pytest
import typer.main

from dubber.batch.rows import Row, Rows
from dubber.cli.app import app
from dubber.cli.batch_jobs import JOB_OPTIONS, OF_THE_BATCH, Given, build_jobs, given_options
from dubber.cli.run import run
from dubber.engine.key import file_sha256
from dubber.errors import ConfigError
from dubber.jobs import Job


def _job(tmp_path: Path, options: dict[str, Any], **others: Any) -> Job:
    """The job of a row with video and audio."""
    base = {"video": "talk.mp4", "audio": "line.wav"}
    row = Row("jobs.toml, job 1", tmp_path / "in", {**base, **options}, others.pop("implied", {}))
    rows = Rows((row,), others.pop("defaults", {}))
    given, has_report = (
        Given(others.pop("given", {}), others.pop("tables", {})),
        others.pop("has_report", False),
    )
    (job,) = build_jobs(rows, tmp_path / "out", given, has_report=has_report)
    return job


def test_every_option_of_run_is_one_of_a_row_or_of_the_batch() -> None:
    names = {"set" if name == "settings" else name for name in inspect.signature(run).parameters}
    assert names == (JOB_OPTIONS - {"name"}) | OF_THE_BATCH
    assert not JOB_OPTIONS & OF_THE_BATCH


def test_the_nearest_layer_wins(tmp_path: Path) -> None:
    config = tmp_path / "in" / "own.toml"
    config.parent.mkdir()
    config.write_text("[remux]\ncrf = 30\naudio_language = 'ita'\n")
    layers = {"implied": {"audio_language": "fra"}, "defaults": {"crf": 25}, "given": {"crf": 20}}
    assert _job(tmp_path, {"config": "own.toml"}).config.remux.crf == 30
    job = _job(tmp_path, {"config": "own.toml"}, implied=layers["implied"])
    assert (job.config.remux.crf, job.config.remux.audio_language) == (30, "fra")
    layers.pop("given")
    assert _job(tmp_path, {"config": "own.toml"}, **layers).config.remux.crf == 25
    layers["given"] = {"crf": 20}
    assert _job(tmp_path, {"config": "own.toml"}, **layers).config.remux.crf == 20
    assert _job(tmp_path, {"config": "own.toml", "remux.crf": "15"}, **layers).config.remux.crf == 15
    assert _job(tmp_path, {"set": "remux.crf=11"}, **layers).config.remux.crf == 11


def test_tables_of_the_config_file_are_the_lowest_layer(tmp_path: Path) -> None:
    config = tmp_path / "dubber.toml"
    config.write_text(
        "[run]\ncrf = 30\naudio_language = 'ita'\nspeaker = ['2']\n[batch]\nrenderer = 'copy'\n"
    )
    command = typer.main.get_command(app).commands["batch"]  # type: ignore[attr-defined]
    line = ["in", "-o", "out", "--config", str(config), "--set", "blend.grain=0"]
    root = typer.Context(typer.main.get_command(app))
    given = given_options(command.make_context("batch", line, parent=root))
    row = Row("row", tmp_path, {"video": "talk.mp4", "audio": "line.wav"}, {"audio_language": "fra"})
    (job,) = build_jobs(Rows((row,), {"crf": 25}), tmp_path / "out", given, has_report=False)
    assert (job.config.remux.crf, job.config.remux.audio_language) == (25, "fra")
    assert (job.config.render.renderer, job.config.track.speaker) == ("copy", "2")
    assert job.config.blend.grain == 0


def test_options_mean_what_they_mean_on_the_command_line(tmp_path: Path) -> None:
    options = {"length": "loop", "adapt": 5, "start": 1.5, "label_text": "made by us", "deinterlace": "true"}
    job = _job(tmp_path, {**options, "side_by_side": "both.mp4", "private_key": "key.pem", "speaker": "auto"})
    assert job.config.length.mode == "loop"
    assert (job.config.adapt.is_on, job.config.adapt.minutes) == (True, 5.0)
    assert (job.config.mark.is_on, job.config.mark.text) == (True, "made by us")
    assert job.config.demux.deinterlace
    assert job.config.track.speaker == "auto"
    assert job.said.lines[0].start_s == 1.5
    assert job.extras.side_by_side == tmp_path / "out" / "both.mp4"
    assert job.provenance.private_key == tmp_path / "in" / "key.pem"


def test_names_of_files_are_relative_to_the_jobs_file_and_results_to_the_output_folder(
    tmp_path: Path,
) -> None:
    (tmp_path / "in").mkdir()
    (tmp_path / "in" / "anna.png").touch()
    (tmp_path / "in" / "ben.wav").touch()
    job = _job(tmp_path, {"output": "fr/talk.mkv"})
    assert (job.video, job.said.voices) == (tmp_path / "in" / "talk.mp4", (tmp_path / "in" / "line.wav",))
    assert (job.output, job.name) == (tmp_path / "out" / "fr" / "talk.mkv", "fr/talk")
    job = _job(tmp_path, {"audio": None, "speaker": ["anna.png=ben.wav", "2=carl.wav"], "name": "both"})
    assert job.said.speakers == (str(tmp_path / "in" / "anna.png"), "2")
    assert job.said.voices[0] == tmp_path / "in" / "ben.wav"
    assert (job.output.name, job.name) == ("talk.mp4", "both")


def test_a_document_of_consent_is_read_where_the_job_is_made(tmp_path: Path) -> None:
    document = tmp_path / "in" / "agreed.txt"
    document.parent.mkdir()
    document.write_text("I agree.")
    for options in ({"consent": "agreed.txt"}, {"remux.consent": str(document)}):
        consent = _job(tmp_path, options).config.remux.consent
        assert consent == f"agreed.txt (sha256 {file_sha256(document)})"
    assert _job(tmp_path, {"consent": "Ann, by letter"}).config.remux.consent == "Ann, by letter"
    with pytest.raises(ConfigError, match="no such document"):
        _job(tmp_path, {"consent": "agred.txt"})


def test_a_report_for_all_gives_each_one_of_its_own(tmp_path: Path) -> None:
    assert _job(tmp_path, {}, has_report=True).extras.report == tmp_path / "out" / "talk.report.html"
    own = _job(tmp_path, {"report": "mine.html"}, has_report=True)
    assert own.extras.report == tmp_path / "out" / "mine.html"


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (
            {"randerer": "copy"},
            "jobs.toml, job 1: There is no option 'randerer' for a job. Did you mean `renderer`",
        ),
        ({"cache": "here"}, "job 1: 'cache' holds for the whole batch. Say `--cache` on the command line"),
        ({"crf": "good"}, "job 1: 'crf = good' is wrong: Input should be a valid integer"),
        ({"length": "stretch"}, "job 1: 'length = stretch' is wrong: Input should be 'auto', 'cut_off'"),
        ({"render.rendererr": "copy"}, "job 1: There is no setting 'render.rendererr'"),
        ({"audio": None}, "job 1: There is no speech"),
        ({"name": "../a"}, "job 1: '../a' is no name of a job"),
        ({"output": "a.gif"}, "a.gif: dubber does not write '.gif'"),
    ],
)
def test_what_cannot_be_meant_is_refused_with_its_row(
    tmp_path: Path, options: dict[str, Any], message: str
) -> None:
    with pytest.raises(ConfigError) as raised:
        _job(tmp_path, options)
    assert message in str(raised.value)


def test_a_row_without_a_video_is_refused(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="line 2: It names no video"):
        build_jobs(Rows((Row("line 2", tmp_path, {"audio": "a.wav"}),)), tmp_path, Given(), has_report=False)


@pytest.mark.parametrize("key", ["renderer", "render.renderer"])
def test_a_renderer_s_file_is_an_input_and_lies_where_other_inputs_do(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, key: str
) -> None:
    """Of a row beside the jobs file, of a config file beside that, else where dubber was started."""
    monkeypatch.chdir(tmp_path)
    (tmp_path / "in").mkdir()
    mine = {key: "mine.py:Mine"}
    with pytest.raises(ConfigError, match=r"job 1: .*in/mine\.py: There is no such file"):
        _job(tmp_path, mine)
    for folder in (tmp_path, tmp_path / "in"):
        (folder / "mine.py").touch()
    config = tmp_path / "in" / "own.toml"
    config.write_text("[render]\nrenderer = 'mine.py:Mine'\n")
    for options, others, folder in (
        (mine, {}, tmp_path / "in"),
        ({}, {"defaults": mine}, tmp_path / "in"),
        ({}, {"given": {"renderer": "mine.py:Mine"}}, tmp_path),
        ({"config": "own.toml"}, {}, tmp_path / "in"),
    ):
        job = _job(tmp_path, options, **others)
        assert job.config.render.renderer == f"{folder / 'mine.py'}:Mine"
        assert folder / "mine.py" in job.inputs
    assert _job(tmp_path, {key: "exemplar"}).config.render.renderer == "exemplar"
