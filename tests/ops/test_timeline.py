"""Lengths are matched exactly, in integer ticks, at any frame rate and in any time base."""

from __future__ import annotations

from fractions import Fraction

import numpy as np
import pytest

from dubber.ops.timeline import frame_step, make_timeline, regular_ticks, resolve_mode


def clip(num_frames, rate, time_base, first=0):
    step = 1 / (Fraction(rate) * Fraction(time_base))
    ticks = regular_ticks(first, step, num_frames + 1)
    return ticks[:-1], int(ticks[-1]), Fraction(time_base)


BASES = [
    (Fraction(30000, 1001), Fraction(1, 30000)),
    (Fraction(30000, 1001), Fraction(1, 15360)),
    (Fraction(30000, 1001), Fraction(1, 1000)),
    (Fraction(25), Fraction(1, 12800)),
    (Fraction(24000, 1001), Fraction(1, 90000)),
    (Fraction(30), Fraction(1, 600)),
]
VFR = np.array([7, 10, 15, 16, 30, 31, 40], np.int64)  # ends at 45, base 1/10 s


@pytest.mark.parametrize(("rate", "base"), BASES)
def test_retime_does_not_drift(rate, base):
    pts, end, base = clip(300, rate, base, first=77)
    timeline = make_timeline("retime", pts, end, base, Fraction(3600))
    # A rate measured over 300 frames in whole ticks is known to a tick in 299 frames.
    assert timeline.num_frames == pytest.approx(float(3600 * rate), rel=float(rate * base) / 299, abs=1)
    assert timeline.duration_s == pytest.approx(3600, abs=float(1 / rate))
    step = (timeline.end_pts - 77) / timeline.num_frames
    assert np.abs(timeline.pts_N - 77 - step * np.arange(timeline.num_frames)).max() <= 1
    assert np.diff(timeline.pts_N).min() > 0
    assert timeline.pts_N[0] == 77
    assert (timeline.source_index_N == -1).all()
    assert timeline.audio_duration_s == 3600


def test_frame_step_ignores_gaps():
    assert frame_step(np.array([0, 33, 67, 100, 133, 400, 433]), 467) == Fraction(33 + 34 + 33 + 33 + 33, 5)
    assert frame_step(np.array([5]), 45) == 40
    assert frame_step(np.array([5]), 5) == 1


@pytest.mark.parametrize(
    ("speech_s", "mode"),
    [(9.4, "retime"), (9.5, "silence"), (10.0, "silence"), (10.5, "silence"), (10.6, "retime")],
)
def test_auto_keeps_the_frames_within_half_a_second(speech_s, mode):
    pts, end, base = clip(250, 25, Fraction(1, 12800))
    timeline = make_timeline("auto", pts, end, base, Fraction(speech_s).limit_denominator(100))
    assert timeline.mode == mode
    assert timeline.audio_duration_s == pytest.approx(speech_s)  # never cut
    if mode == "silence":
        assert np.array_equal(timeline.pts_N, pts)
        assert np.array_equal(timeline.source_index_N, np.arange(250))
        assert timeline.end_pts == end
    assert resolve_mode("loop", Fraction(1), Fraction(1)) == "loop"


@pytest.mark.parametrize(
    ("speech_s", "num_frames", "end", "heard_s"), [(1.6, 4, 30, 1.6), (0.01, 1, 10, 0.01), (9, 7, 45, 3.8)]
)
def test_cut_off_is_the_shorter_of_both(speech_s, num_frames, end, heard_s):
    timeline = make_timeline("cut_off", VFR, 45, Fraction(1, 10), Fraction(speech_s).limit_denominator(100))
    assert timeline.pts_N.tolist() == VFR[:num_frames].tolist()
    assert timeline.source_index_N.tolist() == list(range(num_frames))
    assert timeline.end_pts == end
    assert timeline.audio_duration_s == pytest.approx(heard_s)


def test_silence_keeps_the_clip_and_cuts_the_speech():
    for speech_s, heard_s in ((1, 1), (9, 3.8)):
        timeline = make_timeline("silence", VFR, 45, Fraction(1, 10), Fraction(speech_s))
        assert np.array_equal(timeline.pts_N, VFR)
        assert (timeline.end_pts, timeline.audio_duration_s) == (45, pytest.approx(heard_s))


def test_loop_goes_on_with_the_clip_s_own_distances():
    timeline = make_timeline("loop", VFR, 45, Fraction(1, 10), Fraction(45, 10))
    assert timeline.source_index_N.tolist() == [0, 1, 2, 3, 4, 5, 6, 0, 1]
    assert timeline.pts_N.tolist() == [*VFR.tolist(), 45, 48]
    assert timeline.end_pts == 53


def test_bounce_goes_back_with_the_same_distances():
    timeline = make_timeline("bounce", VFR, 45, Fraction(1, 10), Fraction(75, 10))
    assert timeline.source_index_N.tolist() == [0, 1, 2, 3, 4, 5, 6, 5, 4, 3, 2, 1, 0, 1, 2]
    assert np.diff(timeline.pts_N).tolist() == [3, 5, 1, 14, 1, 9, 9, 1, 14, 1, 5, 3, 3, 5]
    assert timeline.end_pts == timeline.pts_N[-1] + 1


@pytest.mark.parametrize("mode", ["loop", "bounce", "remap", "retime", "cut_off"])
def test_a_clip_of_one_frame(mode):
    timeline = make_timeline(mode, np.array([3]), 7, Fraction(1, 100), Fraction(1, 10))
    assert timeline.pts_N[0] == 3
    assert set(timeline.source_index_N) <= {0, -1}
    assert timeline.num_frames == (1 if mode == "cut_off" else timeline.num_frames)
    assert timeline.end_pts > timeline.pts_N[-1]


@pytest.mark.parametrize("mode", ["loop", "bounce", "remap", "retime"])
@pytest.mark.parametrize("speech_s", [Fraction(1, 50), Fraction(123, 100), Fraction(77, 10)])
@pytest.mark.parametrize(("rate", "base"), BASES)
def test_the_output_is_as_long_as_the_speech(mode, speech_s, rate, base):
    pts, end, base = clip(60, rate, base)
    timeline = make_timeline(mode, pts, end, base, speech_s)
    assert abs(timeline.duration_s - float(speech_s)) <= 1.01 * float(1 / rate) + float(base)
    assert np.diff(timeline.pts_N).min(initial=1) > 0
    assert timeline.source_index_N.max() < 60


def test_remap_runs_through_the_clip_once():
    pts, end, base = clip(50, 25, Fraction(1, 12800))
    same = make_timeline("remap", pts, end, base, Fraction(2))
    assert np.array_equal(same.source_index_N, np.arange(50))
    assert np.array_equal(same.pts_N, pts)
    slow = make_timeline("remap", pts, end, base, Fraction(4))
    assert np.array_equal(slow.source_index_N, np.repeat(np.arange(50), 2))
    fast = make_timeline("remap", pts, end, base, Fraction(1))
    assert set(np.diff(fast.source_index_N)) == {2}
