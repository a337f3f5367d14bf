"""Videos that go with a dub: its frames at its times, drawn upon, with its sound and coded as it was."""

from __future__ import annotations

import dataclasses
import tempfile
from collections.abc import Callable, Generator, Iterator
from contextlib import contextmanager
from pathlib import Path

import numpy as np

from dubber.engine.execute import Run
from dubber.engine.progress import Progress
from dubber.engine.stage import Runtime, StageContext
from dubber.media.flow import FrameStream
from dubber.media.frame import Frame
from dubber.output import container_of, publish
from dubber.pipeline import DubPlan
from dubber.stages.remux import Remux
from dubber.types import UInt8


@contextmanager
def companion_context(runtime: Runtime, name: str, progress: Progress) -> Iterator[StageContext]:
    """Lend folders to the stages that make such a video, and tell of its frames under a name."""
    with tempfile.TemporaryDirectory(prefix="dubber-") as folder:
        yield StageContext(runtime, Path(folder), Path(folder), name, progress)


def publish_companion(
    context: StageContext,
    run: Run,
    dub_plan: DubPlan,
    frames: Callable[[], Generator[Frame]],
    size: tuple[int, int],
    output: Path,
    *,
    is_overwrite: bool,
) -> None:
    """Encode the frames with the dub's times and sound.

    Args:
        context: See `companion_context`.
        run: Has the dub's stages.
        dub_plan: The plan that was run.
        frames: Starts the frames, as many as the dub has.
        size: Their (height, width), even.
        output: Its suffix names the container.
        is_overwrite: Replace an existing file.

    Raises:
        OutputExistsError: The file exists.
        ConfigError: The encoder does not fit the container.
        DubberError: A file cannot be read or written; nothing is left under the output's name.
    """
    remux = dub_plan.config.remux.model_copy(update={"container": container_of(output)})
    mark = dub_plan.config.mark.text if dub_plan.config.mark.is_on else ""
    is_moved_N = run.get(dub_plan.retime).is_moved_N
    is_dubbed_N = run.get(dub_plan.dubbed).is_dubbed_N
    is_marked_N = np.ones_like(is_dubbed_N)  # with names or numbers, all of them
    made = Remux(remux).run(
        context,
        FrameStream(is_dubbed_N, frames, is_marked_N, mark, is_moved_N),
        run.get(dub_plan.sound),
        dataclasses.replace(run.get(dub_plan.clip), size=size),
        run.get(dub_plan.timeline),
    )
    publish(made.file.path, output, is_overwrite=is_overwrite)


def even_size(size: tuple[int, int]) -> tuple[int, int]:
    """A (height, width) whose sides are even, at most a pixel larger."""
    return size[0] + size[0] % 2, size[1] + size[1] % 2


def grown(plane: UInt8, size: tuple[int, int]) -> UInt8:
    """Repeat the last row and column where a picture shall be a pixel larger than it is."""
    return np.pad(
        plane, [(0, want - have) for want, have in zip(size, plane.shape, strict=True)], mode="edge"
    )
