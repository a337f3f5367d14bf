from __future__ import annotations

from collections import Counter
from fractions import Fraction
from pathlib import Path

import av
import numpy as np
import pytest

from dubber.errors import ConfigError, StageError
from dubber.media.edits import Edits, read_edits
from dubber.media.formats import BIBLIOGRAPHIC, CONTAINERS
from dubber.media.mux import Muxed, find_ffmpeg, mux, run_ffmpeg, without
from dubber.media.mux_job import Words
from dubber.media.probe import probe
from dubber.media.stream_plan import StreamPlan, plan_streams
from dubber.media.streams import SourceStreams, cover_pictures, replaced_stream, source_streams
from dubber.media.verify import Expected, verify_output
from tests.media.clips import cfr, read_audio, write_aac, write_clip, write_talk, write_tone
from tests.media.rich_clips import FONT, write_rich

ENCODERS = {"webm": "libvpx-vp9", "avi": "mpeg4"}


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("streams")


@pytest.fixture(scope="module")
def rich_mkv(folder: Path) -> Path:
    return write_rich(folder / "rich.mkv", folder, ticks=cfr(25), start_s=5.0)


@pytest.fixture(scope="module")
def rich_mp4(folder: Path) -> Path:
    return write_rich(folder / "rich.mp4", folder, ticks=cfr(25))


def streams_of(path: Path) -> SourceStreams:
    clip = probe(path)
    return source_streams(path, int(clip.pts_T[0]) * clip.time_base)


def dub(folder: Path, source: Path, container: str, **choices: object) -> tuple[Path, Muxed]:
    """New pictures and new speech, with what the source has besides."""
    pictures = folder / f"new.{container}.mp4"
    if not pictures.exists():
        write_clip(pictures, cfr(25), codec=ENCODERS.get(container, "libx264"))
    found = streams_of(source)
    plan = plan_streams(found, container, is_in_time=True, **choices)  # type: ignore[arg-type]
    out = folder / f"{source.stem}_{source.suffix[1:]}.{container}"
    speech = write_tone(folder / "speech.wav", 1.0)
    words = Words("pol", "New", Edits(dubber="1", duration_s=1.0, pictures=((0.2, 0.6),), consent="Zoë; #1"))
    muxed = mux(pictures, speech, out, heard_s=1.0, output_s=1.0, source=found, streams=plan, words=words)
    verify_output(out, Expected(25, 1.0, (48, 64), language="pol", streams=muxed.streams))
    return out, muxed


def first_packets(path: Path, kind: str) -> list[float]:
    """When the first packet of each stream of a kind is heard or shown, seconds after the first picture."""
    with av.open(str(path)) as container:
        zero = container.streams.video[0].start_time * container.streams.video[0].time_base
        found: dict[int, float] = {}
        for packet in container.demux([s for s in container.streams if s.type == kind]):
            if packet.pts is not None and packet.size > 2:  # MP4 fills gaps with empty subtitles
                found.setdefault(packet.stream.index, float(packet.pts * packet.time_base - zero))
    return list(found.values())


KEPT = {
    "mp4": {"audio": 3, "subtitle": 2, "cover": 1},
    "mov": {"audio": 3, "subtitle": 2},
    "m4v": {"audio": 3, "subtitle": 2, "cover": 1},
    "mkv": {"audio": 3, "subtitle": 2, "cover": 1, "attachment": 1},
    "webm": {"audio": 3, "subtitle": 2},
    "avi": {"audio": 3},
    "ts": {"audio": 3},
}


