"""Measures over pairs of pictures whose difference is known."""

from __future__ import annotations

from dataclasses import replace

import cv2
import numpy as np
import pytest

from dubber.evaluation.pairs import Pair
from dubber.evaluation.pictures import Detail, Flicker, Seam
from dubber.ops.align import umeyama
from dubber.ops.landmarks import MOUTH_JAW, MOUTH_OUTER
from dubber.types import CROP_SIZE_PX, Bool, Float32, UInt8
from tests.synth import puppet, talking_poses

SIDE_PX = 960


@pytest.fixture(scope="module")
def filmed() -> Pair:
    """Texture in the place of a large face: 2.5 px of the picture are one of the crop."""
    pose_P = talking_poses(np.zeros(1), 0, has_head_motion=False)[0]
    landmarks_L2 = puppet((240, 240)).landmarks(pose_P) * (SIDE_PX / 240)
    middle = landmarks_L2[MOUTH_JAW].mean(axis=0)
    # The mouth comes to lie in the middle of what is rendered.
    corners = np.array([[0, 0], [SIDE_PX, 0], [0, SIDE_PX]], np.float32)
    goal = (corners - middle) * np.float32(CROP_SIZE_PX / SIDE_PX) + np.array([192, 260], np.float32)
    rng = np.random.default_rng(0)
    grey = np.clip(rng.normal(128, 20, (SIDE_PX, SIDE_PX)), 0, 255).astype(np.uint8)
    picture = np.repeat(cv2.GaussianBlur(grey, (0, 0), 0.7)[..., None], 3, axis=2)
    return Pair(
        n=0,
        time_s=0.0,
        made=picture,
        filmed=picture,
        similarity_23=umeyama(corners[None], goal)[0],
        landmarks_L3=np.pad(landmarks_L2, ((0, 0), (0, 1))).astype(np.float32),
        box_4=np.array([0, 0, SIDE_PX, SIDE_PX], np.float32),
    )


def display_mask(pair: Pair) -> Float32:
    (x, y), mask_hw = pair.shown_mask
    whole = np.zeros((SIDE_PX, SIDE_PX), np.float32)
    whole[y : y + mask_hw.shape[0], x : x + mask_hw.shape[1]] = mask_hw
    return whole


def changed(pair: Pair, where: Bool, picture: UInt8) -> Pair:
    return replace(pair, made=np.where(where[..., None], picture, pair.filmed))


def test_the_mask_in_the_crop_is_that_in_the_picture(filmed: Pair) -> None:
    mask_HW = display_mask(filmed)
    assert 0.03 < (mask_HW > 0.5).mean() < 0.3
    assert mask_HW[0].max() == mask_HW[:, 0].max() == mask_HW[-1].max() == mask_HW[:, -1].max() == 0
    in_crop = (filmed.mask_HW > 0.5).sum() * (SIDE_PX / CROP_SIZE_PX) ** 2
    assert in_crop == pytest.approx((mask_HW > 0.5).sum(), rel=0.02)
    lips_px = filmed.landmarks_L3[MOUTH_OUTER, :2]
    area = cv2.contourArea(cv2.convexHull(lips_px))
    assert filmed.made_part.is_lips_hw.sum() == pytest.approx(area, rel=0.1)


def test_blur_of_the_made_pixels_shows_in_full_though_the_crop_would_hide_it(filmed: Pair) -> None:
    blurred = cv2.GaussianBlur(filmed.filmed, (0, 0), 1.2)
    detail = Detail()
    detail.add(changed(filmed, display_mask(filmed) > 0.3, blurred))
    found = detail.measures()
    assert found["sharpness_ratio"] is not None and found["sharpness_ratio"] < 0.15
    assert found["lips_sharpness_ratio"] is not None and found["lips_sharpness_ratio"] < 0.15


def test_blur_beside_the_made_pixels_does_not_count(filmed: Pair) -> None:
    blurred = cv2.GaussianBlur(filmed.filmed, (0, 0), 1.2)
    detail = Detail()
    detail.add(changed(filmed, display_mask(filmed) < 0.05, blurred))
    assert detail.measures() == {
        "sharpness_ratio": pytest.approx(1),
        "lips_sharpness_ratio": pytest.approx(1),
    }


def test_a_step_of_shade_at_the_mask_is_a_seam(filmed: Pair) -> None:
    smooth = cv2.GaussianBlur(filmed.filmed, (0, 0), 12).astype(np.float32)
    smooth = np.clip(128 + 4 * (smooth - 128), 0, 255)
    flat = replace(filmed, filmed=smooth.astype(np.uint8))
    brighter = smooth + 20 * display_mask(filmed)[..., None]
    seam = Seam()
    seam.add(replace(flat, made=np.clip(brighter, 0, 255).astype(np.uint8)))
    found = seam.measures()
    assert found["soft_seam_index"] is not None and found["soft_seam_index"] > 1.5


def test_mouths_that_pop_flicker_and_faces_beside_them_do_not_count(filmed: Pair) -> None:
    noise = np.random.default_rng(1)
    mask_HW = display_mask(filmed)

    def flicker(where: Bool) -> float:
        measure = Flicker()
        for n in range(5):
            grain = noise.normal(0, 6, filmed.filmed.shape)
            shown = np.clip(filmed.filmed + grain, 0, 255).astype(np.uint8)
            light = np.clip(shown.astype(np.int16) + 12 * (n % 2), 0, 255).astype(np.uint8)
            pair = replace(filmed, n=n, filmed=shown)
            measure.add(replace(pair, made=np.where(where[..., None], light, shown)))
        value = measure.measures()["soft_flicker_index"]
        assert value is not None
        return value

    assert flicker(mask_HW > 0.1) > 3
    assert flicker(mask_HW < 0) == pytest.approx(1)
