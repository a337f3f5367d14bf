"""Contact sheets of a short dub."""

from __future__ import annotations

from pathlib import Path

import cv2
import numpy as np
import pytest

from dubber.engine.execute import Run
from dubber.engine.progress import SilentProgress
from dubber.errors import ConfigError, OutputExistsError, OutputFolderError
from dubber.intermediates import check_sheet, export, stage_sheet, write_sheet
from dubber.intermediates.drawing import contact_sheet, difference, draw_text
from dubber.intermediates.drawn_stages import SHEETS, around
from dubber.intermediates.look import CLOSE_UP_PX
from dubber.media.patches import read_patches
from dubber.pipeline import DubPlan
from dubber.types import UInt8
from tests.intermediates.conftest import Dub


def draw(finished: Dub, stage: str, dub_plan: DubPlan | None = None, num_frames: int = 2) -> UInt8:
    return stage_sheet(
        stage, dub_plan or finished.plan, finished.runtime, SilentProgress(), num_frames=num_frames
    )


@pytest.mark.parametrize("stage", ["track", "fit", "render", "teeth", "blend"])
def test_close_ups_are_large_and_as_many_as_asked_for(finished: Dub, stage: str) -> None:
    one, four = draw(finished, stage, num_frames=1), draw(finished, stage, num_frames=4)
    pictures = {"track": 2, "fit": 2, "render": 3, "teeth": 2, "blend": 4}[stage]
    assert one.shape[1] >= pictures * CLOSE_UP_PX
    grown = (four.shape[0] - one.shape[0]) / one.shape[0] + (four.shape[1] - one.shape[1]) / one.shape[1]
    assert grown > 0.9
    assert one.std() > 20  # something is to be seen


@pytest.mark.parametrize("stage", ["translate", "retime"])
def test_curves_are_drawn(finished: Dub, stage: str) -> None:
    sheet = draw(finished, stage)
    assert sheet.shape[2] == 3 and min(sheet.shape[:2]) > 700
    assert (sheet != 255).any(axis=2).mean() > 0.01


def test_the_sheet_of_blend_shows_source_patch_mask_and_result(finished: Dub) -> None:
    """Outside the mask the result is the source; inside it is not."""
    sheet = draw(finished, "blend", num_frames=1)
    height = round(CLOSE_UP_PX * 192 / 288)
    top = sheet.shape[0] - height
    source, _, mask, result = (
        sheet[top + 40 :, index * (CLOSE_UP_PX + 6) : index * (CLOSE_UP_PX + 6) + CLOSE_UP_PX].astype(
            np.float32
        )
        for index in range(4)
    )
    change = np.abs(result - source).max(axis=2)
    inside = mask[..., 0] > 200
    assert inside.mean() > 0.1
    assert change[inside].mean() > 2
    assert change[:, -8:].mean() < 0.5


def test_the_sheet_of_deflicker_shows_lines_through_time(finished: Dub) -> None:
    """Above, through and below the mouth: before, after, and their difference around grey."""
    sheet = draw(finished, "deflicker")
    before, after = (
        list(read_patches([file.path for file in Run(finished.plan.plan, finished.runtime).get(ref).patches]))
        for ref in around(finished.plan, "deflicker")
    )
    height, width = before[0].shape[:2]
    left, middle, right = (sheet[:, i * (width + 6) : i * (width + 6) + width] for i in range(3))
    # The last moment of the slice that is nearest to the sheet's foot: a line of the last frame.
    assert any(np.array_equal(left[-1], before[-1][y]) for y in range(height))
    assert any(np.array_equal(middle[-1], after[-1][y]) for y in range(height))
    assert right[-60:].mean() == pytest.approx(128, abs=12)


def test_a_stage_that_is_off_has_no_sheet(finished: Dub) -> None:
    with pytest.raises(ConfigError, match="'deflicker' is switched off"):
        draw(finished, "deflicker", finished.replan({"deflicker.is_on": False}))


