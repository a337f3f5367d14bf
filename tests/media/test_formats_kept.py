"""Footage keeps its picture format: what nobody touched comes out as it was coded."""

from __future__ import annotations

import logging
import struct
from dataclasses import replace
from fractions import Fraction
from pathlib import Path
from types import SimpleNamespace

import av
import numpy as np
import pytest

from dubber.errors import MediaError
from dubber.media.encoders import chosen_encoder, encoding_losses
from dubber.media.encoding import EncodeOptions, coded_size
from dubber.media.frame import Frame
from dubber.media.layout import frame_bytes, kept_layout, layout_of, losses, written_format
from dubber.media.mux import mux
from dubber.media.probe import check_shown, probe
from dubber.media.reader import cache_capacity, read_frames
from dubber.media.view_curve import TRANSFER_HLG, TRANSFER_PQ, Coded, view_curve
from dubber.media.writer import VideoWriter
from dubber.stages.compositor import halfway_frame
from dubber.types import Clip, ColorTags, HdrMetadata
from tests.media.clips import cfr, clip_of, write_clip, write_tone

SIZE = (46, 62)
TIME_BASE = Fraction(1, 12800)
HDR = HdrMetadata(
    primaries=((13250, 34500), (7500, 3000), (34000, 16000), (15635, 16450)),
    luminance=(10_000_000, 50),
    content_light=(1000, 400),
)
PQ = ColorTags(range=1, matrix=9, primaries=9, transfer=TRANSFER_PQ)
KEPT = (
    "yuv420p10le",
    "yuv422p",
    "yuv422p10le",
    "yuv444p",
    "yuv444p12le",
    "yuva420p",
    "yuva444p10le",
    "gray",
    "gray10le",
)


def noisy_clip(
    path: Path, pixel_format: str, *, rotation: int = 0, color: ColorTags | None = None, count: int = 3
) -> tuple[Path, Clip]:
    """Noise in every bit of every plane, coded without loss."""
    rng = np.random.default_rng(1)
    layout = layout_of(pixel_format)
    with av.open(str(path), "w") as container:
        stream = container.add_stream("ffv1", rate=25)
        stream.height, stream.width = SIZE
        stream.pix_fmt = pixel_format
        context = stream.codec_context
        context.time_base = Fraction(1, 25)
        tags = color or ColorTags(1, 1, 1, 1)
        context.color_range, context.colorspace = tags.range, tags.matrix
        context.color_primaries, context.color_trc = tags.primaries, tags.transfer
        if rotation:
            stream.set_display_rotation(rotation)
        for index in range(count):
            picture = av.VideoFrame(SIZE[1], SIZE[0], pixel_format)
            for plane in picture.planes:
                rows = np.frombuffer(memoryview(plane), layout.dtype)
                step = 2 ** (layout.depth - 8)
                rows[:] = rng.integers(40 * step, 200 * step, rows.shape)
            picture.pts, picture.time_base = index, Fraction(1, 25)
            container.mux(stream.encode(picture))
        container.mux(stream.encode(None))
    return path, probe(path)


def edited(frame: Frame) -> Frame:
    """Another luma in rows 10..19, columns 20..29, and other chroma in rows and columns 6..8."""
    y, u, v = (plane.copy() for plane in frame.planes)
    y[10:20, 20:30] = 255 - y[10:20, 20:30]
    u[6:9, 6:9], v[6:9, 6:9] = u[6:9, 6:9] // 2, v[6:9, 6:9] // 2
    return replace(frame, y=y, u=u, v=v)


def written(path: Path, clip: Clip, frames: list[Frame], codec: str = "ffv1") -> list[Frame]:
    with VideoWriter(path, clip, clip.time_base, EncodeOptions(codec)) as writer:
        for frame in frames:
            writer.write(frame, frame.pts)
    again = probe(path)
    assert kept_layout(again) == kept_layout(clip)
    assert again.color == clip.color
    return list(read_frames(path, again))


