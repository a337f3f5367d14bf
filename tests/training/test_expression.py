"""Mouths that follow the loudness of their sound: delays are found, mouths learned, runs resumed."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
import torch

from dubber.engine.progress import SilentProgress
from dubber.engine.stage import Runtime
from dubber.engine.weights import WeightEntry, WeightsFolder
from dubber.errors import ConfigError
from dubber.models.expression import ExpressionNet, listen
from dubber.training.dataset import provenance
from dubber.training.expression import train_expression, train_from_clips, weight_entry
from dubber.training.expression_settings import ExpressionTraining
from dubber.training.speech_data import Lesson, Lessons, TalkingClip, run_of, variants
from dubber.training.targets import make_modes
from tests.synth import make_clip

CPU = torch.device("cpu")
SETTINGS = ExpressionTraining(
    members=1, iterations=40, phone_iterations=0, delay_iterations=40, delay_rounds=1,
    classifier_iterations=30, identity_rounds=0, batch_size=8, length=120, learning_rate=5e-3,
    jitter=0.05, num_variants=2,
)  # fmt: skip
RATE = 16000


def opening(times_s: np.ndarray, phase: float) -> np.ndarray:
    return np.maximum(np.sin(2 * np.pi * 1.1 * times_s + phase) + 0.7 * np.sin(2 * np.pi * 0.37 * times_s), 0)


def clip(name: str, speaker: str, seed: int, *, late_s: float = 0.0, seconds: float = 8.0) -> TalkingClip:
    """A mouth that opens with the loudness of a noise, or of a hum; the sound is `late_s` late."""
    rng = np.random.default_rng(seed)
    sound_s, times_s = np.arange(round(RATE * seconds)) / RATE, np.arange(round(25 * seconds)) / 25
    phase = rng.uniform(0, 6)
    voice = rng.standard_normal(len(sound_s))
    if speaker == "hum":
        voice = 5 * np.diff(np.floor(sound_s * 120), prepend=0) + 0.1 * voice
    sound = 0.1 * opening(sound_s - late_s, phase) * voice
    expression = np.stack([opening(times_s, phase), 0.1 * rng.standard_normal(len(times_s))], axis=1)
    is_usable = np.ones(len(times_s), np.bool_)
    is_usable[:3] = False
    return TalkingClip(
        name, speaker, sound.astype(np.float32), times_s, expression.astype(np.float32), is_usable
    )


@pytest.fixture(scope="module")
def clips() -> list[TalkingClip]:
    return [
        clip("a.mp4", "breath", 1),
        clip("b.mp4", "breath", 2),
        clip("c.mp4", "hum", 3),
        clip("late.mp4", "hum", 4, late_s=0.2),
    ]


@pytest.fixture(scope="module")
def model() -> SimpleNamespace:
    """A face of 39 points whose first expression opens the mouth."""
    basis = np.zeros((2, 39, 3), np.float32)
    basis[0, 12:20, 1] = [0, -1, -1, -1, 0, 1, 1, 1]
    basis[1, :, 0] = 0.1
    return SimpleNamespace(expression_KV3=basis, landmark_sets={"mouth_jaw": np.arange(39)})


def follows(net: ExpressionNet, seed: int) -> float:
    """How well the opening of an unheard voice's mouth is followed."""
    unheard = clip("new.mp4", "breath", seed)
    heard = variants(unheard.samples_S, 1, 0)[0].features
    modes = np.concatenate([modes for modes, _ in listen(net, heard.steps_FC, heard.silence_C, CPU)])
    found = np.interp(unheard.times_s_T, np.arange(len(modes)) / 100, net.decode(modes)[:, 0])
    return float(np.corrcoef(found, unheard.expression_TK[:, 0])[0, 1])


def same(a: ExpressionNet, b: ExpressionNet) -> bool:
    other = b.state_dict()
    return all(torch.equal(value, other[name]) for name, value in a.state_dict().items())


@pytest.mark.parametrize("translator", ["lstm", "conv"])
def test_it_learns_and_finds_late_sound(
    tmp_path: Path, clips: list[TalkingClip], model: SimpleNamespace, translator: str
) -> None:
    settings = replace(SETTINGS, translator=translator)
    net, report = train_expression(clips, model, tmp_path, settings=settings, face_model_sha256="07" * 32)
    assert report == json.loads((tmp_path / f"report-{translator}.json").read_text())
    assert report["phones_named"] is report["speaker_probe"] is None
    delays = {name: row["delay_s"] for name, row in report["clips"].items()}
    assert delays["late.mp4"] - np.median([delays["a.mp4"], delays["b.mp4"]]) == pytest.approx(0.2, abs=0.06)
    assert follows(net, 50) > 0.7
    assert net.face_model_digest == "07" * 32


