"""The executor of a cluster: phases of jobs as tasks of Ray, on one machine or many (docs/scale.md)."""

from __future__ import annotations

import math
import os
import signal
import threading
from collections import Counter
from collections.abc import Iterator, Sequence
from concurrent.futures import FIRST_COMPLETED, Future, ThreadPoolExecutor, wait
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field, replace
from typing import Any, NoReturn

from dubber.batch.events import Event, Tell
from dubber.batch.executor import MAX_ATTEMPTS
from dubber.batch.travel import Parcel, Receiver, Returned, Sender
from dubber.batch.work import Phase, Resources, Task, TaskEnd, do_task, retried, worker_name
from dubber.engine.shared_store import SharedStore
from dubber.errors import ConfigError, DeviceError, DubberError, MediaError, ToolMissingError

LOCAL = "local"
"""The address of a runtime that is started for the batch, on this machine."""

MAX_NODE_LOSSES = 5
"""Nodes go for reasons of their own: a job that loses so many is given up."""

TASK_BYTES = 1_200_000_000
"""Memory that a task asks for. Source: docs/performance.md, a cold run of a 1080p clip, with some room."""

POLL_S = 0.2
END_S = 8.0
"""Tasks that are told to end have so long to tidy up."""

_STORE_BYTES = 100_000_000
"""Ray's own memory for objects; here only tasks and events pass through it. Ray takes no less than 75 MB."""


@dataclass(frozen=True)
class Cluster:
    """Which machines, and how much of them.

    Attributes:
        address: `LOCAL`, "auto" for the cluster that this machine is part of, or host:port of its head.
        num_jobs: Tasks at a time; None: as many as there is room for.
        cpus_per_job: Processors that a task takes.
        gpus_per_job: Share of a GPU for the phases that run networks for pictures and sound.
    """

    address: str = LOCAL
    num_jobs: int | None = None
    cpus_per_job: float = 1.0
    gpus_per_job: float = 0.0

    def needs(self, phase: Phase) -> dict[str, float]:
        """What Ray keeps free for a task of a phase."""
        gpus = 0.0 if phase is Phase.look else self.gpus_per_job
        return {"num_cpus": self.cpus_per_job, "num_gpus": gpus, "memory": TASK_BYTES}


@dataclass(frozen=True)
class RayExecutor:
    """Does jobs on a cluster of Ray.

    Attributes:
        resources: Where and how to work; its cache folder is each node's own.
        cluster: Which machines.
        shared: URL of the cache that the nodes share, through which the user's files travel too; None where
            all nodes see these.
    """

    resources: Resources
    cluster: Cluster = Cluster()
    shared: str | None = None
    name: str = field(default="ray", init=False)

    def execute(self, tasks: Sequence[Task], tell: Tell) -> Iterator[TaskEnd]:
        """See `Executor`."""
        store = None if self.shared is None else SharedStore(self.shared)
        with _connected(self.cluster) as ray, Sender(self.resources, store) as sender:
            num_tasks = min(len(tasks), self.cluster.num_jobs or _num_places(ray, self.cluster))
            course = _Course(ray, self, sender, tell)
            with ThreadPoolExecutor(max(1, num_tasks), thread_name_prefix="dubber-ray") as threads:
                jobs = {threads.submit(course.drive, task) for task in tasks}
                try:
                    yield from _ends(jobs, course)
                finally:
                    for job in jobs:
                        job.cancel()
                    course.end()


