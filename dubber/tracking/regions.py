"""Where a face is looked at: turned squares that networks see, and the part of the picture around them."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from dubber.tracking.base import Picture
from dubber.types import Float32, UInt8

REGION_SCALE = 1.5
"""Side of a mesh's region in units of the longer side of the box around landmarks or detection. Source:
MediaPipe, face_landmark_landmarks_to_roi.pbtxt and face_detection_front_detection_to_roi.pbtxt.
"""

WINDOW_MARGIN = 1.15
"""Side of the window whose colours are made, in units of the region's extent: a second look stays inside."""

_EYE_CORNERS = [33, 263]
"""The outer corners of the right and of the left eye, which tell how a region is turned. Source: as
`REGION_SCALE`.
"""


def landmarks_box(landmarks_L3: Float32) -> Float32:
    """(4,) the box around landmarks."""
    xy_L2 = landmarks_L3[:, :2]
    return np.asarray(np.concatenate([xy_L2.min(axis=0), xy_L2.max(axis=0)]), np.float32)


def fitting_size(size: tuple[int, int], max_side_px: int) -> tuple[int, int]:
    """(height, width) of a picture made so small that its longer side is at most `max_side_px`."""
    factor = min(1.0, max_side_px / max(size))
    return max(1, round(size[0] * factor)), max(1, round(size[1] * factor))


@dataclass(frozen=True)
class Region:
    """The turned square that the mesh looks at.

    Attributes:
        centre_2: (2,) px of the picture.
        side_px: Side.
        turn: Clockwise, radians: that of the line between the eyes.
    """

    centre_2: Float32
    side_px: float
    turn: float

    @classmethod
    def around(cls, box_4: Float32, right_eye_2: Float32, left_eye_2: Float32) -> Region:
        """The region of a face. The right eye is the one on the picture's left."""
        across_2 = left_eye_2 - right_eye_2
        return cls(
            (box_4[:2] + box_4[2:]) / 2,
            REGION_SCALE * float((box_4[2:] - box_4[:2]).max()),
            float(np.arctan2(across_2[1], across_2[0])),
        )

    @classmethod
    def of_landmarks(cls, landmarks_L3: Float32) -> Region:
        """The region in which to look for a face that was found."""
        eyes_22 = landmarks_L3[_EYE_CORNERS, :2]
        return cls.around(landmarks_box(landmarks_L3), *eyes_22)

    @property
    def extent_px(self) -> float:
        """Side of the upright square around it."""
        return self.side_px * float(abs(np.cos(self.turn)) + abs(np.sin(self.turn)))


@dataclass(frozen=True)
class Window:
    """An upright square of a picture, black where it reaches over the border.

    Attributes:
        rgb_SS3: (S, S, 3) uint8 RGB.
        corner_2: (2,) its upper left corner, px of the picture.
        shrink: Px of the picture per px of the window.
    """

    rgb_SS3: UInt8
    corner_2: Float32
    shrink: int

    @classmethod
    def around(cls, picture: Picture, region: Region, network_side_px: int) -> Window | None:
        """The window of a region; None where that lies outside the picture.

        A region at least twice as large as what the network takes is made smaller by a whole number before
        the network's pixels are sampled from it.

        Its corners are multiples of so many px that samples of chroma and of the smaller picture never
        straddle them.
        """
        shrink = max(1, int(region.side_px / network_side_px))
        grid = 2 * shrink
        extent = region.extent_px * WINDOW_MARGIN
        left, top = (int((value - extent / 2) // grid) * grid for value in region.centre_2)
        side = (int(extent // grid) + 2) * grid
        height, width = (length // grid * grid for length in picture.size)
        x0, y0, x1, y1 = max(left, 0), max(top, 0), min(left + side, width), min(top + side, height)
        if x1 <= x0 or y1 <= y0:
            return None
        rgb = picture.part((x0, y0, x1, y1)).rgb(((y1 - y0) // shrink, (x1 - x0) // shrink))
        window = np.zeros((side // shrink, side // shrink, 3), np.uint8)
        x, y = (x0 - left) // shrink, (y0 - top) // shrink
        window[y : y + rgb.shape[0], x : x + rgb.shape[1]] = rgb
        return cls(window, np.array([left, top], np.float32), shrink)

    @property
    def side_px(self) -> int:
        """Side, px of the picture."""
        return len(self.rgb_SS3) * self.shrink

    def to_picture(self, landmarks_L3: Float32) -> Float32:
        """Landmarks in sides of the window, as MediaPipe gives x, y and z, in px of the picture.

        Shrinking by n moves what a network takes for a pixel's centre by (n - 1) / 2 px.
        """
        scaled_L3 = landmarks_L3 * np.float32(self.side_px)
        scaled_L3[:, :2] += self.corner_2 + (self.shrink - 1) / 2
        return np.asarray(scaled_L3, np.float32)

    def from_picture(self, landmarks_L3: Float32) -> Float32:
        """Landmarks, px of the picture, in px of the window."""
        points_L3 = np.array(landmarks_L3, np.float32)
        points_L3[:, :2] -= self.corner_2 + (self.shrink - 1) / 2
        return np.asarray(points_L3 / self.shrink, np.float32)

    def holds(self, region: Region) -> bool:
        """Whether all of a region lies inside."""
        distance_2 = np.abs(region.centre_2 - self.corner_2 - self.side_px / 2)
        return bool((distance_2 + region.extent_px / 2).max() <= self.side_px / 2)
