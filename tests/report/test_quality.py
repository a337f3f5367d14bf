"""What a short dub is judged by."""

from __future__ import annotations

from dubber.engine.progress import SilentProgress
from dubber.intermediates import stage_sheet
from tests.report.conftest import Finished


def test_a_short_dub_is_judged_by_its_pictures_and_drawn(finished: Finished) -> None:
    quality = finished.quality
    figures = {figure.name: figure for figure in quality.figures}
    assert quality.num_frames_seen == quality.num_frames_compared == quality.num_dubbed_frames == 30
    assert figures["sync"].verdict == "unknown"  # less than two seconds
    for name in ("sharpness", "seam", "flicker", "untouched"):  # the mouth is the source's own
        assert figures[name].verdict == "good", figures[name]
    sheet = stage_sheet("sync", finished.plan, finished.runtime, SilentProgress())
    assert sheet.shape[1] > 1000 and sheet.std() > 20
