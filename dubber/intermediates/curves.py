"""What a dub's mouths and footage do, as tables that a person edits or an animation programme reads."""

from __future__ import annotations

import tempfile
from collections.abc import Iterable, Iterator, Mapping, Sequence
from pathlib import Path

from dubber import __version__
from dubber.corrections import facts_of, lip_opening
from dubber.curves.columns import (
    FRAME,
    IS_HALFWAY,
    IS_SILENT,
    MOUTH_OPENING,
    SOURCE_FRAME,
    SOURCE_TIME_S,
    SPEAKER,
    STATE,
    TIME_S,
    VALUE_DECIMALS,
    expression_column,
)
from dubber.curves.facts import BETWEEN_ROWS, KEEP, VERSION
from dubber.curves.table import check_suffix, write_csv, write_json
from dubber.engine.execute import Run
from dubber.engine.progress import Progress
from dubber.engine.stage import Runtime
from dubber.errors import OutputExistsError, OutputFolderError
from dubber.output import publish
from dubber.pipeline import DubPlan
from dubber.stages.mouth_geometry import shown_halfway
from dubber.types import ExpressionTrack, FaceTrack, RetimeMap, WhyNot

DUBBED, NOT_ASKED = "dubbed", "not_asked"
"""States of a frame whose mouth is made, and of one outside of the ranges that were asked for."""


def check_table(path: Path, *, is_overwrite: bool) -> None:
    """Find out before the work whether a table can be written.

    Raises:
        ConfigError: The name is neither that of a CSV nor of a JSON file.
        OutputExistsError: It exists and may not be replaced.
        OutputFolderError: It has no folder to lie in.
    """
    check_suffix(path)
    if path.exists() and not is_overwrite:
        raise OutputExistsError("The file is there already.", where=str(path))
    if not path.parent.is_dir():
        raise OutputFolderError("The file's folder does not exist.", where=str(path.parent))


def write_curves(
    dub_plan: DubPlan, runtime: Runtime, path: Path, *, progress: Progress, is_overwrite: bool
) -> int:
    """Write what mouths and footage do, a row per output frame and speaker (docs/curves.md).

    Args:
        dub_plan: A plan; what of it is missing in the cache is made, up to the curves.
        runtime: Where and how.
        path: A `.csv` or `.json` file.
        progress: Is told how far it is.
        is_overwrite: Replace an existing file.

    Returns:
        How many rows there are.

    Raises:
        DubberError: A stage failed, or the file cannot be written.
    """
    run = Run(dub_plan.plan, runtime, progress)
    run.progress.plan([node.name for node in dub_plan.plan.nodes[: dub_plan.retime.index + 1] if node.stage])
    facts = facts_of(run, dub_plan) | {VERSION: __version__, BETWEEN_ROWS: KEEP}
    num_coefficients = run.get(dub_plan.expression).expression_NK.shape[1]
    names = [
        FRAME,
        TIME_S,
        *([SPEAKER] if len(dub_plan.performances) > 1 else []),
        SOURCE_FRAME,
        IS_HALFWAY,
        SOURCE_TIME_S,
        MOUTH_OPENING,
        IS_SILENT,
        STATE,
        *(expression_column(k) for k in range(num_coefficients)),
    ]
    write_whole(path, facts, names, _rows(run, dub_plan), is_overwrite=is_overwrite)
    return run.get(dub_plan.timeline).num_frames * len(dub_plan.performances)


def write_whole(
    path: Path,
    facts: Mapping[str, str],
    names: Sequence[str],
    rows: Iterable[Sequence[str]],
    *,
    is_overwrite: bool,
) -> None:
    """Write a table whole or not at all.

    Args:
        path: A `.csv` or `.json` file; a CSV file without facts begins with its columns' names.
        facts: What it says of itself.
        names: (C,) columns.
        rows: Of C cells each, as text.
        is_overwrite: Replace an existing file.

    Raises:
        OutputExistsError: It appeared meanwhile.
        OutputFolderError: The folder cannot be written.
    """
    write = write_json if path.suffix.lower() == ".json" else write_csv
    with tempfile.TemporaryDirectory(prefix="dubber-") as folder:
        finished = Path(folder) / path.name
        write(finished, facts, names, rows)
        publish(finished, path, is_overwrite=is_overwrite)


def _rows(run: Run, dub_plan: DubPlan) -> Iterator[list[str]]:
    timeline, retime = run.get(dub_plan.timeline), run.get(dub_plan.retime)
    source_s_N = run.get(dub_plan.clip).times_s_T[retime.source_index_N]
    is_shared = len(dub_plan.performances) > 1
    for number, person in enumerate(dub_plan.performances, 1):
        track, expression = run.get(person.track), run.get(person.expression)
        opening_N = lip_opening(run, person).of(expression.expression_NK)
        states = _states(track, retime, expression)
        for n, time_s in enumerate(timeline.times_s_N):
            # The footage is all speakers': it stands in the rows of the first one.
            shown = (f"{retime.source_index_N[n]}", f"{int(retime.is_halfway_N[n])}", f"{source_s_N[n]:.4f}")
            yield [
                f"{n}",
                f"{time_s:.4f}",
                *([f"{number}"] if is_shared else []),
                *(shown if number == 1 else ("", "", "")),
                decimal(opening_N[n], VALUE_DECIMALS),
                f"{int(expression.is_silent_N[n])}",
                states[n],
                *(decimal(value, VALUE_DECIMALS) for value in expression.expression_NK[n]),
            ]


def _states(track: FaceTrack, retime: RetimeMap, expression: ExpressionTrack) -> list[str]:
    """What becomes of a speaker's mouth in each output frame."""
    why_N = track.why_not_T[retime.source_index_N]
    next_why_N = track.why_not_T[retime.source_index_N + shown_halfway(track, retime)]
    states = []
    for is_asked, why, next_why in zip(expression.is_asked_N, why_N, next_why_N, strict=True):
        reason = WhyNot(int(why or next_why))
        states.append((DUBBED if reason == WhyNot.USABLE else reason.name.lower()) if is_asked else NOT_ASKED)
    return states


def decimal(value: float, decimals: int) -> str:
    """A number with so many decimals; zero has no sign."""
    return f"{round(float(value), decimals) + 0.0:.{decimals}f}"
