"""The hybrid painter: several of the target's own mouths, warped into place, mixed and mended.

A network that paints a mouth from nothing must know the person. This one is shown what the person's mouth
looks like: exemplars, warped onto the wanted landmarks. It says, pixel by pixel, how much each of them counts
and where it still lies wrong, and adds what none of them has.

Index letters: B batch, K exemplars, k = B K, C channels, H height, W width.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional

from dubber.engine.weights import Weight
from dubber.errors import WeightsError
from dubber.models.unet import InpaintingUNet
from dubber.types import UInt8

FLOW_CELL_PX = 4
"""Corrections of the warp are one per cell of so many pixels, smooth between."""

SHARPNESS = 4.0
"""How much stronger the shares' logits are than the network's other outputs: it learns them sooner."""


@dataclass(frozen=True)
class Painting:
    """What the painter makes.

    Attributes:
        picture_B3HW: The mouths, RGB, about 0..1.
        mixture_B3HW: The exemplars alone, moved and mixed.
    """

    picture_B3HW: Tensor
    mixture_B3HW: Tensor


class HybridPainter(nn.Module):
    """Exemplars, the surroundings and a picture of the landmarks in, mouths out.

        out = sum_k a_k * warp(x_k, f_k) + r        a = softmax over k

    The U-Net gives the shares a, the flows f and the residual r. It starts as the mean of the exemplars.

    Args:
        num_exemplars: K.
        base_width: Of the U-Net.
        num_levels: Of the U-Net.
    """

    def __init__(self, num_exemplars: int = 4, base_width: int = 24, num_levels: int = 5) -> None:
        super().__init__()
        self.num_exemplars = num_exemplars
        self.unet = InpaintingUNet(
            in_channels=3 * num_exemplars + 5,
            out_channels=3 + 3 * num_exemplars,
            base_width=base_width,
            num_levels=num_levels,
        )
        for parameter in self.unet.decoder[0].parameters():
            nn.init.zeros_(parameter)

    def forward(self, inputs_BCHW: Tensor) -> Painting:
        """Paint.

        Args:
            inputs_BCHW: (B, 3 K + 5, H, W) 0..1: the exemplars, best first, the source's picture with the
                mouth hidden, what is hidden, and the landmarks; see `dubber.ops.painter_input`. Sides are
                multiples of 4.
        """
        count = self.num_exemplars
        answer = self.unet((inputs_BCHW - 0.5).contiguous(memory_format=torch.channels_last)).float()
        residual_B3HW, logits_BKHW, flow_BCHW = (
            answer[:, :3],
            answer[:, 3 : 3 + count],
            answer[:, 3 + count :],
        )
        flow_BCij = functional.avg_pool2d(flow_BCHW, FLOW_CELL_PX)
        exemplars = inputs_BCHW[:, : 3 * count].float()
        mixture_B3HW = mix(exemplars, SHARPNESS * logits_BKHW, flow_BCij)
        return Painting(mixture_B3HW + residual_B3HW, mixture_B3HW)

    def to_arrays(self) -> dict[str, Any]:
        """The state as half-precision numpy arrays."""
        return {
            # Written as they lie in memory: safetensors does not see another order of the axes.
            name: np.ascontiguousarray(value.detach().half().cpu().numpy())
            for name, value in self.state_dict().items()
        }

    @classmethod
    def from_weight(cls, weight: Weight) -> HybridPainter:
        """Read a painter.

        Raises:
            WeightsError: The file holds something else.
        """
        try:
            sizes = InpaintingUNet.sizes_of(weight.arrays, "unet.")
            net = cls((sizes["in_channels"] - 5) // 3, sizes["base_width"], sizes["num_levels"])
            net.load_state_dict({name: torch.from_numpy(array) for name, array in weight.arrays.items()})
        except (KeyError, ValueError, IndexError, TypeError, RuntimeError) as error:
            raise WeightsError(
                "The file holds no hybrid painter.", advice="Make one with `dubber train renderer`."
            ) from error
        return net.float().eval()


def to_tensor(inputs_BHWC: UInt8) -> Tensor:
    """(B, C, H, W) float32 0..1 of (B, H, W, C) uint8, channels last in memory."""
    return torch.from_numpy(inputs_BHWC).permute(0, 3, 1, 2).float() / 255


def to_pictures(pictures_B3HW: Tensor) -> UInt8:
    """(B, H, W, 3) uint8 of (B, 3, H, W) 0..1."""
    levels = (pictures_B3HW.detach().float().clamp(0, 1) * 255).round().to(torch.uint8)
    return np.ascontiguousarray(levels.permute(0, 2, 3, 1).cpu().numpy())


def mix(exemplars_BCHW: Tensor, logits_BKHW: Tensor, flow_BCij: Tensor) -> Tensor:
    """Move exemplars and add up their shares.

    Args:
        exemplars_BCHW: (B, 3 K, H, W) float32 pictures of any range.
        logits_BKHW: (B, K, H, W), whose softmax over K is the shares.
        flow_BCij: (B, 2 K, H / 4, W / 4) px, x and y of each exemplar: where a pixel's colour is found, minus
            the pixel. Bilinear between cells; beyond the picture its border continues.

    Returns:
        (B, 3, H, W).
    """
    batch, count, height, width = logits_BKHW.shape
    # All exemplars are moved at once: one call is faster than K. Sampling is fastest plane by plane.
    pictures_k3HW = exemplars_BCHW.contiguous().reshape(batch * count, 3, height, width)
    moved_k3HW = _moved(pictures_k3HW, flow_BCij.reshape(batch * count, 2, *flow_BCij.shape[-2:]))
    moved_BK3HW = moved_k3HW.reshape(batch, count, 3, height, width)
    return (logits_BKHW.softmax(dim=1)[:, :, None] * moved_BK3HW).sum(dim=1)


def _moved(pictures_B3HW: Tensor, flow_B2hw: Tensor) -> Tensor:
    """Pull pictures through a coarse field of displacements, px."""
    height, width = pictures_B3HW.shape[-2:]
    flow_B2HW = functional.interpolate(flow_B2hw, size=(height, width), mode="bilinear", align_corners=False)
    device = pictures_B3HW.device
    y = (torch.arange(height, device=device) + 0.5) * (2 / height) - 1
    x = (torch.arange(width, device=device) + 0.5) * (2 / width) - 1
    grid_BHW2 = torch.stack(
        [x + flow_B2HW[:, 0] * (2 / width), y[:, None] + flow_B2HW[:, 1] * (2 / height)], dim=-1
    )
    return functional.grid_sample(
        pictures_B3HW, grid_BHW2, mode="bilinear", padding_mode="border", align_corners=False
    )
