"""What a stage is: parameters, a version, the weights it reads, and a function from inputs to an artefact."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, ClassVar, Generic, TypeVar

from pydantic import BaseModel, ConfigDict

from dubber.engine.device import Device
from dubber.engine.progress import Progress, SilentProgress
from dubber.engine.weights import WeightsFolder

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
        threads: CPU threads for networks; 0 leaves the library's default.
        batch_size: Windows per network call.
    """

    cache_dir: Path
    device: Device
    weights: WeightsFolder
    threads: int = 0
    batch_size: int = 8


@dataclass
class StageContext:
    """What a running stage is given besides its inputs.

    Attributes:
        runtime: See `Runtime`.
        entry_dir: New files of the artefact go here; the folder becomes the cache entry.
        work_dir: Survives a killed run of the same key; for stages that resume inside themselves.
        stage_name: For progress and log messages.
        progress: Receives frame counts.
    """

    runtime: Runtime
    entry_dir: Path
    work_dir: Path
    stage_name: str
    progress: Progress = field(default_factory=SilentProgress)

    def new_file(self, name: str) -> Path:
        """Path of a new file of the artefact."""
        return self.entry_dir / name

    @contextmanager
    def frames(self, total: int | None) -> Iterator[StageContext]:
        """Announce how many frames the stage will go through; call `advance` for each."""
        self.progress.start(self.stage_name, total)
        yield self

    def advance(self, count: int = 1) -> None:
        """Tell that `count` more frames are done."""
        self.progress.advance(self.stage_name, count)


class Stage(ABC, Generic[Out]):
    """One step of the method.

    Subclasses are frozen values: constructing one does no work and loads no library that is slow to import.

    Attributes:
        name: Unique word users see and may pass to `--until` and `--from`.
        version: Raised whenever the code makes other bytes from the same parameters.
        is_stored: False for a stage whose output is a stream consumed by the next one.
        output_type: The artefact's dataclass.
    """

    name: ClassVar[str]
    version: ClassVar[int]
    output_type: ClassVar[type]
    is_stored: ClassVar[bool] = True

    def __init__(self, params: Params) -> None:
        self.params = params

    def weights(self) -> tuple[str, ...]:
        """Names, in the weights manifest, of the weights this stage reads; they are part of its key."""
        return ()

    @abstractmethod
    def run(self, ctx: StageContext, *inputs: Any) -> Out:
        """Make the artefact.

        Args:
            ctx: Where to put files, what to run on, whom to tell.
            *inputs: The inputs' artefacts, in the order they were given to `Plan.add`.

        Raises:
            DubberError: With what the user can do about it.
        """
