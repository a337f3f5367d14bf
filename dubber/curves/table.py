"""Tables of curves as files: CSV as spreadsheets write it anywhere, and JSON.

A CSV file begins with rows of facts, `# name` and a value; then comes the row of the columns' names, then a
row per frame. JSON says the same: `{"facts": {name: value}, "rows": [{column: value}]}`. Empty cells say
nothing.

Index letters: R rows, C columns.
"""

from __future__ import annotations

import csv
import io
import json
import math
from array import array
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from dubber.curves.columns import Column, column, known_columns
from dubber.curves.facts import check_facts
from dubber.errors import ConfigError
from dubber.types import Float64, Int32

MOST_BYTES = 500_000_000
"""Two hours of a film at 60 frames per second, every coefficient, is below this."""

SUFFIXES = (".csv", ".json")

_SHOWN_PROBLEMS = 12
_SEPARATORS = (",", ";", "\t")
_TRUTHS = {"true": 1.0, "false": 0.0}
_ADVICE = "`dubber export curves` writes such a file; an empty cell means: as computed."


class Problems:
    """Collects what is wrong with a table, so that all of it can be told at once.

    Args:
        where: The file.
    """

    def __init__(self, where: str) -> None:
        self._where = where
        self._found: list[str] = []

    def add(self, row: int, name: str, what: str) -> None:
        """Note a wrong cell; rows count from 1, as a spreadsheet shows them."""
        self._found.append(f"row {row}, column {name}: {what}")

    def check(self) -> None:
        """Tell of all of them.

        Raises:
            ConfigError: There are some.
        """
        if not self._found:
            return
        shown = self._found[:_SHOWN_PROBLEMS]
        more = len(self._found) - len(shown)
        lines = [*shown, *([f"and {more} more"] if more else [])]
        count = "A cell is" if len(self._found) == 1 else f"{len(self._found)} cells are"
        raise ConfigError(
            f"{count} wrong:\n  " + "\n  ".join(lines) + "\n", where=self._where, advice=_ADVICE
        )


@dataclass(frozen=True)
class CurveTable:
    """What a file of curves says.

    Attributes:
        path: Where it was read.
        facts: What it says of itself, by name.
        names: (C,) columns whose cells count.
        cells_RC: (R, C) float64, NaN where a cell is empty.
        rows_R: (R,) int32 each row's number in the file, from 1, for messages.
    """

    path: Path
    facts: dict[str, str]
    names: tuple[str, ...]
    cells_RC: Float64
    rows_R: Int32

    def cells(self, name: str) -> Float64:
        """(R,) float64 the cells of a column; NaN throughout if there is none."""
        if name not in self.names:
            return np.full(len(self.rows_R), np.nan)
        return np.asarray(self.cells_RC[:, self.names.index(name)])

    def of_rows(self, is_chosen_R: Any) -> CurveTable:
        """The same table with some of its rows."""
        return CurveTable(
            self.path, self.facts, self.names, self.cells_RC[is_chosen_R], self.rows_R[is_chosen_R]
        )

    def problems(self) -> Problems:
        """To collect what is wrong with it."""
        return Problems(str(self.path))


def read_table(path: Path) -> CurveTable:
    """Read a file of curves.

    Commas, semicolons (with decimal commas) and tabs may separate cells, and a byte order mark may come
    first. Columns whose name begins with `#` are the user's own notes.

    Args:
        path: A `.csv` or `.json` file.

    Raises:
        ConfigError: The file cannot be read or is no such table; every wrong cell is named.
    """
    check_suffix(path)
    text = _text_of(path)
    if path.suffix.lower() == ".json":
        facts, names, rows, comma = _of_json(text, path)
    else:
        facts, names, rows, comma = _of_csv(text, path)
    check_facts(facts, str(path))
    return _checked(path, facts, names, rows, is_decimal_comma=comma)


