"""Events: what docs/batch.md says of them is what there is."""

from __future__ import annotations

import dataclasses
import json
import re
from pathlib import Path

import pytest

from dubber.batch import events as e
from dubber.batch.ledger import Standing, record_of
from dubber.batch.work import Task
from tests.batch.fakes import ended, make_job
from tests.conftest import REPOSITORY

DOCS = (REPOSITORY / "docs" / "batch.md").read_text(encoding="utf-8")


def _table(heading: str) -> dict[str, str]:
    """Second column by the names in the first, of the first table with this heading."""
    lines = DOCS.partition(f"| {heading} |")[2].splitlines()[2:]
    found = {}
    for line in lines:
        if not line.startswith("|"):
            break
        first, second, *_ = (cell.strip() for cell in line.strip("|").split("|"))
        found.update(dict.fromkeys(re.findall(r"`([^`]+)`", first), second))
    return found


def test_docs_list_every_event_with_every_field() -> None:
    documented = {}
    for kind, text in _table("event | fields").items():
        fields = re.findall(r"`([^`]+)`", re.sub(r"\([^)]*\)", "", text.partition(":")[0]))
        documented[kind] = fields
    real = {kind.kind: [field.name for field in dataclasses.fields(kind)] for kind in e.EVENTS}
    assert documented == real


def test_docs_list_every_field_of_results(tmp_path: Path) -> None:
    record = record_of(ended(Task(make_job(tmp_path))))
    assert list(_table("field | what it is")) == list(record)
    assert f'`"{record["schema"]}"`, {record["version"]}'.replace("`", "") in DOCS.replace("`", "")
    assert list(_table("state | what is there | what happens")) == [standing.value for standing in Standing]


def test_an_event_is_one_line_of_json_that_names_its_form() -> None:
    event = e.StageProgress("a.fr", "people", 7, None, 12.34567)
    document = json.loads(json.dumps(e.event_document(event)))
    assert re.fullmatch(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}Z", document.pop("time"))
    assert document == {
        "schema": "dubber.batch.event",
        "version": 1,
        "event": "stage_progress",
        "job": "a.fr",
        "stage": "people",
        "num_done": 7,
        "num_frames": None,
        "fps": 12.346,
    }


def test_progress_is_told_about_once_a_second(monkeypatch: pytest.MonkeyPatch) -> None:
    clock_s = [100.0]
    monkeypatch.setattr(e.time, "monotonic", lambda: clock_s[0])
    told: list[e.Event] = []
    progress = e.EventProgress("a", told.append)
    progress.plan(["people"])
    progress.start("people", 50)
    for _ in range(50):
        clock_s[0] += 0.1
        progress.advance("people")
    progress.finish("people", 5.0, is_hit=False)
    steps = [event for event in told if isinstance(event, e.StageProgress)]
    assert 4 <= len(steps) <= 5
    assert all(step.fps == pytest.approx(10.0) for step in steps)
    assert (told[0], told[-1]) == (
        e.StageStarted("a", "people", 50),
        e.StageFinished("a", "people", 5.0, False),
    )
