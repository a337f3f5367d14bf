"""Folders on file systems of all kinds: lost connections, secrets in URLs, and what cannot be used."""

from __future__ import annotations

import uuid
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from dubber.engine import remote_system
from dubber.engine.key import file_sha256
from dubber.engine.remote import RemoteFolder
from dubber.engine.shared_store import SharedStore
from dubber.engine.store import Store
from dubber.errors import SharedStoreError

fsspec = pytest.importorskip("fsspec")

from fsspec.implementations.memory import MemoryFileSystem  # noqa: E402 - its package may be absent


class Shaky(MemoryFileSystem):  # type: ignore[misc]
    """Memory behind a connection: an instance that has lost it never finds it again."""

    protocol = "shaky"
    opened = 0
    cuts: list[str] = []
    renames = True
    tears = False

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        type(self).opened += 1
        self.is_cut = False

    def _ask(self, name: str) -> None:
        self.is_cut = self.is_cut or name in self.cuts
        if name in self.cuts:
            self.cuts.remove(name)
        if self.is_cut:
            raise OSError("Socket is closed")

    def info(self, path: str, **kwargs: Any) -> Any:
        self._ask("info")
        return super().info(path, **kwargs)

    def ls(self, path: str, detail: bool = True, **kwargs: Any) -> Any:
        self._ask("ls")
        return super().ls(path, detail=detail, **kwargs)

    def pipe_file(self, path: str, value: bytes, **kwargs: Any) -> None:
        self._ask("pipe_file")
        super().pipe_file(path, value, **kwargs)

    def mv(self, path1: str, path2: str, **kwargs: Any) -> None:
        self._ask("mv")
        if self.tears:
            self.pipe_file(path2, self.cat_file(path1)[:1])
        if not self.renames or self.tears or self.exists(path2):
            raise OSError("Failure")
        super().mv(path1, path2, **kwargs)


@pytest.fixture
def shaky(monkeypatch: pytest.MonkeyPatch) -> Iterator[RemoteFolder]:
    fsspec.register_implementation("shaky", Shaky, clobber=True)
    monkeypatch.setattr(remote_system, "_WAITS_S", (0.0, 0.0))
    for name, value in {"opened": 0, "cuts": [], "renames": True, "tears": False}.items():
        monkeypatch.setattr(Shaky, name, value)
    yield RemoteFolder(f"shaky://{uuid.uuid4().hex}")


@pytest.mark.parametrize("at", ["pipe_file", "mv", "info", "ls"])
def test_a_lost_connection_is_opened_again(shaky: RemoteFolder, at: str, tmp_path: Path) -> None:
    (tmp_path / "two").write_bytes(b"22")
    shaky.write("a/one", b"1")
    Shaky.cuts.append(at)
    shaky.write("a/two", b"22")
    assert shaky.put(tmp_path / "two", "a/two") == 0
    assert {name: size for name, (size, _) in shaky.files("a").items()} == {"a/one": 1, "a/two": 2}
    assert not Shaky.cuts
    assert Shaky.opened == 2
    assert shaky._can_rename


def test_who_cannot_list_removes_nothing(shaky: RemoteFolder, tmp_path: Path) -> None:
    """An empty list of entries would make all files nobody's."""
    shared, store, key = SharedStore(shaky.url), Store(tmp_path), "ab" * 32
    with store.writing(key, {"stage": "toy"}) as writer:
        (writer.folder / "one").write_bytes(b"1")
    shared.push(store, key)
    Shaky.cuts += ["ls"] * 3
    with pytest.raises(SharedStoreError, match="Socket is closed"):
        shared.prune(10)
    assert shared.prune(10) == []
    assert shared.pull(Store(tmp_path / "there"), key) == 1


def test_a_name_that_is_taken_is_no_failure(shaky: RemoteFolder) -> None:
    shaky.write("a/one", b"1")
    shaky.write("a/one", b"1")
    assert shaky.read("a/one") == b"1"
    assert not shaky.files("parts")


def test_a_server_that_renames_nothing_gets_files_in_place(
    shaky: RemoteFolder, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(Shaky, "renames", False)
    shaky.check()
    shaky.write("a/one", b"1")
    assert shaky.read("a/one") == b"1"
    assert not shaky.files("parts")


def test_what_a_copying_rename_tore_is_not_taken_for_whole(
    shaky: RemoteFolder, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(Shaky, "tears", True)
    shaky.write("a/one", b"whole")
    assert shaky.read("a/one") == b"whole"


def test_an_upload_in_place_that_was_killed_is_done_again(shaky: RemoteFolder, tmp_path: Path) -> None:
    shared, path = SharedStore(shaky.url), tmp_path / "film.mp4"
    path.write_bytes(b"film")
    sha256 = file_sha256(path)
    shaky.write(f"objects/{sha256[:2]}/{sha256}", b"fi")
    assert shared.push_input(path, sha256) == 4
    assert shared.pull_input(Store(tmp_path / "there"), sha256)[0].read_bytes() == b"film"


def test_a_file_that_is_gone_is_named(shaky: RemoteFolder, tmp_path: Path) -> None:
    with pytest.raises(SharedStoreError, match=r"gone\.mp4: It cannot be sent \(No such file"):
        shaky.put(tmp_path / "gone.mp4", "a/one")


def test_a_folder_is_tried_before_work_begins(tmp_path: Path) -> None:
    RemoteFolder(str(tmp_path / "new")).check()
    assert not [path for path in tmp_path.rglob("*") if path.is_file()]
    (tmp_path / "file").write_text("no folder")
    with pytest.raises(SharedStoreError, match="cannot be written"):
        RemoteFolder(str(tmp_path / "file/below")).check()


def test_cleared_folders_are_gone(tmp_path: Path) -> None:
    folder = RemoteFolder(str(tmp_path))
    folder.write("parcels/one/file", b"1")
    folder.clear("parcels/one")
    folder.clear("parcels/never")
    assert not list((tmp_path / "parcels").iterdir())


@pytest.mark.parametrize(
    ("url", "says"),
    [
        ("memory://x", "Only one process"),
        ("https://example.org/x", "can only be read"),
        ("s3://KEY:pa/ss@bucket/x", "Keys do not go"),
    ],
)
def test_what_cannot_be_shared_is_refused(url: str, says: str) -> None:
    with pytest.raises(SharedStoreError, match=says) as caught:
        RemoteFolder(url).check()
    assert "pa/ss" not in str(caught.value)


@pytest.mark.parametrize("password", ["s3cret", "s3c/ret", "s3c%2Fret", "s3c@ret", "s3c:ret", "22/s3cret"])
def test_no_password_is_shown(shaky: RemoteFolder, monkeypatch: pytest.MonkeyPatch, password: str) -> None:
    def refuse(*args: Any, **kwargs: Any) -> None:
        raise ConnectionError(f"sftp://ann:{password}@host refused")

    monkeypatch.setattr("fsspec.core.url_to_fs", refuse)
    folder = RemoteFolder(f"sftp://ann:{password}@host:22/team")
    with pytest.raises(SharedStoreError) as caught:
        folder.read("x")
    told = f"{folder} {caught.value} {caught.value.__cause__}"
    assert "sftp://ann:***@host:22/team" in told
    assert not any(piece in told for piece in ("s3c", "ret@", "ret refused"))