def check_suffix(path: Path) -> None:
    """Find out whether a name is that of a file of curves.

    Raises:
        ConfigError: It is not.
    """
    if path.suffix.lower() not in SUFFIXES:
        raise ConfigError("Curves are a CSV or JSON file.", where=str(path), advice="End its name with .csv.")


def _text_of(path: Path) -> str:
    try:
        if path.stat().st_size > MOST_BYTES:
            raise ConfigError("The file is far too large to be one of curves.", where=str(path))
        data = path.read_bytes()
    except OSError as error:
        raise ConfigError(
            f"The curves cannot be read ({error.strerror}).", where=str(path), advice="Check the path."
        ) from error
    # What counts is ASCII; notes in another encoding do no harm.
    is_wide = data.startswith((b"\xff\xfe", b"\xfe\xff"))
    return data.decode("utf-16" if is_wide else "utf-8-sig", errors="replace")


_Row = tuple[int, Sequence[Any]]
_Parsed = tuple[dict[str, str], list[str], Iterable[_Row], bool]


def _of_csv(text: str, path: Path) -> _Parsed:
    """Facts, the columns' names, numbered rows of cells, and whether numbers have decimal commas."""
    separator = _separator(text)
    reader = csv.reader(io.StringIO(text, newline=""), delimiter=separator)
    facts: dict[str, str] = {}
    rows = _numbered(reader, path)
    for _, cells in rows:
        first = cells[0].strip() if cells else ""
        if first.startswith("#"):
            facts[first.lstrip("# ").strip()] = cells[1].strip() if len(cells) > 1 else ""
        elif any(cell.strip() for cell in cells) and not first.lower().startswith("sep="):
            return facts, [cell.strip() for cell in cells], rows, separator != ","
    raise ConfigError("There is no table in it.", where=str(path), advice=_ADVICE)


def _numbered(reader: Iterator[list[str]], path: Path) -> Iterator[tuple[int, list[str]]]:
    try:
        yield from enumerate(reader, 1)
    except csv.Error as error:
        raise ConfigError(f"This is no CSV file: {error}.", where=str(path), advice=_ADVICE) from error


def _separator(text: str) -> str:
    """What separates cells: the sign that is most frequent in the row of the columns' names."""
    for line in text.splitlines():
        if line.strip(' ",;\t') and not line.lstrip(' "').startswith(("#", "sep=")):
            return max(_SEPARATORS, key=line.count)
    return ","


def _of_json(text: str, path: Path) -> _Parsed:
    try:
        document = json.loads(text)
    except (ValueError, RecursionError) as error:
        raise ConfigError(f"The curves are no valid JSON: {error}.", where=str(path)) from error
    rows = document.get("rows") if isinstance(document, dict) else None
    facts = document.get("facts", {}) if isinstance(document, dict) else None
    is_table = isinstance(rows, list) and isinstance(facts, dict) and all(isinstance(r, dict) for r in rows)
    if not is_table or rows is None or facts is None:
        raise ConfigError(
            'There is no table in it: an object with "rows", a list of objects.', where=str(path)
        )
    names = list(dict.fromkeys(name for row in rows for name in row))
    cells = ((number, [row.get(name) for name in names]) for number, row in enumerate(rows, 1))
    return {str(name): str(value) for name, value in facts.items()}, names, cells, False


def _checked(
    path: Path, facts: dict[str, str], names: list[str], rows: Iterable[_Row], *, is_decimal_comma: bool
) -> CurveTable:
    """The cells that count, as numbers.

    Raises:
        ConfigError: A column is not known or there twice; cells are wrong.
    """
    names = [name.lower() for name in names]
    counting = _counting(path, names)
    problems = Problems(str(path))
    kept, numbers = array("d"), array("i")  # a film of two hours has millions of cells
    for number, cells in rows:
        if not any(cell not in (None, "") and str(cell).strip() for cell in cells):
            continue
        if len(cells) > len(names) and any(str(cell).strip() for cell in cells[len(names) :]):
            problems.add(number, str(len(names) + 1), "there are more cells than columns")
        for place, name, allowed in counting:
            try:
                cell = cells[place] if place < len(cells) else None
                kept.append(_number(cell, allowed, is_decimal_comma=is_decimal_comma))
            except ValueError as error:
                problems.add(number, name, f"{error}; allowed: {allowed.allowed}, or nothing")
                kept.append(math.nan)
        numbers.append(number)
    problems.check()
    cells_RC = np.array(kept, np.float64).reshape(len(numbers), len(counting))
    return CurveTable(
        path, facts, tuple(name for _, name, _ in counting), cells_RC, np.array(numbers, np.int32)
    )


