"""The hybrid painter's network made ready for one size of picture.

What is the same for every frame is done once. Weights are cast, and laid out as the device's convolutions
want them. The input's scale, the output's scale, and the mean of the flow over its cells are linear: they go
into the weights of the first and last layers, which halves the last. An encoder's leaky ReLU is part of its
convolution; the decoder, whose ReLU comes after, cannot tell: max(leaky(x), 0) = max(x, 0).

The encoder sees all; the decoder works on the box that is wanted, as far as each layer's result is needed
there.

Index letters: B batch, K exemplars, C channels, H height, W width; h, w part or half of them; i, j a quarter;
c = 3 + K channels of residual and logits; y, x = 2 place within a square of pixels.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Literal

import cv2
import torch
from torch import Tensor, nn
from torch.nn import functional

from dubber.engine.device import convolution_dtype
from dubber.models.hybrid import FLOW_CELL_PX, SHARPNESS, HybridPainter
from dubber.models.unet import SLOPE

_MIDDLE_LEVEL = 127.5
"""What the network sees as 0. Levels minus this are exact in bfloat16."""

MAX_LEVEL = 255.0
"""The brightest."""

_Activation = Literal["none", "relu", "leaky_relu"]

_Convolution = Callable[[Tensor], Tensor]
"""Of (B, H, W, C)."""

Span = tuple[int, int]
"""First and one after the last."""

Box = tuple[Span, Span]
"""Rows and columns."""


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
class Layers:
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


def folded(net: HybridPainter) -> Layers:
    """The layers of a painter, scales folded in."""
    encoder = [_layer(block, stride=2, activation="leaky_relu") for block in net.unet.encoder]
    encoder[0] = replace(encoder[0], weight=encoder[0].weight / MAX_LEVEL)
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
    scale_c = torch.tensor([MAX_LEVEL] * 3 + [SHARPNESS] * net.num_exemplars)
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
    return Layers(encoder, decoder, colours, flow)


def _layer(block: nn.Module, stride: int, activation: _Activation = "none") -> _Layer:
    """The convolution of a block, the only part that has parameters."""
    weight, bias = (parameter.detach().cpu().float().clone() for parameter in block.parameters())
    return _Layer(weight, bias, stride, activation)


class Network:
    """The layers at one size of picture, on a device.

    Args:
        layers: What `folded` made.
        size: (H, W).
        device: Where.
    """

    def __init__(self, layers: Layers, size: tuple[int, int], device: torch.device) -> None:
        self._dtype = convolution_dtype(device)
        multiple = 2 ** len(layers.encoder)
        below, right = (-side % multiple for side in size)
        # As the U-Net pads, but for whole cells of the flow.
        top, left = (extra // 2 // FLOW_CELL_PX * FLOW_CELL_PX for extra in (below, right))
        self._corner = top, left
        self._border = (left, right - left, top, below - top)
        self._padded = height, width = size[0] + below, size[1] + right

        def at(layer: _Layer, halvings: int) -> _Convolution:
            return _convolution(layer, (height >> halvings, width >> halvings), self._dtype, device)

        depth = len(layers.encoder)
        self._encoder = [at(layer, level) for level, layer in enumerate(layers.encoder)]
        self._decoder = [at(layer, depth - level) for level, layer in enumerate(layers.decoder)]
        self._colours, self._flow = at(layers.colours, 1), at(layers.flow, 1)
        self._spread = _spread_on_cpu if device.type == "cpu" else _spread

    def __call__(self, levels_BHWC: Tensor, box: Box) -> tuple[Tensor, Tensor]:
        """What the U-Net says of a part of pictures.

        Args:
            levels_BHWC: (B, H, W, C) uint8.
            box: The part, multiples of 4; what lies around it is seen all the same.

        Returns:
            (B, c, h, w) float32 residual in levels and logits of the box, and (B, i, j, 2 K) its flow, px.
        """
        x_BHWC = levels_BHWC.to(self._dtype).sub_(_MIDDLE_LEVEL)
        if any(self._border):
            padded_BCHW = functional.pad(x_BHWC.permute(0, 3, 1, 2), self._border, mode="reflect")
            x_BHWC = padded_BCHW.permute(0, 2, 3, 1).contiguous()
        seen = []
        for layer in self._encoder:
            x_BHWC = layer(x_BHWC)
            seen.append(x_BHWC)
        regions = self._regions(box)
        region = regions.pop()
        x_BHWC = _part(seen.pop(), region).relu()
        for layer in self._decoder:
            (y, _), (x, _) = region
            region = regions.pop()
            doubled_BHWC = _part(_doubled(layer(x_BHWC)), region, (2 * y, 2 * x))
            x_BHWC = torch.cat([doubled_BHWC, _part(seen.pop(), region).relu()], dim=-1)
        rows, columns = (
            ((start + corner) // 2 - first, (stop + corner) // 2 - first)
            for (start, stop), corner, (first, _) in zip(box, self._corner, region, strict=True)
        )
        colours_BhwC = _part(self._colours(x_BHWC), (rows, columns))
        squares = FLOW_CELL_PX // 2
        flow_BijC = _part(
            self._flow(x_BHWC),
            ((rows[0] // squares, rows[1] // squares), (columns[0] // squares, columns[1] // squares)),
        )
        return self._spread(colours_BhwC.contiguous()), flow_BijC

    def _regions(self, box: Box) -> list[Box]:
        """What the decoder's layers must be given for a box: first the last layers, in halves of the picture.

        A layer's border is wrong where its input was cut, so that each is given a pixel more than its result
        is needed of; the flow's, which sees four, needs two.
        """
        spans = []
        for (start, stop), corner, side in zip(box, self._corner, self._padded, strict=True):
            first, last = (start + corner) // 2 - 2, (stop + corner) // 2 + 2
            along = [(max(first, 0), min(last, side // 2))]
            for level in range(2, len(self._encoder) + 1):
                first, last = along[-1][0] // 2 - 1, -(-along[-1][1] // 2) + 1
                along.append((max(first, 0), min(last, side >> level)))
            spans.append(along)
        return list(zip(*spans, strict=True))


def _part(x_BHWC: Tensor, box: Box, corner: tuple[int, int] = (0, 0)) -> Tensor:
    """A box of pictures whose upper left pixel is `corner`."""
    (top, bottom), (left, right) = box
    y, x = corner
    return x_BHWC[:, top - y : bottom - y, left - x : right - x]


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
