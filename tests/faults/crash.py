"""A crash before every single thing that a run does to its disk: the next run must not tell the difference.

    python -m tests.faults.crash --renderer copy

Python tells of every file that is opened for writing, renamed, linked, removed or made (its audit events).
At the k-th of them the process ends as if killed: nothing is flushed, nothing cleaned up. Then the same run
is asked for again, and must leave the bytes of an undisturbed one and a whole cache. So for every k, until a
run comes to its end. What FFmpeg writes by itself happens between these moments.
"""

from __future__ import annotations

import argparse
import os
import shutil
import sys
import tempfile
from collections.abc import Callable
from itertools import count
from pathlib import Path
from typing import Any

from tests.faults.jobs import SEGMENT_FRAMES, Job, faults_of_cache, make_jobs, named_jobs

KILLED = 137

_CHANGES = ("os.rename", "os.link", "os.remove", "os.rmdir", "os.mkdir", "os.truncate", "os.utime")
_WRITING = os.O_WRONLY | os.O_RDWR | os.O_CREAT | os.O_TRUNC | os.O_APPEND


def crash_at(number: int, folder: Path) -> None:
    """End this process before its `number`-th change below a folder, counted from 0."""
    done = 0
    prefix = str(folder)

    def hook(event: str, arguments: tuple[Any, ...]) -> None:
        nonlocal done
        if event == "open":
            is_change = isinstance(arguments[2], int) and bool(arguments[2] & _WRITING)
        else:
            is_change = event in _CHANGES
        if not is_change or not str(arguments[0]).startswith(prefix):
            return
        if done == number:
            os._exit(KILLED)
        done += 1

    sys.addaudithook(hook)


def in_child(work: Callable[[], int]) -> int:
    """Run something in a process of its own; its exit code."""
    child = os.fork()
    if not child:
        code = 99
        try:
            code = work()
        finally:
            sys.stderr.flush()
            os._exit(code)
    return os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])


def dub_job(job: Job, output: Path, cache: Path) -> int:
    """Run a job in this process; its exit code."""
    from dubber.cli.app import main
    from dubber.stages import mouth_segments

    mouth_segments.SEGMENT_FRAMES = SEGMENT_FRAMES
    sys.argv = ["dubber", *job.arguments(output, cache)]
    try:
        main()
    except SystemExit as ended:
        return int(ended.code or 0)


def run_toy(job: Job, output: Path, cache: Path) -> int:
    """Run toy stages, one of which stores what flows by, and publish the last one's file."""
    from dubber.engine.device import Device
    from dubber.engine.execute import Run
    from dubber.engine.stage import Runtime
    from dubber.engine.weights import WeightsFolder
    from dubber.output import check_output, publish
    from tests.engine.test_streams import make_toy

    runtime = Runtime(cache, Device("cpu"), WeightsFolder(cache))
    toy = make_toy(runtime, job.video)
    run = Run(toy.plan, runtime)
    run.store.sweep()
    run.get(toy.ended)
    arrays = run.store.entry_dir(toy.ended.key) / "arrays.safetensors"
    check_output(output, inputs=(), is_overwrite=False)
    publish(arrays, output, is_overwrite=False)
    return 0


def crash_everywhere(
    job: Job, folder: Path, *, step: int = 1, run: Callable[[Job, Path, Path], int] = dub_job
) -> tuple[int, list[str]]:
    """Crash a run at every `step`-th change, and run it again each time.

    Returns:
        How many crashes there were, and what went wrong.
    """
    wanted = folder / "wanted.mp4"
    if in_child(lambda: run(job, wanted, folder / "undisturbed")):
        raise AssertionError("the undisturbed run failed")
    faults: list[str] = []
    for number in count(0, step):
        code, found = _crash_once(job, folder / "crash", number, wanted.read_bytes(), run)
        faults += [f"change {number}: {each}" for each in found]
        shutil.rmtree(folder / "crash")
        if code != KILLED:
            return number // step, faults
    raise AssertionError("no run came to its end")


def _crash_once(
    job: Job, place: Path, number: int, wanted: bytes, run: Callable[[Job, Path, Path], int]
) -> tuple[int, list[str]]:
    """How the crashed run ended, and what is wrong after it and after the next one."""
    output, cache = place / "out" / "dubbed.mp4", place / "cache"
    output.parent.mkdir(parents=True)

    def crashing() -> int:
        crash_at(number, place)
        return run(job, output, cache)

    code = in_child(crashing)
    found = [] if code in (0, KILLED) else [f"the run ended with {code} instead of being killed"]
    if output.exists() and output.read_bytes() != wanted:
        found.append("a part was left under the output's name")
    output.unlink(missing_ok=True)
    if cache.exists():
        found += faults_of_cache(cache, is_idle=False)
    if in_child(lambda: run(job, output, cache)):
        found.append("the next run failed")
    elif output.read_bytes() != wanted:
        found.append("the next run made other bytes")
    found += faults_of_cache(cache)
    found += [f"{path} was left" for path in output.parent.iterdir() if path != output]
    return code, found


def main() -> int:
    """The command."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--renderer", default="copy")
    parser.add_argument("--step", type=int, default=1, help="crash at every so many changes only")
    parser.add_argument(
        "--toy", action="store_true", help="toy stages of the engine's tests instead of a dub"
    )
    options = parser.parse_args()
    import dubber.stages.blend
    import dubber.stages.render  # noqa: F401 - loaded once, not once per crash

    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        # Not in this process: OpenCV's threads, once begun, do not survive in a child.
        in_child(lambda: len(make_jobs(folder / "inputs", (options.renderer,), num_videos=1)) - 1)
        job = named_jobs(folder / "inputs", (options.renderer,), num_videos=1)[0]
        run = run_toy if options.toy else dub_job
        num_crashes, faults = crash_everywhere(job, folder, step=options.step, run=run)
    sys.stdout.write("\n".join([*faults, f"{num_crashes} crashes, {len(faults)} faults."]) + "\n")
    return 1 if faults else 0


if __name__ == "__main__":
    sys.exit(main())
