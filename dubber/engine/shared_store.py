"""A second cache that several machines share: entries and files by what they are.

Layout below its URL:
    objects/<first two digits>/<sha256>     files; what lies under a name never changes
    entries/<first two digits>/<key>.json   an entry's `entry.json`, put there after all its files
    parcels/<tag>/<sha256>                  files handed from one machine to another
    parts/<host>-<pid>-<random>             uploads under way

Stages never see it: what a plan needs is pulled into the machine's own `Store` beforehand, and what was made
is pushed afterwards.
"""

from __future__ import annotations

import json
import re
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from dubber.engine.codecs import inside
from dubber.engine.key import file_sha256
from dubber.engine.plan import Plan
from dubber.engine.remote import DamagedError, RemoteFolder
from dubber.engine.store import ENTRY_NAME, Store
from dubber.errors import MediaError, SharedStoreError

INPUT_STAGE = "input"
"""What stands for the stage in the entry of a user's file."""

_OBJECT_NAME = re.compile(r"objects/[0-9a-f]{2}/[0-9a-f]{64}")
"""Whoever names a folder of something else, such as a repository of Git, loses nothing there."""

LEFTOVER_S = 7 * 86400.0
"""Uploads and parcels of this age belong to nobody any more."""


@dataclass(frozen=True)
class SharedEntry:
    """An entry of the shared cache.

    Attributes:
        key: Its key.
        stage: What made it; `INPUT_STAGE` for a user's file.
        num_bytes: Size of its files; a file of several entries counts in each.
        made_s: When it was put there, seconds since the epoch.
        files: sha256 of its files, by name.
    """

    key: str
    stage: str
    num_bytes: int
    made_s: float
    files: dict[str, str]


