"""The dearest functions of each thread of a run, by processor time.

A thread looks at all others every few milliseconds, and charges what each took of the processor since to the
function it is in. Work in C counts for the line of dubber that called it; threads that libraries start for
themselves are summed up as one. Linux only: elsewhere processor times of threads are not to be had.
"""

from __future__ import annotations

import runpy
import sys
import tempfile
import threading
import time
from collections import defaultdict
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from types import FrameType

from benchmarks.clips import Source, duration_s, prepared_clip, speech_of_length
from benchmarks.measuring import CHECKOUT, Dub, measured

INTERVAL_S = 0.005
MIN_SHARE = 0.01
"""Threads below this share of the processor time are left out."""


def profile(
    source: Source,
    audio: Path,
    *,
    seconds: float | None,
    picture_format: str,
    is_warm: bool,
    num_functions: int,
    arguments: tuple[str, ...],
) -> None:
    """Dub a clip in a process that watches itself, and print what it saw.

    Args:
        source: The clip.
        audio: Speech.
        seconds: See `prepared_clip`.
        picture_format: See `prepared_clip`.
        is_warm: Whether what depends on the video alone is cached by a run before.
        num_functions: Functions shown of each thread.
        arguments: More arguments of `dubber run`.
    """
    with tempfile.TemporaryDirectory(prefix="dubber-bench-") as name:
        folder = Path(name)
        clip = prepared_clip(source.path, folder, picture_format=picture_format, seconds=seconds)
        for number in range(2 if is_warm else 1):
            speech = speech_of_length(
                audio, folder / f"{number}.wav", seconds=seconds or duration_s(clip), start_s=float(number)
            )
            dub = Dub(clip, speech, folder / "cache", folder / "dub.mp4", "hybrid", arguments)
            is_last = number == (1 if is_warm else 0)
            watched = ["-m", "benchmarks.profiling", str(num_functions)] if is_last else ["-m", "dubber"]
            usage = measured([sys.executable, *watched, *dub.command], cwd=CHECKOUT)
    print(usage.stdout.partition(END_OF_REPORT)[2])
    print(f"{usage.cpu_s:.1f} s of processor in {usage.wall_s:.1f} s")


END_OF_REPORT = "\x1eprofile\n"
"""Parts what dubber prints from what the watcher does."""


class Watcher:
    """Charges threads' processor time to their functions.

    Attributes:
        charged_s: Seconds by thread's name and function.
    """

    def __init__(self) -> None:
        self.charged_s: dict[str, dict[str, float]] = defaultdict(lambda: defaultdict(float))
        self._seen_s: dict[int, float] = {}
        self._is_over = threading.Event()

    @contextmanager
    def watching(self) -> Iterator[None]:
        """Watch all threads but the watcher's own."""
        watcher = threading.Thread(target=self._watch, name="watcher", daemon=True)
        watcher.start()
        try:
            yield
        finally:
            self._is_over.set()
            watcher.join()

    def _watch(self) -> None:
        own = threading.get_ident()
        while not self._is_over.wait(INTERVAL_S):
            frames = sys._current_frames()
            for thread in threading.enumerate():
                if thread.ident in frames and thread.ident != own and thread.native_id is not None:
                    self._charge(thread.name, thread.native_id, frames[thread.ident])

    def _charge(self, thread: str, native_id: int, frame: FrameType) -> None:
        try:
            cpu_s = thread_cpu_s(native_id)
        except FileNotFoundError:
            return
        self.charged_s[thread][function_of(frame)] += cpu_s - self._seen_s.get(native_id, 0.0)
        self._seen_s[native_id] = cpu_s

    def report(self, num_functions: int) -> str:
        """Threads by what they took, each with its dearest functions."""
        sums = {thread: sum(functions.values()) for thread, functions in self.charged_s.items()}
        others_s = max(0.0, time.process_time() - sum(sums.values()))
        total_s = sum(sums.values()) + others_s
        lines = []
        for thread, seconds in sorted(sums.items(), key=lambda item: -item[1]):
            if seconds < MIN_SHARE * total_s:
                continue
            lines.append(f"{thread}: {seconds:.2f} s")
            dearest = sorted(self.charged_s[thread].items(), key=lambda item: -item[1])
            for function, own_s in dearest[:num_functions]:
                lines.append(f"  {own_s:7.2f} s  {function}")
        return "\n".join([*lines, f"threads of libraries: {others_s:.2f} s"])


def thread_cpu_s(native_id: int) -> float:
    """Processor seconds of a thread of this process.

    Source: proc(5), schedstat: nanoseconds on the processor, waiting for it, and time slices.
    """
    return int(Path(f"/proc/self/task/{native_id}/schedstat").read_text().split()[0]) / 1e9


def function_of(frame: FrameType) -> str:
    """The innermost function of dubber that a frame is in, and which of others it called; else that alone."""
    called, caller = None, frame
    while not caller.f_globals.get("__name__", "").startswith("dubber"):
        if caller.f_back is None:
            return _named(frame)
        called, caller = caller, caller.f_back
    return _named(caller) if called is None else f"{_named(caller)} > {_named(called)}"


def _named(frame: FrameType) -> str:
    # co_qualname is of Python 3.11 and later.
    name = getattr(frame.f_code, "co_qualname", frame.f_code.co_name)
    return f"{frame.f_globals.get('__name__', '?')}.{name}"


def main() -> None:
    """Be `dubber`, watched: the first argument is how many functions to show."""
    num_functions, sys.argv = int(sys.argv[1]), ["dubber", *sys.argv[2:]]
    watcher = Watcher()
    code: object = None
    with watcher.watching():
        try:
            runpy.run_module("dubber", run_name="__main__")
        except SystemExit as ended:
            code = ended.code
    print(f"{END_OF_REPORT}{watcher.report(num_functions)}")
    sys.exit(code)  # type: ignore[arg-type]


if __name__ == "__main__":
    main()