def _counting(path: Path, names: list[str]) -> list[tuple[int, str, Column]]:
    """Place, name and kind of the columns that are read.

    Raises:
        ConfigError: A column is not known, or there twice.
    """
    found = []
    for place, name in enumerate(names):
        if not name or name.startswith("#"):
            continue
        kind = column(name)
        if kind is None:
            raise ConfigError(
                f"There is no column '{name}'.",
                where=str(path),
                advice=f"Columns: {known_columns()}. Begin the name of a column of your own with #.",
            )
        if name in names[:place]:
            raise ConfigError(f"The column '{name}' is there twice.", where=str(path), advice=_ADVICE)
        if kind.is_read:
            found.append((place, name, kind))
    return found


def _number(cell: Any, allowed: Column, *, is_decimal_comma: bool) -> float:
    """Value of a cell, NaN if it is empty.

    Raises:
        ValueError: With what is wrong.
    """
    if isinstance(cell, str):
        text = cell.strip()
        if not text:
            return math.nan
        value = _TRUTHS.get(text.lower())
        if value is None:
            value = _parsed(text.replace(",", ".") if is_decimal_comma else text)
    elif cell is None:
        return math.nan
    elif isinstance(cell, (int, float)):  # a truth of JSON is an int
        value = float(cell)
    else:
        raise ValueError(f"'{cell}' is no number")
    if not math.isfinite(value):
        raise ValueError(f"'{cell}' is no number")
    if not allowed.lowest <= value <= allowed.highest:
        raise ValueError(f"{value:g} is out of range")
    if allowed.decimals == 0 and value != round(value):
        raise ValueError(f"{value:g} is no whole number")
    return value


def _parsed(text: str) -> float:
    """A number as text.

    Raises:
        ValueError: It is none.
    """
    try:
        return float("nan" if "_" in text else text)
    except ValueError as error:
        raise ValueError(f"'{text}' is no number") from error


def write_csv(
    path: Path, facts: Mapping[str, str], names: Sequence[str], rows: Iterable[Sequence[str]]
) -> None:
    """Write a table as `read_table` reads it.

    Args:
        path: A `.csv` file.
        facts: What it says of itself.
        names: (C,) columns.
        rows: Of C cells each, as text.

    Raises:
        OSError: It cannot be written.
    """
    with path.open("w", newline="", encoding="utf-8") as file:
        writer = csv.writer(file, lineterminator="\n")
        writer.writerows([f"# {name}", value] for name, value in facts.items())
        writer.writerow(names)
        writer.writerows(rows)


def write_json(
    path: Path, facts: Mapping[str, str], names: Sequence[str], rows: Iterable[Sequence[str]]
) -> None:
    """Write a table as `read_table` reads it, a row per line; arguments as those of `write_csv`.

    Raises:
        OSError: It cannot be written.
    """
    with path.open("w", encoding="utf-8") as file:
        file.write(f'{{"facts": {json.dumps(facts, indent=1, ensure_ascii=False)},\n "rows": [')
        for number, row in enumerate(rows):
            cells = (f"{json.dumps(n)}: {_json_cell(c)}" for n, c in zip(names, row, strict=True) if c != "")
            file.write(f"{',' if number else ''}\n  {{{', '.join(cells)}}}")
        file.write("\n ]}\n")


def _json_cell(cell: str) -> str:
    """A number as it is, anything else as JSON text."""
    try:
        float(cell)
    except ValueError:
        return json.dumps(cell, ensure_ascii=False)
    return cell
