"""Models of others that dubber can use and does not ship: which, under which licence, and where they lie."""

from __future__ import annotations

import os
import sys
from dataclasses import dataclass
from functools import cache
from pathlib import Path

import platformdirs
from pydantic import BaseModel, ConfigDict, Field

from dubber.engine.key import file_sha256
from dubber.errors import ConfigError, WeightsError

if sys.version_info >= (3, 11):
    import tomllib
else:
    import tomli as tomllib

CATALOGUE = Path(__file__).with_name("catalogue.toml")

_AGAIN = "It is damaged or another release: get it anew from the address that `dubber weights fetch` shows."


class ModelFile(BaseModel):
    """A file of a model.

    Attributes:
        name: A plain file name, also the archive's member.
        num_bytes: Its size.
        sha256: Its checksum.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    name: str = Field(pattern=r"^[A-Za-z0-9][A-Za-z0-9._-]*$")
    num_bytes: int = Field(gt=0)
    sha256: str = Field(pattern=r"^[0-9a-f]{64}$")


class ModelEntry(BaseModel):
    """A row of the catalogue.

    Attributes:
        url: Where the publisher has it.
        is_archive: Whether that is a zip archive that holds the files, or the one file itself.
        num_bytes: Size of what is downloaded.
        sha256: Its checksum.
        files: What is kept.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    url: str
    is_archive: bool
    num_bytes: int = Field(gt=0)
    sha256: str = Field(pattern=r"^[0-9a-f]{64}$")
    description: str
    licence: str
    licence_text: str
    licence_url: str
    is_commercial_use_allowed: bool
    files: tuple[ModelFile, ...]


@cache
def catalogue() -> dict[str, ModelEntry]:
    """The models that `dubber weights fetch` knows, by name."""
    document = tomllib.loads(CATALOGUE.read_text(encoding="utf-8"))
    return {name: ModelEntry.model_validate(row) for name, row in document.items()}


def catalogue_entry(name: str) -> ModelEntry:
    """A row of the catalogue.

    Raises:
        ConfigError: No such row.
    """
    if name not in catalogue():
        raise ConfigError(
            f"There is no model '{name}' to fetch.", advice=f"There are: {', '.join(catalogue())}."
        )
    return catalogue()[name]


def default_models_dir() -> Path:
    """Where fetched models lie: `DUBBER_MODELS`, or the user's data folder."""
    override = os.environ.get("DUBBER_MODELS")
    return (
        Path(override).expanduser()
        if override
        else platformdirs.user_data_path("dubber", appauthor=False) / "models"
    )


@dataclass(frozen=True)
class PackagedModel:
    """A model that lies in a package which dubber needs.

    Attributes:
        package: The package.
        licence: Its licence.
        description: What the model is for.
    """

    package: str
    licence: str
    description: str


PACKAGED = (
    PackagedModel("mediapipe", "Apache-2.0", "Face mesh: the tracker `mediapipe`"),
    PackagedModel("silero-vad", "MIT", "Where speech is in a recording"),
)
"""All of them may be used commercially."""

LICENCES = "licences.toml"
"""File in the folder of fetched models in which users say what they may do with models of their own."""


class Licence(BaseModel):
    """What may be done with a file.

    Attributes:
        licence: Its licence, in a line.
        is_commercial_use_allowed: Whether that covers commercial use.
        model: Name of the model it belongs to; empty for one of the user's own.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    licence: str
    is_commercial_use_allowed: bool
    model: str = ""


def licence_of(sha256: str) -> Licence | None:
    """What may be done with a file of a model: the catalogue knows, or the user said so.

    Args:
        sha256: The file's checksum.

    Returns:
        None where nobody said.

    Raises:
        WeightsError: What the user said cannot be read.
    """
    for name, entry in catalogue().items():
        if any(file.sha256 == sha256 for file in entry.files):
            return Licence(
                licence=entry.licence,
                is_commercial_use_allowed=entry.is_commercial_use_allowed,
                model=name,
            )
    path = default_models_dir() / LICENCES
    try:
        said = tomllib.loads(path.read_text(encoding="utf-8")) if path.is_file() else {}
        return Licence.model_validate(said[sha256]) if sha256 in said else None
    except (OSError, ValueError, RecursionError) as error:  # TOML's, UTF-8's and pydantic's are ValueErrors
        raise WeightsError(
            f"The licences cannot be read: {error}", where=str(path), advice="docs/trust.md has an example."
        ) from error


def check_commercial_use(path: Path, sha256: str, *, advice: str) -> None:
    """Refuse a model that may not be used commercially.

    Args:
        path: A file of the model.
        sha256: Its checksum.
        advice: What to use instead.

    Raises:
        WeightsError: It may not, or nobody said that it may.
    """
    licence = licence_of(sha256)
    if licence is None:
        raise WeightsError(
            "Nobody said whether this model may be used commercially.",
            where=str(path),
            advice=f"{advice} If its licence allows it, say so in {default_models_dir() / LICENCES}, under "
            f'["{sha256}"]: licence = "...", is_commercial_use_allowed = true.',
        )
    if not licence.is_commercial_use_allowed:
        raise WeightsError(
            f"The model {licence.model or path.name} may not be used commercially "
            f"(licence: {licence.licence}).",
            where=str(path),
            advice=advice,
        )


@dataclass(frozen=True)
class ModelsFolder:
    """A folder of fetched models, each in a folder of its name.

    Attributes:
        root: The folder; it need not exist.
    """

    root: Path

    def folder(self, name: str) -> Path:
        """Where a model's files lie, or would."""
        return self.root / name

    def has(self, name: str) -> bool:
        """Whether a model of the catalogue is here, by its files' sizes: they were verified on arrival."""
        folder = self.folder(name)
        return all(
            (folder / file.name).is_file() and (folder / file.name).stat().st_size == file.num_bytes
            for file in catalogue_entry(name).files
        )

    def verify(self, name: str) -> None:
        """Check a fetched model's bytes against the catalogue.

        Raises:
            WeightsError: A file is missing, unreadable or another.
        """
        for file in catalogue_entry(name).files:
            path = self.folder(name) / file.name
            try:
                verify_file(path, file.num_bytes, file.sha256)
            except OSError as error:
                raise WeightsError(
                    f"The model '{name}' cannot be read ({error.strerror}).", where=str(path), advice=_AGAIN
                ) from error


def verify_file(path: Path, num_bytes: int, sha256: str) -> None:
    """Check size and checksum.

    Raises:
        WeightsError: They are others.
        OSError: The file cannot be read.
    """
    size = path.stat().st_size
    found = file_sha256(path) if size == num_bytes else ""
    if found != sha256:
        wrong = (
            f"sha256 {found[:12]}… instead of {sha256[:12]}…"
            if found
            else f"{size} instead of {num_bytes} bytes"
        )
        raise WeightsError(
            f"The file is not the one that the catalogue names ({wrong}).", where=str(path), advice=_AGAIN
        )
