"""The membrane against a dense solution; the blend against what it promises."""

from __future__ import annotations

import cv2
import numpy as np
import pytest

from dubber.ops import poisson
from dubber.ops.poisson import membrane


def poisson_blend(
    base: np.ndarray, patch: np.ndarray, mask: np.ndarray, scale: int = 4, limit: float = 48.0
) -> np.ndarray:
    """The blend of pictures whose colours are three planes of one size."""
    return np.stack(poisson.poisson_blend(cv2.split(base), cv2.split(patch), mask, scale, (limit,)), -1)


def dense_membrane(values: np.ndarray, inside: np.ndarray) -> np.ndarray:
    """The same Dirichlet problem by one linear system."""
    places = np.argwhere(inside)
    number = {(int(y), int(x)): k for k, (y, x) in enumerate(places)}
    matrix, right = np.zeros((len(places), len(places))), np.zeros((len(places), values.shape[2]))
    for (y, x), row in number.items():
        matrix[row, row] = 4
        for place in ((y - 1, x), (y + 1, x), (y, x - 1), (y, x + 1)):
            if place in number:
                matrix[row, number[place]] = -1
            else:
                right[row] += values[place]
    result = values.astype(np.float64).copy()
    result[inside] = np.linalg.solve(matrix, right)
    return result


