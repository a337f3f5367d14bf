"""A run that stands still is ended with an error, and one that works is not."""

from __future__ import annotations

import os
import subprocess
import threading
import time
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from dubber.cli.stalled import LIMIT_VARIABLE, stall_limit_s
from dubber.engine.execute import Run
from dubber.engine.progress import SilentProgress
from dubber.engine.stage import Runtime, StageContext
from dubber.engine.store import Store
from dubber.engine.watchdog import STALL_LIMIT_S, Pulse, children, watched
from dubber.errors import ConfigError, MediaError
from tests.engine.test_engine import Double, make_plan
from tests.faults.jobs import dubber_command, faults_of_cache, make_jobs

LIMIT_S = 0.3


def watch(work: Any, limit_s: float = LIMIT_S) -> list[MediaError]:
    """What the watchdog says while something is done."""
    told: list[MediaError] = []
    pulse = Pulse(SilentProgress())
    with watched(pulse, limit_s, told.append):
        work(pulse)
    return told


def test_standing_still_is_told_once() -> None:
    def still(pulse: Pulse) -> None:
        pulse.start("track", 10)
        time.sleep(4 * LIMIT_S)

    told = watch(still)
    assert len(told) == 1
    assert "stage 'track'" in told[0].message
    assert told[0].exit_code == 3
    assert "goes on from there" in told[0].advice


def test_progress_is_life() -> None:
    def slow(pulse: Pulse) -> None:
        for _ in range(8):
            time.sleep(LIMIT_S / 3)
            pulse.advance("track")

    assert watch(slow) == []


def test_computing_is_life() -> None:
    def busy(pulse: Pulse) -> None:
        until_s = time.monotonic() + 3 * LIMIT_S
        while time.monotonic() < until_s:
            pass

    assert watch(busy) == []


def test_reading_is_life(tmp_path: Path) -> None:
    if not Path("/proc/self/io").exists():
        pytest.skip("this system does not tell what a process reads")
    (tmp_path / "file").write_bytes(bytes(100_000))

    def reading(pulse: Pulse) -> None:
        until_s = time.monotonic() + 3 * LIMIT_S
        while time.monotonic() < until_s:
            (tmp_path / "file").read_bytes()
            time.sleep(0.05)

    assert watch(reading) == []


def test_a_child_s_work_is_life() -> None:
    if not Path("/proc/self/task").exists():
        pytest.skip("this system does not tell of children")

    def waiting(pulse: Pulse) -> None:
        with subprocess.Popen(["sh", "-c", "while :; do :; done"]) as process:
            time.sleep(3 * LIMIT_S)
            assert any(int(child.name) == process.pid for child in children())
            process.kill()

    assert watch(waiting) == []


def test_zero_turns_it_off() -> None:
    assert watch(lambda pulse: time.sleep(LIMIT_S), limit_s=0) == []


def test_waiting_for_another_run_is_life(
    runtime: Runtime, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    (tmp_path / "source").write_bytes(b"\x01")
    told: list[MediaError] = []
    waiting = replace(runtime, stall_limit_s=2 * LIMIT_S, on_stall=told.append)
    plan, ref = make_plan(waiting, tmp_path / "source")
    other = Store(runtime.cache_dir).lock(ref.key)
    is_held = threading.Event()

    def hold() -> None:
        with other:
            is_held.set()
            time.sleep(4 * LIMIT_S)

    thread = threading.Thread(target=hold)
    thread.start()
    is_held.wait()
    with caplog.at_level("INFO", "dubber"):
        assert Run(plan, waiting).get(ref).values_T.tolist() == [2]
    thread.join()
    assert told == []
    assert caplog.text.count("Another run") == 1


def test_without_somebody_to_tell_it_is_logged(
    runtime: Runtime, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    source = tmp_path / "source"
    source.write_bytes(b"\x01")
    run_stage = Double.run

    def waiting(self: Double, ctx: StageContext, *inputs: Any) -> Any:
        time.sleep(4 * LIMIT_S)
        return run_stage(self, ctx, *inputs)

    monkeypatch.setattr(Double, "run", waiting)
    slow = Runtime(runtime.cache_dir, runtime.device, runtime.weights, stall_limit_s=LIMIT_S)
    plan, ref = make_plan(slow, source)
    assert Run(plan, slow).get(ref).values_T.tolist() == [2]
    assert "Nothing has happened" in caplog.text


def test_the_limit_is_the_user_s(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv(LIMIT_VARIABLE, raising=False)
    assert stall_limit_s() == STALL_LIMIT_S
    for text, limit_s in (("0", 0.0), ("30", 30.0)):
        monkeypatch.setenv(LIMIT_VARIABLE, text)
        assert stall_limit_s() == limit_s
    for text in ("soon", "-1", "nan", "inf"):
        monkeypatch.setenv(LIMIT_VARIABLE, text)
        with pytest.raises(ConfigError, match="no time"):
            stall_limit_s()


STALLING_DECODER = """
import os
from dubber.media.decoder import Decoder
whole = Decoder.frames
def stalling(self):
    for number, item in enumerate(whole(self)):
        if number == 12 and not self._stream.codec_context.options.get("skip_idct"):
            os.read(os.pipe()[0], 1)  # as a disk that does not answer: nothing in Python can end it
        yield item
Decoder.frames = stalling
"""


@pytest.mark.slow
def test_a_decoder_that_stalls_ends_the_run_and_nothing_is_lost(tmp_path: Path) -> None:
    job = make_jobs(tmp_path / "inputs", ("exemplar",), num_videos=1)[0]
    outputs = [tmp_path / name / "dubbed.mp4" for name in ("undisturbed", "stalled")]
    caches = [tmp_path / name / "cache" for name in ("undisturbed", "stalled")]
    for output, cache in zip(outputs, caches, strict=True):
        subprocess.run(dubber_command(*job.arguments(output, cache), "--until", "demux"), check=True)
    environment = {**os.environ, LIMIT_VARIABLE: "5"}
    command = dubber_command(*job.arguments(outputs[1], caches[1]), before=STALLING_DECODER)
    done = subprocess.run(command, env=environment, capture_output=True, text=True, timeout=120, check=False)
    assert done.returncode == 3, done.stderr
    assert "Nothing has happened for 5 seconds" in done.stderr
    assert not outputs[1].exists()
    for output, cache in zip(outputs, caches, strict=True):
        subprocess.run(dubber_command(*job.arguments(output, cache)), check=True)
        assert faults_of_cache(cache) == []
    assert outputs[0].read_bytes() == outputs[1].read_bytes()
