"""Work is refused before it begins where the disk has no room for it."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest

from dubber.engine import disk
from dubber.engine.disk import check_space, free_bytes
from dubber.errors import OutputFolderError


def test_what_goes_to_one_disk_is_added_up(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(disk, "free_bytes", lambda _: 1e9)
    there, new = tmp_path, tmp_path / "not" / "yet"
    check_space([(there, 600_000_000), (new, 300_000_000)])
    with pytest.raises(
        OutputFolderError, match=r"about 1\.2 GB will be written, and 1\.0 GB are free"
    ) as raised:
        check_space([(there, 600_000_000), (new, 600_000_000)])
    assert raised.value.where == str(new)
    assert "--cache" in raised.value.advice


def test_nothing_to_write_needs_no_room(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(disk, "free_bytes", lambda _: 0.0)
    check_space([(tmp_path, 0)])


def test_room_is_that_of_the_folder_that_will_be(tmp_path: Path) -> None:
    assert free_bytes(tmp_path / "a" / "b") == pytest.approx(shutil.disk_usage(tmp_path).free, rel=0.05)
