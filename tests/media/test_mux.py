from __future__ import annotations

import shutil
import subprocess
import sys
from dataclasses import replace
from fractions import Fraction
from pathlib import Path

import av
import numpy as np
import pytest

from dubber.errors import ConfigError, StageError, ToolMissingError
from dubber.media import mux as mux_module
from dubber.media.audio import AudioInfo
from dubber.media.edits import Edits
from dubber.media.formats import check_container
from dubber.media.mux import find_ffmpeg, mux, plan_audio, run_ffmpeg
from dubber.media.mux_command import mux_command
from dubber.media.mux_job import AudioPlan, MuxJob, Words
from dubber.media.probe import probe
from dubber.media.verify import Expected, verify_output
from dubber.media.writer import VideoWriter
from tests.media.clips import cfr, clip_of, frame, read_audio, write_aac, write_clip, write_talk, write_tone
from tests.media.test_writer import TIMES


@pytest.mark.parametrize(
    ("codec", "container", "rate_hz", "is_copied"),
    [
        ("aac", "mp4", 44100, True),
        ("mp3", "mp4", 44100, True),
        ("alac", "m4v", 44100, True),
        ("mp3", "mp4", 11025, False),
        ("pcm_s16le", "mp4", 44100, False),
        ("pcm_s16le", "mov", 44100, True),
        ("flac", "mkv", 44100, True),
        ("opus", "webm", 48000, True),
        ("aac", "webm", 48000, False),
        ("aac", "avi", 48000, False),
        ("", "mkv", 48000, False),
    ],
)
def test_audio_is_copied_where_it_fits(codec: str, container: str, rate_hz: int, is_copied: bool) -> None:
    plan = plan_audio(AudioInfo(codec, rate_hz, 1, 3.0), container, 3.0, 4.0)
    assert plan.is_copied is is_copied
    assert plan.heard_s is None
    assert not plan_audio(AudioInfo(codec, rate_hz, 1, 3.0), container, 3.0, 4.0, may_copy=False).is_copied


@pytest.mark.parametrize(("channels", "is_copied"), [(6, True), (7, False), (8, False)])
def test_plain_samples_of_many_channels_are_not_copied_to_quicktime(
    tmp_path: Path, video: Path, channels: int, is_copied: bool
) -> None:
    audio = write_tone(tmp_path / "a.wav", 1.0, 48000, channels)
    muxed = mux(video, audio, tmp_path / "o.mov", heard_s=1.0, output_s=1.0)
    assert muxed.is_audio_copied is is_copied
    verify_output(tmp_path / "o.mov", Expected(25, 1.0, (48, 64)))


def test_audio_is_cut_where_it_is_longer_than_what_is_heard() -> None:
    info = AudioInfo("aac", 44100, 1, 3.0)
    assert plan_audio(info, "mp4", 2.0, 2.0).heard_s == 2.0
    assert plan_audio(info, "mp4", 2.99, 2.99).heard_s is None


def test_the_command_is_a_list_with_the_names_untouched() -> None:
    video, audio, out = Path("/t/a b.mp4"), Path('/t/it\'s "x".wav'), Path("/t/ž:é.mp4")
    info = AudioInfo("pcm_s16le", 44100, 2, 3.0)
    words = Words(edits=Edits(dubber="1", duration_s=2.0))
    job = MuxJob("ffmpeg", video, audio, out, AudioPlan("aac", info, 2.0, heard_s=1.5), words=words)
    command = mux_command(job)
    assert command[0] == "ffmpeg"
    assert f"file:{audio}" in command
    assert command[-1] == f"file:{out}"
    assert command[command.index("-c:v:0") + 1] == "copy"
    assert command[command.index("-c:a:0") + 1] == "aac"
    assert "atrim=end=1.500000,apad=whole_dur=2.000000" in command[command.index("-filter:a:0") + 1]
    assert "-y" in command
    assert any(word.startswith("comment=Edited with dubber") for word in command)
    copied = MuxJob("ffmpeg", video, audio, out, AudioPlan("copy", info, 2.0))
    plain = mux_command(copied)
    assert not any("Edited" in word for word in plain)
    assert "-t" not in plain


