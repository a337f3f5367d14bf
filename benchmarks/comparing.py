"""Two measurements of the same work set against each other, as ratios new : old."""

from __future__ import annotations

import statistics
from collections.abc import Callable
from dataclasses import dataclass

from benchmarks.results import ClipResult, Measured, Sample, WholeRuns
from benchmarks.tables import WORKING_STATES, table

WORSE = 1.2
"""A ratio above this is marked."""

MARK = "worse"


@dataclass(frozen=True)
class Row:
    """One state of one clip.

    Attributes:
        name: State.
        ratios: New : old by figure; None where there is nothing to divide by.
    """

    name: str
    ratios: dict[str, float | None]

    @property
    def is_worse(self) -> bool:
        """Whether any figure is worse by more than `WORSE` allows."""
        return any(ratio is not None and ratio > WORSE for ratio in self.ratios.values())


def to_baseline(new: ClipResult, old: ClipResult) -> list[Row]:
    """Ratios of medians; times in units of the reference workload, as the runs were not made together."""
    return [
        Row(state, _figures(new.states[state], old.states[state]))
        for state in new.states
        if state in old.states
    ]


def paired(new: ClipResult, old: ClipResult) -> list[Row]:
    """Medians of ratios, run by run: the runs were made in turn, so no reference is needed."""
    figures: dict[str, Callable[[Sample], float]] = {
        "time": lambda sample: sample.wall_s,
        "CPU": lambda sample: sample.cpu_s,
        "peak RSS": lambda sample: sample.peak_rss_mb,
        "cache": lambda sample: sample.cache_mb,
        "peak disk": lambda sample: sample.peak_disk_mb,
        "output": lambda sample: sample.output_mb,
    }
    rows = []
    for state in new.states:
        pairs = list(zip(new.states[state].samples, old.states[state].samples, strict=True))
        rows.append(
            Row(
                state,
                {
                    name: _median([_ratio(figure(one), figure(other)) for one, other in pairs])
                    for name, figure in figures.items()
                },
            )
        )
    return rows


def stage_rows(new: ClipResult, old: ClipResult) -> list[Row]:
    """Ratios of the stages' times, in units of the reference's processor time; states are columns."""
    states = [state for state in WORKING_STATES if state in new.states and state in old.states]
    return [
        Row(
            stage,
            {
                state: _ratio(_stage(new.states[state], stage), _stage(old.states[state], stage))
                for state in states
            },
        )
        for stage in new.stages
    ]


def comparison_text(new: WholeRuns, old: WholeRuns, compare: Callable[..., list[Row]]) -> str:
    """Tables for all clips that both have, of the same format and length."""
    before = {clip.name: clip for clip in old.clips}
    texts = [
        f"{ratio_table(f'{clip.name}: new/old', compare(clip, before[clip.name]))}\n\n"
        f"{ratio_table('stages: new/old', stage_rows(clip, before[clip.name]))}"
        for clip in new.clips
        if clip.name in before
    ]
    return (
        "\n\n".join(texts)
        or "Nothing to compare: the older file has no clip of this label, format and length."
    )


def ratio_table(title: str, rows: list[Row]) -> str:
    """A line per row, those worse marked."""
    columns = list(rows[0].ratios) if rows else []
    lines = [
        [row.name, *(_shown(row.ratios[column]) for column in columns), MARK if row.is_worse else ""]
        for row in rows
    ]
    return table([title, *columns, ""], lines)


def _figures(new: Measured, old: Measured) -> dict[str, float | None]:
    return {
        "time": _ratio(new.wall_ratio, old.wall_ratio),
        "CPU": _ratio(new.cpu_ratio, old.cpu_ratio),
        "peak RSS": _ratio(new.peak_rss_mb, old.peak_rss_mb),
        "cache": _ratio(new.cache_mb_per_min, old.cache_mb_per_min),
        "peak disk": _ratio(new.peak_disk_mb_per_min, old.peak_disk_mb_per_min),
        "output": _ratio(new.output_mb_per_min, old.output_mb_per_min),
    }


def _stage(measured: Measured, stage: str) -> float:
    return measured.median(lambda sample: sample.stage_s.get(stage, 0.0) / sample.reference_cpu_s)


def _ratio(new: float, old: float) -> float | None:
    return new / old if old > 0 else None


def _median(values: list[float | None]) -> float | None:
    known = [value for value in values if value is not None]
    return statistics.median(known) if known else None


def _shown(ratio: float | None) -> str:
    return "–" if ratio is None else f"{ratio:.2f}"
