"""How a job gets to another machine and its results come back.

Where all machines see the user's files, tasks are sent as they are. Otherwise inputs, results and the cache
travel through a `SharedStore`: the machine that works has copies of the inputs in its own cache, and makes
the results in a folder of its own that exists as long as the task.
"""

from __future__ import annotations

import dataclasses
import logging
import os
import threading
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, TypeVar

from dubber import __version__
from dubber.batch.events import Event, Logged, Tell, Warned
from dubber.batch.work import FileFacts, Resources, Task, TaskEnd, worker_name
from dubber.dubbing import make_runtime
from dubber.engine.disk import human_bytes
from dubber.engine.shared_store import SharedStore
from dubber.engine.store import Store
from dubber.engine.unfinished import new_tag, part_of, sweep_parts
from dubber.errors import ConfigError, DubberError, MediaError, OutputFolderError, SharedStoreError
from dubber.jobs import Job, plan_job
from dubber.output import check_sidecar, drop_sidecar, publish, sidecar_of
from dubber.stages.plugins import file_of

T = TypeVar("T")
EventT = TypeVar("EventT", bound=Event)

_PROBE_NAME = "seen"


@dataclass(frozen=True)
class Parcel:
    """A task on its way to another machine. Can be pickled.

    Attributes:
        task: The task, with this machine's absolute paths.
        inputs: sha256 of the files that travel, by path; empty where every machine sees them. What signs the
            results is never among them: a private key does not lie in a shared cache.
        seen: Files that this machine sees and that the other one must see too: inputs, and files that were
            put into the output folders to find that out.
        tag: Names what comes back.
        version: dubber's, on this machine.
    """

    task: Task
    inputs: dict[Path, str] = field(default_factory=dict)
    seen: tuple[Path, ...] = ()
    tag: str = field(default_factory=new_tag)
    version: str = __version__


@dataclass(frozen=True)
class Returned:
    """How a task ended elsewhere. Can be pickled.

    Attributes:
        end: Its end, with the paths of the machine that asked.
        node: Ray's name of the machine that did it.
        results: sha256 of the files that wait under the parcel's tag, by the path they shall have.
    """

    end: TaskEnd
    node: str
    results: dict[Path, str] = field(default_factory=dict)


class Sender:
    """The machine that asks: sends tasks, and puts what comes back under the user's names.

    Args:
        resources: Names this machine's cache.
        shared: Where files travel; None where every machine sees them.
    """

    def __init__(self, resources: Resources, shared: SharedStore | None) -> None:
        self._shared = shared
        self._store = Store(make_runtime(cache_dir=resources.cache_dir, device="cpu").cache_dir)
        self._probes: dict[Path, Path] = {}
        self._lock = threading.Lock()

    def __enter__(self) -> Sender:
        return self

    def __exit__(self, *_: object) -> None:
        for probe in self._probes.values():
            with suppress(OSError):
                probe.unlink()

    def pack(self, task: Task) -> Parcel:
        """Make a task ready to be done elsewhere.

        Raises:
            DubberError: A file cannot be read, or the shared cache or an output folder not be written.
        """
        task = replace(task, job=with_paths(task.job, Path.absolute))
        check_sidecar(task.job.output)
        folders = {path.parent for path in _outputs(task.job)}
        if self._shared is None:
            probes = [self._probe(folder) for folder in sorted(folders)]
            return Parcel(task, seen=(*filter(Path.exists, task.job.inputs), *probes))
        inputs = {path: self._store.source_sha256(path)[0] for path in task.job.inputs}
        for path, sha256 in inputs.items():
            self._shared.push_input(path, sha256)
        return Parcel(task, inputs)

    def accept(self, parcel: Parcel, returned: Returned) -> TaskEnd:
        """Put the results of a job that is over where the user wants them.

        Returns:
            Its end; where a result cannot be put there, that is how it ended.
        """
        end = returned.end
        if self._shared is None:
            return end
        try:
            self._place(self._shared, parcel, returned.results)
        except DubberError as error:
            end = replace(end, result=None, error=error, output=None)
        with suppress(SharedStoreError):  # the results are in place: pruning removes what stays
            self._shared.discard(parcel.tag)
        inputs = tuple(self._as_sent(path, parcel) for path in end.task.job.inputs)
        output = None if end.output is None else FileFacts.of(end.output.path, self._store)
        return replace(end, inputs=inputs, output=output)

    def _place(self, shared: SharedStore, parcel: Parcel, results: Mapping[Path, str]) -> None:
        named, output = _outputs(parcel.task.job), parcel.task.job.output
        check_sidecar(output)
        with self._store.scratch() as folder:
            _make_folder(folder)
            for path, sha256 in results.items():
                arrived = folder / sha256
                shared.receive(parcel.tag, sha256, arrived)
                _make_folder(path.parent)
                publish(arrived, path, is_overwrite=parcel.task.is_overwrite or path not in named)
        if output in results and sidecar_of(output) not in results:
            drop_sidecar(output)

    def _as_sent(self, path: Path, parcel: Parcel) -> FileFacts:
        """The facts of an input; of one that was replaced since it was sent no more than its checksum."""
        facts, sent = FileFacts.of(path, self._store), parcel.inputs.get(path, "")
        return facts if facts.sha256 == sent else FileFacts(path, sha256=sent)

    def _probe(self, folder: Path) -> Path:
        """A file that whoever sees the folder sees too.

        Raises:
            OutputFolderError: The folder cannot be written.
        """
        with self._lock:
            if folder not in self._probes:
                probe = part_of(folder / _PROBE_NAME)
                try:
                    folder.mkdir(parents=True, exist_ok=True)
                    sweep_parts(folder / _PROBE_NAME)
                    probe.touch()
                except OSError as error:
                    raise OutputFolderError(
                        f"The output folder cannot be written ({error.strerror}).", where=str(folder)
                    ) from error
                self._probes[folder] = probe
            return self._probes[folder]


