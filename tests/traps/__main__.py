"""`python -m tests.traps [NAME ...]`: run the traps and print what became of them."""

from __future__ import annotations

import logging
import sys
import tempfile
import time
from pathlib import Path

from dubber import make_runtime
from tests.traps.make import TRAPS
from tests.traps.measure import run_trap

logging.disable(logging.WARNING)
COLUMNS = "trap | exit | frames | time error s | colour | format | shape | dubbed | streams | outside dB | s"
print(COLUMNS, "-|-".join("-" * len(name) for name in COLUMNS.split(" | ")), sep="\n")
for trap in TRAPS:
    if sys.argv[1:] and not any(word in trap.name for word in sys.argv[1:]):
        continue
    with tempfile.TemporaryDirectory() as folder:
        started = time.perf_counter()
        found = run_trap(trap, Path(folder), make_runtime(cache_dir=Path(folder) / "cache", device="cpu"))
        cells = [
            trap.name,
            f"{found.exit_code} ({trap.exit_code})",
            "{} -> {}".format(*found.frames),
            f"{found.time_error_s:.6f}",
            "same" if found.is_same_color else "OTHER",
            "{} -> {}".format(*found.pixel_formats),
            "same" if found.is_same_shape else "OTHER",
            f"{found.dubbed_share:.0%}",
            ", ".join(f"{count} {kind}" for kind, count in found.streams.items()),
            f"{found.outside_db:.1f}",
            f"{time.perf_counter() - started:.1f}",
        ]
        print(" | ".join(cells), f"   {found.message}" if found.message else "", flush=True)
