"""The file system behind a URL: opened when needed, and again where it broke; faults in plain words."""

from __future__ import annotations

import re
import threading
import time
from collections.abc import Callable
from contextlib import nullcontext
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar
from urllib.parse import unquote

from dubber.errors import DubberError, SharedStoreError, ToolMissingError

if TYPE_CHECKING:
    from fsspec import AbstractFileSystem

T = TypeVar("T")

_WAITS_S = (0.5, 2.0)
"""Before an operation is tried again."""

_SILENCE_S = 60.0
"""A server of SFTP that says nothing for so long is taken for gone; neither library has a limit by itself."""

_WHOLE_OBJECTS = frozenset({"s3", "s3a", "gs", "gcs", "az", "abfs", "abfss"})
"""Stores of objects: one appears under its name when all of it is there, and folders need not be made.

Source: the consistency models of Amazon S3, Google Cloud Storage and Azure Blob Storage.
"""

_FOLDERS = frozenset({"file", "local"})
_ONE_PROCESS = frozenset({"memory"})
_READ_ONLY = frozenset({"http", "https"})

_OPTIONS: dict[str, dict[str, Any]] = {name: {"max_concurrency": 2} for name in ("s3", "s3a")}
"""What file systems are told beside the URL.

s3fs moves ten pieces of 50 MB of a file at a time: an upload of 500 MB took 1.0 GB of memory, with one piece
0.1 GB. Nodes have none to spare beside their work.
"""

_LIBRARIES = (
    "Install it on every machine: s3fs for s3://, gcsfs for gs://, adlfs for az://, sshfs or paramiko for "
    "sftp://, webdav4 for webdav://."
)
_FOR_GOOD = (
    FileExistsError,
    FileNotFoundError,
    NotImplementedError,
    PermissionError,
    TypeError,
    ValueError,
)
_USER = re.compile(r"://(?P<name>[^:/@]*):(?P<password>.+)@")


@dataclass(frozen=True)
class Place:
    """A folder on an open file system.

    Attributes:
        fs: The file system.
        root: The folder's path on it.
    """

    fs: AbstractFileSystem
    root: str

    @property
    def has_whole_objects(self) -> bool:
        """Whether a file appears under its name when all of it is there."""
        return not _WHOLE_OBJECTS.isdisjoint(self._protocols)

    @property
    def is_for_threads(self) -> bool:
        """Whether several threads may use it at a time; on a connection of SFTP they wait for ever."""
        return not (_WHOLE_OBJECTS | _FOLDERS).isdisjoint(self._protocols)

    @property
    def is_of_one_process(self) -> bool:
        """Whether no other process sees it."""
        return not _ONE_PROCESS.isdisjoint(self._protocols)

    def path(self, name: str) -> str:
        """Where a file of a name lies."""
        return f"{self.root}/{name}"

    @property
    def _protocols(self) -> tuple[str, ...]:
        protocol: str | tuple[str, ...] = self.fs.protocol
        return (protocol,) if isinstance(protocol, str) else protocol


class RemoteSystem:
    """Does things on a file system. Threads may share it.

    Args:
        url: A folder, or what fsspec makes a file system of.

    Attributes:
        url: The same, and of a folder its absolute path: other machines work in other folders.
    """

    def __init__(self, url: str) -> None:
        self.url = url if "://" in url or "::" in url else str(Path(url).expanduser().absolute())
        self._place: Place | None = None
        self._lock = threading.Lock()
        self._turn = threading.Lock()

    def __str__(self) -> str:
        return _USER.sub(r"://\g<name>:***@", self.url)

    def do(self, what: str, action: Callable[[Place], T]) -> T:
        """Do something, again on a new connection where the fault may be one that passes.

        Args:
            what: "read" or "written", for the message.
            action: Does it; may be done more than once.

        Raises:
            DubberError: As the action.
            SharedStoreError: It failed.
            ToolMissingError: A library is needed and absent.
        """
        waits_s = iter(_WAITS_S)
        while True:
            place = None
            try:
                place = self._opened()
                with nullcontext() if place.is_for_threads else self._turn:
                    return action(place)
            except DubberError:
                raise
            except Exception as error:  # of any library
                wait_s = next(waits_s, None) if _may_pass(error) else None
                if wait_s is None:
                    raise self._fault(what, error) from (None if self._secrets() else error)
            self._close(place)
            time.sleep(wait_s)

    def _opened(self) -> Place:
        with self._lock:
            if self._place is None:
                self._place = self._open()
            return self._place

    def _close(self, place: Place | None) -> None:
        with self._lock:
            if self._place is place:  # else another thread has opened a new one
                self._place = None

    def _open(self) -> Place:
        protocol = self.url.partition("://")[0]
        if protocol in _READ_ONLY:
            raise SharedStoreError(
                "A web server can only be read.",
                where=str(self),
                advice="Use a folder that all machines see, or a store that can be written: s3://, sftp://, "
                "webdav://; see docs/scale.md.",
            )
        if protocol in _WHOLE_OBJECTS and self._secrets():
            raise SharedStoreError(
                "Keys do not go into this URL.",
                where=str(self),
                advice="Put them where the store's own tools look, such as AWS_ACCESS_KEY_ID and "
                "AWS_SECRET_ACCESS_KEY, on every machine; see docs/scale.md.",
            )
        try:
            from fsspec.core import url_to_fs

            # An instance of our own: a shared one would stay when its connection is lost.
            fs, root = url_to_fs(self.url, skip_instance_cache=True, **_OPTIONS.get(protocol, {}))
        except ImportError as error:
            raise ToolMissingError(
                f"A library is missing: {error}", where="--shared", advice=_LIBRARIES
            ) from error
        # Others write there too: what was listed a moment ago says nothing. Not every file system takes this
        # as an option.
        fs.dircache.use_listings_cache = False
        _limit_silence(fs)
        return Place(fs, str(root).rstrip("/"))

    def _fault(self, what: str, error: Exception) -> SharedStoreError:
        reason = getattr(error, "strerror", None) or str(error) or type(error).__name__
        if isinstance(error, NotImplementedError):
            reason = "files of this kind of store can only be read"
        elif self._secrets() and not isinstance(error, OSError):  # it may quote any piece of the URL
            reason = type(error).__name__
        for secret in self._secrets():
            reason = reason.replace(secret, "***")
        return SharedStoreError(f"It cannot be {what} ({reason}).", where=str(self))

    def _secrets(self) -> set[str]:
        found = _USER.search(self.url)
        return set() if found is None else {found["password"], unquote(found["password"])}


def _may_pass(error: Exception) -> bool:
    """Whether a fault may be one of the connection; what the store itself says is for good."""
    if isinstance(error, (ConnectionError, TimeoutError)):
        return True
    is_told = isinstance(error, OSError) and error.errno is not None
    return not is_told and not isinstance(error, _FOR_GOOD)


def _limit_silence(fs: Any) -> None:
    """Have a connection of SFTP end when its server says nothing any more."""
    session: Any = getattr(fs, "ftp", None)
    client: Any = getattr(fs, "client", None)
    if hasattr(session, "get_channel"):  # paramiko's
        session.get_channel().settimeout(_SILENCE_S)
    elif hasattr(client, "set_keepalive"):  # sshfs's
        fs.loop.call_soon_threadsafe(client.set_keepalive, _SILENCE_S / 3, 3)