class Receiver:
    """The machine that works.

    Args:
        resources: Where and how it works.
        shared: As the sender's.
        tell: Is told of warnings.
    """

    def __init__(self, resources: Resources, shared: SharedStore | None, tell: Tell) -> None:
        self._resources, self._shared, self._tell = resources, shared, tell

    def do(self, parcel: Parcel, node: str, do_task: Callable[[Task, Tell], TaskEnd]) -> Returned:
        """Do a task that was sent here.

        Args:
            parcel: The task.
            node: This machine, as Ray calls it.
            do_task: Does it, with the paths that it has here.
        """
        try:
            if parcel.version != __version__:
                raise ConfigError(
                    f"Its dubber is {__version__}, that of the machine that asks is {parcel.version}.",
                    where=f"node {worker_name()}",
                    advice="Install the same version on all nodes.",
                )
            if self._shared is None:
                _check_seen(parcel)
                return Returned(do_task(parcel.task, self._tell), node)
            return self._do_with_copies(self._shared, parcel, node, do_task)
        except DubberError as error:
            return Returned(TaskEnd.broken_off(parcel.task, worker_name(), error), node)

    def _do_with_copies(
        self, shared: SharedStore, parcel: Parcel, node: str, do_task: Callable[[Task, Tell], TaskEnd]
    ) -> Returned:
        store = Store(self._resources.runtime().cache_dir)
        with store.scratch() as folder:
            moved = {
                path: self._copy(shared, store, path, sha256, folder / "in" / sha256)
                for path, sha256 in parcel.inputs.items()
            }
            outputs, made = _outputs(parcel.task.job), folder / "out"
            # Results keep their places among each other: they may name each other by relative paths.
            root = Path(os.path.commonpath([path.parent for path in outputs]))
            moved.update({path: made / path.relative_to(root) for path in outputs})
            there = {copy: path for path, copy in moved.items()}
            task = replace(parcel.task, job=_moved_job(parcel.task.job, moved))
            with self._exchange(shared, store, task.job):
                end = do_task(task, lambda event: self._tell(_with_names(event, there)))
            results = {}
            if end.output is not None:
                files = [path for path in sorted(made.rglob("*")) if path.is_file()]
                results = {root / path.relative_to(made): shared.send(path, parcel.tag) for path in files}
            back = with_paths(end, lambda path: there.get(path, path))
            result = back.result and replace(back.result, renderer=_named(back.result.renderer, there))
            back = replace(back, task=parcel.task, result=result, error=_renamed(end.error, there))
            back = replace(back, warnings=tuple(_with_names(each, there) for each in end.warnings))
            return Returned(back, node, results)

    @contextmanager
    def _exchange(self, shared: SharedStore, store: Store, job: Job) -> Iterator[None]:
        """Bring what the cache of others has of a job beforehand, and give it what is new afterwards.

        The job does not depend on it: where it fails, that is told, and the work is done here.
        """
        with self._warned(job):
            received = shared.pull_plan(plan_job(job, self._resources.runtime()).plan, store)
            self._told(job, received, "came from")
        yield
        with self._warned(job):
            sent = shared.push_plan(plan_job(job, self._resources.runtime()).plan, store)
            self._told(job, sent, "went to")

    def _told(self, job: Job, num_bytes: int, way: str) -> None:
        if num_bytes and self._resources.log_level <= logging.INFO:
            text = f"{human_bytes(num_bytes)} {way} the shared cache"
            self._tell(Logged(job.name, logging.INFO, text))

    @contextmanager
    def _warned(self, job: Job) -> Iterator[None]:
        try:
            yield
        except SharedStoreError as error:
            self._tell(Warned(job.name, str(error)))
        except DubberError:  # the task itself meets it and says so
            return

    @staticmethod
    def _copy(shared: SharedStore, store: Store, path: Path, sha256: str, folder: Path) -> Path:
        """The same file on this machine: the user's, if it is seen, or a copy of that name."""
        with suppress(DubberError):
            if store.source_sha256(path)[0] == sha256:
                return path
        copy = shared.pull_input(store, sha256)[0]
        folder.mkdir(parents=True, exist_ok=True)
        named = folder / path.name
        if not named.is_symlink():  # else two inputs are one file
            named.symlink_to(copy)
        return named


