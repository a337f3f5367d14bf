"""The network says the same whatever batch and chunk, survives its file, and knows the target's range."""

from __future__ import annotations

import inspect

import numpy as np
import pytest
import torch
from safetensors.numpy import save_file

from dubber.engine.key import file_sha256
from dubber.engine.weights import Weight, WeightsFolder, default_weights_dir
from dubber.errors import WeightsError
from dubber.models.expression import ExpressionNet, TargetRange, listen, rest_modes
from dubber.models.speech_net import RUN_UP

CPU = torch.device("cpu")
KINDS = [("lstm", 0), ("lstm", 3), ("conv", 0), ("conv", 3)]


def small_net(translator="lstm", num_bases=3, members=2):
    torch.manual_seed(0)
    sizes = {"hidden": 6} if translator == "lstm" else {}
    net = ExpressionNet(translator, 28, 5, 4, members=members, num_bases=num_bases, width=8, **sizes).eval()
    net.encode_KZ.copy_(torch.randn(4, 5))
    net.decode_ZK.copy_(torch.linalg.pinv(net.encode_KZ))
    net.feature_mean_C.normal_()
    net.feature_std_C.uniform_(0.5, 2)
    net.mode_std_Z.copy_(torch.arange(1, 6))
    if num_bases:
        torch.nn.init.normal_(net.remover.bases_JCC, std=0.05)
    for module in net.modules():
        if isinstance(module, torch.nn.BatchNorm1d):
            module.running_mean.normal_()
            module.running_var.uniform_(0.5, 2)
    return net


@pytest.mark.parametrize(("translator", "num_bases"), KINDS)
def test_an_answer_hears_nothing_beyond_its_context(translator, num_bases):
    net = small_net(translator, num_bases)
    if num_bases:
        assert net.before >= RUN_UP  # the remover has heard a second before it counts
    run = torch.randn(1, net.before + 10 + net.after, 28)
    with torch.inference_mode():
        answers = net(run)
        assert answers.shape == (1, 10, 5)
        for step in (4 + net.before, 4 + net.before + net.after):
            other = run.clone()
            other[:, step] += 5.0
            assert not torch.equal(net(other)[:, 4], answers[:, 4])
        other[:, 4 + net.before + net.after] = run[:, 4 + net.before + net.after]
        other[:, 4 + net.before + net.after + 1 :] += 5.0
        torch.testing.assert_close(net(other)[:, :5], answers[:, :5], rtol=0, atol=1e-4)
        # Whoever looks at the very window of an answer gets the answer, but for what is remembered.
        alone = net(run[:, 4 : 4 + net.before + 1 + net.after])
        torch.testing.assert_close(alone[:, 0], answers[:, 4], rtol=0, atol=1e-3)


@pytest.mark.parametrize(("translator", "num_bases"), KINDS)
def test_the_batch_does_not_matter(translator, num_bases):
    net = small_net(translator, num_bases)
    runs = torch.randn(3, net.before + 20 + net.after, 28)
    with torch.inference_mode():
        together, hidden = net(runs), net.hidden(runs)
        torch.testing.assert_close(net.modes(hidden), together, rtol=0, atol=0)
        for index in range(3):
            torch.testing.assert_close(net(runs[index : index + 1])[0], together[index], rtol=0, atol=1e-4)


def test_members_are_averaged():
    net = small_net("conv", 0)
    runs = torch.randn(1, net.before + 4 + net.after, 28)
    with torch.inference_mode():
        scaled = (runs - net.feature_mean_C) / net.feature_std_C
        wanted = (net.members[0](scaled) + net.members[1](scaled)) / 2 * net.mode_std_Z
        torch.testing.assert_close(net(runs), wanted)


@pytest.mark.parametrize(("translator", "num_bases"), KINDS)
@pytest.mark.parametrize("num_steps", [1, 399, 400, 401, 950])
def test_long_recordings_are_answered_step_by_step_without_seams(translator, num_bases, num_steps):
    net = small_net(translator, num_bases)
    rng = np.random.default_rng(0)
    steps = rng.standard_normal((num_steps, 28)).astype(np.float32)
    silence = np.full(28, -1, np.float32)
    chunks = list(listen(net, steps, silence, CPU))
    modes = np.concatenate([modes for modes, _ in chunks])
    hidden = np.concatenate([hidden for _, hidden in chunks])
    assert modes.shape == (num_steps, 5)
    assert len(hidden) == num_steps
    assert modes.dtype == hidden.dtype == np.float32
    padded = np.concatenate([np.tile(silence, (net.before, 1)), steps, np.tile(silence, (net.after, 1))])
    with torch.inference_mode():
        whole = net(torch.from_numpy(padded)[None])[0].numpy()
        again = net.modes(torch.from_numpy(hidden)[None])[0].numpy()
    # An LSTM forgets what lies before its run-up; convolutions have nothing to forget.
    remembers = translator == "lstm" or num_bases > 0
    np.testing.assert_allclose(modes, whole, atol=2e-3 if remembers else 1e-4)
    np.testing.assert_allclose(again, modes, atol=1e-4)