@pytest.mark.parametrize(("ticks", "time_base", "last"), TIMES, ids=["25", "29.97", "odd base", "vfr", "ms"])
@pytest.mark.parametrize("suffix", ["mp4", "mov"])
def test_times_survive_muxing(
    tmp_path: Path, ticks: list[int], time_base: Fraction, last: int, suffix: str
) -> None:
    clip = clip_of(ticks, time_base)
    with VideoWriter(tmp_path / "v.mp4", clip, time_base, end_pts=ticks[-1] - ticks[0] + last) as writer:
        for i, pts in enumerate(ticks):
            writer.write(frame(i, clip.size), pts - ticks[0])
    duration_s = float((ticks[-1] + last - ticks[0]) * time_base)
    audio = write_aac(tmp_path / "a.m4a", duration_s)
    out = tmp_path / f"o.{suffix}"
    muxed = mux(tmp_path / "v.mp4", audio, out, heard_s=duration_s, output_s=duration_s)
    assert muxed.is_audio_copied
    again = probe(out)
    assert [int(pts) * again.time_base for pts in again.pts_T] == [
        (pts - ticks[0]) * time_base for pts in ticks
    ]
    verify_output(out, Expected(len(ticks), duration_s, clip.size))
    with av.open(str(out)) as container:
        first = next(container.decode(audio=0))
        assert abs(float(first.pts * first.time_base)) < 0.03
        assert "comment" not in container.metadata  # nobody told what was edited


@pytest.fixture(scope="module")
def video(tmp_path_factory: pytest.TempPathFactory) -> Path:
    clip = clip_of(cfr(25), Fraction(1, 12800))
    path = tmp_path_factory.mktemp("mux") / "video 'q' ü.mp4"
    with VideoWriter(path, clip, clip.time_base, end_pts=25 * 512) as writer:
        for i, pts in enumerate(cfr(25)):
            writer.write(frame(i, clip.size), pts)
    return path


def audio_seconds(path: Path) -> float:
    with av.open(str(path)) as container:
        return float(sum(f.samples / f.sample_rate for f in container.decode(audio=0)))


@pytest.mark.parametrize(("seconds", "heard_s", "expected_s"), [(2.0, 1.0, 1.0), (0.5, 0.5, 1.0)])
def test_encoded_audio_is_cut_or_padded(
    tmp_path: Path, video: Path, seconds: float, heard_s: float, expected_s: float
) -> None:
    audio = write_tone(tmp_path / "a.wav", seconds)
    muxed = mux(video, audio, tmp_path / "o.mp4", heard_s=heard_s, output_s=1.0)
    assert not muxed.is_audio_copied
    assert audio_seconds(tmp_path / "o.mp4") == pytest.approx(expected_s, abs=0.06)


def test_copied_audio_is_cut_at_a_packet(tmp_path: Path, video: Path) -> None:
    audio = write_aac(tmp_path / "a.m4a", 2.0)
    assert mux(video, audio, tmp_path / "o.mp4", heard_s=1.0, output_s=1.0).is_audio_copied
    assert audio_seconds(tmp_path / "o.mp4") == pytest.approx(1.0, abs=0.06)
    verify_output(tmp_path / "o.mp4", Expected(25, 1.0, (48, 64)))


@pytest.mark.parametrize(
    ("picture_s", "sound_s", "expected_s"), [(0.0, 0.5, 0.8), (0.2, 0.0, 0.1), (0.0, 0.0, 0.3)]
)
@pytest.mark.parametrize(
    ("source", "suffix"), [("mp4", "mp4"), ("mp4", "mkv"), ("mkv", "mov"), ("mkv", "webm")]
)
def test_sound_of_a_video_keeps_its_place_against_its_pictures(
    tmp_path: Path, picture_s: float, sound_s: float, expected_s: float, source: str, suffix: str
) -> None:
    video = write_clip(tmp_path / "v.mp4", cfr(50), codec="libvpx-vp9" if suffix == "webm" else "libx264")
    audio = write_talk(
        tmp_path / f"talk.{source}", tmp_path, picture_s=picture_s, sound_s=sound_s, onset_s=0.3
    )
    out = tmp_path / f"o.{suffix}"
    muxed = mux(video, audio, out, heard_s=1 + sound_s - picture_s, output_s=2.0)
    assert muxed.is_audio_copied is (suffix != "webm")
    clip = probe(out)
    assert float(clip.pts_T[0] * clip.time_base) == 0
    samples, rate = read_audio(out)
    assert np.flatnonzero(np.abs(samples) > 0.1)[0] / rate == pytest.approx(expected_s, abs=0.012)
    assert len(samples) / rate == pytest.approx(
        2.0 if suffix == "webm" else 1 + sound_s - picture_s, abs=0.06
    )


