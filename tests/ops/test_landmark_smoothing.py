"""Smoothing landmarks: Algorithm 2 as printed, and corrected."""

from __future__ import annotations

import numpy as np

from dubber.ops.landmark_smoothing import mouth_motion, smooth_landmarks

NUM_FRAMES = 60
FIRST = np.arange(NUM_FRAMES) == 0


def opening_mouth(gap_N: np.ndarray) -> np.ndarray:
    """(N, 39, 2) a mouth whose centre stands still while half its points go up and half go down."""
    rest = np.random.default_rng(0).uniform(-30, 30, (39, 2))
    way = np.zeros((39, 2))
    way[:20, 1] = np.where(np.arange(20) % 2, 0.5, -0.5)
    return (190 + rest + gap_N[:, None, None] * way).astype(np.float32)


def gap_of(landmarks_NM2: np.ndarray) -> np.ndarray:
    return landmarks_NM2[:, 1:20:2, 1].mean(1) - landmarks_NM2[:, 0:20:2, 1].mean(1)


def test_lips_open_round_a_centre_that_stands_still() -> None:
    gap = 10 * (1 - np.cos(np.arange(NUM_FRAMES) * 0.4))
    wanted = opening_mouth(gap)
    smoothed = smooth_landmarks(wanted, FIRST)
    offset = gap_of(wanted) - gap
    found = gap_of(smoothed) - offset
    assert np.ptp(found) > 0.93 * np.ptp(gap)
    lags = [np.corrcoef(found[5 + lag : 55 + lag], gap[5:55])[0, 1] for lag in (-1, 0, 1)]
    assert np.argmax(lags) == 1


def test_the_literal_form_is_a_frame_late_there() -> None:
    gap = 10 * (1 - np.cos(np.arange(NUM_FRAMES) * 0.4))
    wanted = opening_mouth(gap)
    smoothed = smooth_landmarks(wanted, FIRST, method="literal")
    np.testing.assert_allclose(smoothed[1:], wanted[:-1], atol=1e-2)


def test_the_literal_form_is_algorithm_2() -> None:
    rng = np.random.default_rng(1)
    wanted = (190 + np.cumsum(rng.normal(0, 1, (NUM_FRAMES, 1, 2)), 0) + rng.normal(0, 9, (39, 2))).astype(
        np.float32
    )
    smoothed = smooth_landmarks(wanted, FIRST, method="literal", threshold_px=1.0, decay_per_px=0.7)
    centre = wanted[:, :20].mean(1)
    for n in range(1, NUM_FRAMES):
        way = float(np.hypot(*(centre[n] - centre[n - 1])))
        share = 0.0 if way > 1.0 else float(np.exp(-0.7 * way))
        np.testing.assert_allclose(smoothed[n], share * wanted[n - 1] + (1 - share) * wanted[n], atol=1e-3)


def test_trembling_is_calmed() -> None:
    noise = np.random.default_rng(2).normal(0, 0.3, (NUM_FRAMES, 39, 2)).astype(np.float32)
    wanted = opening_mouth(np.zeros(NUM_FRAMES)) + noise
    smoothed = smooth_landmarks(wanted, FIRST)
    assert mouth_motion(smoothed).mean() < 0.6 * mouth_motion(wanted).mean()


def test_nothing_is_carried_over_a_cut() -> None:
    starts = FIRST | (np.arange(NUM_FRAMES) == 30)
    low, high = (opening_mouth(np.full(30, gap)) for gap in (4.0, 4.5))
    wanted = np.concatenate([low, high])
    for method in ("corrected", "literal"):
        smoothed = smooth_landmarks(wanted, starts, method=method)
        np.testing.assert_allclose(smoothed, wanted, atol=1e-4)
    assert np.abs(smooth_landmarks(wanted, FIRST)[30] - wanted[30]).max() > 0.05


def test_motion_of_the_centre_misses_an_opening() -> None:
    wanted = opening_mouth(np.arange(NUM_FRAMES, dtype=float))
    assert mouth_motion(wanted, of_centre=True).max() < 1e-3
    np.testing.assert_allclose(mouth_motion(wanted), [0.0] + [0.5] * (NUM_FRAMES - 1), atol=1e-3)
