"""`dubber weights import`: from a publisher's files to a weights folder that a run can use."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import pytest
from click.testing import Result
from typer.testing import CliRunner

from dubber.cli.weights import app
from dubber.engine.weights import default_weights_dir
from dubber.errors import WeightsError
from tests.cli.command import dubber
from tests.conftest import REPOSITORY, real_model
from tests.training.published import make_truth, write_ict


def invoke(*arguments: str | Path) -> Result:
    """`dubber weights ...` in this process."""
    return CliRunner().invoke(app, [str(argument) for argument in arguments])


def test_a_published_face_model_becomes_a_weights_folder(tmp_path: Path) -> None:
    source, folder = tmp_path / "ict", tmp_path / "weights"
    write_ict(source, make_truth(units=9.0))
    command = ("weights", "import", "face-model", source, "-o", folder)
    result = dubber(*command, "--components", "2", "--json")
    assert result.returncode == 0, result.stderr
    summary = json.loads(result.stdout)
    assert summary["vertices"] == 468 and summary["expression components"] == 2
    assert "dubber train expression" in result.stderr.replace("\n", "")
    listed = json.loads(dubber("weights", "list", "--weights", folder, "--json").stdout)["weights"]
    assert listed["face_model"]["licence"].startswith("MIT") and listed["face_model"]["sha256"]
    assert dubber("weights", "verify", "--weights", folder).returncode == 0
    assert dubber(*command).returncode == 9
    assert dubber(*command, "--overwrite").returncode == 0
    assert dubber("weights", "import", "face-model", tmp_path, "-o", tmp_path / "new").returncode == 2


def test_a_run_says_what_an_imported_face_model_lacks(tmp_path: Path) -> None:
    source, folder = tmp_path / "ict", tmp_path / "weights"
    write_ict(source, make_truth(units=9.0))
    assert dubber("weights", "import", "face-model", source, "-o", folder).returncode == 0
    video, line = REPOSITORY / "examples/speaker.mp4", REPOSITORY / "examples/line.wav"
    plan = ("plan", video, line, "--weights", folder, "--cache", tmp_path / "cache")
    result = dubber(*plan)
    assert result.returncode == 4
    assert "'expression_conv'" in result.stderr and "dubber train" in result.stderr
    assert dubber(*plan, "--translator", "neutral", "--renderer", "exemplar").returncode == 0


def test_the_face_model_among_shipped_weights_is_not_replaced_unasked(tmp_path: Path) -> None:
    source, folder = tmp_path / "ict", tmp_path / "shipped"
    write_ict(source, make_truth(units=9.0))
    shutil.copytree(default_weights_dir(), folder)
    before = (folder / "face_model.safetensors").read_bytes()
    assert dubber("weights", "import", "face-model", source, "-o", folder).returncode == 9
    assert (folder / "face_model.safetensors").read_bytes() == before


def test_a_licence_must_be_accepted_before_anything_is_fetched(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("DUBBER_MODELS", str(tmp_path / "models"))
    result = dubber("weights", "fetch", "insightface-buffalo_l")
    assert result.returncode == 2
    assert "non-commercial" in result.stderr and "--accept-licence" in result.stderr
    assert not (tmp_path / "models").exists()


def test_a_model_downloaded_already_is_imported_with_the_same_checks(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    bundle = real_model("face_landmarker_v2_with_blendshapes.task")
    monkeypatch.setenv("DUBBER_MODELS", str(tmp_path / "models"))
    command = ("fetch", "mediapipe-face-landmarker", "--accept-licence", "--json", "--from")
    wrong = invoke(*command, REPOSITORY / "README.md").exception
    assert isinstance(wrong, WeightsError) and "not the one that the catalogue names" in wrong.message
    assert not (tmp_path / "models" / "mediapipe-face-landmarker").exists()
    for is_new in (True, False):
        made = json.loads(invoke(*command, bundle).stdout)
        assert made["is_new"] is is_new
    copy = Path(made["folder"]) / "face_landmarker.task"
    assert copy.read_bytes() == bundle.read_bytes()
    listed = json.loads(invoke("list", "--json").stdout)["models"]
    assert [name for name, model in listed.items() if model["is_here"]] == ["mediapipe-face-landmarker"]
    assert json.loads(invoke("verify", "--json").stdout)["ok"]
    copy.write_bytes(bytes(copy.stat().st_size))
    damaged = invoke("verify", "--json")
    assert damaged.exit_code == 4
    assert list(json.loads(damaged.stdout)["failures"]) == ["mediapipe-face-landmarker"]
