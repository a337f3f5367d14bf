"""Tells filmed frames from painted ones (EBT Table 8).

Index letters: B batch, C channels, H height, W width, T frames.
"""

from __future__ import annotations

from torch import Tensor, nn
from torch.nn.functional import leaky_relu

from dubber.models.unet import encoder_blocks, level_widths

_SLOPE = 0.2


class Discriminator(nn.Module):
    """The encoder of `dubber.models.unet.InpaintingUNet`, averaged over the picture, and a score per frame.

    Args:
        in_channels: EBT: 28, seven frames and their landmark pictures.
        num_frames: Scores given.
        base_width: Channels of the first level.
        num_levels: Halvings; a picture's sides are at least 2**num_levels px.
    """

    def __init__(
        self, in_channels: int = 28, num_frames: int = 7, base_width: int = 64, num_levels: int = 7
    ) -> None:
        super().__init__()
        self.encoder = encoder_blocks(in_channels, base_width, num_levels)
        self.score = nn.Linear(level_widths(base_width, num_levels)[-1], num_frames)

    def features(self, images_BCHW: Tensor) -> list[Tensor]:
        """What each level sees, finest first; level l is (B, C_l, H / 2**(l + 1), W / 2**(l + 1))."""
        found = []
        x = images_BCHW
        for block in self.encoder:
            x = block(x)
            found.append(x)
        return found

    def judge(self, last_BCHW: Tensor) -> Tensor:
        """(B, T) scores, without limits, of what the last level sees."""
        scores: Tensor = self.score(leaky_relu(last_BCHW, _SLOPE).mean(dim=(2, 3)))
        return scores

    def forward(self, images_BCHW: Tensor) -> Tensor:
        """(B, T) scores of (B, in_channels, H, W) pictures."""
        return self.judge(self.features(images_BCHW)[-1])
