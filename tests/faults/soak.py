"""Many runs that share a cache, two at a time, many of them killed: nothing may be lost.

    python -m tests.faults.soak --runs 200 --seed 0

Each round starts two runs of random jobs at once, and kills each of them, or not, at a random time, with
SIGKILL or SIGTERM. Between rounds entries are thrown out of the cache, or damaged. A run that was let alone
must exit with 0 and leave the bytes of an undisturbed run; one that was killed leaves these or nothing. In
the end all jobs are run again, and the cache must be whole.
"""

from __future__ import annotations

import argparse
import os
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from collections import Counter
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np

from dubber.engine.store import ENTRY_NAME
from tests.faults.jobs import Job, dubber_command, faults_of_cache, make_jobs

_HANG_S = 300.0
_INTERRUPTED = 130


@dataclass
class Soak:
    """A soak's state.

    Attributes:
        jobs: What is run.
        folder: For everything.
        rng: Chooses.
        count: How runs ended.
        faults: What must not be.
    """

    jobs: list[Job]
    folder: Path
    rng: np.random.Generator
    count: Counter[str] = field(default_factory=Counter)
    faults: list[str] = field(default_factory=list)

    def __post_init__(self) -> None:
        self.wanted: dict[str, bytes] = {}
        self.lasted_s: list[float] = []
        self._num_outputs = 0

    @property
    def cache(self) -> Path:
        """The one all runs share."""
        return self.folder / "cache"

    def make_references(self) -> None:
        """Undisturbed, each job with a cache of its own."""
        for job in self.jobs:
            output, cache = job.output(self.folder), self.folder / "reference"
            started = time.monotonic()
            subprocess.run(dubber_command(*job.arguments(output, cache)), check=True)
            self.lasted_s.append(time.monotonic() - started)
            self.wanted[job.name] = output.read_bytes()
            shutil.rmtree(cache)

    def round(self) -> None:
        """Two runs at once."""
        runs = []
        for _ in range(2):
            job = self.jobs[int(self.rng.integers(len(self.jobs)))]
            self._num_outputs += 1
            output = self.folder / "outputs" / f"{self._num_outputs}" / "dubbed.mp4"
            process = subprocess.Popen(
                dubber_command(*job.arguments(output, self.cache)),
                stderr=subprocess.PIPE,
                start_new_session=True,
            )
            usual_s = float(np.median(self.lasted_s[-8:]))
            kill_s = self.rng.uniform(0, usual_s) if self.rng.random() < 0.75 else None
            runs.append((job, output, process, kill_s, int(self.rng.integers(4))))
        started = time.monotonic()
        for job, output, process, kill_s, choice in sorted(runs, key=lambda run: run[3] or 1e9):
            self._end(job, output, process, kill_s, choice, started)

    def _end(
        self,
        job: Job,
        output: Path,
        process: subprocess.Popen[bytes],
        kill_s: float | None,
        choice: int,
        started: float,
    ) -> None:
        sign = signal.SIGTERM if choice == 0 else signal.SIGKILL
        try:
            process.wait(_HANG_S if kill_s is None else max(kill_s - (time.monotonic() - started), 0))
            is_killed = False
        except subprocess.TimeoutExpired:
            is_killed = kill_s is not None
            os.killpg(process.pid, sign if is_killed else signal.SIGKILL)
            if not is_killed:
                self.faults.append(f"{job.name} hung")
        said = process.communicate()[1].decode("utf-8", "replace").strip()
        if not is_killed and kill_s is None:
            self.lasted_s.append(time.monotonic() - started)
        self._check(job, output, process.returncode, sign.name if is_killed else "", said)

    def _check(self, job: Job, output: Path, code: int, sign: str, said: str) -> None:
        is_whole = output.exists() and output.read_bytes() == self.wanted[job.name]
        allowed = {"": {0}, "SIGKILL": {-signal.SIGKILL, 0}, "SIGTERM": {_INTERRUPTED, -signal.SIGTERM, 0}}
        self.count[f"{sign or 'let alone'}: {'done' if code == 0 else f'exit {code}'}"] += 1
        if code not in allowed[sign]:
            self.faults.append(f"{job.name} ({sign or 'let alone'}) ended with {code}: {said}")
        if code == 0 and not is_whole:
            self.faults.append(f"{job.name}: other bytes")
        if output.exists() and not is_whole:
            self.faults.append(f"{job.name}: a part was left under the output's name")
        shutil.rmtree(output.parent, ignore_errors=True)

    def disturb(self) -> None:
        """Throw entries out, or change a byte of one."""
        entries = sorted(self.cache.glob("entries/*/*"))
        if not entries:
            return
        entry = entries[int(self.rng.integers(len(entries)))]
        if self.rng.random() < 0.5:
            chosen = self.rng.random(len(entries)) < self.rng.random()
            for path, is_out in zip(entries, chosen, strict=True):
                if is_out:
                    shutil.rmtree(path)
            self.count["entries thrown out"] += int(chosen.sum())
            return
        files = sorted(path for path in entry.iterdir() if path.stat().st_size)
        path = files[int(self.rng.integers(len(files)))]
        data = bytearray(path.read_bytes())
        data[int(self.rng.integers(len(data)))] ^= 1 << int(self.rng.integers(8))
        path.write_bytes(bytes(data))
        self.count["entries damaged"] += 1
        if path.name == ENTRY_NAME:
            self.count["of them in entry.json"] += 1

    def finish(self) -> None:
        """Every job once more, and a look at the cache."""
        for job in self.jobs:
            output = self.folder / "final" / f"{job.name}.mp4"
            done = subprocess.run(
                dubber_command(*job.arguments(output, self.cache)), stderr=subprocess.PIPE, check=False
            )
            self._check(job, output, done.returncode, "", done.stderr.decode("utf-8", "replace"))
        damaged = [fault for fault in faults_of_cache(self.cache) if "not what was stored" not in fault]
        self.faults += damaged  # what was damaged on purpose and not asked for since may lie there still


def main() -> int:
    """The command."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--runs", type=int, default=200)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--renderers", default="copy,exemplar")
    options = parser.parse_args()
    started = time.monotonic()
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        jobs = make_jobs(folder / "inputs", tuple(options.renderers.split(",")))
        soak = Soak(jobs, folder, np.random.default_rng(options.seed))
        soak.make_references()
        for number in range(1, options.runs // 2 + 1):
            soak.round()
            soak.disturb()
            if number % 10 == 0:
                minutes = (time.monotonic() - started) / 60
                sys.stdout.write(
                    f"{2 * number} runs, {minutes:.1f} minutes, {len(soak.faults)} faults: "
                    f"{dict(sorted(soak.count.items()))}\n"
                )
                sys.stdout.flush()
        soak.finish()
    sys.stdout.write("\n".join([*soak.faults, f"{len(soak.faults)} faults in {options.runs} runs."]) + "\n")
    return 1 if soak.faults else 0


if __name__ == "__main__":
    sys.exit(main())
