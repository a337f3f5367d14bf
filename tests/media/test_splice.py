from __future__ import annotations

import os
import subprocess
from dataclasses import dataclass, replace
from fractions import Fraction
from pathlib import Path

import av
import cv2
import numpy as np
import pytest

from dubber.engine.stage import StageContext
from dubber.errors import StageError
from dubber.media.encoding import EncodeOptions
from dubber.media.flow import FrameStream
from dubber.media.mux import find_ffmpeg, uneven_last_duration
from dubber.media.probe import probe
from dubber.media.reader import read_frames, read_frames_at
from dubber.media.splice import SplicedWriter, open_picture_writer
from dubber.media.splice_nal import (
    PictureKind,
    as_broken_link,
    has_all_sets,
    has_layers,
    join_lengths,
    join_start_codes,
    parameter_sets,
    read_configuration,
    renewed_sets,
    split,
    with_sets,
)
from dubber.media.splice_plan import (
    SourcePacket,
    SplicePlan,
    copied_stretches,
    plan_splice,
    source_packets,
    splice_refusal,
)
from dubber.media.writer import VideoWriter
from dubber.stages.remux import Remux, RemuxParams
from dubber.types import Clip, SourceFile, Timeline, UInt8
from tests.conftest import real_clip
from tests.media.clips import write_clip, write_tone

ENCODERS = {"h264": "libx264", "hevc": "libx265"}
SIZE = (64, 96)
MIN_PSNR_DB = 38.0
"""What x264 and x265 reach with ease at the default quality."""


@dataclass
class Spliced:
    """A film, what was planned for it, and the file that was made."""

    source: Path
    clip: Clip
    plan: SplicePlan
    path: Path

    @property
    def pattern(self) -> list[tuple[int, int, str]]:
        return [
            (s.start_frame, s.stop_frame, "copied" if s.is_copied else "made") for s in self.plan.stretches
        ]

    @property
    def copied_frames(self) -> set[int]:
        return {f for s in self.plan.stretches if s.is_copied for f in range(s.start_frame, s.stop_frame)}


def film(path: Path, num_frames: int, codec: str = "libx264", params: str = "", **others: object) -> Path:
    """A clip with a keyframe where the parameters say so, and no scene cuts."""
    name = {"libx264": "x264-params", "libx265": "x265-params"}[codec]
    options = {"preset": "veryfast", "crf": "20", name: f"scenecut=0:{params}:log-level=none"}
    if codec == "libx264":
        options[name] = f"scenecut=0:{params}"
    ticks = others.pop("ticks", [512 * n for n in range(num_frames)])
    return write_clip(path, ticks, size=SIZE, codec=codec, options=options, **others)  # type: ignore[arg-type]


def timeline_of(clip: Clip, num_frames: int | None = None) -> Timeline:
    num_frames = num_frames or clip.num_frames
    is_cut = num_frames < clip.num_frames
    end_pts = int(clip.pts_T[num_frames]) if is_cut else clip.end_pts
    index_N = np.arange(num_frames, dtype=np.int32)
    return Timeline("cut_off", clip.pts_T[:num_frames], end_pts, clip.time_base, index_N, 2.0)


def splice(source: Path, *ranges: tuple[int, int], num_frames: int | None = None, crf: int = 13) -> Spliced:
    """Write a film of which some ranges count as changed."""
    clip = probe(source)
    timeline = timeline_of(clip, num_frames)
    is_changed_N = np.zeros(timeline.num_frames, np.bool_)
    for start, stop in ranges:
        is_changed_N[start:stop] = True
    path = source.with_name("spliced.mp4")
    options = EncodeOptions(ENCODERS[clip.codec], crf)
    writer, plan = open_picture_writer(path, source, clip, timeline, options, is_changed_N, container="mkv")
    with writer:
        for n, frame in enumerate(read_frames(source, clip, 0, timeline.num_frames)):
            writer.write(frame, int(timeline.pts_N[n] - timeline.pts_N[0]))
    assert writer.num_written == timeline.num_frames
    return Spliced(source, clip, plan, path)


