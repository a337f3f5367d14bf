"""`dubber doctor`: what is said of an installation, whole or broken."""

from __future__ import annotations

import json
import shutil
from dataclasses import replace
from pathlib import Path

import pytest
from typer.testing import CliRunner

from dubber.cli.app import app
from dubber.engine.stage import Runtime
from dubber.engine.weights import WeightsFolder, default_weights_dir
from dubber.preflight.doctor import Line, examine


def lines_of(runtime: Runtime) -> dict[str, Line]:
    return {line.name: line for line in examine(runtime)}


def test_this_installation_is_all_right(tmp_path: Path) -> None:
    result = CliRunner().invoke(app, ["doctor", "--json", "--cache", str(tmp_path / "cache")])
    told = json.loads(result.stdout)
    lines = {line["name"]: line for line in told["lines"]}
    assert (result.exit_code, told["exit_code"]) == (0, 0)
    assert "libx264" in lines["h264 encoders"]["text"].split("(")[0]
    assert lines["weights"]["state"] == lines["ffmpeg"]["state"] == lines["cache"]["state"] == "ok"
    assert not (tmp_path / "cache").exists(), "looking at a cache made one"


def test_what_is_broken_is_named_with_its_code(runtime: Runtime, tmp_path: Path) -> None:
    weights = shutil.copytree(default_weights_dir(), tmp_path / "weights")
    name, entry = next(iter(WeightsFolder(weights).manifest.items()))
    (weights / entry.file).write_bytes(b"damaged")
    (tmp_path / "file").write_text("no folder", encoding="utf-8")
    lines = lines_of(replace(runtime, weights=WeightsFolder(weights), cache_dir=tmp_path / "file" / "cache"))
    problems = {line.name: line.exit_code for line in lines.values() if line.state == "problem"}
    assert problems == {f"weights {name}": 4, "cache": 2}
    assert all(lines[problem].advice for problem in problems)


def test_leftovers_are_counted_and_home_is_not_shown(
    runtime: Runtime, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("HOME", str(tmp_path))
    (runtime.cache_dir / "work" / "abc").mkdir(parents=True)
    (runtime.cache_dir / "work" / "abc" / "frames").write_bytes(b"12345")
    lines = lines_of(runtime)
    assert lines["unfinished"].state == "warning"
    assert "5 B" in lines["unfinished"].text
    assert lines["cache"].text.startswith("~/")
    assert not any(str(tmp_path) in line.text for line in lines.values())
