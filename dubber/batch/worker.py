"""A worker process from within: takes tasks, tells what happens, ends when nobody listens any more."""

from __future__ import annotations

import multiprocessing
import os
import signal
import threading
from contextlib import suppress
from dataclasses import replace
from functools import partial
from multiprocessing.connection import Connection
from types import FrameType
from typing import NoReturn

from dubber.batch.devices import device_of_worker
from dubber.batch.events import Event
from dubber.batch.work import Resources, Task, TaskEnd, do_task, worker_name
from dubber.engine.watchdog import children
from dubber.errors import EXIT_INTERRUPTED, MediaError

ORPHAN_S = 15.0
"""So long a worker has to tidy up when its parent is gone."""


def work(connection: Connection, resources: Resources, number: int) -> None:
    """Do tasks until the connection ends.

    Args:
        connection: Gives `Task`s; takes `Event`s, and a `TaskEnd` for each task.
        resources: Where and how to work.
        number: Which of the workers this is, from 0: they take turns in having the GPUs.
    """
    signal.signal(signal.SIGTERM, _interrupt)
    if hasattr(signal, "SIGHUP"):
        signal.signal(signal.SIGHUP, signal.SIG_IGN)  # the parent hears it, too, and says what follows
    threading.Thread(target=_end_with_parent, name="parent", daemon=True).start()
    try:
        device = device_of_worker(resources.device, number)
        _work(_Line(connection), connection, replace(resources, device=device))
    except (EOFError, OSError):  # nothing is left to do
        return
    except KeyboardInterrupt:
        os._exit(EXIT_INTERRUPTED)  # libraries' threads need not be waited for


def _work(line: _Line, connection: Connection, resources: Resources) -> NoReturn:
    while True:
        task: Task = connection.recv()
        line.send(do_task(task, resources, line.send, partial(_leave_stalled, line, task)))


def _leave_stalled(line: _Line, task: Task, error: MediaError) -> NoReturn:
    line.send(TaskEnd.broken_off(task, worker_name(), error))
    _leave_at_once()


class _Line:
    """The connection, for several threads; says nothing more when nobody listens."""

    def __init__(self, connection: Connection) -> None:
        self._connection, self._lock = connection, threading.Lock()

    def send(self, message: Event | TaskEnd) -> None:
        with self._lock, suppress(OSError):
            self._connection.send(message)


def _interrupt(signum: int, frame: FrameType | None) -> NoReturn:  # noqa: ARG001 - a signal handler's form
    raise KeyboardInterrupt


def _end_with_parent() -> None:
    """Leave nobody behind: where the parent was killed, end as if it had said so."""
    parent = multiprocessing.parent_process()
    if parent is None:
        return
    parent.join()
    os.kill(os.getpid(), signal.SIGTERM)
    threading.Event().wait(ORPHAN_S)
    _leave_at_once()


def _leave_at_once() -> NoReturn:
    """End this process and those it started as if killed."""
    for child in children():
        with suppress(OSError, ValueError):
            os.kill(int(child.name), signal.SIGKILL)
    os._exit(EXIT_INTERRUPTED)
