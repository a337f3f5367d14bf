"""Tables of curves as spreadsheets write them, and everything that can be wrong with one."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest

from dubber.curves.table import CurveTable, read_table, write_csv, write_json
from dubber.errors import ConfigError

NAMES = ("frame", "mouth_opening", "state", "expression_00")
ROWS = (("0", "0.1250", "dubbed", "-1.5000"), ("1", "", "no_face", "2.0000"))
FACTS = {"format": "dubber curves 1", "video": "a, b.mp4"}


def read(folder: Path, text: str | bytes, name: str = "edited.csv") -> CurveTable:
    path = folder / name
    path.write_bytes(text if isinstance(text, bytes) else text.encode())
    return read_table(path)


def check_values(table: CurveTable) -> None:
    assert table.facts == FACTS
    assert table.names == ("frame", "mouth_opening", "expression_00")  # what is not read is not there
    np.testing.assert_array_equal(table.cells("frame"), [0, 1])
    np.testing.assert_array_equal(table.cells("mouth_opening"), [0.125, np.nan])
    np.testing.assert_array_equal(table.cells("expression_00"), [-1.5, 2])
    assert np.isnan(table.cells("source_frame")).all()


@pytest.mark.parametrize("name", ["curves.csv", "curves.json"])
def test_what_was_written_is_read_back(tmp_path: Path, name: str) -> None:
    path = tmp_path / name
    (write_json if name.endswith("json") else write_csv)(path, FACTS, NAMES, ROWS)
    check_values(read_table(path))


GERMAN = (
    '# format;dubber curves 1;;\r\n# video;"a, b.mp4";;\r\n;;;\r\n'
    "frame;mouth_opening;state;expression_00\r\n0;0,125;dubbed;-1,5\r\n1;;no_face;2\r\n;;;\r\n"
)


@pytest.mark.parametrize(
    "text",
    [
        pytest.param(GERMAN.encode(), id="semicolons and decimal commas"),
        pytest.param(b"\xef\xbb\xbf" + GERMAN.encode(), id="byte order mark"),
        pytest.param(b"sep=;\r\n" + GERMAN.encode(), id="separator told"),
        pytest.param(GERMAN.replace(";", "\t").encode("utf-16"), id="tabs in UTF-16"),
        pytest.param(
            GERMAN.replace("a, b.mp4", "a, b.mp4").replace("no_face", "häßlich").encode("cp1252"),
            id="another encoding",
        ),
        pytest.param(GERMAN.replace("frame;", " Frame ;").encode(), id="blanks and capitals"),
    ],
)
def test_spreadsheets_of_other_countries_are_read(tmp_path: Path, text: bytes) -> None:
    check_values(read(tmp_path, text))


def test_notes_of_the_user_s_own_are_left_alone(tmp_path: Path) -> None:
    table = read(tmp_path, "frame,mouth_opening,#why\n3,0.5,too small before\n")
    assert table.names == ("frame", "mouth_opening")


def test_every_wrong_cell_is_named_with_what_is_allowed(tmp_path: Path) -> None:
    text = (
        "# a fact,\nframe,source_frame,is_halfway,mouth_opening,expression_00\n"
        "0,1.5,0,0.1,0\n"
        "1,4,2,wide,0\n"
        "2,-1,0,1.7,nan\n"
        "3,4,TRUE,0.1,1e400\n"
        "x,4,0,1_0,0\n"
    )
    with pytest.raises(ConfigError) as caught:
        read(tmp_path, text)
    message = caught.value.message
    for told in (
        "9 cells are wrong",
        "row 3, column source_frame: 1.5 is no whole number; allowed: a whole number from 0, or nothing",
        "row 4, column is_halfway: 2 is out of range; allowed: a whole number from 0 to 1, or nothing",
        "row 4, column mouth_opening: 'wide' is no number; allowed: a number from -0.2 to 1, or nothing",
        "row 5, column source_frame: -1 is out of range",
        "row 5, column mouth_opening: 1.7 is out of range",
        "row 5, column expression_00: 'nan' is no number; allowed: a number from -20 to 20, or nothing",
        "row 6, column expression_00: '1e400' is no number",
        "row 7, column frame: 'x' is no number",
        "row 7, column mouth_opening: '1_0' is no number",
    ):
        assert told in message


def test_many_wrong_cells_are_counted(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=r"40 cells are wrong(.|\n)*and 28 more"):
        read(tmp_path, "frame,mouth_opening\n" + "".join(f"{n},wide\n" for n in range(40)))


@pytest.mark.parametrize(
    ("name", "text", "told"),
    [
        ("a.txt", "", "CSV or JSON"),
        ("a.csv", "", "no table"),
        ("a.csv", "frame,mouth_openning\n1,0.1\n", "no column 'mouth_openning'"),
        ("a.csv", "frame,frame\n1,1\n", "twice"),
        ("a.csv", "frame,mouth_opening\n1,0,125\n", "more cells than columns"),
        ("a.csv", "# format,dubber curves 9\nframe\n1\n", "dubber curves 9"),
        ("a.csv", "# between_rows,maybe\nframe\n1\n", "'maybe'"),
        ("a.json", "{", "no valid JSON"),
        ("a.json", "[1, 2]", "no table"),
        ("a.json", '{"rows": [1]}', "no table"),
        ("a.json", '{"rows": [{"frame": [1]}]}', "no number"),
        ("a.json", '{"rows": [{"frame": NaN}]}', "no number"),
    ],
)
def test_what_is_no_table_is_told(tmp_path: Path, name: str, text: str, told: str) -> None:
    with pytest.raises(ConfigError, match=told):
        read(tmp_path, text, name)


def test_a_missing_file_is_told(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="cannot be read"):
        read_table(tmp_path / "none.csv")


def test_json_rows_may_say_as_little_as_they_like(tmp_path: Path) -> None:
    rows = [{"frame": 4, "mouth_opening": 0.2}, {"frame": 9, "is_halfway": True, "state": None}]
    table = read(tmp_path, json.dumps({"rows": rows}), "edited.json")
    np.testing.assert_array_equal(table.cells("mouth_opening"), [0.2, np.nan])
    np.testing.assert_array_equal(table.cells("is_halfway"), [np.nan, 1])
