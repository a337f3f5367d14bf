"""Going through arrays that lie on disk: what was looked at takes memory until that is given back."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np

from dubber.engine.mapped import forget_pages
from dubber.types import Float32, Int32

PORTION_FRAMES = 1024
"""Frames whose landmarks, 6 MB, are looked at before their memory is given back."""

_SCATTERED_FRAMES = 256
"""The same for single frames: the system reads 64 KB around each."""

_FEW_FRAMES = 64
"""What so many frames take is not worth giving back."""


def portions(num_frames: int) -> Iterator[slice]:
    """Slices of all frames in order; after each one the memory of mapped arrays is given back."""
    for start in range(0, num_frames, PORTION_FRAMES):
        yield slice(start, min(start + PORTION_FRAMES, num_frames))
        forget_pages()


def picked(landmarks_TL3: Float32, points: Int32 | list[int], frames: Int32 | None = None) -> Float32:
    """Some landmarks of some frames.

    Args:
        landmarks_TL3: (T, L, 3), in memory or mapped from disk.
        points: (P,) which.
        frames: (n,) of which frames; of all if not given.

    Returns:
        (n, P, 3) float32, a copy; the same as `landmarks_TL3[frames][:, points]`.
    """
    if frames is None:
        frames = np.arange(len(landmarks_TL3), dtype=np.int32)
    points_nP3 = np.empty((len(frames), len(points), 3), np.float32)
    for start in range(0, len(frames), _SCATTERED_FRAMES):
        some = slice(start, start + _SCATTERED_FRAMES)
        points_nP3[some] = landmarks_TL3[frames[some, None], np.asarray(points)]
        if len(frames) > _FEW_FRAMES:
            forget_pages()
    return points_nP3
