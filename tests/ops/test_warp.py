"""The thin-plate warp against what it promises: affine maps, landmarks that land, a rim that stays."""

from __future__ import annotations

import cv2
import numpy as np
import pytest

from dubber.ops.align import invert_similarity
from dubber.ops.warp import (
    close_crossed_lips,
    dense_displacement,
    evaluate_thin_plate,
    fit_thin_plate,
    landmark_displacement,
    paste_crop,
    remap,
    rim_points,
    sample_crop,
)


def scattered(count: int = 40, seed: int = 0) -> np.ndarray:
    return np.random.default_rng(seed).uniform(80, 300, (count, 2)).astype(np.float32)


def smooth_picture(size: tuple[int, int] = (384, 384)) -> np.ndarray:
    noise = np.random.default_rng(1).integers(0, 256, (*size, 3)).astype(np.uint8)
    blurred = cv2.GaussianBlur(noise, (0, 0), 6).astype(np.float32)
    return np.clip((blurred - 127) * 6 + 127, 0, 255).astype(np.uint8)


def test_an_affine_map_is_reproduced_exactly() -> None:
    source = scattered()
    matrix, shift = np.array([[1.1, 0.1], [-0.05, 0.9]]), np.array([5.0, -3.0])
    destination = ((source - shift) @ np.linalg.inv(matrix).T).astype(np.float32)
    field = dense_displacement(fit_thin_plate(destination, source), (200, 300), 6)
    y, x = np.mgrid[:200, :300] + 0.5
    place = np.stack([x, y], -1)
    assert field.shape == (200, 300, 2)
    np.testing.assert_allclose(place + field, place @ matrix.T + shift, atol=2e-3)


def test_points_are_met_exactly_without_regularisation_and_nearly_with_it() -> None:
    wanted, source = (
        scattered(),
        scattered() + np.random.default_rng(2).normal(0, 3, (40, 2)).astype(np.float32),
    )
    exact = evaluate_thin_plate(fit_thin_plate(wanted, source), wanted)
    np.testing.assert_allclose(exact, source - wanted, atol=5e-3)
    errors = [
        np.abs(evaluate_thin_plate(fit_thin_plate(wanted, source, r), wanted) - (source - wanted)).mean()
        for r in (0.003, 0.1)
    ]
    assert 0.005 < errors[0] < 0.5 < errors[1]


def test_points_on_a_line_are_refused() -> None:
    line = np.stack([np.arange(5.0), np.arange(5.0)], 1).astype(np.float32)
    with pytest.raises(ValueError, match="collinear"):
        fit_thin_plate(line * 0, line)


def test_landmarks_land_where_asked_and_the_rim_stays() -> None:
    picture = smooth_picture()
    source = np.array([[150, 200], [230, 200], [190, 230], [190, 215], [120, 120], [260, 120]], np.float32)
    wanted = source + np.array([[4, 0], [-4, 2], [0, 10], [0, -6], [0, 0], [0, 0]], np.float32)
    field = landmark_displacement(wanted, source, (384, 384), 0.0)
    warped = remap(picture, field)
    for (wx, wy), (sx, sy) in zip(wanted.astype(int), source.astype(int), strict=True):
        np.testing.assert_allclose(warped[wy, wx].astype(int), picture[sy, sx], atol=8)
    assert np.abs(warped.astype(int) - picture).max() > 20
    rim = np.concatenate([field[0], field[-1], field[:, 0], field[:, -1]])
    assert np.abs(rim).max() < 1.0


def test_no_motion_changes_no_pixel() -> None:
    picture = smooth_picture((120, 160))
    points = scattered() * 0.3
    field = landmark_displacement(points, points, (120, 160))
    assert (remap(picture, field) == picture).all()


def test_the_warp_is_the_same_at_every_scale() -> None:
    source = scattered(20)
    wanted = source + np.random.default_rng(3).normal(0, 4, source.shape).astype(np.float32)
    small = landmark_displacement(wanted, source, (384, 384), 0.02)
    large = landmark_displacement(2 * wanted, 2 * source, (768, 768), 0.02, unit_px=2)
    halved = cv2.resize(large, (384, 384), interpolation=cv2.INTER_AREA) / 2
    np.testing.assert_allclose(small, halved, atol=0.05)