def with_paths(value: T, moved: Callable[[Path], Path]) -> T:
    """A value with other paths, wherever in it they are: in dataclasses and tuples."""
    changed: Any = value
    if isinstance(value, Path):
        changed = moved(value)
    elif isinstance(value, tuple):
        changed = tuple(with_paths(item, moved) for item in value)
    elif dataclasses.is_dataclass(value) and not isinstance(value, type):
        items = {each.name: getattr(value, each.name) for each in dataclasses.fields(value) if each.init}
        changed = replace(value, **{name: with_paths(item, moved) for name, item in items.items()})
    return changed  # type: ignore[no-any-return]


def _moved_job(job: Job, moved: Mapping[Path, Path]) -> Job:
    """A job with the paths of copies; a renderer of the user's is one of them."""
    job = with_paths(job, lambda path: moved.get(path, path))
    name = job.config.render.renderer
    file = file_of(name)
    if file is None or file not in moved:
        return job
    copy = name.replace(str(file), str(moved[file]), 1)
    return replace(job, config=job.config.with_overrides({"render.renderer": copy}))


def _check_seen(parcel: Parcel) -> None:
    """Whether this machine sees the user's files.

    Raises:
        MediaError: An input is not there.
        OutputFolderError: An output folder is another one here.
    """
    what = f"The node {worker_name()} does not see this"
    advice = "Use folders that all nodes see, or let the files travel: `--shared URL`."
    for path in parcel.seen:
        if path.exists():
            continue
        if path in parcel.task.job.inputs:
            raise MediaError(f"{what} file.", where=str(path), advice=advice)
        raise OutputFolderError(f"{what} folder.", where=str(path.parent), advice=advice)


def _make_folder(folder: Path) -> None:
    """Make a folder, if it is not there.

    Raises:
        OutputFolderError: It cannot be made.
    """
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise OutputFolderError(
            f"The folder cannot be made ({error.strerror}).", where=str(folder)
        ) from error


def _outputs(job: Job) -> tuple[Path, ...]:
    return (*job.extras.named.values(), job.output)


def _with_names(event: EventT, there: Mapping[Path, Path]) -> EventT:
    """An event that speaks of files as the user calls them."""
    if isinstance(event, (Warned, Logged)):
        return replace(event, message=_named(event.message, there))
    return event


def _renamed(error: DubberError | None, there: Mapping[Path, Path]) -> DubberError | None:
    if error is None:
        return None
    texts = [_named(text, there) for text in (error.message, error.where, error.advice)]
    return type(error)(texts[0], where=texts[1], advice=texts[2])


def _named(text: str, there: Mapping[Path, Path]) -> str:
    for copy, path in there.items():
        text = text.replace(str(copy), str(path))
    return text
