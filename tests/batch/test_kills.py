"""Batches that are killed, in part and as a whole: outputs are whole or absent, and all ends well."""

from __future__ import annotations

import json
import os
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from tests.synth import make_clip, make_wall_clip, talking_sound, write_wav

pytestmark = pytest.mark.slow

Event = dict[str, Any]


@pytest.fixture
def clips(tmp_path: Path) -> Path:
    folder = tmp_path / "clips"
    folder.mkdir()
    for number, name in enumerate("abcd"):
        make_clip(folder / f"{name}.mp4", num_frames=20 + number)
        write_wav(folder / f"{name}.wav", talking_sound(0.8, seed=number))
    return folder


def _batch(
    clips: Path, *more: str, on_event: Callable[[Event, int], None] | None = None
) -> tuple[int, list[Event]]:
    """Run a batch; `on_event` is given each event and the process' id."""
    root = clips.parent
    command = [sys.executable, "-m", "dubber", "batch", clips, "-o", root / "out", "--cache", root / "cache"]
    options = ["--renderer", "copy", "--translator", "neutral", "--device", "cpu", "--json", "--quiet", *more]
    with subprocess.Popen([*map(str, command), *options], stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        found = []
        for line in process.stdout:
            found.append(json.loads(line))
            if on_event is not None:
                on_event(found[-1], process.pid)
    _wait_until_gone(found)
    return process.returncode, found


def _pid(worker: str) -> int:
    return int(worker.rpartition("-")[2])


def _wait_until_gone(events: list[Event]) -> None:
    """Workers do not outlive their batch."""
    deadline_s = time.monotonic() + 30
    for pid in {_pid(event["worker"]) for event in events if event["event"] == "job_started"}:
        while Path(f"/proc/{pid}").exists():
            assert time.monotonic() < deadline_s, f"worker {pid} is still there"
            time.sleep(0.1)


def _records(out: Path) -> dict[str, Event]:
    lines = (out / "results.jsonl").read_text(encoding="utf-8").splitlines()
    return {record["name"]: record for record in map(json.loads, lines)}


def _stamps(out: Path) -> dict[str, tuple[int, bytes]]:
    return {path.name: (path.stat().st_mtime_ns, path.read_bytes()) for path in out.glob("*.mp4")}


def test_a_worker_that_is_killed_costs_no_job(clips: Path) -> None:
    killed: list[str] = []

    def kill(event: Event, _: int) -> None:
        is_first = event["event"] == "job_started" and event["phase"] == "paint" and not killed
        if is_first:
            killed.append(event["job"])
            os.kill(_pid(event["worker"]), signal.SIGKILL)

    code, events = _batch(clips, "--jobs", "2", on_event=kill)
    out = clips.parent / "out"
    assert code == 0
    retried = [event for event in events if event["event"] == "job_retried"]
    assert [(event["job"], event["reason"]) for event in retried] == [(killed[0], "killed by SIGKILL")]
    records = _records(out)
    assert {name: record["state"] for name, record in records.items()} == dict.fromkeys("abcd", "done")
    assert records[killed[0]]["attempt"] == 2
    assert len((out / "results.jsonl").read_text().splitlines()) == 4
    for name, record in records.items():
        assert (out / f"{name}.mp4").stat().st_size == record["output"]["bytes"]


@pytest.mark.parametrize("how", [signal.SIGKILL, signal.SIGINT, signal.SIGTERM, signal.SIGHUP])
def test_a_batch_that_is_killed_goes_on_and_touches_nothing_finished(
    clips: Path, how: signal.Signals
) -> None:
    def kill(event: Event, pid: int) -> None:
        if event["event"] == "job_finished":
            os.kill(pid, how)

    out = clips.parent / "out"
    code, _ = _batch(clips, "--wave", "1", on_event=kill)
    assert code == (-how if how is signal.SIGKILL else 130)
    before = _stamps(out)
    assert 1 <= len(before) < 4
    if how is not signal.SIGKILL:
        assert not list(out.glob(".dubber-*.part"))

    code, events = _batch(clips)
    assert code == 0
    assert {name: stamp for name, stamp in _stamps(out).items() if name in before} == before
    assert {name: record["state"] for name, record in _records(out).items()} == dict.fromkeys("abcd", "done")
    assert not list(out.glob(".dubber-*.part"))
    assert sum(event["event"] == "job_finished" for event in events) == 4 - len(before)


def test_jobs_broken_in_different_ways_are_named_and_the_rest_is_whole(clips: Path) -> None:
    (clips / "a.mp4").write_bytes((clips / "a.mp4").read_bytes()[:3000])
    (clips / "b.wav").write_text("no sound")
    (clips / "c.mp4").unlink()
    make_wall_clip(clips / "c.mp4", num_frames=20)
    code, events = _batch(clips, "--jobs", "2")
    assert code == 10
    records = _records(clips.parent / "out")
    errors = {name: record["error"]["type"] for name, record in records.items() if record["error"]}
    assert errors == {"a": "MediaError", "b": "MediaError", "c": "NoFaceError"}
    assert sorted(event["job"] for event in events if event["event"] == "job_failed") == ["a", "b", "c"]
    assert list(_stamps(clips.parent / "out")) == ["d.mp4"]


def test_a_watched_folder_is_dubbed_as_files_come(clips: Path) -> None:
    drop = clips.parent / "drop"
    drop.mkdir()
    coming = iter("ab")

    def put(name: str) -> None:
        for suffix in ("mp4", "wav"):
            shutil.copyfile(clips / f"{name}.{suffix}", drop / f"{name}.{suffix}")

    def put_next(event: Event, pid: int) -> None:
        if event["event"] == "batch_finished":
            name = next(coming, None)
            if name is None:
                time.sleep(1.0)  # until it waits again
                os.kill(pid, signal.SIGINT)
            else:
                put(name)

    put(next(coming))
    code, events = _batch(drop, "--watch", on_event=put_next)
    assert code == 0
    assert [event["job"] for event in events if event["event"] == "job_finished"] == ["a", "b"]