def test_a_part_of_a_warp_is_that_part_of_the_whole() -> None:
    picture, source = smooth_picture(), scattered(20)
    wanted = source + np.random.default_rng(5).normal(0, 4, source.shape).astype(np.float32)
    whole = remap(picture, landmark_displacement(wanted, source, (384, 384)))
    corner, margin, size = np.array([48, 168], np.float32), 24, (192, 288)
    field = landmark_displacement(wanted - corner, source - corner, size, still_box=(-48, -168, 336, 216))
    part = remap(picture[168 - margin : 360 + margin, 48 - margin : 336 + margin], field)
    np.testing.assert_allclose(part.astype(int), whole[168:360, 48:336], atol=3)


def test_several_pictures_at_once_move_as_one_by_one() -> None:
    wanted = scattered(20)
    sources = wanted + np.random.default_rng(6).normal(0, 4, (3, *wanted.shape)).astype(np.float32)
    together = landmark_displacement(wanted, sources, (120, 160))
    assert together.shape == (3, 120, 160, 2)
    for field, source in zip(together, sources, strict=True):
        np.testing.assert_allclose(field, landmark_displacement(wanted, source, (120, 160)), atol=1e-3)


def test_rim_points_lie_on_the_rim() -> None:
    points = rim_points((100, 200), 4)
    assert points.shape == (16, 2)
    assert len(np.unique(points, axis=0)) == 16
    on_x, on_y = np.isin(points[:, 0], [0, 200]), np.isin(points[:, 1], [0, 100])
    assert (on_x | on_y).all()


@pytest.mark.parametrize("scale", [0.9, 1.7])
def test_a_crop_pasted_back_is_the_picture(scale: float) -> None:
    picture = smooth_picture((240, 320))
    angle = 0.2
    cos, sin = scale * np.cos(angle), scale * np.sin(angle)
    similarity = np.array([[cos, -sin, 30], [sin, cos, 10]], np.float32)
    crop = sample_crop(picture[20:, 40:], (40, 20), similarity, 384)
    back = paste_crop(crop, (100, 60), similarity, (60, 80))
    np.testing.assert_allclose(back.astype(int), picture[60:120, 100:180], atol=6)


def test_a_crop_has_pixel_centres_at_one_half() -> None:
    ramp = np.repeat(np.repeat(np.arange(64, dtype=np.uint8)[None, :, None] * 2, 64, 0), 3, 2)
    similarity = np.array([[2, 0, 0], [0, 2, 0]], np.float32)
    crop = sample_crop(ramp, (0, 0), similarity, 128)
    # Crop pixel 40 has its centre at 40.5, in the picture 20.25, between the centres 19.5 and 20.5.
    assert abs(int(crop[64, 40, 0]) - 2 * 19.75) <= 1
    assert np.allclose(invert_similarity(similarity)[:, :2], np.eye(2) / 2)


def test_a_much_coarser_crop_does_not_alias() -> None:
    stripes = np.zeros((512, 512, 3), np.uint8)
    stripes[:, ::2] = 255
    crop = sample_crop(stripes, (0, 0), np.array([[0.25, 0, 0], [0, 0.25, 0]], np.float32), 100)
    assert np.ptp(crop[10:-10, 10:-10]) <= 2


def test_crossed_lips_are_closed_and_open_ones_left() -> None:
    own = np.zeros((2, 39, 2), np.float32)
    own[:, :, 0] = np.arange(39)
    own[:, 13:16, 1], own[:, 17:20, 1] = 100, 104
    wanted = own.copy()
    wanted[0, 14, 1], wanted[0, 18, 1] = 106, 102
    closed = close_crossed_lips(wanted, own)
    assert closed[0, 14, 1] == closed[0, 18, 1] == 104
    assert (closed[1] == wanted[1]).all()
    assert (np.delete(closed[0], [14, 18], 0) == np.delete(wanted[0], [14, 18], 0)).all()
    crossed = wanted[:1]
    assert (close_crossed_lips(crossed, crossed) == crossed).all(), "the face's own landmarks stay its own"
