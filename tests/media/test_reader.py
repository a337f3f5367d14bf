from __future__ import annotations

from collections.abc import Callable
from fractions import Fraction
from pathlib import Path

import numpy as np
import pytest

from dubber.media import reader
from dubber.media.frame import Frame
from dubber.media.frame_maker import FrameMaker
from dubber.media.probe import probe
from dubber.media.reader import read_frames, read_frames_at
from dubber.types import Clip
from tests.conftest import real_clip
from tests.media.clips import VFR, cfr, fields_clip, index_of, planes, write_clip


@pytest.fixture(scope="module")
def long_clip(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Clip]:
    path = write_clip(tmp_path_factory.mktemp("clips") / "long.mp4", cfr(40))
    return path, probe(path)


@pytest.mark.parametrize(
    ("ticks", "time_base"),
    [
        (cfr(20), Fraction(1, 12800)),
        (cfr(20, start=5120), Fraction(1, 12800)),
        ([1001 * i for i in range(20)], Fraction(1, 30000)),
        (VFR, Fraction(1, 12800)),
    ],
    ids=["25 fps", "late start", "29.97 fps", "vfr"],
)
def test_every_frame_has_its_own_time(tmp_path: Path, ticks: list[int], time_base: Fraction) -> None:
    path = write_clip(tmp_path / "a.mkv", ticks, time_base=time_base, container_format="mp4")
    clip = probe(path)
    expected_s = [tick * time_base for tick in ticks]
    assert [int(pts) * clip.time_base for pts in clip.pts_T] == expected_s
    assert [index_of(f) for f in read_frames(path, clip)] == list(range(len(ticks)))
    assert [f.pts for f in read_frames(path, clip)] == clip.pts_T.tolist()


@pytest.mark.parametrize("name", ["x.mp4", "x.mkv", "x.avi", "x.ts", "x.mov"])
def test_reading_may_start_anywhere(tmp_path: Path, name: str) -> None:
    options = {"crf": "4", "g": "8", "bf": "0" if name == "x.avi" else "2"}
    time_base = Fraction(1, 25) if name == "x.avi" else Fraction(1, 12800)
    ticks = list(range(30)) if name == "x.avi" else cfr(30)
    path = write_clip(tmp_path / name, ticks, time_base=time_base, options=options)
    clip = probe(path)
    assert clip.num_frames == 30
    for start in (0, 1, 7, 8, 9, 23, 29):
        assert [index_of(f) for f in read_frames(path, clip, start, start + 3)] == list(
            range(start, min(start + 3, 30))
        )


@pytest.mark.parametrize("capacity", [64, 5])
def test_any_order(long_clip: tuple[Path, Clip], monkeypatch: pytest.MonkeyPatch, capacity: int) -> None:
    monkeypatch.setattr(reader, "MAX_CACHED_FRAMES", capacity)
    path, clip = long_clip
    bounce = [*range(40), *range(39, -1, -1), *range(10)]
    for wanted in (bounce, [0, 0, 1, 1, 1, 9, 30, 2, 2, 1, 0, 39, 38, 5], [17], []):
        assert [index_of(f) for f in read_frames_at(path, clip, wanted)] == wanted
        assert [f.index for f in read_frames_at(path, clip, wanted)] == wanted


def test_repeats_do_not_decode_again(long_clip: tuple[Path, Clip]) -> None:
    path, clip = long_clip
    first, second = read_frames_at(path, clip, [3, 3])
    assert first is second


