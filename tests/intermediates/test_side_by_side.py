"""The source beside the dub."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from dubber.engine.execute import Run
from dubber.engine.progress import SilentProgress
from dubber.errors import DubberError, OutputExistsError
from dubber.evaluation.metrics import psnr_db
from dubber.intermediates import side_by_side, write_side_by_side
from dubber.media.audio import audio_duration_s
from dubber.media.probe import probe
from dubber.media.reader import read_frames, read_frames_at
from tests.intermediates.conftest import Dub


def write(finished: Dub, output: Path, *, is_overwrite: bool = False) -> None:
    write_side_by_side(
        finished.plan, finished.runtime, output, progress=SilentProgress(), is_overwrite=is_overwrite
    )


def test_each_frame_stands_beside_the_source_frame_it_was_made_from(finished: Dub, tmp_path: Path) -> None:
    output = tmp_path / "both.mp4"
    write(finished, output)
    run = Run(finished.plan.plan, finished.runtime)
    dubbed, retime = run.get(finished.plan.dubbed), run.get(finished.plan.retime)
    both, made, source = probe(output), probe(dubbed.file.path), probe(finished.clip.path)
    height, width = source.size
    assert (both.size, both.num_frames) == ((height, 2 * width), made.num_frames)
    assert made.num_frames > source.num_frames  # retimed
    np.testing.assert_allclose(both.times_s_T, made.times_s_T, atol=1e-4)
    assert audio_duration_s(output) == pytest.approx(audio_duration_s(dubbed.file.path), abs=0.03)
    below_name = slice(20, None)
    sides = zip(
        read_frames(output, both),
        read_frames_at(finished.clip.path, source, retime.source_index_N),
        read_frames(dubbed.file.path, made),
        retime.is_halfway_N,
        strict=True,
    )
    for seen, before, after, is_halfway in sides:
        left, right = np.split(seen.rgb(), 2, axis=1)
        if not is_halfway:
            assert psnr_db(left[below_name], before.rgb()[below_name]) > 38
        assert psnr_db(right[below_name], after.rgb()[below_name]) > 38
        # The names are written in: the corners differ from the pictures.
        assert psnr_db(right[:20, :60], after.rgb()[:20, :60]) < 25


def test_an_existing_file_stays_unless_told(finished: Dub, tmp_path: Path) -> None:
    output = tmp_path / "both.mp4"
    output.write_bytes(b"mine")
    with pytest.raises(OutputExistsError):
        write(finished, output)
    assert output.read_bytes() == b"mine"
    write(finished, output, is_overwrite=True)
    assert probe(output).num_frames > 24


def test_a_failure_leaves_nothing(finished: Dub, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    drawn: list[str] = []

    def fail(_: object, name: str, *__: object) -> None:
        drawn.append(name)
        if len(drawn) == 9:
            raise DubberError("broken")

    monkeypatch.setattr(side_by_side, "draw_text", fail)
    with pytest.raises(DubberError, match="broken"):
        write(finished, tmp_path / "both.mp4")
    assert list(tmp_path.iterdir()) == []
