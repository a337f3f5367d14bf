"""What a batch takes on clusters of one and more nodes, all of them on this machine, in turn.

Each node does one job at a time and has a cache of its own; files and caches travel through a shared one.
Clips are the same pictures in slightly different lengths, so that no job finds the work of another.
"""

from __future__ import annotations

import os
import statistics
import sys
import tempfile
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

from benchmarks.clips import ROOT, Source, looped_clip, picture_of, speech_of_length
from benchmarks.measuring import Reference
from benchmarks.results import Frozen, Machine, WholeRuns, code_version, now, rounded, this_machine
from benchmarks.tables import machine_text, table

if TYPE_CHECKING:
    from dubber.batch.work import Task, TaskEnd

PAGE = ROOT / "docs" / "scale.md"

LENGTH_STEP_S = 0.2
"""Clips differ by so much."""

LARGE_HOURS = 1000
LARGE_CORES = 64
_NODE_STORE_BYTES = 80_000_000


class Round(Frozen):
    """One batch.

    Attributes:
        num_nodes: Nodes that did it.
        wall_s: Seconds from the first job's start to the last one's end.
        start_s: Seconds before that: worker processes start, the first inputs are sent.
        video_s: Seconds of video that were made.
        stage_s: Processor seconds of each stage, in all jobs.
        inputs_mb: The user's files that went through the shared cache, 10^6 bytes.
        entries_mb: Intermediates that went there.
        outputs_mb: Results that came back through it.
        load: Other processes that wanted a processor just before, as the system counts them.
        reference_wall_s: Seconds of the reference workload, mean of just before and just after.
    """

    num_nodes: int
    wall_s: float
    start_s: float
    video_s: float
    stage_s: dict[str, float]
    inputs_mb: float
    entries_mb: float
    outputs_mb: float
    load: float
    reference_wall_s: float


class Clusters(Frozen):
    """The file of `python -m benchmarks cluster`.

    Attributes:
        made_at: Date and time.
        code: What was run, see `code_version`.
        machine: Where.
        label: What the clip shows.
        width: Pixels.
        height: Pixels.
        fps: Frames per second.
        num_jobs: Clips of a batch.
        seconds: Length of the shortest.
        renderer: As `--renderer`.
        rounds: All batches.
    """

    made_at: str
    code: str
    machine: Machine
    label: str
    width: int
    height: int
    fps: float
    num_jobs: int
    seconds: float
    renderer: str
    rounds: list[Round]

    def of(self, num_nodes: int) -> list[Round]:
        """The rounds of clusters of a size."""
        return [each for each in self.rounds if each.num_nodes == num_nodes]

    @property
    def sizes(self) -> list[int]:
        """How many nodes clusters had."""
        return sorted({each.num_nodes for each in self.rounds})


def measure(
    source: Source,
    audio: Path,
    *,
    nodes: Sequence[int],
    num_jobs: int,
    seconds: float,
    renderer: str,
    num_rounds: int,
) -> Clusters:
    """Do the same batch on clusters of different sizes, in turn.

    Args:
        source: The clip; cut or looped.
        audio: Speech; looped.
        nodes: Sizes of the clusters.
        num_jobs: Clips.
        seconds: Length of the shortest.
        renderer: As `--renderer`.
        num_rounds: Batches on each cluster.
    """
    reference, rounds = Reference(), []
    with tempfile.TemporaryDirectory(prefix="dubber-bench-") as name:
        pairs = [_pair(source.path, audio, Path(name), number, seconds) for number in range(num_jobs)]
        picture = picture_of(pairs[0][0])
        for num_nodes in [*nodes] * num_rounds:
            with tempfile.TemporaryDirectory(prefix="batch-", dir=name) as inner:
                found = _batch(pairs, Path(inner), num_nodes, renderer)
            found = found.model_copy(update={"reference_wall_s": rounded(reference.next_mean()[0])})
            print(f"{num_nodes} nodes: {found.wall_s:.1f} s", file=sys.stderr)
            rounds.append(found)
    return Clusters(
        made_at=now(),
        code=code_version(ROOT),
        machine=this_machine(),
        label=source.label,
        width=picture.width,
        height=picture.height,
        fps=picture.fps,
        num_jobs=num_jobs,
        seconds=seconds,
        renderer=renderer,
        rounds=rounds,
    )


def cluster_table(found: Clusters) -> str:
    """Throughput by the size of the cluster."""
    header = ["nodes", "s per s of video", "times one node", "in references", "load before", "start, s"]
    base = _median(found.of(found.sizes[0]), "wall_s")
    rows = []
    for size in found.sizes:
        rounds = found.of(size)
        per_s = statistics.median(each.wall_s / each.video_s for each in rounds)
        in_references = statistics.median(each.wall_s / each.reference_wall_s for each in rounds)
        rows.append(
            [
                str(size),
                f"{per_s:.2f}",
                f"{base / _median(rounds, 'wall_s'):.2f}",
                f"{in_references:.1f}",
                f"{_median(rounds, 'load'):.1f}",
                f"{_median(rounds, 'start_s'):.1f}",
            ]
        )
    return table(header, rows)


def traffic_table(found: Clusters) -> str:
    """What travels for a minute of video."""
    rows = []
    for size in found.sizes:
        rounds = found.of(size)
        figures = [
            statistics.median(getattr(each, name) * 60 / each.video_s for each in rounds)
            for name in ("inputs_mb", "entries_mb", "outputs_mb")
        ]
        rows.append([str(size), *(f"{figure:.1f}" for figure in figures)])
    return table(["nodes", "inputs, MB/min", "cache entries, MB/min", "results, MB/min"], rows)


