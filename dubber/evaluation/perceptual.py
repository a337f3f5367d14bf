"""Distance of pictures in the features of a normalised VGG-19 of the user's.

This is the feature distance that style transfer and perceptual losses use, not LPIPS: LPIPS weighs the
channels by what people judged, and its weights are another file.

Source: Gatys et al. 2016, "Image Style Transfer Using Convolutional Neural Networks" (the normalised
network); Johnson et al. 2016, "Perceptual Losses for Real-Time Style Transfer" (the distance).
"""

from __future__ import annotations

import statistics
from pathlib import Path

import numpy as np
import torch
from torch import nn

from dubber.evaluation.measures import Measures
from dubber.evaluation.pairs import Pair
from dubber.evaluation.user_weights import load_state
from dubber.types import UInt8

_CONVOLUTIONS = (
    (0, 3, 3, 1),
    (2, 3, 64, 3),
    (5, 64, 64, 3),
    (9, 64, 128, 3),
    (12, 128, 128, 3),
    (16, 128, 256, 3),
)
"""Place in the file, channels in and out, width. The first turns RGB in 0..1 into VGG's own numbers."""

_POOLED_BEFORE = (9, 16)
_LAYERS = (2, 9, 16)
"""conv1_1, conv2_1 and conv3_1, each behind its ReLU."""


class VggFeatures(nn.Module):
    """VGG-19 up to conv3_1; tensors are named by their places in the published sequence."""

    def __init__(self) -> None:
        super().__init__()
        for place, inputs, outputs, width in _CONVOLUTIONS:
            self.add_module(str(place), nn.Conv2d(inputs, outputs, width))

    def forward(self, pictures_B3HW: torch.Tensor) -> list[torch.Tensor]:
        """Features of conv1_1, conv2_1 and conv3_1.

        Args:
            pictures_B3HW: RGB in 0..1, at least 8 px each way.
        """
        features = self.get_submodule("0")(pictures_B3HW)
        found = []
        for place, *_ in _CONVOLUTIONS[1:]:
            if place in _POOLED_BEFORE:
                features = nn.functional.max_pool2d(features, 2)
            padded = nn.functional.pad(features, (1, 1, 1, 1), mode="reflect")
            features = nn.functional.relu(self.get_submodule(str(place))(padded))
            if place in _LAYERS:
                found.append(features)
        return found


class VggDistance:
    """`vgg_distance`: mean over layers and frames of the mean squared difference of features, mouth boxes.

    Args:
        path: Normalised VGG-19, conv1_1 to conv3_1, as safetensors or state dict.

    Raises:
        WeightsError: The file is missing or holds other tensors.
    """

    def __init__(self, path: Path) -> None:
        self._net = VggFeatures()
        load_state(self._net, path, what="a normalised VGG-19, conv1_1 to conv3_1")
        self._net.eval()
        self._distances: list[float] = []

    def add(self, pair: Pair) -> None:
        """Compare both mouth boxes."""
        self._distances.append(
            vgg_distance(self._net, pair.made_crop[pair.mouth_box], pair.filmed_crop[pair.mouth_box])
        )

    def measures(self) -> Measures:
        """The mean."""
        return {"vgg_distance": statistics.fmean(self._distances) if self._distances else None}


def vgg_distance(net: VggFeatures, picture: UInt8, truth: UInt8) -> float:
    """Mean over the layers of the mean squared difference of features.

    Args:
        net: The network.
        picture: (H, W, 3) uint8 RGB.
        truth: (H, W, 3) uint8 RGB.
    """
    both = torch.from_numpy(np.stack([picture, truth])).permute(0, 3, 1, 2).float() / 255
    with torch.inference_mode():
        layers = net(both)
    return statistics.fmean(float(((layer[0] - layer[1]) ** 2).mean()) for layer in layers)
