from __future__ import annotations

import logging
from pathlib import Path

import numpy as np
import pytest

from dubber.engine.stage import StageContext
from dubber.errors import MediaError
from dubber.media.reader import read_frames
from dubber.stages.demux import Demux, DemuxParams
from dubber.types import SourceFile
from tests.media.clips import cfr, fields_clip, write_clip


def test_it_gives_the_clip(context: StageContext, tmp_path: Path) -> None:
    path = write_clip(tmp_path / "v.mp4", cfr(10))
    clip = Demux().run(context, SourceFile(path, "0"))
    assert clip.num_frames == 10
    assert clip.size == (48, 64)
    assert clip.frame_rate == 25
    assert not clip.has_audio


def test_a_missing_video_is_bad_media(context: StageContext, tmp_path: Path) -> None:
    with pytest.raises(MediaError):
        Demux().run(context, SourceFile(tmp_path / "absent.mp4", "0"))


def test_fields_are_refused_unless_they_shall_become_pictures(context: StageContext, tmp_path: Path) -> None:
    video = SourceFile(fields_clip(tmp_path / "i.mkv", 6), "0")
    with pytest.raises(MediaError, match="interlaced") as raised:
        Demux().run(context, video)
    assert "--deinterlace" in raised.value.advice
    clip = Demux(DemuxParams(deinterlace=True)).run(context, video)
    assert clip.is_deinterlaced


def test_progressive_footage_is_not_deinterlaced(
    context: StageContext, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    video = SourceFile(write_clip(tmp_path / "v.mp4", cfr(6)), "0")
    with caplog.at_level(logging.INFO, logger="dubber"):
        clip = Demux(DemuxParams(deinterlace=True)).run(context, video)
    assert "nothing is deinterlaced" in caplog.text
    plain = Demux().run(context, video)
    assert not clip.is_deinterlaced
    for one, other in zip(read_frames(video.path, clip), read_frames(video.path, plain), strict=True):
        np.testing.assert_array_equal(one.y, other.y)


def test_a_single_picture_is_refused(context: StageContext, tmp_path: Path) -> None:
    video = SourceFile(write_clip(tmp_path / "one.mp4", [0]), "0")
    with pytest.raises(MediaError, match="single picture"):
        Demux().run(context, video)
