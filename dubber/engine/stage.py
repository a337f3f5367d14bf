"""What a stage is: parameters, a version, the weights it reads, and a function from inputs to an artefact."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, ClassVar, Generic, TypeVar

from pydantic import BaseModel, ConfigDict

from dubber.engine.device import Device
from dubber.engine.memory import is_out_of_memory, memory_error
from dubber.engine.progress import Progress, SilentProgress
from dubber.engine.watchdog import STALL_LIMIT_S
from dubber.engine.weights import WeightsFolder
from dubber.errors import DeviceError, DubberError, MediaError, StageError

Out = TypeVar("Out")


class Params(BaseModel):
    """Parameters of a stage: everything that may change its bytes, and nothing else."""

    model_config = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False)


@dataclass(frozen=True)
class Runtime:
    """What may not change the bytes: where and how fast.

    Attributes:
        cache_dir: Root of the artefact store.
        device: Where networks run.
        weights: Where weights are read from.
        threads: CPU threads of each network; 0: torch's own number.
        keeps_all: Whether streams that are cheap to make again are stored too.
        stall_limit_s: Standing still for so long ends a run, see `dubber.engine.watchdog`; 0: nothing does.
        on_stall: What ends it: it is told of the error in a thread of its own, and best leaves the process.
            None: the error is logged.
    """

    cache_dir: Path
    device: Device
    weights: WeightsFolder
    threads: int = 1
    keeps_all: bool = False
    stall_limit_s: float = STALL_LIMIT_S
    on_stall: Callable[[MediaError], None] | None = None


@dataclass
class StageContext:
    """What a running stage is given besides its inputs.

    Attributes:
        runtime: See `Runtime`.
        entry_dir: New files of the artefact go here; the folder becomes the cache entry.
        work_dir: Survives a killed run of the same key; for stages that resume inside themselves.
        stage_name: For progress and log messages.
        progress: Receives frame counts.
        keep: For a stage that streams: stores its artefact, which has flowed by, and whose files lie in
            `work_dir`; None where nobody wants it stored.
        shared: What the stages of one run share, by a key of their own; nothing of it may change the bytes.
        scratch: See `scratch_dir`; None puts it into `work_dir`.
        check_sources: Raises if a file of the user's that the stage is made from was changed; to be called
            before something gets its name in `work_dir`.
    """

    runtime: Runtime
    entry_dir: Path
    work_dir: Path
    stage_name: str
    progress: Progress = field(default_factory=SilentProgress)
    keep: Callable[[Any], None] | None = None
    shared: dict[Any, Any] = field(default_factory=dict)
    scratch: Path | None = None
    check_sources: Callable[[], None] = lambda: None
    _spent_s: list[float] = field(default_factory=list)

    def new_file(self, name: str) -> Path:
        """Path of a new file of the artefact."""
        return self.entry_dir / name

    def scratch_dir(self) -> Path:
        """A folder for files that are worthless when the run is over; it is removed then."""
        folder = self.scratch or self.work_dir / "scratch"
        folder.mkdir(parents=True, exist_ok=True)
        return folder

    @contextmanager
    def frames(self, total: int | None) -> Iterator[StageContext]:
        """Announce how many frames the stage will go through; call `advance` for each."""
        self.progress.start(self.stage_name, total)
        yield self

    def advance(self, count: int = 1) -> None:
        """Tell that `count` more frames are done."""
        self.progress.advance(self.stage_name, count)

    def spend(self, seconds: float) -> None:
        """Tell of processor time that a thread of the stage used; any thread may."""
        self._spent_s.append(seconds)

    @property
    def spent_s(self) -> float:
        """Processor seconds that the stage's threads have told of."""
        return sum(self._spent_s)


@contextmanager
def stage_faults(stage_name: str) -> Iterator[None]:
    """Name the stage in what fails inside the block.

    Raises:
        DeviceError: The memory is too small.
        StageError: Something failed that is no `DubberError` of its own.
    """
    try:
        yield
    except DubberError as error:
        if isinstance(error, DeviceError) or not is_out_of_memory(error.__cause__):
            raise
        raise memory_error(stage_name) from error
    except Exception as error:
        if is_out_of_memory(error):
            raise memory_error(stage_name) from error
        message = f"The stage '{stage_name}' failed: {type(error).__name__}: {error}"
        raise StageError(message) from error


class Stream(ABC, Generic[Out]):
    """An artefact that is made while the next stage consumes it."""

    @abstractmethod
    def drain(self) -> None:
        """Consume all of it, for those who want it stored and nothing else."""


class Stage(ABC, Generic[Out]):
    """One step of the method.

    Subclasses are frozen values: constructing one does no work and loads no library that is slow to import.

    Attributes:
        name: Unique word users see and may pass to `--until` and `--from`.
        version: Raised whenever the code makes other bytes from the same parameters.
        is_stored: False for a stage whose output has no form on disk.
        is_streamed: Whether `run` returns a `Stream`, which hands its artefact to `StageContext.keep` when it
            has flowed by. Stages that consume it must also take the stored artefact.
        is_costly: Of a stage that streams: whether what flows by is stored even if nobody asks for it.
        output_type: The artefact's dataclass.
    """

    name: ClassVar[str]
    version: ClassVar[int]
    output_type: ClassVar[type]
    is_stored: ClassVar[bool] = True
    is_streamed: ClassVar[bool] = False
    is_costly: ClassVar[bool] = True

    def __init__(self, params: Params) -> None:
        self.params = params

    def weights(self) -> tuple[str, ...]:
        """Names, in the weights manifest, of the weights this stage reads; they are part of its key."""
        return ()

    def code(self) -> Mapping[str, str]:
        """What identifies code that the stage runs and that is not dubber's own; it is part of its key.

        Raises:
            ConfigError: It cannot be loaded.
        """
        return {}

    @abstractmethod
    def run(self, ctx: StageContext, *inputs: Any) -> Out | Stream[Out]:
        """Make the artefact, or promise it.

        Args:
            ctx: Where to put files, what to run on, whom to tell.
            *inputs: The inputs' artefacts, in the order they were given to `Plan.add`.

        Raises:
            DubberError: With what the user can do about it.
        """
