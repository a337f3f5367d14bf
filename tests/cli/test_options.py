"""What the options about who says what come to."""

from __future__ import annotations

from pathlib import Path

import pytest

from dubber.cli.said import build_script, seconds
from dubber.errors import ConfigError
from dubber.script import Line

AUDIO = Path("line.wav")


@pytest.mark.parametrize(
    ("text", "wanted"),
    [(None, None), ("0", 0.0), ("62.5", 62.5), ("1:02.5", 62.5), ("1:00:02.5", 3602.5), ("0:0:7", 7.0)],
)
def test_times(text: str | None, wanted: float | None) -> None:
    assert seconds(text) == wanted


@pytest.mark.parametrize("text", ["", "x", "1:2:3:4", "-1", "1:-2", "nan", "inf", "1::2"])
def test_what_is_no_time(text: str) -> None:
    with pytest.raises(ConfigError, match="no time"):
        seconds(text)


def test_one_person() -> None:
    script, who = build_script(AUDIO, None, None, None, None, None)
    assert script.is_one_recording
    assert (script.voices, who) == ((AUDIO,), None)
    script, who = build_script(AUDIO, ["2"], None, None, None, Path("bed.wav"))
    assert (script.bed, who) == (Path("bed.wav"), "2")
    assert not script.is_one_recording


def test_one_person_in_a_range() -> None:
    script, who = build_script(AUDIO, ["longest"], None, "1:00", "1:02", None)
    assert script.lines == (Line(0, 0, 60.0, 62.0),)
    assert (script.keeps_rest, who) == (True, "longest")


def test_several_people() -> None:
    script, who = build_script(None, ["1=a.wav", "640,360@2.5=b=c.wav"], None, None, None, None)
    assert script.speakers == ("1", "640,360@2.5")
    assert script.voices == (Path("a.wav"), Path("b=c.wav"))
    assert who is None


def test_a_script(tmp_path: Path) -> None:
    path = tmp_path / "s.rttm"
    path.write_text("SPEAKER f 1 0 1 <NA> <NA> 2 <NA> <NA>\n")
    script, who = build_script(AUDIO, None, path, None, None, None)
    assert (script.speakers, who) == (("2",), None)
    script, _ = build_script(AUDIO, ["2=longest"], path, None, None, None)
    assert script.speakers == ("longest",)


@pytest.mark.parametrize(
    ("audio", "speakers", "script", "start", "says"),
    [
        (None, None, None, None, "no speech"),
        (AUDIO, ["1", "2"], None, None, "each needs speech"),
        (None, ["1=a.wav", "2"], None, None, "each needs speech"),
        (None, ["1=a.wav", "1=b.wav"], None, None, "each needs speech"),
        (AUDIO, ["1=a.wav"], None, None, "speech for each speaker too"),
        (None, ["=a.wav"], None, None, "not of the form"),
        (None, ["1="], None, None, "not of the form"),
        (None, ["1=a.wav"], None, "2", "exclude each other"),
        (AUDIO, None, Path("s.toml"), "2", "exclude each other"),
        (AUDIO, ["1"], Path("s.toml"), None, "of the form NAME=WHO"),
        (AUDIO, None, None, "1e9", "no time"),
    ],
)
def test_what_cannot_be_meant(
    audio: Path | None, speakers: list[str] | None, script: Path | None, start: str | None, says: str
) -> None:
    with pytest.raises(ConfigError, match=says) as caught:
        build_script(audio, speakers, script, start, None, None)
    assert caught.value.advice
