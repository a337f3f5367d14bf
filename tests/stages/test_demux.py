from __future__ import annotations

from pathlib import Path

import pytest

from dubber.engine.stage import StageContext
from dubber.errors import MediaError
from dubber.stages.demux import Demux, DemuxParams
from dubber.types import SourceFile
from tests.media.clips import write_clip
from tests.media.test_reader import cfr, fields_clip


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


def test_a_single_picture_is_refused(context: StageContext, tmp_path: Path) -> None:
    video = SourceFile(write_clip(tmp_path / "one.mp4", [0]), "0")
    with pytest.raises(MediaError, match="single picture"):
        Demux().run(context, video)
