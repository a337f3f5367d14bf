"""A report of a whole dub: what the page holds, and where its film goes."""

from __future__ import annotations

import base64
import json
import re
from pathlib import Path
from urllib.parse import unquote

import pytest

from dubber import __version__
from dubber.errors import ConfigError, DubberError, OutputExistsError, OutputFolderError
from dubber.media.probe import probe
from dubber.report import check_report, compose, write
from dubber.report.summary import read_summary
from tests.report.conftest import FACELESS, HOSTILE_NAME, Finished

MOST_PAGE_BYTES = 3_000_000


def film_of(page: Path) -> Path:
    """The film of a page, as a file."""
    address = re.search(r'<video id="film" src="([^"]*)"', page.read_text(encoding="utf-8"))
    assert address is not None
    if not address[1].startswith("data:video/mp4;base64,"):
        return page.parent / unquote(address[1])
    film = page.with_suffix(".film.mp4")
    film.write_bytes(base64.b64decode(address[1].partition(",")[2], validate=True))
    return film


def film_data(page: Path) -> dict[str, object]:
    found = re.search(r'id="film-data">(.*?)</script>', page.read_text(encoding="utf-8"))
    assert found is not None
    document: dict[str, object] = json.loads(found[1])
    return document


def test_the_page_says_what_was_done(finished: Finished) -> None:
    page = finished.page.read_text(encoding="utf-8")
    assert __version__ in page and "renderer_" not in page  # the copy renderer reads no weights
    assert "<td><bdi>copy</bdi></td>" in page  # a setting that is not the default
    assert finished.clip.path.name in page and "line.wav" in page
    assert re.search(r'data-seek="0\.6\d+"[^>]*>0:00.64 to 0:01.04</button>', page)
    assert "left as it was: no face" in page
    assert page.count("<bdi>&lt;img src=x") == 1 and "<img src=x" not in page
    assert "http" not in re.sub(r"https?-equiv|http-equiv", "", page)


def test_the_film_has_both_halves_and_the_dubs_times(finished: Finished) -> None:
    film, data = probe(film_of(finished.page)), film_data(finished.page)
    (height, width), (below, _) = data["half"], data["closeUp"]  # type: ignore[misc]
    assert (height, width) == (240, 240)
    assert film.size == (height + below, 2 * width)
    assert film.num_frames == 40 and film.has_audio
    assert (film.codec, film.pixel_format) == ("h264", "yuv420p")
    assert film.duration_s == pytest.approx(1.6, abs=1e-3)


def test_states_are_told_frame_by_frame(finished: Finished) -> None:
    [states] = film_data(finished.page)["states"]  # type: ignore[misc]
    assert states[0][0] == 0 and states[-1][1] == 40
    passed = [(start, stop) for start, stop, words in states if words == "passed through (no face)"]
    assert passed == [(FACELESS.start, FACELESS.stop)]
    assert "dubbed" in {words for *_, words in states}


def test_an_index_can_read_the_page(finished: Finished) -> None:
    summary = read_summary(finished.page)
    assert summary is not None and summary.name == HOSTILE_NAME
    assert summary.warnings == ("Said <once>.",)
    assert summary.thumbnail.startswith(b"\xff\xd8") and summary.duration_s == pytest.approx(1.6)


def test_a_page_is_not_replaced_unless_told(finished: Finished, tmp_path: Path) -> None:
    page = tmp_path / "mine.html"
    page.write_text("mine")
    with pytest.raises(OutputExistsError):
        finished.write(page)
    assert page.read_text() == "mine" and list(tmp_path.iterdir()) == [page]


def test_a_large_film_lies_beside_the_page(
    finished: Finished, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    page, folder = tmp_path / "a #1 %2.html", tmp_path / "a #1 %2_media"
    folder.mkdir()
    (folder / "mine.mp4").write_bytes(b"mine")
    (folder / f"{'0' * 16}.mp4").write_bytes(b"of an earlier page")
    with monkeypatch.context() as patch:
        patch.setattr(write, "MOST_EMBEDDED_BYTES", 0)
        finished.write(page)
    film = film_of(page)
    assert film.parent == folder and probe(film).num_frames == 40
    assert page.stat().st_size <= MOST_PAGE_BYTES
    kinds = sorted(file.suffix for file in folder.iterdir())
    assert kinds == [".m4a", ".mp4", ".mp4"]  # the source's sound, the film, and what is the user's
    finished.write(page, is_overwrite=True)  # small again
    assert [file.name for file in folder.iterdir()] == ["mine.mp4"]


def test_a_failure_leaves_nothing(
    finished: Finished, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(*_: object) -> None:
        raise DubberError("broken")

    monkeypatch.setattr(compose, "coverage", fail)
    with pytest.raises(DubberError, match="broken"):
        finished.write(tmp_path / "page.html")
    assert list(tmp_path.iterdir()) == []


def test_names_are_checked_before_the_work(tmp_path: Path) -> None:
    check_report(tmp_path / "page.HTML", is_overwrite=False)
    with pytest.raises(ConfigError, match="HTML"):
        check_report(tmp_path / "page.pdf", is_overwrite=True)
    check_report(tmp_path / "absent" / "page.html", is_overwrite=False)
    assert (tmp_path / "absent").is_dir()  # as the dub's own folder is made
    (tmp_path / "file").write_text("mine")
    with pytest.raises(OutputFolderError):
        check_report(tmp_path / "file" / "page.html", is_overwrite=True)
    (tmp_path / "folder.html").mkdir()
    with pytest.raises(OutputFolderError):
        check_report(tmp_path / "folder.html", is_overwrite=True)
