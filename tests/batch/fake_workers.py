"""Worker processes that do as they are told by their job's name: importable, so that they can be spawned."""

from __future__ import annotations

import os
import signal
import time
from multiprocessing.connection import Connection
from pathlib import Path

import pytest

from dubber.batch import worker
from dubber.batch.events import JobStarted, PhaseFinished, Warned
from dubber.batch.work import Phase, Resources, Task, TaskEnd, worker_name
from dubber.engine import device
from dubber.errors import DeviceError, NoFaceError, OutputExistsError
from dubber.outcome import DubResult


def work(connection: Connection, resources: Resources, number: int) -> None:
    """Do tasks; see `dubber.batch.worker.work`."""
    signal.signal(signal.SIGTERM, lambda *_: os._exit(130))
    while True:
        try:
            task: Task = connection.recv()
        except EOFError:
            return
        name = task.job.name
        connection.send(JobStarted(name, task.phase.value, worker_name(), task.attempt))
        while name.startswith("long") and not (task.job.video.parent / "go").exists():
            time.sleep(0.02)
        if name.startswith("slow"):
            time.sleep(60)
        if name.startswith("killer") or (name.startswith("once") and task.attempt == 1):
            os.kill(os.getpid(), signal.SIGKILL)
        if name.startswith("published") and task.phase is Phase.paint:
            if task.job.output.exists() and not task.is_overwrite:
                exists = OutputExistsError("It is there already.")
                connection.send(TaskEnd(task, worker_name(), error=exists))
                continue
            task.job.output.write_text("whole")
            if task.attempt == 1:
                os.kill(os.getpid(), signal.SIGKILL)
        if name.startswith("torn"):
            os.write(connection.fileno(), b"\x00\x00\x10\x00half a message")
            os._exit(3)
        if name.startswith("deaf"):
            signal.signal(signal.SIGTERM, signal.SIG_IGN)
            Path(task.job.output.parent / "deaf").touch()
            time.sleep(60)
        if name.startswith("faceless"):
            error = NoFaceError("No face.", where=str(task.job.video), advice="Take another.")
            connection.send(TaskEnd(task, worker_name(), 0.5, error=error))
            continue
        connection.send(Warned(name, task.phase.value))
        time.sleep(0.05)
        connection.send(PhaseFinished(name, task.phase.value, 0.5))
        output = task.job.output if task.phase is Phase.paint else None
        connection.send(TaskEnd(task, worker_name(), 0.5, result=DubResult(output)))


def work_on_two_gpus(connection: Connection, resources: Resources, number: int) -> None:
    """The real thing, where each task ends with the device that it would have run on."""

    def tell_device(task: Task, resources: Resources, *_: object) -> TaskEnd:
        device = resources.runtime().device
        return TaskEnd(task, worker_name(), error=DeviceError(f"{device.kind}:{device.index}"))

    patch = pytest.MonkeyPatch()
    patch.setattr(device, "_gpus", lambda: (2, False))
    patch.setattr(worker, "do_task", tell_device)
    worker.work(connection, resources, number)
