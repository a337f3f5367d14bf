from __future__ import annotations

from itertools import product

import av
import numpy as np
import pytest

from dubber.media.color import YuvColor, resolve_color, rgb_to_yuv420, rgb_to_yuv_matrix
from dubber.media.frame import even_box
from dubber.types import ColorTags
from tests.media.clips import BT601, frame


def psnr_db(a: np.ndarray, b: np.ndarray) -> float:
    error = np.mean((a.astype(float) - b.astype(float)) ** 2)
    return float(10 * np.log10(255**2 / max(error, 1e-9)))


COLORS = [YuvColor(m, f) for m, f in product((1, 6, 9), (False, True))]


@pytest.mark.parametrize("color", COLORS, ids=str)
def test_white_black_and_red_are_where_the_standard_puts_them(color: YuvColor) -> None:
    corners = rgb_to_yuv_matrix(color) @ np.array([[255, 0, 255], [255, 0, 0], [255, 0, 0], [1, 1, 1.0]])
    low, high, most = (0, 255, 255.5) if color.is_full_range else (16, 235, 240)
    np.testing.assert_allclose(corners[:, 0], [high, 128, 128], atol=1e-9)
    np.testing.assert_allclose(corners[:, 1], [low, 128, 128], atol=1e-9)
    assert corners[2, 2] == pytest.approx(most)


def test_rgb_agrees_with_swscale() -> None:
    picture = frame(3, (48, 64))
    other = av.VideoFrame(64, 48, "yuv420p")
    for plane, samples in zip(other.planes, picture.planes, strict=True):
        rows = np.frombuffer(memoryview(plane), np.uint8).reshape(-1, plane.line_size)
        rows[:, : samples.shape[1]] = samples
    expected = other.reformat(format="rgb24", src_colorspace=5, dst_colorspace=5, interpolation="BILINEAR")
    assert psnr_db(picture.rgb(), expected.to_ndarray()) > 38


@pytest.mark.parametrize("color", COLORS, ids=str)
def test_round_trip_of_a_smooth_picture(color: YuvColor) -> None:
    picture = frame(2, (48, 64), color=color)
    box = (24, 16, 64, 48)  # without the bright corner, whose colour is outside RGB
    again = rgb_to_yuv420(picture.rgb_box(box), color)
    for before, after, step in zip(picture.planes, again, (1, 2, 2), strict=True):
        assert psnr_db(before[16 // step :, 24 // step :], after) > 45


@pytest.mark.parametrize("size", [(48, 64), (47, 63)])
@pytest.mark.parametrize("box", [(0, 0, 20, 16), (14, 10, 40, 30), (40, 20, 64, 48)])
def test_a_box_is_a_part_of_the_whole(size: tuple[int, int], box: tuple[int, int, int, int]) -> None:
    picture = frame(1, size)
    x0, y0, x1, y1 = box = even_box(box, size)
    np.testing.assert_array_equal(picture.rgb_box(box), picture.rgb()[y0:y1, x0:x1])


def test_own_pixels_put_back_change_nothing() -> None:
    picture = frame(1, (47, 63))
    box = even_box((11, 7, 63, 47), picture.size)
    rgb = picture.rgb_box(box)
    again = picture.replace_box(box, rgb, np.ones(rgb.shape[:2], np.uint8))
    for before, after in zip(picture.planes, again.planes, strict=True):
        np.testing.assert_array_equal(before, after)


def test_only_masked_samples_change() -> None:
    picture = frame(1, (48, 64))
    box = (10, 8, 30, 24)
    mask = np.zeros((16, 20), np.float32)
    mask[3:6, 5:9] = 0.2  # rows 11..13, columns 15..18 of the frame
    rgb = np.full((16, 20, 3), (255, 0, 0), np.uint8)
    changed = picture.replace_box(box, rgb, mask)
    expected_y = np.zeros((48, 64), bool)
    expected_y[11:14, 15:19] = True
    np.testing.assert_array_equal(changed.y != picture.y, expected_y)
    expected_uv = np.zeros((24, 32), bool)
    expected_uv[5:7, 7:10] = True
    np.testing.assert_array_equal(changed.v != picture.v, expected_uv)
    np.testing.assert_array_equal(changed.u != picture.u, expected_uv)
    red = changed.rgb()[12, 16:18].astype(int)
    assert (red[:, 0] > 240).all()
    assert (red[:, 1:] < 15).all()
    assert changed.pts == picture.pts


@pytest.mark.parametrize(
    "box", [(1, 0, 20, 16), (0, 0, 21, 16), (0, 0, 0, 16), (0, 0, 66, 16), (-2, 0, 8, 8)]
)
def test_boxes_that_do_not_fit_are_refused(box: tuple[int, int, int, int]) -> None:
    with pytest.raises(ValueError, match="even box"):
        frame(0, (48, 64)).rgb_box(box)


def test_even_box_grows_and_clips() -> None:
    assert even_box((3.2, 4.0, 9.1, 8.0), (47, 63)) == (2, 4, 10, 8)
    assert even_box((-5.0, -1.0, 99.0, 99.0), (47, 63)) == (0, 0, 63, 47)
    with pytest.raises(ValueError, match="outside"):
        even_box((70.0, 0.0, 80.0, 8.0), (47, 63))


def test_scaled_picture_keeps_its_colours() -> None:
    picture = frame(4, (48, 64))
    small = picture.rgb((24, 32))
    assert small.shape == (24, 32, 3)
    reference = picture.rgb().reshape(24, 2, 32, 2, 3).mean(axis=(1, 3))
    assert psnr_db(small, reference) > 32


def test_untagged_footage_is_guessed_by_its_size() -> None:
    nothing = ColorTags(0, 2, 2, 2)
    assert resolve_color(nothing, (720, 1280)).matrix == 1
    assert resolve_color(nothing, (480, 640)) == BT601
    assert resolve_color(ColorTags(2, 9, 9, 2), (480, 640)) == YuvColor(9, is_full_range=True)
