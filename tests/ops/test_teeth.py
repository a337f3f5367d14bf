"""Teeth: search for proxies and transfer of their detail."""

from __future__ import annotations

import cv2
import numpy as np
import pytest

from dubber.ops.registration import register
from dubber.ops.teeth import Proxy, TeethTransfer, overlay, transfer_teeth
from dubber.ops.teeth_proxy import (
    NO_PROXY,
    MouthViews,
    ProxyCost,
    inner_mouth_areas,
    inner_mouth_masks,
    mask_iou,
    proxy_path,
    proxy_shares,
)

SIZE = (192, 288)


def mouth(
    opening: float = 30.0, width: float = 90.0, centre: tuple[float, float] = (144.0, 90.0)
) -> np.ndarray:
    """39 landmarks, lips as ellipses; in the order of the 68-point scheme."""
    outer, inner = np.linspace(0, 2 * np.pi, 13)[:12], np.linspace(0, 2 * np.pi, 9)[:8]
    rings = [
        np.stack([-np.cos(angle) * (width / 2 + lip), -np.sin(angle) * (opening / 2 + lip)], 1)
        for angle, lip in ((outer, 12), (inner, 0))
    ]
    points = np.concatenate([*rings, np.zeros((19, 2))]) + centre
    return points.astype(np.float32)


def picture(landmarks: np.ndarray, seed: int = 0) -> np.ndarray:
    """Skin around striped teeth with a little texture."""
    rng = np.random.default_rng(seed)
    image = np.full((*SIZE, 3), (190, 120, 110), np.uint8)
    polygon = np.zeros(SIZE, np.uint8)
    cv2.fillPoly(polygon, [np.rint(landmarks[12:20]).astype(np.int32)], 1)
    x = np.arange(SIZE[1]) - landmarks[12, 0]
    stripes = 170 + 45 * np.sign(np.sin(x * 2 * np.pi / 11))
    teeth = np.repeat(np.repeat(stripes[None, :, None], SIZE[0], 0), 3, 2) + rng.normal(0, 6, (*SIZE, 3))
    return np.where(polygon[..., None] > 0, np.clip(teeth, 0, 255), image).astype(np.uint8)


def softened(image: np.ndarray) -> np.ndarray:
    return np.asarray(cv2.GaussianBlur(image, (0, 0), 2.0), np.uint8)


def detail_energy(image: np.ndarray) -> float:
    return float((cv2.Laplacian(image[82:98, 115:173].astype(np.float32), cv2.CV_32F) ** 2).mean())


def test_masks_overlap_as_counted_cell_by_cell() -> None:
    landmarks = np.stack([mouth(opening, width) for opening, width in ((8, 60), (30, 90), (40, 70), (0, 80))])
    masks = inner_mouth_masks(landmarks, 1.0)
    assert masks.shape == (4, 512)
    cells = np.unpackbits(masks, axis=1).astype(bool)
    naive = [[(a & b).sum() / max((a | b).sum(), 1) for b in cells] for a in cells]
    np.testing.assert_allclose(mask_iou(masks, masks), naive, atol=1e-6)
    assert mask_iou(masks[:1], masks[1:2]) < 0.5 < mask_iou(masks[1:2], masks[2:3])


def test_masks_do_not_depend_on_place_or_resolution() -> None:
    here = inner_mouth_masks(mouth()[None], 1.0)
    there = inner_mouth_masks(mouth(centre=(100, 60))[None], 1.0)
    finer = inner_mouth_masks(mouth()[None] * 2, 2.0)
    assert mask_iou(here, there) > 0.97
    assert mask_iou(here, finer) > 0.97


def test_area_is_the_polygons_and_crossed_lips_have_none() -> None:
    points = mouth()
    expected = cv2.contourArea(points[12:20])
    assert inner_mouth_areas(points[None] * 2, 2.0)[0] == pytest.approx(expected, rel=1e-4)
    crossed = points.copy()
    crossed[12:20] = crossed[12:20][::-1]
    assert inner_mouth_areas(crossed[None], 1.0)[0] == 0


def views(openings: np.ndarray) -> MouthViews:
    count = len(openings)
    landmarks = np.array([mouth(float(opening)) for opening in openings]).reshape(count, 39, 2)
    return MouthViews(
        inner_mouth_masks(landmarks, 1.0), np.zeros((count, 2), np.float32), np.ones(count, np.float32)
    )


def choose(openings: np.ndarray, lenders: np.ndarray, is_open: np.ndarray, **cost: float) -> np.ndarray:
    starts = np.arange(len(openings)) == 0
    quality = np.ones(len(lenders), np.float32)
    return proxy_path(views(openings), views(lenders), quality, is_open, starts, ProxyCost(**cost))