@pytest.mark.parametrize("translator", ["lstm", "conv"])
def test_a_run_killed_after_the_first_network_goes_on_to_the_same_weights(
    tmp_path: Path, clips: list[TalkingClip], model: SimpleNamespace, translator: str
) -> None:
    settings = replace(SETTINGS, translator=translator, iterations=4, delay_iterations=4)
    whole, _ = train_expression(clips, model, tmp_path / "whole", settings=settings)
    (tmp_path / "killed").mkdir()
    first = "delay0-expression.safetensors"
    (tmp_path / "killed" / first).write_bytes((tmp_path / "whole" / first).read_bytes())
    again, _ = train_expression(clips, model, tmp_path / "killed", settings=settings)
    assert same(whole, again)


@pytest.mark.slow
def test_voices_are_forgotten_and_the_mouth_is_not(
    tmp_path: Path, clips: list[TalkingClip], model: SimpleNamespace
) -> None:
    settings = replace(
        SETTINGS,
        translator="conv",
        delay_rounds=0,
        identity_rounds=2,
        identity_iterations=20,
        num_bases=4,
        num_variants=1,
    )
    net, report = train_expression(clips, model, tmp_path, settings=settings)
    probe = report["speaker_probe"]
    assert probe["chance"] == 0.5
    assert probe["before"] > 0.9
    assert 0 <= probe["after"] <= probe["before"]
    assert follows(net, 50) > 0.6
    again, report_again = train_expression(clips, model, tmp_path, settings=settings)  # all is read
    assert same(net, again)
    assert report_again["speaker_probe"] == probe


def test_one_speaker_has_no_identity_to_remove(
    tmp_path: Path, clips: list[TalkingClip], model: SimpleNamespace
) -> None:
    settings = replace(
        SETTINGS, translator="conv", delay_rounds=0, iterations=2, identity_rounds=1, identity_iterations=1
    )
    net, report = train_expression(clips[:2], model, tmp_path, settings=settings)
    assert report["speaker_probe"] is None
    assert not any(name.startswith("remover") for name in net.to_arrays())


@pytest.mark.slow
def test_all_steps_are_announced(tmp_path: Path, clips: list[TalkingClip], model: SimpleNamespace) -> None:
    class Count:
        total = done = 0

        def plan(self, stages: list[str]) -> None: ...
        def start(self, stage: str, total: int) -> None:
            self.total += total

        def advance(self, stage: str, count: int = 1) -> None:
            self.done += count

        def finish(self, stage: str, seconds: float, *, is_hit: bool) -> None: ...

    settings = replace(
        SETTINGS, translator="conv", members=2, iterations=2, delay_iterations=2, delay_rounds=2,
        classifier_iterations=2, identity_rounds=2, identity_iterations=2,
    )  # fmt: skip
    progress = Count()
    net, _ = train_expression(clips, model, tmp_path, settings=settings, progress=progress)
    assert progress.done == progress.total
    assert len(net.members) == 2
    first, second = (member.state_dict()["last.weight"] for member in net.members)
    assert not torch.equal(first, second)


def test_nothing_to_learn_from(tmp_path: Path, clips: list[TalkingClip], model: SimpleNamespace) -> None:
    short = replace(clips[0], samples_S=clips[0].samples_S[:4000])
    faceless = replace(clips[0], is_usable_T=np.zeros_like(clips[0].is_usable_T))
    for useless in ([], [short], [faceless]):
        with pytest.raises(ConfigError, match="nothing to learn"):
            train_expression(useless, model, tmp_path)


def test_modes_lose_nothing_and_liveliness_is_taken_out(
    clips: list[TalkingClip], model: SimpleNamespace
) -> None:
    metric = model.expression_KV3.reshape(2, -1)
    lively = replace(clips[0], expression_TK=3 * clips[0].expression_TK)
    encode, decode, std, found = make_modes([clips[0], lively, clips[1]], metric)
    np.testing.assert_allclose(encode @ decode, np.eye(2), atol=1e-4)
    assert std[0] > 5 * std[1]  # opening the mouth comes first
    assert found[1] == pytest.approx(3 * found[0], rel=1e-3)


def test_lessons_pair_what_is_heard_with_what_was_seen_then() -> None:
    """Steps whose feature is their time, and mouths whose mode is theirs; the sound is 0.2 s late."""
    times_s = np.arange(100) / 25
    made = clip("a.mp4", "breath", 1, seconds=4.0)
    heard = variants(made.samples_S, 1, 0)[0]
    steps = np.tile(heard.media_s_F.astype(np.float32)[:, None], (1, 28))
    heard = replace(
        heard, features=replace(heard.features, steps_FC=steps, silence_C=np.full(28, -9, np.float32))
    )
    lesson = Lesson([heard], times_s[:, None].astype(np.float32), made)
    lessons = Lessons([lesson], [0.2], before=7, after=3, length=50)
    features, wanted, weight = lessons.draw(30, np.random.default_rng(0), 0.0)
    assert features.shape == (30, 7 + 50 + 3, 28)
    answered = features[:, 7:-3, 0]
    counts = weight > 0
    np.testing.assert_allclose(wanted[counts][:, 0], answered[counts] - 0.2, atol=1e-5)
    assert not counts[answered < 0].any()  # beyond the clip
    assert (answered[counts] >= 0.2 + times_s[3] - 1e-6).all()  # its first frames show no face
    assert 0.5 < counts.mean() < 1


