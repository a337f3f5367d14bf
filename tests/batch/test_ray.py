"""Batches on a cluster of two nodes on this machine: nodes and workers that die, and the end of a batch."""

from __future__ import annotations

import hashlib
import json
import os
import shutil
import signal
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import closing, suppress
from dataclasses import replace
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import av
import pytest

from dubber.batch.events import Event, JobRetried, JobStarted, StageStarted
from dubber.batch.ray_executor import Cluster, RayExecutor
from dubber.batch.work import Phase, Resources, Task, TaskEnd
from dubber.config import DubConfig
from dubber.dubbing import dub, make_runtime
from dubber.errors import ConfigError, DeviceError, MediaError, WorkerLostError
from dubber.jobs import Job
from dubber.script import whole
from tests.synth import EXAMPLES

pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(find_spec("ray") is None, reason="needs the extra `ray`"),
]

COPY = DubConfig().with_overrides({"render.renderer": "copy"})
WAIT_S = 60.0
MARK = "DUBBER_TEST_CLUSTER"


@pytest.fixture(autouse=True)
def _mark(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """All processes that a test starts carry its mark."""
    monkeypatch.setenv(MARK, str(tmp_path))
    monkeypatch.setenv("RAY_USAGE_STATS_ENABLED", "0")


@pytest.fixture
def cluster(tmp_path: Path) -> Iterator[Any]:
    """A head that does no work, and two nodes for one task each, with a cache of its own each."""
    import ray
    from ray.cluster_utils import Cluster as RayCluster

    small = {"object_store_memory": 80_000_000, "include_dashboard": False}
    made = RayCluster(initialize_head=True, head_node_args={**small, "num_cpus": 0})
    for number in range(2):
        variables = {"DUBBER_CACHE": str(tmp_path / f"cache {number}"), "OMP_NUM_THREADS": "1"}
        made.add_node(num_cpus=1, env_vars=variables, **small)
    try:
        ray.init(address=made.address, log_to_driver=False, logging_level="ERROR")
        yield made
    finally:
        ray.shutdown()
        made.shutdown()
        assert not workers()


def tasks_of(folder: Path, count: int, *, video: Path = EXAMPLES / "speaker.mp4") -> list[Task]:
    """Jobs of the same video whose mouths differ, so that each has work of its own."""
    jobs = []
    for number in range(count):
        config = COPY.with_overrides({"translate.mouth_gain": 1 + number / 100})
        said = whole(EXAMPLES / "line.wav")
        jobs.append(Job(video, said, folder / f"{number}.mp4", config, name=f"job {number}"))
    return [Task(job) for job in jobs]


def executor(shared: Path | None = None) -> RayExecutor:
    return RayExecutor(Resources(device="cpu"), shared=None if shared is None else str(shared))


def pictures(path: Path) -> str:
    """Checksum of all that a file shows."""
    digest = hashlib.sha256()
    with av.open(str(path)) as container:
        for frame in container.decode(video=0):
            digest.update(frame.to_ndarray().tobytes())
    return digest.hexdigest()


def workers() -> list[int]:
    """Processes of tasks that this test started."""
    mark, found = f"{MARK}={os.environ[MARK]}".encode(), []
    for folder in Path("/proc").iterdir():
        with suppress(OSError):
            is_task = folder.name.isdigit() and (folder / "cmdline").read_bytes().startswith(b"ray::dubber")
            if is_task and mark in (folder / "environ").read_bytes().split(b"\0"):
                found.append(int(folder.name))
    return found


def pid_of(event: JobStarted) -> int:
    return int(event.worker.rpartition("-")[2])


def parent_of(pid: int) -> int:
    return int(Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[1])


def node_of(cluster: Any, pid: int) -> Any:
    raylet = parent_of(pid)
    of = {node.all_processes["raylet"][0].process.pid: node for node in cluster.worker_nodes}
    return of[raylet]


def check_whole(ends: list[TaskEnd], tasks: list[Task], folder: Path, tmp_path: Path) -> None:
    """Each job ended once, and what it made is what one run on this machine makes."""
    assert Counter(end.task.job.name for end in ends) == Counter(task.job.name for task in tasks)
    assert [end.error for end in ends] == [None] * len(ends)
    reference = tmp_path / "reference.mp4"
    job = tasks[0].job
    dub(job.video, job.said, reference, config=COPY, runtime=make_runtime(cache_dir=tmp_path / "own"))
    assert {pictures(task.job.output) for task in tasks} == {pictures(reference)}
    for end in ends:
        assert end.output is not None
        assert end.output.num_bytes == end.task.job.output.stat().st_size
        assert end.output.sha256 == hashlib.sha256(end.task.job.output.read_bytes()).hexdigest()
    known = {task.job.output.name for task in tasks}
    assert {path.name for path in folder.iterdir()} == known


class Once:
    """Does something at the first event of a kind."""

    def __init__(self, is_it: Callable[[Event], bool], act: Callable[[Any], None]) -> None:
        self.events: list[Event] = []
        self._is_it, self._act, self.is_done = is_it, act, False

    def __call__(self, event: Event) -> None:
        self.events.append(event)
        if not self.is_done and self._is_it(event):
            self.is_done = True
            self._act(event)

    def of(self, kind: type[Event]) -> list[Any]:
        return [event for event in self.events if isinstance(event, kind)]


def paints(event: Event) -> bool:
    return isinstance(event, JobStarted) and event.phase == Phase.paint.value


def test_a_node_dies_in_mid_run(cluster: Any, tmp_path: Path) -> None:
    out, tasks = tmp_path / "out", tasks_of(tmp_path / "out", 5)

    def kill(event: JobStarted) -> None:
        cluster.remove_node(node_of(cluster, pid_of(event)), allow_graceful=False)

    tell = Once(paints, kill)
    ends = list(executor(tmp_path / "shared").execute(iter([tasks]), tell))
    assert tell.is_done
    assert len(cluster.worker_nodes) == 1
    assert tell.of(JobRetried)
    check_whole(ends, tasks, out, tmp_path)


def test_a_worker_is_killed(cluster: Any, tmp_path: Path) -> None:
    out, tasks = tmp_path / "out", tasks_of(tmp_path / "out", 3)
    tell = Once(paints, lambda event: os.kill(pid_of(event), signal.SIGKILL))
    ends = list(executor().execute(iter([tasks]), tell))
    assert len(tell.of(JobRetried)) == 1, [end.error for end in ends]
    check_whole(ends, tasks, out, tmp_path)


def test_what_kills_its_workers_fails_alone_and_failures_keep_their_type(
    cluster: Any, tmp_path: Path
) -> None:
    tasks = tasks_of(tmp_path / "out", 2)
    broken = tmp_path / "broken.mp4"
    broken.write_bytes(b"no film")
    tasks += [Task(Job(broken, tasks[0].job.said, tmp_path / "out/x.mp4", COPY, name="broken"))]

    def tell(event: Event) -> None:
        if isinstance(event, JobStarted) and event.job == "job 0":
            os.kill(pid_of(event), signal.SIGKILL)

    ends = {end.task.job.name: end for end in executor(tmp_path / "shared").execute(iter([tasks]), tell)}
    assert isinstance(ends["job 0"].error, WorkerLostError)
    assert ends["job 0"].task.attempt == 2
    assert ends["job 1"].error is None
    assert isinstance(ends["broken"].error, MediaError)
    assert ends["broken"].error.where == str(broken)
    assert ends["broken"].error.advice


def test_who_stops_asking_ends_all(cluster: Any, tmp_path: Path) -> None:
    tasks = tasks_of(tmp_path / "out", 4)
    tell = Once(lambda event: False, lambda event: None)
    with closing(executor().execute(iter([tasks]), tell)) as ends:
        first = next(ends)
        assert first.error is None
    until_s = time.monotonic() + WAIT_S
    while workers() and time.monotonic() < until_s:
        time.sleep(0.1)
    assert not workers()
    whole_ones = {path.name for path in (tmp_path / "out").iterdir()}
    assert first.task.job.output.name in whole_ones
    assert all(path.suffix == ".mp4" for path in (tmp_path / "out").iterdir())
    assert len({pictures(tmp_path / "out" / name) for name in whole_ones}) == 1


def test_a_runtime_of_its_own_ends_with_the_batch(tmp_path: Path) -> None:
    import ray

    resources = Resources(cache_dir=tmp_path / "cache", device="cpu")
    tasks = tasks_of(tmp_path / "out", 2)
    tell = Once(lambda event: isinstance(event, StageStarted), lambda event: None)
    ends = list(RayExecutor(resources, Cluster(num_jobs=2)).execute(iter([tasks]), tell))
    check_whole(ends, tasks, tmp_path / "out", tmp_path)
    assert {event.job for event in tell.of(JobStarted)} == {"job 0", "job 1"}
    assert not ray.is_initialized()
    assert not workers()


STILL = """
import time
from dubber.stages.renderers import PatchRenderer

class Still(PatchRenderer):
    version = 1

    def patch(self, n, filmed_HW3):
        time.sleep(3600)
"""


def test_a_worker_that_stands_still_fails_its_job_by_name(tmp_path: Path) -> None:
    """Its renderer waits for something that never comes, as for a disk that does not answer."""
    (tmp_path / "still.py").write_text(STILL)
    resources = Resources(cache_dir=tmp_path / "cache", device="cpu", stall_limit_s=3.0)
    (task,) = tasks_of(tmp_path / "out", 1)
    config = task.job.config.with_overrides({"render.renderer": f"{tmp_path / 'still.py'}:Still"})
    still = replace(task, job=replace(task.job, config=config))
    (end,) = RayExecutor(resources, Cluster(num_jobs=1)).execute(iter([[still]]), lambda event: None)
    assert isinstance(end.error, MediaError)
    assert "Nothing has happened for 3 seconds" in end.error.message
    assert end.task.attempt == 1
    assert not workers()


def command(tmp_path: Path, num_clips: int) -> subprocess.Popen[str]:
    """`dubber batch --engine ray --json`, just started."""
    clips = tmp_path / "clips"
    clips.mkdir()
    for number in range(num_clips):
        shutil.copy(EXAMPLES / "speaker.mp4", clips / f"{number}.mp4")
        shutil.copy(EXAMPLES / "line.wav", clips / f"{number}.wav")
    options = ["-o", tmp_path / "out", "--cache", tmp_path / "cache", "--renderer", "copy", "--json"]
    options += ["--engine", "ray", "--shared", tmp_path / "shared", "--jobs", "2"]
    arguments = [sys.executable, "-m", "dubber", "batch", clips, *options]
    return subprocess.Popen(list(map(str, arguments)), stdout=subprocess.PIPE, text=True)


def test_nothing_but_events_is_on_stdout_whoever_dies(tmp_path: Path) -> None:
    process, kinds = command(tmp_path, 1), []
    assert process.stdout is not None
    for line in process.stdout:
        event = json.loads(line)
        if event["event"] == "job_started" and event["attempt"] == 1 and event["phase"] == "paint":
            os.kill(int(event["worker"].rpartition("-")[2]), signal.SIGKILL)
        kinds.append(event["event"])
    assert process.wait(WAIT_S) == 0
    assert kinds.count("job_retried") == 1
    assert kinds[-1] == "batch_finished"
    assert not workers()


def test_an_interrupt_ends_all_with_130(tmp_path: Path) -> None:
    process = command(tmp_path, 3)
    assert process.stdout is not None
    for line in process.stdout:
        if json.loads(line)["event"] == "stage_started":
            process.send_signal(signal.SIGINT)
            break
    process.stdout.read()
    assert process.wait(WAIT_S) == 130
    assert not workers()
    assert {path.name for path in (tmp_path / "out").iterdir()} == {".dubber-batch"}
    assert not list((tmp_path / "shared/parts").glob("*"))


def test_what_the_cluster_cannot_give_is_refused(cluster: Any, tmp_path: Path) -> None:
    wish = RayExecutor(Resources(), Cluster(gpus_per_job=1))
    with pytest.raises(DeviceError, match="1 GPUs"):
        list(wish.execute(iter([tasks_of(tmp_path / "out", 1)]), lambda event: None))


def test_a_cluster_that_is_not_there_is_named(tmp_path: Path) -> None:
    nowhere = RayExecutor(Resources(), Cluster(address="nonsense://1"))
    with pytest.raises(ConfigError, match="--cluster nonsense"):
        list(nowhere.execute(iter([tasks_of(tmp_path / "out", 1)]), lambda event: None))
