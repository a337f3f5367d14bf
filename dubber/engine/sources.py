"""The user's files: whether one is still what it was when its checksum was made."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from dubber.engine.key import file_sha256
from dubber.errors import MediaError


@dataclass(frozen=True)
class FileStamp:
    """What changes when a file does, short of reading it.

    The time of its last change of status is set by the system alone: a file that was replaced by one of the
    same size and modification time has another. Where a file system keeps no such time, or keeps it in steps
    so coarse that two changes fall into one, that replacement goes unseen.

    Attributes:
        num_bytes: Its size.
        modified_ns: When its content was changed, as it says.
        changed_ns: When anything of it was changed; on Windows, when it was made.
    """

    num_bytes: int
    modified_ns: int
    changed_ns: int

    @classmethod
    def of(cls, path: Path) -> FileStamp:
        """The stamp of a file.

        Raises:
            OSError: It is not there.
        """
        found = path.stat()
        return cls(found.st_size, found.st_mtime_ns, found.st_ctime_ns)


def check_unchanged(path: Path, stamp: FileStamp, sha256: str) -> None:
    """Make sure that a file is what it was when a run began.

    Args:
        path: The file; read only if its stamp is another.
        stamp: Taken before its checksum was made.
        sha256: The checksum.

    Raises:
        MediaError: It was changed, replaced or removed.
    """
    try:
        if FileStamp.of(path) == stamp or file_sha256(path) == sha256:
            return
        what = "The file was changed while dubber was working."
    except OSError as error:
        what = f"The file vanished while dubber was working ({error.strerror})."
    raise MediaError(
        what,
        where=str(path),
        advice="Run the same command again when nothing writes to it any more.",
    )
