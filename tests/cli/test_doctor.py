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
from dubber.preflight import doctor
from dubber.preflight.doctor import Line, examine


def lines_of(runtime: Runtime) -> dict[str, Line]:
    return {line.name: line for line in examine(runtime)}


@pytest.fixture
def no_trial_encodes(monkeypatch: pytest.MonkeyPatch) -> None:
    """They take a second."""
    monkeypatch.setattr(doctor, "_encoders", lambda _: iter(()))


def test_this_installation_is_all_right(tmp_path: Path) -> None:
    result = CliRunner().invoke(app, ["doctor", "--json", "--cache", str(tmp_path / "cache")])
    told = json.loads(result.stdout)
    lines = {line["name"]: line for line in told["lines"]}
    assert (result.exit_code, told["exit_code"]) == (0, 0)
    assert "libx264" in lines["h264 encoders"]["text"].split("(")[0]
    assert lines["weights"]["state"] == lines["ffmpeg"]["state"] == lines["cache"]["state"] == "ok"
    assert not (tmp_path / "cache").exists(), "looking at a cache made one"


@pytest.mark.usefixtures("no_trial_encodes")
def test_what_is_broken_is_named_with_its_code(runtime: Runtime, tmp_path: Path) -> None:
    weights = shutil.copytree(default_weights_dir(), tmp_path / "weights")
    name, entry = next(iter(WeightsFolder(weights).manifest.items()))
    (weights / entry.file).write_bytes(b"damaged")
    (tmp_path / "file").write_text("no folder", encoding="utf-8")
    lines = lines_of(replace(runtime, weights=WeightsFolder(weights), cache_dir=tmp_path / "file" / "cache"))
    problems = {line.name: line.exit_code for line in lines.values() if line.state == "problem"}
    assert problems == {f"weights {name}": 4, "cache": 2}
    assert all(lines[problem].advice for problem in problems)


@pytest.mark.usefixtures("no_trial_encodes")
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


def test_a_module_counts_whatever_package_brings_it(
    runtime: Runtime, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As onnxruntime-gpu and opencv-python-headless do; others may leave no record."""
    for module in ("fakeruntime", "fakebare"):
        (tmp_path / module).mkdir()
        (tmp_path / module / "__init__.py").write_text('__version__ = "1.2"\n', encoding="utf-8")
    record = tmp_path / "fakeruntime_gpu-1.2.dist-info"
    record.mkdir()
    (record / "METADATA").write_text("Metadata-Version: 2.1\nName: fakeruntime-gpu\nVersion: 1.2\n")
    (record / "top_level.txt").write_text("fakeruntime\n")
    monkeypatch.syspath_prepend(str(tmp_path))
    monkeypatch.setattr(doctor, "_NEEDED", {"fakebare": "fake-bare", "fakegone": "fake-gone"})
    monkeypatch.setattr(doctor, "_OPTIONAL", {"fakeruntime": "for speed", "fakenone": "for more"})
    lines = {line.name: (line.state, line.text) for line in doctor._packages(runtime)}
    assert lines == {
        "fake-bare": ("ok", "1.2"),
        "fake-gone": ("problem", "It is not installed."),
        "fakeruntime": ("ok", "1.2 (fakeruntime-gpu)"),
        "fakenone": ("absent", "not installed (for more)"),
    }
