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


def smeared(spans, seconds=6.0, early_s=0.06, late_s=0.1):
    """What a detector of voices says: surely speech, with blunt edges."""
    t = np.arange(round(seconds * 100)) / 100 + 0.005
    distance_s = np.min([np.maximum(start - early_s - t, t - stop - late_s) for start, stop in spans], axis=0)
    return (1 / (1 + np.exp(distance_s / 0.02))).astype(np.float32)


@pytest.mark.parametrize(("level", "noise"), [(0.1, 1e-4), (0.5, 0.0), (0.01, 1e-3), (0.2, 0.02)])
def test_blunt_edges_become_those_of_the_level(level, noise):
    spans = [(1.0, 2.0), (2.5, 3.0), (4.0, 5.0)]
    samples = recording(spans, level=level, noise=noise)
    edges = np.flatnonzero(np.diff(is_voiced(level_db(samples), smeared(spans)).astype(int))) / 100
    assert edges == pytest.approx(np.ravel(spans), abs=0.025)


def test_what_is_loud_and_no_voice_is_silence():
    samples = recording([(1.0, 2.0), (3.0, 4.0)])
    found = is_voiced(level_db(samples), smeared([(1.0, 2.0)]))
    assert np.flatnonzero(np.diff(found.astype(int))) / 100 == pytest.approx([1.0, 2.0], abs=0.025)
    assert not is_voiced(level_db(samples), np.full(600, 0.3, np.float32)).any()


def test_a_faint_voice_beside_a_loud_one_is_speech():
    samples = recording([(1.0, 2.0), (4.0, 5.0)])
    samples[round(3.5 * 16000) :] *= 0.01
    spans = [(1.0, 2.0), (4.0, 5.0)]
    assert is_voiced(level_db(samples))[400:500].mean() < 0.05
    assert is_voiced(level_db(samples), smeared(spans))[405:495].all()


def test_in_loud_noise_the_detector_has_the_word():
    samples = recording(SPANS, level=0.1, noise=0.1)
    probability = smeared([(1.0, 2.0), (4.0, 5.0)])
    edges = np.flatnonzero(np.diff(is_voiced(level_db(samples), probability).astype(int))) / 100
    assert edges == pytest.approx([1.02, 2.02, 4.02, 5.02], abs=0.04)


def test_doubt_ends_speech_later_than_it_begins_it():
    samples = recording([(0.0, 6.0)])
    probability = np.full(600, 0.1, np.float32)
    probability[100:200] = 0.4  # never sure
    probability[300:400] = 0.4
    probability[300:320] = 0.6
    probability[500:506] = 0.9  # a click
    found = is_voiced(level_db(samples), probability)
    assert found[310:390].all()
    assert not found[:280].any()
    assert not found[420:].any()


def test_a_detector_is_not_asked_about_silence():
    assert not is_voiced(np.full(300, -80.0), np.ones(300, np.float32)).any()
    assert is_voiced(level_db(recording([(0, 6)])), np.ones(600, np.float32)).mean() > 0.99
    assert is_voiced(np.zeros(0), np.zeros(0, np.float32)).shape == (0,)


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
