"""What a table of curves changes, frame by frame.

A cell that says what was computed, as precisely as cells are written, changes nothing: a table that nobody
edited gives the computed values back, bit for bit.

Index letters: N output frames, T source frames, K coefficients, R rows of the table.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from dubber.curves.columns import (
    FRAME,
    IS_HALFWAY,
    MOUTH_OPENING,
    SOURCE_FRAME,
    SPEAKER,
    TIME_S,
    VALUE_DECIMALS,
    coefficient_index,
)
from dubber.curves.facts import BETWEEN_ROWS, FACE_MODEL, FRAME_RATE, INTERPOLATE, is_same_rate
from dubber.curves.opening import LipOpening
from dubber.curves.table import CurveTable
from dubber.errors import ConfigError
from dubber.types import Bool, ExpressionTrack, Float32, Float64, Int64, RetimeMap, Timeline

_HALF_STEP = 0.5 * 10**-VALUE_DECIMALS * (1 + 1e-6)
"""A cell that differs by no more from what was computed was written from it."""


@dataclass(frozen=True)
class PlacedRows:
    """The rows of one speaker on the output's clock.

    Attributes:
        table: These rows, in the order of their times.
        times_s_R: (R,) float64 seconds, increasing.
        frame_R: (R,) int64 output frame that each row is about, or the nearest one.
        is_filled: Whether frames between rows take values between theirs; else they stay as computed.
        is_of_frames: Whether each row is about a frame; else about a time, and frames lie between.
    """

    table: CurveTable
    times_s_R: Float64
    frame_R: Int64
    is_filled: bool
    is_of_frames: bool


def placed_rows(table: CurveTable, timeline: Timeline, *, speaker: int) -> PlacedRows:
    """Find out which output frames a speaker's rows are about.

    Rows are placed by `frame`; by `time_s` where there is no such column, or where the file says that it has
    another frame rate.

    Args:
        table: As read.
        timeline: When the output's frames are shown.
        speaker: Counting from 0.

    Raises:
        ConfigError: Rows lie outside of the dub, or two of them in one place.
    """
    mine = table.of_rows(np.nan_to_num(table.cells(SPEAKER), nan=1) == speaker + 1)
    rate = table.facts.get(FRAME_RATE, "")
    is_filled = table.facts.get(BETWEEN_ROWS, "").lower() == INTERPOLATE
    is_of_frames = FRAME in table.names and is_same_rate(rate, timeline)
    if not is_of_frames and TIME_S not in table.names:
        raise ConfigError(
            f"The curves have another frame rate ({rate}), and no column {TIME_S}."
            if FRAME in table.names
            else f"The curves have neither a column {FRAME} nor a column {TIME_S}.",
            where=str(table.path),
            advice=f"Say in a column {FRAME} which frame of the dub, from 0, each row is about.",
        )
    _check_places(mine, timeline, FRAME if is_of_frames else TIME_S)
    order_R = np.argsort(mine.cells(FRAME if is_of_frames else TIME_S), kind="stable")
    mine = mine.of_rows(order_R)
    if is_of_frames:
        frame_R = mine.cells(FRAME).astype(np.int64)
        return PlacedRows(mine, timeline.times_s_N[frame_R], frame_R, is_filled, is_of_frames)
    times_s_R = mine.cells(TIME_S)
    return PlacedRows(mine, times_s_R, _nearest(timeline.times_s_N, times_s_R), True, is_of_frames)


def _check_places(table: CurveTable, timeline: Timeline, name: str) -> None:
    """Rows must lie in the dub, one in each place.

    Raises:
        ConfigError: They do not.
    """
    last = timeline.num_frames - 1 if name == FRAME else timeline.duration_s
    problems = table.problems()
    seen: dict[float, int] = {}
    for place, row in zip(table.cells(name).tolist(), table.rows_R.tolist(), strict=True):
        if np.isnan(place):
            problems.add(row, name, "it is empty, so that nobody knows which frame the row is about")
        elif place > last:
            problems.add(row, name, f"{place:g} is behind the dub's end; allowed: 0 to {last:.10g}")
        elif place in seen:
            problems.add(row, name, f"{place:g} is in row {seen[place]} already")
        seen.setdefault(place, row)
    problems.check()


def edited_expression(
    track: ExpressionTrack, rows: PlacedRows, timeline: Timeline, opening: LipOpening, face_model: str
) -> ExpressionTrack:
    """Put the user's coefficients and openings in the place of the computed ones.

    In a row whose coefficients were changed, they count; in one where only the opening was, the expression is
    moved to open the mouth so far, see `LipOpening.moved`.

    Args:
        track: As computed.
        rows: What the user wants of this speaker.
        timeline: The output's clock.
        opening: The speaker's.
        face_model: Checksum of the face model.

    Raises:
        ConfigError: Coefficients of another face model, or more than there are.
    """
    base_NK = track.expression_NK
    columns = _coefficient_columns(rows.table, base_NK.shape[1], face_model)
    if columns:
        base_RK = _at_rows(base_NK, rows, timeline)
        wanted_RK = resolved_rows(rows.table, columns, base_RK, opening)
        expression_NK: Float32 | Float64 = _spread(wanted_RK, base_NK, rows, timeline)
    else:
        wanted_R = rows.table.cells(MOUTH_OPENING)
        computed_N = opening.of(base_NK)
        opening_N = _spread(wanted_R[:, None], computed_N[:, None], rows, timeline)[:, 0]
        expression_NK = _opened(base_NK, opening_N, opening)
    return ExpressionTrack(
        np.asarray(expression_NK, np.float32), np.array(track.is_silent_N), np.array(track.is_asked_N)
    )


def resolved_rows(
    table: CurveTable, columns: dict[int, str], base_RK: Float64, opening: LipOpening
) -> Float64:
    """(R, K) expressions that rows ask for.

    Args:
        table: The rows.
        columns: Name of the column of each coefficient that has one.
        base_RK: (R, K) float64 what was computed at their times.
        opening: The speaker's.
    """
    wanted_RK = base_RK.copy()
    for k, name in columns.items():
        cells_R = table.cells(name)
        is_edited_R = differs(cells_R, base_RK[:, k])
        wanted_RK[is_edited_R, k] = cells_R[is_edited_R]
    is_direct_R = (wanted_RK != base_RK).any(axis=1)
    opened_RK = _opened(base_RK, table.cells(MOUTH_OPENING), opening)
    return np.where(is_direct_R[:, None], wanted_RK, opened_RK)


def differs(cells: Float64, computed: Float64 | Float32) -> Bool:
    """Whether cells ask for something else than was computed; empty ones do not."""
    return np.asarray(np.abs(cells - computed) > _HALF_STEP)


def _opened(base_NK: Float32 | Float64, opening_N: Float64, opening: LipOpening) -> Float32 | Float64:
    """Expressions moved where the wanted opening differs from theirs."""
    is_edited_N = differs(opening_N, opening.of(base_NK))
    moved_NK = base_NK.copy()
    moved_NK[is_edited_N] = opening.moved(base_NK[is_edited_N], opening_N[is_edited_N])
    return moved_NK


def _coefficient_columns(table: CurveTable, num_coefficients: int, face_model: str) -> dict[int, str]:
    """Columns of coefficients in use, by the coefficient.

    Raises:
        ConfigError: They belong to another face model.
    """
    columns = {k: name for name in table.names if (k := coefficient_index(name)) is not None}
    columns = {k: name for k, name in columns.items() if not np.isnan(table.cells(name)).all()}
    is_foreign = table.facts.get(FACE_MODEL, face_model) != face_model
    if columns and (is_foreign or max(columns) >= num_coefficients):
        raise ConfigError(
            "The expression columns belong to another face model.",
            where=str(table.path),
            advice=f"Delete them and keep {MOUTH_OPENING}, or export the curves again.",
        )
    return columns


def edited_retime(retime: RetimeMap, rows: PlacedRows, timeline: Timeline) -> RetimeMap:
    """Put the user's source frames in the place of the computed ones.

    Args:
        retime: As computed.
        rows: What the user wants of the first speaker.
        timeline: The output's clock.

    Raises:
        ConfigError: They stand beside times only.
    """
    if not rows.is_of_frames:
        _check_no_sources(rows.table, timeline)
        return retime  # frames of another rate mean nothing here
    frame_R = rows.frame_R
    source_R, half_R = rows.table.cells(SOURCE_FRAME), rows.table.cells(IS_HALFWAY)
    computed_R = retime.source_index_N[frame_R]
    is_moved_R = ~np.isnan(source_R) & (source_R != computed_R)
    half_R = np.where(np.isnan(half_R), np.where(is_moved_R, 0, retime.is_halfway_N[frame_R]), half_R)
    twice_R = 2 * source_R + np.where(np.isnan(source_R), np.nan, half_R)
    if not rows.is_filled:
        twice_R = np.where(np.isnan(twice_R), 2 * computed_R + half_R, twice_R)
    twice_N = (2 * retime.source_index_N + retime.is_halfway_N).astype(np.float64)
    wanted_N = np.rint(_spread(twice_R[:, None], twice_N[:, None], rows, timeline)[:, 0]).astype(np.int32)
    return RetimeMap(wanted_N // 2, wanted_N % 2 == 1)


def _check_no_sources(table: CurveTable, timeline: Timeline) -> None:
    """Source frames are not taken from rows that are placed by time; of files of another rate that is told.

    Raises:
        ConfigError: There are some, and nothing says that the file has another rate.
    """
    if FRAME in table.names or not is_same_rate(table.facts.get(FRAME_RATE, ""), timeline):
        return
    if not all(np.isnan(table.cells(name)).all() for name in (SOURCE_FRAME, IS_HALFWAY)):
        raise ConfigError(
            f"Source frames need a column {FRAME}; the rows have times only.",
            where=str(table.path),
            advice=f"Say in a column {FRAME} which frame of the dub, from 0, each row is about.",
        )


def check_sources(table: CurveTable, num_source_frames: int) -> None:
    """Source frames must be frames of the video, and stand in the rows of the first speaker.

    Raises:
        ConfigError: They are not, or do not.
    """
    problems = table.problems()
    cells = zip(
        table.rows_R.tolist(),
        np.nan_to_num(table.cells(SPEAKER), nan=1).tolist(),
        table.cells(SOURCE_FRAME).tolist(),
        table.cells(IS_HALFWAY).tolist(),
        strict=True,
    )
    for row, speaker, source, half in cells:
        if source >= num_source_frames:
            problems.add(row, SOURCE_FRAME, f"{source:g} is none; allowed: 0 to {num_source_frames - 1}")
        if speaker > 1 and not (np.isnan(source) and np.isnan(half)):
            problems.add(row, SOURCE_FRAME, "the footage is all speakers'; say it in the rows of speaker 1")
    problems.check()


def check_speakers(table: CurveTable, num_speakers: int) -> None:
    """Rows must be about somebody who speaks.

    Raises:
        ConfigError: They are not.
    """
    problems = table.problems()
    for row, speaker in zip(table.rows_R.tolist(), table.cells(SPEAKER).tolist(), strict=True):
        if speaker > num_speakers:
            problems.add(row, SPEAKER, f"there is no speaker {speaker:g}; allowed: 1 to {num_speakers}")
    problems.check()


def _at_rows(values_NX: Float32, rows: PlacedRows, timeline: Timeline) -> Float64:
    """(R, X) computed values at the rows' times."""
    if rows.is_of_frames:
        return values_NX[rows.frame_R].astype(np.float64)
    every = [np.interp(rows.times_s_R, timeline.times_s_N, column) for column in values_NX.T]
    return np.stack(every, axis=1)


