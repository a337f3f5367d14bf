"""`dubber export` and `dubber import` on a film of two people."""

from __future__ import annotations

import csv
import json
from pathlib import Path

import numpy as np
import pytest

from dubber.curves.table import read_table
from tests.cli.command import Called, dubber
from tests.synth import make_clip, talking_sound, write_wav
from tests.traps.make import ffmpeg

NUM_FRAMES = 20


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """`film.mp4`, two people side by side, a voice for each, and `curves.csv` of both."""
    folder = tmp_path_factory.mktemp("film")
    left = make_clip(folder / "left.mp4", num_frames=NUM_FRAMES).path
    right = make_clip(folder / "right.mp4", num_frames=NUM_FRAMES, seed=5, cut_at=0).path
    ffmpeg(
        "-i",
        left,
        "-i",
        right,
        "-filter_complex",
        "hstack",
        "-map",
        "0:a",
        "-c:a",
        "copy",
        folder / "film.mp4",
    )
    for seed, name in ((3, "first.wav"), (4, "second.wav")):
        write_wav(folder / name, talking_sound(NUM_FRAMES / 25, seed=seed))
    exported = command(folder, "export", "curves", folder / "film.mp4", "-o", folder / "curves.csv", "--json")
    assert (exported.returncode, json.loads(exported.stdout)["rows"]) == (0, 2 * NUM_FRAMES), exported.stderr
    return folder


def command(folder: Path, *arguments: str | Path) -> Called:
    speakers = (f"--speaker=1={folder / 'first.wav'}", f"--speaker=2={folder / 'second.wav'}")
    return dubber(*arguments, *speakers, "--cache", folder / "cache")


def imported(folder: Path, table: str, *options: str | Path) -> Called:
    path = folder / "edited.csv"
    path.write_text(table)
    return command(folder, "import", "curves", path, folder / "film.mp4", *options)


def test_each_speaker_has_rows_and_the_footage_stands_in_the_first_one_s(folder: Path) -> None:
    table = read_table(folder / "curves.csv")
    np.testing.assert_array_equal(table.cells("speaker"), np.repeat([1, 2], NUM_FRAMES))
    np.testing.assert_array_equal(table.cells("source_frame")[:NUM_FRAMES], np.arange(NUM_FRAMES))
    assert np.isnan(table.cells("source_frame")[NUM_FRAMES:]).all()
    first, second = table.cells("mouth_opening").reshape(2, -1)
    assert np.abs(first - second).max() > 0.02  # they do not say the same


def test_what_one_speaker_s_rows_change_is_told_before_the_work(folder: Path) -> None:
    called = imported(folder, "frame;speaker;mouth_opening\n4;2;0,5\n5;2;0,5\n", "--dry-run", "--json")
    document = json.loads(called.stdout)
    assert [(each["what"], each["frames"], each["ranges"]) for each in document["changed"]] == [
        ("mouth of speaker 1", 0, []),
        ("mouth of speaker 2", 2, [[4, 5]]),
        ("footage", 0, []),
    ]
    assert "result" not in document
    assert "mouth of speaker 2: 2 frames change (4-5)" in called.stderr
    assert not (folder / "film.dubbed.mp4").exists()


def test_an_edited_line_is_made_into_a_video(folder: Path) -> None:
    output = folder / "out.mp4"
    called = imported(
        folder, "frame,speaker,mouth_opening\n4,1,0.4\n", "-o", output, "--renderer", "copy", "--json"
    )
    assert called.returncode == 0, called.stderr
    result = json.loads(called.stdout)["result"]
    assert (result["output"], result["frames"]) == (str(output), NUM_FRAMES)
    # The dub itself says what the curves ask for that the footage does not show.
    assert any("mouth of speaker 1 opens to 0.40" in warning for warning in result["warnings"])
    assert output.exists()


def test_the_files_are_looked_at_first_as_before_a_run(folder: Path, tmp_path: Path) -> None:
    table, voice = tmp_path / "edited.csv", write_wav(tmp_path / "long.wav", talking_sound(2.5, seed=3))
    table.write_text("frame,mouth_opening\n4,0.1\n")
    asked = ("import", "curves", table, folder / "film.mp4", voice, "--length", "cut_off", "--strict")
    called = dubber(*asked, "--cache", tmp_path / "cache", "-o", tmp_path / "out.mp4")
    assert called.returncode == 2
    assert "The last 1.7 s of the speech will be cut off" in " ".join(called.stderr.split())
    assert "demux" not in called.stderr  # before any work


@pytest.mark.parametrize(
    ("table", "told"),
    [
        ("frame,speaker,mouth_opening\n4,3,0.4\n", "row 2, column speaker: there is no speaker 3"),
        ("frame,speaker,source_frame\n4,2,1\n", "row 2, column source_frame: the footage is all speakers'"),
        ("frame,speaker,source_frame\n4,1,20\n", "row 2, column source_frame: 20 is none; allowed: 0 to 19"),
        ("frame,mouth_opening\n20,0.1\n", "row 2, column frame: 20 is behind the dub's end"),
    ],
)
def test_wrong_rows_end_it_with_exit_code_2(folder: Path, table: str, told: str) -> None:
    called = imported(folder, table, "--dry-run")
    assert called.returncode == 2
    assert told in " ".join(called.stderr.split())


def test_curves_are_an_input_that_is_never_written_over(folder: Path) -> None:
    called = command(folder, "export", "curves", folder / "film.mp4", "-o", folder / "curves.csv")
    assert called.returncode == 9
    assert read_table(folder / "curves.csv").rows_R.size == 2 * NUM_FRAMES


def test_each_speaker_s_blendshapes_are_a_file(folder: Path) -> None:
    called = command(
        folder, "export", "blendshapes", folder / "film.mp4", "-o", folder / "face.csv", "--json"
    )
    files = [folder / "face.csv", folder / "face.speaker_2.csv"]
    assert json.loads(called.stdout)["outputs"] == [str(file) for file in files]
    rows = [list(csv.DictReader(file.read_text().splitlines())) for file in files]
    assert [len(each) for each in rows] == [NUM_FRAMES, NUM_FRAMES]
    assert rows[0] != rows[1]
