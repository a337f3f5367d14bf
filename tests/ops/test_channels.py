from __future__ import annotations

import numpy as np
import pytest

from dubber.ops.channels import LAYOUTS, mix_matrix, mono_weights, named

SURROUND = LAYOUTS[6]


def test_speech_in_the_centre_is_not_lost_among_the_other_channels() -> None:
    weights = dict(zip(SURROUND, mono_weights(SURROUND), strict=True))
    assert weights["LFE"] == 0
    assert weights["FC"] == pytest.approx(0.414, abs=1e-3)  # -7.7 dB; the mean of six channels has -15.6
    assert weights["FC"] > weights["FL"] == weights["FR"] > weights["BL"] > 0
    assert sum(weights[name] for name in ("FL", "FR", "FC")) == pytest.approx(1)


@pytest.mark.parametrize("channels", [("FC",), ("FL", "FR"), ("DL", "DR"), ("NONE",) * 9])
def test_one_or_two_or_unknown_channels_are_averaged(channels: tuple[str, ...]) -> None:
    np.testing.assert_allclose(mono_weights(channels), 1 / len(channels))


def test_channels_without_names_are_named_by_their_number() -> None:
    assert named(("NONE",) * 6) == SURROUND
    assert named(("FL", "FR", "FC", "LFE", "SL", "SR"))[-1] == "SR"
    assert len(named(("NONE",) * 11)) == 11


@pytest.mark.parametrize(
    ("given", "wanted", "place", "level"),
    [
        (("FC",), SURROUND, {"FC"}, 1.0),
        (("FC",), LAYOUTS[2], {"FL", "FR"}, 1.0),
        (("FC",), LAYOUTS[1], {"FC"}, 1.0),
        (LAYOUTS[2], SURROUND, {"FL", "FR"}, 1.0),
        (("FL", "FR", "SL", "SR"), SURROUND, {"FL", "FR", "BL", "BR"}, 1.0),
        (LAYOUTS[2], LAYOUTS[1], {"FC"}, 0.5),
    ],
)
def test_channels_go_to_their_own_or_the_nearest_loudspeaker(
    given: tuple[str, ...], wanted: tuple[str, ...], place: set[str], level: float
) -> None:
    matrix = mix_matrix(given, wanted)
    assert {wanted[row] for row in np.flatnonzero(matrix.any(axis=1))} == place
    np.testing.assert_allclose(matrix[matrix > 0], level)


def test_a_single_rear_channel_goes_to_both_rear_loudspeakers() -> None:
    matrix = mix_matrix(("FL", "FR", "FC", "BC"), SURROUND)
    np.testing.assert_allclose(matrix[4:, 3], 0.707, atol=1e-3)