def _spread(
    wanted_RX: Float64, computed_NX: Float32 | Float64, rows: PlacedRows, timeline: Timeline
) -> Float64:
    """(N, X) values of all frames: the rows' own, between rows what lies between, else as computed.

    Args:
        wanted_RX: (R, X); a row with NaN says nothing.
        computed_NX: (N, X).
        rows: Where the rows lie.
        timeline: The output's clock.

    Source: Fritsch and Butland 1984, monotone piecewise cubic interpolation: smooth, and never beyond what
        two neighbouring rows say.
    """
    is_said_R = ~np.isnan(wanted_RX).any(axis=1)
    wanted_RX, times_s_R, frame_R = wanted_RX[is_said_R], rows.times_s_R[is_said_R], rows.frame_R[is_said_R]
    values_NX = computed_NX.astype(np.float64)
    if rows.is_filled and len(frame_R) > 1:
        from scipy.interpolate import PchipInterpolator

        times_s_N = timeline.times_s_N
        is_between_N = (times_s_N >= times_s_R[0] - 1e-9) & (times_s_N <= times_s_R[-1] + 1e-9)
        inside_s = np.clip(times_s_N[is_between_N], times_s_R[0], times_s_R[-1])
        values_NX[is_between_N] = PchipInterpolator(times_s_R, wanted_RX)(inside_s)
    if rows.is_of_frames or len(frame_R) == 1:
        values_NX[frame_R] = wanted_RX
    return values_NX


def _nearest(times_s_N: Float64, times_s_R: Float64) -> Int64:
    """(R,) the frame nearest to each time."""
    edges_s = (times_s_N[1:] + times_s_N[:-1]) / 2
    return np.searchsorted(edges_s, times_s_R).astype(np.int64)