def samples(frame: Frame) -> tuple[Coded, ...]:
    return frame.coded.planes if frame.coded is not None else frame.planes


@pytest.mark.parametrize("pixel_format", KEPT)
@pytest.mark.parametrize("rotation", [0, -90])
def test_untouched_samples_are_bit_exact(tmp_path: Path, pixel_format: str, rotation: int) -> None:
    path, clip = noisy_clip(tmp_path / "a.mkv", pixel_format, rotation=rotation)
    assert clip.size == (SIZE if rotation == 0 else SIZE[::-1])
    before = list(read_frames(path, clip))
    after = written(tmp_path / "b.mp4", clip, [before[0], edited(before[1]), before[2]])
    for a, b in zip(before[::2], after[::2], strict=True):
        for plane, again in zip(samples(a), samples(b), strict=True):
            np.testing.assert_array_equal(plane, again)
    changed = [a != b for a, b in zip(samples(before[1]), samples(after[1]), strict=True)]
    luma = np.zeros(clip.size, bool)
    luma[10:20, 20:30] = True
    np.testing.assert_array_equal(changed[0], luma)
    if kept_layout(clip).chroma != "gray":
        share_y, share_x = kept_layout(clip).chroma_shares
        for plane in changed[1:3]:
            rows, columns = np.nonzero(plane)
            assert plane.sum() > 0
            assert 6 * 2 // share_y - 2 < rows.min() <= rows.max() <= 9 * 2 // share_y
            assert 6 * 2 // share_x - 2 < columns.min() <= columns.max() <= 9 * 2 // share_x
    if kept_layout(clip).has_alpha:
        assert not changed[3].any()


@pytest.mark.parametrize("pixel_format", ["yuv420p10le", "yuv422p10le", "yuv444p12le"])
def test_what_is_seen_after_an_edit_is_the_edit(tmp_path: Path, pixel_format: str) -> None:
    path, clip = noisy_clip(tmp_path / "a.mkv", pixel_format, count=1)
    frame = next(read_frames(path, clip))
    assert frame.y.dtype == np.uint8
    changed = edited(frame)
    (again,) = written(tmp_path / "b.mp4", clip, [changed])
    assert np.abs(again.y.astype(int) - changed.y).max() <= 1


def test_plain_footage_carries_nothing_more(tmp_path: Path) -> None:
    path = write_clip(tmp_path / "p.mp4", cfr(3))
    frame = next(read_frames(path, probe(path)))
    assert frame.coded is None


@pytest.mark.parametrize("transfer", [TRANSFER_PQ, TRANSFER_HLG])
@pytest.mark.parametrize("is_full_range", [False, True])
def test_the_view_of_hdr_rises_and_has_an_inverse(transfer: int, is_full_range: bool) -> None:
    curve = view_curve(10, transfer, is_full_range=is_full_range)
    for place, (low, high) in enumerate(curve.ranges):
        codes = np.arange(low, high + 1, dtype=np.uint16)[None]
        levels = curve.levels(codes, place)[0].astype(int)
        assert (np.diff(levels) >= 0).all()
        within = np.arange(levels[0], levels[-1] + 1, dtype=np.uint8)[None]
        np.testing.assert_array_equal(curve.levels(curve.samples(within, place), place), within)


def test_the_view_of_pq_is_what_a_plain_display_shows() -> None:
    """Light of 50 cd/m2, at a white of 203, is a quarter of it: 0.558 of a display's signal at gamma 2.4."""
    curve = view_curve(10, TRANSFER_PQ, is_full_range=False)
    codes = np.array([[64, round(64 + 876 * 0.4403), 512]], np.uint16)  # PQ's signals for 0 and 50 cd/m2
    black, mid, _ = curve.levels(codes, 0)[0].tolist()
    assert black == 16
    assert abs(mid - (16 + 219 * (50 / 203) ** (1 / 2.4))) <= 2
    assert curve.levels(codes, 1)[0, 2] == curve.levels(codes, 2)[0, 2] == 128


