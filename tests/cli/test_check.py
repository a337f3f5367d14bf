"""`dubber check`: what it prints, and what it ends with."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from typer.testing import CliRunner

from dubber.cli.app import app
from dubber.preflight import checks, faces
from tests.cli.command import dubber
from tests.synth import make_clip, make_wall_clip, talking_sound, write_wav


@pytest.fixture(autouse=True)
def _quick_look(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(faces, "NUM_SAMPLES", 4)
    monkeypatch.setattr(checks, "machine_speed", lambda: 1.0)


@pytest.fixture(scope="module")
def pair(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Path]:
    folder = tmp_path_factory.mktemp("pair")
    video = make_clip(folder / "talk.mp4", num_frames=12).path
    return video, write_wav(folder / "line.wav", talking_sound(1.5))


def run(*arguments: str | Path, cache: Path) -> tuple[int, str, str]:
    result = CliRunner().invoke(app, ["check", *map(str, arguments), "--cache", str(cache)])
    return result.exit_code, result.stdout, result.stderr


def test_json_is_one_document(pair: tuple[Path, Path], tmp_path: Path) -> None:
    code, text, _ = run(*pair, "--length", "bounce", "--strict", "--json", cache=tmp_path / "cache")
    told = json.loads(text)
    assert code == told["exit_code"] == 0
    assert (told["video"]["num_frames"], told["video"]["size"]) == (12, [240, 240])
    assert told["length"]["mode"] == "bounce"
    assert told["faces"]["usable_share"] == 1.0
    assert told["speech"][0]["sample_rate_hz"] == 16000
    assert told["cost"]["seconds"] > 0
    assert told["findings"] == []
    assert not (pair[0].parent / "talk.dubbed.mp4").exists()


def test_people_read_a_table_and_strict_ends_with_2_where_there_are_warnings(
    pair: tuple[Path, Path], tmp_path: Path
) -> None:
    code, text, said = run(*pair, "--strict", cache=tmp_path / "cache")
    assert (code, text) == (2, "")
    for words in ("240 x 240", "about", "Warning:", "exit code 2"):
        assert words in said


def test_an_error_ends_with_its_code(pair: tuple[Path, Path], tmp_path: Path) -> None:
    wall = make_wall_clip(tmp_path / "wall.mp4", num_frames=4).path
    code, text, _ = run(wall, pair[1], "--json", cache=tmp_path / "cache")
    told = json.loads(text)
    assert code == told["exit_code"] == 6
    assert told["findings"][0]["code"] == "no-face"
    assert told["findings"][0]["advice"]


def test_a_quiet_run_says_errors_only(pair: tuple[Path, Path], tmp_path: Path) -> None:
    line = ("run", *pair, "--strict", "--cache", tmp_path / "cache")
    loud, quiet = dubber(*line), dubber(*line, "-q")
    assert (loud.returncode, quiet.returncode) == (2, 2)
    assert "Warning:" in loud.stderr
    assert "Warning:" not in quiet.stderr
    assert "Error:" in quiet.stderr
