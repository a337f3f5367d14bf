"""Files among the values."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path


@dataclass(frozen=True)
class StoredFile:
    """A file that belongs to an artefact; it lives in the artefact's folder.

    Attributes:
        path: Where the bytes lie now. Only the file's name is part of the artefact.
    """

    path: Path


@dataclass(frozen=True)
class SourceFile:
    """A file of the user's, known by its content.

    Attributes:
        path: Where it lies. Never part of a key.
        sha256: Hex digest of its bytes.
    """

    path: Path
    sha256: str
