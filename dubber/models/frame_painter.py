"""EBT's neural video renderer: it paints the mouths of consecutive frames into a window filled with noise.

Index letters: B batch, T frames of a window in time, S side of the crop.
"""

from __future__ import annotations

from typing import Any, Literal

import numpy as np
import torch
from torch import Tensor, nn

from dubber.engine.weights import Weight
from dubber.errors import WeightsError
from dubber.models.storage import arrays_of
from dubber.models.unet import InpaintingUNet

FRAME_CHANNELS = 4
"""Three colours and the picture of the landmarks (EBT Table 7: (3 + 1) x 7)."""

HeatmapMode = Literal["points", "lines"]
HEATMAP_MODES: tuple[HeatmapMode, ...] = ("points", "lines")
"""Pictures of landmarks that a network may have learned from; see `dubber.ops.heatmap`."""


class FramePainter(nn.Module):
    """Frames with a hole and pictures of their wanted landmarks in, whole frames out.

    Args:
        num_frames: T.
        base_width: See `InpaintingUNet`.
        num_levels: See `InpaintingUNet`.
        heatmap_mode: See `landmark_heatmap`.
        heatmap_sigma_px: See `landmark_heatmap`; px of the 384 crop.
    """

    def __init__(
        self,
        num_frames: int = 7,
        base_width: int = 64,
        num_levels: int = 7,
        *,
        heatmap_mode: HeatmapMode = "points",
        heatmap_sigma_px: float = 3.0,
    ) -> None:
        super().__init__()
        self.num_frames = num_frames
        self.unet = InpaintingUNet(FRAME_CHANNELS * num_frames, 3 * num_frames, base_width, num_levels)
        self.register_buffer("heatmap_mode", torch.tensor(HEATMAP_MODES.index(heatmap_mode)))
        self.register_buffer("heatmap_sigma_px", torch.tensor(float(heatmap_sigma_px)))

    heatmap_mode: Tensor
    heatmap_sigma_px: Tensor

    def forward(self, inputs_BT4SS: Tensor) -> Tensor:
        """Paint.

        Args:
            inputs_BT4SS: (B, T, 4, S, S) in -1..1: colours with noise in the window, then the picture of the
                landmarks.

        Returns:
            (B, T, 3, S, S) about -1..1, but without limits.
        """
        colours, heatmaps = inputs_BT4SS[:, :, :3], inputs_BT4SS[:, :, 3]
        painted = self.unet(torch.cat([colours.flatten(1, 2), heatmaps], dim=1))
        frames: Tensor = painted.unflatten(1, (self.num_frames, 3))
        return frames

    @property
    def heatmap(self) -> tuple[HeatmapMode, float]:
        """Mode of the landmarks' pictures, and their sigma in px of the 384 crop."""
        return HEATMAP_MODES[int(self.heatmap_mode)], float(self.heatmap_sigma_px)

    def to_arrays(self) -> dict[str, Any]:
        """Arrays by name, for a weight file; see `arrays_of`."""
        return arrays_of(self)

    @classmethod
    def from_weight(cls, weight: Weight) -> FramePainter:
        """Read the network from a weight file; its sizes come from its arrays.

        Raises:
            WeightsError: The file holds something else.
        """
        arrays: dict[str, Any] = weight.arrays
        try:
            sizes = InpaintingUNet.sizes_of(arrays, "unet.")
            num_frames = sizes["in_channels"] // FRAME_CHANNELS
            net = cls(num_frames, sizes["base_width"], sizes["num_levels"])
            net.load_state_dict({name: torch.from_numpy(np.array(array)) for name, array in arrays.items()})
        except (KeyError, ValueError, IndexError, TypeError, RuntimeError) as error:
            raise WeightsError("The weights are no frame painter of this version.") from error
        return net.eval()
