from __future__ import annotations

from collections.abc import Generator
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from dubber.errors import ConfigError
from dubber.media.color import MATRIX_BT709, YuvColor
from dubber.media.flow import FrameStream
from dubber.media.frame import Frame
from dubber.media.lettering import Lettering, missing_letters
from dubber.stages.mark import CORNERS, Mark, MarkParams, check_letters, covered_px, place_of
from dubber.types import Bool, RetimeMap
from tests.stages.streams import stage_context
from tests.stages.test_deflicker import track_of

COLOR = YuvColor(MATRIX_BT709, is_full_range=False)
SIZES = [(240, 426), (426, 240), (361, 641), (1080, 1920), (2160, 3840)]


def grey(size: tuple[int, int], level: int = 128, index: int = 0) -> Frame:
    half = ((size[0] + 1) // 2, (size[1] + 1) // 2)
    u, v = np.full(half, 90, np.uint8), np.full(half, 160, np.uint8)
    return Frame(index, index, np.full(size, level, np.uint8), u, v, COLOR)


def marked(
    folder: Path,
    params: MarkParams,
    is_dubbed_N: Bool,
    shots: list[int],
    boxes: list[list[float]],
    size: tuple[int, int],
) -> tuple[FrameStream, list[Frame]]:
    def frames() -> Generator[Frame]:
        yield from (grey(size, index=n) for n in range(len(is_dubbed_N)))

    track = replace(track_of(np.array(shots)), boxes_T4=np.array(boxes, np.float32))
    retime = RetimeMap(np.arange(len(shots), dtype=np.int32), np.zeros(len(shots), np.bool_))
    stream = Mark(params).run(stage_context(folder, "mark"), FrameStream(is_dubbed_N, frames), retime, track)
    return stream, list(stream.open())


@pytest.mark.parametrize("size", SIZES, ids=str)
@pytest.mark.parametrize("level", [16, 128, 235])
def test_words_stand_out_from_any_picture_at_any_size(size: tuple[int, int], level: int) -> None:
    lettering = Lettering.of("AI-dubbed", max(9, round(0.032 * min(size))))
    frame = grey(size, level)
    place = place_of("bottom_right", lettering.size, size)
    made = lettering.put(frame, place)
    y0, x0 = place[1], place[0]
    words = made.y[y0 : y0 + lettering.size[0], x0 : x0 + lettering.size[1]].astype(int)
    fill = lettering.fill_HW > 0.9
    rim = (lettering.rim_HW > 0.8) & (lettering.fill_HW < 0.05)
    assert fill.sum() > 50 and words[fill].mean() > 225 and words[rim].mean() < 60
    changed = np.zeros(size, np.bool_)
    changed[y0 : y0 + lettering.size[0], x0 : x0 + lettering.size[1]] = True
    assert np.array_equal(made.y[~changed], frame.y[~changed])
    assert np.array_equal(frame.y, grey(size, level).y)  # the source's memory is not written to
    for x, side in ((x0, 1), (size[1] - x0 - lettering.size[1], 1), (size[0] - y0 - lettering.size[0], 0)):
        assert x >= 0.04 * size[side]


def test_words_stand_where_they_cover_least_of_faces(tmp_path: Path) -> None:
    size = (240, 426)
    everywhere = np.ones(4, np.bool_)
    for corner, box in (("top_right", [300, 180, 426, 240]), ("bottom_left", [200, 0, 426, 240])):
        params = MarkParams(is_on=True)
        _, frames = marked(tmp_path, params, everywhere, [0] * 4, [box] * 4, size)
        place = place_of(corner, Lettering.of("AI-dubbed", 9).size, size)  # type: ignore[arg-type]
        rows, columns = np.nonzero(frames[0].y != 128)
        assert abs(columns.min() - place[0]) < 6 and abs(rows.min() - place[1]) < 6
    assert covered_px(np.array([[0, 0, 10, 10]], np.float32), (5, 5), (20, 20)) == 25
    assert len(set(CORNERS)) == 4


def test_only_shots_that_are_dubbed_are_marked_where_parts_are(tmp_path: Path) -> None:
    is_dubbed_N = np.array([0, 0, 1, 0, 1, 0, 0, 0, 1, 0], np.bool_)
    shots = [0] * 6 + [1] * 4
    params = MarkParams(is_on=True, is_throughout=False)
    stream, frames = marked(tmp_path, params, is_dubbed_N, shots, [[0, 0, 9, 9]] * 10, (240, 426))
    wanted = [False, False, True, True, True, False, False, False, True, False]
    assert [bool((frame.y != 128).any()) for frame in frames] == wanted
    assert stream.is_changed_N.tolist() == wanted and stream.is_dubbed_N.tolist() == is_dubbed_N.tolist()
    stream, frames = marked(
        tmp_path, MarkParams(is_on=True), is_dubbed_N, shots, [[0, 0, 9, 9]] * 10, (240, 426)
    )
    assert all((frame.y != 128).any() for frame in frames) and stream.is_changed_N.all()


def test_long_words_fit_and_strange_ones_are_refused(tmp_path: Path) -> None:
    params = MarkParams(is_on=True, text="Doublé par une intelligence artificielle, Озвучено ИИ")
    _, frames = marked(tmp_path, params, np.ones(1, np.bool_), [0], [[0, 0, 9, 9]], (240, 320))
    columns = np.nonzero((frames[0].y != 128).any(0))[0]
    assert columns.min() > 0 and columns.max() < 319 and np.ptp(columns) <= 0.9 * 320
    assert missing_letters("Ж漢aש") == "漢ש"  # Hebrew would be written backwards
    for nothing in ("  ", "\u200b", "..."):
        with pytest.raises(ConfigError, match="Nothing of these words"):
            check_letters(nothing)
    with pytest.raises(ConfigError, match="漢"):
        marked(
            tmp_path, MarkParams(is_on=True, text="漢"), np.ones(1, np.bool_), [0], [[0, 0, 9, 9]], (240, 320)
        )
