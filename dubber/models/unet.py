"""The network that paints mouths: an encoder that halves, a decoder that doubles, and shortcuts between.

Source: EBT Table 7. Its decoder block ("stride 2, 4 x 4, pixel shuffle") could not double a size; with a
3 x 3 convolution of stride 1 to four times the channels, then a pixel shuffle, the network has the 75 M
parameters of EBT's Table 3. Activations before the convolutions and no batch normalisation: Wang et al. 2020
(MEAD), which uses the same blocks.

Index letters: B batch, C channels, H height, W width.
"""

from __future__ import annotations

import itertools
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn.functional import pad

SLOPE = 0.2


def level_widths(base_width: int, num_levels: int) -> list[int]:
    """Channels of each encoder level: doubling, at most eightfold (EBT Tables 7, 8: 64 to 512)."""
    return [base_width * min(2**level, 8) for level in range(num_levels)]


class HalvingBlock(nn.Sequential):
    """4 x 4 convolution of stride 2; an activation goes before it unless it is the first."""

    def __init__(self, in_channels: int, out_channels: int, *, is_first: bool) -> None:
        conv = nn.Conv2d(in_channels, out_channels, 4, stride=2, padding=1)
        nn.init.kaiming_normal_(conv.weight, SLOPE)
        nn.init.zeros_(conv.bias)  # type: ignore[arg-type]
        super().__init__(*([] if is_first else [nn.LeakyReLU(SLOPE)]), conv)


class DoublingBlock(nn.Sequential):
    """Activation, 3 x 3 convolution to four times the channels, pixel shuffle."""

    def __init__(self, in_channels: int, out_channels: int) -> None:
        conv = nn.Conv2d(in_channels, 4 * out_channels, 3, padding=1)
        nn.init.kaiming_normal_(conv.weight, nonlinearity="relu")
        nn.init.zeros_(conv.bias)  # type: ignore[arg-type]
        super().__init__(nn.ReLU(), conv, nn.PixelShuffle(2))


def encoder_blocks(in_channels: int, base_width: int, num_levels: int) -> nn.ModuleList:
    """The halving blocks of the network and of its discriminator."""
    widths = [in_channels, *level_widths(base_width, num_levels)]
    pairs = itertools.pairwise(widths)
    return nn.ModuleList(
        HalvingBlock(before, after, is_first=level == 0) for level, (before, after) in enumerate(pairs)
    )


class InpaintingUNet(nn.Module):
    """U-Net over pictures of any size, laid over each other as channels.

    Args:
        in_channels: EBT: 28, seven frames of three colours and a landmark picture each.
        out_channels: EBT: 21, seven frames. The output has no limits: the last layer is a convolution.
        base_width: Channels of the first level.
        num_levels: Halvings.
    """

    def __init__(
        self, in_channels: int = 28, out_channels: int = 21, base_width: int = 64, num_levels: int = 7
    ) -> None:
        super().__init__()
        self.in_channels, self.out_channels = in_channels, out_channels
        self.encoder = encoder_blocks(in_channels, base_width, num_levels)
        widths = level_widths(base_width, num_levels)
        outputs = [out_channels, *widths[:-1]]
        # All but the innermost also see what the encoder saw at their size.
        inputs = [width if level == num_levels - 1 else 2 * width for level, width in enumerate(widths)]
        self.decoder = nn.ModuleList(
            DoublingBlock(before, after) for before, after in zip(inputs, outputs, strict=True)
        )

    def forward(self, images_BCHW: Tensor) -> Tensor:
        """Run the network.

        Args:
            images_BCHW: (B, in_channels, H, W); sides that are no multiple of 2**num_levels are padded by
                reflection, so each is to be more than half of 2**num_levels.

        Returns:
            (B, out_channels, H, W).
        """
        height, width = images_BCHW.shape[-2:]
        multiple = 2 ** len(self.encoder)
        below, right = -height % multiple, -width % multiple
        top, left = below // 2, right // 2
        x = images_BCHW
        if below or right:
            x = pad(x, (left, right - left, top, below - top), mode="reflect")
        seen = []
        for block in self.encoder:
            x = block(x)
            seen.append(x)
        x = self.decoder[-1](seen.pop())
        for block in reversed(self.decoder[:-1]):
            x = block(torch.cat([x, seen.pop()], dim=1))
        painted: Tensor = x[..., top : top + height, left : left + width]
        return painted

    @staticmethod
    def sizes_of(arrays: dict[str, Any], prefix: str = "") -> dict[str, int]:
        """Arguments of the network whose state has these arrays.

        Args:
            arrays: Arrays by name.
            prefix: What precedes the network's own names.

        Raises:
            KeyError: They are no state of such a network.
        """
        num_levels = sum(name.startswith(f"{prefix}encoder.") and name.endswith(".weight") for name in arrays)
        first = arrays[f"{prefix}encoder.0.0.weight"]
        last = arrays[f"{prefix}decoder.0.1.weight"]
        return {
            "in_channels": first.shape[1],
            "out_channels": last.shape[0] // 4,
            "base_width": first.shape[0],
            "num_levels": num_levels,
        }
