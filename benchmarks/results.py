"""What the benchmarks measured, as they keep it: JSON files that a later run is compared to."""

from __future__ import annotations

import os
import platform
import statistics
import subprocess
from collections.abc import Callable
from datetime import datetime, timezone
from importlib import metadata
from pathlib import Path
from typing import TypeVar

from pydantic import BaseModel, ConfigDict

Document = TypeVar("Document", bound=BaseModel)


class Frozen(BaseModel):
    """A value that is what the file says, with no key that is not known."""

    model_config = ConfigDict(frozen=True, extra="forbid")


class Machine(Frozen):
    """Where something was measured.

    Attributes:
        cpu: Its name.
        num_cores: Cores that a process may use.
        memory_gb: Main memory, 10^9 bytes.
        system: Operating system.
        python: Version.
        torch: Version.
    """

    cpu: str
    num_cores: int
    memory_gb: float
    system: str
    python: str
    torch: str


class Sample(Frozen):
    """One run of the command.

    Attributes:
        wall_s: Seconds from start to end of the process.
        cpu_s: Processor seconds of the process and those it started, user and system.
        peak_rss_mb: Largest resident memory of the process, 10^6 bytes.
        cache_mb: Growth of the cache, 10^6 bytes.
        peak_disk_mb: Largest growth of cache, temporary files and output together while it ran.
        output_mb: The result.
        num_frames: Output frames.
        duration_s: Length of the output.
        crop_size_px: Side of the face crop in which mouths are made; 0 where the run did not say.
        stage_s: Processor seconds of each stage that did something, in their order, as the run reports them.
        reference_wall_s: Seconds of the reference workload, mean of just before and just after.
        reference_cpu_s: Its processor seconds.
    """

    wall_s: float
    cpu_s: float
    peak_rss_mb: float
    cache_mb: float
    peak_disk_mb: float
    output_mb: float
    num_frames: int
    duration_s: float
    crop_size_px: int
    stage_s: dict[str, float]
    reference_wall_s: float
    reference_cpu_s: float


class Measured(Frozen):
    """Repeated runs of the same work; every figure of it is a median."""

    samples: list[Sample]

    def median(self, figure: Callable[[Sample], float]) -> float:
        """Median of something that a run tells."""
        return statistics.median(figure(sample) for sample in self.samples)

    @property
    def wall_s_per_s(self) -> float:
        """Seconds for a second of video: below 1 is faster than playback."""
        return self.median(lambda sample: sample.wall_s / sample.duration_s)

    @property
    def cpu_s_per_s(self) -> float:
        """Processor seconds for a second of video."""
        return self.median(lambda sample: sample.cpu_s / sample.duration_s)

    @property
    def wall_ratio(self) -> float:
        """Wall-clock time in units of the reference workload."""
        return self.median(lambda sample: sample.wall_s / sample.reference_wall_s)

    @property
    def cpu_ratio(self) -> float:
        """Processor time in units of the reference workload."""
        return self.median(lambda sample: sample.cpu_s / sample.reference_cpu_s)

    @property
    def peak_rss_mb(self) -> float:
        """Peak memory, 10^6 bytes."""
        return self.median(lambda sample: sample.peak_rss_mb)

    @property
    def cache_mb_per_min(self) -> float:
        """Growth of the cache for a minute of video."""
        return self.median(lambda sample: sample.cache_mb * 60 / sample.duration_s)

    @property
    def peak_disk_mb_per_min(self) -> float:
        """Peak of all files for a minute of video."""
        return self.median(lambda sample: sample.peak_disk_mb * 60 / sample.duration_s)

    @property
    def output_mb_per_min(self) -> float:
        """Size of the result for a minute of video."""
        return self.median(lambda sample: sample.output_mb * 60 / sample.duration_s)

    @property
    def wall_ms_per_frame(self) -> float:
        """Wall-clock milliseconds per output frame."""
        return self.median(lambda sample: sample.wall_s / sample.num_frames) * 1e3

    @property
    def cpu_ms_per_frame(self) -> float:
        """Processor milliseconds per output frame."""
        return self.median(lambda sample: sample.cpu_s / sample.num_frames) * 1e3

    @property
    def rest_ms_per_frame(self) -> float:
        """Processor milliseconds per output frame that no stage counts: start, imports, checks, helpers."""
        return max(0.0, self.cpu_ms_per_frame - sum(self.stage_ms_per_frame.values()))

    @property
    def stage_ms_per_frame(self) -> dict[str, float]:
        """Processor milliseconds per output frame of each stage, in their order."""
        names = dict.fromkeys(name for sample in self.samples for name in sample.stage_s)

        def ms(name: str) -> float:
            return self.median(lambda sample: sample.stage_s.get(name, 0.0) / sample.num_frames) * 1e3

        return {name: ms(name) for name in names}