@pytest.mark.parametrize("container", CONTAINERS)
def test_what_a_container_can_hold_is_kept_and_the_rest_is_said(
    folder: Path, rich_mkv: Path, container: str
) -> None:
    out, muxed = dub(folder, rich_mkv, container)
    found = streams_of(out)
    assert Counter(stream.kind for stream in found.others) == KEPT[container]
    said = " ".join(muxed.streams.left_out)
    for kind, words in (("subtitle", "fra, subrip"), ("cover", "cover"), ("attachment", "font.ttf")):
        assert (words in said) is (kind not in KEPT[container])
    assert ("2 chapters" in said) is (container in ("avi", "ts"))
    if container not in ("avi", "ts"):
        assert [chapter.title for chapter in found.chapters] == ["One = 1", "Zwei; ž"]
        assert found.chapters[1].start_s == pytest.approx(0.4, abs=0.002)
        assert found.metadata["title"] == "A film; #1"
        comment = next(text for name, text in found.metadata.items() if name.lower() == "comment")
        assert comment.startswith("Shot on a phone\nEdited with dubber")
        assert found.metadata["creation_time"].startswith("2020-01-02T03:04:05")
        assert first_packets(out, "subtitle") == pytest.approx([0.2, 0.2], abs=0.002)
    (edits,) = read_edits(out)
    assert edits.pictures == (() if container == "ts" else ((0.2, 0.6),))
    assert edits.consent == ("" if container == "ts" else "Zoë; #1")
    tracks = found.of("audio")
    assert [track.num_channels for track in tracks] == [1, 2, 6]
    if container != "avi":
        assert [track.language for track in tracks][:2] == ["pol", "eng"]
        assert tracks[2].language in ("deu", "ger")
    if container not in ("avi", "ts"):
        assert [track.is_default for track in tracks] == [True, False, False]
    assert abs(float(probe(out).pts_T[0] * probe(out).time_base)) < 0.001 or container == "ts"


def test_an_attached_font_and_a_cover_are_the_same_bytes(
    folder: Path, rich_mkv: Path, rich_mp4: Path
) -> None:
    for source in (rich_mkv, rich_mp4):
        out, _ = dub(folder, source, "mkv")
        pictures = [
            cover_pictures(path, [cover.index for cover in streams_of(path).of("cover")])
            for path in (source, out)
        ]
        assert pictures[0] == pictures[1]
        assert pictures[0][0].startswith(b"\x89PNG")
        if source == rich_mkv:
            assert FONT in out.read_bytes()


@pytest.mark.parametrize("container", ["mp4", "mov", "mkv", "avi"])
def test_a_timecode_is_kept(folder: Path, rich_mp4: Path, container: str) -> None:
    out, muxed = dub(folder, rich_mp4, container)
    metadata = {name.lower(): text for name, text in streams_of(out).video_metadata.items()}
    assert metadata.get("timecode") == (None if container == "avi" else "01:00:00:00")
    assert any("timecode" in sentence for sentence in muxed.streams.left_out) is (container == "avi")


@pytest.mark.slow
def test_two_runs_give_the_same_bytes(folder: Path, rich_mkv: Path, rich_mp4: Path) -> None:
    for source, container in ((rich_mkv, "mkv"), (rich_mp4, "mp4")):
        made = [dub(folder, source, container)[0].read_bytes() for _ in range(2)]
        assert made[0] == made[1], container


def test_the_speech_replaces_the_chosen_track(folder: Path, rich_mkv: Path) -> None:
    found = streams_of(rich_mkv)
    chosen = [replaced_stream(found, number) for number in (None, 0, 1)]
    assert [track.language for track in chosen if track is not None] == ["eng", "eng", "deu"]
    with pytest.raises(ConfigError, match="no audio track 2"):
        replaced_stream(found, 2)
    out, _ = dub(folder, rich_mkv, "mkv", replaced=chosen[2])
    assert [(track.language, track.title) for track in streams_of(out).of("audio")] == [
        ("pol", "New"),
        ("eng", ""),
    ]


def test_streams_that_no_longer_fit_the_time_are_left_out(rich_mkv: Path, rich_mp4: Path) -> None:
    plan = plan_streams(streams_of(rich_mkv), "mkv", is_in_time=False)
    assert {each.stream.kind for each in plan.kept} == {"cover", "attachment"}
    assert not plan.chapters
    assert len(plan.left_out) == 5
    assert all("retimed" in sentence for sentence in plan.left_out)
    assert not plan_streams(streams_of(rich_mp4), "mp4", is_in_time=False).keeps_timecode


def test_a_shorter_output_ends_all_streams(folder: Path, rich_mkv: Path) -> None:
    pictures = write_clip(folder / "short.mp4", cfr(10))
    found = streams_of(rich_mkv)
    plan = plan_streams(found, "mkv", is_in_time=True, until_s=0.4)
    assert [(chapter.start_s, chapter.end_s) for chapter in plan.chapters] == [(0.0, 0.4)]
    out = folder / "short.mkv"
    mux(
        pictures,
        write_tone(folder / "s.wav", 0.4),
        out,
        heard_s=0.4,
        output_s=0.4,
        source=found,
        streams=plan,
    )
    with av.open(str(out)) as container:
        ends = [
            float(packet.pts * packet.time_base)
            for packet in container.demux()
            if packet.pts is not None and packet.stream.type in ("audio", "subtitle")
        ]
    assert 0.3 < max(ends) < 0.43
    verify_output(out, Expected(10, 0.4, (48, 64), streams=plan))


