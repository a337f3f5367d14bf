"""Variants leave one thing out, share what they may, and keep to their own folder."""

from __future__ import annotations

import inspect
import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from typer.testing import CliRunner

from dubber.cli.train import app
from dubber.cli.train import expression as train_command
from dubber.config import DubConfig
from dubber.engine.device import Device
from dubber.engine.progress import SilentProgress
from dubber.engine.stage import Runtime
from dubber.engine.weights import WeightsFolder, default_weights_dir
from dubber.errors import ConfigError, WeightsError
from dubber.models.expression import ExpressionNet, listen
from dubber.models.morphable import LinearFaceModel
from dubber.models.speech_net import TRANSLATORS
from dubber.ops import mfcc
from dubber.ops.landmarks import LOWER_INNER_LIP, MOUTH_JAW, UPPER_INNER_LIP, mouth_opening
from dubber.training import variants
from dubber.training.expression import train_expression
from dubber.training.expression_settings import ExpressionTraining
from dubber.training.speech_data import TalkingClip, talking_clips
from dubber.training.targets import deviations, landmark_numbers, mouth_target, numbered_landmarks
from dubber.training.variants import RECIPES, train_variant, variant_folder, variant_settings
from tests.cli.command import dubber
from tests.synth import make_clip

SHORT = {
    "members": 1,
    "iterations": 2,
    "phone_iterations": 0,
    "delay_iterations": 2,
    "delay_rounds": 1,
    "classifier_iterations": 2,
    "identity_iterations": 2,
    "batch_size": 2,
    "length": 40,
    "num_variants": 1,
}
SPEAKERS = ("anna", "berta")


@pytest.fixture(scope="module")
def runtime(tmp_path_factory: pytest.TempPathFactory) -> Runtime:
    return Runtime(
        cache_dir=tmp_path_factory.mktemp("cache"),
        device=Device("cpu", reason="test"),
        weights=WeightsFolder(default_weights_dir()),
    )


