"""Scripts: who says what when, from options and from files."""

from __future__ import annotations

import json
import math
from pathlib import Path

import pytest

from dubber.errors import ConfigError
from dubber.script import Line, in_range, of_speakers, read_script, whole


def test_one_recording_for_one_person(tmp_path: Path) -> None:
    script = whole(tmp_path / "a.wav")
    assert script.is_one_recording
    assert (script.num_speakers, script.speakers) == (1, ())
    assert script.resolved([3.5]).lines == (Line(0, 0, 0.0, 3.5),)


def test_a_range_lasts_as_long_as_its_recording_at_most(tmp_path: Path) -> None:
    script = in_range(tmp_path / "a.wav", 10.0, None)
    assert script.keeps_rest
    assert not script.is_one_recording
    assert script.resolved([2.5]).lines == (Line(0, 0, 10.0, 12.5),)
    assert in_range(tmp_path / "a.wav", 10.0, 11.0).resolved([2.5]).lines == (Line(0, 0, 10.0, 11.0),)
    assert in_range(tmp_path / "a.wav", None, 1.0).resolved([2.5]).lines == (Line(0, 0, 0.0, 1.0),)


@pytest.mark.parametrize(("start_s", "end_s"), [(2.0, 2.0), (3.0, 2.0), (-1.0, 2.0), (math.nan, 2.0)])
def test_an_empty_range_is_refused(tmp_path: Path, start_s: float, end_s: float) -> None:
    with pytest.raises(ConfigError, match="nothing between"):
        in_range(tmp_path / "a.wav", start_s, end_s)


def test_several_speakers_with_a_recording_each(tmp_path: Path) -> None:
    script = of_speakers({"1": tmp_path / "a.wav", "longest": tmp_path / "b.wav"})
    assert script.speakers == ("1", "longest")
    assert script.resolved([1.0, 2.0]).lines == (Line(0, 0, 0.0, 1.0), Line(1, 1, 0.0, 2.0))
    assert script.lines_of(1) == (Line(1, 1),)
    assert not script.is_one_recording


TOML = """
[speakers]
anna = 2
ben = "640,360@1.5"
[[line]]
speaker = "ben"
start = 4.0
audio = "takes/ben.wav"
start_in_audio = 1.5
[[line]]
speaker = "anna"
start = 1.0
end = 2.0
audio = "anna.wav"
"""


@pytest.mark.parametrize("kind", ["toml", "json"])
def test_lines_with_their_own_audio(tmp_path: Path, kind: str) -> None:
    path = tmp_path / f"script.{kind}"
    document = {
        "speakers": {"anna": 2, "ben": "640,360@1.5"},
        "line": [
            {"speaker": "ben", "start": 4, "audio": "takes/ben.wav", "start_in_audio": 1.5},
            {"speaker": "anna", "start": 1, "end": 2, "audio": "anna.wav"},
        ],
    }
    path.write_text(TOML if kind == "toml" else json.dumps(document))
    script = read_script(path, None)
    assert script.speakers == ("2", "640,360@1.5")
    assert script.heard([9.0, 9.0]) == tuple(
        Line(0, *part) for part in ((0, 1.0, 2.0, 0.0), (1, 4.0, math.inf, 1.5))
    )
    assert script.voices == (tmp_path / "anna.wav", tmp_path / "takes" / "ben.wav")
    assert script.lines == (Line(0, 0, 1.0, 2.0, 0.0), Line(1, 1, 4.0, math.inf, 1.5))
    assert script.keeps_rest


def test_diarised_lines_of_one_recording(tmp_path: Path) -> None:
    path = tmp_path / "talk.rttm"
    path.write_text(
        ";; a comment\n"
        "SPKR-INFO talk 1 <NA> <NA> <NA> unknown 1 <NA> <NA>\n"
        "SPEAKER talk 1 0.50 1.25 <NA> <NA> 2 <NA> <NA>\n"
        "\n"
        "SPEAKER talk 1 2.00 0.50 <NA> <NA> 1 <NA> <NA>\n"
    )
    script = read_script(path, tmp_path / "talk.wav")
    assert script.lines == (Line(0, 0, 0.5, 1.75, 0.5), Line(1, 0, 2.0, 2.5, 2.0))
    assert script.speakers == ("2", "1")
    assert script.is_one_recording  # all of it is heard, as it is
    assert not script.keeps_rest


def test_names_of_diarised_speakers(tmp_path: Path) -> None:
    path = tmp_path / "talk.rttm"
    path.write_text(
        "SPEAKER t 1 0 1 - - SPEAKER_00 - -\nSPEAKER t 1 1 0 - - X - -\nSPEAKER t 1 2 1 - - B - -\n"
    )
    with pytest.raises(ConfigError, match="nobody known") as caught:
        read_script(path, tmp_path / "talk.wav")
    assert "--speaker SPEAKER_00=1" in caught.value.advice
    script = read_script(path, tmp_path / "talk.wav", {"SPEAKER_00": "2", "B": "longest"})
    assert script.speakers == ("2", "longest")  # the line without length is none


