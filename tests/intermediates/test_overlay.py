"""The dub with marks, above its panel."""

from __future__ import annotations

from itertools import pairwise
from pathlib import Path

import numpy as np
import pytest

from dubber.engine.execute import Run
from dubber.engine.progress import SilentProgress
from dubber.errors import DubberError, OutputExistsError
from dubber.evaluation.coverage import Stretch
from dubber.evaluation.metrics import psnr_db
from dubber.evaluation.quality import measure_quality
from dubber.intermediates import overlay, stage_sheet, write_overlay
from dubber.intermediates.drawing import OWN_COLOR, WANTED_COLOR
from dubber.intermediates.panel import Panel, SpeakerLine
from dubber.media.audio import audio_duration_s
from dubber.media.probe import probe
from dubber.media.reader import read_frames
from dubber.types import UInt8
from tests.intermediates.conftest import Dub


def write(finished: Dub, output: Path, *, is_overwrite: bool = False) -> None:
    write_overlay(
        finished.plan, finished.runtime, output, progress=SilentProgress(), is_overwrite=is_overwrite
    )


def test_every_frame_is_there_marked_above_its_panel(finished: Dub, tmp_path: Path) -> None:
    output = tmp_path / "debug.mp4"
    write(finished, output)
    run = Run(finished.plan.plan, finished.runtime)
    dubbed = run.get(finished.plan.dubbed)
    drawn, made = probe(output), probe(dubbed.file.path)
    height, width = made.size
    assert drawn.num_frames == made.num_frames
    assert drawn.size[0] > height and drawn.size[1] == width
    np.testing.assert_allclose(drawn.times_s_T, made.times_s_T, atol=1e-4)
    assert audio_duration_s(output) == pytest.approx(audio_duration_s(dubbed.file.path), abs=0.03)
    panels: list[UInt8] = []
    for shown, plain in zip(read_frames(output, drawn), read_frames(dubbed.file.path, made), strict=True):
        picture, panel = np.split(shown.rgb(), [height])
        panels.append(panel)
        assert psnr_db(picture[:20], plain.rgb()[:20]) > 38  # above the face nothing is drawn
        if dubbed.is_dubbed_N[shown.index]:
            assert is_seen(picture, WANTED_COLOR) and not is_seen(plain.rgb(), WANTED_COLOR)
    assert all(psnr_db(one, other) < 35 for one, other in pairwise(panels))


def is_seen(rgb: UInt8, color: tuple[int, int, int]) -> bool:
    """Whether some pixels come near to a colour, after coding."""
    distance = np.abs(rgb.astype(np.int16) - np.array(color, np.int16)).max(axis=2)
    return bool((distance < 70).sum() > 3)


def panel_of(size: tuple[int, int]) -> Panel:
    words = (Stretch(0, 0.2, 0, 5, "dubbed"), Stretch(0.2, 0.4, 5, 10, "passed", "the face is too small"))
    has_mouth_N = np.arange(10) < 5
    speaker = SpeakerLine(
        stretches=words,
        loudness_F=np.linspace(0, 1, 40, dtype=np.float32),
        wanted_N=np.linspace(0, 1, 10, dtype=np.float32),
        own_N=np.full(10, 0.5, np.float32),
        has_mouth_N=has_mouth_N,
    )
    times_s_N = np.arange(10) / 25
    return Panel(size, times_s_N, np.arange(10, dtype=np.int32), has_mouth_N, [speaker, speaker])


@pytest.mark.parametrize("size", [(360, 640), (640, 360), (2160, 3840)])
def test_the_panel_is_readable_at_any_size(size: tuple[int, int]) -> None:
    panel = panel_of(size)
    assert panel.letter_px >= min(9, size[1]) and panel.letter_px >= 0.02 * min(size)
    rgb = panel.draw(4)
    assert rgb.shape == (panel.height, size[1], 3) and panel.height % 2 == 0
    assert panel.height < 0.7 * size[0]


def test_the_bar_is_as_high_as_the_mouth_shall_be_open() -> None:
    panel = panel_of((720, 1280))

    def green(n: int) -> int:
        bars = panel.draw(n)[:, -2 * panel.letter_px :]
        return int((bars == np.array(WANTED_COLOR)).all(axis=2).sum())

    assert green(0) == 0 and green(4) > 1.8 * green(2) > 0
    assert green(7) == 0  # no mouth was made
    assert (panel.draw(4) == np.array(OWN_COLOR)).all(axis=2).any()


def test_what_was_done_is_said_frame_by_frame() -> None:
    nothing = np.zeros(6, np.float32)
    stretches = (Stretch(0, 1, 0, 5, "dubbed"), Stretch(1, 2, 5, 6, "passed", "no face"))
    speaker = SpeakerLine(stretches, nothing, nothing, nothing, np.ones(6, np.bool_))
    assert [speaker.words(n) for n in (0, 4, 5)] == ["dubbed", "dubbed", "passed through (no face)"]


def test_an_existing_file_stays_and_a_failure_leaves_nothing(
    finished: Dub, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(*_: object) -> None:
        raise DubberError("broken")

    output = tmp_path / "debug.mp4"
    monkeypatch.setattr(overlay, "draw_outline", fail)
    with pytest.raises(DubberError, match="broken"):
        write(finished, output)
    assert list(tmp_path.iterdir()) == []
    output.write_bytes(b"mine")
    monkeypatch.undo()
    with pytest.raises(OutputExistsError):
        write(finished, output)
    assert output.read_bytes() == b"mine"


@pytest.mark.slow
def test_a_retimed_dub_is_judged_by_its_pictures_and_drawn(finished: Dub) -> None:
    quality = measure_quality(finished.plan, finished.runtime, SilentProgress())
    figures = {figure.name: figure for figure in quality.figures}
    assert quality.num_frames_seen == quality.num_dubbed_frames > 20
    assert quality.num_frames_compared == 40
    assert figures["sync"].verdict == "unknown"  # less than two seconds
    assert figures["untouched"].value is not None and figures["untouched"].value > 36
    for name in ("sharpness", "seam", "flicker"):
        assert figures[name].value is not None, name
    sheet = stage_sheet("sync", finished.plan, finished.runtime, SilentProgress())
    assert sheet.shape[1] > 1000 and sheet.std() > 20