@pytest.mark.parametrize(
    ("picture_s", "sound_s", "container"),
    [(0.2, 0.0, "mp4"), (0.2, 0.0, "ts"), (0.0, 0.3, "avi"), (0.0, 0.3, "mkv"), (3.0, 3.1, "webm")],
)
@pytest.mark.slow
def test_kept_sound_stays_in_its_place(
    tmp_path: Path, picture_s: float, sound_s: float, container: str
) -> None:
    source = write_talk(tmp_path / "t.mkv", tmp_path, picture_s=picture_s, sound_s=sound_s, onset_s=0.4)
    out, _ = dub(tmp_path, source, container)
    with av.open(str(out)) as file:
        zero_s = float(file.streams.video[0].start_time * file.streams.video[0].time_base)
        resampler = av.AudioResampler(format="fltp", layout="mono")
        onset_s = None
        for frame in file.decode(audio=1):
            samples = np.abs(resampler.resample(frame)[0].to_ndarray()[0])
            if onset_s is None and (samples > 0.1).any():
                start_s = (
                    0.0 if container == "avi" and frame.pts is None else float(frame.pts * frame.time_base)
                )
                onset_s = start_s + int(np.argmax(samples > 0.1)) / frame.sample_rate - zero_s
    assert onset_s == pytest.approx(sound_s - picture_s + 0.4, abs=0.004)


