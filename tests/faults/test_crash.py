"""A run that ends before any one change of its disk is a run that never was; see `tests.faults.crash`."""

from __future__ import annotations

import os
import subprocess
import sys

import pytest

from tests.conftest import REPOSITORY

pytestmark = pytest.mark.skipif(not hasattr(os, "fork"), reason="each run is a forked process")


def crash(*options: str, limit_s: float) -> int:
    """How many crashes were survived."""
    command = [sys.executable, "-m", "tests.faults.crash", *options]
    done = subprocess.run(
        command, cwd=REPOSITORY, capture_output=True, text=True, timeout=limit_s, check=False
    )
    assert done.returncode == 0, done.stdout + done.stderr
    return int(done.stdout.split()[0])


def test_some_crashes_of_toy_stages() -> None:
    assert crash("--toy", "--step", "13", limit_s=300) >= 4


@pytest.mark.slow
def test_every_crash_of_toy_stages() -> None:
    assert crash("--toy", limit_s=900) >= 45


@pytest.mark.slow
@pytest.mark.parametrize("renderer", ["copy", "hybrid"])
def test_every_crash_of_a_dub(renderer: str) -> None:
    assert crash("--renderer", renderer, limit_s=3600) >= 80


@pytest.mark.slow
def test_a_soak_of_killed_runs_loses_nothing() -> None:
    command = [sys.executable, "-m", "tests.faults.soak", "--runs", "30", "--seed", "5"]
    done = subprocess.run(command, cwd=REPOSITORY, capture_output=True, text=True, timeout=3600, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
