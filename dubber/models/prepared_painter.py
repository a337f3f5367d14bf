"""The hybrid painter made ready to paint: the pictures of `HybridPainter` in half of its time.

What is the same for every frame is done once. Weights are cast, and laid out as the device's convolutions
want them. The input's scale, the output's scale, and the mean of the flow over its cells are linear: they go
into the weights of the first and last layers, which halves the last. An encoder's leaky ReLU is part of its
convolution; the decoder, whose ReLU comes after, cannot tell: max(leaky(x), 0) = max(x, 0).

Only what is hidden of the source needs a painter. The encoder sees all; on the CPU, the decoder and the
mixing work on the box around what is hidden, as far as each layer's result is needed there.

Index letters: B batch, K exemplars, C channels, H height, W width; h, w part or half of them; i, j a quarter;
c = 3 + K channels of residual and logits; y, x = 2 place within a square of pixels.
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
from dubber.engine.memory import with_smaller_batches
from dubber.models.hybrid import FLOW_CELL_PX, SHARPNESS, HybridPainter, mix
from dubber.models.unet import SLOPE
from dubber.types import Float32, UInt8

_MIDDLE_LEVEL = 127.5
"""What the network sees as 0. Levels minus this are exact in bfloat16."""

_MAX_LEVEL = 255.0

_Activation = Literal["none", "relu", "leaky_relu"]

_Convolution = Callable[[Tensor], Tensor]
"""Of (B, H, W, C)."""

_Span = tuple[int, int]
"""First and one after the last."""

_Box = tuple[_Span, _Span]
"""Rows and columns."""

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
            layers = _folded(net)
        self._network = lru_cache(maxsize=2)(lambda size: _Network(layers, size, device))

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
        picture_B3HW = (mixture_B3HW + colours_BcHW[:, :3]).clamp_(0, _MAX_LEVEL).round_()
        levels_BHW3 = picture_B3HW[:count].to(torch.uint8).permute(0, 2, 3, 1).contiguous()
        whole_BHW3 = np.ascontiguousarray(inputs_BHWC[..., -5:-2])
        for whole_HW3, made_HW3, inputs_HWC in zip(
            whole_BHW3, levels_BHW3.cpu().numpy(), inputs_BHWC, strict=True
        ):
            rows, columns = (slice(*span) for span in _box(np.ascontiguousarray(inputs_HWC[..., -2])))
            whole_HW3[rows, columns] = made_HW3[rows, columns]
        return whole_BHW3


def _box(hidden_HW: UInt8) -> _Box:
    """What is painted of a picture."""
    x, y, width, height = cv2.boundingRect(hidden_HW)

    def around(start: int, stop: int, side: int) -> _Span:
        first = max(start - _BOX_MARGIN_PX, 0) // _BOX_STEP_PX
        last = -(-min(stop + _BOX_MARGIN_PX, side) // _BOX_STEP_PX)
        return first * _BOX_STEP_PX, min(last * _BOX_STEP_PX, side)

    return around(y, y + height, hidden_HW.shape[0]), around(x, x + width, hidden_HW.shape[1])


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

    def __call__(self, levels_BHWC: Tensor, box: _Box) -> tuple[Tensor, Tensor]:
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

    def _regions(self, box: _Box) -> list[_Box]:
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


def _part(x_BHWC: Tensor, box: _Box, corner: tuple[int, int] = (0, 0)) -> Tensor:
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


@lru_cache(maxsize=4)
def _pixels(height: int, width: int) -> Float32:
    """(2, H, W) float32, each pixel's x and y."""
    return np.ascontiguousarray(np.indices((height, width), np.float32)[::-1])
