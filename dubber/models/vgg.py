"""The first layers of VGG-19, in whose features pictures that look alike are near each other.

The weights are not dubber's: the user names a file (`dubber.models.user_weights`).

Source: Simonyan & Zisserman 2015; Gatys et al. 2016, "Image Style Transfer Using Convolutional Neural
Networks" (the normalised network, convolutions padded by reflection).
"""

from __future__ import annotations

from pathlib import Path

import torch
from torch import nn

from dubber.models.user_weights import load_state

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

    @classmethod
    def from_file(cls, path: Path) -> VggFeatures:
        """Read a normalised VGG-19, conv1_1 to conv3_1, from safetensors or a state dict; it learns no more.

        Raises:
            WeightsError: The file is missing or holds other tensors.
        """
        net = cls()
        load_state(net, path, what="a normalised VGG-19, conv1_1 to conv3_1")
        return net.eval().requires_grad_(False)

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
