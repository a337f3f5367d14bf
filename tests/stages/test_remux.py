from __future__ import annotations

import dataclasses
from collections.abc import Generator
from fractions import Fraction
from pathlib import Path

import numpy as np
import pytest
from pydantic import ValidationError

from dubber.engine.stage import StageContext
from dubber.errors import ConfigError, StageError
from dubber.media.encoders import FORMATS
from dubber.media.flow import FrameStream
from dubber.media.frame import Frame
from dubber.media.probe import probe
from dubber.media.reader import read_frames, read_frames_at
from dubber.media.streams import source_streams
from dubber.ops.timeline import make_timeline
from dubber.stages.remux import Remux, RemuxParams, edits_made
from dubber.types import Bool, Clip, LengthMode, Sound, SourceFile, StoredFile, Timeline
from tests.media.clips import VFR, cfr, index_of, read_audio, write_clip, write_tone
from tests.media.rich_clips import write_rich


@pytest.fixture
def source(tmp_path: Path) -> tuple[Path, Clip]:
    path = write_clip(tmp_path / "v.mp4", [tick + 1024 for tick in VFR])
    return path, probe(path)


def all_dubbed(num_frames: int) -> Bool:
    return np.ones(num_frames, np.bool_)


def timeline_of(clip: Clip) -> Timeline:
    index_N = np.arange(clip.num_frames, dtype=np.int32)
    return Timeline("cut_off", clip.pts_T, clip.end_pts, clip.time_base, index_N, clip.duration_s)


def stream_of(path: Path, clip: Clip) -> FrameStream:
    return FrameStream(all_dubbed(clip.num_frames), lambda: read_frames(path, clip))


def test_frames_and_times_come_through(
    context: StageContext, source: tuple[Path, Clip], tmp_path: Path
) -> None:
    path, clip = source
    audio = SourceFile(write_tone(tmp_path / "a.wav", 2.0), "0")
    stage = Remux(RemuxParams(crf=8))
    dubbed = stage.run(context, stream_of(path, clip), audio, clip, timeline_of(clip))
    assert [f.name for f in context.entry_dir.iterdir()] == ["dubbed.mp4"]
    again = probe(dubbed.file.path)
    assert dubbed.num_frames == again.num_frames == len(VFR)
    np.testing.assert_allclose(again.times_s_T, clip.times_s_T, atol=1e-9)
    assert again.duration_s == pytest.approx(clip.duration_s, abs=1e-3)
    assert again.has_audio
    assert not dubbed.is_audio_copied
    for before, after in zip(read_frames(path, clip), read_frames(dubbed.file.path, again), strict=True):
        assert np.mean((before.y.astype(float) - after.y) ** 2) < 4


def test_deinterlaced_pictures_are_not_called_unchanged(source: tuple[Path, Clip]) -> None:
    path, clip = source
    frames = FrameStream(np.arange(clip.num_frames) == 0, lambda: read_frames(path, clip))
    is_copied_N = np.zeros(clip.num_frames, np.bool_)
    for is_deinterlaced in (False, True):
        shown = dataclasses.replace(clip, is_deinterlaced=is_deinterlaced)
        made = edits_made(RemuxParams(), frames, SourceFile(path, "0"), shown, timeline_of(clip), is_copied_N)
        assert bool(made.encoded) is not is_deinterlaced and made.pictures[0][0] == 0


def test_where_words_stand_is_told_where_it_is_not_throughout(source: tuple[Path, Clip]) -> None:
    path, clip = source
    index_N, is_copied_N = np.arange(clip.num_frames), np.zeros(clip.num_frames, np.bool_)
    edges_s = [float(clip.times_s_T[n] - clip.times_s_T[0]) for n in (2, 6)]
    for is_marked_N, told in (((index_N >= 2) & (index_N < 6), [edges_s]), (index_N >= 0, [])):
        frames = FrameStream(index_N == 3, lambda: read_frames(path, clip), is_marked_N, "AI")
        made = edits_made(RemuxParams(), frames, SourceFile(path, "0"), clip, timeline_of(clip), is_copied_N)
        assert [list(each) for each in made.marked] == [pytest.approx(each, abs=1e-3) for each in told]
        assert made.mark == "AI" and bool(made.encoded) is bool(told)


