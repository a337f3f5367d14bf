"""What does the work of a batch, from what its command line says."""

from __future__ import annotations

import logging
from pathlib import Path

from dubber.batch.executor import Executor
from dubber.batch.processes import ProcessExecutor, num_workers_for_machine
from dubber.batch.work import Resources
from dubber.cli.stalled import stall_limit_s
from dubber.errors import ConfigError


def resources(
    cache: Path | None,
    weights: Path | None,
    device: str,
    threads: int,
    *,
    is_commercial: bool,
    is_strict: bool,
    verbosity: int,
) -> Resources:
    """Turn the running options into what workers are told.

    Raises:
        DeviceError: The device does not exist here.
    """
    made = Resources(
        cache_dir=None if cache is None else cache.absolute(),
        weights_dir=None if weights is None else weights.absolute(),
        device=device,
        threads=threads,
        stall_limit_s=stall_limit_s(),
        is_commercial=is_commercial,
        is_strict=is_strict,
        log_level=(logging.WARNING, logging.INFO, logging.DEBUG)[min(verbosity, 2)],
    )
    made.runtime()
    return made


def local_executor(resources: Resources, jobs: str | None, wave: int) -> Executor:
    """Processes of this machine.

    Raises:
        ConfigError: `jobs` is no number.
    """
    num_workers = num_workers_for_machine() if jobs == "auto" else _number(jobs or "1")
    return ProcessExecutor(resources, num_workers, wave)


def ray_executor(
    resources: Resources,
    address: str,
    jobs: str | None,
    *,
    cpus_per_job: float,
    gpus_per_job: float,
    shared: str | None,
) -> Executor:
    """A cluster.

    Raises:
        ConfigError: `jobs` is no number.
    """
    from dubber.batch.ray_cluster import Cluster
    from dubber.batch.ray_executor import RayExecutor

    num_jobs = None if jobs in (None, "auto") else _number(str(jobs))
    return RayExecutor(resources, Cluster(address, num_jobs, cpus_per_job, gpus_per_job), shared)


def _number(text: str) -> int:
    if not text.isdecimal() or not 1 <= int(text) <= 1024:
        raise ConfigError(f"'{text}' is no number of jobs.", where="--jobs", advice="Say 1, 2, ... or auto.")
    return int(text)
