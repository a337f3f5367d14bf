"""Whether a disk has room; telling a full or write-protected one from a bug, whichever library met it."""

from __future__ import annotations

import errno
import shutil
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path

from dubber.errors import DubberError, OutputFolderError, StageError

_FULL = {errno.ENOSPC, errno.EDQUOT}
_PROTECTED = {errno.EROFS, errno.EACCES, errno.EPERM}
_FULL_WORDS = ("no space left", "quota exceeded")
_NEARLY_FULL_BYTES = 16 * 2**20
"""Some libraries do not say why writing failed; with so little room that is why."""


@contextmanager
def disk_faults(folder: Path, stage: str) -> Iterator[None]:
    """Turn failures inside the block that are the cache disk's into errors a user can act on.

    Args:
        folder: The cache.
        stage: The stage that is run, for the message.

    Raises:
        OutputFolderError: The disk is full or may not be written to.
    """
    try:
        yield
    except Exception as error:
        if isinstance(error, DubberError) and not isinstance(error, StageError):
            raise
        found = _disk_error(error, folder, stage)
        if found is None:
            raise
        raise found from error


def check_space(needs: Iterable[tuple[Path, int]]) -> None:
    """Refuse work that the disks have no room for.

    Args:
        needs: Folders, which need not exist yet, and the bytes that will be written into each. What goes to
            the same disk is added up.

    Raises:
        OutputFolderError: A disk has less room.
    """
    wanted: dict[int, int] = {}
    for folder, num_bytes in needs:
        existing = _existing(folder)
        disk = existing.stat().st_dev
        wanted[disk] = wanted.get(disk, 0) + num_bytes
        free = free_bytes(existing)
        if num_bytes and wanted[disk] + _NEARLY_FULL_BYTES > free:
            raise OutputFolderError(
                f"The disk is too small: about {human_bytes(wanted[disk])} will be written, and "
                f"{human_bytes(free)} are free.",
                where=str(folder),
                advice="Free some space, run `dubber cache prune`, or choose another disk for the cache with "
                "`--cache DIR` or for the output with `-o`.",
            )


def human_bytes(num_bytes: float) -> str:
    """A size for people."""
    size = float(num_bytes)
    for unit in ("B", "kB", "MB", "GB"):
        if size < 1000:
            return f"{size:.0f} {unit}" if unit in ("B", "kB") else f"{size:.1f} {unit}"
        size /= 1000
    return f"{size:.1f} TB"


def _disk_error(error: BaseException, folder: Path, stage: str) -> OutputFolderError | None:
    is_full = free_bytes(folder) < _NEARLY_FULL_BYTES
    cause: BaseException | None = error
    while cause is not None:
        code = getattr(cause, "errno", None)
        is_full = is_full or code in _FULL or any(words in str(cause).lower() for words in _FULL_WORDS)
        if code in _PROTECTED and str(folder) in str(getattr(cause, "filename", None) or ""):
            return OutputFolderError(
                f"The cache folder cannot be written ({cause.strerror}).",  # type: ignore[attr-defined]
                where=str(folder),
                advice="Choose another with `--cache DIR` or the variable DUBBER_CACHE.",
            )
        cause = cause.__cause__
    if not is_full:
        return None
    return OutputFolderError(
        f"The disk is full (stage '{stage}').",
        where=str(folder),
        advice="Free some space, run `dubber cache prune`, or choose a disk with `--cache DIR`.",
    )


def free_bytes(folder: Path) -> float:
    """Room on the disk of a folder, which need not exist yet; infinite where nobody can tell."""
    try:
        return shutil.disk_usage(_existing(folder)).free
    except OSError:
        return float("inf")


def _existing(folder: Path) -> Path:
    """The folder, or the nearest one above it that is there."""
    return next(parent for parent in (folder, *folder.absolute().parents) if parent.is_dir())
