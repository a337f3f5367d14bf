"""The executor of a cluster: phases of jobs as tasks of Ray, on one machine or many (docs/scale.md)."""

from __future__ import annotations

import os
import threading
import time
from collections import Counter
from collections.abc import Generator
from concurrent.futures import FIRST_COMPLETED, Future, ThreadPoolExecutor, wait
from contextlib import suppress
from dataclasses import dataclass, field, replace
from functools import lru_cache
from typing import Any, NoReturn

from dubber.batch.events import Event, Tell
from dubber.batch.executor import MAX_ATTEMPTS, Arrivals
from dubber.batch.ray_cluster import Cluster, connected, first_line, num_places
from dubber.batch.travel import Parcel, Receiver, Returned, Sender
from dubber.batch.work import Phase, Resources, Task, TaskEnd, do_task, retried, worker_name
from dubber.engine.shared_store import SharedStore
from dubber.errors import ConfigError, DubberError, MediaError

MAX_NODE_LOSSES = 5
"""Nodes go for reasons of their own: a job that loses so many is given up."""

POLL_S = 0.2
END_S = 8.0
"""Tasks that are told to end have so long to tidy up."""


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
    cluster: Cluster = field(default_factory=Cluster)
    shared: str | None = None
    name: str = field(default="ray", init=False)

    def execute(self, arrivals: Arrivals, tell: Tell) -> Generator[TaskEnd, None, None]:
        """See `Executor`."""
        store = None if self.shared is None else SharedStore(self.shared)
        if store is not None:
            store.check()
        with connected(self.cluster) as ray, Sender(self.resources, store) as sender:
            num_tasks = self.cluster.num_jobs or num_places(ray, self.cluster)
            absolute = replace(self, shared=None if store is None else store.url)
            course = _Course(ray, absolute, sender, tell)
            with ThreadPoolExecutor(max(1, num_tasks), thread_name_prefix="dubber-ray") as threads:
                jobs: set[Future[TaskEnd]] = set()
                try:
                    for lot in arrivals:
                        jobs |= {threads.submit(course.drive, task) for task in lot}
                        yield from _ended(jobs, course)
                    while jobs:
                        yield from _ended(jobs, course)
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
        self._listening = threading.Lock()
        self._is_over = False
        self._last_words: dict[str, TaskEnd] = {}
        self._workers: dict[str, str] = {}

    def drive(self, task: Task) -> TaskEnd:
        """Lead a job through its phases; how it ended."""
        try:
            parcel = self._sender.pack(task)
        except DubberError as error:
            return TaskEnd.broken_off(task, worker_name(), error)
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
        """Tell what happened on the nodes since the last time.

        Whoever comes meanwhile waits: what one thread has taken another may be looking for.
        """
        with self._listening:
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
            raise _LostError(first_line(error), is_node=False) from error
        except exceptions.RayError as error:
            return Returned(TaskEnd.broken_off(parcel.task, worker_name(), _cannot(error)), node)
        finally:
            with self._lock:
                self._running.discard(ref)
        return returned

    def _after_loss(self, task: Task, loss: _LostError, losses: Counter[bool]) -> Task | TaskEnd:
        """What follows where the worker of a task was lost."""
        self.listen()
        name = task.job.name
        if (last_words := self._last_words.pop(name, None)) is not None:
            return last_words
        worker = self._workers.get(name, "a worker")
        if losses[False] >= MAX_ATTEMPTS or losses[True] >= MAX_NODE_LOSSES:
            return TaskEnd.lost(task, worker, loss.reason)
        return retried(task, worker, loss.reason, self._tell)


def _ended(jobs: set[Future[TaskEnd]], course: _Course) -> list[TaskEnd]:
    """How some of the jobs ended, which are taken out; waits a little until one has."""
    done = wait(jobs, timeout=POLL_S, return_when=FIRST_COMPLETED).done if jobs else set()
    if not jobs:
        time.sleep(POLL_S)
    course.listen()
    jobs -= done
    return [job.result() for job in done]


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
        tell(TaskEnd.broken_off(parcel.task, worker_name(), error))
        with suppress(Exception):
            ray.get(inbox.heard.remote(), timeout=END_S)
        os._exit(1)

    node = ray.get_runtime_context().get_node_id()
    receiver = Receiver(resources, None if shared is None else _shared_store(shared), tell)
    returned = receiver.do(parcel, node, lambda task, told: do_task(task, resources, told, leave_stalled))
    with suppress(Exception):
        ray.get(inbox.heard.remote(), timeout=END_S)
    return returned


@lru_cache(maxsize=1)
def _shared_store(url: str) -> SharedStore:
    """One connection for all tasks that a worker process does: some libraries close none by themselves."""
    return SharedStore(url)


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
    """What a task is told: without a share of a GPU it takes none, with one it sees no other."""
    kind = executor.resources.device.partition(":")[0]
    has_gpu = executor.cluster.needs(phase)["num_gpus"] > 0
    return replace(executor.resources, device=kind if has_gpu or kind == "mps" else "cpu")


def _cannot(error: Exception) -> DubberError:
    return ConfigError(
        f"The cluster cannot do it: {first_line(error)}",
        where="--engine ray",
        advice="Install dubber[ray], of the same version, on all nodes; see docs/scale.md.",
    )


def _name(task: Task) -> str:
    return f"dubber {task.phase.value} {task.job.name}"


class _LostError(Exception):
    """The worker of a task was lost."""

    def __init__(self, reason: str, *, is_node: bool) -> None:
        super().__init__(reason)
        self.reason, self.is_node = reason, is_node


class _OverError(Exception):
    """The batch ends; nobody waits for the job."""