class _Course:
    """The jobs' way through the cluster.

    Each job is led by a thread of its own, which waits most of the time.
    """

    def __init__(self, ray: Any, executor: RayExecutor, sender: Sender, tell: Tell) -> None:
        self._ray, self._executor, self._sender, self._tell = ray, executor, sender, tell
        # Beside the machine that asks: other nodes may go.
        here = _on_node(ray.get_runtime_context().get_node_id())
        self._inbox = (
            ray.remote(num_cpus=0, max_restarts=-1)(_Inbox).options(scheduling_strategy=here).remote()
        )
        self._remote = ray.remote(max_retries=0)(_do_remotely)
        self._running: set[Any] = set()
        self._lock = threading.Lock()
        self._is_over = False
        self._last_words: dict[str, TaskEnd] = {}
        self._workers: dict[str, str] = {}

    def drive(self, task: Task) -> TaskEnd:
        """Lead a job through its phases; how it ended."""
        try:
            parcel = self._sender.pack(task)
        except DubberError as error:
            return TaskEnd(task, worker_name(), error=error)
        node, losses = "", Counter[bool]()
        while True:
            try:
                returned = self._run(parcel, node)
            except _LostError as loss:
                losses[loss.is_node] += 1
                following = self._after_loss(parcel.task, loss, losses)
                if isinstance(following, TaskEnd):
                    return following
            else:
                next_task = returned.end.next()
                if next_task is None:
                    return self._sender.accept(parcel, returned)
                following, node = next_task, returned.node
            parcel = replace(parcel, task=following)

    def listen(self) -> None:
        """Tell what happened on the nodes since the last time."""
        try:
            messages = self._ray.get(self._inbox.take.remote(), timeout=END_S)
        except self._ray.exceptions.RayError:  # its node is gone: the work goes on unheard
            return
        for message in messages:
            if isinstance(message, TaskEnd):
                self._last_words[message.task.job.name] = message
            else:
                if message.kind == "job_started":
                    self._workers[message.job] = message.worker
                self._tell(message)

    def end(self) -> None:
        """End all tasks that run: tidily, or else by force."""
        with self._lock:
            self._is_over = True
            running = list(self._running)
        for is_forced in (False, True):
            for ref in running:
                with suppress(self._ray.exceptions.RayError, ValueError):
                    self._ray.cancel(ref, force=is_forced)
            if running:
                _, running = self._ray.wait(running, num_returns=len(running), timeout=END_S)
        with suppress(self._ray.exceptions.RayError):
            self._ray.kill(self._inbox)

    def _run(self, parcel: Parcel, node: str) -> Returned:
        """Have a task done.

        Raises:
            _LostError: Its worker was lost.
        """
        executor, exceptions = self._executor, self._ray.exceptions
        options = {**executor.cluster.needs(parcel.task.phase), "scheduling_strategy": _place(node, executor)}
        with self._lock:
            if self._is_over:
                raise _OverError
            arguments = (parcel, _resources(executor, parcel.task.phase), executor.shared, self._inbox)
            ref = self._remote.options(name=_name(parcel.task), **options).remote(*arguments)
            self._running.add(ref)
        try:
            returned: Returned = self._ray.get(ref)
        except exceptions.TaskCancelledError as error:
            raise _OverError if self._is_over else _LostError("it was cancelled", is_node=False) from error
        except (exceptions.NodeDiedError, exceptions.LocalRayletDiedError) as error:
            raise _LostError("its node was lost", is_node=True) from error
        except (exceptions.WorkerCrashedError, exceptions.OutOfMemoryError) as error:
            raise _LostError(_first_line(error), is_node=False) from error
        except exceptions.RayError as error:
            return Returned(TaskEnd(parcel.task, worker_name(), error=_cannot(error)), node)
        finally:
            with self._lock:
                self._running.discard(ref)
        return returned

    def _after_loss(self, task: Task, loss: _LostError, losses: Counter[bool]) -> Task | TaskEnd:
        """What follows where the worker of a task was lost."""
        self.listen()
        name = task.job.name
        if name in self._last_words:
            return self._last_words[name]
        worker = self._workers.get(name, "a worker")
        if losses[False] >= MAX_ATTEMPTS or losses[True] >= MAX_NODE_LOSSES:
            return TaskEnd.lost(task, worker, loss.reason)
        again = retried(task, worker, loss.reason, self._tell)
        # The output was not there before the first try: what is there now, the lost worker has made.
        return replace(again, is_overwrite=again.is_overwrite or again.phase is Phase.paint)


def _ends(jobs: set[Future[TaskEnd]], course: _Course) -> Iterator[TaskEnd]:
    while jobs:
        done, jobs = wait(jobs, timeout=POLL_S, return_when=FIRST_COMPLETED)
        course.listen()
        for job in done:
            yield job.result()


# On the nodes.


class _Inbox:
    """An actor that keeps what workers tell until the machine that asked takes it."""

    def __init__(self) -> None:
        self._messages: list[Event | TaskEnd] = []

    def put(self, message: Event | TaskEnd) -> None:
        self._messages.append(message)

    def take(self) -> list[Event | TaskEnd]:
        messages, self._messages = self._messages, []
        return messages

    def heard(self) -> None:
        """Answers when all that its caller put before has arrived."""


def _do_remotely(parcel: Parcel, resources: Resources, shared: str | None, inbox: Any) -> Returned:
    """Do a task on a node of the cluster."""
    import ray

    def tell(message: Event | TaskEnd) -> None:
        with suppress(Exception):  # whoever asked is gone, or will hear no more
            inbox.put.remote(message)

    def leave_stalled(error: MediaError) -> NoReturn:
        tell(TaskEnd(parcel.task, worker_name(), error=error))
        with suppress(Exception):
            ray.get(inbox.heard.remote(), timeout=END_S)
        os._exit(1)

    node = ray.get_runtime_context().get_node_id()
    receiver = Receiver(resources, None if shared is None else SharedStore(shared), tell)
    returned = receiver.do(parcel, node, lambda task, told: do_task(task, resources, told, leave_stalled))
    with suppress(Exception):
        ray.get(inbox.heard.remote(), timeout=END_S)
    return returned