def pictures(path: Path) -> list[tuple[Fraction, list[UInt8]]]:
    """Times in seconds and planes as bytes, in the coded format."""
    found = []
    with av.open(str(path)) as container:
        for picture in container.decode(video=0):
            assert picture.pts is not None
            size = -(-picture.format.components[0].bits // 8)
            planes = [_bytes(plane, size) for plane in picture.planes]
            found.append((picture.pts * picture.time_base, planes))
    return found


def _bytes(plane: av.video.plane.VideoPlane, sample_size: int) -> UInt8:
    rows = np.frombuffer(memoryview(plane), np.uint8).reshape(-1, plane.line_size)
    return rows[: plane.height, : plane.width * sample_size].copy()


def check(spliced: Spliced, path: Path | None = None, precision_s: Fraction = Fraction(0)) -> None:
    """Times, pictures and packets of a file against the source's."""
    clip, codec = spliced.clip, spliced.clip.codec
    path = path or spliced.path
    made = pictures(path)
    shown = {int(pts) * clip.time_base for pts in clip.pts_T}
    source = [(time, planes) for time, planes in pictures(spliced.source) if time in shown][: len(made)]
    assert len(made) == spliced.plan.stretches[-1].stop_frame
    start_s, source_start_s = made[0][0], source[0][0]
    for n, ((time, planes), (source_time, source_planes)) in enumerate(zip(made, source, strict=True)):
        assert abs((time - start_s) - (source_time - source_start_s)) <= precision_s, n
        if n in spliced.copied_frames:
            assert all((a == b).all() for a, b in zip(planes, source_planes, strict=True)), n
        elif "10" not in clip.pixel_format:
            assert cv2.PSNR(planes[0], source_planes[0]) > MIN_PSNR_DB, n
        else:
            wide, source_wide = planes[0].view(np.uint16), source_planes[0].view(np.uint16)
            assert cv2.PSNR(wide, source_wide, 1023) > MIN_PSNR_DB, n
    packets = list(source_packets(path, codec))
    check_packets(spliced, packets)
    check_seeks(spliced, path)


def check_packets(spliced: Spliced, packets: list[SourcePacket]) -> None:
    """One packet a frame; those of copied stretches hold the source's bytes."""
    codec = spliced.clip.codec
    assert all(packet.is_sound for packet in packets)
    by_pts = sorted(packets, key=lambda packet: packet.pts or 0)
    assert (
        len({packet.pts for packet in packets})
        == len(packets)
        == len(spliced.copied_frames) + sum(s.num_frames for s in spliced.plan.stretches if not s.is_copied)
    )
    source = {packet.pts: packet for packet in source_packets(spliced.source, codec)}
    for stretch in spliced.plan.stretches:
        for n in range(stretch.start_frame, stretch.stop_frame) if stretch.is_copied else ():
            ours, theirs = by_pts[n], source[int(spliced.clip.pts_T[n])]
            if theirs.kind is PictureKind.OPEN and ours.units != theirs.units:
                assert [unit[1:] for unit in _content(codec, ours)] == [
                    u[1:] for u in _content(codec, theirs)
                ]
            else:
                assert _content(codec, ours) == _content(codec, theirs), n
    for packet in packets:
        assert not packet.is_keyframe or has_all_sets(codec, packet.units)


def _content(codec: str, packet: SourcePacket) -> list[bytes]:
    """What a packet holds but for parameter sets and delimiters, which the TS muxer adds."""
    sets = parameter_sets(codec, packet.units)
    delimiters = (b"\x46\x01",) if codec == "hevc" else (b"\x09",)
    return [unit for unit in packet.units if unit not in sets and not unit.startswith(delimiters)]


def check_seeks(spliced: Spliced, path: Path) -> None:
    """A decoder that starts at a stretch sees what one sees that comes from the start."""
    clip = probe(path)
    expected = [frame.y for frame in read_frames(path, clip)]
    for stretch in spliced.plan.stretches:
        for n in {stretch.start_frame, stretch.start_frame + stretch.num_frames // 2, stretch.stop_frame - 1}:
            assert (next(read_frames_at(path, clip, [n])).y == expected[n]).all(), n


def ffmpeg(*arguments: object) -> str:
    """Run ffmpeg; what it complained about."""
    command = [find_ffmpeg(), "-nostdin", "-y", "-v", "warning", *map(str, arguments)]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    return done.stderr


CLOSED = "keyint=12:bframes=3:open-gop=0"
OPEN = "keyint=12:min-keyint=12:bframes=3:open-gop=1"
HEVC = {"codec": "libx265"}
Pattern = list[tuple[int, int, str]]
MIDDLE: Pattern = [(0, 30, "copied"), (30, 36, "made"), (36, 60, "copied")]
"""Frames 30 to 33 of 60 change, and frame 36 is the next keyframe."""


def assert_pattern(spliced: Spliced, wanted: Pattern) -> None:
    """Up to three frames more than wanted may be made: B-frames before a change need it."""
    assert [each[2] for each in spliced.pattern] == [each[2] for each in wanted]
    for (start, stop, kind), (wanted_start, wanted_stop, _) in zip(spliced.pattern, wanted, strict=True):
        if kind == "copied":
            assert start == wanted_start
            assert wanted_stop - 3 <= stop <= wanted_stop


FILMS = [
    ("b-frames", {"params": CLOSED}, MIDDLE),
    ("every keyframe", {"params": "keyint=1"}, [(0, 30, "copied"), (30, 34, "made"), (34, 60, "copied")]),
    ("long", {"params": "keyint=250:bframes=3"}, [(0, 30, "copied"), (30, 60, "made")]),
    ("open", {"params": OPEN}, [(0, 30, "copied"), (30, 60, "made")]),
    ("hevc", {**HEVC, "params": CLOSED}, MIDDLE),
    ("hevc open", {**HEVC, "params": OPEN}, MIDDLE),
    ("hevc 10 bit", {**HEVC, "params": OPEN, "pixel_format": "yuv420p10le"}, MIDDLE),
    ("10 bit", {"params": CLOSED, "pixel_format": "yuv420p10le"}, MIDDLE),
    ("4:4:4", {"params": CLOSED, "pixel_format": "yuv444p"}, MIDDLE),
    ("late", {"params": CLOSED, "ticks": [7777 + 512 * n for n in range(60)]}, MIDDLE),
    ("vfr", {"params": CLOSED, "ticks": [512 * n + 97 * (n % 5) for n in range(60)]}, MIDDLE),
]


@pytest.mark.parametrize(
    ("arguments", "pattern"), [each[1:] for each in FILMS], ids=[each[0] for each in FILMS]
)
def test_only_what_changed_is_encoded(tmp_path: Path, arguments: dict[str, object], pattern: Pattern) -> None:
    params = {"num_frames": 60, **arguments}
    spliced = splice(film(tmp_path / "film.mp4", **params), (30, 34))  # type: ignore[arg-type]
    assert_pattern(spliced, pattern)
    check(spliced)
    again = probe(spliced.path)
    start = int(again.pts_T[0])
    assert start == 0
    assert again.end_pts * again.time_base == (spliced.clip.end_pts - int(spliced.clip.pts_T[0])) * (
        spliced.clip.time_base
    )


RANGES = [
    ("start", [(0, 1)], [(0, 12, "made"), (12, 48, "copied")]),
    ("end", [(47, 48)], [(0, 47, "copied"), (47, 48, "made")]),
    ("both", [(0, 3), (45, 48)], [(0, 12, "made"), (12, 45, "copied"), (45, 48, "made")]),
    ("neighbours", [(13, 14), (14, 15)], [(0, 13, "copied"), (13, 24, "made"), (24, 48, "copied")]),
    ("too little between", [(13, 14), (30, 31)], [(0, 13, "copied"), (13, 36, "made"), (36, 48, "copied")]),
    ("nothing", [], [(0, 48, "copied")]),
]


@pytest.mark.parametrize(
    ("ranges", "pattern"), [each[1:] for each in RANGES], ids=[each[0] for each in RANGES]
)
def test_ranges(tmp_path: Path, ranges: list[tuple[int, int]], pattern: Pattern) -> None:
    spliced = splice(film(tmp_path / "film.mp4", 48, params=CLOSED), *ranges)
    assert_pattern(spliced, pattern)
    check(spliced)


@pytest.mark.parametrize("arguments", [{"params": CLOSED}, {**HEVC, "params": OPEN}], ids=["h264", "hevc"])
@pytest.mark.parametrize("suffix", [".mkv", ".ts"])
def test_sources_of_other_containers(tmp_path: Path, suffix: str, arguments: dict[str, str]) -> None:
    spliced = splice(film(tmp_path / f"film{suffix}", 60, **arguments), (30, 34))
    assert_pattern(spliced, MIDDLE)
    check(spliced, precision_s=Fraction(0))


@pytest.mark.parametrize("arguments", [{"params": CLOSED}, {**HEVC, "params": OPEN}], ids=["h264", "hevc"])
@pytest.mark.slow
def test_the_file_survives_copying(tmp_path: Path, arguments: dict[str, str]) -> None:
    ticks = [512 * n + 97 * (n % 5) for n in range(60)]
    spliced = splice(film(tmp_path / "film.mp4", 60, ticks=ticks, **arguments), (30, 34))
    duration = uneven_last_duration(spliced.path)
    setts = ["-bsf:v", f"setts=pts=PTS:dts=DTS:duration={duration}"]
    for suffix in (".mp4", ".mov", ".mkv", ".ts"):
        path = tmp_path / f"copied{suffix}"
        ffmpeg("-i", spliced.path, "-c", "copy", *(setts if suffix in {".mp4", ".mov"} else []), path)
        check(spliced, path, precision_s=Fraction(0) if suffix in {".mp4", ".mov"} else Fraction(1, 900))
        said = ffmpeg("-err_detect", "explode", "-xerror", "-i", path, "-f", "rawvideo", os.devnull)
        assert not said.strip(), suffix


def test_a_start_between_keyframes(tmp_path: Path) -> None:
    """An edit list hides the pictures that lead up to the start; they cannot be copied."""
    film(tmp_path / "whole.mp4", 72, params=CLOSED)
    source = tmp_path / "film.mp4"
    ffmpeg("-ss", "0.2", "-i", tmp_path / "whole.mp4", "-c", "copy", source)
    spliced = splice(source, (38, 41))
    assert spliced.clip.num_frames == 67
    assert spliced.pattern[0] == (0, 7, "made")
    assert spliced.pattern[1][0::2] == (7, "copied")
    check(spliced)


def test_a_start_with_pictures_that_do_not_decode(tmp_path: Path) -> None:
    """A film cut at a CRA begins with leading pictures whose references are gone."""
    whole = film(tmp_path / "whole.ts", 72, **HEVC, params=OPEN)
    source = tmp_path / "film.ts"
    with av.open(str(whole)) as container, av.open(str(source), "w") as target:
        stream = container.streams.video[0]
        copy = target.add_stream_from_template(stream)
        num_keyframes = 0
        for packet in container.demux(stream):
            num_keyframes += packet.is_keyframe
            if packet.size and num_keyframes > 1:
                packet.stream = copy
                target.mux(packet)
    spliced = splice(source, (40, 44))
    assert len(list(source_packets(source, "hevc"))) > spliced.clip.num_frames
    assert spliced.pattern[0][0::2] == (0, "copied")
    check(spliced)


def test_what_is_shorter_or_runs_on(tmp_path: Path) -> None:
    source = film(tmp_path / "film.mp4", 48, params=CLOSED)
    check(splice(source, (20, 22), num_frames=40))
    clip = probe(source)
    index_N = np.concatenate([np.arange(48), np.arange(46, 30, -1)]).astype(np.int32)
    pts_N = np.arange(64, dtype=np.int64) * 512
    timeline = Timeline("bounce", pts_N, 64 * 512, clip.time_base, index_N, 2.0)
    untouched = np.zeros(64, np.bool_)
    writer, plan = open_picture_writer(tmp_path / "o.mp4", source, clip, timeline, EncodeOptions(), untouched)
    assert [(s.start_frame, s.stop_frame, s.is_copied) for s in plan.stretches] == [
        (0, 48, True),
        (48, 64, False),
    ]
    with writer:
        for n, frame in enumerate(read_frames_at(source, clip, index_N)):
            writer.write(frame, 512 * n)
    assert [time for time, _ in pictures(tmp_path / "o.mp4")] == [Fraction(n, 25) for n in range(64)]


def test_a_spliced_film_is_spliced_again(tmp_path: Path) -> None:
    for name, arguments in (("a", {"params": CLOSED}), ("b", {**HEVC, "params": OPEN})):
        first = splice(film(tmp_path / f"{name}.mp4", 72, **arguments), (30, 34))
        source = first.path.rename(tmp_path / f"{name}.again.mp4")
        second = splice(source, (50, 52))
        assert len(second.copied_frames) > 50
        check(second)


def test_bytes_are_repeatable(tmp_path: Path) -> None:
    source = film(tmp_path / "film.mp4", 48, params=CLOSED)
    assert splice(source, (20, 22)).path.read_bytes() == splice(source, (20, 22)).path.read_bytes()


def test_a_damaged_packet_is_not_copied(tmp_path: Path) -> None:
    """The group of pictures behind the damage is encoded; the others are copied."""
    source = film(tmp_path / "film.mp4", 60, params=CLOSED)
    with av.open(str(source)) as container:
        packet = [packet for packet in container.demux(video=0) if packet.size][20]
        position, size = packet.pos, packet.size
    data = bytearray(source.read_bytes())
    data[position : position + 4] = (size * 2).to_bytes(4, "big")
    source.write_bytes(data)
    clip = probe(source)
    plan = plan_splice(source, clip, np.zeros(clip.num_frames, np.bool_), "libx264")
    assert plan.reason or all(
        not (s.is_copied and s.start_packet <= 20 < s.stop_packet) for s in plan.stretches
    )


def test_reasons(tmp_path: Path) -> None:
    source = film(tmp_path / "film.mp4", 24, params=CLOSED)
    clip = probe(source)
    none = np.zeros(24, np.bool_)

    def reason(clip: Clip, codec: str = "libx264") -> str:
        plan = plan_splice(source, clip, none, codec)
        assert bool(plan.reason) == (plan.num_copied == 0)
        return plan.reason

    assert reason(clip) == ""
    assert "hevc" in reason(clip, "libx265")
    assert "mpeg4" in reason(replace(clip, codec="mpeg4"))
    assert "upright" in reason(replace(clip, rotation_deg=90))
    assert "odd" in reason(replace(clip, size=(63, 96)))
    assert "yuv410p" in reason(replace(clip, pixel_format="yuv410p"))
    assert "interlaced" in reason(replace(clip, is_interlaced=True))
    assert "Apple" in reason(replace(clip, codec="hevc"), "libx265")
    assert "Apple" not in splice_refusal(replace(clip, codec="hevc"), "libx265", "mkv")
    for kept in ("yuv422p10le", "yuvj444p"):
        assert not splice_refusal(replace(clip, pixel_format=kept), "libx264", "mp4")
    assert "gray" in reason(replace(clip, pixel_format="gray"))
    assert plan_splice(source, clip, ~none, "libx264").reason == "All frames change."
    every_sixth = np.arange(24) % 6 == 0
    assert "keyframe" in plan_splice(source, clip, every_sixth, "libx264").reason
    turned = replace(clip, size=clip.size[::-1])
    assert "whole picture" in reason(turned)
    writer, plan = open_picture_writer(
        tmp_path / "o.mp4", None, clip, timeline_of(clip), EncodeOptions(), none
    )
    assert isinstance(writer, VideoWriter)
    assert plan.reason
    with pytest.raises(RuntimeError), writer:
        raise RuntimeError


def test_failure_leaves_no_file(tmp_path: Path) -> None:
    source = film(tmp_path / "film.mp4", 48, params=CLOSED)
    clip = probe(source)
    changed = np.zeros(48, np.bool_)
    changed[20:22] = True
    frames = list(read_frames(source, clip))

    def writer() -> SplicedWriter:
        made, _ = open_picture_writer(
            tmp_path / "o.mp4", source, clip, timeline_of(clip), EncodeOptions(), changed
        )
        assert isinstance(made, SplicedWriter)
        assert made.coded_size == SIZE
        return made

    with pytest.raises(ValueError, match="not shown at 5"), writer() as made:
        made.write(frames[0], 5)
    with pytest.raises(ValueError, match="frame is"), writer() as made:
        made.write(replace(frames[0], y=frames[0].y[2:]), 0)
    with pytest.raises(StageError, match="30 of 48"), writer() as made:
        for n in range(30):
            made.write(frames[n], 512 * n)
    with pytest.raises(StageError, match="packets for the frames"), writer() as made:
        for n in range(48):
            made.write(frames[n], 512 * n)
        film(source, 20, params=CLOSED)  # the source is not what it was
    assert [path.name for path in tmp_path.iterdir()] == ["film.mp4"]


def test_another_size_on_the_way_is_not_copied(tmp_path: Path) -> None:
    first = film(tmp_path / "a.ts", 24, params=CLOSED).read_bytes()
    ticks = [512 * n for n in range(24, 48)]
    options = {"x264-params": f"scenecut=0:{CLOSED}"}
    other = write_clip(tmp_path / "b.ts", ticks, size=(96, 128), options=options)
    source = tmp_path / "film.ts"
    source.write_bytes(first + other.read_bytes())
    assert_pattern(splice(source), [(0, 24, "copied"), (24, 48, "made")])


def test_fields_are_not_copied(tmp_path: Path) -> None:
    source = film(tmp_path / "film.mp4", 24, params=f"{CLOSED}:tff=1")
    clip = probe(source)
    untold = replace(clip, pixel_format="yuv420p", is_interlaced=False, is_deinterlaced=False)
    for each in (clip, untold):
        assert plan_splice(source, each, np.zeros(each.num_frames, np.bool_), "libx264").reason


def stretches(frames: list[int], kinds: list[PictureKind], changed: list[int], num: int) -> list[list[int]]:
    is_changed_N = np.isin(np.arange(num), changed)
    found = copied_stretches(np.array(frames, np.int32), np.array(kinds, np.uint8), is_changed_N)
    return [[s.start_frame, s.stop_frame, s.start_packet, s.stop_packet, s.reorder] for s in found]


def test_leading_pictures() -> None:
    """Decodable ones begin a stretch; those that lean on what came before do not."""
    idr, cra, rasl, other = PictureKind.IDR, PictureKind.OPEN, PictureKind.SKIPPED, PictureKind.OTHER
    frames = [*range(10), 13, 11, 10, 12, *range(14, 30)]
    radl = [idr, *[other] * 9, cra, *[other] * 19]
    assert stretches(frames, radl, [5], 30) == [[10, 30, 10, 30, 2]]
    skipped = [idr, *[other] * 9, cra, *[rasl] * 3, *[other] * 16]
    assert stretches(frames, skipped, [5], 30) == [[13, 30, 10, 30, 0]]
    assert stretches(frames, skipped, [29], 30) == [[0, 29, 0, 29, 2]]
    assert stretches(frames, skipped, [12], 30) == [[0, 10, 0, 10, 0], [13, 30, 10, 30, 0]]


def test_packets_that_show_nothing_end_a_stretch() -> None:
    idr, other = PictureKind.IDR, PictureKind.OTHER
    kinds = [idr, *[other] * 19, idr, *[other] * 19]
    frames = list(range(40))
    frames[12] = -1
    assert stretches(frames, kinds, [], 40) == [[0, 12, 0, 12, 0], [20, 40, 20, 40, 0]]
    frames[20] = -1
    assert stretches(frames, kinds, [], 40) == [[0, 12, 0, 12, 0]]


def test_a_splice_at_an_open_group_says_that_the_link_is_broken(tmp_path: Path) -> None:
    spliced = splice(film(tmp_path / "film.mp4", 60, **HEVC, params=OPEN), (30, 34))
    packets = sorted(source_packets(spliced.path, "hevc"), key=lambda packet: packet.pts or 0)
    bla_n_lp, cra = 18, 21
    types = {n: [unit[0] >> 1 for unit in packets[n].units] for n in (36, 48)}
    assert bla_n_lp in types[36]
    assert cra in types[48]


def test_nal_units() -> None:
    units = [b"\x09\xf0", b"\x65abc", b"\x41d"]
    assert split(join_lengths(units), 4) == split(join_start_codes(units), 0) == units
    assert split(b"\0\0\1\x65a\0\0\0\1\x41b\0", 0) == [b"\x65a", b"\x41b"]
    with pytest.raises(ValueError, match="behind its packet"):
        split(join_lengths(units)[:-1], 4)
    sets = (b"\x67s", b"\x68p")
    assert with_sets("h264", units, sets) == [units[0], *sets, *units[1:]]
    assert renewed_sets("h264", sets, [b"\x68p"]) == sets
    assert renewed_sets("h264", sets, [b"\x68q"]) is None
    assert renewed_sets("h264", sets, [b"\x67t", b"\x68q"]) == (b"\x67t", b"\x68q")
    radl = as_broken_link([bytes([21 << 1, 1]) + b"x", b"\x4e\x01sei"], has_leading=True)
    assert radl == [bytes([17 << 1, 1]) + b"x", b"\x4e\x01sei"]
    assert has_layers("hevc", [b"\x02\x09x"])
    assert not has_layers("hevc", [b"\x02\x01x"])
    for record in (b"\x01\x64\0\x1f\xff\xe1\0\x09ab", b"\x01\x64"):
        with pytest.raises(ValueError, match="cut off"):
            read_configuration("h264", record)


@pytest.mark.parametrize("container", ["mp4", "mov", "mkv", "ts"])
@pytest.mark.slow
def test_remux_copies_what_nobody_dubbed(context: StageContext, tmp_path: Path, container: str) -> None:
    arguments = {"params": CLOSED} if container in {"mp4", "mov"} else {**HEVC, "params": OPEN}
    source = film(tmp_path / "film.mp4", 60, **arguments)
    clip = probe(source)
    is_dubbed_N = np.isin(np.arange(60), np.arange(30, 34))
    speech = SourceFile(write_tone(tmp_path / "a.wav", 2.0), "0")
    frames = FrameStream(is_dubbed_N, lambda: read_frames(source, clip))
    stage = Remux(RemuxParams(container=container, vcodec=ENCODERS[clip.codec], copies_packets=True))
    made = stage.run(context, frames, speech, clip, timeline_of(clip), SourceFile(source, "0"))
    assert [path.name for path in context.entry_dir.iterdir()] == [f"dubbed.{container}"]
    plan = plan_splice(source, clip, is_dubbed_N, made.video_codec, container)
    assert made.num_copied_frames == plan.num_copied > 50
    assert made.why_not_copied == ""
    precision_s = Fraction(0) if container in {"mp4", "mov"} else Fraction(1, 900)
    check(Spliced(source, clip, plan, made.file.path), precision_s=precision_s)


REAL = [("dev/expressive_480.mp4", 560, (300, 330)), ("hard/face_enters.mov", 169, (40, 60))]


@pytest.mark.slow
@pytest.mark.parametrize(("name", "num_frames", "changed"), REAL)
def test_real_clips(tmp_path: Path, name: str, num_frames: int, changed: tuple[int, int]) -> None:
    source = tmp_path / Path(name).name
    source.symlink_to(real_clip(name))
    spliced = splice(source, changed, num_frames=num_frames)
    assert len(spliced.copied_frames) > num_frames // 2
    check(spliced)
