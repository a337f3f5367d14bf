"""Speech is found at any level, gaps inside it belong to it, and the gate opens around it without a jump."""

from __future__ import annotations

import numpy as np
import pytest

from dubber.ops.silence import fill_runs, gate, is_voiced, level_db, speech_threshold_db, utterances


def recording(spans, seconds=6.0, level=0.1, noise=1e-4):
    rng = np.random.default_rng(0)
    t = np.arange(round(seconds * 16000)) / 16000
    on = np.zeros(len(t))
    for start, stop in spans:
        on[(t >= start) & (t < stop)] = 1
    return (level * on * rng.standard_normal(len(t)) + noise * rng.standard_normal(len(t))).astype(np.float32)


SPANS = [(1.0, 2.0), (2.3, 3.0), (4.0, 5.0)]


@pytest.mark.parametrize(("level", "noise"), [(0.1, 1e-4), (0.5, 0.0), (0.01, 1e-3), (0.2, 0.04)])
def test_speech_is_found_whatever_the_level(level, noise):
    found = is_voiced(level_db(recording(SPANS, level=level, noise=noise)))
    edges = np.flatnonzero(np.diff(found.astype(int))) / 100
    assert edges == pytest.approx(np.ravel(SPANS), abs=0.025)


@pytest.mark.parametrize("samples", [np.zeros(16000), np.full(16000, 1e-5), np.zeros(0), np.zeros(3)])
def test_nobody_speaks_in_silence(samples):
    levels = level_db(samples.astype(np.float32))
    assert speech_threshold_db(levels) == np.inf
    assert not is_voiced(levels).any()


def test_continuous_speech_is_speech():
    assert is_voiced(level_db(recording([(0, 6)]))).mean() > 0.99


def test_short_gaps_belong_to_the_utterance():
    voiced = is_voiced(level_db(recording(SPANS)))
    edges_s = np.arange(0, 6.01, 0.04)
    flags = utterances(voiced, edges_s)
    assert flags.shape == (150,)
    starts = np.flatnonzero(np.diff(flags.astype(int)))
    assert edges_s[1:][starts] == pytest.approx(
        [1.0, 3.0, 4.0, 5.0], abs=0.05
    )  # the hole at 2.0..2.3 is closed
    strict = utterances(voiced, edges_s, min_gap_s=0.2)
    assert len(np.flatnonzero(np.diff(strict.astype(int)))) == 6


def test_frames_after_the_recording_are_silent():
    flags = utterances(np.ones(100, bool), np.arange(0, 3, 0.1))
    assert flags.tolist() == [True] * 10 + [False] * 19
    assert not utterances(np.zeros(0, bool), np.arange(0, 1, 0.1)).any()


def test_runs():
    runs = np.array([0, 1, 0, 0, 1, 1, 1, 0, 1], bool)
    assert fill_runs(runs, value=False, shorter_than=2).astype(int).tolist() == [0, 1, 0, 0, 1, 1, 1, 1, 1]
    assert fill_runs(runs, value=False, shorter_than=3).astype(int).tolist() == [0, 1, 1, 1, 1, 1, 1, 1, 1]
    assert fill_runs(runs, value=True, shorter_than=2).astype(int).tolist() == [0, 0, 0, 0, 1, 1, 1, 0, 1]
    assert fill_runs(runs, value=True, shorter_than=2, is_edge_kept=False).astype(int).tolist()[-1] == 0


def test_the_gate_is_open_in_speech_shut_in_silence_and_smooth():
    voiced = np.zeros(600, bool)
    voiced[100:200] = voiced[215:300] = True
    times_s = np.arange(0, 7, 1 / 60)
    opened = gate(voiced, times_s)
    inside = (times_s >= 1.0) & (times_s < 2.99)
    assert opened[inside].min() > 0.8  # the hole of 150 ms stays open
    assert opened[(times_s > 1.02) & (times_s < 2.97)].min() > 0.99
    assert opened[(times_s < 0.9) | (times_s > 3.1)].max() == 0
    assert np.abs(np.diff(opened)).max() < 0.4  # at 60 fps
    strict = gate(voiced, times_s, min_gap_s=0.1, ramp_s=0.02)
    assert strict[(times_s > 2.05) & (times_s < 2.1)].max() < 0.01  # a gate that minds short holes
    assert (gate(np.zeros(0, bool), times_s) == 0).all()
