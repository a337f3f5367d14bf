"""The hybrid painter made ready to paint: the pictures of `HybridPainter` in half of its time.

What is the same for every frame is done once. Weights are cast, and laid out as the device's convolutions
want them. The input's scale, the output's scale, and the mean of the flow over its cells are linear: they go
into the weights of the first and last layers, which halves the last. An encoder's leaky ReLU is part of its
convolution; the decoder, whose ReLU comes after, cannot tell: max(leaky(x), 0) = max(x, 0).

Index letters: B batch, K exemplars, C channels, H height, W width; h, w half of them; i, j a quarter; c =
3 + K channels of residual and logits; y, x = 2 place within a square of pixels.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from functools import lru_cache
from typing import Literal

import cv2
import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional

from dubber.engine.device import convolution_dtype
from dubber.models.hybrid import FLOW_CELL_PX, SHARPNESS, HybridPainter, mix
from dubber.models.unet import SLOPE
from dubber.types import Float32, UInt8

_MIDDLE_LEVEL = 127.5
"""What the network sees as 0. Levels minus this are exact in bfloat16."""

_MAX_LEVEL = 255.0

_Activation = Literal["none", "relu", "leaky_relu"]

_Convolution = Callable[[Tensor], Tensor]
"""Of (B, H, W, C)."""

_DEVICE_BATCH = 4
"""Pictures per call on an accelerator, always: for another number kernels may be others."""


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
        self.batch_size = 1 if device.type == "cpu" else _DEVICE_BATCH
        self._device = device
        with torch.inference_mode():
            layers = _folded(net)
        self._network = lru_cache(maxsize=2)(lambda size: _Network(layers, size, device))

    def paint(self, inputs_BHWC: UInt8) -> UInt8:
        """Paint.

        Args:
            inputs_BHWC: (B, H, W, 3 K + 5) uint8, see `dubber.ops.painter_input`. Sides are multiples of 4.

        Returns:
            (B, H, W, 3) uint8 RGB.
        """
        is_cpu = self._device.type == "cpu"
        # On the CPU, a picture at a time stays in the caches.
        count, paint = (1, self._painted_on_cpu) if is_cpu else (_DEVICE_BATCH, self._painted_on_device)
        with torch.inference_mode():
            return np.concatenate(
                [paint(inputs_BHWC[start : start + count]) for start in range(0, len(inputs_BHWC), count)]
            )

    def _painted_on_cpu(self, inputs_1HWC: UInt8) -> UInt8:
        """One picture. OpenCV moves pixels several times faster than torch; it knows levels, and 1/32 px."""
        _, height, width, _ = inputs_1HWC.shape
        colours_1cHW, flow_1ijC = self._network((height, width))(torch.from_numpy(inputs_1HWC))
        colours_cHW = colours_1cHW[0]
        flow_Cij = flow_1ijC[0].permute(2, 0, 1).float().contiguous().numpy()
        x_HW, y_HW = _pixels(height, width)
        planes = cv2.split(inputs_1HWC[0])
        picture_3HW, share_KHW = colours_cHW[:3].numpy(), colours_cHW[3:].softmax(dim=0).numpy()
        for k, share_HW in enumerate(share_KHW):
            dx_HW, dy_HW = (
                cv2.resize(flow_ij, (width, height), interpolation=cv2.INTER_LINEAR)
                for flow_ij in flow_Cij[2 * k : 2 * k + 2]
            )
            moved_HW3 = cv2.remap(
                cv2.merge(planes[3 * k : 3 * k + 3]),
                cv2.add(dx_HW, x_HW),
                cv2.add(dy_HW, y_HW),
                cv2.INTER_LINEAR,
                borderMode=cv2.BORDER_REPLICATE,
            )
            for moved_HW, picture_HW in zip(cv2.split(moved_HW3), picture_3HW, strict=True):
                cv2.accumulateProduct(np.asarray(moved_HW, np.float32), share_HW, picture_HW)
        np.maximum(picture_3HW, 0, out=picture_3HW)
        return np.asarray(cv2.convertScaleAbs(cv2.merge(list(picture_3HW))), np.uint8)[None]

    def _painted_on_device(self, inputs_BHWC: UInt8) -> UInt8:
        """At most `_DEVICE_BATCH` pictures."""
        count, height, width, channels = inputs_BHWC.shape
        levels_BHWC = torch.zeros(
            (_DEVICE_BATCH, height, width, channels),
            dtype=torch.uint8,
            pin_memory=self._device.type == "cuda",
        )
        levels_BHWC[:count] = torch.from_numpy(inputs_BHWC)
        levels_BHWC = levels_BHWC.to(self._device, non_blocking=True)
        colours_BcHW, flow_BijC = self._network((height, width))(levels_BHWC)
        exemplars_BCHW = levels_BHWC[..., : 3 * self.num_exemplars].permute(0, 3, 1, 2).float()
        mixture_B3HW = mix(exemplars_BCHW, colours_BcHW[:, 3:], flow_BijC.float().permute(0, 3, 1, 2))
        picture_B3HW = (mixture_B3HW + colours_BcHW[:, :3]).clamp_(0, _MAX_LEVEL).round_()
        levels_BHW3 = picture_B3HW[:count].to(torch.uint8).permute(0, 2, 3, 1).contiguous()
        return np.asarray(levels_BHW3.cpu().numpy(), np.uint8)


@dataclass(frozen=True)
class _Layer:
    """A convolution and what it becomes part of.

    Attributes:
        weight: (C', C, side, side) float32.
        bias: (C',) float32.
        stride: Padding is 1.
        activation: After it.
    """

    weight: Tensor
    bias: Tensor
    stride: int
    activation: _Activation = "none"


@dataclass(frozen=True)
class _Layers:
    """The network's layers; of the last there are two.

    Attributes:
        encoder: Outermost first.
        decoder: Innermost first, without the last. Channels come out as (y, x, C).
        colours: The last for residual, levels, and logits. Channels come out as (x, c, y).
        flow: The last for the flow's cells, px. Channels come out as (K, 2).
    """

    encoder: list[_Layer]
    decoder: list[_Layer]
    colours: _Layer
    flow: _Layer


def _folded(net: HybridPainter) -> _Layers:
    """The layers of a painter, scales folded in."""
    encoder = [_layer(block, stride=2, activation="leaky_relu") for block in net.unet.encoder]
    encoder[0] = replace(encoder[0], weight=encoder[0].weight / _MAX_LEVEL)
    decoder = []
    for block in reversed(net.unet.decoder[1:]):
        layer = _layer(block, stride=1, activation="relu")
        # Pixel shuffle has (C, y, x).
        order = torch.arange(len(layer.bias)).reshape(-1, 4).T.reshape(-1)
        decoder.append(replace(layer, weight=layer.weight[order], bias=layer.bias[order]))
    last = _layer(net.unet.decoder[0], stride=1)
    weight_c4 = last.weight.reshape(-1, 4, *last.weight.shape[1:])
    bias_c4 = last.bias.reshape(-1, 4)
    num_colours = 3 + net.num_exemplars
    scale_c = torch.tensor([_MAX_LEVEL] * 3 + [SHARPNESS] * net.num_exemplars)
    order = torch.arange(4 * num_colours).reshape(num_colours, 2, 2).permute(2, 0, 1)
    colours = _Layer(
        (weight_c4[:num_colours] * scale_c[:, None, None, None, None]).flatten(0, 1)[order.flatten()],
        (bias_c4[:num_colours] * scale_c[:, None]).flatten()[order.flatten()],
        stride=1,
    )
    # A cell's mean is that over the four places in a square, and over squares: a sum of shifted kernels.
    squares = FLOW_CELL_PX // 2
    shifted = [
        functional.pad(weight_c4[num_colours:].mean(1), (x, squares - 1 - x, y, squares - 1 - y))
        for y in range(squares)
        for x in range(squares)
    ]
    flow = _Layer(torch.stack(shifted).mean(0), bias_c4[num_colours:].mean(1), stride=squares)
    return _Layers(encoder, decoder, colours, flow)


def _layer(block: nn.Module, stride: int, activation: _Activation = "none") -> _Layer:
    """The convolution of a block, the only part that has parameters."""
    weight, bias = (parameter.detach().cpu().float().clone() for parameter in block.parameters())
    return _Layer(weight, bias, stride, activation)


class _Network:
    """The layers at one size of picture, on a device.

    Args:
        layers: What `_folded` made.
        size: (H, W).
        device: Where.
    """

    def __init__(self, layers: _Layers, size: tuple[int, int], device: torch.device) -> None:
        self._size, self._dtype = size, convolution_dtype(device)
        multiple = 2 ** len(layers.encoder)
        below, right = (-side % multiple for side in size)
        # As the U-Net pads, but for whole cells of the flow.
        top, left = (extra // 2 // FLOW_CELL_PX * FLOW_CELL_PX for extra in (below, right))
        self._corner = top, left
        self._border = (left, right - left, top, below - top)
        height, width = size[0] + below, size[1] + right

        def at(layer: _Layer, halvings: int) -> _Convolution:
            return _convolution(layer, (height >> halvings, width >> halvings), self._dtype, device)

        depth = len(layers.encoder)
        self._encoder = [at(layer, level) for level, layer in enumerate(layers.encoder)]
        self._decoder = [at(layer, depth - level) for level, layer in enumerate(layers.decoder)]
        self._colours, self._flow = at(layers.colours, 1), at(layers.flow, 1)
        self._spread = _spread_on_cpu if device.type == "cpu" else _spread

    def __call__(self, levels_BHWC: Tensor) -> tuple[Tensor, Tensor]:
        """What the U-Net says of pictures.

        Args:
            levels_BHWC: (B, H, W, C) uint8.

        Returns:
            (B, c, H, W) float32 residual in levels and logits, and (B, i, j, 2 K) flow, px.
        """
        x_BHWC = levels_BHWC.to(self._dtype).sub_(_MIDDLE_LEVEL)
        if any(self._border):
            padded_BCHW = functional.pad(x_BHWC.permute(0, 3, 1, 2), self._border, mode="reflect")
            x_BHWC = padded_BCHW.permute(0, 2, 3, 1).contiguous()
        seen = []
        for layer in self._encoder:
            x_BHWC = layer(x_BHWC)
            seen.append(x_BHWC)
        x_BHWC = seen.pop().relu()
        for layer in self._decoder:
            x_BHWC = torch.cat([_doubled(layer(x_BHWC)), seen.pop().relu()], dim=-1)
        colours_BhwC, flow_BijC = self._colours(x_BHWC), self._flow(x_BHWC)
        (height, width), (top, left) = self._size, self._corner
        return (
            self._spread(colours_BhwC)[..., top : top + height, left : left + width].contiguous(),
            flow_BijC[
                :,
                top // FLOW_CELL_PX : (top + height) // FLOW_CELL_PX,
                left // FLOW_CELL_PX : (left + width) // FLOW_CELL_PX,
            ],
        )


def _doubled(squares_BhwC: Tensor) -> Tensor:
    """(B, 2 h, 2 w, C) of (B, h, w, (y, x, C)): a pixel shuffle that moves whole runs of channels."""
    batch, height, width, channels = squares_BhwC.shape
    squares = squares_BhwC.reshape(batch, height, width, 2, 2, channels // 4)
    return squares.permute(0, 1, 3, 2, 4, 5).reshape(batch, 2 * height, 2 * width, channels // 4)


def _spread(colours_BhwC: Tensor) -> Tensor:
    """(B, c, H, W) float32 of (B, h, w, (x, c, y))."""
    batch, height, width, channels = colours_BhwC.shape
    colours = colours_BhwC.reshape(batch, height, width, 2, channels // 4, 2).permute(0, 4, 1, 5, 2, 3)
    return colours.reshape(batch, channels // 4, 2 * height, 2 * width).float()


def _spread_on_cpu(colours_BhwC: Tensor) -> Tensor:
    """The same. OpenCV's transposition is several times faster than torch's, and sees only numbers."""
    batch, height, width, channels = colours_BhwC.shape
    dtype = colours_BhwC.dtype
    numbers = colours_BhwC.view(torch.int16) if dtype == torch.bfloat16 else colours_BhwC
    spread = []
    for numbers_hwC in numbers.numpy():
        left, right = cv2.transpose(numbers_hwC.reshape(-1, channels)).reshape(2, -1, width)
        rows = torch.from_numpy(cv2.merge([left, right])).view(dtype)
        spread.append(rows.reshape(channels // 4, 2, height, 2 * width).transpose(1, 2))
    colours = torch.stack(spread).to(torch.float32, memory_format=torch.contiguous_format)
    return colours.reshape(batch, channels // 4, 2 * height, 2 * width)


def _convolution(
    layer: _Layer, size: tuple[int, int], dtype: torch.dtype, device: torch.device
) -> _Convolution:
    """A convolution of (B, H, W, C) to (B, H', W', C').

    Args:
        layer: What is computed.
        size: (H, W).
        dtype: In which it is computed.
        device: Where.
    """
    weight = layer.weight.to(device, dtype).contiguous(memory_format=torch.channels_last)
    bias = layer.bias.to(device, dtype)
    stride, ones = [layer.stride] * 2, [1, 1]
    slopes = [SLOPE] if layer.activation == "leaky_relu" else []
    if device.type == "cpu" and hasattr(torch.ops.mkldnn, "_convolution_pointwise"):
        # How torch's compiler calls oneDNN: weights lie as it wants them, and the activation is part of it.
        weight = torch.ops.mkldnn._reorder_convolution_weight(
            weight, ones, stride, ones, 1, [1, weight.shape[1], *size]
        )

        def packed(x_BHWC: Tensor) -> Tensor:
            x_BCHW = x_BHWC.permute(0, 3, 1, 2)
            made: Tensor = torch.ops.mkldnn._convolution_pointwise(
                x_BCHW, weight, bias, ones, stride, ones, 1, layer.activation, slopes, ""
            )
            return made.permute(0, 2, 3, 1)

        return packed

    def plain(x_BHWC: Tensor) -> Tensor:
        made = functional.conv2d(x_BHWC.permute(0, 3, 1, 2), weight, bias, layer.stride, padding=1)
        if layer.activation == "leaky_relu":
            made = functional.leaky_relu_(made, SLOPE)
        elif layer.activation == "relu":
            made = made.relu_()
        return made.permute(0, 2, 3, 1)

    return plain


@lru_cache(maxsize=4)
def _pixels(height: int, width: int) -> Float32:
    """(2, H, W) float32, each pixel's x and y."""
    return np.ascontiguousarray(np.indices((height, width), np.float32)[::-1])
