"""Jobs without media, and an executor without workers."""

from __future__ import annotations

from collections.abc import Callable, Generator
from pathlib import Path

from dubber.batch.events import JobStarted, StageFinished, Tell
from dubber.batch.executor import Arrivals
from dubber.batch.work import FileFacts, Phase, Task, TaskEnd
from dubber.config import DubConfig
from dubber.errors import MediaError
from dubber.jobs import Job
from dubber.outcome import DubResult
from dubber.script import whole


def make_job(folder: Path, name: str = "a", **settings: object) -> Job:
    """A job whose files are there, and hold nothing that could be dubbed."""
    video, audio = folder / f"{name}.mp4", folder / f"{name}.wav"
    for path in (video, audio):
        if not path.exists():
            path.write_bytes(path.name.encode() * 10)
    config = DubConfig().with_overrides({key.replace("__", "."): value for key, value in settings.items()})
    return Job(video, whole(audio), folder / "out" / f"{name}.mp4", config, name=name)


def facts_of(path: Path) -> FileFacts:
    """A file's facts, with its checksum."""
    import hashlib

    facts = FileFacts.unread(path)
    digest = hashlib.sha256(path.read_bytes()).hexdigest() if path.is_file() else ""
    return FileFacts(facts.path, facts.num_bytes, facts.modified_ns, digest)


def ended(task: Task, *, is_done: bool = True) -> TaskEnd:
    """The end of a job, with its output where it is done."""
    job = task.job
    inputs = tuple(facts_of(path) for path in job.inputs)
    if not is_done:
        return TaskEnd(task, "me-1", 1.0, error=MediaError("It is broken.", where="there"), inputs=inputs)
    job.output.parent.mkdir(parents=True, exist_ok=True)
    job.output.write_bytes(b"dubbed " + job.name.encode())
    result = DubResult(job.output, num_frames=3)
    return TaskEnd(task, "me-1", 1.0, result=result, inputs=inputs, output=facts_of(job.output))


class FakeExecutor:
    """Ends each job as it is told to."""

    name = "fake"

    def __init__(self, ends: Callable[[Task], TaskEnd] = ended) -> None:
        self.given: list[Task] = []
        self._ends = ends

    def execute(self, arrivals: Arrivals, tell: Tell) -> Generator[TaskEnd, None, None]:
        """See `Executor`."""
        for task in (task for lot in arrivals for task in lot):
            self.given.append(task)
            for phase in Phase:
                tell(JobStarted(task.job.name, phase.value, "me-1", 1))
                tell(StageFinished(task.job.name, "demux", 0.1, phase is not Phase.look))
            yield self._ends(task)
