"""Batches: pairs by name, failures isolated, finished ones skipped."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import pytest

from dubber.batch import find_jobs
from dubber.errors import ConfigError
from tests.cli.test_app import dubber
from tests.synth import make_clip, talking_sound, write_wav


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    clips = tmp_path / "clips"
    clips.mkdir()
    make_clip(clips / "a.mp4", num_frames=10)
    shutil.copyfile(clips / "a.mp4", clips / "c d.mp4")
    (clips / "b.mp4").write_text("broken")
    for stem in ("a", "b", "c d"):
        write_wav(clips / f"{stem}.wav", talking_sound(0.4, seed=len(stem)))
    (clips / "lonely.mov").write_text("no speech for this one")
    return clips


def test_a_failed_clip_does_not_stop_the_rest(folder: Path, tmp_path: Path) -> None:
    arguments = [
        "batch",
        folder,
        "-o",
        tmp_path / "out",
        "--cache",
        tmp_path / "cache",
        "--json",
        "--device",
        "cpu",
    ]
    first = dubber(*arguments)
    assert first.returncode == 10, first.stderr
    states = {Path(job["video"]).name: job["state"] for job in json.loads(first.stdout)["jobs"]}
    assert states == {"a.mp4": "done", "b.mp4": "failed", "c d.mp4": "done"}
    assert sorted(path.name for path in (tmp_path / "out").iterdir()) == ["a.mp4", "c d.mp4"]
    assert "b.mp4" in first.stderr

    written = {path.name: path.stat().st_mtime_ns for path in (tmp_path / "out").iterdir()}
    second = dubber(*arguments)
    assert second.returncode == 10
    states = {Path(job["video"]).name: job["state"] for job in json.loads(second.stdout)["jobs"]}
    assert states == {"a.mp4": "skipped", "b.mp4": "failed", "c d.mp4": "skipped"}
    assert {path.name: path.stat().st_mtime_ns for path in (tmp_path / "out").iterdir()} == written


def test_pairs_are_found_by_name(folder: Path, tmp_path: Path) -> None:
    jobs = find_jobs(folder, tmp_path / "out")
    assert [(job.video.name, job.audio.name, job.output.name) for job in jobs] == [
        ("a.mp4", "a.wav", "a.mp4"),
        ("b.mp4", "b.wav", "b.mp4"),
        ("c d.mp4", "c d.wav", "c d.mp4"),
    ]


def test_ambiguous_and_impossible_folders_are_refused(folder: Path, tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="output folder is the input"):
        find_jobs(folder, folder)
    with pytest.raises(ConfigError, match="no such folder"):
        find_jobs(tmp_path / "absent", tmp_path / "out")
    (tmp_path / "empty").mkdir()
    with pytest.raises(ConfigError, match="No pair"):
        find_jobs(tmp_path / "empty", tmp_path / "out")
    (folder / "a.flac").write_text("two lines for one video")
    with pytest.raises(ConfigError, match="Two files"):
        find_jobs(folder, tmp_path / "out")
