"""Parts of frames: cut out, changed, put back."""

from __future__ import annotations

import numpy as np
import pytest

from dubber.media.color import MATRIX_BT709, YuvColor
from dubber.media.frame import Frame
from dubber.media.part import Part, planes_of


def picture(height: int = 41, width: int = 63) -> Frame:
    rng = np.random.default_rng(0)
    half = (-(-height // 2), -(-width // 2))
    y, u, v = (rng.integers(0, 256, size, np.uint8) for size in ((height, width), half, half))
    return Frame(0, 0, y, u, v, YuvColor(MATRIX_BT709, False))


@pytest.mark.parametrize("corner", [(10, 8), (-6, -4), (40, 30)])
def test_what_is_cut_and_put_back_changes_nothing(corner: tuple[int, int]) -> None:
    frame, part = picture(), Part(corner, (20, 30))
    planes = part.cut(frame)
    assert [plane.shape for plane in planes] == [(20, 30), (10, 15), (10, 15)]
    back = part.put(frame, planes)
    assert all((a == b).all() for a, b in zip(back.planes, frame.planes, strict=True))


def test_changes_land_in_their_place_and_nowhere_else() -> None:
    frame, part = picture(), Part((-4, 10), (12, 16))
    planes = part.cut(frame)
    for plane in planes:
        plane[...] = 255 - plane
    changed = part.put(frame, planes)
    assert (changed.y[10:22, :12] == 255 - frame.y[10:22, :12]).all()
    assert (changed.u[5:11, :6] == 255 - frame.u[5:11, :6]).all()
    assert (changed.y[:10] == frame.y[:10]).all()
    assert (changed.y[10:, 12:] == frame.y[10:, 12:]).all()
    assert (changed.v[:, 6:] == frame.v[:, 6:]).all()


def test_beyond_the_frame_its_border_continues() -> None:
    frame = picture()
    y, _, _ = Part((-6, 0), (4, 10)).cut(frame)
    assert (y[:, :6] == frame.y[:4, :1]).all()


def test_a_smaller_part_is_seen_through() -> None:
    frame, outer = picture(), Part((8, 8), (24, 32))
    planes = outer.cut(frame)
    inner = Part((14, 12), (6, 10))
    views = inner.views(planes, outer)
    assert all((a == b).all() for a, b in zip(views, inner.cut(frame), strict=True))
    views[0][...] = 7
    assert (planes[0][4:10, 6:16] == 7).all()


def test_a_part_outside_the_frame_is_refused() -> None:
    with pytest.raises(ValueError, match="outside"):
        Part((100, 0), (10, 10)).cut(picture())


def test_planes_of_gray_have_no_colour() -> None:
    y, u, v = planes_of(np.full((4, 6, 3), 128, np.uint8), YuvColor(MATRIX_BT709, True))
    assert (y == 128).all()
    assert (u == 128).all()
    assert (v == 128).all()