def test_a_long_recording_comes_in_pieces():
    net = small_net("conv", 0, members=1)
    assert inspect.isgeneratorfunction(listen)
    pieces = listen(net, np.zeros((20_000, 28), np.float32), np.zeros(28, np.float32), CPU)
    lengths = [len(modes) for modes, _ in pieces]
    assert sum(lengths) == 20_000
    assert max(lengths) <= 6400


@pytest.mark.parametrize(("translator", "num_bases"), KINDS)
def test_weights_survive_a_file(translator, num_bases):
    net = small_net(translator, num_bases)
    net.face_model_sha256[:] = 7
    again = ExpressionNet.from_weight(Weight(net.to_arrays(), {}))
    assert not again.training
    runs = torch.randn(2, net.before + 5 + net.after, 28)
    with torch.inference_mode():
        assert torch.allclose(net(runs), again(runs), atol=5e-3)  # half precision
        third = ExpressionNet.from_weight(Weight(again.to_arrays(), {}))
        assert torch.equal(again(runs), third(runs))
    assert again.face_model_digest == "07" * 32
    assert again.num_coefficients == 4
    assert small_net().face_model_digest == ""


@pytest.mark.parametrize("translator", ["lstm", "conv"])
def test_other_weights_are_refused(translator):
    arrays = small_net(translator).to_arrays()
    without = [name for name in arrays if name.endswith(("last.bias", "mode_std_Z", "remover.mix.weight"))]
    broken = [
        {},
        {"window": np.array([80, 20])},
        {**arrays, "members.0.last.weight": np.zeros((2, 3), np.float32)},
        {**arrays, "encode_KZ": np.zeros(4, np.float32)},
        {**arrays, "remover.bases_JCC": np.float32(1)},
        {**arrays, "unknown": np.zeros(1, np.float32)},
        *({name: value for name, value in arrays.items() if name != missing} for missing in without),
    ]
    for case in broken:
        with pytest.raises(WeightsError, match="no expression network"):
            ExpressionNet.from_weight(Weight(case, {}))


def test_the_target_s_range():
    net = small_net()
    rng = np.random.default_rng(0)
    target = (3 + 0.5 * rng.standard_normal((4000, 4))).astype(np.float32)
    own = net.encode(target)
    reach = TargetRange.measured(net, target)
    np.testing.assert_allclose(reach.mean_Z, own.mean(axis=0), atol=1e-3)
    np.testing.assert_allclose(reach.std_Z, own.std(axis=0), rtol=0.05)
    np.testing.assert_allclose(reach.scale_Z * net.mode_std_Z.numpy(), reach.std_Z, rtol=1e-5)
    # One frame says nothing about a range: the usual one is taken.
    np.testing.assert_allclose(TargetRange.measured(net, target[:1]).std_Z, net.mode_std_Z, rtol=0.05)


def test_limits_leave_small_deviations_alone_and_stop_wild_ones():
    net = small_net()
    rng = np.random.default_rng(0)
    reach = TargetRange.measured(net, rng.standard_normal((500, 4)).astype(np.float32))
    small = (0.1 * reach.std_Z * rng.standard_normal((300, 5))).astype(np.float32)
    np.testing.assert_allclose(reach.limited(small) - reach.mean_Z, small, atol=0.01 * reach.std_Z.max())
    wild = reach.limited(1000 * small) - reach.mean_Z
    assert (np.abs(wild) <= 3.01 * reach.std_Z).all()
    assert (np.sign(wild) == np.sign(small)).mean() > 0.99
    np.testing.assert_allclose(reach.limited(np.zeros((2, 5), np.float32)), np.tile(reach.mean_Z, (2, 1)))


def test_rest_is_the_mean_of_the_most_shut_frames():
    net = small_net()
    target = np.repeat(np.arange(20, dtype=np.float32)[:, None], 4, axis=1)
    opening = np.arange(20, dtype=np.float32)[::-1]
    assert rest_modes(net, target, opening) == pytest.approx(net.encode(target[18:]).mean(axis=0), abs=1e-4)


@pytest.mark.parametrize("name", ["expression", "expression_conv"])
def test_the_shipped_weights_open(tmp_path, name):
    folder = WeightsFolder(default_weights_dir())
    if name not in folder.manifest:
        pytest.skip("no expression weights in this tree")
    assert folder.path(name).stat().st_size < 5_000_000
    net = ExpressionNet.from_weight(folder.open(name))
    if "face_model" in folder.manifest:
        assert net.face_model_digest == folder.entry("face_model").sha256
    other = tmp_path / "x.safetensors"
    save_file(net.to_arrays(), other, metadata={"name": name})
    assert file_sha256(other) == folder.entry(name).sha256