def test_the_bundled_ffmpeg_does_it_too(tmp_path: Path, video: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(shutil, "which", lambda name: None)
    assert "imageio" in find_ffmpeg()
    audio = write_tone(tmp_path / "a.wav", 1.0)
    mux(video, audio, tmp_path / "o.mp4", heard_s=1.0, output_s=1.0)
    verify_output(tmp_path / "o.mp4", Expected(25, 1.0, (48, 64)))


def test_audio_that_will_not_be_copied_is_encoded(
    tmp_path: Path, video: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    run = mux_module.run_ffmpeg

    def refuse_copy(arguments: list[str]) -> None:
        if arguments[arguments.index("-c:a:0") + 1] == "copy":
            raise StageError("no")
        run(arguments)

    monkeypatch.setattr(mux_module, "run_ffmpeg", refuse_copy)
    audio = write_aac(tmp_path / "a.m4a", 1.0)
    assert not mux(video, audio, tmp_path / "o.mp4", heard_s=1.0, output_s=1.0).is_audio_copied
    assert (tmp_path / "o.mp4").is_file()


def test_failures_of_ffmpeg_are_told(tmp_path: Path) -> None:
    with pytest.raises(ToolMissingError):
        run_ffmpeg([str(tmp_path / "no-ffmpeg")])
    with pytest.raises(StageError, match="the last words"):
        run_ffmpeg([sys.executable, "-c", "import sys; sys.exit('the last words')"])


def test_no_ffmpeg_at_all(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(shutil, "which", lambda name: None)
    monkeypatch.setitem(sys.modules, "imageio_ffmpeg", None)
    with pytest.raises(ToolMissingError, match="not found"):
        find_ffmpeg()


def test_containers(tmp_path: Path) -> None:
    check_container("mp4", "libx264")
    check_container("webm", "libvpx-vp9")
    with pytest.raises(ConfigError, match="WebM"):
        check_container("webm", "libx264")
    with pytest.raises(ConfigError, match="gif"):
        check_container("gif", "libx264")
    check_container("avi", "mpeg4")
    check_container("mkv", "ffv1")
    with pytest.raises(ConfigError, match="up to 51"):
        check_container("mp4", "libx264", 52)
    check_container("webm", "libvpx-vp9", 63)
    for container, codec in [
        ("ts", "libvpx-vp9"),
        ("avi", "libx264"),
        ("avi", "libvpx-vp9"),
        ("mp4", "ffv1"),
        ("mov", "ffv1"),
    ]:
        with pytest.raises(ConfigError, match=container.upper()):
            check_container(container, codec)


def test_a_wrong_output_is_noticed(tmp_path: Path, video: Path) -> None:
    right = Expected(25, 1.0, (48, 64), needs_audio=False)
    verify_output(video, right)
    wrongs = ({"num_frames": 24}, {"duration_s": 1.1}, {"size": (48, 62)}, {"needs_audio": True})
    for wrong in wrongs:
        with pytest.raises(StageError):
            verify_output(video, replace(right, **wrong))


def test_the_whole_without_a_shell(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    seen: list[object] = []
    real = subprocess.run

    def watch(arguments: object, **options: object) -> object:
        seen.append((arguments, options.get("shell", False)))
        return real(arguments, **options)  # type: ignore[call-overload]

    monkeypatch.setattr(subprocess, "run", watch)
    clip = write_clip(tmp_path / "$(touch x).mp4", cfr(5))
    mux(clip, write_tone(tmp_path / "; y.wav", 0.2), tmp_path / "o.mp4", heard_s=0.2, output_s=0.2)
    assert isinstance(seen[0][0], list)  # type: ignore[index]
    assert seen[0][1] is False  # type: ignore[index]
