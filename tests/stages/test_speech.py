from __future__ import annotations

from pathlib import Path

import pytest
import soundfile

from dubber.engine.stage import StageContext
from dubber.errors import MediaError
from dubber.media.audio import read_speech
from dubber.stages.speech import ExtractSpeech
from dubber.types import SourceFile
from tests.media.clips import write_clip, write_tone


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
