"""The speech is 16 kHz mono; the video's own may be missing, the new one may not."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import soundfile

from dubber.engine.stage import StageContext
from dubber.errors import MediaError
from dubber.media.audio import read_speech
from dubber.stages.speech import ExtractOwnSpeech, ExtractSpeech
from dubber.types import SourceFile
from tests.media.clips import write_clip, write_talk, write_tone


def test_it_gives_16_khz_mono_in_the_entry(context: StageContext, tmp_path: Path) -> None:
    path = write_tone(tmp_path / "a.flac", 0.5, 44100, num_channels=2)
    speech = ExtractSpeech().run(context, SourceFile(path, "0"))
    assert speech.wav.path.parent == context.entry_dir
    info = soundfile.info(str(speech.wav.path))
    assert (info.samplerate, info.channels, info.subtype) == (16000, 1, "PCM_16")
    assert info.frames == speech.num_samples == len(read_speech(speech))
    assert speech.duration_s == pytest.approx(0.5, abs=1e-3)


def test_it_is_repeatable(context: StageContext, tmp_path: Path) -> None:
    path = write_tone(tmp_path / "a.wav", 0.5, 44100)
    made = [ExtractSpeech().run(context, SourceFile(path, "0")).wav.path.read_bytes() for _ in range(2)]
    assert made[0] == made[1]


def test_a_mute_video_is_bad_media_and_leaves_nothing(context: StageContext, tmp_path: Path) -> None:
    with pytest.raises(MediaError, match="no audio"):
        ExtractSpeech().run(context, SourceFile(write_clip(tmp_path / "v.mp4", [0, 512]), "0"))
    assert not list(context.entry_dir.iterdir())


def test_a_video_s_own_sound_is_its_speech(context: StageContext, tmp_path: Path) -> None:
    """At its place: time 0 is the first picture."""
    video = SourceFile(write_talk(tmp_path / "v.mp4", tmp_path, picture_s=0.2, sound_s=0.0, onset_s=0.5), "0")
    own = ExtractOwnSpeech().run(context, video)
    assert own.wav.path.parent == context.entry_dir
    samples = read_speech(own)
    assert own.num_samples == len(samples) > 0
    assert own.sample_rate_hz == 16000
    assert np.flatnonzero(np.abs(samples) > 0.1)[0] / 16000 == pytest.approx(0.3, abs=0.01)
    np.testing.assert_array_equal(samples, read_speech(ExtractSpeech().run(context, video)))


def silent_video(tmp_path: Path) -> Path:
    """Has a sound track in which nothing is to be heard."""
    return write_talk(tmp_path / "v.mp4", tmp_path, picture_s=0.0, sound_s=0.0, onset_s=1.0)


def test_a_video_without_sound_has_empty_own_speech(context: StageContext, tmp_path: Path) -> None:
    mute = write_clip(tmp_path / "mute.mp4", [0, 512])
    for path in (mute, silent_video(tmp_path)):
        own = ExtractOwnSpeech().run(context, SourceFile(path, "0"))
        assert own.num_samples == 0
        assert own.duration_s == 0
        assert len(read_speech(own)) == 0
        with pytest.raises(MediaError):
            ExtractSpeech().run(context, SourceFile(path, "0"))