def test_running_backward_decodes_in_chunks(
    long_clip: tuple[Path, Clip], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(reader, "MAX_CACHED_FRAMES", 10)
    path, clip = long_clip
    made: list[int] = []
    make: Callable[..., object] = FrameMaker.frame

    def counting(self: object, picture: object, index: int) -> object:
        made.append(index)
        return make(self, picture, index)

    monkeypatch.setattr(FrameMaker, "frame", counting)
    list(read_frames_at(path, clip, list(range(39, -1, -1))))
    assert len(made) <= 50


def test_indices_outside_the_clip_are_refused(long_clip: tuple[Path, Clip]) -> None:
    path, clip = long_clip
    with pytest.raises(IndexError):
        next(read_frames_at(path, clip, [40]))


@pytest.mark.parametrize(("rotation", "clockwise"), [(-90, 90), (90, 270), (180, 180)])
def test_rotation_is_applied(tmp_path: Path, rotation: int, clockwise: int) -> None:
    path = write_clip(tmp_path / "r.mp4", cfr(3), rotation=rotation)
    clip = probe(path)
    assert clip.rotation_deg == clockwise
    picture = next(read_frames(path, clip))
    assert clip.size == picture.size == ((48, 64) if clockwise == 180 else (64, 48))
    expected = np.rot90(planes(0, (48, 64))[0], -(clockwise // 90))
    assert np.abs(picture.y.astype(int) - expected).mean() < 2


def test_odd_sizes(tmp_path: Path) -> None:
    path = write_clip(tmp_path / "odd.avi", [0, 1, 2], size=(47, 63), codec="ffv1", time_base=Fraction(1, 25))
    clip = probe(path)
    picture = next(read_frames(path, clip))
    assert clip.size == picture.size == (47, 63)
    assert picture.u.shape == (24, 32)
    for got, expected in zip(picture.planes, planes(0, (47, 63)), strict=True):
        np.testing.assert_array_equal(got, expected)


def test_deeper_footage_is_seen_as_eight_bits(tmp_path: Path) -> None:
    path = write_clip(tmp_path / "ten.mkv", cfr(3), codec="ffv1", pixel_format="yuv420p10le")
    picture = next(read_frames(path, probe(path)))
    assert picture.y.dtype == np.uint8
    assert np.abs(picture.y.astype(int) - planes(0, (48, 64))[0]).max() <= 1


def test_names_with_spaces_quotes_and_letters(tmp_path: Path) -> None:
    path = write_clip(tmp_path / "plain.mp4", cfr(3))
    for name in ("a b.mp4", 'it\'s "so".mp4', "žluťoučký кот.mp4", "http:x.mp4", "-i.mp4"):
        renamed = path.rename(tmp_path / name)
        clip = probe(renamed)
        assert len(list(read_frames(renamed, clip))) == 3
        path = renamed


def combing(picture: Frame) -> float:
    """How much neighbouring rows differ more than rows of one field."""
    y = picture.y.astype(int)
    return float(np.abs(y[1:-1] - y[2:]).mean() - np.abs(y[:-2] - y[2:]).mean())


@pytest.mark.parametrize("name", ["i.mkv", "i.ts", "i.mov"])
def test_fields_become_pictures_the_same_wherever_reading_starts(tmp_path: Path, name: str) -> None:
    path = fields_clip(tmp_path / name)
    coded, clip = probe(path), probe(path, deinterlaces=True)
    assert coded.is_interlaced
    assert not coded.is_deinterlaced
    assert clip.is_deinterlaced
    np.testing.assert_array_equal(clip.pts_T, coded.pts_T)
    whole = list(read_frames(path, clip))
    assert [frame.pts for frame in whole] == clip.pts_T.tolist()
    assert combing(next(read_frames(path, coded, 5))) > 3
    assert all(combing(frame) < 1 for frame in whole)
    for index, frame in enumerate(whole):  # the bar's place tells the frame; which field is kept is open
        assert 8 * index - 1 <= int((frame.y[40] > 130).argmax()) <= 8 * index + 5
    for start in (1, 2, 11, 12, 13, 25, 29):
        frame = next(read_frames(path, clip, start))
        for plane, other in zip(frame.planes, whole[start].planes, strict=True):
            np.testing.assert_array_equal(plane, other)


def test_damage_in_the_middle_is_survived(tmp_path: Path) -> None:
    path = write_clip(tmp_path / "d.avi", list(range(20)), codec="ffv1", time_base=Fraction(1, 25))
    data = bytearray(path.read_bytes())
    position = data.index(b"00dc", len(data) // 2)
    data[position + 8 : position + 300] = bytes(292)
    path.write_bytes(data)
    clip = probe(path)
    assert 18 <= clip.num_frames <= 20
    assert len(list(read_frames(path, clip))) == clip.num_frames


def test_a_frame_lost_after_probing_is_held(long_clip: tuple[Path, Clip]) -> None:
    path, clip = long_clip
    times = np.insert(clip.pts_T, 5, clip.pts_T[4] + 100)
    more = Clip(**{**{f: getattr(clip, f) for f in clip.__dataclass_fields__}, "pts_T": times})
    assert [index_of(f) for f in read_frames(path, more, 3, 8)] == [3, 4, 4, 5, 6]


def test_closing_early_closes_the_file(long_clip: tuple[Path, Clip]) -> None:
    path, clip = long_clip

    def num_open() -> int:
        return sum(1 for link in Path("/proc/self/fd").iterdir() if link.exists() and link.resolve() == path)

    frames = read_frames(path, clip)
    next(frames)
    assert num_open() == 1
    frames.close()
    assert num_open() == 0


@pytest.mark.slow
def test_real_clip_whose_edit_list_hides_its_first_keyframe() -> None:
    path = real_clip("dev/interview_1080.mp4")
    clip = probe(path)
    assert clip.num_frames == 497
    reference = next(read_frames(path, clip, 2, 3))
    again = list(read_frames_at(path, clip, [4, 2]))[1]
    np.testing.assert_array_equal(reference.y, again.y)
