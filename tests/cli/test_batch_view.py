"""What a person sees of a batch while it runs."""

from __future__ import annotations

import pytest

from dubber.batch import events as e
from dubber.cli import batch_view
from dubber.cli.batch_view import BatchLines, BatchView, clock, ending

ERROR = {
    "type": "MediaError",
    "message": "It is broken.",
    "where": "a.mp4",
    "advice": "Copy it.",
    "exit_code": 3,
}


@pytest.fixture
def clock_s(monkeypatch: pytest.MonkeyPatch) -> list[float]:
    now_s = [1000.0]
    monkeypatch.setattr(batch_view.time, "monotonic", lambda: now_s[0])
    return now_s


def test_rows_show_the_stage_that_is_furthest_behind(clock_s: list[float]) -> None:
    view = BatchView()
    view.take(e.JobStarted("a", "paint", "me-1", 1))
    view.take(e.StageStarted("a", "remux", 100))
    view.take(e.StageStarted("a", "render", 100))
    view.take(e.StageProgress("a", "remux", 40, 100, 12.0))
    view.take(e.StageProgress("a", "render", 50, 100, 12.5))
    assert view.rows() == [["a", "paint", "remux", "40/100", "12.0", "0:05"]]
    view.take(e.StageFinished("a", "remux", 9.0, False))
    assert view.rows() == [["a", "paint", "render", "50/100", "12.5", "0:04"]]
    view.take(e.PhaseFinished("a", "paint", 9.0))
    assert view.rows() == []


def test_totals_count_and_foresee(clock_s: list[float]) -> None:
    view = BatchView()
    view.take(e.BatchStarted("out", "local", 6, 4))
    for job in ("old", "older"):
        view.take(e.JobSkipped(job, "done", "finished"))
    assert "to go" not in view.totals()
    for job in ("a", "b"):
        view.take(e.JobStarted(job, "look", "me-1", 1))
    clock_s[0] += 60.0
    for job in ("a", "b"):
        view.take(e.PhaseFinished(job, "look", 30.0))
    # Looks of 30 s foretell 10 s for listening, 50 s for painting: two jobs lack 60 s each, two 90 s.
    assert view.left_s() == pytest.approx((2 * 60 + 2 * 90) / 2)
    assert view.totals() == "0 done · 0 failed · 4 left · 2 skipped · 1:00 so far · about 2:30 to go"
    view.take(e.JobFailed("a", ERROR, 1.0, 1))
    view.take(e.JobStarted("b", "paint", "me-1", 1))
    clock_s[0] += 20.0
    assert view.left_s() == pytest.approx((30 + 2 * 90) / 2)
    view.take(e.PhaseFinished("b", "paint", 50.0))
    view.take(e.JobFinished("b", "b.mp4", 90.0, 100))
    assert view.totals().startswith("1 done · 1 failed · 2 left")
    view.take(e.BatchStarted("out", "local", 1, 1))  # something was dropped into a watched folder
    assert view.totals().startswith("1 done · 1 failed · 3 left")


def test_a_job_whose_worker_was_lost_leaves_the_table_until_it_begins_again(clock_s: list[float]) -> None:
    view = BatchView()
    view.take(e.JobStarted("a", "look", "me-1", 1))
    view.take(e.JobRetried("a", "me-1", "killed by SIGKILL", 2))
    assert view.rows() == []
    view.take(e.JobStarted("a", "look", "me-2", 2))
    assert [row[0] for row in view.rows()] == ["a"]


def test_lines_tell_phases_and_now_and_then_progress(clock_s: list[float]) -> None:
    lines = BatchLines()
    assert lines.line(e.JobStarted("a", "look", "me-1", 1)) == "a: look"
    assert lines.line(e.JobStarted("a", "look", "me-1", 2)) == "a: look (attempt 2)"
    progress = e.StageProgress("a", "people", 7, 50, 3.5)
    assert lines.line(progress) is None
    clock_s[0] += 11.0
    assert lines.line(progress) == "a: people 7/50, 3.5 fps"
    assert lines.line(progress) is None


def test_endings_name_the_job_and_the_reason() -> None:
    assert ending(e.JobFailed("a", ERROR, 1.0, 1)) == "failed a: a.mp4: It is broken. Copy it."
    assert ending(e.JobFinished("a", "out/a.mp4", 12.34, 50)) == "done a: out/a.mp4 (50 frames, 12.3 s)"
    assert ending(e.JobSkipped("a", "done", "finished")) == "skipped a: finished"
    assert ending(e.JobSkipped("a", "failed", "It failed before: x")) == "failed a: It failed before: x"
    assert ending(e.Warned("", "No pair.")) == "warning: No pair."
    assert ending(e.StageStarted("a", "people", None)) is None
    assert ending(e.Logged("a", 20, "said by the log itself")) is None


def test_durations_read_as_clocks() -> None:
    assert [clock(seconds) for seconds in (0, 59.6, 75, 3600, 86399)] == [
        "0:00",
        "1:00",
        "1:15",
        "1:00:00",
        "23:59:59",
    ]
