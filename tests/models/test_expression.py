"""The network hears its window and no more, says the same whatever the batch, and can learn."""

from __future__ import annotations

from types import SimpleNamespace

import numpy as np
import pytest
import torch
from safetensors.numpy import save_file

from dubber.engine.key import file_sha256
from dubber.engine.weights import Weight, WeightsFolder, default_weights_dir
from dubber.errors import ConfigError, WeightsError
from dubber.models import expression as module
from dubber.models.expression import ExpressionNet, calibrated, predict_steps, rest_modes
from dubber.training.expression import make_modes, train_expression
from dubber.training.expression_loop import ExpressionTraining, one_cycle
from dubber.training.speech_data import TalkingClip, best_lag, variants

torch.set_num_threads(1)  # networks this small only wait for each other on more
CPU = torch.device("cpu")


def small_net(members=2, **sizes):
    torch.manual_seed(0)
    net = ExpressionNet(28, 5, 4, hidden=8, layers=2, members=members, **sizes).eval()
    net.encode_KZ.copy_(torch.randn(4, 5))
    net.decode_ZK.copy_(torch.linalg.pinv(net.encode_KZ))
    return net


def test_the_last_step_of_a_window_is_the_answer():
    net, windows = small_net(), torch.randn(3, 100, 28)
    with torch.inference_mode():
        assert torch.equal(net(windows), net.steps(windows)[:, -1])
        assert torch.allclose(net(windows)[1], net(windows[1:2])[0], atol=1e-6)  # batch 1 and batch 3 agree
        alone = [small_net()(windows) for _ in range(2)]
        assert torch.equal(alone[0], alone[1])


def test_steps_in_chunks_are_windows_at_every_step(monkeypatch):
    monkeypatch.setattr(module, "_CHUNK_STEPS", 1)  # one answer per chunk: each hears its window alone
    monkeypatch.setattr(module, "_CHUNKS_AT_ONCE", 7)
    net = small_net()
    rng = np.random.default_rng(0)
    steps, silence = rng.standard_normal((30, 28)).astype(np.float32), np.full(28, -1, np.float32)
    found = predict_steps(net, steps, silence, CPU)
    padded = np.concatenate([np.tile(silence, (80, 1)), steps, np.tile(silence, (20, 1))])
    windows = torch.from_numpy(np.stack([padded[step : step + 100] for step in range(30)]))
    with torch.inference_mode():
        assert found == pytest.approx(net(windows).numpy(), abs=1e-5)


def test_long_recordings_are_answered_step_by_step_without_seams():
    net = small_net()
    rng = np.random.default_rng(0)
    steps = rng.standard_normal((950, 28)).astype(np.float32)
    found = predict_steps(net, steps, np.zeros(28, np.float32), CPU)
    assert found.shape == (950, 5)
    with torch.inference_mode():
        padded = np.concatenate([np.zeros((80, 28)), steps, np.zeros((20, 28))]).astype(np.float32)
        whole = net.steps(torch.from_numpy(padded)[None])[0, 99:].numpy()
    assert found == pytest.approx(whole[:950], abs=1e-3)  # an LSTM forgets what lies before its window


def test_weights_survive_a_file_and_other_files_are_refused(tmp_path):
    net = small_net()
    net.face_model_sha256[:] = 7
    again = ExpressionNet.from_weight(Weight(net.to_arrays(), {}))
    windows = torch.randn(2, 100, 28)
    with torch.inference_mode():
        assert torch.equal(net(windows), again(windows))
    assert again.face_model_digest == "07" * 32
    assert small_net().face_model_digest == ""
    for broken in (
        {},
        {"window": np.array([80, 20])},
        {**net.to_arrays(), "last.0.weight": np.zeros((2, 3))},
    ):
        with pytest.raises(WeightsError):
            ExpressionNet.from_weight(Weight(broken, {}))


def test_calibration_takes_the_target_s_mean_and_range():
    net = small_net()
    net.mode_std_Z[:] = 2.0
    rng = np.random.default_rng(0)
    target = (3 + 0.5 * rng.standard_normal((4000, 4))).astype(np.float32)
    own = net.encode(target)
    modes = (0.2 * rng.standard_normal((3000, 5))).astype(np.float32)  # small: far from the limit
    out = calibrated(net, modes, target, gain=1.5)
    assert out.mean(axis=0) == pytest.approx(own.mean(axis=0), abs=0.05)
    assert out.std(axis=0) == pytest.approx(1.5 * 0.1 * own.std(axis=0), rel=0.1)
    wild = calibrated(net, 1000 * modes, target, gain=1.0)
    assert (np.abs(wild - own.mean(axis=0)) <= 3.15 * own.std(axis=0)).all()
    assert calibrated(net, modes, target, gain=0.0) == pytest.approx(
        np.tile(own.mean(axis=0), (3000, 1)), abs=1e-4
    )


def test_rest_is_the_mean_of_the_most_shut_frames():
    net = small_net()
    target = np.repeat(np.arange(20, dtype=np.float32)[:, None], 4, axis=1)
    opening = np.arange(20, dtype=np.float32)[::-1]
    assert rest_modes(net, target, opening) == pytest.approx(net.encode(target[18:]).mean(axis=0), abs=1e-4)


