"""Jobs files: rows with their places, whatever the form."""

from __future__ import annotations

from pathlib import Path

import pytest

from dubber.batch.readers import read_jobs
from dubber.errors import ConfigError

TOML = """
[defaults]
crf = 15
remux.audio_track = "add"

[[job]]
video = "talk.mp4"
audio = "fr.wav"
render.renderer = "copy"

[[job]]
video = "talk.mp4"
speaker = ["anna=1", "ben=2"]
"""
CSV = "video, audio, render.renderer\ntalk.mp4, fr.wav, copy\n\n, , \n"
JSONL = '{"video": "talk.mp4", "audio": "fr.wav", "crf": null, "render": {"renderer": "copy"}}\n\n'


def test_rows_are_the_same_in_every_form(tmp_path: Path) -> None:
    expected = {"video": "talk.mp4", "audio": "fr.wav", "render.renderer": "copy"}
    for name, text in (("jobs.toml", TOML), ("jobs.csv", "\ufeff" + CSV), ("jobs.jsonl", JSONL)):
        (tmp_path / name).write_text(text, encoding="utf-8")
        rows = read_jobs(tmp_path / name)
        assert rows.rows[0].options == expected
        assert rows.rows[0].folder == tmp_path
    assert len(read_jobs(tmp_path / "jobs.csv").rows) == 1
    toml = read_jobs(tmp_path / "jobs.toml")
    assert toml.defaults == {"crf": 15, "remux.audio_track": "add"}
    assert toml.rows[1].options["speaker"] == ["anna=1", "ben=2"]
    places = [read_jobs(tmp_path / f"jobs.{kind}").rows[0].where for kind in ("toml", "csv", "jsonl")]
    assert [place.rpartition(", ")[2] for place in places] == ["job 1", "line 2", "line 1"]


def test_spreadsheets_write_semicolons_and_tabs_too(tmp_path: Path) -> None:
    for delimiter in (";", "\t"):
        text = '\ufeffvideo,audio,label_text\r\ntalk.mp4,fr.wav,"Made, not filmed"\r\n'
        (tmp_path / "jobs.csv").write_text(text.replace(",", delimiter), encoding="utf-8", newline="")
        (row,) = read_jobs(tmp_path / "jobs.csv").rows
        made = f"Made{delimiter} not filmed"
        assert row.options == {"video": "talk.mp4", "audio": "fr.wav", "label_text": made}


def test_a_line_of_json_ends_where_json_says(tmp_path: Path) -> None:
    (tmp_path / "jobs.jsonl").write_text('{"video": "a\u2028b.mp4"}\r\n{"video": "c.mp4"}', encoding="utf-8")
    assert [row.options["video"] for row in read_jobs(tmp_path / "jobs.jsonl").rows] == [
        "a\u2028b.mp4",
        "c.mp4",
    ]


@pytest.mark.parametrize(
    ("name", "text", "message"),
    [
        (
            "jobs.toml",
            "[[jobs]]\nvideo = 'a'",
            r"no table 'jobs' in a jobs file\. Jobs are tables \[\[job\]\]",
        ),
        ("jobs.toml", "[[job]\n", "no valid TOML"),
        ("jobs.toml", "job = 3", r"Jobs are tables \[\[job\]\]"),
        ("jobs.toml", "", "no jobs in it"),
        ("jobs.csv", "video,video\na,b\n", "line 1: Its first line names the options, each once"),
        ("jobs.csv", "video,audio\na,b,c\n", "line 2: It has more fields than the first line"),
        ("jobs.csv", f"video,audio\na,{'b' * 200_000}\n", "no valid CSV: field larger"),
        ("jobs.csv", "video,audio\na\0b,c\n", "NUL"),
        ("jobs.jsonl", '{"video": "a\\u0000b"}', "line 1: 'video' holds a NUL"),
        ("jobs.jsonl", '{"video": "a"}\n{"video": \n', "line 2: This is no valid JSON"),
        ("jobs.jsonl", "[1]\n", "line 1: This is no table of options"),
        ("jobs.txt", "a", "neither a folder nor a jobs file.*\\.toml, \\.csv, \\.jsonl"),
    ],
)
def test_what_is_no_jobs_file_is_refused_with_its_place(
    tmp_path: Path, name: str, text: str, message: str
) -> None:
    (tmp_path / name).write_text(text)
    with pytest.raises(ConfigError, match=message):
        read_jobs(tmp_path / name)


def test_a_missing_file_and_one_that_is_no_text_are_refused(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="cannot be read"):
        read_jobs(tmp_path / "jobs.csv")
    (tmp_path / "jobs.csv").write_bytes(b"\xff\xfe\x00")
    with pytest.raises(ConfigError, match="no text in UTF-8"):
        read_jobs(tmp_path / "jobs.csv")
