"""Telling a full or write-protected disk from a bug, whichever library met it."""

from __future__ import annotations

import errno
import shutil
from collections.abc import Iterator
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


def _disk_error(error: BaseException, folder: Path, stage: str) -> OutputFolderError | None:
    is_full = _free_bytes(folder) < _NEARLY_FULL_BYTES
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


def _free_bytes(folder: Path) -> float:
    try:
        return shutil.disk_usage(folder).free
    except OSError:
        return float("inf")
