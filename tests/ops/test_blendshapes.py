"""Blendshapes of mouths that are moved by hand, of eyelids and of heads."""

from __future__ import annotations

import numpy as np
import pytest

from dubber.curves.opening import LipOpening, vertices_of
from dubber.engine.weights import WeightsFolder, default_weights_dir
from dubber.models.morphable import LinearFaceModel
from dubber.ops.blendshapes import (
    ARKIT_NAMES,
    MEASURED,
    MouthMeasures,
    head_angles,
    lid_shapes,
    mouth_shapes,
)
from dubber.ops.face_motion import eye_openness
from dubber.ops.pose import rotation_matrices
from dubber.types import Float64

MODEL = LinearFaceModel.from_weight(WeightsFolder(default_weights_dir()).open("face_model"))
NOBODY = np.zeros(MODEL.num_identity, np.float32)
OPENING = LipOpening.of_person(MODEL, NOBODY)
MEASURES = MouthMeasures(MODEL.expression_KV3[:, vertices_of(MODEL, MEASURED.tolist())].astype(np.float64))
NEUTRAL = OPENING.moved(np.zeros((1, MODEL.num_expression)), np.zeros(1))[0]


def shapes(expression_NK: Float64) -> dict[str, Float64]:
    return mouth_shapes(expression_NK, NEUTRAL, MEASURES)


def moving(**targets: tuple[int, int, float]) -> Float64:
    """(1, K) the expression nearest to neutral that moves landmarks (landmark, axis, distance) as told."""
    rows = [
        MODEL.expression_KV3[:, vertices_of(MODEL, [mark])[0], axis] for mark, axis, _ in targets.values()
    ]
    wanted = np.array([distance for *_, distance in targets.values()])
    return (NEUTRAL + np.linalg.lstsq(np.stack(rows), wanted, rcond=None)[0])[None]


def test_the_neutral_face_has_no_shape() -> None:
    for name, value in shapes(NEUTRAL[None]).items():
        assert value[0] == pytest.approx(0, abs=1e-9), name


def test_all_shapes_are_arkit_s_and_between_0_and_1() -> None:
    assert len(set(ARKIT_NAMES)) == len(ARKIT_NAMES) == 52
    wild_NK = NEUTRAL + 6 * np.random.default_rng(0).standard_normal((500, MODEL.num_expression))
    found = shapes(wild_NK)
    assert set(found) < set(ARKIT_NAMES)
    for name, value in found.items():
        assert value.shape == (500,)
        assert value.min() == pytest.approx(0, abs=0.05), name
        assert value.max() > 0.1, name
        assert 0 <= value.min() <= value.max() <= 1


def test_opening_the_mouth_opens_the_jaw_in_step() -> None:
    opening_N = np.linspace(0, 0.3, 20)
    found = shapes(OPENING.moved(np.tile(NEUTRAL, (20, 1)), opening_N))
    assert np.corrcoef(found["JawOpen"], opening_N)[0, 1] > 0.99
    assert (np.diff(found["JawOpen"]) >= 0).all()
    assert found["MouthClose"].max() == 0


def test_lips_that_stay_shut_on_a_low_jaw_are_held() -> None:
    found = shapes(moving(lower=(14, 1, 0.05), upper=(13, 1, 0.05)))
    assert found["JawOpen"] > 0.1
    assert found["MouthClose"] == pytest.approx(found["JawOpen"], rel=1e-6)


def test_an_upper_lip_that_goes_up_is_pushed_or_goes_by_itself() -> None:
    pushed = shapes(moving(lower=(14, 1, -0.04), upper=(13, 1, -0.04)))
    alone = shapes(moving(lower=(14, 1, 0.0), upper=(13, 1, -0.04)))
    assert pushed["MouthShrugUpper"] > 0.2 > 10 * pushed["MouthUpperUpLeft"]
    assert min(alone["MouthUpperUpLeft"], alone["MouthUpperUpRight"]) > 0.2 > 10 * alone["MouthShrugUpper"]
    assert alone["MouthClose"] == pushed["JawOpen"] == 0