def test_edits_of_hdr_are_lifted(tmp_path: Path) -> None:
    path, clip = noisy_clip(tmp_path / "a.mkv", "yuv420p10le", color=PQ, count=1)
    frame = next(read_frames(path, clip))
    y = frame.y.copy()
    y[10:20, 20:30] = 120
    (again,) = written(tmp_path / "b.mp4", clip, [replace(frame, y=y)])
    outside = np.ones(clip.size, bool)
    outside[10:20, 20:30] = False
    np.testing.assert_array_equal(samples(again)[0][outside], samples(frame)[0][outside])
    assert np.abs(again.y[10:20, 20:30].astype(int) - 120).max() <= 1


def test_a_half_way_picture_mixes_the_coded_samples(tmp_path: Path) -> None:
    path, clip = noisy_clip(tmp_path / "a.mkv", "yuv422p10le")
    first, second, _ = read_frames(path, clip)
    half = halfway_frame(first, second)
    (again,) = written(tmp_path / "b.mp4", clip, [half])
    assert half.coded is not None
    assert half.coded.planes[0].dtype == np.uint16
    assert not np.array_equal(half.coded.planes[0], samples(first)[0])
    for plane, read in zip(half.coded.planes, samples(again), strict=True):
        np.testing.assert_array_equal(plane, read)
    # Mixed by hand where nothing is moved: the same picture twice is itself.
    same = halfway_frame(first, first)
    np.testing.assert_array_equal(samples(same)[0], samples(first)[0])


@pytest.mark.parametrize("codec", ["libx264", "libx265"])
def test_hdr_metadata_and_depth_are_kept(tmp_path: Path, codec: str) -> None:
    path, clip = noisy_clip(tmp_path / "a.mkv", "yuv420p10le", color=PQ)
    clip = replace(clip, hdr=HDR)
    options = EncodeOptions(codec, chroma="source" if codec == "libx264" else "compatible")
    with VideoWriter(tmp_path / "b.mp4", clip, clip.time_base, options) as writer:
        for frame in read_frames(path, clip):
            writer.write(frame, frame.pts)
    again = probe(tmp_path / "b.mp4")
    assert again.hdr == HDR
    assert (again.pixel_format, again.color) == ("yuv420p10le", PQ)
    with av.open(str(tmp_path / "b.mp4")) as container:
        assert container.streams.video[0].codec_context.codec_tag in ("hvc1", "avc1")


@pytest.mark.parametrize(
    ("codec", "pixel_format", "expected"),
    [
        ("libx264", "yuv420p", "yuv420p"),
        ("libx264", "yuvj422p", "yuv420p"),
        ("libx264", "pal8", "yuv420p"),
        ("libx264", "yuv411p", "yuv420p"),
        ("libx264", "gray", "yuv420p"),
        ("libx264", "yuv420p10le", "yuv420p"),
        ("libx265", "yuv444p", "yuv420p"),
        ("libx265", "yuv420p10le", "yuv420p10le"),
        ("libx265", "yuv422p10le", "yuv422p10le"),
        ("libx265", "yuva444p12le", "yuv422p10le"),
        ("libx265", "gray12le", "yuv420p10le"),
        ("hevc_nvenc", "yuv420p10le", "p010le"),
        ("hevc_nvenc", "yuv444p10le", "p010le"),
        ("prores_ks", "yuva444p12le", "yuva444p10le"),
        ("prores_ks", "yuv420p", "yuv422p10le"),
        ("ffv1", "yuv420p9le", "yuv420p10le"),
        ("ffv1", "gbrap10le", "yuva444p10le"),
        ("libvpx-vp9", "yuva420p", "yuva420p"),
        ("libsvtav1", "yuv444p", "yuv420p"),
        ("libvpx-vp9", "gray", "yuv420p"),
    ],
)
def test_the_format_that_loses_least_is_written(codec: str, pixel_format: str, expected: str) -> None:
    assert written_format(codec, layout_of(pixel_format)) == expected


