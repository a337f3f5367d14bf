"""A folder that several machines see, on any fsspec file system: files appear in it whole or not at all."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from contextlib import suppress
from pathlib import Path
from typing import Any

from dubber.engine.disk import disk_faults
from dubber.engine.key import file_sha256
from dubber.engine.remote_system import Place, RemoteSystem
from dubber.engine.unfinished import is_tag, new_tag
from dubber.errors import SharedStoreError

_TIMES = ("mtime", "LastModified", "last_modified", "modified", "updated", "created")
"""What file systems call the time of a file's last change."""

_MAX_TRANSFERS = 2


class DamagedError(Exception):
    """A file is missing, or is not what its checksum says."""


class RemoteFolder:
    """Files by their path below a URL.

    Where a file could be seen half written, uploads take a name in `parts/` first and are then given their
    own; servers that rename nothing get them in place, and readers compare checksums. Whatever is written
    under a name twice is the same.

    Args:
        url: A folder that all machines see, or what fsspec makes a file system of.
    """

    def __init__(self, url: str) -> None:
        self._system = RemoteSystem(url)
        self._can_rename = True

    def __str__(self) -> str:
        return str(self._system)

    @property
    def url(self) -> str:
        """The URL as other machines can be told. It may hold a password."""
        return self._system.url

    def check(self) -> None:
        """Make sure, before work begins, that files can be put here, and that other machines see them.

        Raises:
            SharedStoreError: They cannot, or would not.
            ToolMissingError: A library is needed and absent.
        """
        if self._system.do("read", lambda place: place.is_of_one_process):
            raise SharedStoreError("Only one process sees this memory.", where=str(self))
        tag = new_tag()
        name, content = f"parts/{tag}", tag.encode()
        self.write(name, content)
        if self.read(name) != content or name not in self.files("parts"):
            raise SharedStoreError("What is written there is not found again.", where=str(self))
        self.remove(name)

    def read(self, name: str) -> bytes | None:
        """A small file's bytes; None where there is none.

        Raises:
            SharedStoreError: It cannot be read.
        """

        def cat(place: Place) -> bytes | None:
            with suppress(FileNotFoundError):
                return bytes(place.fs.cat_file(place.path(name)))
            return None

        return self._system.do("read", cat)

    def write(self, name: str, content: bytes) -> None:
        """Put a small file there.

        Raises:
            SharedStoreError: It cannot be written.
        """
        self._upload(name, len(content), lambda place, path: place.fs.pipe_file(path, content))

    def put(self, path: Path, name: str) -> int:
        """Upload a file, unless it is there.

        One of another size is a piece of it: an upload in place that was killed.

        Returns:
            The bytes that were sent.

        Raises:
            SharedStoreError: It cannot be read here or written there.
        """
        try:
            num_bytes = path.stat().st_size
        except OSError as error:
            raise SharedStoreError(f"It cannot be sent ({error.strerror}).", where=str(path)) from error
        if self._system.do("read", lambda place: _size(place, place.path(name))) == num_bytes:
            return 0
        self._upload(name, num_bytes, lambda place, there: place.fs.put_file(str(path), there))
        return num_bytes

    def get(self, name: str, sha256: str, path: Path) -> int:
        """Download a file and compare it with its checksum.

        What arrives as another is asked for once more: a transfer may go wrong where the file is right.

        Returns:
            Its bytes.

        Raises:
            DamagedError: It is missing or another.
            OutputFolderError: This machine's disk is full.
            SharedStoreError: It cannot be read.
        """

        def fetch(place: Place) -> bool:
            with suppress(FileNotFoundError), disk_faults(path.parent, "download"):
                place.fs.get_file(place.path(name), str(path))
                return True
            return False

        for _ in range(_MAX_TRANSFERS):
            if not self._system.do("read", fetch):
                break
            if file_sha256(path) == sha256:
                return path.stat().st_size
        raise DamagedError(name)

    def remove(self, name: str) -> None:
        """Remove a file, if it is there.

        Raises:
            SharedStoreError: It cannot be removed.
        """

        def unlink(place: Place) -> None:
            with suppress(FileNotFoundError):
                place.fs.rm_file(place.path(name))

        self._system.do("written", unlink)

    def files(self, folder: str) -> dict[str, tuple[int, float]]:
        """All files of a folder and of those below it: their sizes in bytes, and when they were put there.

        Times are seconds since the epoch.

        Raises:
            SharedStoreError: The folder cannot be listed.
        """

        def find(place: Place) -> dict[str, tuple[int, float]]:
            start = len(place.root) + 1
            found = _walk(place, place.path(folder))
            return {info["name"][start:]: (info["size"], _time(place, info)) for info in found}

        return self._system.do("read", find)

    def clear(self, folder: str) -> None:
        """Remove a folder that nobody writes to any more.

        Raises:
            SharedStoreError: It cannot be removed.
        """
        for name in self.files(folder):
            self.remove(name)

        def unlink(place: Place) -> None:
            if not place.has_whole_objects:
                with suppress(FileNotFoundError):
                    place.fs.rm(place.path(folder), recursive=True)

        self._system.do("written", unlink)

    def sweep(self, folder: str, older_than_s: float) -> None:
        """Remove what lies under a tag of `new_tag` in a folder and is older than so many seconds.

        Raises:
            SharedStoreError: They cannot be removed.
        """
        for name, (_, put_s) in self.files(folder).items():
            is_ours = is_tag(name.removeprefix(f"{folder}/").partition("/")[0])
            if is_ours and time.time() - put_s > older_than_s:
                self.remove(name)

    def _upload(self, name: str, num_bytes: int, send: Callable[[Place, str], object]) -> None:
        """Have a file sent, and see to it that nobody sees a part of it under its name.

        Raises:
            SharedStoreError: It cannot be written.
        """

        def upload(place: Place) -> None:
            target = place.path(name)
            if place.has_whole_objects:
                send(place, target)
                return
            part = place.path(f"parts/{new_tag()}")
            for path in (part, target):
                _make_folder(place, path.rpartition("/")[0])
            try:
                if self._can_rename:
                    send(place, part)
                    self._can_rename = _rename(place, part, target, num_bytes)
                if not self._can_rename:
                    send(place, target)
            except BaseException:
                with suppress(Exception):
                    place.fs.rm_file(part)
                raise

        self._system.do("written", upload)


