"""The columns of a table of curves: their names, what their cells may hold, and how they are written."""

from __future__ import annotations

import re
from dataclasses import dataclass

FRAME = "frame"
TIME_S = "time_s"
SPEAKER = "speaker"
SOURCE_FRAME = "source_frame"
IS_HALFWAY = "is_halfway"
SOURCE_TIME_S = "source_time_s"
MOUTH_OPENING = "mouth_opening"
IS_SILENT = "is_silent"
STATE = "state"

_EXPRESSION = re.compile(r"expression_(\d{1,4})")

VALUE_DECIMALS = 4
"""Decimals of openings and coefficients: far below what can be seen, and readable in a spreadsheet."""


@dataclass(frozen=True)
class Column:
    """What the cells of a column may hold.

    Attributes:
        lowest: Least value that makes sense.
        highest: Greatest.
        decimals: How many are written; 0: whole numbers only.
        is_read: Whether what stands in it counts; else it is there to be looked at.
    """

    lowest: float = 0.0
    highest: float = float("inf")
    decimals: int = 0
    is_read: bool = True

    @property
    def allowed(self) -> str:
        """What may stand in a cell, in words."""
        kind = "a whole number" if self.decimals == 0 else "a number"
        if self.highest == float("inf"):
            return f"{kind} from {self.lowest:g}"
        return f"{kind} from {self.lowest:g} to {self.highest:g}"


_COLUMNS = {
    FRAME: Column(),
    TIME_S: Column(decimals=4),
    SPEAKER: Column(lowest=1),
    SOURCE_FRAME: Column(),
    IS_HALFWAY: Column(highest=1),
    SOURCE_TIME_S: Column(decimals=4, is_read=False),
    MOUTH_OPENING: Column(lowest=-0.2, highest=1.0, decimals=VALUE_DECIMALS),
    IS_SILENT: Column(highest=1, is_read=False),
    STATE: Column(is_read=False),
}

_COEFFICIENT = Column(lowest=-20, highest=20, decimals=VALUE_DECIMALS)


def column(name: str) -> Column | None:
    """What a column of this name may hold; None if there is no such column."""
    return _COEFFICIENT if _EXPRESSION.fullmatch(name) else _COLUMNS.get(name)


def known_columns() -> str:
    """The names of all columns, for messages."""
    return ", ".join([*_COLUMNS, "expression_00 and so on"])


def expression_column(k: int) -> str:
    """Name of the column of the k-th coefficient, counting from 0."""
    return f"expression_{k:02d}"


def coefficient_index(name: str) -> int | None:
    """Which coefficient a column holds, counting from 0; None if it holds something else."""
    match = _EXPRESSION.fullmatch(name)
    return int(match.group(1)) if match else None
