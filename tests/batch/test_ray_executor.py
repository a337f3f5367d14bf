"""What the machine that leads a batch on Ray hears, with Ray itself left out."""

from __future__ import annotations

import threading
from collections import Counter
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from dubber.batch import ray_executor
from dubber.batch.events import Event, Warned
from dubber.batch.ray_executor import RayExecutor, _Course, _LostError, _shared_store
from dubber.batch.work import Resources, Task, TaskEnd
from dubber.errors import MediaError
from dubber.jobs import Job
from dubber.script import whole


class Inbox:
    """An actor of Ray's whose messages are taken once."""

    def __init__(self, messages: list[Event | TaskEnd]) -> None:
        self.messages = messages
        self.times = 0
        self.again = threading.Event()
        self.take = SimpleNamespace(remote=self._take)

    def _take(self) -> list[Event | TaskEnd]:
        self.times += 1
        if self.times > 1:
            self.again.set()
        messages, self.messages = self.messages, []
        return messages


def test_last_words_are_heard_whoever_took_them(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A worker that stood still says so and ends; the batch's own thread has just taken what it said."""
    task = Task(Job(tmp_path / "a.mp4", whole(tmp_path / "a.wav"), tmp_path / "out.mp4", name="a"))
    words = TaskEnd.broken_off(task, "worker", MediaError("Nothing has happened."))
    inbox, is_told = Inbox([Warned("a", "It is dark."), words]), threading.Event()
    actor = SimpleNamespace(options=lambda **_: SimpleNamespace(remote=lambda: inbox))
    ray: Any = SimpleNamespace(
        get=lambda messages, timeout: messages,
        get_runtime_context=lambda: SimpleNamespace(get_node_id=lambda: "node"),
        remote=lambda **_: lambda target: actor,
        exceptions=SimpleNamespace(RayError=OSError),
    )
    monkeypatch.setattr(ray_executor, "_on_node", lambda node: node)

    def tell(event: Event) -> None:
        is_told.set()
        inbox.again.wait(0.3)

    sender: Any = None
    course = _Course(ray, RayExecutor(Resources()), sender, tell)
    with ThreadPoolExecutor(1) as threads:
        threads.submit(course.listen)
        assert is_told.wait(10)
        lost = _LostError("it ended", is_node=False)
        assert course._after_loss(task, lost, Counter([False])) is words


def test_all_tasks_of_a_worker_have_one_connection(tmp_path: Path) -> None:
    assert _shared_store(str(tmp_path)) is _shared_store(str(tmp_path))
    assert _shared_store(str(tmp_path / "other")).url == str(tmp_path / "other")
