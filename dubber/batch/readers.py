"""Jobs files: TOML, CSV and JSON Lines, each row with options of its own."""

from __future__ import annotations

import csv
import io
import json
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from dubber.batch.rows import Row, Rows
from dubber.errors import ConfigError

if sys.version_info >= (3, 11):
    import tomllib
else:
    import tomli as tomllib

MOST_BYTES = 64_000_000
"""A million jobs are smaller; what is larger is something else."""

_DELIMITERS = (",", ";", "\t")
"""What stands between fields: spreadsheets of countries with decimal commas write semicolons."""

_ADVICE = "See docs/batch.md for what a jobs file looks like."


def read_jobs(path: Path) -> Rows:
    """Read a jobs file; its suffix says which kind.

    Args:
        path: `.toml` with a table `[[job]]` per job and `[defaults]` for all; `.csv` with a line per job and
            options in the first line; `.jsonl` with an object per line.

    Raises:
        ConfigError: It is missing, malformed or empty.
    """
    kinds = {".toml": _toml, ".csv": _csv, ".jsonl": _jsonl}
    kind = kinds.get(path.suffix.lower())
    if kind is None:
        raise ConfigError(
            "This is neither a folder nor a jobs file.",
            where=str(path),
            advice=f"Jobs files end with {', '.join(kinds)}.",
        )
    rows = kind(path, _text_of(path))
    if not rows.rows:
        raise ConfigError("There are no jobs in it.", where=str(path), advice=_ADVICE)
    return rows


def _toml(path: Path, text: str) -> Rows:
    try:
        document = tomllib.loads(text)
    except (ValueError, RecursionError) as error:
        raise ConfigError(f"The jobs file is no valid TOML: {error}.", where=str(path)) from error
    unknown = document.keys() - {"job", "defaults"}
    if unknown:
        raise ConfigError(
            f"There is no table '{sorted(unknown)[0]}' in a jobs file.",
            where=str(path),
            advice="Jobs are tables [[job]]; what holds for all of them goes into [defaults].",
        )
    jobs, defaults = document.get("job", []), document.get("defaults", {})
    if not isinstance(defaults, dict) or not isinstance(jobs, list):
        raise ConfigError("Jobs are tables [[job]], and [defaults] is one.", where=str(path), advice=_ADVICE)
    rows = [_row(path, f"job {number}", job) for number, job in enumerate(jobs, 1)]
    return Rows(tuple(rows), _flat(defaults))


def _csv(path: Path, text: str) -> Rows:
    try:
        return _csv_rows(path, text)
    except csv.Error as error:
        raise ConfigError(f"The jobs file is no valid CSV: {error}.", where=str(path)) from error


def _csv_rows(path: Path, text: str) -> Rows:
    first_line = text.partition("\n")[0]
    delimiter = max(_DELIMITERS, key=first_line.count)
    reader = csv.DictReader(io.StringIO(text), skipinitialspace=True, delimiter=delimiter)
    header = reader.fieldnames or []
    if len(set(header)) < len(header) or "" in header:
        raise ConfigError(
            "Its first line names the options, each once.", where=f"{path}, line 1", advice=_ADVICE
        )
    rows = []
    for values in reader:
        place = f"line {reader.line_num}"
        if None in values:
            raise ConfigError("It has more fields than the first line.", where=f"{path}, {place}")
        rows.append(_row(path, place, {key: value for key, value in values.items() if value}))
    return Rows(tuple(row for row in rows if row.options))


def _jsonl(path: Path, text: str) -> Rows:
    rows = []
    for number, line in enumerate(text.split("\n"), 1):
        if not line.strip():
            continue
        try:
            values = json.loads(line)
        except (ValueError, RecursionError) as error:
            raise ConfigError(f"This is no valid JSON: {error}.", where=f"{path}, line {number}") from error
        rows.append(_row(path, f"line {number}", values))
    return Rows(tuple(rows))


def _row(path: Path, place: str, values: Any) -> Row:
    where = f"{path}, {place}"
    if not isinstance(values, dict):
        raise ConfigError("This is no table of options.", where=where, advice=_ADVICE)
    options = _flat(values)
    for key, value in options.items():
        if isinstance(value, str) and "\0" in value:
            raise ConfigError(f"'{key}' holds a NUL character.", where=where)
    return Row(where, path.parent.absolute(), options)


def _flat(values: Mapping[str, Any]) -> dict[str, Any]:
    """Options, and settings by STAGE.NAME, where a table of its own holds a stage's."""
    flat: dict[str, Any] = {}
    for key, value in values.items():
        if isinstance(value, dict):
            flat.update({f"{key}.{name}": each for name, each in value.items()})
        elif value is not None:
            flat[key] = value
    return flat


def _text_of(path: Path) -> str:
    try:
        if path.stat().st_size > MOST_BYTES:
            raise ConfigError("The jobs file is far too large to be one.", where=str(path), advice=_ADVICE)
        return path.read_text(encoding="utf-8-sig")
    except OSError as error:
        raise ConfigError(f"The jobs file cannot be read ({error.strerror}).", where=str(path)) from error
    except UnicodeDecodeError as error:
        raise ConfigError("The jobs file is no text in UTF-8.", where=str(path)) from error