@pytest.mark.parametrize(
    ("codec", "pixel_format", "expected"),
    [
        ("libx264", "yuvj422p", "yuv422p"),
        ("libx264", "yuv422p10le", "yuv422p10le"),
        ("libx264", "yuv420p12le", "yuv420p10le"),
        ("libx264", "rgb24", "yuv444p"),
        ("libx265", "yuv444p12le", "yuv444p12le"),
        ("libx265", "yuva444p10le", "yuv444p10le"),
        ("libx264", "gray", "yuv420p"),
        ("libx265", "gray10le", "yuv420p10le"),
    ],
)
def test_all_an_encoder_can_is_kept_where_asked(codec: str, pixel_format: str, expected: str) -> None:
    assert written_format(codec, layout_of(pixel_format), "source") == expected


@pytest.mark.parametrize("pixel_format", ["yuvj422p", "yuv444p", "yuva420p"])
def test_h264_of_8_bit_is_what_all_players_show(tmp_path: Path, pixel_format: str) -> None:
    """The view is what is written: the same bytes as of frames that carry nothing more."""
    source = write_clip(tmp_path / "a.mkv", cfr(4), codec="ffv1", pixel_format=pixel_format.replace("j", ""))
    clip = probe(source)
    frames = list(read_frames(source, clip))
    plain = replace(clip, pixel_format="yuv420p")
    for name, each in (("rich", clip), ("plain", plain)):
        with VideoWriter(tmp_path / f"{name}.mp4", each, clip.time_base) as writer:
            for frame in frames:
                writer.write(edited(frame), frame.pts)
    assert (tmp_path / "rich.mp4").read_bytes() == (tmp_path / "plain.mp4").read_bytes()
    with av.open(str(tmp_path / "rich.mp4")) as container:
        assert container.streams.video[0].codec_context.profile in ("High", "Main")


class SideData:
    """As PyAV gives it."""

    def __init__(self, name: str, data: bytes) -> None:
        self.type = SimpleNamespace(name=name)
        self._data = data

    def __bytes__(self) -> bytes:
        return self._data


@pytest.mark.parametrize(("rpu_profile", "is_full_range", "is_refused"), [(0, 1, True), (1, 0, False)])
def test_dolby_vision_that_only_its_metadata_explain_is_refused(
    rpu_profile: int, is_full_range: int, is_refused: bool
) -> None:
    """AVDOVIMetadata with its AVDOVIRpuDataHeader at byte 40."""
    header = struct.pack("=BxH10B", 2, 18, rpu_profile, 0, 0, 0, 23, 1, is_full_range, 10, 10, 12)
    metadata = struct.pack("@N", 40).ljust(40, b"\0") + header
    picture = SimpleNamespace(side_data=[SideData("DOVI_METADATA", metadata)])
    if is_refused:
        with pytest.raises(MediaError, match="profile 5") as raised:
            check_shown(Path("film.mp4"), picture)  # type: ignore[arg-type]
        assert "HDR10" in raised.value.advice
    else:
        check_shown(Path("film.mp4"), picture)  # type: ignore[arg-type]


def test_losses_are_said() -> None:
    said = losses(layout_of("yuva444p12le"), layout_of("yuv420p"))
    assert [words.split()[0] for words in said] == ["8", "colour", "no"]
    assert not losses(layout_of("yuv420p"), layout_of("yuv444p10le"))


@pytest.mark.parametrize(
    ("pixel_format", "container", "codec"),
    [
        ("yuv420p", "mp4", "libx264"),
        ("yuvj422p", "mov", "libx264"),
        ("yuv420p10le", "mp4", "libx265"),
        ("p010le", "mkv", "libx265"),
        ("yuv420p", "webm", "libvpx-vp9"),
        ("yuv420p10le", "webm", "libsvtav1"),
        ("yuv420p", "avi", "mpeg4"),
    ],
)
def test_auto_keeps_the_depth(pixel_format: str, container: str, codec: str) -> None:
    clip = replace(clip_of(cfr(3), TIME_BASE), pixel_format=pixel_format)
    assert chosen_encoder(EncodeOptions("auto"), clip, container).codec == codec


