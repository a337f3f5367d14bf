"""Damaged and forged files are read or refused; a small slice here, many more with `-m slow`."""

from __future__ import annotations

import os
import subprocess
import sys

import numpy as np
import pytest

from tests.conftest import REPOSITORY
from tests.faults.mutate import BINARY, TEXT, mutate

pytestmark = pytest.mark.skipif(not hasattr(os, "fork"), reason="each input is read in a forked process")


def fuzz(count: int, seed: int, *, limit_s: float) -> str:
    """What the tool says; fails if it found a defect."""
    command = [sys.executable, "-m", "tests.faults.fuzz", "--count", str(count), "--seed", str(seed)]
    done = subprocess.run(
        command, cwd=REPOSITORY, capture_output=True, text=True, timeout=limit_s, check=False
    )
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


def test_a_slice_of_mutated_inputs() -> None:
    table = fuzz(32, 7, limit_s=300)
    assert table.splitlines()[-1].split()[:2] == ["all", "32"]


@pytest.mark.slow
def test_two_thousand_mutated_inputs() -> None:
    table = fuzz(2000, 0, limit_s=3600)
    assert table.splitlines()[-1].split()[:2] == ["all", "2000"]


@pytest.mark.parametrize("kind", sorted({each.__name__: each for each in TEXT}.items()), ids=lambda k: k[0])
def test_every_mutation_changes_files_and_repeats(kind: tuple[str, object]) -> None:
    data, others = bytes(range(256)) * 8 + b"abcd 12 efgh", [b"another file " * 40]

    def made(seed: int) -> bytes:
        result: bytes = kind[1](bytearray(data), others, np.random.default_rng(seed))  # type: ignore[operator]
        return result

    results = [made(seed) for seed in range(20)]
    assert sum(result != data for result in results) >= 18
    assert results == [made(seed) for seed in range(20)]


def test_empty_files_can_be_mutated() -> None:
    for seed in range(100):
        mutate(b"", [b"x"], np.random.default_rng(seed), is_text=True)
    assert len(BINARY) >= 9
