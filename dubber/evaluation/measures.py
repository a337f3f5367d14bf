"""Measures by name, and what stands for many clips."""

from __future__ import annotations

import statistics
from collections.abc import Sequence

Measures = dict[str, float | None]
"""Value by name; None where the measure has no meaning for the clip."""


def medians(rows: Sequence[Measures]) -> Measures:
    """Median of each measure over the clips that have it; None where none has."""
    found: Measures = {}
    for key in dict.fromkeys(key for row in rows for key in row):
        numbers = [value for row in rows if (value := row.get(key)) is not None]
        found[key] = statistics.median(numbers) if numbers else None
    return found
