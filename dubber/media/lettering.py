"""Words that can be read on any picture, and putting them into frames."""

from __future__ import annotations

import unicodedata
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING

import cv2
import numpy as np

from dubber.media.color import YuvColor
from dubber.media.part import Part, planes_of
from dubber.types import Float32, UInt8

if TYPE_CHECKING:
    from matplotlib.ft2font import FT2Font

    from dubber.media.frame import Frame

_CAPITAL = 0.729
"""Height of a capital letter of DejaVu Sans in its nominal size. Source: the font's OS/2 table."""

_RIM = 0.22
"""Width of the dark rim in heights of a capital letter."""

_RIM_OPACITY = 0.85
_POINTS_PER_INCH = 72


def missing_letters(text: str) -> str:
    """Letters of a text that cannot be written here: others than the font's, and right-to-left ones."""
    font = _font(10)
    return "".join(
        letter
        for letter in text
        if not font.get_char_index(ord(letter)) or unicodedata.bidirectional(letter) in ("R", "AL")
    )


@dataclass(frozen=True)
class Lettering:
    """White words with a dark rim.

    Attributes:
        fill_HW: (H, W) float32 in 0..1, where they are white.
        rim_HW: (H, W) float32 in 0..1, where it is dark around them.
    """

    fill_HW: Float32
    rim_HW: Float32

    @classmethod
    def of(cls, text: str, height_px: int) -> Lettering:
        """Write a text.

        Args:
            text: One line.
            height_px: Height of a capital letter.
        """
        font = _font(height_px / _CAPITAL)
        font.set_text(text, 0.0)
        font.draw_glyphs_to_bitmap(antialiased=True)
        letters_HW = np.asarray(font.get_image(), np.float32) / 255
        rim_px = max(1, round(_RIM * height_px))
        sizes = [side + 2 * rim_px for side in letters_HW.shape]
        below, right = (rim_px + side % 2 for side in sizes)  # even sides
        fill_HW = np.pad(letters_HW, ((rim_px, below), (rim_px, right)))
        disc = cv2.getStructuringElement(cv2.MORPH_ELLIPSE, (2 * rim_px + 1, 2 * rim_px + 1))
        rim_HW = _RIM_OPACITY * cv2.dilate(fill_HW, disc)
        return cls(fill_HW, np.asarray(rim_HW, np.float32))

    @property
    def size(self) -> tuple[int, int]:
        """(height, width), both even."""
        return self.fill_HW.shape[0], self.fill_HW.shape[1]

    def put(self, frame: Frame, corner: tuple[int, int]) -> Frame:
        """A frame with the words in it; where they are not, it is untouched.

        Args:
            frame: The frame.
            corner: (x, y) of the words' upper left corner, even px.
        """
        part = Part(corner, self.size)
        y, u, v = part.cut(frame)
        black, white = _grey_levels(frame.color)
        y_HW = y + (black - y) * self.rim_HW
        y_HW += (white - y_HW) * self.fill_HW
        u_hw, v_hw = (plane + (128 - plane.astype(np.float32)) * self._cover_hw for plane in (u, v))
        return part.put(frame, (_levels(y_HW), _levels(u_hw), _levels(v_hw)))

    @cached_property
    def _cover_hw(self) -> Float32:
        """(H / 2, W / 2) how much of each chroma sample is covered."""
        cover_HW = self.rim_HW + (1 - self.rim_HW) * self.fill_HW
        height, width = self.size
        return np.asarray(cover_HW.reshape(height // 2, 2, width // 2, 2).mean((1, 3)), np.float32)


def _grey_levels(color: YuvColor) -> tuple[float, float]:
    """Luma of black and white."""
    picture = np.array([[[0] * 3, [255] * 3]], np.uint8)
    black, white = planes_of(picture, color)[0][0].tolist()
    return float(black), float(white)


def _levels(plane: Float32) -> UInt8:
    return np.clip(np.rint(plane), 0, 255).astype(np.uint8)


def _font(size_px: float) -> FT2Font:
    from matplotlib import get_data_path
    from matplotlib.ft2font import FT2Font

    font = FT2Font(str(Path(get_data_path()) / "fonts" / "ttf" / "DejaVuSans-Bold.ttf"))
    font.set_size(size_px, _POINTS_PER_INCH)
    return font