def test_a_named_line_is_heard_no_longer_than_it_lasts(tmp_path: Path) -> None:
    path = tmp_path / "s.toml"
    path.write_text('[[line]]\nstart = 0\nend = 2\naudio = "a.wav"')
    script = read_script(path, tmp_path / "all.wav").resolved([10.0, 8.0])
    assert script.heard([10.0, 8.0]) == (Line(0, 0, 0.0, 10.0), Line(0, 1, 0.0, 2.0))


def test_pictures_of_people_lie_in_the_script_s_folder(tmp_path: Path) -> None:
    path = tmp_path / "s.toml"
    path.write_text('[speakers]\nanna = "anna.jpg"\n[[line]]\nspeaker = "anna"\nstart = 0\naudio = "a.wav"')
    assert read_script(path, None).speakers == (str(tmp_path / "anna.jpg"),)
    path.write_text(
        '[speakers]\nanna = "../anna.jpg"\n[[line]]\nspeaker = "anna"\nstart = 0\naudio = "a.wav"'
    )
    with pytest.raises(ConfigError, match="outside"):
        read_script(path, None)


def test_one_recording_for_two_speakers_is_heard_once(tmp_path: Path) -> None:
    script = of_speakers({"1": tmp_path / "a.wav", "2": tmp_path / "a.wav"})
    assert script.voices == (tmp_path / "a.wav",)
    assert script.heard([3.0]) == (Line(0, 0, 0.0, 3.0),)


def test_a_line_behind_the_end_of_its_recording_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "s.toml"
    path.write_text('[[line]]\nstart = 0\naudio = "a.wav"\nstart_in_audio = 4')
    with pytest.raises(ConfigError, match=r"begins at 4 s of a recording of 3\.00 s"):
        read_script(path, None).resolved([3.0])


@pytest.mark.parametrize(
    ("name", "text", "says"),
    [
        ("a.toml", "[[line]\n", "no valid TOML"),
        ("a.json", "{", "no valid JSON"),
        ("a.json", "[" * 100_000, "no valid JSON"),
        ("a.json", "[]", "is wrong"),
        ("a.toml", "", "'line' is wrong"),
        ("a.toml", "line = []", "'line' is wrong"),
        ("a.toml", "[[line]]\nstart = -1", "'line.0.start' is wrong"),
        ("a.toml", "[[line]]\nstart = nan", "'line.0.start' is wrong"),
        ("a.toml", "[[line]]\nstart = 1e17", "'line.0.start' is wrong"),
        ("a.toml", "[[line]]\nstart = 1\nfoo = 2", "'line.0.foo' is wrong"),
        ("a.toml", "[[line]]\nstart = 2\nend = 1", "before it begins"),
        ("a.toml", "[[line]]\nstart = 2", "names no audio"),
        ("a.toml", '[[line]]\nstart = 2\naudio = "../a.wav"', "outside the script's folder"),
        ("a.toml", '[[line]]\nstart = 2\naudio = "/etc/passwd"', "outside the script's folder"),
        ("a.toml", '[[line]]\nstart = 2\naudio = "a\\u0000b"', "no file name"),
        ("a.rttm", "SPEAKER talk 1 x 1 <NA> <NA> 1", "no SPEAKER record"),
        ("a.rttm", "SPEAKER talk 1 0 1", "no SPEAKER record"),
        ("a.rttm", "SPEAKER talk 1 0 1 - - " + "x" * 9999, "nobody known"),
        ("a.toml", '[[line]]\nstart = 2\nspeaker = "a\\u0000.jpg"\naudio = "a.wav"', "nobody known"),
        ("a.rttm", "nothing", "'line' is wrong"),
        ("a.rttm", "SPEAKER talk 1 nan 1 <NA> <NA> 1", "'line.0.start' is wrong"),
    ],
)
def test_what_is_wrong_is_said_with_the_place(tmp_path: Path, name: str, text: str, says: str) -> None:
    path = tmp_path / name
    path.write_text(text)
    audio = tmp_path / "all.wav" if "nobody" in says else None
    with pytest.raises(ConfigError) as caught:
        read_script(path, audio)
    assert says in str(caught.value)
    assert name in caught.value.where
    assert caught.value.advice


def test_missing_binary_and_huge_scripts(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="cannot be read"):
        read_script(tmp_path / "none.toml", None)
    binary = tmp_path / "b.toml"
    binary.write_bytes(b"\xff\xfe\x00")
    with pytest.raises(ConfigError, match="UTF-8"):
        read_script(binary, None)
    huge = tmp_path / "h.toml"
    with huge.open("wb") as file:
        file.truncate(20_000_000)
    with pytest.raises(ConfigError, match="too large"):
        read_script(huge, None)


def test_links_out_of_the_folder_are_not_followed(tmp_path: Path) -> None:
    folder = tmp_path / "job"
    folder.mkdir()
    (tmp_path / "secret.wav").write_bytes(b"x")
    (folder / "link.wav").symlink_to(tmp_path / "secret.wav")
    (folder / "s.toml").write_text('[[line]]\nstart = 0\naudio = "link.wav"')
    with pytest.raises(ConfigError, match="outside"):
        read_script(folder / "s.toml", None)