def talking_clips(count, late_s):
    """Mouths that follow the loudness of a noise, with the sound `late_s` after the picture."""
    clips = []
    rng = np.random.default_rng(0)
    for index in range(count):
        sound_s, times_s = np.arange(16000 * 5) / 16000, np.arange(125) / 25
        phase = rng.uniform(0, 6)

        def open_at(t, phase=phase):
            return np.maximum(np.sin(2 * np.pi * 1.1 * t + phase) + 0.7 * np.sin(2 * np.pi * 0.37 * t), 0)

        sound = 0.1 * open_at(sound_s - late_s) * rng.standard_normal(len(sound_s))
        expression = np.stack([open_at(times_s), 0.1 * rng.standard_normal(125)], axis=1)
        usable = np.ones(125, bool)
        usable[:3] = False
        clips.append(
            TalkingClip(
                f"clip{index}", "a", sound.astype(np.float32), times_s, expression.astype(np.float32), usable
            )
        )
    return clips


def two_expressions():
    """A face of 39 points whose first expression opens the mouth."""
    basis = np.zeros((2, 39, 3), np.float32)
    basis[0, 12:20, 1] = [0, -1, -1, -1, 0, 1, 1, 1]
    basis[1, :, 0] = 0.1
    return SimpleNamespace(expression_KV3=basis, landmark_sets={"mouth_jaw": np.arange(39)})


def test_training_learns_finds_late_sound_and_resumes_to_the_same_weights(tmp_path):
    settings = ExpressionTraining(
        hidden=16, layers=1, members=1, iterations=60, delay_iterations=60, delay_rounds=1, batch_size=8,
        length=160, learning_rate=1e-2, dropout=0.0, jitter=0.05, num_variants=2,
    )  # fmt: skip
    clips = talking_clips(3, 0.0) + [
        TalkingClip(
            f"late{i}",
            "b",
            *[getattr(c, n) for n in ("samples_S", "times_s_T", "expression_TK", "is_usable_T")],
        )
        for i, c in enumerate(talking_clips(1, 0.2))
    ]
    net, report = train_expression(clips, two_expressions(), tmp_path / "a", settings=settings)
    delays = {name: row["delay_s"] for name, row in report["clips"].items()}
    assert delays["late0"] - np.median([delays[f"clip{i}"] for i in range(3)]) == pytest.approx(0.2, abs=0.06)
    assert (tmp_path / "a" / "curve.csv").read_text().count("\n") == 3  # header and the end of both networks
    # A run killed after the first network goes on to the very same weights.
    (tmp_path / "b").mkdir()
    first = tmp_path / "a" / "delay0.safetensors"
    (tmp_path / "b" / "delay0.safetensors").write_bytes(first.read_bytes())
    again, _ = train_expression(clips, two_expressions(), tmp_path / "b", settings=settings)
    for name, value in net.state_dict().items():
        assert torch.equal(value, again.state_dict()[name]), name
    # It has learned: an unheard recording's mouth is followed.
    rng = np.random.default_rng(5)
    times_s = np.arange(80000) / 16000
    opening = np.maximum(np.sin(2 * np.pi * 0.9 * times_s), 0)
    heard = variants((0.1 * opening * rng.standard_normal(80000)).astype(np.float32), 1, 0)[0].features
    modes = predict_steps(net, heard.steps_FC, heard.silence_C, CPU)
    found = net.decode(modes)[:, 0]
    assert np.corrcoef(found[:500], opening[::160][:500])[0, 1] > 0.7


def test_nothing_to_learn_from(tmp_path):
    with pytest.raises(ConfigError, match="nothing to learn"):
        train_expression([], two_expressions(), tmp_path)


def test_modes_lose_nothing():
    clips = talking_clips(2, 0.0)
    metric = two_expressions().expression_KV3.reshape(2, -1)
    encode, decode, std, lively = make_modes(clips, metric)
    assert encode @ decode == pytest.approx(np.eye(2), abs=1e-4)
    assert std[0] > 5 * std[1]  # opening the mouth comes first
    assert lively == pytest.approx([1, 1], abs=0.3)


def test_best_lag():
    rng = np.random.default_rng(0)
    seen = np.convolve(rng.standard_normal(500), np.ones(9), mode="same")
    known = np.ones(500, bool)
    assert best_lag(np.roll(seen, 7), seen, known, 20)[1] == 7
    assert best_lag(np.roll(seen, -4), seen, known, 20)[1] == -4
    assert best_lag(np.zeros(500), seen, known, 20) == (0.0, 0)


def test_learning_rate_rises_then_falls():
    rates = [one_cycle(x) for x in np.linspace(0, 1, 50)]
    assert 0.05 <= np.argmax(rates) / 49 <= 0.15
    assert rates[-1] < 0.01


def test_the_shipped_weights_open(tmp_path):
    folder = WeightsFolder(default_weights_dir())
    if "expression" not in folder.manifest:
        pytest.skip("no expression weights in this tree")
    assert folder.path("expression").stat().st_size < 5_000_000
    net = ExpressionNet.from_weight(folder.open("expression"))
    if "face_model" in folder.manifest:
        assert net.face_model_digest == folder.entry("face_model").sha256
    other = tmp_path / "x.safetensors"
    save_file(net.to_arrays(), other, metadata={"name": "expression"})
    assert file_sha256(other) == folder.entry("expression").sha256