def _make_folder(place: Place, path: str) -> None:
    try:
        place.fs.makedirs(path, exist_ok=True)
    except Exception:
        if not place.fs.isdir(path):  # else another one made it at the same moment
            raise


def _size(place: Place, path: str) -> int | None:
    with suppress(FileNotFoundError):
        return int(place.fs.info(path)["size"])  # `exists` takes any fault for an absence
    return None


def _rename(place: Place, part: str, target: str, num_bytes: int) -> bool:
    """Give an upload its name; whether there is a whole file of that name now."""
    try:
        place.fs.mv(part, target)
    except Exception:
        # Some put nothing in another file's place: what is there is the same. Others rename nothing at all,
        # or copy, and leave a piece where that fails.
        is_there = _size(place, target) == num_bytes
        with suppress(FileNotFoundError):
            place.fs.rm_file(part)
        return is_there
    return True


def _walk(place: Place, path: str) -> Iterator[dict[str, Any]]:
    """What the file system tells of all files of a folder and of those below it."""

    def judge(error: Exception) -> None:
        # By default a folder that cannot be listed is taken for empty, and who prunes would remove all.
        if not isinstance(error, FileNotFoundError):
            raise error

    if place.has_whole_objects:  # one request for many folders
        yield from place.fs.find(path, detail=True).values()
        return
    for _, _, files in place.fs.walk(path, detail=True, on_error=judge):
        yield from files.values()


def _time(place: Place, info: dict[str, Any]) -> float:
    told = next((info[name] for name in _TIMES if info.get(name) is not None), None)
    moment = place.fs.modified(info["name"]) if told is None else told
    return float(moment) if isinstance(moment, (int, float)) else float(moment.timestamp())