def blocks(found: Clusters) -> dict[str, str]:
    """The measured blocks of docs/scale.md."""
    machine = machine_text(found.machine, made_at=found.made_at, code=found.code)
    clip = f"{found.label}, {found.width}x{found.height} at {found.fps:g} fps"
    num_rounds = len(found.of(found.sizes[0]))
    work = (
        f"{found.num_jobs} clips of {found.seconds:g} s and a little more ({clip}), `{found.renderer}`, one "
        f"job at a time on each node, medians of {num_rounds}; all nodes on one machine: {machine}"
    )
    return {"cluster": f"{work}\n\n{cluster_table(found)}", "traffic": traffic_table(found)}


def large_block(results: WholeRuns) -> dict[str, str]:
    """What a thousand hours need, calculated from whole runs."""
    header = [
        "footage",
        "run",
        "measured: CPU s per s",
        "CPU hours",
        f"days on {LARGE_CORES} cores",
        "cache, TB",
        "results, TB",
    ]
    rows = []
    for clip in results.clips:
        for state in ("cold", "warm", "exemplar"):
            measured = clip.states[state]
            cpu_hours = measured.cpu_s_per_s * LARGE_HOURS
            to_tb = LARGE_HOURS * 60 / 1e6
            rows.append(
                [
                    f"{clip.width}x{clip.height} at {clip.fps:g} fps",
                    state,
                    f"{measured.cpu_s_per_s:.2f}",
                    f"{cpu_hours:.0f}",
                    f"{cpu_hours / LARGE_CORES / 24:.1f}",
                    f"{measured.cache_mb_per_min * to_tb:.1f}",
                    f"{measured.output_mb_per_min * to_tb:.1f}",
                ]
            )
    machine = machine_text(results.machine, made_at=results.made_at, code=results.code)
    return {"thousand hours": f"From runs of 30 s measured on {machine}\n\n{table(header, rows)}"}


def _pair(clip: Path, audio: Path, folder: Path, number: int, seconds: float) -> tuple[Path, Path]:
    length_s = seconds + number * LENGTH_STEP_S
    video = looped_clip(clip, folder / f"{number}{clip.suffix}", length_s)
    return video, speech_of_length(audio, folder / f"{number}.wav", seconds=length_s, start_s=number)


def _batch(pairs: Sequence[tuple[Path, Path]], folder: Path, num_nodes: int, renderer: str) -> Round:
    from dubber.batch.events import Event, JobStarted
    from dubber.batch.ray_executor import RayExecutor
    from dubber.batch.work import Resources
    from dubber.engine.shared_store import INPUT_STAGE, SharedStore

    shared = SharedStore(str(folder / "shared"))
    executor = RayExecutor(Resources(device="cpu"), shared=str(folder / "shared"))
    started_s: list[float] = []

    def tell(event: Event) -> None:
        if isinstance(event, JobStarted):
            started_s.append(time.perf_counter())

    with _cluster(folder, num_nodes):
        load = os.getloadavg()[0]
        began_s = time.perf_counter()
        ends = list(executor.execute(iter([_tasks(pairs, folder / "out", renderer)]), tell))
        ended_s = time.perf_counter()
    errors = [end.error for end in ends if end.error]
    if errors:
        raise SystemExit(f"A job failed: {errors[0]}")
    entries = shared.entries()
    return Round(
        num_nodes=num_nodes,
        wall_s=rounded(ended_s - started_s[0]),
        start_s=rounded(started_s[0] - began_s),
        video_s=rounded(sum(end.result.duration_s for end in ends if end.result)),
        stage_s=_stage_s(ends),
        inputs_mb=rounded(sum(e.num_bytes for e in entries if e.stage == INPUT_STAGE) / 1e6),
        entries_mb=rounded(sum(e.num_bytes for e in entries if e.stage != INPUT_STAGE) / 1e6),
        outputs_mb=rounded(sum(end.output.num_bytes for end in ends if end.output) / 1e6),
        load=load,
        reference_wall_s=0.0,
    )


def _tasks(pairs: Sequence[tuple[Path, Path]], folder: Path, renderer: str) -> list[Task]:
    from dubber.batch.work import Task
    from dubber.config import DubConfig
    from dubber.jobs import Job
    from dubber.script import whole

    config = DubConfig().with_overrides({"render.renderer": renderer})
    return [
        Task(Job(video, whole(audio), folder / f"{video.stem}.mp4", config, name=video.stem))
        for video, audio in pairs
    ]


@contextmanager
def _cluster(folder: Path, num_nodes: int) -> Iterator[None]:
    """A head that does no work, and nodes for one task each."""
    import ray
    from ray.cluster_utils import Cluster

    os.environ.setdefault("RAY_USAGE_STATS_ENABLED", "0")
    small = {"object_store_memory": _NODE_STORE_BYTES, "include_dashboard": False}
    made = Cluster(initialize_head=True, head_node_args={**small, "num_cpus": 0})
    try:
        for number in range(num_nodes):
            made.add_node(num_cpus=1, env_vars={"DUBBER_CACHE": str(folder / f"cache {number}")}, **small)
        ray.init(address=made.address, log_to_driver=False, logging_level="ERROR")
        yield
    finally:
        ray.shutdown()
        made.shutdown()


def _stage_s(ends: Sequence[TaskEnd]) -> dict[str, float]:
    spent: dict[str, float] = {}
    for end in ends:
        for report in end.result.stages if end.result else ():
            spent[report.name] = spent.get(report.name, 0.0) + report.cpu_s
    return {name: rounded(seconds) for name, seconds in spent.items() if seconds}


def _median(rounds: Sequence[Round], figure: str) -> float:
    return statistics.median(getattr(each, figure) for each in rounds)
