"""The artefact store: a folder per key, complete or absent.

Layout under the cache root:
    entries/<first two digits>/<key>/   arrays.safetensors, values.json, files, entry.json (the key's parts,
                                        each file's sha256); its modification time is the last use
    tmp/<host>-<pid>-<random>/          entries being written; swept when their process is gone
    work/<key>/                         what a stage keeps across a killed run
    locks/<key>.lock                    held while a key is being made
    sources/                            sha256 of the user's files, by path and stamp
"""

from __future__ import annotations

import errno
import json
import os
import re
import shutil
import uuid
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeVar

from filelock import FileLock
from safetensors import SafetensorError

from dubber.engine.codecs import adopt_artefact, inside, load_artefact, save_artefact
from dubber.engine.key import file_sha256
from dubber.engine.sources import FileStamp
from dubber.engine.unfinished import is_abandoned, new_tag
from dubber.errors import MediaError, OutputFolderError

T = TypeVar("T")
ENTRY_NAME = "entry.json"

_SHA256 = re.compile(rb"[0-9a-f]{64}")

_DAMAGES = (
    ArithmeticError,
    AttributeError,
    LookupError,
    OSError,
    RecursionError,
    SafetensorError,
    TypeError,
    ValueError,
)
"""How reading a damaged entry may fail, whichever of its bytes is another."""


@dataclass(frozen=True)
class EntryInfo:
    """A stored entry, for people.

    Attributes:
        key: Its key.
        stage: The stage that made it.
        num_bytes: Size on disk.
        last_used_s: Seconds since the epoch.
        document: What the key was computed from.
    """

    key: str
    stage: str
    num_bytes: int
    last_used_s: float
    document: dict[str, Any]