def test_what_ffmpeg_refuses_is_left_out_and_said(
    folder: Path, rich_mkv: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from dubber.media import mux as module

    run = module.run_ffmpeg

    def refuse(arguments: list[str]) -> None:
        if "-attach" in arguments:
            raise StageError("no")
        run(arguments)

    monkeypatch.setattr(module, "run_ffmpeg", refuse)
    _, muxed = dub(folder, rich_mkv, "mkv")
    assert not [each for each in muxed.streams.kept if each.stream.kind in ("cover", "attachment")]
    assert sum("could not be copied" in sentence for sentence in muxed.streams.left_out) == 2
    assert without(StreamPlan(), ("audio",)) == StreamPlan()


def test_an_output_that_lacks_something_is_noticed(folder: Path, rich_mkv: Path) -> None:
    out, muxed = dub(folder, rich_mkv, "mkv")
    plan = muxed.streams
    for wrong, words in (
        (StreamPlan(plan.kept * 2, plan.chapters), "has only"),
        (StreamPlan(plan.kept), "2 chapters instead of 0"),
        (StreamPlan(plan.kept, plan.chapters[::-1]), "a chapter 'One = 1' at 0.000"),
    ):
        with pytest.raises(StageError, match=words):
            verify_output(out, Expected(25, 1.0, (48, 64), language="pol", streams=wrong))
    with pytest.raises(StageError, match="jpn"):
        verify_output(out, Expected(25, 1.0, (48, 64), language="jpn", streams=plan))


def write_odd(
    path: Path, folder: Path, languages: dict[str, str], chapters: str = "", late_s: float = 0
) -> Path:
    """Pictures, tracks of odd languages, chapters; `late_s` after another video begins."""
    video, sound = write_clip(folder / "odd.mp4", cfr(25)), write_aac(folder / "odd.m4a", 1.0)
    (folder / "odd.txt").write_text(";FFMETADATA1\n" + chapters)
    inputs = ["-i", str(sound), "-f", "ffmetadata", "-i", str(folder / "odd.txt")]
    command = [
        find_ffmpeg(),
        "-y",
        "-loglevel",
        "error",
        "-copyts",
        "-itsoffset",
        str(late_s),
        "-i",
        str(video),
    ]
    command += [
        *inputs,
        "-itsoffset",
        "0",
        "-i",
        str(video),
        "-map",
        "0:v",
        *["-map", "1:a"] * len(languages),
    ]
    command += ["-map", "3:v"] if late_s else []
    for number, (language, title) in enumerate(languages.items()):
        place = f"-metadata:s:a:{number}"
        command += [place, f"language={language}", place, f"title={title}"]
    run_ffmpeg(
        [
            *command,
            "-map_chapters",
            "2",
            "-c",
            "copy",
            "-disposition:v",
            "0",
            "-disposition:v:0",
            "default",
            str(path),
        ]
    )
    return path


LANGUAGES = {"en": "eng", "pt-BR": "por", "FRA": "fre", "zh_Hant": "chi", "sw": "swa", "klingon": ""}


@pytest.mark.parametrize("container", ["mp4", "mov", "mkv", "ts"])
@pytest.mark.slow
def test_languages_of_any_spelling_are_kept(tmp_path: Path, container: str) -> None:
    source = write_odd(tmp_path / "odd.mkv", tmp_path, LANGUAGES)
    out, muxed = dub(tmp_path, source, container)
    found = [BIBLIOGRAPHIC.get(track.language, track.language) for track in streams_of(out).of("audio")]
    lost = "klingon" if container == "mkv" else ""
    assert found == ["pol", *(tag or lost for tag in LANGUAGES.values())]
    said = [sentence for sentence in muxed.streams.left_out if "language" in sentence]
    assert len(said) == (0 if container == "mkv" else 1)
    assert all("klingon" in sentence for sentence in said)
    if container == "mkv":  # Matroska's tags may be any, so nothing is lost
        with av.open(str(out)) as file:
            assert file.streams.audio[2].metadata["language"] == "pt-BR"


CHAPTERS = "".join(
    f"[CHAPTER]\nTIMEBASE=1/10\nSTART={start}\nEND={start + 2}\n{title}"
    for start, title in ((2, "title=One\n"), (4, ""), (6, "title=Three\n"))
)


@pytest.mark.parametrize("container", ["mp4", "mov", "mkv"])
def test_late_and_untitled_chapters_are_kept(tmp_path: Path, container: str) -> None:
    source = write_odd(tmp_path / "odd.mkv", tmp_path, {"eng": ""}, CHAPTERS)
    out, _ = dub(tmp_path, source, container)
    found = [(round(chapter.start_s, 1), chapter.title) for chapter in streams_of(out).chapters]
    if container == "mkv":
        assert found == [(0.2, "One"), (0.4, ""), (0.6, "Three")]
    else:
        assert found == [(0.0, "Beginning"), (0.2, "One"), (0.4, "Chapter 2"), (0.6, "Three")]


@pytest.mark.parametrize("container", ["mp4", "mkv"])
def test_a_second_video_may_begin_before_the_first(tmp_path: Path, container: str) -> None:
    source = write_odd(tmp_path / "odd.mkv", tmp_path, {"eng": ""}, late_s=0.5)
    out, muxed = dub(tmp_path, source, container)
    assert [each.stream.kind for each in muxed.streams.kept] == ["audio", "video"]
    first_s = first_packets(out, "video")
    if container == "mkv":  # from its first keyframe after the other's first picture on
        assert first_s == pytest.approx([0.0, 24 * 0.04 - 0.5], abs=0.002)


@pytest.mark.parametrize("codec", ["mp3", "aac"])
def test_copied_sound_may_be_damaged_in_places(tmp_path: Path, codec: str) -> None:
    speech = write_aac(tmp_path / f"s.{'mp3' if codec == 'mp3' else 'm4a'}", 1.0, codec=codec)
    content = bytearray(speech.read_bytes())
    middle = len(content) // 2
    content[middle : middle + 1500] = b"\x5a" * 1500
    speech.write_bytes(content)
    pictures, out = write_clip(tmp_path / "p.mp4", cfr(25)), tmp_path / "o.mkv"
    assert mux(pictures, speech, out, heard_s=1.0, output_s=1.0).is_audio_copied
    with av.open(str(out)) as file, pytest.raises(av.error.FFmpegError):
        list(file.decode(audio=0))
    verify_output(out, Expected(25, 1.0, (48, 64)))
    silent = without_sound(out)
    with pytest.raises(StageError, match="no sound"):
        verify_output(silent, Expected(25, 1.0, (48, 64)))


def without_sound(path: Path) -> Path:
    silent = path.with_name("silent.mkv")
    run_ffmpeg([find_ffmpeg(), "-y", "-loglevel", "error", "-i", str(path), "-an", "-c", "copy", str(silent)])
    return silent


def test_the_bundled_ffmpeg_is_as_exact_with_opus(folder: Path, rich_mkv: Path) -> None:
    out, _ = dub(folder, rich_mkv, "webm")
    assert probe(out).pts_T[0] == 0
    samples, rate_hz = read_audio(out)
    assert len(samples) / rate_hz == pytest.approx(1.0, abs=0.03)
    assert source_streams(out, Fraction(0)).of("audio")[0].codec == "opus"