def test_a_price_on_changes_makes_proxies_stay() -> None:
    openings = 24 + 8 * np.sin(np.arange(60) * 1.3)
    lenders, is_open = np.array([16.0, 20, 24, 28, 32]), np.ones(60, bool)
    hops = [
        np.count_nonzero(np.diff(choose(openings, lenders, is_open, switch=price))) for price in (0.0, 0.5)
    ]
    assert hops[0] > 30
    assert hops[1] <= 2


def test_the_path_is_the_cheapest_of_all() -> None:
    openings, lenders = np.array([10.0, 22, 40, 18, 35]), np.array([12.0, 20, 38])
    path = choose(openings, lenders, np.ones(5, bool), switch=0.15, min_iou=0.0)
    price = 1 - mask_iou(views(openings).masks_NB, views(lenders).masks_NB)

    def total(choices: np.ndarray) -> float:
        return float(price[np.arange(5), choices].sum() + 0.15 * np.count_nonzero(np.diff(choices)))

    every = np.stack(np.meshgrid(*[np.arange(3)] * 5), -1).reshape(-1, 5)
    assert total(path) == pytest.approx(min(total(choices) for choices in every), abs=1e-5)


def test_shut_or_unlike_mouths_have_no_proxy() -> None:
    is_open = np.array([True, True, False, True])
    path = choose(np.array([30.0, 30, 2, 4]), np.array([28.0]), is_open)
    assert path.tolist() == [0, 0, NO_PROXY, NO_PROXY]
    assert choose(np.array([30.0]), np.zeros(0), np.ones(1, bool)).tolist() == [NO_PROXY]


def test_changes_dissolve_but_not_across_cuts() -> None:
    path = np.array([3, 3, 3, 5, 5, 5], np.int32)
    starts = np.arange(6) == 0
    shares = proxy_shares(path, starts, 1)
    assert shares[0] == {3: 1.0}
    assert shares[2] == pytest.approx({3: 0.75, 5: 0.25})
    assert proxy_shares(path, starts | (np.arange(6) == 3), 1)[2] == {3: 1.0}
    assert proxy_shares(np.array([NO_PROXY], np.int32), starts[:1], 1) == [{}]


def test_overlay_is_the_formula_and_neutral_at_one_half() -> None:
    rng = np.random.default_rng(0)
    image, high = (rng.uniform(0, 1, (4, 5, 3)).astype(np.float32) for _ in range(2))
    expected = np.where(high < 0.5, 2 * image * high, 1 - 2 * (1 - image) * (1 - high))
    np.testing.assert_allclose(overlay(image, high - 0.5), expected, atol=1e-6)
    assert (overlay(image, np.zeros_like(image)) == image).all()


@pytest.mark.parametrize("shift", [(1.0, 0.0), (-2.0, 1.0), (0.5, -1.0)])
def test_registration_finds_a_known_shift(shift: tuple[float, float]) -> None:
    image = cv2.GaussianBlur(np.random.default_rng(1).uniform(0, 1, (60, 90, 3)), (0, 0), 2).astype(
        np.float32
    )
    matrix = np.array([[1, 0, -shift[0]], [0, 1, -shift[1]]], np.float64)
    moved = cv2.warpAffine(image, matrix, (90, 60), flags=cv2.INTER_CUBIC).astype(np.float32)
    weight = np.zeros((60, 90), np.float32)
    weight[15:45, 15:75] = 1
    np.testing.assert_allclose(register(image, moved, weight, 3.0, 1.0), shift, atol=0.15)


@pytest.mark.parametrize("is_literal", [False, True])
def test_soft_teeth_become_sharp_inside_the_lips_only(is_literal: bool) -> None:
    points, lender = mouth(), mouth(centre=(140, 93))
    filmed, truth = picture(lender), picture(points)
    soft = softened(truth)
    made = transfer_teeth(
        soft, points, [Proxy(filmed, lender, 1.0)], 1.0, TeethTransfer(is_literal=is_literal)
    )
    assert detail_energy(made) > 3 * detail_energy(soft)
    if not is_literal:
        nearer = np.abs(made.astype(int) - truth)[80:100, 110:178].mean()
        assert nearer < 0.8 * np.abs(soft.astype(int) - truth)[80:100, 110:178].mean()
    polygon = np.zeros(SIZE, np.uint8)
    cv2.fillPoly(polygon, [np.rint(points[12:20]).astype(np.int32)], 1)
    outside = cv2.dilate(polygon, np.ones((3, 3), np.uint8)) == 0
    assert (made[outside] == soft[outside]).all()


def test_sharp_teeth_are_left_alone() -> None:
    points = mouth()
    truth = picture(points)
    made = transfer_teeth(truth, points, [Proxy(softened(picture(points, 1)), points, 1.0)], 1.0)
    assert (made == truth).all()


def test_a_shut_mouth_and_one_without_proxy_keep_every_byte() -> None:
    shut, opened = mouth(opening=0.8), mouth()
    image = softened(picture(opened))
    assert transfer_teeth(image, shut, [Proxy(picture(opened), opened, 1.0)], 1.0) is image
    assert transfer_teeth(image, opened, [], 1.0) is image
