"""Distance of pictures in the features of a normalised VGG-19 of the user's.

This is the feature distance that style transfer and perceptual losses use, not LPIPS: LPIPS weighs the
channels by what people judged, and its weights are another file.

Source: Johnson et al. 2016, "Perceptual Losses for Real-Time Style Transfer" (the distance).
"""

from __future__ import annotations

import statistics
from pathlib import Path

import numpy as np
import torch

from dubber.evaluation.measures import Measures
from dubber.evaluation.pairs import Pair
from dubber.models.vgg import VggFeatures
from dubber.types import UInt8


class VggDistance:
    """`vgg_distance`: mean over layers and frames of the mean squared difference of features, mouth boxes.

    Args:
        path: Normalised VGG-19, conv1_1 to conv3_1, as safetensors or state dict.

    Raises:
        WeightsError: The file is missing or holds other tensors.
    """

    def __init__(self, path: Path) -> None:
        self._net = VggFeatures.from_file(path)
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