def test_what_an_encoder_drops_is_warned_of(caplog: pytest.LogCaptureFixture) -> None:
    clip = replace(clip_of(cfr(3), TIME_BASE), pixel_format="yuva444p10le", hdr=HDR)
    with caplog.at_level(logging.WARNING):
        chosen_encoder(EncodeOptions("libx264"), clip)
    assert "alpha" in caplog.text
    caplog.clear()
    clip = replace(clip, hdr=None)
    with caplog.at_level(logging.WARNING):
        chosen_encoder(EncodeOptions("auto"), clip)
    assert "prores_ks" in caplog.text
    assert "ffv1" in caplog.text
    assert not encoding_losses("prores_ks", clip, "mov")


def test_alpha_beside_the_packets_is_lost_in_mp4() -> None:
    clip = replace(clip_of(cfr(3), TIME_BASE), pixel_format="yuva420p")
    assert not encoding_losses("libvpx-vp9", clip, "webm")
    assert encoding_losses("libvpx-vp9", clip, "mp4") == ["no alpha (transparency)"]


def test_a_format_by_name_keeps_the_depth() -> None:
    clip = replace(clip_of(cfr(8), TIME_BASE, (96, 160)), pixel_format="yuv420p10le")
    assert not encoding_losses(chosen_encoder(EncodeOptions("hevc"), clip).codec, clip, "mp4")
    options = chosen_encoder(EncodeOptions("h264", chroma="source"), clip)
    assert not encoding_losses(options.codec, clip, "mp4", "source")


def test_how_to_keep_the_colour_is_said(caplog: pytest.LogCaptureFixture) -> None:
    clip = replace(clip_of(cfr(3), TIME_BASE), pixel_format="yuvj422p")
    with caplog.at_level(logging.WARNING):
        chosen_encoder(EncodeOptions("auto"), clip)
    assert "4:2:0 instead of 4:2:2" in caplog.text
    assert "--chroma source" in caplog.text
    caplog.clear()
    with caplog.at_level(logging.WARNING):
        chosen_encoder(EncodeOptions("auto", chroma="source"), clip)
    assert not caplog.text


