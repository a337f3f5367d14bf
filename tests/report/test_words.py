"""What a page says of a run."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from dubber.engine.execute import StageReport
from dubber.evaluation.quality import Quality
from dubber.evaluation.quality_sync import AvOffset
from dubber.outcome import DubResult, Labels
from dubber.report import ReportFacts, facts
from dubber.report.facts import Rows, label_rows
from dubber.report.html import join
from dubber.report.page import _offsets, _stages, _value, _work

MADE = StageReport("people", "k" * 64, is_hit=False, seconds=3.2, cpu_s=3.0)


def told(rows: Rows) -> dict[str, str]:
    return {row[0]: row[1] for row in rows}


def test_a_label_that_is_off_is_said_with_the_mark_that_is_on() -> None:
    rows = told(label_rows(DubResult(None, labels=Labels(mark="Dubbed")), ReportFacts()))
    assert rows["Labelled as edited"].endswith("Only the mark in its pictures says that it was edited.")
    rows = told(label_rows(DubResult(None), ReportFacts()))
    assert rows["Labelled as edited"].endswith("Nothing in the file says that it was edited.")


@pytest.mark.parametrize(("found", "words"), [(None, "pip install"), (object(), "signing failed")])
def test_why_nobody_signed(monkeypatch: pytest.MonkeyPatch, found: object, words: str) -> None:
    monkeypatch.setattr(facts, "find_spec", lambda _: found)
    rows = told(label_rows(DubResult(None, labels=Labels(is_in_metadata=True)), ReportFacts()))
    assert words in rows["Signed statement (C2PA)"]


def test_a_run_that_found_everything_says_so() -> None:
    known = replace(MADE, is_hit=True)
    assert _work(DubResult(None, stages=(MADE, known), seconds=41.6)) == "42 s of work"
    assert "earlier run" in _work(DubResult(None, stages=(known,), seconds=0.4))
    some, none = join(_stages([MADE, known])), join(_stages([known]))
    assert "do not add up" in some and "An earlier run" not in some
    assert "An earlier run" in none


@pytest.mark.parametrize(("agreement", "is_marked"), [(0.6, True), (0.1, False)])
def test_an_offset_is_marked_where_the_figure_has_one(agreement: float, is_marked: bool) -> None:
    offsets_s = np.linspace(-0.6, 0.6, 61)
    curve = agreement * np.exp(-((offsets_s / 0.1) ** 2))
    quality = Quality((), AvOffset(offsets_s, curve, curve), (), 9, 9, 9)
    shown = join(_offsets(quality))
    assert ("circle" in shown) == is_marked != ("low everywhere:" in shown)


def test_offsets_have_one_zero() -> None:
    assert [_value(ms, "ms") for ms in (-0.3, 0.3, -20.0)] == ["+0 ms", "+0 ms", "-20 ms"]
