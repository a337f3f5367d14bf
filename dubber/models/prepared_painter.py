"""The hybrid painter made ready to paint: the pictures of `HybridPainter` in half of its time.

Only what is hidden of the source needs a painter: on the CPU, the network and the mixing of the exemplars
work on the box around what is hidden.

Index letters: B batch, K exemplars, C channels, H height, W width; h, w part of them; i, j a quarter;
c = 3 + K channels of residual and logits.
"""

from __future__ import annotations

from functools import lru_cache

import cv2
import numpy as np
import torch

from dubber.engine.memory import with_smaller_batches
from dubber.models.hybrid import HybridPainter, mix
from dubber.models.prepared_network import MAX_LEVEL, Box, Network, Span, folded
from dubber.types import Float32, UInt8

_BOX_MARGIN_PX, _BOX_STEP_PX = 4, 8
"""How far around what is hidden is painted, and in which steps the box grows: each size of box costs
milliseconds when it is first met. A step holds whole cells of the flow."""

_DEVICE_BATCH = 4
"""Pictures per call on an accelerator, always, unless its memory is too small: for another number kernels may
be others.
"""


class PreparedPainter:
    """A painter for inference. One thread at a time.

    The bytes of a picture depend on nothing but its input; between kinds of devices they differ by rounding.

    Args:
        net: The painter; later changes of it have no effect.
        device: Where to paint.

    Attributes:
        num_exemplars: K.
        batch_size: Pictures that are best painted in one call.
    """

    def __init__(self, net: HybridPainter, device: torch.device) -> None:
        self.num_exemplars = net.num_exemplars
        self.batch_size = self._calls_size = 1 if device.type == "cpu" else _DEVICE_BATCH
        self._device = device
        with torch.inference_mode():
            layers = folded(net)
        self._network = lru_cache(maxsize=2)(lambda size: Network(layers, size, device))

    def paint(self, inputs_BHWC: UInt8) -> UInt8:
        """Paint.

        Args:
            inputs_BHWC: (B, H, W, 3 K + 5) uint8, see `dubber.ops.painter_input`. Sides are multiples of 4.

        Returns:
            (B, H, W, 3) uint8 RGB; away from what is hidden it is the source.
        """
        with torch.inference_mode():
            painted, self._calls_size = with_smaller_batches(
                lambda size: self._painted(inputs_BHWC, size), self._calls_size
            )
        return painted

    def _painted(self, inputs_BHWC: UInt8, size: int) -> UInt8:
        """So many pictures per call."""
        if self._device.type == "cpu":  # a picture at a time stays in the caches
            painted = [self._painted_on_cpu(inputs_BHWC[n : n + 1]) for n in range(len(inputs_BHWC))]
        else:
            starts = range(0, len(inputs_BHWC), size)
            painted = [self._painted_on_device(inputs_BHWC[start : start + size], size) for start in starts]
        return painted[0] if len(painted) == 1 else np.concatenate(painted)

    def _painted_on_cpu(self, inputs_1HWC: UInt8) -> UInt8:
        """One picture. OpenCV moves pixels several times faster than torch; it knows levels, and 1/32 px."""
        _, height, width, _ = inputs_1HWC.shape
        planes = cv2.split(inputs_1HWC[0])
        box = _box(np.asarray(planes[-2], np.uint8))
        rows, columns = slice(*box[0]), slice(*box[1])
        colours_1chw, flow_1ijC = self._network((height, width))(torch.from_numpy(inputs_1HWC), box)
        colours_chw = colours_1chw[0]
        flow_Cij = flow_1ijC[0].permute(2, 0, 1).float().contiguous().numpy()
        picture_3hw, share_Khw = colours_chw[:3].numpy(), colours_chw[3:].softmax(dim=0).numpy()
        x_hw, y_hw = _pixels(height, width)[:, rows, columns]
        for k, share_hw in enumerate(share_Khw):
            dx_hw, dy_hw = (
                cv2.resize(flow_ij, x_hw.shape[::-1], interpolation=cv2.INTER_LINEAR)
                for flow_ij in flow_Cij[2 * k : 2 * k + 2]
            )
            moved_hw3 = cv2.remap(
                cv2.merge(planes[3 * k : 3 * k + 3]),
                cv2.add(dx_hw, x_hw),
                cv2.add(dy_hw, y_hw),
                cv2.INTER_LINEAR,
                borderMode=cv2.BORDER_REPLICATE,
            )
            for moved_hw, picture_hw in zip(cv2.split(moved_hw3), picture_3hw, strict=True):
                cv2.accumulateProduct(np.asarray(moved_hw, np.float32), share_hw, picture_hw)
        np.maximum(picture_3hw, 0, out=picture_3hw)
        whole_HW3 = np.asarray(cv2.merge(planes[-5:-2]), np.uint8)
        whole_HW3[rows, columns] = cv2.convertScaleAbs(cv2.merge(list(picture_3hw)))
        return whole_HW3[None]

    def _painted_on_device(self, inputs_BHWC: UInt8, size: int = _DEVICE_BATCH) -> UInt8:
        """At most `size` pictures, among as many."""
        count, height, width, channels = inputs_BHWC.shape
        levels_BHWC = torch.zeros(
            (size, height, width, channels),
            dtype=torch.uint8,
            pin_memory=self._device.type == "cuda",
        )
        levels_BHWC[:count] = torch.from_numpy(inputs_BHWC)
        levels_BHWC = levels_BHWC.to(self._device, non_blocking=True)
        everything = (0, height), (0, width)
        colours_BcHW, flow_BijC = self._network((height, width))(levels_BHWC, everything)
        exemplars_BCHW = levels_BHWC[..., : 3 * self.num_exemplars].permute(0, 3, 1, 2).float()
        mixture_B3HW = mix(exemplars_BCHW, colours_BcHW[:, 3:], flow_BijC.float().permute(0, 3, 1, 2))
        picture_B3HW = (mixture_B3HW + colours_BcHW[:, :3]).clamp_(0, MAX_LEVEL).round_()
        levels_BHW3 = picture_B3HW[:count].to(torch.uint8).permute(0, 2, 3, 1).contiguous()
        whole_BHW3 = np.ascontiguousarray(inputs_BHWC[..., -5:-2])
        for whole_HW3, made_HW3, inputs_HWC in zip(
            whole_BHW3, levels_BHW3.cpu().numpy(), inputs_BHWC, strict=True
        ):
            rows, columns = (slice(*span) for span in _box(np.ascontiguousarray(inputs_HWC[..., -2])))
            whole_HW3[rows, columns] = made_HW3[rows, columns]
        return whole_BHW3


def _box(hidden_HW: UInt8) -> Box:
    """What is painted of a picture."""
    x, y, width, height = cv2.boundingRect(hidden_HW)

    def around(start: int, stop: int, side: int) -> Span:
        first = max(start - _BOX_MARGIN_PX, 0) // _BOX_STEP_PX
        last = -(-min(stop + _BOX_MARGIN_PX, side) // _BOX_STEP_PX)
        return first * _BOX_STEP_PX, min(last * _BOX_STEP_PX, side)

    return around(y, y + height, hidden_HW.shape[0]), around(x, x + width, hidden_HW.shape[1])


@lru_cache(maxsize=4)
def _pixels(height: int, width: int) -> Float32:
    """(2, H, W) float32, each pixel's x and y."""
    return np.ascontiguousarray(np.indices((height, width), np.float32)[::-1])
