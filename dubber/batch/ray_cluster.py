"""Ray itself: connecting to a cluster, or starting one, and what it has room for."""

from __future__ import annotations

import math
import os
import signal
import socket
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from dubber.batch.work import Phase
from dubber.errors import ConfigError, DeviceError, ToolMissingError

LOCAL = "local"
"""The address of a runtime that is started for the batch, on this machine."""

TASK_BYTES = 1_200_000_000
"""Memory that a task asks for. Source: docs/performance.md, a cold run of a 1080p clip, with some room."""

_STORE_BYTES = 100_000_000
"""Ray's own memory for objects; here only tasks and events pass through it. Ray takes no less than 75 MB."""

_CONNECT_S = 10.0

_QUIET = {
    "RAY_USAGE_STATS_ENABLED": "0",  # nothing leaves the user's machines
    "RAY_DEDUP_LOGS_SKIP_REGEX": ".",  # Ray prints on stdout what its nodes say; that is for --json alone
}
"""Variables that Ray reads when it is imported."""


@dataclass(frozen=True)
class Cluster:
    """Which machines, and how much of them.

    Attributes:
        address: `LOCAL`, "auto" for the cluster that this machine is part of, host:port of its head, or, from
            a machine that is no part of it, ray://host:10001.
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


@contextmanager
def connected(cluster: Cluster) -> Iterator[Any]:
    """Ray, connected to the cluster; a runtime that was started for this ends with it.

    Raises:
        ConfigError: There is no such cluster.
        DeviceError: It has no node that could do a task.
        ToolMissingError: Ray is not installed.
    """
    for name, value in {**_QUIET, **_authentication(cluster)}.items():
        os.environ.setdefault(name, value)
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


def _authentication(cluster: Cluster) -> dict[str, str]:
    """What makes Ray show its token to a cluster, if there is one.

    `ray start` asks everyone for it as soon as its machine has one, which Ray makes where it starts a runtime
    of its own; who then connects to an address shows none unless told to.
    """
    is_told = "RAY_AUTH_TOKEN" in os.environ or "RAY_AUTH_TOKEN_PATH" in os.environ
    has_token = is_told or (Path.home() / ".ray/auth_token").is_file()
    return {"RAY_AUTH_MODE": "token"} if cluster.address != LOCAL and has_token else {}


def _start(ray: Any, cluster: Cluster) -> None:
    options: dict[str, Any] = {"log_to_driver": False, "logging_level": "ERROR"}
    if cluster.address == LOCAL:
        num_cpus = None if cluster.num_jobs is None else math.ceil(cluster.num_jobs * cluster.cpus_per_job)
        options |= {"num_cpus": num_cpus, "include_dashboard": False}
        options["object_store_memory"] = _STORE_BYTES
    try:
        _knock(cluster.address)
        ray.init(address=cluster.address, **options)
    except (ConnectionError, RuntimeError, ValueError, OSError) as error:
        raise ConfigError(
            f"Ray cannot be reached: {first_line(error)}",
            where=f"--cluster {cluster.address}",
            advice="Leave `--cluster` out to work on this machine alone. A cluster takes only those who have "
            "its token, its versions of Ray and Python, and for ray:// also `pip install 'ray[client]'`; "
            "see docs/scale.md.",
        ) from error


def _knock(address: str) -> None:
    """See whether somebody answers at a host and port; Ray itself would try for many minutes.

    Raises:
        OSError: Nobody does.
    """
    host, _, port = address.removeprefix("ray://").rpartition(":")
    if port.isdigit():
        socket.create_connection((host.strip("[]"), int(port)), _CONNECT_S).close()


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


def num_places(ray: Any, cluster: Cluster) -> int:
    """So many tasks at a time that no node waits for the next one."""
    cpus = ray.cluster_resources().get("CPU", 0.0)
    num_running = int(cpus / cluster.cpus_per_job)
    return num_running + max(1, num_running // 4)


def first_line(error: Exception) -> str:
    """What a failure of Ray's says first; the rest is for who works on Ray."""
    lines = [line.strip() for line in str(error).splitlines() if line.strip()]
    return lines[0] if lines else type(error).__name__
