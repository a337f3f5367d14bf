"""What the painter is shown: the mouth is hidden, wherever it is and shall be; nothing else is."""

from __future__ import annotations

import numpy as np

from dubber.ops.painter_input import lower_face, painter_input

SIZE = (96, 144)
NOSE = np.array([[50, 20], [60, 20], [72, 20], [84, 20], [94, 20]], np.float32)


def face(chin_y: float) -> np.ndarray:
    """39 landmarks: lips around (72, 45), a jaw from ear to ear over the chin."""
    angle = np.linspace(0, 2 * np.pi, 20, endpoint=False)
    lips = np.stack([72 + 20 * np.cos(angle), 45 + 8 * np.sin(angle)], 1)
    along = np.linspace(0, np.pi, 19)
    jaw = np.stack([72 - 50 * np.cos(along), 10 + (chin_y - 10) * np.sin(along)], 1)
    return np.concatenate([lips, jaw]).astype(np.float32)


def test_the_lower_face_ends_at_nose_and_chin() -> None:
    inside = lower_face(face(80), NOSE, SIZE, 1.0)
    column = np.flatnonzero(inside[:, 72])
    assert abs(column[0] - 26) <= 1
    assert abs(column[-1] - 79) <= 1
    assert (np.diff(column) == 1).all()


def test_a_tilted_nose_tilts_the_edge() -> None:
    tilted = NOSE + np.stack([np.zeros(5), np.linspace(-5, 5, 5)], 1).astype(np.float32)
    inside = lower_face(face(80), tilted, SIZE, 1.0)
    left, right = (int(np.flatnonzero(inside[:, x])[0]) for x in (55, 89))
    assert right - left > 5


def test_what_is_shown() -> None:
    rng = np.random.default_rng(0)
    exemplars = [rng.integers(0, 256, (*SIZE, 3), np.uint8) for _ in range(2)]
    source = rng.integers(1, 256, (*SIZE, 3), np.uint8)
    shown = painter_input(exemplars, source, face(70), face(85), NOSE, 1.0)
    assert shown.shape == (*SIZE, 11)
    assert shown.dtype == np.uint8
    assert (shown[..., :6] == np.concatenate(exemplars, -1)).all()
    is_hidden = shown[..., 9] == 255
    both = lower_face(face(70), NOSE, SIZE, 1.0) | lower_face(face(85), NOSE, SIZE, 1.0)
    assert (is_hidden == (both > 0)).all()
    assert (shown[is_hidden][:, 6:9] == 0).all()
    assert (shown[~is_hidden][:, 6:9] == source[~is_hidden]).all()
    lines = shown[..., 10]
    assert lines.max() == 255
    assert lines[45, 51:54].max() > 100  # the lips' corner
    assert (lines > 0).mean() < 0.15