def test_two_runs_give_the_same_bytes(
    context: StageContext, source: tuple[Path, Clip], tmp_path: Path
) -> None:
    path, clip = source
    audio = SourceFile(write_tone(tmp_path / "a.wav", 1.0), "0")
    made = []
    for _ in range(2):
        dubbed = Remux().run(context, stream_of(path, clip), audio, clip, timeline_of(clip))
        made.append(dubbed.file.path.read_bytes())
    assert made[0] == made[1]


def test_the_timeline_may_repeat_frames(
    context: StageContext, source: tuple[Path, Clip], tmp_path: Path
) -> None:
    path, clip = source
    index_N = np.concatenate([np.arange(16), np.arange(15, -1, -1)]).astype(np.int32)
    pts_N = 512 * np.arange(32, dtype=np.int64) + 3
    timeline = Timeline("bounce", pts_N, 3 + 512 * 32, clip.time_base, index_N, 1.0)
    frames = FrameStream(all_dubbed(32), lambda: read_frames_at(path, clip, index_N))
    audio = SourceFile(write_tone(tmp_path / "a.wav", 1.0), "0")
    dubbed = Remux().run(context, frames, audio, clip, timeline)
    again = probe(dubbed.file.path)
    assert [index_of(f) for f in read_frames(dubbed.file.path, again)] == index_N.tolist()
    assert dubbed.duration_s == pytest.approx(1.28)


@pytest.mark.parametrize(
    ("container", "codec"), [("mkv", "libx264"), ("mov", "libx264"), ("webm", "libvpx-vp9"), ("mp4", "h264")]
)
def test_other_containers(
    context: StageContext, source: tuple[Path, Clip], tmp_path: Path, container: str, codec: str
) -> None:
    path, clip = source
    audio = SourceFile(write_tone(tmp_path / "a.wav", 1.0), "0")
    stage = Remux(RemuxParams(container=container, vcodec=codec, preset="veryfast"))
    dubbed = stage.run(context, stream_of(path, clip), audio, clip, timeline_of(clip))
    assert dubbed.file.path.suffix == f".{container}"
    assert dubbed.video_codec in FORMATS.get(codec, (codec,))


def test_too_few_or_too_many_frames_are_a_bug(
    context: StageContext, source: tuple[Path, Clip], tmp_path: Path
) -> None:
    path, clip = source
    audio = SourceFile(write_tone(tmp_path / "a.wav", 1.0), "0")

    def short() -> Generator[Frame]:
        return read_frames(path, clip, 0, 5)

    def long() -> Generator[Frame]:
        return read_frames_at(path, clip, [*range(clip.num_frames), 3])

    for opener, words in ((short, "Only 5"), (long, "more than")):
        with pytest.raises(StageError, match=words):
            Remux().run(
                context, FrameStream(all_dubbed(clip.num_frames), opener), audio, clip, timeline_of(clip)
            )
    with pytest.raises(StageError, match="timeline"):
        Remux().run(context, FrameStream(all_dubbed(3), short), audio, clip, timeline_of(clip))
    assert not list(context.entry_dir.iterdir())


def test_settings_that_cannot_be_meant(
    context: StageContext, source: tuple[Path, Clip], tmp_path: Path
) -> None:
    path, clip = source
    inputs = (stream_of(path, clip), SourceFile(tmp_path / "a.wav", "0"), clip, timeline_of(clip))
    with pytest.raises(ConfigError):
        Remux(RemuxParams(container="webm", vcodec="libx264")).run(context, *inputs)
    with pytest.raises(ConfigError, match="libnone"):
        Remux(RemuxParams(vcodec="libnone")).run(context, *inputs)
    with pytest.raises(ConfigError, match="up to 51"):
        Remux(RemuxParams(vcodec="libx264", crf=52)).run(context, *inputs)
    for wrong in ({"container": "exe"}, {"audio_language": "de"}, {"audio_language": "DEU"}):
        with pytest.raises(ValidationError):
            RemuxParams.model_validate(wrong)


