"""A folder that several machines see, on any fsspec file system: files appear in it whole or not at all."""

from __future__ import annotations

import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any

from dubber.engine.disk import disk_faults
from dubber.engine.key import file_sha256
from dubber.engine.unfinished import is_tag, new_tag
from dubber.errors import DubberError, SharedStoreError, ToolMissingError

if TYPE_CHECKING:
    from fsspec import AbstractFileSystem

_TIMES = ("mtime", "LastModified", "last_modified", "updated", "created")
"""What file systems call the time of a file's last change."""

_MAX_TRANSFERS = 2


class DamagedError(Exception):
    """A file is missing, or is not what its checksum says."""


class RemoteFolder:
    """Files by their path below a URL.

    Uploads take a name in `parts/` first and are then given their own.

    Args:
        url: A folder that all machines see, or what fsspec makes a file system of.

    Attributes:
        url: The same, and of a folder its absolute path: other machines work in other folders.
    """

    def __init__(self, url: str) -> None:
        self.url = url if "://" in url or "::" in url else str(Path(url).expanduser().absolute())

    def __str__(self) -> str:
        # Never the URL as it was given: it may hold a password.
        return str(self._fs.unstrip_protocol(self._root))

    def has(self, name: str) -> bool:
        """Whether there is such a file.

        Raises:
            SharedStoreError: That cannot be found out.
        """
        with self._faults("read"):
            return bool(self._fs.exists(self._path(name)))

    def read(self, name: str) -> bytes | None:
        """A small file's bytes; None where there is none.

        Raises:
            SharedStoreError: It cannot be read.
        """
        with self._faults("read"):
            try:
                return bytes(self._fs.cat_file(self._path(name)))
            except FileNotFoundError:
                return None

    def write(self, name: str, content: bytes) -> None:
        """Put a small file there.

        Raises:
            SharedStoreError: It cannot be written.
        """
        with self._arriving(name) as part:
            self._fs.pipe_file(part, content)

    def put(self, path: Path, name: str) -> int:
        """Upload a file.

        Returns:
            Its bytes.

        Raises:
            SharedStoreError: It cannot be written.
        """
        with self._arriving(name) as part:
            self._fs.put_file(str(path), part)
        return path.stat().st_size

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
        for _ in range(_MAX_TRANSFERS):
            with self._faults("read"):
                try:
                    with disk_faults(path.parent, "download"):
                        self._fs.get_file(self._path(name), str(path))
                except FileNotFoundError as error:
                    raise DamagedError(name) from error
            if file_sha256(path) == sha256:
                return path.stat().st_size
        raise DamagedError(name)

    def remove(self, name: str) -> None:
        """Remove a file, if it is there.

        Raises:
            SharedStoreError: It cannot be removed.
        """
        with self._faults("written"), suppress(FileNotFoundError):
            self._fs.rm_file(self._path(name))

    def files(self, folder: str) -> dict[str, tuple[int, float]]:
        """All files of a folder and of those below it: their sizes in bytes, and when they were put there.

        Times are seconds since the epoch.

        Raises:
            SharedStoreError: The folder cannot be listed.
        """
        with self._faults("read"):
            try:
                found = self._fs.find(self._path(folder), detail=True)
            except FileNotFoundError:
                return {}
            start = len(self._root) + 1
            return {path[start:]: (info["size"], self._time(path, info)) for path, info in found.items()}

    def sweep(self, folder: str, older_than_s: float) -> None:
        """Remove what lies under a tag of `new_tag` in a folder and is older than so many seconds.

        Raises:
            SharedStoreError: They cannot be removed.
        """
        for name, (_, put_s) in self.files(folder).items():
            is_ours = is_tag(name.removeprefix(f"{folder}/").partition("/")[0])
            if is_ours and time.time() - put_s > older_than_s:
                self.remove(name)

    @cached_property
    def _place(self) -> tuple[AbstractFileSystem, str]:
        """The file system and the folder's path on it.

        Raises:
            SharedStoreError: The URL names none, or it cannot be reached.
            ToolMissingError: A library is needed and absent.
        """
        try:
            from fsspec.core import url_to_fs

            # Others write there too: what was listed a moment ago says nothing.
            fs, root = url_to_fs(self.url, use_listings_cache=False)
        except ImportError as error:
            raise ToolMissingError(
                f"A library is missing: {error}",
                where="--shared",
                advice="Install it on every machine: s3fs for s3://, gcsfs for gs://, adlfs for az://.",
            ) from error
        except Exception as error:  # of any library
            raise SharedStoreError(f"It cannot be opened ({error}).", where="--shared") from error
        return fs, str(root).rstrip("/")

    @property
    def _fs(self) -> AbstractFileSystem:
        return self._place[0]

    @property
    def _root(self) -> str:
        return self._place[1]

    def _path(self, name: str) -> str:
        return f"{self._root}/{name}"

    @contextmanager
    def _arriving(self, name: str) -> Iterator[str]:
        """A path to write to; what lies there in the end is given its name.

        Raises:
            SharedStoreError: It cannot be written.
        """
        part, target = self._path(f"parts/{new_tag()}"), self._path(name)
        with self._faults("written"):
            for path in (part, target):
                self._fs.makedirs(path.rpartition("/")[0], exist_ok=True)
            try:
                yield part
                self._fs.mv(part, target)
            except BaseException:
                with suppress(Exception):
                    self._fs.rm_file(part)
                raise

    def _time(self, path: str, info: dict[str, Any]) -> float:
        told = next((info[name] for name in _TIMES if info.get(name) is not None), None)
        moment = self._fs.modified(path) if told is None else told
        return float(moment) if isinstance(moment, (int, float)) else float(moment.timestamp())

    @contextmanager
    def _faults(self, what: str) -> Iterator[None]:
        """Say of any library's failure where it happened.

        Raises:
            SharedStoreError: Something failed.
        """
        try:
            yield
        except (DubberError, DamagedError):
            raise
        except Exception as error:
            reason = getattr(error, "strerror", None) or str(error) or type(error).__name__
            raise SharedStoreError(f"It cannot be {what} ({reason}).", where=str(self)) from error
