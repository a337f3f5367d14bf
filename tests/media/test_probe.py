"""Probing tells what is there, and says what cannot be read."""

from __future__ import annotations

from fractions import Fraction
from pathlib import Path

import av
import numpy as np
import pytest

from dubber.errors import MediaError
from dubber.media.color import resolve_color
from dubber.media.container import DECODER_GUARDS
from dubber.media.probe import probe
from dubber.media.reader import read_frames
from dubber.types import ColorTags
from tests.media.clips import cfr, write_clip, write_tone


def test_rgb_footage_is_tagged_as_what_it_becomes(tmp_path: Path) -> None:
    path = write_clip(
        tmp_path / "rgb.avi", [0, 1], codec="ffv1", pixel_format="bgr0", time_base=Fraction(1, 25)
    )
    clip = probe(path)
    assert resolve_color(clip.color, clip.size).matrix == 1
    corner = next(read_frames(path, clip)).rgb()[2:8, 2:8].mean(axis=(0, 1))
    untouched = write_clip(tmp_path / "yuv.avi", [0, 1], codec="ffv1", time_base=Fraction(1, 25))
    expected = next(read_frames(untouched, probe(untouched))).rgb()[2:8, 2:8].mean(axis=(0, 1))
    assert np.abs(corner - expected).max() < 6


def test_colour_tags_are_read(tmp_path: Path) -> None:
    tags = ColorTags(range=2, matrix=9, primaries=9, transfer=14)
    assert probe(write_clip(tmp_path / "c.mp4", cfr(3), color=tags)).color == tags


def test_pictures_are_refused(tmp_path: Path) -> None:
    pixels = np.zeros((48, 64, 3), np.uint8)
    for name, codec, pixel_format in (
        ("a.gif", "gif", "rgb8"),
        ("a.png", "png", "rgb24"),
        ("a.jpg", "mjpeg", "yuvj420p"),
        ("a.webp", "libwebp_anim", "yuv420p"),
        ("a.apng", "apng", "rgb24"),
    ):
        with av.open(str(tmp_path / name), "w") as container:
            stream = container.add_stream(codec, rate=10)
            stream.height, stream.width = 48, 64
            stream.pix_fmt = pixel_format
            for index in range(1 if name in ("a.png", "a.jpg") else 3):
                pixels[...] = 50 * index
                picture = av.VideoFrame.from_ndarray(pixels, format="rgb24")
                container.mux(stream.encode(picture.reformat(format=pixel_format)))
            container.mux(stream.encode(None))
        with pytest.raises(MediaError, match="picture") as raised:
            probe(tmp_path / name)
        assert "convert it first" in raised.value.advice


def test_what_cannot_be_read_is_said(tmp_path: Path) -> None:
    whole = write_clip(tmp_path / "w.mp4", cfr(30))
    data = whole.read_bytes()
    (tmp_path / "cut.mp4").write_bytes(data[: len(data) // 2])
    (tmp_path / "empty.mp4").touch()
    (tmp_path / "text.mp4").write_text("no video at all " * 50)
    write_tone(tmp_path / "sound.wav", 0.2)
    expected = {
        "absent.mp4": "no such file",
        ".": "folder",
        "cut.mp4": "cut off",
        "empty.mp4": "empty",
        "text.mp4": "not a video",
        "sound.wav": "no video stream",
    }
    for name, words in expected.items():
        with pytest.raises(MediaError, match=words) as raised:
            probe(tmp_path / name)
        assert raised.value.advice
        assert raised.value.where


def test_a_cut_file_whose_index_comes_first_is_refused(tmp_path: Path) -> None:
    options = {"movflags": "+faststart"}
    plain = write_clip(tmp_path / "p.mp4", cfr(30))
    with av.open(str(plain)) as source, av.open(str(tmp_path / "f.mp4"), "w", options=options) as target:
        stream = target.add_stream_from_template(source.streams.video[0])
        for packet in source.demux(video=0):
            if packet.dts is not None:
                packet.stream = stream
                target.mux(packet)
    data = (tmp_path / "f.mp4").read_bytes()
    (tmp_path / "cut.mp4").write_bytes(data[: int(len(data) * 0.7)])
    assert probe(tmp_path / "f.mp4").num_frames == 30
    with pytest.raises(MediaError, match="cut off"):
        probe(tmp_path / "cut.mp4")


@pytest.mark.parametrize(
    ("name", "codec", "pixel_format"), [("a.mkv", "libx264", "yuv420p"), ("a.webm", "libvpx-vp9", "yuva420p")]
)
def test_pictures_that_grow_too_large_are_not_decoded(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, name: str, codec: str, pixel_format: str
) -> None:
    path = write_clip(tmp_path / name, cfr(3), codec=codec, pixel_format=pixel_format)
    clip = probe(path)
    monkeypatch.setitem(DECODER_GUARDS, "max_pixels", "1000")  # they are of 48 x 64
    with pytest.raises(MediaError, match="No frame"):
        probe(path)
    with pytest.raises(MediaError, match="no longer"):
        next(read_frames(path, clip))
