"""The documentation: its commands run as they are printed, its pages hold together and ask for no network."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

import dubber
from dubber import errors
from tests.conftest import REPOSITORY
from tests.synth import EXAMPLES

DOCS = REPOSITORY / "docs"
_RUN = re.compile(r"<!-- run -->\n```sh\n(.*?)```", re.DOTALL)
_REMOTE = re.compile(
    r"""<(?:script|img|source|iframe|video)[^>]*\bsrc=["']?https?:|<link[^>]*\bhref=["']?https?:"""
)

RUN_PAGES = sorted(
    path.relative_to(DOCS).as_posix()
    for path in DOCS.rglob("*.md")
    if _RUN.search(path.read_text(encoding="utf-8"))
)


@pytest.fixture(scope="module")
def cache(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """All pages speak of one video; it is tracked once."""
    return tmp_path_factory.mktemp("cache")


@pytest.mark.slow
@pytest.mark.parametrize("page", RUN_PAGES)
def test_commands_run_as_they_are_printed(page: str, tmp_path: Path, cache: Path) -> None:
    """From the first to the last, in a folder with the files that the pages speak of."""
    for name in ("speaker.mp4", "line.wav", "own_renderer.py"):
        shutil.copy(EXAMPLES / name, tmp_path)
    commands = "".join(_RUN.findall((DOCS / page).read_text(encoding="utf-8")))
    before = set(tmp_path.iterdir())
    environment = {
        **os.environ,
        "DUBBER_CACHE": str(cache),
        "PATH": os.pathsep.join([str(Path(sys.executable).parent), os.environ["PATH"]]),
    }
    done = subprocess.run(
        ["bash", "-eu", "-c", commands],
        cwd=tmp_path,
        env=environment,
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    for name in re.findall(r"(?:-o|--report|--side-by-side) (\S+)", commands):
        assert (tmp_path / name).exists(), name
    assert set(tmp_path.iterdir()) > before


@pytest.mark.slow
def test_pages_hold_together_and_ask_for_no_network(tmp_path: Path) -> None:
    """Links, anchors and names are checked by the builder."""
    pytest.importorskip("mkdocs")
    pytest.importorskip("material")
    pytest.importorskip("mkdocstrings")
    command = [sys.executable, "-m", "mkdocs", "build", "--strict", "--quiet", "-d", str(tmp_path / "site")]
    done = subprocess.run(command, cwd=REPOSITORY, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    pages = list((tmp_path / "site").rglob("*.html"))
    assert len(pages) > len(RUN_PAGES)
    remote = {
        page.name: found for page in pages if (found := _REMOTE.findall(page.read_text(encoding="utf-8")))
    }
    assert not remote
    styles = [path.read_text(encoding="utf-8") for path in (tmp_path / "site").rglob("*.css")]
    assert styles
    assert not any(re.search(r"url\(['\"]?https?:", text) for text in styles)


def test_every_page_is_found_in_the_contents() -> None:
    contents = (REPOSITORY / "mkdocs.yml").read_text(encoding="utf-8")
    pages = sorted(path.relative_to(DOCS).as_posix() for path in DOCS.rglob("*.md"))
    assert sorted(re.findall(r": (\S+\.md)\n", contents)) == pages  # each once


def test_every_name_of_the_api_has_its_place() -> None:
    described = (DOCS / "reference" / "api.md").read_text(encoding="utf-8")
    places = {place.rpartition(".")[2] for place in re.findall(r"^::: (\S+)$", described, re.MULTILINE)}
    assert set(dubber.__all__) - {"__version__", "DubberError"} <= places  # that is among the errors


def test_every_exit_code_is_listed() -> None:
    table = (DOCS / "reference" / "exit_codes.md").read_text(encoding="utf-8")
    kinds = [
        each
        for each in vars(errors).values()
        if isinstance(each, type) and issubclass(each, errors.DubberError)
    ]
    codes = {each.exit_code: each.__name__ for each in kinds if "exit_code" in vars(each)}
    del codes[errors.DubberError.exit_code]
    codes[errors.StageError.exit_code] = errors.StageError.__name__
    for code, name in codes.items():
        assert re.search(rf"^\| {code} \|.*`{name}`", table, re.MULTILINE), (code, name)
    assert f"| {errors.EXIT_INTERRUPTED} |" in table
