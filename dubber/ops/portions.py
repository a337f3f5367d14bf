"""Going through arrays that lie on disk: what was looked at takes memory until that is given back."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np

from dubber.engine.mapped import forget_pages
from dubber.types import Float32, Int32

PORTION_FRAMES = 1024
"""Frames whose landmarks, 6 MB, are looked at before their memory is given back."""


def portions(num_frames: int) -> Iterator[slice]:
    """Slices of all frames in order; after each one the memory of mapped arrays is given back."""
    for start in range(0, num_frames, PORTION_FRAMES):
        yield slice(start, min(start + PORTION_FRAMES, num_frames))
        forget_pages()


def picked(landmarks_TL3: Float32, points: Int32 | list[int]) -> Float32:
    """Some landmarks of all frames.

    Args:
        landmarks_TL3: (T, L, 3), in memory or mapped from disk.
        points: (P,) which.

    Returns:
        (T, P, 3) float32, a copy; the same as `landmarks_TL3[:, points]`.
    """
    points_TP3 = np.empty((len(landmarks_TL3), len(points), 3), np.float32)
    for part in portions(len(landmarks_TL3)):
        points_TP3[part] = landmarks_TL3[part][:, points]
    return points_TP3
