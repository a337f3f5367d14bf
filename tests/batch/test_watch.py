"""A drop folder: files are taken when they have stopped growing, once."""

from __future__ import annotations

from pathlib import Path

from dubber.batch.watch import DropFolder
from tests.batch.fakes import make_job


def test_a_job_is_ready_when_its_files_have_stopped_growing(tmp_path: Path) -> None:
    folder, job = DropFolder(), make_job(tmp_path)
    assert folder.ready([job]) == []
    with job.video.open("ab") as file:
        file.write(b"more")
    assert folder.ready([job]) == []
    assert folder.ready([job]) == [job]
    assert folder.ready([job]) == []


def test_a_file_that_is_replaced_is_taken_again(tmp_path: Path) -> None:
    folder, job = DropFolder(), make_job(tmp_path)
    folder.ready([job])
    assert folder.ready([job]) == [job]
    job.video.write_bytes(b"another take")
    assert folder.ready([job]) == []
    assert folder.ready([job]) == [job]


def test_empty_and_missing_files_are_waited_for(tmp_path: Path) -> None:
    folder, job = DropFolder(), make_job(tmp_path)
    content = job.video.read_bytes()
    job.video.write_bytes(b"")
    for _ in range(3):
        assert folder.ready([job]) == []
    job.video.unlink()
    for _ in range(3):
        assert folder.ready([job]) == []
    job.video.write_bytes(content)
    assert folder.ready([job]) == []
    assert folder.ready([job]) == [job]
