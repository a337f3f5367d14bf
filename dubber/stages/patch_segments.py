"""Patches in files of so many output frames, each written whole; shared by the stages that write them.

A killed run finds its finished files in the stage's work folder and repeats at most one of them. The files
of an artefact belong to those segments that have a patch at all, in order, so a stage that rewrites patches
reads the file of the segment that it writes. Loaded only when such a stage runs.
"""

from __future__ import annotations

import shutil
from collections.abc import Callable, Generator, Iterator, Sequence
from contextlib import closing

from dubber.engine.stage import StageContext
from dubber.media.flow import prefetch
from dubber.media.patches import PatchWriter, read_patches
from dubber.types import Bool, StoredFile, UInt8

SEGMENT_FRAMES = 250
"""Output frames per patch file; a killed run repeats at most so many."""

_MADE_AHEAD = 4


def write_segments(
    ctx: StageContext,
    name: str,
    has_patch_N: Bool,
    size: tuple[int, int],
    make: Callable[[int, int], Iterator[UInt8]],
) -> tuple[StoredFile, ...]:
    """Write patches segment by segment; those that a killed run finished are kept.

    Args:
        ctx: Unfinished work is kept in `work_dir`; the files end up in the artefact's folder. Progress counts
            output frames.
        name: Stem of the files.
        has_patch_N: (N,) bool.
        size: (height, width) of the patches.
        make: Yields the (height, width, 3) uint8 patches of those output frames in start..stop that have one.
            Called once for each segment that is not there yet, in order; runs in a thread of its own.

    Returns:
        One file for each segment that has a patch.
    """
    num_frames = len(has_patch_N)
    finished = []
    with ctx.frames(num_frames):
        for start in range(0, num_frames, SEGMENT_FRAMES):
            stop = min(start + SEGMENT_FRAMES, num_frames)
            num_patches = int(has_patch_N[start:stop].sum())
            path = ctx.work_dir / f"{name}_{start // SEGMENT_FRAMES:05d}.mkv"
            if num_patches:
                finished.append(path)
            if not num_patches or path.is_file():
                ctx.advance(stop - start)
                continue
            part = path.with_suffix(".part")
            with PatchWriter(part, size) as writer, closing(prefetch(make(start, stop), _MADE_AHEAD)) as made:
                for patch in made:
                    writer.write(patch)
                    ctx.advance()
            part.rename(path)
            ctx.advance(stop - start - num_patches)
    files = []
    for path in finished:
        files.append(StoredFile(ctx.new_file(path.name)))
        shutil.move(path, files[-1].path)
    return tuple(files)


def read_segment(files: Sequence[StoredFile], has_patch_N: Bool, start: int) -> Generator[UInt8]:
    """The patches of one segment.

    Args:
        files: What `write_segments` returned.
        has_patch_N: What it was given.
        start: First output frame of the segment, as `write_segments` gives it to its `make`.

    Returns:
        Generator of (height, width, 3) uint8 patches.

    Raises:
        MediaError: The file is missing or damaged.
    """
    before = sum(bool(has_patch_N[s : s + SEGMENT_FRAMES].any()) for s in range(0, start, SEGMENT_FRAMES))
    return read_patches([files[before].path])


def copy_segments(ctx: StageContext, files: Sequence[StoredFile]) -> tuple[StoredFile, ...]:
    """The same patches for another artefact, where a stage has nothing to change.

    Args:
        ctx: The copies go to the artefact's folder.
        files: What `write_segments` returned.
    """
    return tuple(StoredFile(shutil.copyfile(file.path, ctx.new_file(file.path.name))) for file in files)