@pytest.mark.slow
def test_the_null_twin_has_sheets_too(finished: Dub) -> None:
    """It makes no patches; what is shown is the film's own mouth, which finishing leaves alone."""
    copied = finished.replan({"render.renderer": "copy"})
    sheets = {stage: draw(finished, stage, copied, 1) for stage in ("render", "teeth", "deflicker", "blend")}
    assert all(sheet.std() > 10 for sheet in sheets.values())
    size = CLOSE_UP_PX, round(CLOSE_UP_PX * 192 / 288)
    source, patch = (sheets["render"][-size[1] :][:, x : x + size[0]] for x in (0, 2 * (size[0] + 6)))
    assert np.abs(source.astype(int) - patch)[40:].mean() < 4, "the same, but for the enlargement"


def test_kept_stages_show_what_finishing_changes(finished: Dub, tmp_path: Path) -> None:
    export(finished.plan, finished.runtime, tmp_path / "look")
    names = {path.name for path in (tmp_path / "look").iterdir()}
    assert {"teeth.png", "deflicker.png", "render_00000.png"} <= names


def test_a_stage_is_drawn_from_the_cache(finished: Dub) -> None:
    run_before = Run(finished.plan.plan, finished.runtime)
    assert run_before.peek(finished.plan.mouths) is not None
    told: list[str] = []

    class Told(SilentProgress):
        def finish(self, name: str, seconds: float, *, is_hit: bool) -> None:
            if not is_hit:
                told.append(name)

    stage_sheet("render", finished.plan, finished.runtime, Told(), num_frames=1)
    assert told == []


def test_what_cannot_be_drawn_is_said(finished: Dub) -> None:
    with pytest.raises(ConfigError, match="no sheet of 'demux'") as caught:
        draw(finished, "demux")
    assert all(stage in (caught.value.advice or "") for stage in SHEETS)


def test_a_sheet_is_written_whole_and_replaces_nothing_unasked(tmp_path: Path) -> None:
    picture = np.arange(12 * 8 * 3, dtype=np.uint8).reshape(12, 8, 3)
    path = tmp_path / "ein Blatt ü.png"
    check_sheet(path, is_overwrite=False)
    write_sheet(picture, path, is_overwrite=False)
    read = cv2.imdecode(np.frombuffer(path.read_bytes(), np.uint8), cv2.IMREAD_COLOR)
    np.testing.assert_array_equal(read[..., ::-1], picture)
    for check in (
        lambda: check_sheet(path, is_overwrite=False),
        lambda: write_sheet(picture, path, is_overwrite=False),
    ):
        with pytest.raises(OutputExistsError):
            check()
    check_sheet(path, is_overwrite=True)
    with pytest.raises(ConfigError):
        check_sheet(tmp_path / "sheet.jpg", is_overwrite=False)
    with pytest.raises(OutputFolderError):
        check_sheet(tmp_path / "absent" / "sheet.png", is_overwrite=False)
    assert [file.name for file in tmp_path.iterdir()] == [path.name]


def test_moments_stand_side_by_side_in_order() -> None:
    def plain(level: int) -> UInt8:
        return np.full((90, 120, 3), level, np.uint8)

    sheet = contact_sheet([(str(i), [plain(50 * i), plain(50 * i + 20)]) for i in range(5)], ["a", "b"])
    found = [int(level) for level in sheet[80, :, 0]]
    order = [
        level for level, last in zip(found, [None, *found], strict=False) if level != last and level != 32
    ]
    assert order[:4] == [0, 20, 50, 70]
    with pytest.raises(ValueError, match="moment"):
        contact_sheet([], ["a"])


def test_a_difference_is_amplified_around_grey_and_does_not_wrap() -> None:
    before = np.full((2, 2, 3), 100, np.uint8)
    assert (difference(before, before, 6) == 128).all()
    assert (difference(before, before + 5, 6) == 158).all()
    assert (difference(before, np.full_like(before, 200), 6) == 255).all()
    assert (difference(before, np.zeros_like(before), 6) == 0).all()


def test_text_is_readable_on_white_and_on_black() -> None:
    for level in (0, 255):
        picture = np.full((40, 200, 3), level, np.uint8)
        draw_text(picture, "frame 12", (5, 5), 16)
        assert picture.min() < 40 and picture.max() > 215
