"""In which order tasks are taken."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

from dubber.batch.task_queue import Queued, TaskQueue
from dubber.batch.work import Phase, Task
from tests.batch.fakes import make_job


def _tasks(folder: Path, names: str) -> list[Task]:
    return [Task(make_job(folder, name)) for name in names]


def _emptied(queue: TaskQueue) -> str:
    taken = ""
    while (queued := queue.take(())) is not None:
        taken += queued.task.job.name
    return taken


def _on_one_video(folder: Path, names: str) -> list[Task]:
    tasks = _tasks(folder, names)
    return [replace(task, job=replace(task.job, video=folder / "film.mp4")) for task in tasks]


def _taken(queue: TaskQueue, *at_work: Queued) -> Queued:
    queued = queue.take(at_work)
    assert queued is not None
    return queued


def test_lots_are_taken_in_as_they_come(tmp_path: Path) -> None:
    def lots() -> Iterator[list[Task]]:
        yield _tasks(tmp_path, "ab")
        yield _tasks(tmp_path, "c")
        yield []
        yield _tasks(tmp_path, "d")

    queue = TaskQueue(lots(), 16)
    queue.fetch()
    assert (len(queue), queue.may_grow) == (3, True)
    assert _emptied(queue) == "abc"
    queue.fetch()
    assert (_emptied(queue), queue.may_grow) == ("d", False)


def test_what_came_first_is_finished_first(tmp_path: Path) -> None:
    queue = TaskQueue(iter([_tasks(tmp_path, "abc"), _tasks(tmp_path, "d")]), 2)
    queue.fetch()
    first = _taken(queue)
    queue.follow(first, replace(first.task, phase=Phase.listen))
    # The rest of the wave is looked at first, what came later waits until the wave is done.
    assert _emptied(queue) == "bacd"


def test_what_jobs_on_one_video_have_in_common_is_waited_for_once(tmp_path: Path) -> None:
    queue = TaskQueue(iter([_on_one_video(tmp_path, "abc")]), 16)
    queue.fetch()
    first = _taken(queue)
    assert queue.take([first]) is None
    queue.follow(first, replace(first.task, phase=Phase.listen))
    second = _taken(queue)
    assert (second.task.job.name, second.task.phase) == ("b", Phase.look)
    assert _taken(queue, second).task.job.name == "c"  # made now: nobody waits any more


def test_what_was_made_of_a_video_is_made_again_when_it_comes_anew(tmp_path: Path) -> None:
    lots = [_on_one_video(tmp_path, "a"), [], _on_one_video(tmp_path, "bc")]
    queue = TaskQueue(iter(lots), 16)
    queue.fetch()
    first = _taken(queue)
    queue.follow(first, replace(first.task, phase=Phase.paint))
    painting = _taken(queue)
    queue.fetch()
    assert queue.take([painting, _taken(queue, painting)]) is None


def test_jobs_on_one_video_paint_beside_each_other(tmp_path: Path) -> None:
    painting = [replace(task, phase=Phase.paint) for task in _on_one_video(tmp_path, "ab")]
    queue = TaskQueue(iter([painting]), 16)
    queue.fetch()
    assert _taken(queue, _taken(queue)).task.job.name == "b"
