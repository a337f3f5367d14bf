"""Footage as it really comes, one oddity at a time: what must be kept is kept. Slow.

`python -m tests.traps` prints the table.
"""

from __future__ import annotations

from pathlib import Path

import pytest

from dubber import make_runtime
from tests.traps.make import TRAPS, Trap
from tests.traps.measure import run_trap


@pytest.mark.slow
@pytest.mark.parametrize("trap", TRAPS, ids=lambda trap: trap.name)
def test_trap(tmp_path: Path, trap: Trap) -> None:
    found = run_trap(trap, tmp_path, make_runtime(cache_dir=tmp_path / "cache", device="cpu"))
    assert found.exit_code == trap.exit_code, found.message
    if trap.exit_code:
        return
    source_frames, made_frames = found.frames
    assert source_frames == made_frames
    assert found.time_error_s < 1e-6
    assert found.is_same_color
    assert found.is_same_shape
    assert found.pixel_formats[1] == (trap.pixel_format or found.pixel_formats[0])
    low, high = trap.dubbed
    assert low <= found.dubbed_share <= high
    assert found.outside_db > trap.outside_db
    for kind, count in trap.keeps.items():
        assert found.streams.get(kind, 0) == count, (kind, found.streams)
