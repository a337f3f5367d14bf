"""Weights: listed in a manifest with their sha256, verified when opened, never unpickled."""

from __future__ import annotations

import os
import sys
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

from pydantic import AfterValidator, BaseModel, ConfigDict
from safetensors import SafetensorError, safe_open

from dubber.engine.key import file_sha256
from dubber.errors import WeightsError

if sys.version_info >= (3, 11):
    import tomllib
else:
    import tomli as tomllib

if TYPE_CHECKING:
    from numpy.typing import NDArray

MANIFEST_NAME = "manifest.toml"


def _file_name(name: str) -> str:
    """Raises ValueError where a name leads out of its folder."""
    if not name or Path(name).name != name or name == ".." or "\0" in name:
        raise ValueError("this is no name of a file in the manifest's folder")
    return name


class WeightEntry(BaseModel):
    """One row of the manifest."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    file: Annotated[str, AfterValidator(_file_name)]
    sha256: str
    kind: str
    licence: str
    is_commercial_use_allowed: bool
    training_data: str
    recipe: str
    description: str


@dataclass(frozen=True)
class Weight:
    """An opened weight file.

    Attributes:
        arrays: Arrays by name.
        metadata: The file's text metadata.
    """

    arrays: dict[str, NDArray[Any]]
    metadata: dict[str, str]


def default_weights_dir() -> Path:
    """The folder of weights to use where none is named: `DUBBER_WEIGHTS`, or those that come with dubber."""
    override = os.environ.get("DUBBER_WEIGHTS")
    return Path(override) if override else shipped_weights_dir()


def shipped_weights_dir() -> Path:
    """The folder of the weights that come with dubber: inside the wheel, or `weights/` of a source tree."""
    package = Path(__file__).resolve().parents[1]
    packaged = package / "_weights"
    return packaged if packaged.is_dir() else package.parent / "weights"


@dataclass(frozen=True)
class WeightsFolder:
    """A folder of weights with its manifest.

    Attributes:
        root: The folder.
        is_commercial: Whether weights are refused whose licence does not allow commercial use.
    """

    root: Path
    is_commercial: bool = False

    @cached_property
    def manifest(self) -> dict[str, WeightEntry]:
        """Rows of the manifest by name.

        Raises:
            WeightsError: The manifest is missing or malformed.
        """
        path = self.root / MANIFEST_NAME
        try:
            document = tomllib.loads(path.read_text(encoding="utf-8"))
            return {name: WeightEntry.model_validate(row) for name, row in document.items()}
        except OSError as error:
            raise WeightsError("The weights manifest cannot be read.", where=str(path)) from error
        except (ValueError, RecursionError) as error:  # TOML's, UTF-8's and pydantic's are ValueErrors
            raise WeightsError(f"The weights manifest is malformed: {error}", where=str(path)) from error

    def entry(self, name: str) -> WeightEntry:
        """The manifest's row for a weight.

        Raises:
            WeightsError: No such row; or its licence does not allow the use.
        """
        if name not in self.manifest:
            known = ", ".join(sorted(self.manifest)) or "none"
            raise WeightsError(
                f"No weights named '{name}' (known: {known}).",
                where=str(self.root / MANIFEST_NAME),
                advice="A weights folder of your own needs all that a run uses: make the missing ones with "
                "`dubber train`, copy them in, or choose methods that need none (`dubber methods`).",
            )
        entry = self.manifest[name]
        if self.is_commercial and not entry.is_commercial_use_allowed:
            raise WeightsError(
                f"The weights '{name}' may not be used commercially (licence: {entry.licence}).",
                where=str(self.root / MANIFEST_NAME),
                advice="The weights that come with dubber may: leave `--weights` out. If the licence of "
                "yours allows it, say so in that file: is_commercial_use_allowed = true.",
            )
        return entry

    def path(self, name: str) -> Path:
        """Where a weight's file lies."""
        return self.root / self.entry(name).file

    def verify(self, name: str) -> None:
        """Check a weight's bytes against the manifest.

        Raises:
            WeightsError: The file is missing, unreadable or not the one the manifest names.
        """
        path = self.path(name)
        try:
            found = file_sha256(path)
        except OSError as error:
            raise WeightsError(
                f"The weights '{name}' cannot be read ({error.strerror}).", where=str(path)
            ) from error
        if found != self.entry(name).sha256:
            raise WeightsError(
                f"The weights '{name}' are not the ones the manifest names (sha256 {found[:12]}… instead of "
                f"{self.entry(name).sha256[:12]}…): the file is damaged or was replaced.",
                where=str(path),
            )

    def open(self, name: str) -> Weight:
        """Verify and read a weight.

        Raises:
            WeightsError: As `verify`, or the file is no safetensors file.
        """
        self.verify(name)
        try:
            with safe_open(self.path(name), framework="numpy") as file:
                arrays = {key: file.get_tensor(key) for key in file.keys()}  # noqa: SIM118 - no mapping
                return Weight(arrays, file.metadata() or {})
        except (SafetensorError, OSError) as error:
            raise WeightsError(
                f"The weights '{name}' are no readable safetensors file.", where=str(self.path(name))
            ) from error
