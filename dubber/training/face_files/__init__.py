"""Reading face models of others: one module per file format, and one that brings them into our convention."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

from dubber.errors import ConfigError
from dubber.training.face_files import bfm2009, bfm2017, ict
from dubber.training.face_files.convention import to_linear_face_model
from dubber.training.face_files.source import FaceFile, read_landmarks
from dubber.types import Int32

__all__ = ["FORMATS", "FaceFile", "FaceFormat", "read_face_file", "read_landmarks", "to_linear_face_model"]


class _Reader(Protocol):
    def __call__(self, path: Path, landmarks_68: Int32 | None, num_expression: int) -> FaceFile: ...


class _Test(Protocol):
    def __call__(self, path: Path) -> bool: ...


@dataclass(frozen=True)
class FaceFormat:
    """A file format of face models.

    Attributes:
        name: As the user says it.
        summary: What must lie where.
        is_at: Whether a path looks like one.
        read: Reads it.
    """

    name: str
    summary: str
    is_at: _Test
    read: _Reader


FORMATS = (
    FaceFormat("ict", ict.SUMMARY, ict.is_at, ict.read),
    FaceFormat("bfm2009", bfm2009.SUMMARY, bfm2009.is_at, bfm2009.read),
    FaceFormat("bfm2017", bfm2017.SUMMARY, bfm2017.is_at, bfm2017.read),
)

MAX_EXPRESSION = 29
"""Expression components kept unless asked otherwise, as many as EBT's model has."""


def read_face_file(
    path: Path,
    file_format: str = "auto",
    landmarks: Path | None = None,
    num_expression: int = MAX_EXPRESSION,
) -> FaceFile:
    """Read a face model from its publisher's files.

    Args:
        path: A folder or file; see `FORMATS`.
        file_format: A name of `FORMATS`, or "auto" to look.
        landmarks: File with the vertices of the 68 iBUG points, for models that do not carry them; see
            `read_landmarks`.
        num_expression: Expression components at most; 0 keeps the file's own.

    Raises:
        ConfigError: The path or the format cannot be meant.
        WeightsError: A file is damaged or not of the format.
    """
    if not path.exists():
        raise ConfigError("There is no such file or folder.", where=str(path), advice=_formats_advice())
    chosen = [
        row for row in FORMATS if row.name == file_format or (file_format == "auto" and row.is_at(path))
    ]
    if not chosen:
        known = ", ".join(row.name for row in FORMATS)
        what = (
            "No known face model lies here."
            if file_format == "auto"
            else f"'{file_format}' is no format of face models (known: auto, {known})."
        )
        raise ConfigError(what, where=str(path), advice=_formats_advice())
    landmarks_68 = None if landmarks is None else read_landmarks(landmarks)
    return chosen[0].read(path, landmarks_68, num_expression)


def _formats_advice() -> str:
    return "Known are: " + "; ".join(f"{row.name}: {row.summary}" for row in FORMATS) + "."
