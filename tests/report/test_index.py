"""The page about a batch."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from dubber.errors import OutputFolderError
from dubber.report import IndexEntry, write_index
from dubber.report.html import data_block
from dubber.report.summary import SUMMARY, Summary, read_summary, summary_document
from tests.report.conftest import HOSTILE_NAME

SUMMARY_OF_ONE = Summary(
    "one",
    12.5,
    (("sync", "good", "It follows <closely>."), ("seam", "poor", "A rim.")),
    b"\xff\xd8x",
    ("A <b>warning</b>.", "Left as it was."),
)


def write_page(folder: Path, name: str = "one #1.html") -> Path:
    page = folder / name
    page.write_text(f"<p>{data_block(SUMMARY, summary_document(SUMMARY_OF_ONE))}</p>", encoding="utf-8")
    return page


def test_a_summary_is_read_back_from_its_page(tmp_path: Path) -> None:
    assert read_summary(write_page(tmp_path)) == SUMMARY_OF_ONE


@pytest.mark.parametrize(
    "text",
    ["", "no page", f'<script type="application/json" id="{SUMMARY}">[]</script>', "\ufffd"],
)
def test_other_files_have_no_summary(tmp_path: Path, text: str) -> None:
    page = tmp_path / "other.html"
    page.write_text(text, encoding="utf-8")
    assert read_summary(page) is None
    page.write_bytes(b"\xff\xfe\x00")
    assert read_summary(page) is None
    assert read_summary(tmp_path / "absent.html") is None


def test_each_dub_has_its_row(tmp_path: Path) -> None:
    (tmp_path / "out").mkdir()
    done = IndexEntry(
        "one",
        "done",
        tmp_path / "out" / "é 1.mp4",
        write_page(tmp_path),
        ("A <b>warning</b>.",),
        seconds=61.4,
    )
    failed = IndexEntry(HOSTILE_NAME, "failed", error="x.mp4: There is <no> video.")
    index = tmp_path / "index.html"
    write_index([done, failed], index, title="Night")
    page = index.read_text(encoding="utf-8")
    rows = re.findall(r"<tr data-kinds=.*?</tr>", page)
    assert len(rows) == 2
    assert 'data-kinds="done warned"' in rows[0] and 'data-kinds="failed"' in rows[1]
    assert 'href="./one%20%231.html"' in rows[0] and 'href="./out/%C3%A9%201.mp4"' in rows[0]
    assert "1 good" in rows[0] and "seam: poor" in rows[0] and "0:12.50" in rows[0]
    assert "2 warnings" in rows[0] and "Left as it was." in rows[0]  # one of them is the page's alone
    assert "A &lt;b&gt;warning&lt;/b&gt;." in rows[0] and "There is &lt;no&gt; video." in rows[1]
    assert "2 dubs · 1 done · 1 failed" in page
    assert "<img src=x" not in page


def test_an_index_is_replaced_and_an_empty_one_is_a_page(tmp_path: Path) -> None:
    index = tmp_path / "index.html"
    write_index([], index)
    before = index.read_text(encoding="utf-8")
    write_index([IndexEntry("a", "done")], index)
    assert "0 dubs" in before and "1 dubs" not in before
    assert "1 dub " in index.read_text(encoding="utf-8")


def test_a_folder_that_is_not_there(tmp_path: Path) -> None:
    with pytest.raises(OutputFolderError):
        write_index([], tmp_path / "absent" / "index.html")
