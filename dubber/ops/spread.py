"""Choosing frames that differ."""

from __future__ import annotations

import numpy as np

from dubber.types import Float32, Int32


def spread_frames(yaw_T: Float32, opening_T: Float32, count: int) -> Int32:
    """Frames that differ in yaw and mouth opening: the farthest from all chosen so far, again and again.

    Args:
        yaw_T: (T,) any unit.
        opening_T: (T,) any unit.
        count: How many.

    Returns:
        (min(T, count),) int32 indices, increasing.
    """
    features = np.stack([np.asarray(yaw_T, np.float64), np.asarray(opening_T, np.float64)], axis=1)
    spread_2 = np.maximum(features.std(axis=0), 1e-9)
    # Outliers are what the tracker got wrong: they are not to look farther away than the usual extremes.
    features = np.clip((features - np.median(features, axis=0)) / spread_2, -2.5, 2.5)
    chosen = [int(np.argmin((features**2).sum(axis=1)))]
    distance_T = ((features - features[chosen[0]]) ** 2).sum(axis=1)
    while len(chosen) < min(count, len(features)):
        distance_T[chosen] = -1.0
        chosen.append(int(distance_T.argmax()))
        distance_T = np.minimum(distance_T, ((features - features[chosen[-1]]) ** 2).sum(axis=1))
    return np.sort(np.array(chosen, np.int32))