def blob(size: tuple[int, int] = (30, 40)) -> np.ndarray:
    inside = np.zeros(size, np.uint8)
    cv2.ellipse(inside, (size[1] // 2, size[0] // 2), (size[1] // 3, size[0] // 4), 20, 0, 360, 1, -1)
    inside[size[0] // 2 : -3, 8:14] = 1
    return inside.astype(bool)


@pytest.mark.parametrize("size", [(30, 40), (41, 33)])
def test_a_membrane_is_the_dense_solution(size: tuple[int, int]) -> None:
    inside = blob(size)
    values = np.random.default_rng(0).uniform(-50, 50, (*size, 3)).astype(np.float32)
    found = membrane(values, inside)
    np.testing.assert_allclose(found, dense_membrane(values, inside), atol=0.05)
    assert (found[~inside] == values[~inside]).all()


def test_a_membrane_is_linear_where_the_rim_is() -> None:
    y, x = np.mgrid[:30, :40].astype(np.float32)
    values = np.stack([x, y, x - 2 * y], -1)
    inside = blob()
    hole = np.where(inside[..., None], 0, values)
    np.testing.assert_allclose(membrane(hole, inside), values, atol=0.02)


def test_a_membrane_is_the_harmonic_function_its_rim_belongs_to() -> None:
    y, x = np.mgrid[:30, :40].astype(np.float32)
    # Both solve the 5-point Laplace equation exactly.
    values = np.stack([x * y, x**2 - y**2], -1) / 10
    inside = blob()
    found = membrane(np.where(inside[..., None], 0, values), inside)
    np.testing.assert_allclose(found, values, atol=0.02)


def test_regions_of_several_pieces_and_of_single_cells() -> None:
    inside = np.zeros((30, 40), bool)
    inside[2, 3:37] = inside[5:25, 20] = inside[12, 5] = inside[15:20, 30:36] = inside[20, 36] = True
    values = np.random.default_rng(1).uniform(-50, 50, (30, 40, 2)).astype(np.float32)
    found = membrane(values, inside)
    np.testing.assert_allclose(found, dense_membrane(values, inside), atol=0.05)
    turned = membrane(np.swapaxes(values, 0, 1), inside.T)
    np.testing.assert_allclose(np.swapaxes(turned, 0, 1), found, atol=0.01)


@pytest.mark.parametrize("thickness", [1, 2, 5])
def test_thin_masks_are_no_obstacle(thickness: int) -> None:
    mask = np.zeros((160, 200), np.float32)
    cv2.line(mask, (30, 40), (170, 120), 1.0, thickness)
    blended = poisson_blend(texture(), texture(seed=1), mask)
    assert (blended[mask == 0] == texture()[mask == 0]).all()


def test_coarser_planes_are_blended_alike() -> None:
    base, mask = texture(), feathered()
    patch = np.clip(base.astype(int) + 15, 0, 255).astype(np.uint8)
    halves = [
        cv2.resize(image, None, fx=0.5, fy=0.5, interpolation=cv2.INTER_AREA) for image in (base, patch)
    ]
    planes = [(image[..., 0], half[..., 1]) for image, half in zip((base, patch), halves, strict=True)]
    whole, half = poisson.poisson_blend(*planes, mask)
    assert (whole.shape, half.shape) == ((160, 200), (80, 100))
    assert np.abs(whole.astype(int) - base[..., 0]).max() < 3
    assert np.abs(half.astype(int) - halves[0][..., 1]).max() < 3


def test_a_region_on_the_rim_is_refused_and_an_empty_one_is_nothing() -> None:
    values = np.ones((12, 12, 1), np.float32)
    inside = np.zeros((12, 12), bool)
    assert (membrane(values, inside) == values).all()
    inside[0, 5] = True
    with pytest.raises(ValueError, match="rim"):
        membrane(values, inside)


def texture(size: tuple[int, int] = (160, 200), seed: int = 0) -> np.ndarray:
    noise = np.random.default_rng(seed).normal(0, 1, (*size, 3))
    return np.clip(120 + 60 * cv2.GaussianBlur(noise, (0, 0), 3) * 6, 20, 235).astype(np.uint8)


def feathered(size: tuple[int, int] = (160, 200)) -> np.ndarray:
    mask = np.zeros(size, np.float32)
    cv2.ellipse(mask, (size[1] // 2, size[0] // 2), (50, 40), 0, 0, 360, 1, -1)
    mask = cv2.GaussianBlur(mask, (0, 0), 4)
    mask[mask < 0.01], mask[mask > 0.99] = 0, 1
    return mask


def test_a_patch_in_other_light_takes_the_surroundings_colour() -> None:
    base, mask = texture(), feathered()
    y, x = np.mgrid[:160, :200]
    light = (15 + 0.08 * x - 0.05 * y)[..., None] * np.array([1.0, 0.8, -0.5])
    patch = np.clip(base + light, 0, 255).astype(np.uint8)
    plain = mask[..., None] * patch + (1 - mask[..., None]) * base
    blended = poisson_blend(base, patch, mask)
    assert np.abs(blended.astype(float) - base).max() < 3
    assert np.abs(plain - base).max() > 15


def test_outside_the_mask_nothing_changes() -> None:
    base, mask = texture(), feathered()
    blended = poisson_blend(base, texture(seed=1), mask)
    assert (blended[mask == 0] == base[mask == 0]).all()
    assert (blended[mask == 1] != base[mask == 1]).any()
    assert (poisson_blend(base, texture(seed=1), np.zeros_like(mask)) == base).all()


def test_the_patch_keeps_its_detail() -> None:
    base, patch, mask = texture(), texture(seed=1), feathered()
    blended = poisson_blend(base, patch, mask)
    inside = cv2.erode((mask == 1).astype(np.uint8), np.ones((9, 9))).astype(bool)
    gradients = [np.diff(image.astype(float), axis=1)[:, :, 0] for image in (blended, patch)]
    assert np.corrcoef(*(g[inside[:, 1:]] for g in gradients))[0, 1] > 0.98


def test_it_agrees_with_a_full_resolution_clone() -> None:
    base, mask = texture(), feathered()
    patch = np.clip(texture(seed=0).astype(int) + 30, 0, 255).astype(np.uint8)
    region = (mask > 0).astype(np.uint8) * 255
    rows, columns = np.nonzero(region)
    center = (int(columns.min() + columns.max()) // 2, int(rows.min() + rows.max()) // 2)
    reference = cv2.seamlessClone(patch, base.copy(), region, center, cv2.NORMAL_CLONE)
    assert np.abs(poisson_blend(base, patch, mask).astype(float) - reference).mean() < 2


def test_a_dark_collar_on_the_rim_does_not_bleed() -> None:
    base = np.full((160, 200, 3), 150, np.uint8)
    patch, mask = base.copy(), feathered()
    base[mask.shape[0] // 2 + 42 :, 80:120] = 10
    free = poisson_blend(base, patch, mask, limit=255.0)
    bounded = poisson_blend(base, patch, mask, limit=20.0)
    stain = [150 - float(image[80:110, 80:120].mean()) for image in (free, bounded)]
    assert stain[1] < 0.5 * stain[0]


def test_a_mask_on_the_rim_is_refused() -> None:
    with pytest.raises(ValueError, match="rim"):
        poisson_blend(texture(), texture(), np.ones((160, 200), np.float32))
