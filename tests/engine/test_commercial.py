"""What may not be used commercially is refused before any work."""

from __future__ import annotations

import json
import shutil
from dataclasses import replace
from pathlib import Path

import pytest

from dubber.config import DubConfig
from dubber.engine import user_models
from dubber.engine.key import file_sha256
from dubber.engine.stage import Runtime
from dubber.engine.user_models import ModelFile, catalogue, check_commercial_use, licence_of
from dubber.engine.weights import WeightsFolder, default_weights_dir
from dubber.errors import WeightsError
from dubber.pipeline import plan_dub
from tests.cli.command import dubber
from tests.conftest import REPOSITORY

VIDEO, LINE = REPOSITORY / "examples" / "speaker.mp4", REPOSITORY / "examples" / "line.wav"


@pytest.fixture
def models(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder with a tracker's model that nobody knows."""
    folder = tmp_path / "models"
    (folder / "mine").mkdir(parents=True)
    (folder / "mine" / "det_500m.onnx").write_bytes(b"a network")
    monkeypatch.setenv("DUBBER_MODELS", str(folder))
    monkeypatch.setenv("DUBBER_INSIGHTFACE_DIR", str(folder / "mine"))
    return folder


def commercial(runtime: Runtime, root: Path | None = None) -> Runtime:
    return replace(runtime, weights=WeightsFolder(root or default_weights_dir(), is_commercial=True))


def restricted_weights(folder: Path) -> Path:
    """The weights that come with dubber, of which the renderer's may not be used commercially."""
    shutil.copytree(default_weights_dir(), folder)
    manifest = folder / "manifest.toml"
    head, name, rest = manifest.read_text().partition("[renderer_hybrid]")
    rest = rest.replace('licence = "Apache-2.0"', 'licence = "For research"', 1)
    manifest.write_text(head + name + rest.replace("use_allowed = true", "use_allowed = false", 1))
    return folder


def test_what_comes_with_dubber_may_be_used(runtime: Runtime) -> None:
    for renderer in ("hybrid", "exemplar"):
        for translator in ("conv", "lstm"):
            config = DubConfig().with_overrides(
                {"render.renderer": renderer, "translate.translator": translator}
            )
            plan_dub(config, VIDEO, LINE, runtime=commercial(runtime))


def test_weights_are_refused_where_they_are_used(runtime: Runtime, tmp_path: Path) -> None:
    folder = restricted_weights(tmp_path / "weights")
    plan_dub(DubConfig(), VIDEO, LINE, runtime=replace(runtime, weights=WeightsFolder(folder)))
    with pytest.raises(WeightsError, match=r"'renderer_hybrid' may not be used commercially .*For research"):
        plan_dub(DubConfig(), VIDEO, LINE, runtime=commercial(runtime, folder))
    other = DubConfig().with_overrides({"render.renderer": "exemplar"})
    plan_dub(other, VIDEO, LINE, runtime=commercial(runtime, folder))


def test_a_model_that_nobody_spoke_of_is_refused_until_somebody_does(runtime: Runtime, models: Path) -> None:
    config = DubConfig().with_overrides({"people.backend": "insightface"})
    plan_dub(config, VIDEO, LINE, runtime=runtime)
    with pytest.raises(WeightsError, match="Nobody said") as raised:
        plan_dub(config, VIDEO, LINE, runtime=commercial(runtime))
    sha256 = file_sha256(models / "mine" / "det_500m.onnx")
    assert sha256 in raised.value.advice and "`mediapipe`" in raised.value.advice
    for word, is_allowed in (("false", False), ("true", True)):
        (models / "licences.toml").write_text(
            f'["{sha256}"]\nlicence = "Bought"\nis_commercial_use_allowed = {word}\n'
        )
        if is_allowed:
            plan_dub(config, VIDEO, LINE, runtime=commercial(runtime))
        else:
            with pytest.raises(WeightsError, match="may not be used commercially"):
                plan_dub(config, VIDEO, LINE, runtime=commercial(runtime))
    (models / "licences.toml").write_text(f'["{sha256}"]\nlicence = "Bought"\n')
    with pytest.raises(WeightsError, match="cannot be read"):
        plan_dub(config, VIDEO, LINE, runtime=commercial(runtime))


def test_the_catalogue_knows_its_files(models: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = models / "mine" / "det_500m.onnx"
    sha256 = file_sha256(path)
    entry = catalogue()["insightface-buffalo_s"]
    file = ModelFile(name=path.name, num_bytes=9, sha256=sha256)
    known = {"insightface-buffalo_s": entry.model_copy(update={"files": (file,)})}
    monkeypatch.setattr(user_models, "catalogue", lambda: known)
    licence = licence_of(sha256)
    assert licence is not None and licence.model == "insightface-buffalo_s"
    with pytest.raises(WeightsError, match=r"insightface-buffalo_s may not be used commercially .*research"):
        check_commercial_use(path, sha256, advice="Choose another.")


def test_commands_refuse_before_any_work(tmp_path: Path, models: Path) -> None:
    cache = ("--cache", tmp_path / "cache")
    refused = ("--tracker", "insightface", "--commercial", *cache)
    done = dubber("run", VIDEO, LINE, "-o", tmp_path / "o.mp4", *refused)
    assert done.returncode == 4 and "--tracker" in done.stderr
    assert not (tmp_path / "o.mp4").exists()
    folder = restricted_weights(tmp_path / "weights")
    table = tmp_path / "dubber.toml"
    table.write_text("[run]\ncommercial = true\n")
    done = dubber(
        "run", VIDEO, LINE, "-o", tmp_path / "o.mp4", "--weights", folder, "--config", table, *cache
    )
    assert done.returncode == 4 and "For research" in done.stderr


def test_licences_are_listed(models: Path) -> None:
    said = json.loads(dubber("weights", "list", "--json").stdout)
    assert {row["package"] for row in said["packaged"]} == {"mediapipe", "silero-vad"}
    (row,) = said["tracker_files"]
    assert row["tracker"] == "insightface" and row["licence"] is None
    assert "not known" in dubber("weights", "list").stderr
