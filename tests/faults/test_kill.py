"""Runs that are killed or interrupted in each stage: the next one ends as if nothing had happened."""

from __future__ import annotations

import os
import signal
import subprocess
import time
from pathlib import Path

import numpy as np
import pytest

from tests.faults.jobs import Job, dubber_command, faults_of_cache, finished_bytes, make_jobs

pytestmark = pytest.mark.slow

WAITING = """
import os, sys
from dubber.engine.watchdog import Pulse
stage, number = os.environ["WAIT_IN"].rsplit(":", 1)
count = [0]
def wait(self, name):
    if name == stage:
        count[0] += 1
        if count[0] == int(number):
            sys.stdout.write("here\\n")
            sys.stdout.flush()
for word in ("start", "advance"):
    def told(self, name, *rest, told=getattr(Pulse, word)):
        told(self, name, *rest)
        wait(self, name)
    setattr(Pulse, word, told)
"""
"""Says when a stage has told of its n-th step, and goes on."""

STAGES = {
    "demux": 1,
    "speech": 1,
    "own_speech": 1,
    "timeline": 1,
    "people": 24,
    "track": 1,
    "fit": 1,
    "translate": 1,
    "retime": 1,
    "check": 1,
    "render": 24,
    "teeth": 24,
    "deflicker": 24,
    "remux": 24,
}
"""Steps that a stage tells of, at least: its beginning, and its frames where it goes through them. What
blends frames goes on inside `remux`.
"""


@pytest.fixture(scope="module")
def job(tmp_path_factory: pytest.TempPathFactory) -> Job:
    return make_jobs(tmp_path_factory.mktemp("inputs"), ("hybrid",), num_videos=1)[0]


@pytest.fixture(scope="module")
def wanted(job: Job, tmp_path_factory: pytest.TempPathFactory) -> bytes:
    return finished_bytes(job, tmp_path_factory.mktemp("wanted"))


def started(job: Job, folder: Path, stage: str, step: int) -> subprocess.Popen[str]:
    """A run that is in a stage now, at a step of it."""
    command = dubber_command(*job.arguments(folder / "dubbed.mp4", folder / "cache"), before=WAITING)
    process = subprocess.Popen(
        command,
        env={**os.environ, "WAIT_IN": f"{stage}:{step}"},
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        start_new_session=True,
    )
    assert process.stdout is not None
    assert process.stdout.readline().strip() == "here", f"there is no step {step} of '{stage}'"
    return process


def check_next(job: Job, folder: Path, wanted: bytes) -> None:
    """The same run once more makes the bytes of an undisturbed one and leaves nothing else."""
    output, cache = folder / "dubbed.mp4", folder / "cache"
    assert not output.exists() or output.read_bytes() == wanted
    output.unlink(missing_ok=True)
    assert faults_of_cache(cache, is_idle=False) == []
    subprocess.run(dubber_command(*job.arguments(output, cache)), check=True)
    assert output.read_bytes() == wanted
    assert faults_of_cache(cache) == []
    assert sorted(path.name for path in folder.iterdir()) == ["cache", "dubbed.mp4"]


@pytest.mark.parametrize("stage", STAGES)
def test_kill_9_in_each_stage_at_three_random_points(
    job: Job, wanted: bytes, tmp_path: Path, stage: str
) -> None:
    rng = np.random.default_rng(list(stage.encode()))
    for number in range(3):
        folder = tmp_path / str(number)
        folder.mkdir()
        process = started(job, folder, stage, int(rng.integers(1, STAGES[stage] + 1)))
        time.sleep(rng.uniform(0, 0.05))
        os.killpg(process.pid, signal.SIGKILL)
        process.communicate()
        check_next(job, folder, wanted)


@pytest.mark.parametrize("sign", [signal.SIGINT, signal.SIGTERM], ids=["Ctrl-C", "SIGTERM"])
@pytest.mark.parametrize("stage", STAGES)
def test_an_interrupt_in_each_stage_ends_at_once_with_130(
    job: Job, wanted: bytes, tmp_path: Path, stage: str, sign: signal.Signals
) -> None:
    process = started(job, tmp_path, stage, max(1, STAGES[stage] // 2))
    begun_s = time.monotonic()
    process.send_signal(sign)
    said = process.communicate(timeout=60)[1]
    assert time.monotonic() - begun_s < 3 * float(os.environ.get("DUBBER_TEST_SLOWNESS", "1"))
    if process.returncode == 0:  # it was done before it heard
        assert (tmp_path / "dubbed.mp4").exists()
    else:
        assert process.returncode == 130, said
        assert "Interrupted" in said
        assert not (tmp_path / "dubbed.mp4").exists()
    with pytest.raises(ProcessLookupError):  # no ffmpeg, nothing of its session is left
        os.killpg(process.pid, 0)
    check_next(job, tmp_path, wanted)
