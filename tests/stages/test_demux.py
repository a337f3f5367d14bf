from __future__ import annotations

from pathlib import Path

import pytest

from dubber.engine.stage import StageContext
from dubber.errors import MediaError
from dubber.stages.demux import Demux
from dubber.types import SourceFile
from tests.media.clips import write_clip
from tests.media.test_reader import cfr


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
