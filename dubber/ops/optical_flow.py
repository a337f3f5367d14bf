"""Motion between pictures, and the picture half-way between two, for footage that is slowed down.

Source: method.md section 1: a repeated frame becomes the mean of two half-warps; the flow is OpenCV's DIS
(Kroeger et al., "Fast Optical Flow using Dense Inverse Search", ECCV 2016).
"""

from __future__ import annotations

from typing import Any, TypeVar

import cv2
import numpy as np
from numpy.typing import NDArray

from dubber.types import Float32, UInt8

Level = TypeVar("Level", bound=np.unsignedinteger[Any])

_FLOW_SIDE_PX = 640


def flow_to(here_HW: UInt8, there_HW: UInt8) -> Float32:
    """Where each pixel of a picture is found in another; the fast setting, for pictures that differ little.

    Args:
        here_HW: (H, W) uint8 luma, at least 16 px each way.
        there_HW: (H, W) uint8 luma.

    Returns:
        (H, W, 2) float32 px, to be added to a pixel's place; `pulled` takes it.
    """
    search = cv2.DISOpticalFlow.create(cv2.DISOPTICAL_FLOW_PRESET_FAST)
    start = np.zeros((*here_HW.shape, 2), np.float32)
    return np.asarray(search.calc(here_HW, there_HW, start), np.float32)


def pulled(image_HW: Float32, displacement_HW2: Float32, interpolation: int = cv2.INTER_LINEAR) -> Float32:
    """Pull a picture or field through a displacement; outside it the border value continues.

    Args:
        image_HW: (H, W) or (H, W, C) float32.
        displacement_HW2: (H, W, 2) float32 px, source minus destination.
        interpolation: OpenCV's flag.

    Returns:
        float32, the picture's shape.
    """
    height, width = displacement_HW2.shape[:2]
    map_x = displacement_HW2[..., 0] + np.arange(width, dtype=np.float32)
    map_y = displacement_HW2[..., 1] + np.arange(height, dtype=np.float32)[:, None]
    warped = cv2.remap(image_HW, map_x, map_y, interpolation, borderMode=cv2.BORDER_REPLICATE)
    return np.asarray(warped, np.float32)


def half_flow(first_HW: UInt8, second_HW: UInt8) -> tuple[Float32, Float32]:
    """Where the half-way picture's pixels are found in each of the two frames.

    Args:
        first_HW: (H, W) uint8 luma.
        second_HW: (H, W) uint8 luma of the later frame.

    Returns:
        Two (H, W, 2) float32 fields, px, to be added to a pixel's place; each is half of the motion between
        the frames, taken at the pixel.
    """
    height, width = first_HW.shape
    factor = min(1.0, _FLOW_SIDE_PX / max(height, width))
    size = (max(16, round(width * factor)), max(16, round(height * factor)))
    small = [cv2.resize(image, size, interpolation=cv2.INTER_AREA) for image in (first_HW, second_HW)]
    search = cv2.DISOpticalFlow.create(cv2.DISOPTICAL_FLOW_PRESET_MEDIUM)
    forward = search.calc(small[0], small[1], np.zeros((size[1], size[0], 2), np.float32))
    backward = search.calc(small[1], small[0], np.zeros((size[1], size[0], 2), np.float32))
    scale = np.array([width / size[0], height / size[1]], np.float32)
    # The flow at a pixel of the half-way picture is read where that pixel comes from, to first order.
    halves = [
        pulled(np.asarray(flow, np.float32), np.asarray(-0.5 * flow, np.float32)) * -0.5
        for flow in (forward, backward)
    ]
    return _enlarged(halves[0] * scale, (width, height)), _enlarged(halves[1] * scale, (width, height))


def _enlarged(field_HW2: Float32, size: tuple[int, int]) -> Float32:
    return np.asarray(cv2.resize(field_HW2, size, interpolation=cv2.INTER_LINEAR), np.float32)


def halfway_plane(
    first_HW: NDArray[Level], second_HW: NDArray[Level], half_flows: tuple[Float32, Float32]
) -> NDArray[Level]:
    """Mean of the two half-warps of one plane.

    Args:
        first_HW: (h, w) or (h, w, 3) uint8 or uint16; a chroma plane may be smaller than the flow's picture.
        second_HW: The same of the later frame.
        half_flows: What `half_flow` gave.

    Returns:
        The plane's shape and type.
    """
    height, width = first_HW.shape[:2]
    flow_height, flow_width = half_flows[0].shape[:2]
    scale = np.array([width / flow_width, height / flow_height], np.float32)
    total = np.zeros(first_HW.shape, np.float32)
    for plane, flow in zip((first_HW, second_HW), half_flows, strict=True):
        field = (
            flow if (height, width) == (flow_height, flow_width) else _enlarged(flow, (width, height)) * scale
        )
        total += 0.5 * pulled(np.asarray(plane, np.float32), field)
    most = np.iinfo(first_HW.dtype).max
    return np.asarray(np.clip(np.rint(total), 0, most), first_HW.dtype)


def halfway_picture(first_HW3: UInt8, second_HW3: UInt8) -> UInt8:
    """The RGB picture half-way between two.

    Args:
        first_HW3: (H, W, 3) uint8 RGB.
        second_HW3: (H, W, 3) uint8 RGB, later.

    Returns:
        (H, W, 3) uint8 RGB.
    """
    gray = [
        np.asarray(cv2.cvtColor(image, cv2.COLOR_RGB2GRAY), np.uint8) for image in (first_HW3, second_HW3)
    ]
    return halfway_plane(first_HW3, second_HW3, half_flow(gray[0], gray[1]))
