"""Patches on disk while they flow: files of so many output frames, each whole or absent.

A killed run finds its finished files in the stage's work folder and goes on behind them.
"""

from __future__ import annotations

import os
from collections.abc import Generator, Iterator
from dataclasses import replace
from pathlib import Path
from types import TracebackType
from typing import TYPE_CHECKING

import numpy as np

from dubber.engine.stage import StageContext
from dubber.media.patches import PatchWriter
from dubber.types import Mouths, StoredFile, UInt8

if TYPE_CHECKING:
    from dubber.stages.mouth_stream import Shown

SEGMENT_FRAMES = 250
"""Output frames per patch file; a killed run repeats at most so many."""


def written(ctx: StageContext, mouths: Mouths, shown: Iterator[Shown]) -> Generator[Shown]:
    """Write patches as they pass; hand the artefact over when the last one is written.

    Args:
        ctx: Whose stage; files go to its work folder.
        mouths: All that is known of them before.
        shown: Every output frame, in order.
    """
    numbers = np.flatnonzero(mouths.has_patch_N & (not mouths.is_own_pixels))
    paths = [_segment_path(ctx, segment) for segment in np.unique(numbers // SEGMENT_FRAMES).tolist()]
    last = int(numbers[-1]) if len(numbers) else 0
    with _SegmentWriter(ctx, mouths.patch_size) as writer:
        for each in shown:
            if each.patch is not None:
                writer.write(each.n, each.patch)
            if each.n == last and ctx.keep is not None:
                writer.finish()
                ctx.keep(replace(mouths, patches=tuple(StoredFile(path) for path in paths)))
            yield each


class _SegmentWriter:
    """Writes patches into one file after the other; files that are there already stay as they are."""

    def __init__(self, ctx: StageContext, size: tuple[int, int]) -> None:
        self._ctx, self._size = ctx, size
        self._path: Path | None = None
        self._writer: PatchWriter | None = None

    def write(self, n: int, patch: UInt8) -> None:
        """Append the patch of output frame `n`; numbers increase."""
        path = _segment_path(self._ctx, n // SEGMENT_FRAMES)
        if path != self._path:
            self.finish()
            self._path = path
            self._writer = None if path.is_file() else PatchWriter(path.with_suffix(".part"), self._size)
        if self._writer is not None:
            self._writer.write(patch)

    def finish(self) -> None:
        """Give the last file its name."""
        if self._writer is not None and self._path is not None:
            self._writer.__exit__(None, None, None)
            with self._writer.path.open("rb+") as file:
                os.fsync(file.fileno())
            self._ctx.check_sources()
            self._writer.path.rename(self._path)
            self._writer = None

    def __enter__(self) -> _SegmentWriter:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._writer is not None:
            self._writer.__exit__(kind, error, trace)


def _segment_path(ctx: StageContext, segment: int) -> Path:
    return ctx.work_dir / f"{ctx.stage_name}_{segment:05d}.mkv"


def finished_segments(ctx: StageContext, mouths: Mouths) -> tuple[int, list[Path]]:
    """What a killed run finished, up to the first gap.

    Args:
        ctx: The files lie in its work folder.
        mouths: Which frames have patches.

    Returns:
        How many output frames need not be made again, counted in whole files, and the files of their patches.
    """
    paths: list[Path] = []
    for start in range(0, len(mouths.has_patch_N), SEGMENT_FRAMES):
        path = _segment_path(ctx, start // SEGMENT_FRAMES)
        if mouths.has_patch_N[start : start + SEGMENT_FRAMES].any() and not mouths.is_own_pixels:
            if not (path.is_file() and path.stat().st_size):
                return start, paths
            paths.append(path)
    return len(mouths.has_patch_N), paths