class SharedStore:
    """Artefacts by key and files by sha256, where several machines see them.

    Args:
        url: A folder that all machines see, or what fsspec makes a file system of: `s3://bucket/dubber`,
            `gs://…`, `sftp://…`.
    """

    def __init__(self, url: str) -> None:
        self._folder = RemoteFolder(url)

    @property
    def url(self) -> str:
        """The URL as other machines can be told. It may hold a password."""
        return self._folder.url

    def __str__(self) -> str:
        return str(self._folder)

    def check(self) -> None:
        """Make sure, before work begins, that files can be put here, and that other machines see them.

        Raises:
            SharedStoreError: They cannot, or would not.
            ToolMissingError: A library is needed and absent.
        """
        self._folder.check()

    def has(self, key: str) -> bool:
        """Whether a complete entry exists.

        Raises:
            SharedStoreError: The store cannot be asked.
        """
        return self._document(key) is not None

    def pull_plan(self, plan: Plan, store: Store) -> int:
        """Bring what is here of a plan into a machine's own cache.

        Returns:
            The bytes that were received.

        Raises:
            DubberError: See `pull`.
        """
        return sum(self.pull(store, key) for key in _stored(plan) if not store.has(key))

    def push_plan(self, plan: Plan, store: Store) -> int:
        """Copy here what a machine's own cache has of a plan.

        Returns:
            The bytes that were sent.

        Raises:
            SharedStoreError: See `push`.
        """
        return sum(self.push(store, key) for key in _stored(plan))

    def push(self, store: Store, key: str) -> int:
        """Copy an entry of a machine's own cache here; nothing happens where it is here already.

        Returns:
            The bytes that were sent.

        Raises:
            SharedStoreError: The store cannot be written.
        """
        if not store.has(key) or self.has(key):
            return 0
        folder = store.entry_dir(key)
        document = (folder / ENTRY_NAME).read_bytes()
        files: dict[str, str] = json.loads(document)["files"]
        sent = sum(
            self._folder.put(inside(folder, name), _object_name(sha256)) for name, sha256 in files.items()
        )
        self._folder.write(_entry_name(key), document)
        return sent

    def pull(self, store: Store, key: str) -> int:
        """Copy an entry into a machine's own cache, whole or not at all.

        Each file is compared with its checksum. Where one is missing or damaged, it and the entry are removed
        here, so that whoever makes it again puts it right.

        Returns:
            The bytes that were received; 0 where it is not here, was damaged, or is there already.

        Raises:
            OutputFolderError: The machine's cache cannot be written.
            SharedStoreError: The store cannot be read.
        """
        with store.lock(key):
            document = None if store.has(key) else self._document(key)
            if document is None:
                return 0
            try:
                return self._copy(store, key, document)
            except DamagedError as error:
                for name in (_entry_name(key), str(error)):
                    self._folder.remove(name)
                return 0

    def push_input(self, path: Path, sha256: str) -> int:
        """Put a user's file here, as an entry whose key is its checksum.

        Returns:
            The bytes that were sent.

        Raises:
            SharedStoreError: The store cannot be written.
        """
        if self.has(sha256):
            return 0
        sent = self._folder.put(path, _object_name(sha256))
        document = {"stage": INPUT_STAGE, "files": {f"{INPUT_STAGE}{path.suffix}": sha256}}
        self._folder.write(_entry_name(sha256), json.dumps(document, indent=1, sort_keys=True).encode())
        return sent

    def pull_input(self, store: Store, sha256: str) -> tuple[Path, int]:
        """Bring a user's file into a machine's own cache.

        Returns:
            Where it lies now, and the bytes that were received.

        Raises:
            MediaError: It is not here.
            SharedStoreError: The store cannot be read.
        """
        received = self.pull(store, sha256)
        if not store.has(sha256):
            raise MediaError(
                "A file that was put into the shared cache is gone or damaged.",
                where=f"{self} {sha256[:12]}",
                advice="Make sure that all machines see the same place there, and run the same command "
                "again: the file is put there anew.",
            )
        return next(store.entry_dir(sha256).glob(f"{INPUT_STAGE}*")), received

    def send(self, path: Path, tag: str) -> str:
        """Leave a file for another machine to take.

        Args:
            path: The file.
            tag: Tells this parcel from others with the same content.

        Returns:
            Its sha256.

        Raises:
            SharedStoreError: The store cannot be written.
        """
        sha256 = file_sha256(path)
        self._folder.put(path, _parcel_name(tag, sha256))
        return sha256

    def receive(self, tag: str, sha256: str, path: Path) -> None:
        """Take a file that another machine left.

        Raises:
            OutputFolderError: This machine's disk is full.
            SharedStoreError: It is gone or damaged, or the store cannot be read.
        """
        name = _parcel_name(tag, sha256)
        try:
            self._folder.get(name, sha256, path)
        except DamagedError as error:
            raise SharedStoreError("A result is gone or damaged.", where=f"{self} {name}") from error

    def discard(self, tag: str) -> None:
        """Remove all that was left under a tag.

        Raises:
            SharedStoreError: The store cannot be written.
        """
        self._folder.clear(f"parcels/{tag}")

    def entries(self) -> list[SharedEntry]:
        """All entries, the latest first.

        Raises:
            SharedStoreError: The store cannot be read.
        """
        sizes = {name.rpartition("/")[2]: size for name, (size, _) in self._folder.files("objects").items()}
        found = []
        for name, (_, made_s) in self._folder.files("entries").items():
            key = name.rpartition("/")[2].removesuffix(".json")
            document = self._document(key)
            if document is not None:
                files: dict[str, str] = document["files"]
                num_bytes = sum(sizes.get(sha256, 0) for sha256 in files.values())
                found.append(SharedEntry(key, str(document["stage"]), num_bytes, made_s, files))
        return sorted(found, key=lambda entry: -entry.made_s)

    def prune(self, max_bytes: int) -> list[SharedEntry]:
        """Remove the oldest entries until the rest fits, files of no entry, and what killed runs left.

        Best while nothing runs: an entry that is just being pushed may lose its files, and is made again by
        whoever misses it.

        Returns:
            The entries removed.

        Raises:
            SharedStoreError: The store cannot be written.
        """
        removed, kept, total = [], set[str](), 0
        for entry in self.entries():
            total += entry.num_bytes
            if total > max_bytes:
                self._folder.remove(_entry_name(entry.key))
                removed.append(entry)
            else:
                kept.update(entry.files.values())
        for name in self._folder.files("objects"):
            if _OBJECT_NAME.fullmatch(name) and name.rpartition("/")[2] not in kept:
                self._folder.remove(name)
        for folder in ("parts", "parcels"):
            self._folder.sweep(folder, LEFTOVER_S)
        return removed

    def _copy(self, store: Store, key: str, document: dict[str, Any]) -> int:
        rest = {name: value for name, value in document.items() if name != "files"}
        with store.writing(key, rest) as writer:
            return sum(
                self._folder.get(_object_name(sha256), sha256, inside(writer.folder, name))
                for name, sha256 in document["files"].items()
            )

    def _document(self, key: str) -> dict[str, Any] | None:
        """What `entry.json` says; None where there is no entry."""
        text = self._folder.read(_entry_name(key))
        if text is None:
            return None
        with suppress(ValueError, TypeError, KeyError, AttributeError):
            document: dict[str, Any] = json.loads(text)
            for name in document["files"].keys() | {document["stage"]}:
                inside(Path(), name)
            return document
        # A disk lied about having written it: as if it were not there.
        self._folder.remove(_entry_name(key))
        return None


def _stored(plan: Plan) -> list[str]:
    """Keys of the plan's nodes that have a form on disk."""
    return [node.key for node in plan.nodes if node.stage is not None and node.stage.is_stored]


def _entry_name(key: str) -> str:
    return f"entries/{key[:2]}/{key}.json"


def _object_name(sha256: str) -> str:
    return f"objects/{sha256[:2]}/{sha256}"


def _parcel_name(tag: str, sha256: str) -> str:
    return f"parcels/{tag}/{sha256}"
