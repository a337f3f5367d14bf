"""Damaged and forged files through every reader: each must be read, or refused with a `DubberError`.

    python -m tests.faults.fuzz --count 2000 --seed 0

Each input is read in a process of its own, with limits on time and memory; a fall of that process, another
exception, a hang and greed are defects. Prints a row per reader and exits 1 if there was a defect.
"""

from __future__ import annotations

import argparse
import faulthandler
import os
import pickle
import resource
import select
import shutil
import signal
import sys
import tempfile
import traceback
from collections import Counter
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

os.environ.setdefault("OMP_NUM_THREADS", "1")
os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")

import numpy as np

from dubber.errors import DubberError
from tests.faults.mutate import mutate
from tests.faults.readers import Reader, readers

TIME_LIMIT_S = 10.0
MEMORY_LIMIT_BYTES = 2**30
_ADDRESS_LIMIT_BYTES = 4 * 2**30
"""Beyond this a process gets no memory; threads reserve more than they use."""

Kind = Literal["ok", "refused", "crash", "exception", "hang", "greed"]


@dataclass(frozen=True)
class Outcome:
    """How reading an input ended.

    Attributes:
        kind: "ok" and "refused" are as they should be.
        detail: Of a refusal the error's type, of a defect all that is known.
    """

    kind: Kind
    detail: str = ""


def outcome_of(reader: Reader, folder: Path) -> Outcome:
    """Read what lies in a folder, in a process of its own."""
    receive, send = os.pipe()
    stacks = folder.with_name(f"{folder.name}.stacks")
    child = os.fork()
    if not child:
        os.close(receive)
        _read_and_tell(reader, folder, send, stacks)
    os.close(send)
    try:
        told = _receive(receive)
    finally:
        os.close(receive)
    if told is None:
        os.kill(child, signal.SIGKILL)
    _, status = os.waitpid(child, 0)
    if told is None:
        return Outcome("hang", stacks.read_text() if stacks.exists() else "")
    if os.WIFSIGNALED(status) or not told:
        sign = os.WTERMSIG(status) if os.WIFSIGNALED(status) else 0
        return Outcome("crash", f"signal {sign}\n{stacks.read_text() if stacks.exists() else ''}")
    kind, detail, num_bytes = pickle.loads(told)
    if num_bytes > MEMORY_LIMIT_BYTES:
        return Outcome("greed", f"{num_bytes / 2**20:.0f} MiB, then: {kind} {detail}")
    return Outcome(kind, detail)


def _receive(pipe: int) -> bytes | None:
    """All that a process says before it ends; None if it takes too long."""
    said = b""
    while True:
        if not select.select([pipe], [], [], TIME_LIMIT_S)[0]:
            return None
        chunk = os.read(pipe, 1 << 16)
        if not chunk:
            return said
        said += chunk


def _read_and_tell(reader: Reader, folder: Path, pipe: int, stacks: Path) -> None:
    """The child's whole life."""
    try:
        with stacks.open("w") as file:
            faulthandler.enable(file)
            faulthandler.dump_traceback_later(TIME_LIMIT_S * 0.9, file=file)
            quiet = os.open(os.devnull, os.O_WRONLY)
            os.dup2(quiet, 2)
            os.dup2(quiet, 1)
            pages = int(Path("/proc/self/statm").read_text().split()[0])
            limit = pages * os.sysconf("SC_PAGE_SIZE") + _ADDRESS_LIMIT_BYTES
            resource.setrlimit(resource.RLIMIT_AS, (limit, limit))
            resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
            before = _peak_bytes()
            try:
                reader.read(folder)
                said = ("ok", "")
            except DubberError as error:
                said = ("refused", type(error).__name__)
                if not (error.message and error.advice):
                    said = ("exception", f"no advice: {error!r}")
            except BaseException:
                said = ("exception", traceback.format_exc())
            os.write(pipe, pickle.dumps((*said, _peak_bytes() - before)))
    finally:
        os._exit(0)


def _peak_bytes() -> int:
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024


