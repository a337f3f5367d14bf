"""What became of each job before: `results.jsonl`, one line per end of a job, never rewritten."""

from __future__ import annotations

import dataclasses
import hashlib
import json
import os
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from enum import Enum
from pathlib import Path
from typing import Any, Literal

from filelock import FileLock, Timeout
from pydantic import BaseModel, ValidationError

from dubber import __version__
from dubber.batch.events import error_document, now
from dubber.batch.work import FileFacts, TaskEnd
from dubber.engine.key import file_sha256
from dubber.errors import ConfigError, OutputFolderError
from dubber.jobs import Job
from dubber.outcome import result_document
from dubber.output import container_of

RESULTS_NAME = "results.jsonl"
SCHEMA = "dubber.batch.result"
VERSION = 1
"""Raised where a field goes or means something else; new fields come without."""

_FOLDER = ".dubber-batch"
"""Of the output folder: the lock, and marks of jobs that are being done."""


class Standing(str, Enum):
    """How a job stands before a batch."""

    new = "new"
    """Never done, or its output is gone, or it was interrupted: to be done."""
    done = "done"
    """Its output is there, as it was asked for."""
    changed = "changed"
    """Its output is there, but its inputs or settings were others."""
    foreign = "foreign"
    """Something is there that no batch made, or that was changed since."""
    failed = "failed"
    """It failed before, and nothing was changed since."""


class _Facts(BaseModel):
    """What is read of a file's facts."""

    bytes: int
    modified_ns: int
    sha256: str


class _Warning(BaseModel):
    """What is read of a warning."""

    message: str


class _Error(BaseModel):
    """What is read of an error."""

    message: str


class _Record(BaseModel):
    """What is read of a record."""

    version: int
    name: str
    state: Literal["done", "failed"]
    inputs: list[_Facts]
    asked: str
    output: _Facts | None
    result: dict[str, Any] | None
    error: _Error | None
    warnings: list[_Warning] = []
    seconds: float


@dataclass(frozen=True)
class Verdict:
    """How a job stands, and why.

    Attributes:
        standing: How.
        reason: In words; "" for a job that was never seen.
        is_ours: Whether what lies under its output's name is a batch's own, which it may replace.
    """

    standing: Standing
    reason: str = ""
    is_ours: bool = False


def asked_digest(job: Job) -> str:
    """sha256 of what is asked of a job, but for what lies in its input files.

    Settings that are left at their defaults do not count, so that a later version of dubber finds the same.
    """
    config = job.config.with_overrides({"remux.container": container_of(job.output)})
    document = {
        "config": config.model_dump(mode="json", exclude_defaults=True),
        "said": dataclasses.asdict(dataclasses.replace(job.said, voices=(), bed=None)),
        "provenance": dataclasses.asdict(job.provenance),
    }
    return hashlib.sha256(json.dumps(document, sort_keys=True, default=str).encode()).hexdigest()


class Ledger:
    """The results in an output folder; whoever adds to them opens it with `open_ledger`.

    Args:
        folder: The output folder, which may be missing.
    """

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._records: dict[str, dict[str, Any]] = {}
        self._made: dict[str, dict[str, Any]] = {}
        for record in read_results(folder / RESULTS_NAME):
            self._take(record)

    def verdict(self, job: Job) -> Verdict:
        """How a job stands."""
        record = self._records.get(job.name)
        is_there = _is_there(job.output)
        if is_there and self._mark(job).is_file() and self._mark(job).read_text() == asked_digest(job):
            return Verdict(Standing.new, "it was interrupted", is_ours=True)
        if record is None:
            if is_there:
                return Verdict(Standing.foreign, "its output is there, and no batch made it")
            return Verdict(Standing.new)
        made = self._made.get(job.name)
        if is_there and (made is None or made["bytes"] != job.output.stat().st_size):
            return Verdict(Standing.foreign, "its output is not the one that a batch made")
        if record["state"] == "done" and not is_there:
            return Verdict(Standing.new, "its output is gone", is_ours=True)
        difference = _difference(record, job)
        if record["state"] == "done":
            if difference:
                return Verdict(Standing.changed, difference, is_ours=True)
            lacking = [name.lower() for name, path in job.extras.named.items() if not _is_there(path)]
            if lacking:
                return Verdict(
                    Standing.new, f"its dub is there without {' and '.join(lacking)}", is_ours=True
                )
            return Verdict(Standing.done, "finished", is_ours=True)
        if difference:
            return Verdict(Standing.new, f"it failed before, and {difference}", is_ours=True)
        return Verdict(Standing.failed, f"It failed before: {record['error']['message']}", is_ours=True)

    def record(self, job: Job) -> dict[str, Any] | None:
        """The last record of a job, without its `result`."""
        return self._records.get(job.name)

    def begin(self, job: Job) -> None:
        """Remember that a job is being done: what it puts under its output's name is a batch's own.

        Raises:
            OutputFolderError: The folder cannot be written.
        """
        mark = self._mark(job)
        try:
            mark.parent.mkdir(parents=True, exist_ok=True)
            mark.write_text(asked_digest(job))
        except OSError as error:
            raise _unwritable(self._folder, error) from error

    def end(self, end: TaskEnd) -> dict[str, Any]:
        """Write down how a job ended, for good.

        Returns:
            The record.

        Raises:
            OutputFolderError: The folder cannot be written, or the disk is full.
        """
        record = record_of(end)
        path = self._folder / RESULTS_NAME
        try:
            with path.open("a+b") as file:
                is_torn = file.tell() > 0 and not _ends_a_line(path)
                file.write(b"\n" * is_torn + _line(record))
                file.flush()
                os.fsync(file.fileno())
            self._mark(end.task.job).unlink(missing_ok=True)
        except OSError as error:
            raise _unwritable(self._folder, error) from error
        self._take(record)
        return record

    def _take(self, record: dict[str, Any]) -> None:
        """Remember a record, but for its result, and of one that tells of no output the one before."""
        self._records[record["name"]] = {key: value for key, value in record.items() if key != "result"}
        if record["output"] is not None:
            self._made[record["name"]] = record["output"]

    def _mark(self, job: Job) -> Path:
        return (
            self._folder
            / _FOLDER
            / "begun"
            / hashlib.sha256(job.name.encode("utf-8", "backslashreplace")).hexdigest()[:32]
        )


