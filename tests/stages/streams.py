"""Streams of mouths, made, consumed and stored as the tests of the stages need them."""

from __future__ import annotations

import threading
from collections.abc import Callable, Generator, Iterable, Sequence
from contextlib import closing
from pathlib import Path

import numpy as np

from dubber.dubbing import make_runtime
from dubber.engine.stage import StageContext
from dubber.media.color import MATRIX_BT601, YuvColor
from dubber.media.frame import Frame
from dubber.stages.mouth_stream import MouthStream, Shown
from dubber.types import Mouths, UInt8


def stage_context(folder: Path, name: str) -> StageContext:
    """A context whose folders lie in `folder`, which may be that of a run that was killed."""
    for part in ("entry", "work"):
        (folder / part).mkdir(parents=True, exist_ok=True)
    runtime = make_runtime(cache_dir=folder, device="cpu", threads=1)
    return StageContext(runtime, folder / "entry", folder / "work", name)


def kept(ctx: StageContext) -> list[Mouths]:
    """Ask for a stage's artefact to be stored; it is put into the list when it has flowed by."""
    artefacts: list[Mouths] = []
    ctx.keep = artefacts.append
    return artefacts


def drained(stream: MouthStream) -> list[Shown]:
    """All output frames of a stream, after which none of its threads is left."""
    with closing(stream.open()) as shown:
        frames = list(shown)
    assert num_makers() == 0
    assert [each.n for each in frames] == list(range(len(stream.mouths.has_patch_N)))
    return frames


def patches_of(shown: MouthStream | Iterable[Shown]) -> UInt8:
    """(n, height, width, 3) uint8, the patches of those frames that have one."""
    frames = drained(shown) if isinstance(shown, MouthStream) else shown
    return np.stack([each.patch for each in frames if each.patch is not None])


def num_makers() -> int:
    """How many threads make items for others."""
    return sum(thread.name == "prefetch" for thread in threading.enumerate())


def stream_of(mouths: Mouths, patches: Sequence[UInt8 | None]) -> MouthStream:
    """Given patches, one for each output frame or None, over pictures that show nothing."""
    plane = np.full((16, 16), 128, np.uint8)
    color = YuvColor(MATRIX_BT601, is_full_range=False)

    def shown() -> Generator[Shown]:
        for n, patch in enumerate(patches):
            yield Shown(n, Frame(n, n, plane, plane[::2, ::2], plane[::2, ::2], color), patch)

    return MouthStream(mouths, shown)


def with_patches(stream: MouthStream, change: Callable[[int, UInt8], UInt8]) -> MouthStream:
    """The same stream with other patches, made of their numbers and themselves."""
    frames = drained(stream)
    return stream_of(
        stream.mouths, [None if each.patch is None else change(each.n, each.patch) for each in frames]
    )


class Killed(BaseException):
    """Ends a run as a kill does: no stage may turn it into an error of its own."""


class Fuse:
    """A progress that counts and, after so many frames of a stage, kills the run.

    Args:
        stage: The stage.
        num_frames: How many of its frames are let through.
    """

    def __init__(self, stage: str, num_frames: int) -> None:
        self.stage, self.num_frames = stage, num_frames
        self.counts: dict[str, int] = {}
        self.totals: dict[str, int | None] = {}

    def plan(self, stages: list[str]) -> None: ...
    def start(self, stage: str, total: int | None) -> None:
        self.counts[stage], self.totals[stage] = 0, total

    def advance(self, stage: str, count: int = 1) -> None:
        self.counts[stage] += count
        if stage == self.stage and self.counts[stage] > self.num_frames:
            raise Killed

    def finish(self, stage: str, seconds: float, *, is_hit: bool) -> None: ...
