"""The mouth mask: where it is one, where it is zero, how it moves."""

from __future__ import annotations

import cv2
import numpy as np
import pytest

from dubber.ops.masks import MaskShape, mouth_mask

NOSE = np.array([[160, 190], [176, 192], [192, 193], [208, 192], [224, 190]], np.float32)


def face(shift: float = 0.0) -> np.ndarray:
    turn = np.linspace(0, 2 * np.pi, 20, endpoint=False)
    mouth = np.stack([192 + 45 * np.cos(turn), 240 + 15 * np.sin(turn)], 1)
    angle = np.linspace(np.pi, 0, 19)
    jaw = np.stack([192 + 100 * np.cos(angle), 180 + (130 + shift) * np.sin(angle)], 1)
    return np.concatenate([mouth, jaw]).astype(np.float32)


def test_the_mask_covers_the_mouth_and_ends_inside_the_jaw_and_under_the_nose() -> None:
    points = face()
    mask = mouth_mask((points,), NOSE, (384, 384))
    assert mask.dtype == np.float32
    assert mask.min() == 0
    assert mask.max() == 1
    x, y = points[:20].astype(int).T
    assert (mask[y, x] == 1).all()
    x, y = points[20:].astype(int).T
    assert (mask[y, x] < 0.03).all(), "the jaw line itself is the source's"
    assert (mask[:194] == 0).all(), "nothing at the height of the nose's base"
    assert mask[220:280, 160:224].min() == 1


def test_the_feather_is_smooth() -> None:
    mask = mouth_mask((face(),), NOSE, (384, 384))
    assert max(np.abs(np.diff(mask, axis=axis)).max() for axis in (0, 1)) < 0.2


def test_the_union_of_two_jaws_reaches_the_lower() -> None:
    one = mouth_mask((face(),), NOSE, (384, 384))
    both = mouth_mask((face(), face(30)), NOSE, (384, 384))
    assert (both >= one - 1e-6).all()
    assert both[322, 192] > 0.5 > one[322, 192]


def test_the_mask_ends_inside_what_was_rendered() -> None:
    corners = np.array([[120, 150], [260, 160], [250, 280], [110, 270]], np.float32)
    free, ended = (mouth_mask((face(),), NOSE, (384, 384), patch_42=patch) for patch in (None, corners))
    inside = cv2.fillConvexPoly(np.zeros((384, 384), np.uint8), corners.astype(np.int32), 1) > 0
    assert (ended[~inside] == 0).all()
    assert (ended <= free).all()
    deep = cv2.erode(inside.astype(np.uint8), np.ones((41, 41))) > 0
    assert np.abs(ended[deep] - free[deep]).max() < 0.02
    assert max(np.abs(np.diff(ended, axis=axis)).max() for axis in (0, 1)) < 0.2


def test_the_rim_stays_free() -> None:
    mask = mouth_mask((face() * 3 - 300,), NOSE * 3 - 300, (384, 384))
    assert mask.max() == 1
    assert mask[:12].max() == mask[-12:].max() == mask[:, :12].max() == mask[:, -12:].max() == 0


def test_a_tilted_nose_tilts_the_upper_edge() -> None:
    tilted = NOSE.copy()
    tilted[:, 1] += np.linspace(-10, 10, 5)
    mask = mouth_mask((face(),), tilted, (384, 384))
    upper = (mask > 0.5).argmax(0)
    assert upper[240] - upper[150] > 15


def test_a_small_motion_changes_the_mask_little() -> None:
    before, after = (mouth_mask((face(s),), NOSE, (384, 384)) for s in (0.0, 0.25))
    assert 0 < np.abs(before - after).max() < 0.1


@pytest.mark.parametrize("unit", [0.5, 2.0])
def test_the_mask_scales_with_the_picture(unit: float) -> None:
    side = int(384 * unit)
    scaled = mouth_mask((face() * unit,), NOSE * unit, (side, side), unit_px=unit)
    assert scaled.mean() == pytest.approx(mouth_mask((face(),), NOSE, (384, 384)).mean(), rel=0.02)


def test_more_erosion_is_less_mask() -> None:
    areas = [mouth_mask((face(),), NOSE, (384, 384), MaskShape(erode=e)).sum() for e in (8.0, 16.0)]
    assert areas[1] < 0.9 * areas[0]
