"""The page about a batch: what it says of each job."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest

from dubber.batch.index import check_index, write_batch_index
from dubber.batch.ledger import open_ledger
from dubber.batch.warned import of_result
from dubber.batch.work import Task
from dubber.errors import OutputExistsError
from dubber.outcome import DubResult, PassedThrough
from dubber.types import WhyNot
from tests.batch.fakes import ended, make_job


def test_what_was_left_as_it_was_counts_as_a_warning(tmp_path: Path) -> None:
    out, job = tmp_path / "out", make_job(tmp_path)
    left = [(1.0, 2.0, WhyNot.NO_FACE), (3.0, 3.5, WhyNot.TURNED_AWAY), (5.0, 5.5, WhyNot.NO_FACE)]
    result = DubResult(
        job.output, warnings=("It is dark.",), passed_through=tuple(PassedThrough(*each) for each in left)
    )
    with open_ledger(out) as ledger:
        warnings = tuple(of_result(job.name, result))
        record = ledger.end(replace(ended(Task(job)), result=result, warnings=warnings))
        assert [each["ranges_s"] for each in record["warnings"]] == [
            (),
            ((1.0, 2.0), (5.0, 5.5)),
            ((3.0, 3.5),),
        ]
        page = write_batch_index([job], ledger, out).read_text(encoding="utf-8")
    assert "3 warnings" in page
    assert "<li>No face: 1.5 s were left as they were.</li>" in page
    assert "<li>The face is turned away: 0.5 s were left as they were.</li>" in page


def test_a_page_of_the_users_is_not_replaced(tmp_path: Path) -> None:
    out, job = tmp_path / "out", make_job(tmp_path)
    check_index(out)
    with open_ledger(out) as ledger:
        ledger.end(ended(Task(job)))
        page = write_batch_index([job], ledger, out)
    check_index(out)
    page.write_text("<title>My dubber</title>")
    with pytest.raises(OutputExistsError, match="did not write"):
        check_index(out)
