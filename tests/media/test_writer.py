from __future__ import annotations

from dataclasses import replace
from fractions import Fraction
from pathlib import Path

import av
import numpy as np
import pytest

from dubber.errors import ConfigError
from dubber.media.encoding import EncodeOptions, check_settings
from dubber.media.probe import probe
from dubber.media.reader import read_frames
from dubber.media.writer import VideoWriter
from dubber.types import ColorTags
from tests.media.clips import VFR, cfr, clip_of, frame, index_of

TIMES = [
    (cfr(20), Fraction(1, 12800), 512),
    ([1001 * i for i in range(20)], Fraction(1, 30000), 1001),
    ([2 * i for i in range(20)], Fraction(1001, 60000), 2),
    (VFR, Fraction(1, 12800), 1500),
    ([33, 66, 100, 133, 166, 300], Fraction(1, 1000), 500),
]


@pytest.mark.parametrize(("ticks", "time_base", "last"), TIMES, ids=["25", "29.97", "odd base", "vfr", "ms"])
def test_times_are_kept(tmp_path: Path, ticks: list[int], time_base: Fraction, last: int) -> None:
    clip = clip_of(ticks, time_base)
    path = tmp_path / "w.mp4"
    with VideoWriter(path, clip, time_base, end_pts=ticks[-1] + last) as writer:
        for i, pts in enumerate(ticks):
            writer.write(frame(i, clip.size), pts)
    again = probe(path)
    got_s = [(int(pts) - int(again.pts_T[0])) * again.time_base for pts in again.pts_T]
    assert got_s == [(pts - ticks[0]) * time_base for pts in ticks]
    duration = (again.end_pts - int(again.pts_T[0])) * again.time_base
    assert abs(duration - (ticks[-1] + last - ticks[0]) * time_base) <= again.time_base
    assert [index_of(f) for f in read_frames(path, again)] == list(range(len(ticks)))


def test_aspect_and_colour_are_kept(tmp_path: Path) -> None:
    color = ColorTags(range=1, matrix=5, primaries=5, transfer=6)
    clip = replace(clip_of(cfr(3), Fraction(1, 12800)), pixel_aspect=Fraction(16, 15), color=color)
    with VideoWriter(tmp_path / "w.mp4", clip, clip.time_base) as writer:
        for i, pts in enumerate(cfr(3)):
            writer.write(frame(i, clip.size), pts)
    again = probe(tmp_path / "w.mp4")
    assert (again.size, again.pixel_aspect, again.color) == (clip.size, clip.pixel_aspect, color)


def test_odd_sizes_get_a_repeated_edge(tmp_path: Path) -> None:
    clip = clip_of(cfr(3), Fraction(1, 12800), size=(47, 63))
    with VideoWriter(tmp_path / "w.mp4", clip, clip.time_base, EncodeOptions(crf=1)) as writer:
        for i, pts in enumerate(cfr(3)):
            writer.write(frame(i, clip.size), pts)
    again = probe(tmp_path / "w.mp4")
    assert again.size == (48, 64)
    picture = next(read_frames(tmp_path / "w.mp4", again))
    assert np.abs(picture.y[:47, :63].astype(int) - frame(0, (47, 63)).y).mean() < 1.5
    assert np.abs(picture.y[:, 63].astype(int) - picture.y[:, 62]).mean() < 4


@pytest.mark.parametrize("size", [(48, 64), (96, 480), (64, 544)])
def test_bytes_are_repeatable(tmp_path: Path, size: tuple[int, int]) -> None:
    clip = clip_of(cfr(12), Fraction(1, 12800), size=size)
    junk, made = [], []
    for attempt in range(3):
        path = tmp_path / "w.mp4"
        with VideoWriter(path, clip, clip.time_base) as writer:
            for i, pts in enumerate(cfr(12)):
                writer.write(frame(i, size), pts)
        made.append(path.read_bytes())
        junk.append(np.full(300_000 * (attempt + 1), 77 * attempt, np.uint8))  # other bytes in freed memory
        junk[:-1] = []
    assert made[0] == made[1] == made[2]


def test_failure_leaves_no_file(tmp_path: Path) -> None:
    clip = clip_of(cfr(3), Fraction(1, 12800))
    with pytest.raises(RuntimeError), VideoWriter(tmp_path / "w.mp4", clip, clip.time_base) as writer:
        writer.write(frame(0, clip.size), 0)
        raise RuntimeError
    assert not list(tmp_path.iterdir())


def test_misuse_is_refused(tmp_path: Path) -> None:
    clip = clip_of(cfr(3), Fraction(1, 12800))
    with pytest.raises(ConfigError, match=r"libx264") as raised:
        VideoWriter(tmp_path / "w.mp4", clip, clip.time_base, EncodeOptions(codec="libx999"))
    assert "libx264" in raised.value.advice
    with (
        pytest.raises(ConfigError, match="refuses"),
        VideoWriter(tmp_path / "w.mp4", clip, clip.time_base, EncodeOptions(preset="leisurely")) as writer,
    ):
        for i, pts in enumerate(cfr(3)):
            writer.write(frame(i, clip.size), pts)
    with (
        pytest.raises(ValueError, match="increase"),
        VideoWriter(tmp_path / "w.mp4", clip, clip.time_base) as writer,
    ):
        writer.write(frame(0, clip.size), 5)
        writer.write(frame(1, clip.size), 5)
    with (
        pytest.raises(ValueError, match="frame is"),
        VideoWriter(tmp_path / "w.mp4", clip, clip.time_base) as writer,
    ):
        writer.write(frame(0, (32, 32)), 0)
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize("codec", ["libx264", "libx265", "libsvtav1"])
def test_encoders_say_nothing_past_the_log(
    tmp_path: Path, capfd: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch, codec: str
) -> None:
    monkeypatch.setenv("SVT_LOG", "1")  # restored at the end
    monkeypatch.delenv("SVT_LOG")
    clip = clip_of([0, 512], Fraction(1, 12800), (64, 96))
    check_settings(EncodeOptions(codec))
    with VideoWriter(tmp_path / "w.mp4", clip, clip.time_base, EncodeOptions(codec)) as writer:
        for index, pts in enumerate([0, 512]):
            writer.write(frame(index, clip.size), pts)
    assert capfd.readouterr() == ("", "")


@pytest.mark.parametrize("count", [1, 2])
@pytest.mark.parametrize("size", [(64, 96), (128, 128)])
def test_hevc_of_few_pictures_has_sound_times(tmp_path: Path, count: int, size: tuple[int, int]) -> None:
    ticks = cfr(count)
    clip = clip_of(ticks, Fraction(1, 12800), size)
    with VideoWriter(tmp_path / "w.mp4", clip, clip.time_base, EncodeOptions("libx265")) as writer:
        for index, pts in enumerate(ticks):
            writer.write(frame(index, size), pts)
    with av.open(str(tmp_path / "w.mp4")) as container:
        times = [(packet.dts, packet.pts) for packet in container.demux(video=0) if packet.size]
    assert times == [(pts, pts) for pts in ticks]
