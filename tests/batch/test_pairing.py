"""Folders: what belongs together, by name."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from dubber.batch.pairing import DEFAULT_PATTERN, pair_folder
from dubber.errors import ConfigError


def _pairs(folder: Path, names: str, pattern: str = DEFAULT_PATTERN) -> dict[str, tuple[str, str, str]]:
    """Video, speech and implied language by output."""
    for name in names.split():
        (folder / name).parent.mkdir(exist_ok=True)
        (folder / name).touch()
    return {
        row.options["output"]: (
            Path(row.options["video"]).name,
            Path(row.options["audio"]).relative_to(folder).as_posix(),
            row.implied.get("audio_language", ""),
        )
        for row in pair_folder(folder, pattern).rows
    }


def test_one_video_has_as_much_speech_as_begins_with_its_name(tmp_path: Path) -> None:
    assert _pairs(tmp_path, "a.mp4 a.wav a.fr.flac a.pt-BR.wav a.take2.WAV b.webm b.wav c.mp4 d.wav") == {
        "a.mp4": ("a.mp4", "a.wav", ""),
        "a.fr.mp4": ("a.mp4", "a.fr.flac", "fra"),
        "a.pt-BR.mp4": ("a.mp4", "a.pt-BR.wav", "por"),
        "a.take2.mp4": ("a.mp4", "a.take2.WAV", ""),
        "b.mp4": ("b.webm", "b.wav", ""),
    }
    assert pair_folder(tmp_path).unpaired == ("c.mp4: no speech goes with it", "d.wav: no video goes with it")


def test_the_longest_name_that_fits_is_meant(tmp_path: Path) -> None:
    found = _pairs(tmp_path, "a.mp4 a.b.mp4 a.b.wav a.b.de.wav a.c.wav")
    assert {output: video for output, (video, _, _) in found.items()} == {
        "a.b.mp4": "a.b.mp4",
        "a.b.de.mp4": "a.b.mp4",
        "a.c.mp4": "a.mp4",
    }


def test_a_word_that_only_looks_like_a_language_marks_no_track(tmp_path: Path) -> None:
    found = _pairs(tmp_path, "a.mp4 a.mix.wav a.new.wav a.deu.wav")
    assert {output: language for output, (_, _, language) in found.items()} == {
        "a.mix.mp4": "",
        "a.new.mp4": "",
        "a.deu.mp4": "deu",
    }


@pytest.mark.parametrize(
    ("pattern", "names", "output", "language"),
    [
        ("{stem}_{lang}{suffix}", "my_film.mov my_film_it.wav", "my_film_it.mov", "ita"),
        ("{lang}/{stem}{suffix}", "a.mp4 fr/a.wav", "fr/a.mp4", "fra"),
        ("{stem}(v[.]{take}).wav", "a+b.mp4 a+b(v.2).wav", "a+b(v.2).mp4", ""),
        ("speech of {stem}{suffix}", "a.mp4", "", ""),
    ],
)
def test_a_pattern_says_what_names_look_like(
    tmp_path: Path, pattern: str, names: str, output: str, language: str
) -> None:
    found = _pairs(tmp_path, names, pattern)
    assert {key: value[2] for key, value in found.items()} == ({output: language} if output else {})


@pytest.mark.parametrize(
    ("pattern", "message"),
    [
        ("{stem}.{language}{suffix}", r"'\{language\}' is unknown.*Known: \{take\}, \{lang\}"),
        ("{lang}{suffix}", "does not tell which video"),
        ("{stem}{stem}", "stands twice"),
        ("{stem}[{suffix}", "bracket too many"),
    ],
)
def test_patterns_that_cannot_be_meant_are_refused(tmp_path: Path, pattern: str, message: str) -> None:
    (tmp_path / "a.mp4").touch()
    with pytest.raises(ConfigError, match=message):
        pair_folder(tmp_path, pattern)


def test_folders_that_cannot_be_meant_are_refused(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="no such folder"):
        pair_folder(tmp_path / "absent")
    for name in ("a.mp4", "a.mov"):
        (tmp_path / name).touch()
    with pytest.raises(ConfigError, match=r"Two videos are named 'a': a\.mov and a\.mp4"):
        pair_folder(tmp_path)


def test_a_name_that_is_no_text_is_told_and_stops_no_other(tmp_path: Path) -> None:
    for name in (b"caf\xe9.mp4", b"caf\xe9.wav", b"a.mp4", b"a.wav"):
        try:
            Path(os.fsdecode(os.fsencode(tmp_path) + b"/" + name)).touch()
        except OSError:
            pytest.skip("this file system takes no such names")
    rows = pair_folder(tmp_path)
    assert [row.where for row in rows.rows] == ["a.wav"]
    assert rows.unpaired[0] == r"b'caf\xe9.mp4': its name is not valid UTF-8; rename it"


def test_results_below_the_folder_are_no_inputs(tmp_path: Path) -> None:
    for name in ("a.mp4", "fr/a.wav", "out/fr/a.mp4"):
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).touch()
    rows = pair_folder(tmp_path, "{lang}/{stem}{suffix}", results=tmp_path / "out")
    assert [row.options["output"] for row in rows.rows] == ["fr/a.mp4"]
    assert rows.unpaired == ()


def test_a_folder_that_goes_while_it_is_read_is_no_bug(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(_: Path) -> None:
        raise FileNotFoundError(2, "No such file or directory")

    monkeypatch.setattr(Path, "iterdir", fail)
    with pytest.raises(ConfigError, match="cannot be read"):
        pair_folder(tmp_path)