class ClipResult(Frozen):
    """All that was measured on a clip in one format.

    Attributes:
        label: What it shows, for people; no path.
        width: Pixels.
        height: Pixels.
        fps: Frames per second.
        seconds: Length.
        states: By name, see `benchmarks.whole_run`.
    """

    label: str
    width: int
    height: int
    fps: float
    seconds: float
    states: dict[str, Measured]

    @property
    def name(self) -> str:
        """Label, format and length, such as 'example, 1280x720 at 25 fps, 30 s'."""
        return f"{self.label}, {self.width}x{self.height} at {self.fps:g} fps, {self.seconds:g} s"

    @property
    def stages(self) -> list[str]:
        """Stages that any of the states did, in their order."""
        return list(dict.fromkeys(name for each in self.states.values() for name in each.stage_ms_per_frame))


class WholeRuns(Frozen):
    """The file of `python -m benchmarks run`.

    Attributes:
        made_at: Date and time.
        code: What was run, see `code_version`.
        machine: Where.
        help_s: Wall-clock seconds of `dubber --help`.
        clips: What was dubbed.
    """

    made_at: str
    code: str
    machine: Machine
    help_s: float
    clips: list[ClipResult]


class Length(Frozen):
    """The clip looped to one length.

    Attributes:
        minutes: That length.
        sample: The run.
    """

    minutes: float
    sample: Sample


class Scaling(Frozen):
    """The file of `python -m benchmarks scale`.

    Attributes:
        made_at: Date and time.
        code: What was run, see `code_version`.
        machine: Where.
        label: What the clip shows.
        width: Pixels.
        height: Pixels.
        fps: Frames per second.
        renderer: As `--renderer`.
        lengths: One run each.
    """

    made_at: str
    code: str
    machine: Machine
    label: str
    width: int
    height: int
    fps: float
    renderer: str
    lengths: list[Length]


def save(document: BaseModel, path: Path) -> None:
    """Write a document whole or not at all."""
    part = path.with_name(path.name + ".part")
    part.write_text(document.model_dump_json(indent=1) + "\n", encoding="utf-8")
    part.replace(path)


def load(kind: type[Document], path: Path) -> Document:
    """Read a document that `save` wrote."""
    return kind.model_validate_json(path.read_text(encoding="utf-8"))


def rounded(value: float, digits: int = 4) -> float:
    """So many significant digits: a file of figures needs no more."""
    return float(f"{value:.{digits}g}")


def now() -> str:
    """Date and time, UTC."""
    return datetime.now(timezone.utc).strftime("%Y-%m-%d %H:%M")


def this_machine() -> Machine:
    """The machine that this runs on."""
    memory_bytes = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
    return Machine(
        cpu=_cpu_name(),
        num_cores=num_cores(),
        memory_gb=rounded(memory_bytes / 1e9, 3),
        system=f"{platform.system()} {platform.machine()}",
        python=platform.python_version(),
        torch=metadata.version("torch"),
    )


def num_cores() -> int:
    """Cores that this process may use."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def code_version(checkout: Path) -> str:
    """Commit of a checkout, with '+' where files differ from it; empty where git does not know it."""
    commit = _said_by("git", "-C", str(checkout), "rev-parse", "--short", "HEAD")
    changes = _said_by("git", "-C", str(checkout), "status", "--porcelain", "--", "dubber", "weights")
    return commit + ("+" if changes else "")


def _cpu_name() -> str:
    cpuinfo = Path("/proc/cpuinfo")
    lines = cpuinfo.read_text().splitlines() if cpuinfo.exists() else []
    names = [line.partition(":")[2].strip() for line in lines if line.startswith("model name")]
    return names[0] if names else platform.processor() or platform.machine()


def _said_by(*command: str) -> str:
    try:
        return subprocess.run(command, capture_output=True, text=True, check=True).stdout.strip()
    except (OSError, subprocess.CalledProcessError):
        return ""