@pytest.mark.parametrize("pixel_format", ["yuv422p10le", "yuv444p"])
def test_colour_changes_only_below_edited_samples(tmp_path: Path, pixel_format: str) -> None:
    path, clip = noisy_clip(tmp_path / "a.mkv", pixel_format, count=1)
    frame = next(read_frames(path, clip))
    u = frame.u.copy()
    u[6:9, 6:9] = u[6:9, 6:9] // 2
    assert frame.coded is not None
    changed = frame.coded.lifted((frame.y, u, frame.v))[1] != frame.coded.planes[1]
    rows, columns = np.nonzero(changed)
    share_y, share_x = kept_layout(clip).chroma_shares
    assert (rows.min(), rows.max() + 1) == (6 * 2 // share_y, 9 * 2 // share_y)
    assert (columns.min(), columns.max() + 1) == (6 * 2 // share_x, 9 * 2 // share_x)


@pytest.mark.parametrize("codec", ["prores_ks", "libvpx-vp9"])
@pytest.mark.slow
def test_encoders_with_a_container_of_their_own(tmp_path: Path, codec: str) -> None:
    pixel_format = {"prores_ks": "yuv422p10le", "libvpx-vp9": "yuva420p"}[codec]
    path, clip = noisy_clip(tmp_path / "a.mkv", pixel_format, count=5)
    again = written(tmp_path / "b.mp4", clip, list(read_frames(path, clip)), codec)
    assert len(again) == 5
    write_tone(tmp_path / "s.wav", 0.2)
    finished = tmp_path / {"prores_ks": "c.mov", "libvpx-vp9": "c.webm"}[codec]
    mux(tmp_path / "b.mp4", tmp_path / "s.wav", finished, heard_s=0.2, output_s=0.2)
    assert kept_layout(probe(finished)) == kept_layout(clip)
    tolerance = {"prores_ks": 80, "libvpx-vp9": 60}[codec]
    for before, after in zip(read_frames(path, clip), again, strict=True):
        for plane, read in zip(samples(before), samples(after), strict=True):
            height, width = plane.shape
            assert np.abs(read[:height, :width].astype(int) - plane).mean() < tolerance


@pytest.mark.parametrize("codec", ["mpeg4", "libx264"])
def test_gray_stays_colourless_where_no_gray_is_written(tmp_path: Path, codec: str) -> None:
    path, clip = noisy_clip(tmp_path / "a.mkv", "gray", count=2)
    with VideoWriter(tmp_path / "b.mp4", clip, clip.time_base, EncodeOptions(codec, crf=1)) as writer:
        for frame in read_frames(path, clip):
            writer.write(edited(frame), frame.pts)
    again = probe(tmp_path / "b.mp4")
    assert again.pixel_format == "yuv420p"
    frame = next(read_frames(tmp_path / "b.mp4", again))
    assert np.abs(frame.u.astype(int) - 128).max() <= 1
    untouched = next(read_frames(path, clip)).y.astype(int)[24:]
    assert np.abs(frame.y[24:].astype(int) - untouched).mean() < 4  # not stretched to another range


def test_rgb_with_alpha_keeps_its_alpha_and_says_what_it_becomes(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    path = tmp_path / "rgba.mov"
    with av.open(str(path), "w") as container:
        stream = container.add_stream("png", rate=25)
        stream.height, stream.width = SIZE
        stream.pix_fmt = "rgba"
        pixels = np.full((*SIZE, 4), (200, 40, 40, 77), np.uint8)
        for index in range(2):
            picture = av.VideoFrame.from_ndarray(pixels, format="rgba")
            picture.pts = index
            container.mux(stream.encode(picture))
        container.mux(stream.encode(None))
    with caplog.at_level(logging.WARNING):
        clip = probe(path)
    assert "RGB" in caplog.text
    frame = next(read_frames(path, clip))
    assert (samples(frame)[3] == 77).all()
    assert np.abs(frame.rgb()[10, 10].astype(int) - (200, 40, 40)).max() <= 3


def test_memory_counts_what_frames_truly_take() -> None:
    plain = clip_of(cfr(3), TIME_BASE, (4320, 7680))
    deep = replace(plain, pixel_format="yuv420p10le")
    assert frame_bytes(plain) == 4320 * 7680 * 3 // 2
    assert frame_bytes(deep) == 3 * frame_bytes(plain)
    small = replace(deep, size=(1080, 1920))
    assert cache_capacity(small) < cache_capacity(replace(small, pixel_format="yuv420p"))


def test_frames_without_coded_samples_can_be_written_deep(tmp_path: Path) -> None:
    path, clip = noisy_clip(tmp_path / "a.mkv", "yuv422p10le", color=PQ, count=1)
    frame = replace(next(read_frames(path, clip)), coded=None)
    (again,) = written(tmp_path / "b.mp4", clip, [frame])
    assert np.abs(again.y.astype(int) - frame.y).max() <= 1


def test_odd_sizes_of_deep_footage(tmp_path: Path) -> None:
    path = write_clip(
        tmp_path / "odd.mkv", [0, 40, 80], size=(47, 63), codec="ffv1", pixel_format="yuv422p10le"
    )
    clip = probe(path)
    frames = list(read_frames(path, clip))
    assert [plane.shape for plane in samples(frames[0])] == [(47, 63), (47, 32), (47, 32)]
    after = written(tmp_path / "b.mp4", clip, [edited(frame) for frame in frames])
    np.testing.assert_array_equal(samples(after[0])[0][20:], samples(frames[0])[0][20:])
    with VideoWriter(tmp_path / "c.mp4", clip, clip.time_base, EncodeOptions("libx265", crf=2)) as writer:
        for frame in frames:
            writer.write(frame, frame.pts)
    assert probe(tmp_path / "c.mp4").size == coded_size((47, 63), "libx265") == (48, 64)
