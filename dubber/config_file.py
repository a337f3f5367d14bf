"""A config file as it is written: a preset, a table per stage, a table per command."""

from __future__ import annotations

import difflib
import sys
from collections.abc import Iterable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from dubber.errors import ConfigError

if sys.version_info >= (3, 11):
    import tomllib
else:
    import tomli as tomllib

COMMANDS = (
    "run",
    "plan",
    "check",
    "doctor",
    "faces",
    "batch",
    "inspect",
    "verify",
    "methods",
    "cache",
    "config",
    "export",
    "import",
    "weights",
    "eval",
    "train",
)
"""Commands and groups of commands, whose options a table may hold."""


@dataclass(frozen=True)
class ConfigFile:
    """What a config file says; nothing of it is checked beyond its form.

    Attributes:
        where: Its name, for errors.
        preset: The preset that it starts from; None for the defaults.
        tables: By name: of stages, and of commands.
    """

    where: str = ""
    preset: str | None = None
    tables: dict[str, dict[str, Any]] = field(default_factory=dict)


def read_config_file(path: Path) -> ConfigFile:
    """Read a config file.

    Raises:
        ConfigError: The file is missing or no TOML, or holds something beside a preset and tables.
    """
    try:
        document = tomllib.loads(path.read_text(encoding="utf-8-sig"))  # Windows' editors put a mark first
    except OSError as error:
        raise ConfigError(
            f"The config file cannot be read ({error.strerror}).",
            where=str(path),
            advice="`--config` or the variable DUBBER_CONFIG names it; `dubber config init` writes one.",
        ) from error
    except (ValueError, RecursionError) as error:  # TOML's and UTF-8's are ValueErrors
        raise ConfigError(f"The config file is no valid TOML: {error}.", where=str(path)) from error
    preset = document.pop("preset", None)
    if preset is not None and not isinstance(preset, str):
        raise ConfigError("The key 'preset' is not the name of a preset.", where=str(path))
    for name, table in document.items():
        if not isinstance(table, dict):
            raise ConfigError(
                f"The key '{name}' stands in no table.",
                where=str(path),
                advice="Only `preset` does; other keys follow a line such as `[render]` or `[run]`.",
            )
    return ConfigFile(str(path), preset, document)


def file_named(text: str, folder: Path) -> str:
    """Text that may be the name of a file in a folder; such a name is relative to the folder no longer."""
    try:
        return str(folder / text) if text and (folder / text).is_file() else text
    except (OSError, ValueError):  # too long for a name
        return text


def did_you_mean(name: str, known: Iterable[str]) -> str:
    """Advice with the known names nearest to a mistyped one; empty where none is near."""
    near = difflib.get_close_matches(name, list(known), n=2, cutoff=0.6)
    return f"Did you mean {' or '.join(f'`{each}`' for each in near)}?" if near else ""


def unknown_table(name: str, known: Iterable[str], where: str) -> ConfigError:
    """The error for a table that nobody reads."""
    names = list(known)
    return ConfigError(
        f"The table [{name}] is neither a stage's nor a command's.",
        where=where,
        advice=did_you_mean(name, names) or f"Tables: {', '.join(names)}.",
    )
