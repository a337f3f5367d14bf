"""Which pictures a page shows."""

from __future__ import annotations

import numpy as np

from dubber.report.pictures import looked_at


def test_the_mouth_of_who_talks_is_looked_at() -> None:
    has_patch_PN = np.array([[0, 1, 1, 1, 1, 1, 0, 0], [0, 0, 1, 1, 1, 1, 1, 0]], np.bool_)
    is_silent_PN = np.array([[1, 1, 1, 1, 0, 1, 1, 1], [1, 1, 0, 1, 0, 1, 1, 1]], np.bool_)
    assert looked_at(has_patch_PN, is_silent_PN).tolist() == [-1, 0, 1, 1, 1, 1, 1, -1]
    assert looked_at(has_patch_PN[::-1], is_silent_PN[::-1])[2] == 0
