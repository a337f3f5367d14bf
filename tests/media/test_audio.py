from __future__ import annotations

from pathlib import Path

import av
import numpy as np
import pytest
import soundfile

from dubber.errors import MediaError
from dubber.media.audio import (
    audio_duration_s,
    audio_info,
    iterate_audio,
    open_speech,
    read_speech,
    read_wav,
    write_speech,
)
from dubber.media.mux import find_ffmpeg, run_ffmpeg
from dubber.media.probe import probe
from dubber.types import Speech, StoredFile
from tests.conftest import real_clip
from tests.media.clips import read_audio, tone, write_aac, write_clip, write_talk, write_tone


def main_hz(samples: np.ndarray, rate_hz: int) -> float:
    return float(np.argmax(np.abs(np.fft.rfft(samples))) * rate_hz / len(samples))


@pytest.mark.parametrize("name", ["a.wav", "a.flac", "a.mp3", "a.ogg", "a.m4a", "a.mkv", "a.webm"])
def test_every_kind_is_read(tmp_path: Path, name: str) -> None:
    path = tmp_path / name
    codecs = {"a.m4a": "aac", "a.mkv": "ac3", "a.webm": "libopus"}
    rate_hz = 48000
    if name in codecs:
        write_aac(path, 1.0, rate_hz, codecs[name])
    else:
        write_tone(path, 1.0, rate_hz, num_channels=2)
    samples, rate = read_audio(path)
    assert rate == rate_hz
    assert samples.dtype == np.float32
    assert len(samples) / rate == pytest.approx(1.0, abs=0.06)
    assert main_hz(samples, rate) == pytest.approx(220, abs=2)
    assert 0.25 < np.abs(samples[4000:-4000]).max() < 0.35
    assert audio_duration_s(path) == pytest.approx(1.0, abs=0.06)
    assert audio_info(path).codec.removesuffix("float")


@pytest.mark.parametrize("rate_hz", [8000, 16000, 44100, 48000])
def test_speech_is_16_khz(tmp_path: Path, rate_hz: int) -> None:
    source = write_tone(tmp_path / "it's 'ä' b.wav", 1.5, rate_hz, num_channels=2)
    num_samples = write_speech(source, tmp_path / "out.wav")
    samples, rate = read_wav(tmp_path / "out.wav")
    assert rate == 16000
    assert abs(num_samples - 24000) <= 1
    assert len(samples) == num_samples
    assert np.abs(samples[800:-800] - tone(1.5, 16000)[800 : num_samples - 800]).max() < 0.01


@pytest.mark.parametrize("suffix", ["ts", "mkv"])
def test_sound_keeps_its_place_where_the_first_packets_do_not_decode(tmp_path: Path, suffix: str) -> None:
    """A recording cut from a broadcast: it begins in the middle of a group of pictures."""
    whole = write_talk(tmp_path / "whole.mkv", tmp_path, picture_s=0.0, sound_s=0.0, onset_s=0.7)
    path = tmp_path / f"cut.{suffix}"
    with av.open(str(whole)) as source, av.open(str(path), "w") as target:
        outputs = [target.add_stream_from_template(stream) for stream in source.streams]
        for packet in source.demux():
            if packet.dts is not None and packet.pts * packet.time_base >= 0.2:
                packet.stream = outputs[packet.stream.index]
                target.mux(packet)
    clip = probe(path)
    first_s = float(clip.pts_T[0] * clip.time_base)
    with av.open(str(path)) as file:
        stream = file.streams.video[0]
        assert first_s - float(stream.start_time * stream.time_base) > 0.2
    samples, rate = read_audio(path)
    assert int(np.argmax(np.abs(samples) > 0.1)) / rate == pytest.approx(0.7 - 12 / 25, abs=0.005)
    assert audio_info(path).zero_s == pytest.approx(first_s, abs=1e-6)


@pytest.mark.parametrize(
    ("picture_s", "sound_s", "expected_s"), [(0.0, 0.5, 0.8), (0.2, 0.0, 0.1), (0.0, 0.0, 0.3)]
)
@pytest.mark.parametrize("suffix", ["mp4", "mkv", "mov"])
def test_sound_keeps_its_place_against_the_first_picture(
    tmp_path: Path, picture_s: float, sound_s: float, expected_s: float, suffix: str
) -> None:
    path = write_talk(
        tmp_path / f"talk.{suffix}", tmp_path, picture_s=picture_s, sound_s=sound_s, onset_s=0.3
    )
    samples, rate = read_audio(path)
    assert np.flatnonzero(np.abs(samples) > 0.1)[0] / rate == pytest.approx(expected_s, abs=0.01)
    assert len(samples) / rate == pytest.approx(1 + sound_s - picture_s, abs=0.06)
    if suffix != "mkv":  # Matroska tells the length of the whole file only
        assert audio_duration_s(path) == pytest.approx(len(samples) / rate, abs=0.06)


