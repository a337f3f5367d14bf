"""SyncNet's layout, its features of the voice, and a network made so that the right answer is known."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch
from safetensors.torch import save_file
from torch import nn

from dubber.errors import WeightsError
from dubber.evaluation.pairs import Pair
from dubber.evaluation.syncnet import LipSync, SyncNet, cepstra, face_crop, lip_sync_error, voice_features

PUBLISHED = {
    "netcnnaud.0.weight": (64, 1, 3, 3),
    "netcnnaud.4.weight": (192, 64, 3, 3),
    "netcnnaud.8.weight": (384, 192, 3, 3),
    "netcnnaud.11.weight": (256, 384, 3, 3),
    "netcnnaud.14.weight": (256, 256, 3, 3),
    "netcnnaud.18.weight": (512, 256, 5, 4),
    "netcnnaud.19.running_var": (512,),
    "netcnnlip.0.weight": (96, 3, 5, 7, 7),
    "netcnnlip.4.weight": (256, 96, 1, 5, 5),
    "netcnnlip.8.weight": (256, 256, 1, 3, 3),
    "netcnnlip.11.weight": (256, 256, 1, 3, 3),
    "netcnnlip.14.weight": (256, 256, 1, 3, 3),
    "netcnnlip.18.weight": (512, 256, 1, 6, 6),
    "netfcaud.0.weight": (512, 512),
    "netfcaud.3.weight": (1024, 512),
    "netfclip.1.running_mean": (512,),
    "netfclip.3.bias": (1024,),
}
"""Some tensors of the published file."""


def test_the_layout_is_the_published_file_s() -> None:
    state = SyncNet().state_dict()
    assert {name: tuple(state[name].shape) for name in PUBLISHED} == PUBLISHED
    weights = [name for name, value in state.items() if name.endswith("weight") and value.ndim > 1]
    assert len(weights) == 6 + 6 + 2 + 2


@pytest.mark.parametrize("suffix", [".model", ".safetensors"])
def test_weights_are_read_back(tmp_path: Path, suffix: str) -> None:
    torch.manual_seed(0)
    net = SyncNet().eval()
    state = {name: value for name, value in net.state_dict().items() if "num_batches" not in name}
    path = tmp_path / f"syncnet{suffix}"
    save_file(state, path) if suffix == ".safetensors" else torch.save(state, path)
    steps = torch.randn(2, 1, 13, 20)
    torch.testing.assert_close(SyncNet.from_file(path).hear(steps), net.hear(steps))


def test_wrong_files_are_told_apart(tmp_path: Path) -> None:
    with pytest.raises(WeightsError, match="no file"):
        SyncNet.from_file(tmp_path / "absent.model")
    text = tmp_path / "text.model"
    text.write_text("no weights")
    with pytest.raises(WeightsError, match="no readable weights"):
        SyncNet.from_file(text)
    other = tmp_path / "other.model"
    torch.save(nn.Linear(3, 3).state_dict(), other)
    with pytest.raises(WeightsError, match=r"not those of SyncNet.*bias"):
        SyncNet.from_file(other)
    code = tmp_path / "code.model"
    torch.save(nn.Linear(3, 3), code)  # a whole module: loading it would run code
    with pytest.raises(WeightsError, match="no readable weights"):
        SyncNet.from_file(code)


def test_cepstra_of_silence_and_of_a_tone() -> None:
    silence = cepstra(np.zeros(16000, np.float32))
    assert silence.shape == (99, 13)
    np.testing.assert_allclose(silence[:, 1:], 0, atol=1e-4)  # an even spectrum
    np.testing.assert_allclose(silence[:, 0], np.log(np.finfo(np.float64).eps), rtol=1e-5)
    tone = np.sin(2 * np.pi * 1000 * np.arange(16000) / 16000).astype(np.float32)
    louder = cepstra(tone) - cepstra(0.1 * tone)
    np.testing.assert_allclose(louder[5:-5, 0], 2 * np.log(10), atol=1e-3)
    np.testing.assert_allclose(louder[5:-5, 1:], 0, atol=1e-3)


def test_the_face_is_cut_with_room_around_it() -> None:
    picture = np.zeros((200, 300, 3), np.uint8)
    picture[..., 0] = np.arange(300, dtype=np.uint16).clip(0, 255)
    crop = face_crop(picture, np.float32([100, 50, 200, 150]))
    assert crop.shape == (224, 224, 3)
    assert crop[..., :2].max() == 0  # red came last
    assert (crop[100, 2, 2], crop[100, -3, 2]) == (pytest.approx(81, abs=2), pytest.approx(218, abs=2))
    outside = face_crop(picture, np.float32([-20, 50, 80, 150]))
    assert tuple(outside[100, 2]) == (110, 110, 110)


def passing_net() -> SyncNet:
    """The lips' feature is the brightness of a window's middle picture, the voice's its log energy."""
    net = SyncNet().eval()
    for layer in net.modules():
        if isinstance(layer, nn.Conv2d | nn.Conv3d | nn.Linear):
            nn.init.zeros_(layer.weight)
            nn.init.zeros_(layer.bias)
            middle = tuple(side // 2 for side in layer.weight.shape[2:])
            layer.weight.data[(0, 0, *middle)] = 1
    net.netcnnaud[18].weight.data.zero_()[0, 0, 0, 1] = 1  # the energy lies in the first row
    return net


@pytest.mark.parametrize("late", [-3, 4])
@pytest.mark.slow
def test_a_network_that_knows_finds_the_shift(late: int) -> None:
    rng = np.random.default_rng(0)
    loud_S = np.repeat(10 ** rng.uniform(-2, 0, 64), 640)
    samples = (0.5 * loud_S * rng.uniform(-1, 1, len(loud_S))).astype(np.float32)
    net = passing_net()
    heard = voice_features(net, samples, np.arange(-10, 60))[10:, 0]
    net.netfcaud[3].weight.data *= 10
    meter = LipSync(net, samples, None)
    box, eye = np.float32([60, 60, 120, 120]), np.eye(2, 3, dtype=np.float32)
    for n in range(18, 46):
        # What a window sees in its middle is what it hears from its start on.
        picture = np.full((180, 180, 3), round(10 * float(heard[n - 2 - late])), np.uint8)
        meter.add(Pair(n, n / 25, picture, picture, eye, np.zeros((468, 3), np.float32), box))
    found = meter.measures()
    assert found["sync_offset_frames"] == late
    assert found["lse_d"] is not None
    assert found["lse_c"] is not None
    assert found["lse_c"] > 2 * found["lse_d"]
    assert found["filmed_lse_d"] is None  # it has no sound


def test_no_voice_outside_the_recording() -> None:
    voice = voice_features(passing_net(), np.full(16000, 0.1, np.float32), np.array([-1, 0, 19, 21]))
    np.testing.assert_array_equal(voice[:, 0] > 0, [False, True, True, False])


def test_distance_and_confidence_by_hand() -> None:
    voice = np.zeros((40, 2), np.float32)
    voice[:, 0] = 100 + np.arange(40)
    lips = voice[[18, 19]] + np.float32([0, 3])  # at positions 0 and 1: found 18 - 15 = 3 frames later
    distance, confidence, offset = lip_sync_error(lips, voice, np.array([0, 1]))
    assert (distance, offset) == (pytest.approx(3), -3)
    shifts = np.sqrt((np.arange(31) - 18.0) ** 2 + 9)
    assert confidence == pytest.approx(np.median(shifts) - 3)