@pytest.fixture(scope="module")
def manifest(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("clips")
    make_clip(folder / "talk.mp4", num_frames=60)
    (folder / "clips.csv").write_text("file,split,speaker\ntalk.mp4,train,anna\n")
    return folder / "clips.csv"


@pytest.fixture(scope="module")
def talking(manifest: Path, runtime: Runtime) -> TalkingClip:
    (clip,) = talking_clips(manifest, runtime, SilentProgress(), "train")
    return clip


@pytest.fixture(scope="module")
def model(runtime: Runtime) -> LinearFaceModel:
    return LinearFaceModel.from_weight(runtime.weights.open("face_model"))


@pytest.fixture
def quick(monkeypatch: pytest.MonkeyPatch) -> None:
    """Recipes in which each network takes two steps, and no synthetic voice is heard."""
    whole = ExpressionTraining.recipe
    monkeypatch.setattr(ExpressionTraining, "recipe", lambda translator: replace(whole(translator), **SHORT))


def test_a_clip_s_landmarks_are_where_the_crop_shows_them(talking: TalkingClip, manifest: Path) -> None:
    truth = make_clip(manifest.with_name("again.mp4"), num_frames=60)
    assert talking.landmarks_TM2.shape == (60, len(MOUTH_JAW), 2)
    seen = mouth_opening(talking.landmarks_TM2)
    assert np.corrcoef(seen, truth.opening_px_T)[0, 1] > 0.95
    assert (talking.landmarks_TM2 > 0).all() and (talking.landmarks_TM2 < 384).all()
    assert talking.landmarks_TM2[:, :20].mean(axis=(0, 1))[0] == pytest.approx(192, abs=15)  # crop's middle


def test_the_numbers_of_landmarks_lead_back_and_tell_the_opening(
    talking: TalkingClip, model: LinearFaceModel
) -> None:
    numbers = landmark_numbers(talking.landmarks_TM2)
    assert numbers.shape == (60, 78)
    np.testing.assert_allclose(numbered_landmarks(numbers), talking.landmarks_TM2, atol=1e-3)
    target = mouth_target("landmarks", model)
    np.testing.assert_array_equal(target.numbers(talking), numbers)
    vertical_px = numbers @ target.opening_K * 384
    np.testing.assert_allclose(vertical_px, mouth_opening(talking.landmarks_TM2), atol=1.0)
    one_px = np.full((1, 78), 1 / 384, np.float32)
    assert np.linalg.norm(one_px @ target.metric_KD) * 384 == pytest.approx(np.sqrt(78), rel=1e-5)


def test_both_targets_open_in_the_same_direction(talking: TalkingClip, model: LinearFaceModel) -> None:
    curves = []
    for name in ("expression", "landmarks"):
        target = mouth_target(name, model)
        curves.append(deviations(replace(talking, expression_TK=target.numbers(talking))) @ target.opening_K)
    assert np.corrcoef(curves)[0, 1] > 0.9


def test_what_is_trained_by_default_is_what_runs_by_default() -> None:
    default = DubConfig().translate.translator
    (trained,) = (
        parameter.default.value
        for name, parameter in inspect.signature(train_command).parameters.items()
        if name == "translator"
    )
    assert trained == ExpressionTraining().translator == default
    assert ExpressionTraining() == ExpressionTraining.recipe(default)
    rounds = {name: ExpressionTraining.recipe(name).identity_rounds > 0 for name in TRANSLATORS}
    assert rounds == {"lstm": True, "conv": False}


def test_variants_share_a_folder_unless_they_hear_other_sounds() -> None:
    label = ExpressionTraining().label
    shares = {name: variant_settings(name, "conv").label == label for name in RECIPES}
    assert shares == {
        "with-identity-removal": True,
        "without-identity-removal": True,
        "without-phones": False,
        "landmarks-2d": True,
    }


@pytest.mark.slow
def test_no_variant_reads_the_others_networks(
    tmp_path: Path, talking: TalkingClip, model: LinearFaceModel
) -> None:
    """All in one folder, as it is in the cache: each gives what it gives alone."""
    clips = [
        replace(talking, name=name, speaker=name, samples_S=np.tile(talking.samples_S[::step], 4 * step))
        for step, name in enumerate(SPEAKERS, 1)
    ]
    recipes = {name: dict(RECIPES[name].overrides) for name in ("without-identity-removal", "landmarks-2d")}
    trained = {}
    for name, overrides in {"": {}, **recipes}.items():
        settings = ExpressionTraining(**{**SHORT, "identity_rounds": 1, **overrides, "variant": name})
        together, _ = train_expression(clips, model, tmp_path / "together", settings=settings)
        alone, report = train_expression(clips, model, tmp_path / f"alone-{name}", settings=settings)
        state = alone.state_dict()
        assert all(torch.equal(value, state[key]) for key, value in together.state_dict().items()), name
        assert (report["speaker_probe"] is None) == (name == "without-identity-removal")
        trained[name] = alone
    assert trained["landmarks-2d"].num_coefficients == 78
    assert trained[""].num_coefficients == model.num_expression
    reports = sorted(path.name for path in (tmp_path / "together").glob("report*"))
    assert reports == [
        "report-conv.json",
        "report-landmarks-2d-conv.json",
        "report-without-identity-removal-conv.json",
    ]


def test_landmarks_are_learned_from_sound(tmp_path: Path, model: LinearFaceModel) -> None:
    """A mouth whose lower lip sinks with the loudness of a noise, on a head that drifts."""
    clips = [noisy_clip(seed) for seed in range(3)]
    settings = ExpressionTraining(
        translator="conv", target="landmarks", identity_rounds=0,
        **{**SHORT, "iterations": 40, "delay_rounds": 0, "batch_size": 8, "length": 120},
    )  # fmt: skip
    net, _ = train_expression(clips, model, tmp_path, settings=settings)
    unheard = noisy_clip(9)
    heard = mfcc.normalised(mfcc.features(unheard.samples_S))
    chunks = listen(net, heard.steps_FC, heard.silence_C, torch.device("cpu"))
    said_FK = net.decode(np.concatenate([modes for modes, _ in chunks]))
    opening_F = said_FK @ mouth_target("landmarks", model).opening_K * 384
    found = np.interp(unheard.times_s_T, np.arange(len(opening_F)) / 100, opening_F)
    truth = mouth_opening(unheard.landmarks_TM2)
    assert np.corrcoef(found, truth)[0, 1] > 0.7
    assert 0.4 < found.std() / truth.std() < 1.2


def noisy_clip(seed: int) -> TalkingClip:
    rng = np.random.default_rng(seed)
    sound_s, times_s = np.arange(16000 * 8) / 16000, np.arange(25 * 8) / 25
    phase = rng.uniform(0, 6)

    def openness(at_s: np.ndarray) -> np.ndarray:
        return np.maximum(np.sin(7 * at_s + phase) + 0.7 * np.sin(2.3 * at_s), 0)

    seen = np.tile(rng.uniform(100, 300, (39, 2)), (len(times_s), 1, 1))
    seen[:, MOUTH_JAW.tolist().index(UPPER_INNER_LIP)] = [192, 240]
    lower = MOUTH_JAW.tolist().index(LOWER_INNER_LIP)
    seen[:, lower, 0], seen[:, lower, 1] = 192, 240 + 20 * openness(times_s)
    seen[..., 0] += 2 * np.sin(0.5 * times_s + phase)[:, None]
    return TalkingClip(
        f"{seed}.mp4",
        "noise",
        (0.1 * openness(sound_s) * rng.standard_normal(len(sound_s))).astype(np.float32),
        times_s,
        np.zeros((len(times_s), 29), np.float32),
        np.ones(len(times_s), np.bool_),
        landmarks_TM2=seen.astype(np.float32),
    )


@pytest.mark.usefixtures("quick")
def test_a_variant_s_folder_has_all_that_a_run_needs(manifest: Path, runtime: Runtime) -> None:
    shipped = {path: path.read_bytes() for path in runtime.weights.root.iterdir()}
    folder = variant_folder(runtime, "landmarks-2d")
    for translator in ("lstm", "conv"):
        settings = variant_settings("landmarks-2d", translator)
        measures = train_variant(manifest, folder, runtime, settings=settings)
        assert measures["train_clips"] == 1
    weights = WeightsFolder(folder)
    assert set(weights.manifest) == {"face_model", "expression", "expression_conv"}
    assert weights.entry("face_model") == runtime.weights.entry("face_model")
    assert weights.entry("expression").recipe.endswith("--translator lstm --variant landmarks-2d")
    net = ExpressionNet.from_weight(weights.open("expression_conv"))
    assert net.num_coefficients == 78
    assert net.face_model_digest == weights.entry("face_model").sha256
    assert {path: path.read_bytes() for path in runtime.weights.root.iterdir()} == shipped


def test_a_damaged_face_model_stops_it_before_the_work(
    tmp_path: Path, manifest: Path, runtime: Runtime
) -> None:
    name = runtime.weights.entry("face_model").file
    (tmp_path / name).write_bytes(b"damaged")
    (tmp_path / "manifest.toml").write_bytes((runtime.weights.root / "manifest.toml").read_bytes())
    broken = replace(runtime, weights=WeightsFolder(tmp_path))
    with pytest.raises(WeightsError):
        train_variant(manifest, tmp_path / "out", broken, settings=variant_settings("landmarks-2d"))
    assert not (tmp_path / "out").exists()


@pytest.mark.slow
def test_unknown_variants_are_refused_with_the_known_ones(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="no variant 'louder'") as raised:
        variant_settings("louder")
    assert all(name in raised.value.advice for name in variants.RECIPES)
    result = dubber("train", "expression", "--clips", tmp_path / "x.csv", "--variant", "louder")
    assert result.returncode == 2
    assert "landmarks-2d" in result.stderr


@pytest.mark.usefixtures("quick")
def test_the_command_writes_into_the_cache(manifest: Path, runtime: Runtime) -> None:
    result = CliRunner().invoke(
        app,
        [
            *("expression", "--clips", str(manifest), "--variant", "without-identity-removal", "--json"),
            *("--translator", "conv", "-o", str(runtime.weights.root), "--cache", str(runtime.cache_dir)),
        ],
    )
    assert result.exit_code == 0, result.output
    folder = variant_folder(runtime, "without-identity-removal")
    document = json.loads(result.stdout[result.stdout.index("{") :])
    assert document["output"] == str(folder)
    assert document["measures"]["train_speakers"] == 1
    assert "expression_conv" in WeightsFolder(folder).manifest