@pytest.mark.parametrize(
    ("choice", "languages"), [({}, ["pol", "deu"]), ({"audio_track": "add"}, ["pol", "eng", "deu"])]
)
def test_other_streams_of_the_video_are_kept(
    context: StageContext, tmp_path: Path, choice: dict[str, str], languages: list[str]
) -> None:
    path = write_rich(tmp_path / "rich.mkv", tmp_path, ticks=cfr(25), start_s=2.0)
    clip, audio = probe(path), SourceFile(write_tone(tmp_path / "a.wav", 1.0), "0")
    stage = Remux(RemuxParams(container="mkv", audio_language="pol", audio_title="Dub", **choice))
    inputs = (stream_of(path, clip), audio, clip, timeline_of(clip), SourceFile(path, "0"))
    dubbed = stage.run(context, *inputs)
    tracks = source_streams(dubbed.file.path, Fraction(0)).of("audio")
    assert [track.language for track in tracks] == languages
    assert tracks[0].title == "Dub"
    assert len(dubbed.kept) == len(languages) - 1 + 4
    assert dubbed.left_out == dubbed.converted == ()


def test_streams_that_do_not_fit_are_told(
    context: StageContext, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    path = write_rich(tmp_path / "rich.mkv", tmp_path, ticks=cfr(25))
    clip, audio = probe(path), SourceFile(write_tone(tmp_path / "a.wav", 1.0), "0")
    timeline = dataclasses.replace(timeline_of(clip), source_index_N=np.full(25, -1, np.int32))
    inputs = (stream_of(path, clip), audio, clip, timeline, SourceFile(path, "0"))
    dubbed = Remux(RemuxParams(container="mkv")).run(context, *inputs)
    assert len(dubbed.kept) == 2
    assert len(dubbed.left_out) == 4
    assert all(sentence in caplog.text for sentence in dubbed.left_out)
    assert all("`--length silence`" in sentence for sentence in dubbed.left_out)


@pytest.mark.parametrize("mode", ["loop", "bounce"])
def test_footage_that_is_repeated_keeps_its_streams(
    context: StageContext, tmp_path: Path, mode: LengthMode
) -> None:
    path = write_rich(tmp_path / "rich.mkv", tmp_path, ticks=cfr(25))
    clip, audio = probe(path), SourceFile(write_tone(tmp_path / "a.wav", 1.6), "0")
    timeline = make_timeline(mode, clip.pts_T, clip.end_pts, clip.time_base, Fraction(8, 5))
    assert timeline.num_frames == 40
    frames = FrameStream(all_dubbed(40), lambda: read_frames_at(path, clip, timeline.source_index_N))
    inputs = (frames, audio, clip, timeline, SourceFile(path, "0"))
    dubbed = Remux(RemuxParams(container="mkv")).run(context, *inputs)
    assert len(dubbed.kept) == 5
    assert dubbed.left_out == ()
    found = source_streams(dubbed.file.path, Fraction(0))
    assert [chapter.title for chapter in found.chapters] == ["One = 1", "Zwei; ž"]
    assert found.chapters[1].end_s == pytest.approx(1.0, abs=0.03)


def test_sound_that_was_mixed_is_heard_to_its_end(
    context: StageContext, source: tuple[Path, Clip], tmp_path: Path
) -> None:
    path, clip = source
    timeline = dataclasses.replace(timeline_of(clip), audio_duration_s=0.2)
    mixed = Sound(
        StoredFile(write_tone(tmp_path / "mix.wav", clip.duration_s)), 22050, 1, clip.duration_s, 0.0
    )
    for container, codec in (("mov", "aac"), ("mkv", "flac")):  # both could hold plain samples as well
        stage = Remux(RemuxParams(container=container))
        dubbed = stage.run(context, stream_of(path, clip), mixed, clip, timeline)
        samples, rate_hz = read_audio(dubbed.file.path)
        assert len(samples) / rate_hz == pytest.approx(clip.duration_s, abs=1024 / rate_hz)  # a packet of AAC
        assert not dubbed.is_audio_copied
        assert [track.codec for track in source_streams(dubbed.file.path, Fraction(0)).of("audio")] == [codec]
