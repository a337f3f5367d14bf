"""Drawing into pictures, and many pictures on one sheet. Pictures are (H, W, 3) uint8 RGB.

Index letters: P points.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from pathlib import Path

import cv2
import numpy as np

from dubber.types import Float32, UInt8

Color = tuple[int, int, int]

OWN_COLOR: Color = (255, 160, 0)
"""The mouth as the source frame has it."""

WANTED_COLOR: Color = (0, 220, 90)
"""The mouth as it shall be."""

MESH_COLOR: Color = (120, 170, 255)
"""What the tracker sees of the whole face."""

_FONT = cv2.FONT_HERSHEY_SIMPLEX
_TEXT_PER_PX = 1 / 22
"""OpenCV's scale of letters that are one pixel high."""

_GAP_PX = 6
_BACKGROUND = 32
_SHEET_ASPECT = 1.3
"""Width over height that a sheet comes near to."""


def draw_points(rgb: UInt8, points_P2: Float32, color: Color) -> None:
    """Draw points into a picture; their size follows its width."""
    radius = max(1, round(rgb.shape[1] / 700))
    for x, y in points_P2:
        cv2.circle(rgb, (round(float(x) - 0.5), round(float(y) - 0.5)), radius, color, -1, cv2.LINE_AA)


def draw_outline(rgb: UInt8, corner: tuple[int, int], mask_HW: Float32) -> None:
    """Draw, in white, the line along which a mask is one half.

    Args:
        rgb: The picture.
        corner: (x, y) of the mask in it, px.
        mask_HW: (H, W) in 0..1.
    """
    is_inside = np.asarray(mask_HW > 0.5, np.uint8)
    contours, _ = cv2.findContours(is_inside, cv2.RETR_EXTERNAL, cv2.CHAIN_APPROX_NONE, offset=corner)
    cv2.drawContours(rgb, contours, -1, (255, 255, 255), max(1, round(rgb.shape[1] / 700)), cv2.LINE_AA)


def draw_text(rgb: UInt8, text: str, corner: tuple[int, int], height_px: int) -> None:
    """Write white letters with a black rim, readable on anything.

    Args:
        rgb: The picture.
        text: ASCII.
        corner: (x, y) of the text's upper left corner, px.
        height_px: Height of a capital letter.
    """
    scale, thickness = height_px * _TEXT_PER_PX, max(1, round(height_px / 10))
    foot = (corner[0], corner[1] + height_px)
    for color, width in (((0, 0, 0), 3 * thickness), ((255, 255, 255), thickness)):
        cv2.putText(rgb, text, foot, _FONT, scale, color, width, cv2.LINE_AA)


def text_width(text: str, height_px: int) -> int:
    """Pixels that `draw_text` needs."""
    return cv2.getTextSize(text, _FONT, height_px * _TEXT_PER_PX, max(1, round(height_px / 10)))[0][0]


def difference(before: UInt8, after: UInt8, gain: float) -> UInt8:
    """What changed, around middle grey, amplified: both of one shape, and so is the result."""
    change = after.astype(np.float32) - before.astype(np.float32)
    return np.asarray(np.clip(np.rint(128 + gain * change), 0, 255), np.uint8)


def contact_sheet(rows: Sequence[tuple[str, Sequence[UInt8]]], captions: Sequence[str]) -> UInt8:
    """Lay moments out side by side, each a row of pictures with its name written in.

    Args:
        rows: Name and pictures of each moment: as many pictures as captions, of one height.
        captions: What the pictures of a moment are.

    Returns:
        The sheet, with as many moments beside each other as bring it near to a page's shape.

    Raises:
        ValueError: There is no row.
    """
    if not rows:
        raise ValueError("a sheet needs a moment")
    cells = []
    for name, pictures in rows:
        copies = [picture.copy() for picture in pictures]
        draw_text(copies[0], name, (6, 6), 12)
        cells.append(_joined(copies, axis=1))
    height, width = np.max([cell.shape[:2] for cell in cells], axis=0)
    columns = max(1, round(math.sqrt(_SHEET_ASPECT * len(cells) * height / width)))
    columns = min(columns, len(cells))
    heading = np.full((26, width, 3), _BACKGROUND, np.uint8)
    x = 0
    for caption, picture in zip(captions, rows[0][1], strict=True):
        draw_text(heading, caption, (x + 4, 7), 12)
        x += picture.shape[1] + _GAP_PX
    lines = [_joined([heading] * columns, axis=1)]
    for start in range(0, len(cells), columns):
        line = [_padded(cell, height, width) for cell in cells[start : start + columns]]
        line += [np.full((height, width, 3), _BACKGROUND, np.uint8)] * (columns - len(line))
        lines.append(_joined(line, axis=1))
    return _joined(lines, axis=0)


def encode_png(rgb: UInt8) -> bytes:
    """A PNG file's bytes; OpenCV's own writer cannot open every path and does not say so."""
    is_encoded, data = cv2.imencode(".png", cv2.cvtColor(rgb, cv2.COLOR_RGB2BGR))
    if not is_encoded:
        raise ValueError(f"a picture of {rgb.shape} cannot be a PNG file")
    return data.tobytes()


def write_png(path: Path, rgb: UInt8) -> None:
    """Encode first, write then."""
    path.write_bytes(encode_png(rgb))


def _joined(pictures: Sequence[UInt8], axis: int) -> UInt8:
    """Pictures of one height (axis 1) or width (axis 0) with gaps between them."""
    shape = list(pictures[0].shape)
    shape[axis] = _GAP_PX
    gap = np.full(shape, _BACKGROUND, np.uint8)
    parts = [part for picture in pictures for part in (gap, picture)][1:]
    return np.concatenate(parts, axis=axis)


def _padded(picture: UInt8, height: int, width: int) -> UInt8:
    bottom, right = height - picture.shape[0], width - picture.shape[1]
    return np.pad(picture, ((0, bottom), (0, right), (0, 0)), constant_values=_BACKGROUND)