# Ray itself.


@contextmanager
def _connected(cluster: Cluster) -> Iterator[Any]:
    """Ray, connected to the cluster; a runtime that was started for this ends with it.

    Raises:
        ConfigError: There is no such cluster.
        DeviceError: It has no node that could do a task.
        ToolMissingError: Ray is not installed.
    """
    os.environ.setdefault("RAY_USAGE_STATS_ENABLED", "0")  # nothing leaves the user's machines
    try:
        import ray
    except ImportError as error:
        raise ToolMissingError(
            "The engine 'ray' needs Ray.", where="--engine", advice="`pip install 'dubber[ray]'`."
        ) from error
    is_ours = not ray.is_initialized()
    on_term = signal.getsignal(signal.SIGTERM)
    try:
        if is_ours:
            _start(ray, cluster)
        if threading.current_thread() is threading.main_thread():
            signal.signal(signal.SIGTERM, on_term)  # Ray has set its own
        _check_room(ray, cluster)
        yield ray
    finally:
        if is_ours:
            ray.shutdown()


def _start(ray: Any, cluster: Cluster) -> None:
    options: dict[str, Any] = {"log_to_driver": False, "logging_level": "ERROR"}
    if cluster.address == LOCAL:
        num_cpus = None if cluster.num_jobs is None else math.ceil(cluster.num_jobs * cluster.cpus_per_job)
        options |= {"num_cpus": num_cpus, "include_dashboard": False}
        options["object_store_memory"] = _STORE_BYTES
    try:
        ray.init(address=cluster.address, **options)
    except (ConnectionError, RuntimeError, ValueError, OSError) as error:
        raise ConfigError(
            f"Ray cannot be reached: {_first_line(error)}",
            where=f"--cluster {cluster.address}",
            advice="Leave `--cluster` out to work on this machine alone; see docs/scale.md.",
        ) from error


def _check_room(ray: Any, cluster: Cluster) -> None:
    """Whether some node could do each phase, if it had nothing else to do.

    Raises:
        DeviceError: None could, and would never.
    """
    needs = {"CPU": cluster.cpus_per_job, "GPU": cluster.gpus_per_job, "memory": TASK_BYTES}
    nodes = [node["Resources"] for node in ray.nodes() if node["Alive"]]
    if not any(all(node.get(name, 0) >= amount for name, amount in needs.items()) for node in nodes):
        raise DeviceError(
            f"No node of the cluster has {cluster.cpus_per_job:g} CPUs, {cluster.gpus_per_job:g} GPUs and "
            f"{TASK_BYTES / 1e9:.1f} GB of memory for a job.",
            advice="Ask for less with `--cpus-per-job` and `--gpus-per-job`, or add nodes.",
        )


def _num_places(ray: Any, cluster: Cluster) -> int:
    """So many tasks at a time that no node waits for the next one."""
    cpus = ray.cluster_resources().get("CPU", 0.0)
    num_running = int(cpus / cluster.cpus_per_job)
    return num_running + max(1, num_running // 4)


def _place(node: str, executor: RayExecutor) -> Any:
    """Where a task shall run: with what the job's last phase left in the cache, if that node is there.

    Where the nodes share their caches, another one that has nothing to do is better than waiting.
    """
    return _on_node(node, _spill_on_unavailable=executor.shared is not None) if node else "SPREAD"


def _on_node(node: str, **others: bool) -> Any:
    """That node while it is there, else another one."""
    from ray.util.scheduling_strategies import NodeAffinitySchedulingStrategy

    return NodeAffinitySchedulingStrategy(node, soft=True, **others)


def _resources(executor: RayExecutor, phase: Phase) -> Resources:
    """What a task is told: without a GPU of its own it takes none."""
    has_gpu = executor.cluster.needs(phase)["num_gpus"] > 0
    is_gpu_wanted = executor.resources.device.startswith("cuda")
    return executor.resources if has_gpu or not is_gpu_wanted else replace(executor.resources, device="cpu")


def _cannot(error: Exception) -> DubberError:
    return ConfigError(
        f"The cluster cannot do it: {_first_line(error)}",
        where="--engine ray",
        advice="Install dubber[ray], of the same version, on all nodes; see docs/scale.md.",
    )


def _first_line(error: Exception) -> str:
    lines = [line.strip() for line in str(error).splitlines() if line.strip()]
    return lines[0] if lines else type(error).__name__


def _name(task: Task) -> str:
    return f"dubber {task.phase.value} {task.job.name}"


class _LostError(Exception):
    """The worker of a task was lost."""

    def __init__(self, reason: str, *, is_node: bool) -> None:
        super().__init__(reason)
        self.reason, self.is_node = reason, is_node


class _OverError(Exception):
    """The batch ends; nobody waits for the job."""
