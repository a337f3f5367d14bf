"""What is asked for of one job, before anybody has looked at what it means."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any


@dataclass(frozen=True)
class Row:
    """One job as a folder or a jobs file has it.

    Attributes:
        where: Where it stands, for messages.
        folder: What relative names of inputs are relative to.
        options: Options of `dubber run` by their long name with underscores, and settings by STAGE.NAME.
        implied: The same, where nobody says otherwise.
    """

    where: str
    folder: Path
    options: Mapping[str, Any]
    implied: Mapping[str, Any] = field(default_factory=dict)


@dataclass(frozen=True)
class Rows:
    """All jobs of a folder or a jobs file.

    Attributes:
        rows: The jobs.
        defaults: Options for every job that does not have its own.
        unpaired: Files of the folder that belong to no job, each with the reason.
    """

    rows: tuple[Row, ...]
    defaults: Mapping[str, Any] = field(default_factory=dict)
    unpaired: tuple[str, ...] = ()