@contextmanager
def open_ledger(folder: Path) -> Iterator[Ledger]:
    """The results in an output folder, which other batches are kept out of meanwhile.

    Args:
        folder: The output folder; made where it is missing.

    Raises:
        ConfigError: A batch is at work there, or its results cannot be read.
        OutputFolderError: The folder cannot be written.
    """
    lock = FileLock(folder / _FOLDER / "lock", timeout=0)
    try:
        (folder / _FOLDER).mkdir(parents=True, exist_ok=True)
        lock.acquire()
    except Timeout as error:
        raise ConfigError(
            "Another batch is working into this folder.",
            where=str(folder),
            advice="Wait until it ends, or choose another folder with `-o`.",
        ) from error
    except OSError as error:
        raise _unwritable(folder, error) from error
    try:
        yield Ledger(folder)
    finally:
        lock.release()


def record_of(end: TaskEnd) -> dict[str, Any]:
    """A line of `results.jsonl`; docs/batch.md has its fields."""
    job = end.task.job
    return {
        "schema": SCHEMA,
        "version": VERSION,
        "time": now(),
        "name": job.name,
        "state": "failed" if end.result is None else "done",
        "inputs": [_facts_document(facts) for facts in end.inputs],
        "asked": asked_digest(job),
        "output": None if end.output is None else _facts_document(end.output),
        "result": None if end.result is None else result_document(end.result),
        "error": None if end.error is None else error_document(end.error),
        "warnings": [{"message": each.message, "ranges_s": each.ranges_s} for each in end.warnings],
        "seconds": round(end.total_s, 3),
        "worker": end.worker,
        "attempt": end.task.attempt,
        "dubber": __version__,
    }


def read_results(path: Path) -> list[dict[str, Any]]:
    """All records of a `results.jsonl`; a line that a killed process or an editor left unreadable is none.

    Raises:
        ConfigError: It cannot be read, or a newer version of dubber wrote it.
    """
    try:
        lines = path.read_bytes().splitlines()
    except FileNotFoundError:
        return []
    except OSError as error:
        raise ConfigError(f"The results cannot be read ({error.strerror}).", where=str(path)) from error
    records = []
    for line in lines:
        try:
            record = json.loads(line)
        except (ValueError, RecursionError):
            continue
        if not isinstance(record, dict) or record.get("schema") != SCHEMA:
            continue
        version = record.get("version")
        if isinstance(version, int) and version > VERSION:
            raise ConfigError(
                f"A newer dubber wrote these results (version {version}; this one knows {VERSION}).",
                where=str(path),
                advice="Use that one, or another output folder.",
            )
        if _is_whole(record):
            records.append(record)
    return records


def _is_whole(record: dict[str, Any]) -> bool:
    """Whether a record holds what it will be asked for."""
    try:
        read = _Record.model_validate(record)
    except ValidationError:
        return False
    return (read.result if read.state == "done" else read.error) is not None


def _line(record: dict[str, Any]) -> bytes:
    """A record as a line of UTF-8; in names of files that are none JSON's own escapes stand for the rest."""
    return json.dumps(record, ensure_ascii=False).encode("utf-8", "backslashreplace") + b"\n"


def _is_there(path: Path) -> bool:
    """Whether there is such a file; there is none of a name that can be none."""
    return FileFacts.unread(path).num_bytes >= 0


def _difference(record: dict[str, Any], job: Job) -> str:
    """What is asked for otherwise than a record says, in words; "" for nothing."""
    if record["asked"] != asked_digest(job):
        return "its settings are others now"
    before: Sequence[dict[str, Any]] = record["inputs"]
    if len(before) != len(job.inputs):
        return "its inputs are others now"
    for was, path in zip(before, job.inputs, strict=True):
        if _is_changed(was, path):
            return f"{path.name} was changed"
    return ""


def _is_changed(was: dict[str, Any], path: Path) -> bool:
    """Whether an input is another file than a record says; one that is gone or cannot be read now is not."""
    is_ = FileFacts.unread(path)
    if is_.num_bytes < 0 or (is_.num_bytes, is_.modified_ns) == (was["bytes"], was["modified_ns"]):
        return False
    try:
        return bool(is_.num_bytes != was["bytes"] or file_sha256(path) != was["sha256"])
    except OSError:
        return False


def _facts_document(facts: FileFacts) -> dict[str, Any]:
    return {
        "path": str(facts.path),
        "bytes": facts.num_bytes,
        "modified_ns": facts.modified_ns,
        "sha256": facts.sha256,
    }


def _ends_a_line(path: Path) -> bool:
    with path.open("rb") as file:
        file.seek(-1, os.SEEK_END)
        return file.read(1) == b"\n"


def _unwritable(folder: Path, error: OSError) -> OutputFolderError:
    return OutputFolderError(
        f"The output folder cannot be written ({error.strerror}).",
        where=str(folder),
        advice="Make room there, or choose a folder you may write to; the same command goes on from here.",
    )
