"""mark: words in the picture that say that it was edited, streamed; in the plan only where asked for."""

from __future__ import annotations

from collections.abc import Generator
from contextlib import closing
from dataclasses import replace
from typing import TYPE_CHECKING, Any, ClassVar, Literal

import numpy as np
from pydantic import Field

from dubber.engine.stage import Params, Stage, StageContext
from dubber.errors import ConfigError
from dubber.types import Bool, FaceTrack, Float32, RetimeMap

if TYPE_CHECKING:
    from dubber.media.flow import FrameStream
    from dubber.media.frame import Frame
    from dubber.media.lettering import Lettering

Corner = Literal["bottom_right", "bottom_left", "top_right", "top_left"]
CORNERS: tuple[Corner, ...] = ("bottom_right", "top_right", "bottom_left", "top_left")
"""In the order in which they are tried."""

_HEIGHT = 0.032
"""Height of a capital letter as part of the picture's shorter side: read at arm's length on a phone."""

_MIN_HEIGHT_PX = 9
_MARGIN = 0.05
"""What some screens do not show of each side. Source: SMPTE ST 2046-1, safe title area of 90 %."""

_MOST_WIDTH = 0.9
"""Longer texts are written smaller."""


class MarkParams(Params):
    """Words in the picture.

    Attributes:
        is_on: Whether there are any.
        text: What they are.
        corner: Where they stand; "auto" for the corner in which they cover least of the dubbed faces.
        is_throughout: Whether they stand in every frame, or in those from a shot's first dubbed one to its
            last, which is so where only parts of a film are dubbed.
    """

    is_on: bool = False
    text: str = Field("AI-dubbed", min_length=1, max_length=60, pattern=r"^[^\x00-\x1f]+$")
    corner: Literal["auto", "bottom_right", "bottom_left", "top_right", "top_left"] = "auto"
    is_throughout: bool = True


class Mark(Stage["FrameStream"]):
    """Write words into the frames."""

    name: ClassVar[str] = "mark"
    version: ClassVar[int] = 1
    output_type: ClassVar[type] = object  # a FrameStream, whose module takes long to load
    is_stored: ClassVar[bool] = False
    params: MarkParams

    def run(self, ctx: StageContext, *inputs: Any) -> FrameStream:  # noqa: ARG002 - nobody waits for it
        """Promise the frames; the work is done while they are consumed.

        Args:
            ctx: Unused.
            *inputs: `FrameStream` of the dub, `RetimeMap`, and the `FaceTrack` of everybody dubbed.

        Raises:
            ConfigError: The words have letters that cannot be written.
        """
        frames: FrameStream
        retime: RetimeMap
        frames, retime, *tracks = inputs
        check_letters(self.params.text)
        is_marked_N = self._is_marked(frames.is_dubbed_N, tracks[0].shot_id_T[retime.source_index_N])

        def marked() -> Generator[Frame]:
            with closing(frames.open()) as unmarked:
                stamp: tuple[Lettering, tuple[int, int]] | None = None
                for frame, is_marked in zip(unmarked, is_marked_N.tolist(), strict=True):
                    if stamp is None:
                        stamp = self._stamp(frame.size, _faces(tracks, retime, is_marked_N))
                    lettering, corner = stamp
                    yield lettering.put(frame, corner) if is_marked else frame

        return replace(frames, open=marked, is_marked_N=is_marked_N, mark=self.params.text)

    def _is_marked(self, is_dubbed_N: Bool, shot_id_N: Any) -> Bool:
        """(N,) which frames get the words."""
        if self.params.is_throughout:
            return np.ones(len(is_dubbed_N), np.bool_)
        is_marked_N = np.zeros(len(is_dubbed_N), np.bool_)
        for shot in np.unique(shot_id_N[is_dubbed_N]):
            first, last = np.flatnonzero(is_dubbed_N & (shot_id_N == shot))[[0, -1]]
            is_marked_N[first : last + 1] |= shot_id_N[first : last + 1] == shot
        return is_marked_N

    def _stamp(self, size: tuple[int, int], faces_F4: Float32) -> tuple[Lettering, tuple[int, int]]:
        """The words for frames of a size, and (x, y) where they stand."""
        from dubber.media.lettering import Lettering

        text = self.params.text
        height_px = max(_MIN_HEIGHT_PX, round(_HEIGHT * min(size)))
        lettering = Lettering.of(text, height_px)
        if lettering.size[1] > _MOST_WIDTH * size[1]:
            lettering = Lettering.of(text, max(5, int(height_px * _MOST_WIDTH * size[1] / lettering.size[1])))
        places = {corner: place_of(corner, lettering.size, size) for corner in CORNERS}
        if self.params.corner != "auto":
            return lettering, places[self.params.corner]
        covered = {corner: covered_px(faces_F4, places[corner], lettering.size) for corner in CORNERS}
        return lettering, places[min(CORNERS, key=covered.__getitem__)]


def check_letters(text: str) -> None:
    """Find out whether words can be written.

    Raises:
        ConfigError: They have letters that cannot, or none.
    """
    from dubber.media.lettering import missing_letters

    if not any(letter.isalnum() for letter in text):
        raise ConfigError("Nothing of these words can be read.", where="--label-text")
    if missing := missing_letters(text):
        raise ConfigError(
            f"The letters '{missing}' cannot be written into pictures.",
            where="--label-text",
            advice="Latin, Greek and Cyrillic letters can.",
        )


def place_of(corner: Corner, size: tuple[int, int], frame_size: tuple[int, int]) -> tuple[int, int]:
    """Where words stand in a corner of the frame's safe area.

    Args:
        corner: Which.
        size: (height, width) of the words.
        frame_size: (height, width) of the frame.

    Returns:
        (x, y) of their upper left corner, even and inside the frame.
    """
    vertical, horizontal = corner.split("_")
    margin_y, margin_x = (round(_MARGIN * side) for side in frame_size)
    y = margin_y if vertical == "top" else frame_size[0] - margin_y - size[0]
    x = margin_x if horizontal == "left" else frame_size[1] - margin_x - size[1]
    return max(0, x // 2 * 2), max(0, y // 2 * 2)


def covered_px(faces_F4: Float32, place: tuple[int, int], size: tuple[int, int]) -> float:
    """How much of faces a rectangle covers, px over all of them.

    Args:
        faces_F4: (F, 4) boxes, xyxy px.
        place: (x, y) of the rectangle.
        size: Its (height, width).
    """
    x, y = place
    width_F = np.minimum(faces_F4[:, 2], x + size[1]) - np.maximum(faces_F4[:, 0], x)
    height_F = np.minimum(faces_F4[:, 3], y + size[0]) - np.maximum(faces_F4[:, 1], y)
    return float((np.maximum(width_F, 0) * np.maximum(height_F, 0)).sum())


def _faces(tracks: list[FaceTrack], retime: RetimeMap, is_marked_N: Bool) -> Float32:
    """(F, 4) boxes of the faces that are seen together with the words."""
    index_n = retime.source_index_N[is_marked_N]
    return np.concatenate([track.boxes_T4[index_n] for track in tracks])
