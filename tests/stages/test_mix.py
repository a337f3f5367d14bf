from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import soundfile
from pydantic import ValidationError

from dubber.engine.stage import StageContext
from dubber.errors import ConfigError
from dubber.media.probe import probe
from dubber.stages.mix import Line, Mix, MixParams
from dubber.types import SourceFile
from tests.media.clips import write_talk, write_tone
from tests.stages.test_remux import timeline_of


@pytest.fixture
def talk(tmp_path: Path) -> SourceFile:
    return SourceFile(
        write_talk(tmp_path / "talk.mp4", tmp_path, picture_s=0.0, sound_s=0.0, onset_s=0.0), "0"
    )


def test_lines_the_own_sound_and_a_bed(context: StageContext, talk: SourceFile, tmp_path: Path) -> None:
    clip = probe(talk.path)
    bed, voice = (SourceFile(write_tone(tmp_path / name, 1.0, 48000, 2), "0") for name in ("b.wav", "v.wav"))
    params = MixParams(
        lines=(Line(voice_index=0, at_s=0.25, from_s=0.0, until_s=0.5),),
        keeps_own=True,
        ranges=((0.25, 0.75),),
        has_bed=True,
        bed_gain_db=-20,
    )
    sound = Mix(params).run(context, timeline_of(clip), talk, bed, voice)
    assert (sound.sample_rate_hz, sound.num_channels, sound.gain_db) == (48000, 2, 0)
    assert sound.duration_s == pytest.approx(clip.duration_s)
    samples, _ = soundfile.read(sound.file.path)
    assert len(samples) == round(sound.duration_s * 48000)
    assert [path.name for path in context.entry_dir.iterdir()] == ["mix.wav"]
    without = Mix(params.model_copy(update={"keeps_own": False}))
    alone, _ = soundfile.read(without.run(context, timeline_of(clip), talk, bed, voice).file.path)
    begin = slice(0, 9600)
    assert np.abs(samples[begin]).max() > 5 * np.abs(alone[begin]).max()


def test_what_cannot_be_meant(context: StageContext, talk: SourceFile) -> None:
    timeline = timeline_of(probe(talk.path))
    with pytest.raises(ConfigError, match="voice 1 of 1"):
        Mix(MixParams(lines=(Line(voice_index=1, at_s=0, until_s=1),))).run(context, timeline, talk, talk)
    timeline.source_index_N[:] = -1
    with pytest.raises(ConfigError, match="own sound"):
        Mix(MixParams(keeps_own=True)).run(context, timeline, talk)
    with pytest.raises(ValidationError, match="end after"):
        Line(voice_index=0, at_s=0, from_s=2, until_s=1)