def test_narrow_lips_pucker_when_shut_and_funnel_when_open() -> None:
    narrow = {"right": (61, 0, 0.06), "left": (291, 0, -0.06)}
    shut = shapes(moving(**narrow, lower=(14, 1, 0.0), upper=(13, 1, 0.0)))
    open_ = shapes(moving(**narrow, lower=(14, 1, 0.12), upper=(13, 1, -0.03)))
    assert shut["MouthPucker"] > 0.3 > 10 * shut["MouthFunnel"]
    assert open_["MouthFunnel"] > 0.3 > 10 * open_["MouthPucker"]


@pytest.mark.parametrize(
    ("corner", "distance", "name", "other"),
    [
        (61, -0.04, "MouthSmileRight", "MouthSmileLeft"),
        (291, -0.04, "MouthSmileLeft", "MouthSmileRight"),
        (61, 0.04, "MouthFrownRight", "MouthFrownLeft"),
        (291, 0.04, "MouthFrownLeft", "MouthFrownRight"),
    ],
)
def test_corners_smile_and_frown_on_their_own_side(
    corner: int, distance: float, name: str, other: str
) -> None:
    opposite = 291 if corner == 61 else 61
    held = {"lower": (14, 1, 0.0), "upper": (13, 1, 0.0), "opposite": (opposite, 1, 0.0)}
    found = shapes(moving(**held, corner=(corner, 1, distance)))
    assert found[name] > 0.2 > 5 * found[other]


def test_a_mouth_that_goes_to_the_person_s_left_is_told() -> None:
    found = shapes(moving(right=(61, 0, 0.05), left=(291, 0, 0.05)))
    assert found["MouthLeft"] > 0.2
    assert found["MouthRight"] == 0


def test_thin_lips_are_pressed_when_shut() -> None:
    thin = {"upper": (0, 1, 0.03), "lower": (17, 1, -0.03), "a": (13, 1, 0.0), "b": (14, 1, 0.0)}
    found = shapes(moving(**thin))
    assert min(found["MouthPressLeft"], found["MouthPressRight"]) > 0.2
    assert shapes(moving(upper=(0, 1, 0.03), a=(13, 1, 0.0), b=(14, 1, 0.0)))["MouthRollUpper"] > 0.2


def test_blinks_are_told_for_each_eye() -> None:
    landmarks_TL3 = np.zeros((10, 468, 3), np.float32)
    for outer, inner, upper, lower in ((33, 133, 159, 145), (263, 362, 386, 374)):
        landmarks_TL3[:, outer, 0], landmarks_TL3[:, inner, 0] = 0, 30
        landmarks_TL3[:, upper, 1], landmarks_TL3[:, lower, 1] = 0, 9
    landmarks_TL3[4, 374, 1] = 1  # the left eye shuts
    landmarks_TL3[7, 145, 1] = 6  # the right one is half shut
    is_usable_T = np.arange(10) != 9
    found = lid_shapes(eye_openness(landmarks_TL3), is_usable_T)
    assert found[4].tolist() == [1, 0]
    assert found[7, 0] == 0
    assert 0.2 < found[7, 1] < 0.6
    assert not found[[0, 1, 2, 3, 5, 6, 8, 9]].any()


@pytest.mark.parametrize(
    ("axis_angle", "which", "sign"),
    [
        ((0, -0.3, 0), 0, 1),  # the face turns to the picture's right, the person's left
        ((-0.3, 0, 0), 1, 1),  # up
        ((0, 0, 0.3), 2, 1),  # clockwise in the picture
        ((0, 0.3, 0), 0, -1),
    ],
)
def test_angles_of_the_head(axis_angle: tuple[float, float, float], which: int, sign: int) -> None:
    rotation_133 = rotation_matrices(np.array([axis_angle]))
    nose = rotation_133[0] @ [0, 0, -1]
    if which == 0:
        assert np.sign(nose[0]) == sign
    if which == 1:
        assert np.sign(-nose[1]) == sign
    found = head_angles(rotation_133)[0]
    assert found[which] == pytest.approx(sign * 0.3, abs=1e-6)
    np.testing.assert_allclose(np.delete(found, which), 0, atol=1e-9)
