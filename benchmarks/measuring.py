"""Running dubber's command and the reference workload as processes of their own, and what they took.

Keep torch and matplotlib out of what this module imports: a process starts as a copy of its parent, so the
kernel counts the parent's memory as the least peak of the child's.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from benchmarks.results import Sample, rounded

CHECKOUT = Path(__file__).resolve().parents[1]
"""The code that these benchmarks came with."""

DISK_INTERVAL_S = 0.25
STDERR_LINES = 15


@dataclass(frozen=True)
class Usage:
    """What a finished process took.

    Attributes:
        wall_s: Seconds from start to end.
        cpu_s: Processor seconds, of the processes it waited for too.
        peak_rss_mb: Largest resident memory of any one of them, 10^6 bytes.
        stdout: What it printed.
    """

    wall_s: float
    cpu_s: float
    peak_rss_mb: float
    stdout: str


def measured(command: Sequence[str], *, cwd: Path, env: Mapping[str, str] | None = None) -> Usage:
    """Run a command to its end.

    Args:
        command: Program and arguments.
        cwd: Where it runs.
        env: Variables besides this process's own.

    Raises:
        SystemExit: It failed; with the end of what it said.
    """
    with tempfile.TemporaryFile("w+") as stdout, tempfile.TemporaryFile("w+") as stderr:
        started = time.perf_counter()
        process = subprocess.Popen(
            command, cwd=cwd, env={**os.environ, **(env or {})}, stdout=stdout, stderr=stderr
        )
        try:
            _, status, usage = os.wait4(process.pid, 0)
        except BaseException:
            process.kill()
            process.wait()
            raise
        wall_s = time.perf_counter() - started
        process.returncode = os.waitstatus_to_exitcode(status)
        if process.returncode:
            stderr.seek(0)
            said = "".join(stderr.readlines()[-STDERR_LINES:])
            sys.exit(f"`{' '.join(command)}` ended with exit code {process.returncode}:\n{said}")
        stdout.seek(0)
        rss_unit_bytes = 1 if sys.platform == "darwin" else 1024
        return Usage(
            wall_s=wall_s,
            cpu_s=usage.ru_utime + usage.ru_stime,
            peak_rss_mb=usage.ru_maxrss * rss_unit_bytes / 1e6,
            stdout=stdout.read(),
        )


def dubber(arguments: Sequence[str], checkout: Path, env: Mapping[str, str] | None = None) -> Usage:
    """Run the `dubber` that lies in a checkout.

    Args:
        arguments: Of the command.
        checkout: That folder.
        env: Variables besides this process's own.
    """
    command = [sys.executable, "-m", "dubber", *arguments]
    return measured(command, cwd=checkout, env={"PYTHONPATH": str(checkout), **(env or {})})


def reference() -> Usage:
    """The reference workload, see `benchmarks.reference`."""
    return measured([sys.executable, "-m", "benchmarks.reference"], cwd=CHECKOUT)


@dataclass
class Reference:
    """The reference workload between all measurements: each is set against the two around it."""

    last: Usage = field(default_factory=reference)

    def next_mean(self) -> tuple[float, float]:
        """Run it again; mean wall-clock and processor seconds of the last and this."""
        before, self.last = self.last, reference()
        return (before.wall_s + self.last.wall_s) / 2, (before.cpu_s + self.last.cpu_s) / 2


@dataclass(frozen=True)
class Dub:
    """One dubbing, as a user would start it.

    Attributes:
        video: The clip.
        audio: The speech.
        cache: Cache folder.
        output: The result; replaced.
        renderer: As `--renderer`.
        arguments: More arguments of `dubber run`.
    """

    video: Path
    audio: Path
    cache: Path
    output: Path
    renderer: str
    arguments: tuple[str, ...] = ()

    @property
    def command(self) -> list[str]:
        """Arguments of `dubber`."""
        return [
            *("run", str(self.video), str(self.audio), "-o", str(self.output), "--overwrite"),
            *("--cache", str(self.cache), "--renderer", self.renderer, "--json", "--quiet"),
            *self.arguments,
        ]


def run_dub(dub: Dub, checkout: Path, reference_runs: Reference) -> Sample:
    """Time one dubbing.

    Args:
        dub: What to do.
        checkout: Folder whose `dubber` does it.
        reference_runs: What it is set against.
    """
    dub.cache.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(prefix="dubber-bench-tmp-", dir=dub.output.parent) as temporary:
        before_mb = folder_mb(dub.cache)
        with peak_growth_mb((dub.cache, Path(temporary), dub.output)) as peak_disk_mb:
            usage = dubber(dub.command, checkout, {"TMPDIR": temporary})
    document = json.loads(usage.stdout)
    reference_wall_s, reference_cpu_s = reference_runs.next_mean()
    return Sample(
        wall_s=rounded(usage.wall_s),
        cpu_s=rounded(usage.cpu_s),
        peak_rss_mb=rounded(usage.peak_rss_mb),
        cache_mb=rounded(folder_mb(dub.cache) - before_mb),
        peak_disk_mb=rounded(peak_disk_mb[0]),
        output_mb=rounded(folder_mb(dub.output)),
        num_frames=document["frames"],
        duration_s=document["duration_s"],
        crop_size_px=document["crop_size_px"] or 0,
        stage_s=stage_seconds(document),
        reference_wall_s=rounded(reference_wall_s),
        reference_cpu_s=rounded(reference_cpu_s),
    )


def stage_seconds(document: Mapping[str, Any]) -> dict[str, float]:
    """Processor seconds of the stages that did something, by name, of what `dubber run --json` prints.

    A checkout that does not tell them yet is taken by its wall-clock seconds.
    """
    spent_s = {
        stage["name"]: stage.get("cpu_seconds", stage["seconds"])
        for stage in document["stages"]
        if not stage["is_hit"]
    }
    return {name: seconds for name, seconds in spent_s.items() if seconds > 0}


def folder_mb(path: Path) -> float:
    """Bytes of a file, or of all files in a folder, in 10^6; 0 where there is none."""
    total = 0
    for each in (path, *path.rglob("*")):
        try:
            total += each.stat().st_size if each.is_file() else 0
        except FileNotFoundError:
            continue
    return total / 1e6


@contextmanager
def peak_growth_mb(paths: Sequence[Path]) -> Iterator[list[float]]:
    """Watch files and folders; the one number in the list is how much larger they were at most."""
    before_mb = sum(folder_mb(path) for path in paths)
    peak, is_over = [0.0], threading.Event()

    def watch() -> None:
        while True:
            is_last = is_over.wait(DISK_INTERVAL_S)
            peak[0] = max(peak[0], sum(folder_mb(path) for path in paths) - before_mb)
            if is_last:
                return

    watcher = threading.Thread(target=watch, name="disk")
    watcher.start()
    try:
        yield peak
    finally:
        is_over.set()
        watcher.join()
