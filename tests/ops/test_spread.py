"""Chosen frames differ."""

from __future__ import annotations

import numpy as np

from dubber.ops.spread import spread_frames


def test_spread_frames_covers_both_extremes() -> None:
    rng = np.random.default_rng(6)
    yaw, opening = rng.normal(size=500), np.abs(rng.normal(size=500))
    chosen = spread_frames(yaw, opening, 30)
    assert len(chosen) == len(set(chosen.tolist())) == 30
    assert (np.diff(chosen) > 0).all()
    for values in (yaw, opening):
        assert values[chosen].max() > np.quantile(values, 0.95)
        assert values[chosen].min() < np.quantile(values, 0.05)
    np.testing.assert_array_equal(spread_frames(yaw[:4], opening[:4], 30), [0, 1, 2, 3])
    assert len(spread_frames(np.zeros(9), np.zeros(9), 3)) == 3