@dataclass(frozen=True)
class Specimen:
    """A reader with a valid file or folder of its kind."""

    reader: Reader
    folder: Path

    @property
    def files(self) -> list[Path]:
        """What may be damaged."""
        return sorted(path for path in self.folder.rglob("*") if path.is_file())


def specimens(root: Path, names: str = "") -> list[Specimen]:
    """Write the specimens and make sure that each can be read.

    Args:
        root: An empty folder.
        names: Only readers whose names contain this.
    """
    made = []
    for number, reader in enumerate(readers()):
        folder = root / f"specimen{number:02d}"
        folder.mkdir()
        reader.write(folder)
        made.append(Specimen(reader, folder))
    for specimen in made:
        copy = root / "whole"
        shutil.copytree(specimen.folder, copy)
        outcome = outcome_of(specimen.reader, copy)
        shutil.rmtree(copy)
        if outcome.kind != "ok":
            raise AssertionError(f"the whole specimen of '{specimen.reader.name}': {outcome}")
    return [each for each in made if names in each.reader.name]


@dataclass(frozen=True)
class Result:
    """One input and what came of it."""

    reader: str
    number: int
    mutation: str
    outcome: Outcome


def fuzz(root: Path, count: int, seed: int, *, names: str = "", kept: Path | None = None) -> list[Result]:
    """Damage specimens in turn and read them.

    Args:
        root: An empty folder.
        count: Inputs.
        seed: Of everything: input i is the same in every run with the same seed.
        names: Only readers whose names contain this.
        kept: Folder for inputs that were defects.
    """
    chosen = specimens(root, names)
    every = [path.read_bytes() for each in chosen for path in each.files]
    results = []
    for number in range(count):
        specimen = chosen[number % len(chosen)]
        rng = np.random.default_rng([seed, number])
        folder = root / "input"
        shutil.copytree(specimen.folder, folder)
        files = sorted(each for each in folder.rglob("*") if each.is_file())
        path = files[int(rng.integers(len(files)))]
        mutation, data = mutate(path.read_bytes(), every, rng, is_text=specimen.reader.is_text)
        path.write_bytes(data)
        outcome = outcome_of(specimen.reader, folder)
        results.append(Result(specimen.reader.name, number, f"{path.name}: {mutation}", outcome))
        if kept is not None and outcome.kind not in ("ok", "refused"):
            shutil.rmtree(kept / str(number), ignore_errors=True)
            shutil.copytree(folder, kept / str(number))
            (kept / f"{number}.txt").write_text(f"{results[-1].reader}\n{mutation}\n{outcome.detail}")
        shutil.rmtree(folder)
    return results


def table(results: list[Result]) -> str:
    """A row per reader: inputs, how many were read, refused and defects."""
    lines = [f"{'reader':<24}{'inputs':>8}{'read':>8}{'refused':>9}{'defects':>9}"]
    counts: dict[str, Counter[str]] = {}
    for result in results:
        counts.setdefault(result.reader, Counter())[result.outcome.kind] += 1
        counts.setdefault("all", Counter())
    for result in results:
        counts["all"][result.outcome.kind] += 1
    counts["all"] = counts.pop("all")
    for name, count in counts.items():
        defects = count.total() - count["ok"] - count["refused"]
        lines.append(f"{name:<24}{count.total():>8}{count['ok']:>8}{count['refused']:>9}{defects:>9}")
    return "\n".join(lines)


def main() -> int:
    """The command."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--count", type=int, default=2000, help="inputs")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--reader", default="", help="only readers whose names contain this")
    parser.add_argument("--keep", type=Path, help="folder for inputs that were defects")
    options = parser.parse_args()
    if options.keep:
        options.keep.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory() as root:
        results = fuzz(Path(root), options.count, options.seed, names=options.reader, kept=options.keep)
    sys.stdout.write(table(results) + "\n")
    defects = [result for result in results if result.outcome.kind not in ("ok", "refused")]
    for result in defects:
        kind, detail = result.outcome.kind, result.outcome.detail
        sys.stdout.write(f"\n{result.reader}, input {result.number} ({result.mutation}): {kind}\n{detail}\n")
    return 1 if defects else 0


if __name__ == "__main__":
    sys.exit(main())