def test_what_cannot_be_heard_is_said(tmp_path: Path) -> None:
    soundfile.write(tmp_path / "empty.wav", np.zeros(0, np.float32), 16000)
    soundfile.write(tmp_path / "zeros.wav", np.zeros(16000, np.float32), 16000)
    soundfile.write(tmp_path / "faint.wav", 0.0002 * tone(0.5, 16000), 16000, subtype="FLOAT")
    soundfile.write(tmp_path / "nan.wav", np.full(1600, np.nan, np.float32), 16000, subtype="FLOAT")
    write_clip(tmp_path / "mute.mp4", [0, 512])
    (tmp_path / "text.wav").write_text("this is no sound " * 20)
    whole = write_aac(tmp_path / "whole.m4a", 1.0)
    (tmp_path / "cut.m4a").write_bytes(whole.read_bytes()[:3000])
    expected = {
        "absent.wav": "no such file",
        ".": "folder",
        "empty.wav": "empty",
        "zeros.wav": "silent",
        "faint.wav": "silent",
        "nan.wav": "silent",
        "mute.mp4": "no audio stream",
        "text.wav": "not a video or audio",
        "cut.m4a": "cut off",
    }
    for name, words in expected.items():
        with pytest.raises(MediaError, match=words) as raised:
            write_speech(tmp_path / name, tmp_path / "out.wav")
        assert raised.value.exit_code == 3
        assert raised.value.advice
        assert not (tmp_path / "out.wav").exists()


def test_quiet_speech_is_not_silent(tmp_path: Path) -> None:
    soundfile.write(tmp_path / "quiet.wav", 0.003 * tone(0.5, 16000), 16000, subtype="FLOAT")
    assert write_speech(tmp_path / "quiet.wav", tmp_path / "out.wav") == 8000


def test_sound_of_a_real_video(tmp_path: Path) -> None:
    path = real_clip("dev/glasses_582.mp4")
    assert write_speech(path, tmp_path / "out.wav") / 16000 == pytest.approx(audio_duration_s(path), abs=0.05)


def test_extracted_speech_is_read_where_it_is_asked_for(tmp_path: Path) -> None:
    source = write_tone(tmp_path / "tone.wav", 1.5, 44100)
    speech = Speech(StoredFile(tmp_path / "out.wav"), 16000, write_speech(source, tmp_path / "out.wav"))
    whole = read_speech(speech)
    with open_speech(speech) as samples:
        assert len(samples) == len(whole) == speech.num_samples
        for part in (slice(None), slice(5000, 5100), slice(-10, None), slice(7, 7), slice(99999, None)):
            assert np.array_equal(samples[part], whole[part])
            assert samples[part].dtype == np.float32
    with open_speech(speech, duration_s=0.5) as samples:
        assert len(samples) == 8000
        assert np.array_equal(samples[7990:9000], whole[7990:8000])


def test_missing_extracted_speech_is_named(tmp_path: Path) -> None:
    speech = Speech(StoredFile(tmp_path / "gone.wav"), 16000, 8000)
    with pytest.raises(MediaError, match="cannot be read") as raised, open_speech(speech):
        pass
    assert raised.value.where.endswith("gone.wav")


def test_quicktime_sound_that_would_end_the_process_is_refused(tmp_path: Path) -> None:
    wav = write_tone(tmp_path / "eight.wav", 0.5, 48000, 8)
    run_ffmpeg(
        [find_ffmpeg(), "-loglevel", "error", "-i", str(wav), "-c", "copy", str(tmp_path / "eight.mov")]
    )
    with pytest.raises(MediaError, match="8 channels"):
        read_audio(tmp_path / "eight.mov")
    assert len(read_audio(wav)[0]) == 24000


@pytest.mark.parametrize(("layout", "num_channels"), [("6.1", 7), ("7.1", 8), ("hexadecagonal", 16)])
def test_many_channels_of_planar_samples(tmp_path: Path, layout: str, num_channels: int) -> None:
    path = tmp_path / "many.mkv"
    times_s = np.arange(8_000) / 16_000
    tone = np.sin(2 * np.pi * 440 * times_s).astype(np.float32) / 2
    with av.open(str(path), "w") as container:
        stream = container.add_stream("wavpack", rate=16_000, layout=layout)
        stream.codec_context.format = "fltp"
        samples = np.ascontiguousarray(np.repeat(tone[:, None], num_channels, 1).reshape(1, -1))
        frame = av.AudioFrame.from_ndarray(samples, format="flt", layout=layout)
        frame.sample_rate, frame.pts = 16_000, 0
        container.mux(stream.encode(frame))
        container.mux(stream.encode(None))
    found = np.concatenate([chunk for chunk, _ in iterate_audio(path)])
    assert abs(len(found) - len(tone)) < 200
    assert np.corrcoef(found[: len(tone)], tone[: len(found)])[0, 1] > 0.99


def test_a_header_that_claims_years_of_sound(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = write_tone(tmp_path / "short.wav", 0.5)
    monkeypatch.setattr(soundfile.SoundFile, "frames", property(lambda _: 10**12))
    assert sum(len(chunk) for chunk, _ in iterate_audio(path)) < 48_000
