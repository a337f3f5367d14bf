"""The page about a batch: a row for every job, also for those that an earlier run did."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from dubber.batch.ledger import Ledger
from dubber.errors import OutputExistsError
from dubber.jobs import Job
from dubber.report import IndexEntry, write_index

INDEX_NAME = "index.html"

_OURS = " – dubber</title>"
"""What all pages of dubber have, and hardly another."""


def check_index(output_dir: Path) -> None:
    """Find out before the work whether the page can have its name.

    Args:
        output_dir: Where it goes.

    Raises:
        OutputExistsError: A page that dubber did not write has it.
    """
    path = output_dir / INDEX_NAME
    if path.exists() and _OURS not in path.read_text(encoding="utf-8", errors="replace"):
        raise OutputExistsError(
            "A page that dubber did not write has the name of the batch's index.",
            where=str(path),
            advice="Move it away, or choose another folder with `-o`.",
        )


def write_batch_index(jobs: Sequence[Job], ledger: Ledger, output_dir: Path) -> Path:
    """Write the page about all jobs of a batch; an earlier one is replaced.

    Args:
        jobs: The jobs, in the order to be shown.
        ledger: Knows what became of them.
        output_dir: Where the page goes.

    Returns:
        The page.

    Raises:
        OutputFolderError: It cannot be written.
    """
    path = output_dir / INDEX_NAME
    write_index([_entry(job, ledger) for job in jobs], path, title=output_dir.name)
    return path


def _entry(job: Job, ledger: Ledger) -> IndexEntry:
    record, report = ledger.record(job), job.extras.report
    if record is None:
        return IndexEntry(job.name, "not done")
    is_done = record["state"] == "done"
    return IndexEntry(
        job.name,
        record["state"],
        output=job.output if is_done and job.output.exists() else None,
        report=report if is_done and report is not None and report.exists() else None,
        warnings=tuple(each["message"] for each in record.get("warnings", ())),
        error="" if is_done else record["error"]["message"],
        seconds=record["seconds"],
    )
