"""Landmark pictures: where they are bright, how bright, and how they move."""

from __future__ import annotations

import numpy as np
import pytest

from dubber.ops.heatmap import landmark_heatmap

SIZE = (192, 288)


def faces(count: int = 2) -> np.ndarray:
    turn = np.linspace(np.pi, 3 * np.pi, 12, endpoint=False)
    inner = np.linspace(np.pi, 3 * np.pi, 8, endpoint=False)
    angle = np.linspace(np.pi, 0, 19)
    face = np.concatenate(
        [
            np.stack([144 + 45 * np.cos(turn), 75 + 18 * np.sin(turn)], 1),
            np.stack([144 + 30 * np.cos(inner), 75 + 8 * np.sin(inner)], 1),
            np.stack([144 + 120 * np.cos(angle), 20 + 140 * np.sin(angle)], 1),
        ]
    )
    return (face + 3.3 * np.arange(count)[:, None, None]).astype(np.float32)


def test_points_are_the_largest_of_their_gaussians() -> None:
    landmarks = faces()
    heatmap = landmark_heatmap(landmarks, SIZE, 3.0)
    assert heatmap.shape == (2, *SIZE)
    assert heatmap.dtype == np.float32
    y, x = np.mgrid[: SIZE[0], : SIZE[1]] + 0.5
    offset = np.stack([x, y], -1)[None] - landmarks[1][:, None, None]
    gauss = np.exp(-0.5 * (offset**2).sum(-1) / 9) * (np.abs(offset) <= 9).all(-1)
    np.testing.assert_allclose(heatmap[1], gauss.max(0), atol=1e-6)


def test_lines_join_the_landmarks() -> None:
    landmarks = faces(1)
    heatmap = landmark_heatmap(landmarks, SIZE, 1.0, "lines")
    middles = (landmarks[0][20:-1] + landmarks[0][21:]) / 2
    for x, y in [*landmarks[0], *middles]:
        assert heatmap[0, int(y), int(x)] > 0.6
    first, last = landmarks[0][20], landmarks[0][-1]
    x, y = (first + last) / 2
    assert heatmap[0, int(y), int(x)] == 0, "the jaw line is open"
    assert 0 <= heatmap.min() < heatmap.max() <= 1


@pytest.mark.parametrize("mode", ["points", "lines"])
def test_the_picture_moves_with_the_landmarks(mode: str) -> None:
    base = faces(1)
    before, after, later = (landmark_heatmap(base + d, SIZE, 2.0, mode) for d in (0.0, 1.0, 0.25))
    np.testing.assert_allclose(before[:, :-1, :-1], after[:, 1:, 1:], atol=0.01)
    assert 0 < np.abs(later - before).max() < 0.25


@pytest.mark.parametrize("mode", ["points", "lines"])
def test_landmarks_outside_leave_no_trace(mode: str) -> None:
    assert landmark_heatmap(faces(1) + 2000, SIZE, 3.0, mode).max() == 0
    assert landmark_heatmap(faces(1)[:0], SIZE, 3.0, mode).shape == (0, *SIZE)
    assert landmark_heatmap(faces(1) + np.array([0, 60], np.float32), SIZE, 3.0, mode).max() > 0.5
