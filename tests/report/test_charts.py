"""Charts and what they are drawn from."""

from __future__ import annotations

import math
import re
from fractions import Fraction
from pathlib import Path

import numpy as np
import pytest

from dubber.evaluation.coverage import WORDS, stretches
from dubber.report import curves
from dubber.report.charts import coverage_bar, curve_chart, offset_plot, round_steps, share_bar
from dubber.report.clock import clock
from dubber.report.curves import Curve, MouthCurves, envelope, pooled
from dubber.report.player import packed
from dubber.types import Speech, StoredFile, Timeline, WhyNot
from tests.synth import write_wav

STATES = list(WORDS)


def timeline(num_frames: int) -> Timeline:
    """25 frames per second."""
    pts_N = np.arange(num_frames, dtype=np.int64)
    index_N = np.arange(num_frames, dtype=np.int32)
    return Timeline("silence", pts_N, num_frames, Fraction(1, 25), index_N, num_frames / 25)


def test_frames_of_one_state_and_reason_are_one_stretch() -> None:
    names = ["silent", "dubbed", "dubbed", "faded", "passed", "passed", "passed", "kept"]
    state_N = np.array([STATES.index(name) for name in names], np.int8)  # type: ignore[arg-type]
    why_N = np.array([0, 0, 0, 0, WhyNot.NO_FACE, WhyNot.NO_FACE, WhyNot.TURNED_AWAY, 0], np.int8)
    found = stretches(timeline(8), state_N, why_N)
    assert [(each.start, each.stop, each.state) for each in found] == [
        (0, 1, "silent"),
        (1, 3, "dubbed"),
        (3, 4, "faded"),
        (4, 6, "passed"),
        (6, 7, "passed"),
        (7, 8, "kept"),
    ]
    assert [each.why for each in found if each.why] == ["no face", "the face is turned away"]
    assert (found[3].start_s, found[3].end_s) == pytest.approx((0.16, 0.24))
    assert found[-1].end_s == pytest.approx(8 / 25)


def test_the_bar_has_each_stretch_at_its_time() -> None:
    state_N = np.array([0] * 25 + [3] * 50, np.int8)
    why_N = np.array([0] * 25 + [WhyNot.NO_FACE] * 50, np.int8)
    bar = coverage_bar(stretches(timeline(75), state_N, why_N), 3.0)
    assert re.findall(r'<rect x="(\d+)" width="(\d+)" height="16" class="state (\w+)"', bar) == [
        ("0", "100", "dubbed"),
        ("100", "200", "passed"),
    ]
    assert 'viewBox="0 0 300 16"' in bar
    assert "dubbed 33 %; passed through 67 %" in bar
    assert "<title>0:01.00 to 0:03.00: passed through (no face)</title>" in bar


def test_curves_are_broken_where_they_are_not_known() -> None:
    times_s = np.arange(6) / 10
    wanted = Curve(times_s, np.array([0, 5, 10, np.nan, 10, 5], np.float32))
    flat = Curve(times_s, np.full(6, np.nan, np.float32))
    loud = Curve(times_s, np.array([0, 1, 0.5, 0, 0, 0], np.float32))
    chart = curve_chart(MouthCurves(loud, wanted, flat), None, 0.6)
    paths = dict(re.findall(r'<path d="([^"]*)" class="(\w+)"', chart))
    by_class = {name: path for path, name in paths.items()}
    assert by_class["wanted"] == "M0 96.0L10 50.0L20 4.0M40 4.0L50 50.0"  # 10 px is the top
    assert by_class["own"] == ""
    assert by_class["envelope"].startswith("M0 100L0 98L10 4L20 51")


def test_the_envelope_is_as_loud_as_the_speech(tmp_path: Path) -> None:
    tone_S = np.sin(np.arange(16000) * 2 * np.pi * 400 / 16000).astype(np.float32)
    tone_S[:8000] *= 0.25
    wav = write_wav(tmp_path / "tone.wav", 0.8 * tone_S)
    found = envelope(Speech(StoredFile(wav), 16000, 16000), 0.75)
    assert found.times_s_B[0] == pytest.approx(0.01) and found.times_s_B[-1] <= 0.75
    np.testing.assert_allclose(found.values_B[:24], 0.25, atol=0.01)
    np.testing.assert_allclose(found.values_B[26:], 1.0, atol=0.01)


def test_long_curves_keep_their_peaks(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(curves, "MOST_POINTS", 4)
    values_B = np.array([1, np.nan, 9, 2, np.nan, np.nan, np.nan, 3, 4, 0], np.float32)
    found = pooled(Curve(np.arange(10.0), values_B))
    np.testing.assert_array_equal(found.values_B, [9, 2, 4, 0])
    np.testing.assert_array_equal(found.times_s_B, [0, 3, 6, 9])


def test_the_best_offset_is_marked_where_it_is() -> None:
    offsets_ms = np.linspace(-600, 600, 61)
    agreement = np.exp(-(((offsets_ms - 120) / 100) ** 2))
    plot = offset_plot(offsets_ms, agreement, (120.0, 1.0))
    [(x, y)] = re.findall(r'<circle cx="([\d.]+)" cy="([\d.]+)"', plot)
    assert float(x) == pytest.approx(44 + 720 / 1200 * 366, abs=0.1) and float(y) == pytest.approx(10)
    assert "it is largest, 1.00, at +120 ms" in plot


def test_where_nothing_agrees_no_offset_is_marked() -> None:
    plot = offset_plot(np.array([-20.0, 0, 20]), np.array([0.02, 0.0, 0.03]), None)
    assert "circle" not in plot and "low everywhere" in plot


def test_an_offset_plot_bears_unknown_values() -> None:
    plot = offset_plot(np.array([-20.0, 0, 20]), np.array([np.nan, -0.5, 0.1]), (20.0, 0.1))
    assert "nan" not in plot


@pytest.mark.parametrize(
    ("low", "high", "most", "expected"),
    [(-600, 600, 5, [-500, 0, 500]), (0, 1, 3, [0, 0.5, 1]), (-0.33, 0.64, 3, [0, 0.5])],
)
def test_round_steps(low: float, high: float, most: int, expected: list[float]) -> None:
    assert round_steps(low, high, most) == expected


def test_share_bars_stay_within_their_width() -> None:
    widths = [re.findall(r'width="([\d.]+)"', share_bar(share))[0] for share in (-1.0, 0.25, 7.0)]
    assert widths == ["0.0", "25.0", "100.0"]


def test_clock() -> None:
    assert [clock(s) for s in (0, 3.456, 59.999, 3725.5)] == ["0:00.00", "0:03.46", "1:00.00", "1:02:05.50"]


def unpacked(runs: list[list[float]]) -> list[float]:
    """As the page's script does it."""
    return [first + index * step for count, first, step in runs for index in range(int(count))]


def test_steady_times_are_one_run_and_unsteady_ones_come_back() -> None:
    steady = [n * 1001 / 30000 for n in range(5000)]
    assert len(packed(steady, 1e-4)) == 1
    np.testing.assert_allclose(unpacked(packed(steady, 1e-4)), steady, atol=2e-4)
    rng = np.random.default_rng(3)
    unsteady = np.cumsum(rng.uniform(0.01, 0.1, 400)).tolist()
    np.testing.assert_allclose(unpacked(packed(unsteady, 1e-4)), unsteady, atol=1e-4)
    frames = [5, 6, 7, 7, 7, 6, 5, 9, 4]
    assert unpacked(packed(frames, 0)) == frames
    assert all(math.isfinite(number) for run in packed([0.5], 1e-4) for number in run)