class Store:
    """Artefacts by key.

    Args:
        root: The cache folder; made when first written to.
    """

    def __init__(self, root: Path) -> None:
        self.root = root

    def __str__(self) -> str:
        return str(self.root)

    def entry_dir(self, key: str) -> Path:
        """Where an entry lies, or would lie."""
        return self.root / "entries" / key[:2] / key

    def work_dir(self, key: str) -> Path:
        """A folder that survives a killed run of this key; made on demand."""
        return self._make(self.root / "work" / key)

    def unfinished(self, key: str) -> list[Path]:
        """Files that a killed run of a key left for the next one."""
        return sorted((self.root / "work" / key).glob("*"))

    def has(self, key: str) -> bool:
        """Whether a complete entry exists."""
        return (self.entry_dir(key) / ENTRY_NAME).is_file()

    def load(self, key: str, output_type: type[T], *, is_verified: bool = True) -> T | None:
        """Read an entry; None when it is damaged.

        It stays where it is: whoever makes it again, holding its lock, replaces it.

        Args:
            key: Which.
            output_type: The artefact's dataclass.
            is_verified: Compare all files with their checksums; not needed by those who only look at values.
        """
        folder = self.entry_dir(key)
        try:
            document = json.loads((folder / ENTRY_NAME).read_text(encoding="utf-8"))
            for name, digest in document["files"].items():
                if is_verified and file_sha256(inside(folder, name)) != digest:
                    raise ValueError(f"{name} was changed")
            value = load_artefact(output_type, folder)
        except _DAMAGES:
            return None
        self._touch(folder / ENTRY_NAME)
        return value

    @contextmanager
    def writing(self, key: str, document: dict[str, Any]) -> Iterator[EntryWriter]:
        """Make an entry: what is put into the writer's folder appears under the key whole, or not at all."""
        tmp = self._make(self.root / "tmp" / new_tag())
        try:
            writer = EntryWriter(tmp)
            yield writer
            files = {path.name: file_sha256(path) for path in sorted(tmp.iterdir())}
            text = json.dumps({**document, "files": files}, indent=1, sort_keys=True)
            (tmp / ENTRY_NAME).write_text(text, encoding="utf-8")
            self._commit(tmp, key)
        finally:
            shutil.rmtree(tmp, ignore_errors=True)

    @contextmanager
    def scratch(self) -> Iterator[Path]:
        """Name of a folder, not made yet, that is removed in the end, and swept if this process is killed."""
        folder = self.root / "tmp" / new_tag()
        try:
            yield folder
        finally:
            shutil.rmtree(folder, ignore_errors=True)

    def lock(self, key: str) -> FileLock:
        """A lock that keeps two runs from making the same key at the same time."""
        return FileLock(self._make(self.root / "locks") / f"{key}.lock")

    def remove(self, key: str) -> None:
        """Forget an entry and what its stage kept."""
        shutil.rmtree(self.entry_dir(key), ignore_errors=True)

    def finish_work(self, key: str) -> None:
        """Forget what a stage kept for resuming; its entry is complete."""
        shutil.rmtree(self.root / "work" / key, ignore_errors=True)

    def entries(self) -> list[EntryInfo]:
        """All complete entries, most recently used first."""
        found = []
        for marker in (self.root / "entries").glob("*/*/" + ENTRY_NAME):
            try:
                document = json.loads(marker.read_text(encoding="utf-8"))
                num_bytes = sum(path.stat().st_size for path in marker.parent.iterdir())
                stage = str(document["stage"])
                found.append(
                    EntryInfo(marker.parent.name, stage, num_bytes, marker.stat().st_mtime, document)
                )
            except (OSError, ValueError, KeyError):
                continue
        return sorted(found, key=lambda entry: -entry.last_used_s)

    def prune(self, max_bytes: int) -> list[EntryInfo]:
        """Remove the least recently used entries until the rest fits, and all that killed runs left.

        Returns:
            The entries removed.
        """
        removed, total = [], 0
        for entry in self.entries():
            total += entry.num_bytes
            if total > max_bytes:
                self.remove(entry.key)
                removed.append(entry)
        self.sweep()
        if max_bytes == 0:
            for name in ("work", "locks", "sources"):
                shutil.rmtree(self.root / name, ignore_errors=True)
        return removed

    def sweep(self) -> None:
        """Remove half-written entries whose process on this machine is gone."""
        for folder in (self.root / "tmp").glob("*-*-*"):
            if is_abandoned(folder.name):
                shutil.rmtree(folder, ignore_errors=True)

    def source_sha256(self, path: Path) -> tuple[str, FileStamp]:
        """sha256 of a user's file, remembered by path and stamp, and the stamp.

        Raises:
            MediaError: The file is missing, cannot be read, or is being written.
        """
        try:
            stamp = FileStamp.of(path)
            if not path.is_file():
                raise MediaError("This is not a file.", where=str(path), advice="Give a video or audio file.")
            memo = self._memo(path, stamp)
            if memo.is_file() and _SHA256.fullmatch(known := memo.read_bytes()):
                return known.decode("ascii"), stamp
            digest = file_sha256(path)
            if FileStamp.of(path) != stamp:
                raise MediaError(
                    "The file is still being written.", where=str(path), advice="Wait until it is whole."
                )
        except UnicodeEncodeError as error:
            name = os.fsencode(path).decode("utf-8", "replace")
            message, advice = "The file's name is not valid UTF-8.", "Rename the file."
            raise MediaError(message, where=name, advice=advice) from error
        except (FileNotFoundError, NotADirectoryError, ValueError) as error:
            raise MediaError("There is no such file.", where=str(path), advice="Check the path.") from error
        except OSError as error:
            raise MediaError(f"The file cannot be read ({error.strerror}).", where=str(path)) from error
        self._remember(memo, digest)
        return digest, stamp

    def knows_source(self, path: Path) -> bool:
        """Whether `source_sha256` of an existing file is remembered and costs nothing."""
        return self._memo(path, FileStamp.of(path)).is_file()

    def _memo(self, path: Path, stamp: FileStamp) -> Path:
        name = f"{path.resolve()}\0{stamp}"
        return self.root / "sources" / uuid.uuid5(uuid.NAMESPACE_URL, name).hex

    def _remember(self, path: Path, text: str) -> None:
        """Write a small file whole; without it, on a full or read-only disk, the work is done again."""
        with suppress(OSError, OutputFolderError), self.scratch() as folder:
            part = self._make(folder) / path.name
            part.write_text(text, encoding="ascii")
            part.replace(self._make(path.parent) / path.name)

    def _commit(self, tmp: Path, key: str) -> None:
        target = self.entry_dir(key)
        self._make(target.parent)
        try:
            tmp.rename(target)
        except OSError as error:
            if error.errno not in (errno.ENOTEMPTY, errno.EEXIST):
                raise
            self.remove(key)  # made again on purpose, or damaged
            tmp.rename(target)

    def _make(self, folder: Path) -> Path:
        try:
            folder.mkdir(parents=True, exist_ok=True)
        except OSError as error:
            raise OutputFolderError(
                f"The cache folder cannot be written ({error.strerror}).",
                where=str(self.root),
                advice="Choose another with `--cache DIR` or the variable DUBBER_CACHE.",
            ) from error
        return folder

    @staticmethod
    def _touch(path: Path) -> None:
        try:
            os.utime(path)
        except OSError:  # a read-only cache still serves
            return


@dataclass(frozen=True)
class EntryWriter:
    """A folder that will become an entry.

    Attributes:
        folder: Put files here.
    """

    folder: Path

    def save(self, value: Any) -> None:
        """Write the artefact's own fields."""
        save_artefact(value, self.folder)

    def adopt(self, value: Any) -> None:
        """Write the artefact's fields; its files are brought here first."""
        adopt_artefact(value, self.folder)
