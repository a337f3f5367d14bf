"""Measures by networks of the user's, on networks small enough to know what they must say."""

from __future__ import annotations

from pathlib import Path

import cv2
import numpy as np
import pytest
import torch
from torch import nn

from dubber.errors import WeightsError
from dubber.evaluation.arcface import Identity
from dubber.evaluation.frechet import FrechetDistance, frechet_distance
from dubber.evaluation.pairs import Pair
from dubber.evaluation.perceptual import VggDistance, vgg_distance
from dubber.evaluation.user_networks import UserNetworks
from dubber.models.user_weights import load_state
from dubber.models.vgg import VggFeatures
from dubber.ops.landmarks import EYE_LEFT, EYE_RIGHT, MOUTH_JAW, MOUTH_OUTER, NOSE_TIP
from dubber.tracking.arcface import FIVE_POINTS_52, five_points
from tests.conftest import REAL_CLIPS
from tests.tracking.networks import write_embedding_network

VGG = REAL_CLIPS.parent / "models" / "vgg19_normalised_conv1_1_to_conv3_1.safetensors"


def picture(seed: int) -> np.ndarray:
    noise = np.random.default_rng(seed).normal(0, 1, (384, 384, 3))
    smooth = cv2.GaussianBlur(noise, (0, 0), 6)
    return np.clip(128 + 50 * smooth / smooth.std(), 0, 255).astype(np.uint8)


def pair_of(made: np.ndarray, filmed: np.ndarray, n: int = 0) -> Pair:
    landmarks = np.zeros((468, 3), np.float32)
    landmarks[MOUTH_JAW, :2] = np.random.default_rng(0).uniform(120, 300, (39, 2))
    landmarks[EYE_RIGHT[:2], :2], landmarks[EYE_LEFT[:2], :2] = (140, 170), (240, 170)
    landmarks[NOSE_TIP, :2] = (190, 230)
    landmarks[MOUTH_OUTER[[0, 6]], :2] = (150, 285), (230, 285)
    eye = np.eye(2, 3, dtype=np.float32)
    return Pair(n, n / 25, made, filmed, eye, landmarks, np.float32([100, 80, 290, 330]))


def csim(network: Path, made: np.ndarray, filmed: np.ndarray) -> float:
    identity = Identity(network)
    identity.add(pair_of(made, filmed))
    value = identity.measures()["csim"]
    assert value is not None
    return value


def test_csim_is_a_cosine(tmp_path: Path) -> None:
    network = write_embedding_network(tmp_path / "arcface.onnx")
    face = picture(0)
    assert csim(network, face, face) == pytest.approx(1)
    assert csim(network, 255 - face, face) == pytest.approx(-1, abs=1e-3)
    assert abs(csim(network, picture(1), face)) < 0.6


def test_the_five_points_are_where_the_eyes_and_the_mouth_are() -> None:
    points = five_points(pair_of(picture(0), picture(0)).landmarks_L3)
    np.testing.assert_allclose(points, [[140, 170], [240, 170], [190, 230], [150, 285], [230, 285]])
    assert points.shape == FIVE_POINTS_52.shape


def test_a_file_that_is_no_network_is_refused(tmp_path: Path) -> None:
    text = tmp_path / "text"
    text.write_text("no network")
    for option, message in (
        ("syncnet", "no readable weights"),
        ("arcface", "no ArcFace"),
        ("fid_features", "no TorchScript"),
        ("vgg", "no readable weights"),
    ):
        with pytest.raises(WeightsError, match=message) as raised:
            UserNetworks(**{option: text}).check()
        assert (raised.value.where, raised.value.exit_code) == (str(text), 4)
        with pytest.raises(WeightsError, match="There is no"):
            UserNetworks(**{option: tmp_path / "absent"}).check()


def test_without_files_nothing_is_measured() -> None:
    assert UserNetworks().measures(None, None) == []


def test_frechet_distance_of_normals() -> None:
    zero, eye = np.zeros(3), np.eye(3)
    assert frechet_distance(zero, eye, zero, eye) == pytest.approx(0, abs=1e-9)
    assert frechet_distance(zero, eye, np.array([3.0, 4, 0]), eye) == pytest.approx(25)
    # Of diagonal covariances it is the squared difference of the standard deviations.
    assert frechet_distance(zero, np.diag([4.0, 9, 1]), zero, eye) == pytest.approx(1 + 4 + 0)


class ChannelMeans(nn.Module):
    def forward(self, pictures: torch.Tensor, return_features: bool = False) -> torch.Tensor:
        means = pictures.float().mean(dim=[2, 3])
        return means if return_features else means[:, :1]


class NoFeatures(nn.Module):
    def forward(self, pictures: torch.Tensor) -> torch.Tensor:
        return pictures.float()


def test_fid_of_a_torchscript_network(tmp_path: Path) -> None:
    path = tmp_path / "features.pt"
    torch.jit.script(ChannelMeans()).save(str(path))
    measure = FrechetDistance(path)
    assert measure.measures() == {"fid": None, "fid_frames": 0}
    faces = [picture(seed).astype(np.int16) // 2 + 60 for seed in range(6)]
    for n, face in enumerate(faces):
        measure.add(pair_of((face + 5).astype(np.uint8), face.astype(np.uint8), n))
    found = measure.measures()
    assert found["fid_frames"] == 6
    assert found["fid"] == pytest.approx(3 * 5**2, rel=1e-3)  # the same spread, each mean 5 levels off

    torch.jit.script(NoFeatures()).save(str(path))
    with pytest.raises(WeightsError, match=r"\(2, D\)"):
        FrechetDistance(path)


def test_vgg_distance_grows_with_blur_and_needs_its_own_layout(tmp_path: Path) -> None:
    torch.manual_seed(0)
    path = tmp_path / "vgg.pth"
    torch.save(VggFeatures().state_dict(), path)
    measure = VggDistance(path)
    face = picture(0)
    measure.add(pair_of(face, face))
    assert measure.measures() == {"vgg_distance": 0}
    torch.save({"0.weight": torch.zeros(3, 3, 1, 1)}, path)
    with pytest.raises(WeightsError, match="not those of a normalised VGG-19"):
        VggDistance(path)


def test_the_real_vgg_sees_blur_rather_than_light() -> None:
    if not VGG.is_file():
        pytest.skip(f"the weights {VGG.name} are not here (set DUBBER_TEST_CLIPS to a folder beside models/)")
    net = VggFeatures()
    load_state(net, VGG, "VGG-19")
    face = picture(0)
    face = np.clip(face + np.random.default_rng(3).normal(0, 12, face.shape), 0, 255).astype(np.uint8)
    blurred = np.asarray(cv2.GaussianBlur(face, (0, 0), 2))
    error = float(np.sqrt(np.mean((blurred.astype(float) - face) ** 2)))
    lighter = np.clip(face + error, 0, 255).astype(np.uint8)
    assert vgg_distance(net, blurred, face) > 2 * vgg_distance(net, lighter, face) > 0