def test_runs_beyond_a_recording_are_silence() -> None:
    found = variants(clip("a.mp4", "breath", 1, seconds=1.0).samples_S, 1, 0)[0].features
    rng = np.random.default_rng(0)
    run = run_of(found, -5, len(found.steps_FC) + 10, rng, 0.0)
    np.testing.assert_array_equal(run[5:-5], found.steps_FC)
    np.testing.assert_array_equal(run[:5], np.tile(found.silence_C, (5, 1)))
    np.testing.assert_array_equal(run[-5:], np.tile(found.silence_C, (5, 1)))
    changed = run_of(found, 0, 50, rng, 0.2)
    gain = np.polyfit(found.steps_FC[:50, 3], changed[:, 3], 1)  # one gain and one shift for the run
    np.testing.assert_allclose(np.polyval(gain, found.steps_FC[:50, 3]), changed[:, 3], atol=1e-4)


def test_variants_begin_with_the_sound_itself(clips: list[TalkingClip]) -> None:
    plain, *others = variants(clips[0].samples_S, 4, 0)
    np.testing.assert_allclose(plain.media_s_F, np.arange(len(plain.media_s_F)) / 100)
    assert len(others) == 3
    for other in others:
        assert len(other.media_s_F) == len(other.features.steps_FC)
        assert other.media_s_F[-1] == pytest.approx(8.0, abs=0.1)  # whatever the speed


def test_the_weights_tell_what_taught_them(clips: list[TalkingClip]) -> None:
    rights = ["CC BY 4.0", "", "CC BY 4.0", "own footage"]
    assert provenance(rights) == "2 CC BY 4.0, 1 rights not stated, 1 own footage"
    known = [replace(made, rights=right) for made, right in zip(clips, rights, strict=True)]
    face = WeightEntry(
        file="f", sha256="0" * 64, kind="face model", licence="Special",
        is_commercial_use_allowed=False, training_data="x", recipe="x", description="x",
    )  # fmt: skip
    entry = weight_entry("conv", known, face)
    assert entry["licence"] == "Special"
    assert entry["is_commercial_use_allowed"] is False
    assert "4 talking clips of 2 people (2 CC BY 4.0" in entry["training_data"]
    assert "--translator conv" in entry["recipe"]


@pytest.mark.slow
def test_a_teacher_s_clips_are_learned_from_whatever_their_split(runtime: Runtime, tmp_path: Path) -> None:
    make_clip(tmp_path / "own.mp4", num_frames=40, seed=1)
    make_clip(tmp_path / "made.mp4", num_frames=30, seed=2)
    manifest, teacher, out = tmp_path / "clips.csv", tmp_path / "teacher.csv", tmp_path / "weights"
    manifest.write_text(
        "file,split,speaker,rights\nown.mp4,train,ann,own footage\nabsent.mp4,dev,bob,own footage\n"
    )
    teacher.write_text("file,split,speaker\nmade.mp4,pseudo,cleo\n")
    settings = replace(SETTINGS, translator="conv", iterations=2, delay_iterations=2, num_variants=1)
    measures = train_from_clips(manifest, out, runtime, SilentProgress(), settings=settings, teacher=teacher)
    assert measures["train_clips"] == measures["train_speakers"] == 2
    assert measures["train_frames"] == 70
    weights = WeightsFolder(out)
    assert list(weights.manifest) == ["expression_conv"]
    entry = weights.entry("expression_conv")
    assert "2 talking clips of 2 people (1 own footage, 1 rights not stated)" in entry.training_data
    net = ExpressionNet.from_weight(weights.open("expression_conv"))
    assert net.face_model_digest == runtime.weights.entry("face_model").sha256
    # Without the teacher it is another training.
    alone = train_from_clips(manifest, out, runtime, SilentProgress(), settings=settings)
    assert alone["train_clips"] == 1
    assert weights.entry("expression_conv").sha256 != WeightsFolder(out).entry("expression_conv").sha256


@pytest.mark.slow
def test_other_clips_are_another_training(runtime: Runtime, tmp_path: Path) -> None:
    """As many clips and the same names: yesterday's checkpoints are not theirs."""
    manifest, trained = tmp_path / "clips.csv", []
    manifest.write_text("file,split,speaker\nclip.mp4,train,ann\n")
    settings = replace(SETTINGS, translator="conv", iterations=2, delay_rounds=0, num_variants=1)
    for seed in (1, 2, 1):
        make_clip(tmp_path / "clip.mp4", num_frames=30, seed=seed)
        train_from_clips(manifest, tmp_path / "weights", runtime, SilentProgress(), settings=settings)
        weight = WeightsFolder(tmp_path / "weights").open("expression_conv")
        trained.append(weight.arrays["members.0.encoder.first.weight"])
    np.testing.assert_array_equal(trained[0], trained[2])
    assert not np.array_equal(trained[0], trained[1])
