"""The benchmarks' own arithmetic: growth, ratios, tables, files. Nothing here is timed."""

from __future__ import annotations

import sys
from pathlib import Path

import numpy as np
import pytest

from benchmarks import comparing, docs, picture
from benchmarks.clips import EXAMPLE_VIDEO, NATIVE, Source, parse_format, picture_of, prepared_clip
from benchmarks.measuring import folder_mb, measured, peak_growth_mb, stage_seconds
from benchmarks.profiling import Watcher
from benchmarks.results import (
    ClipResult,
    Length,
    Machine,
    Measured,
    Sample,
    Scaling,
    WholeRuns,
    load,
    save,
)
from benchmarks.scaling import growth_exponent, memory_growth, verdicts
from benchmarks.tables import scale_table, stage_table, table, whole_table

MACHINE = Machine(cpu="a CPU", num_cores=2, memory_gb=8, system="Linux", python="3.11", torch="2.2")


def sample(
    wall_s: float = 8.0, *, reference_s: float = 2.0, rss_mb: float = 900.0, **others: object
) -> Sample:
    figures = {
        "wall_s": wall_s,
        "cpu_s": 2 * wall_s,
        "peak_rss_mb": rss_mb,
        "cache_mb": 20.0,
        "peak_disk_mb": 30.0,
        "output_mb": 1.0,
        "num_frames": 250,
        "duration_s": 10.0,
        "crop_size_px": 384,
        "stage_s": {"track": 1.0, "render": wall_s / 2},
        "reference_wall_s": reference_s,
        "reference_cpu_s": 2 * reference_s,
    }
    return Sample.model_validate({**figures, **others})


def clip(cold: list[Sample], **others: object) -> ClipResult:
    facts = {"label": "example", "width": 1280, "height": 720, "fps": 25.0, "seconds": 10.0}
    warm = [each.model_copy(update={"stage_s": {"render": 3.0}}) for each in cold]
    states = {"cold": Measured(samples=cold), "warm": Measured(samples=warm)}
    return ClipResult.model_validate({**facts, "states": states, **others})


def whole(*clips: ClipResult) -> WholeRuns:
    return WholeRuns(made_at="2024-01-01 00:00", code="abc", machine=MACHINE, help_s=0.3, clips=list(clips))


@pytest.mark.parametrize("exponent", [0.9, 1.0, 1.3])
def test_the_exponent_of_a_power_law_is_found(exponent):
    minutes = [0.5, 2, 8, 32]
    assert growth_exponent(minutes, [7 * size**exponent for size in minutes]) == pytest.approx(exponent)


def test_the_exponent_withstands_noise_and_fixed_costs_lower_it():
    minutes = np.array([0.5, 2, 8, 32])
    noise = 1 + np.array([0.02, -0.02, 0.02, -0.02])
    assert growth_exponent(minutes, 60 * minutes * noise) == pytest.approx(1, abs=0.02)
    assert growth_exponent(minutes, 5 + 60 * minutes) < 1


def test_one_length_has_no_growth():
    with pytest.raises(ValueError, match="two lengths"):
        growth_exponent([2, 2], [1, 1])


def test_memory_is_compared_from_two_minutes_on():
    def lengths(*pairs: tuple[float, float]) -> list[Length]:
        return [Length(minutes=minutes, sample=sample(rss_mb=rss_mb)) for minutes, rss_mb in pairs]

    assert memory_growth(lengths((0.5, 500), (2, 1000), (8, 1100), (32, 1040))) == pytest.approx(1.1)
    assert memory_growth(lengths((0.5, 500), (2, 1000))) is None


def test_verdicts_tell_growth_from_flatness():
    def scaling(exponent: float, last_rss_mb: float) -> Scaling:
        lengths = [
            Length(minutes=minutes, sample=sample(60 * minutes**exponent, rss_mb=rss_mb))
            for minutes, rss_mb in ((2, 1000.0), (8, 1000.0), (32, last_rss_mb))
        ]
        facts = {"label": "example", "width": 480, "height": 480, "fps": 25.0, "renderer": "hybrid"}
        return Scaling(made_at="now", code="", machine=MACHINE, lengths=lengths, **facts)

    good, bad = scaling(1.0, 1010.0), scaling(1.2, 1300.0)
    assert not any("MORE" in said for said in verdicts(good))
    assert all("MORE" in said for said in verdicts(bad))
    assert scale_table(good).count("\n") == 4


def test_figures_are_medians_over_the_samples():
    state = Measured(samples=[sample(8), sample(40), sample(9)])
    assert state.wall_s_per_s == pytest.approx(0.9)
    assert state.wall_ms_per_frame == pytest.approx(36)
    assert state.wall_ratio == pytest.approx(4.5)
    assert state.stage_ms_per_frame == pytest.approx({"track": 4, "render": 18})
    assert state.rest_ms_per_frame == pytest.approx(72 - 22)
    assert state.cache_mb_per_min == pytest.approx(120)


def test_a_slower_machine_is_no_regression_but_slower_code_is():
    old = clip([sample(8, reference_s=2)])
    same = comparing.to_baseline(clip([sample(24, reference_s=6)]), old)
    assert same[0].ratios["time"] == pytest.approx(1)
    assert not same[0].is_worse
    slower = comparing.to_baseline(clip([sample(12, reference_s=2)]), old)
    assert slower[0].ratios["time"] == pytest.approx(1.5)
    assert slower[0].is_worse
    assert comparing.MARK in comparing.ratio_table("example", slower)
    assert comparing.MARK not in comparing.ratio_table("example", same)


def test_more_memory_is_worse_whatever_the_reference_took():
    rows = comparing.to_baseline(clip([sample(rss_mb=1300, reference_s=9)]), clip([sample(rss_mb=1000)]))
    assert rows[0].ratios["peak RSS"] == pytest.approx(1.3)
    assert rows[0].is_worse


def test_paired_runs_are_compared_round_by_round():
    # In the second round the machine was thrice as slow: for both.
    rows = comparing.paired(clip([sample(6), sample(18)]), clip([sample(8), sample(24)]))
    assert rows[0].ratios["time"] == pytest.approx(0.75)


def test_stages_are_compared_in_references():
    new = clip([sample(8, reference_s=4, stage_s={"render": 4.0, "new": 1.0})])
    rows = {row.name: row for row in comparing.stage_rows(new, clip([sample(8, reference_s=2)]))}
    assert rows["render"].ratios["cold"] == pytest.approx(0.5)
    assert rows["new"].ratios["cold"] is None
    assert not rows["new"].is_worse


def test_clips_of_other_formats_are_not_compared():
    new, old = whole(clip([sample()])), whole(clip([sample()], height=1080))
    assert "Nothing to compare" in comparing.comparison_text(new, old, comparing.to_baseline)
    assert "Nothing to compare" not in comparing.comparison_text(new, new, comparing.to_baseline)


def test_results_survive_their_file(tmp_path: Path):
    results = whole(clip([sample(), sample(9)]))
    save(results, tmp_path / "results.json")
    assert load(WholeRuns, tmp_path / "results.json") == results
    assert [path.name for path in tmp_path.iterdir()] == ["results.json"]


def test_tables_are_aligned_markdown():
    lines = table(["what", "a"], [["longer", "1.00"], ["b", "12.00"]]).splitlines()
    assert lines == [
        "| what   |     a |",
        "| ------ | ----: |",
        "| longer |  1.00 |",
        "| b      | 12.00 |",
    ]


def test_stages_are_shown_for_every_state_and_absent_ones_as_such():
    rows = {
        line.split("|")[1].strip(): line.split("|")[2:-1]
        for line in stage_table(clip([sample()])).splitlines()
    }
    assert [cell.strip() for cell in rows["track"]] == ["4.00", "–"]
    assert [cell.strip() for cell in rows["render"]] == ["16.00", "12.00"]
    assert "0.80" in whole_table(clip([sample()]))


def test_blocks_of_the_page_are_replaced_and_nothing_else():
    one, two = "<!-- measured: one -->\nold\n<!-- end -->\n", "<!-- measured: two -->\n<!-- end -->\n"
    text = f"before\n{one}between\n{two}after\n"
    new = docs.with_blocks(text, {"one": r"new \1", "two": "2"})
    assert new == text.replace("old", r"new \1").replace("two -->\n", "two -->\n2\n")
    assert docs.with_blocks(new, {"one": r"new \1"}) == new
    with pytest.raises(ValueError, match="three"):
        docs.with_blocks(text, {"three": ""})


def test_the_pages_have_every_block():
    lengths = [Length(minutes=minutes, sample=sample()) for minutes in (2, 8)]
    facts = {"label": "example", "width": 480, "height": 480, "fps": 25.0, "renderer": "hybrid"}
    scaling = Scaling(made_at="now", code="", machine=MACHINE, lengths=lengths, **facts)
    blocks = {**docs.whole_blocks(whole(clip([sample()]))), **docs.scale_blocks(scaling)}
    page = docs.with_blocks(docs.PAGE.read_text(encoding="utf-8"), blocks)
    assert all(block in page for block in blocks.values())
    states = {state: Measured(samples=[sample()]) for state in ("cold", "warm", "exemplar")}
    summary = docs.summary_block(whole(clip([sample()], states=states)))
    assert "0.80 s | " in summary["summary"]
    assert summary["summary"] in docs.with_blocks(docs.README.read_text(encoding="utf-8"), summary)


def test_the_picture_is_the_same_each_time(tmp_path: Path):
    for name in ("a.svg", "b.svg"):
        picture.draw([clip([sample()])], tmp_path / name)
    assert (tmp_path / "a.svg").read_bytes() == (tmp_path / "b.svg").read_bytes()


def test_a_process_is_measured_and_its_failure_told(tmp_path: Path):
    code = "print('said'); large = b'x' * 300_000_000"
    usage = measured([sys.executable, "-c", code], cwd=tmp_path)
    assert usage.stdout == "said\n"
    assert 300 < usage.peak_rss_mb < 5000
    assert usage.cpu_s > 0
    with pytest.raises(SystemExit, match="because"):
        measured([sys.executable, "-c", "import sys; sys.exit('because')"], cwd=tmp_path)


def test_the_peak_of_files_is_seen_after_they_are_gone(tmp_path: Path):
    (tmp_path / "old").write_bytes(bytes(1_000_000))
    with peak_growth_mb([tmp_path]) as peak:
        (tmp_path / "new").write_bytes(bytes(3_000_000))
        while not peak[0]:
            pass
        (tmp_path / "new").unlink()
    assert peak[0] == pytest.approx(3)
    assert folder_mb(tmp_path) == pytest.approx(1)
    assert folder_mb(tmp_path / "absent") == 0


def test_stages_out_of_the_cache_took_nothing():
    stages = [
        {"name": "track", "seconds": 0.0, "cpu_seconds": 0.0, "is_hit": True},
        {"name": "render", "seconds": 3.0, "cpu_seconds": 2.0, "is_hit": False},
        {"name": "of an older dubber", "seconds": 1.0, "is_hit": False},
    ]
    assert stage_seconds({"stages": stages}) == {"render": 2.0, "of an older dubber": 1.0}


def test_formats_and_labels_are_read():
    assert parse_format("720p25") == (720, 25)
    assert parse_format(NATIVE) is None
    with pytest.raises(ValueError, match="720p25"):
        parse_format("720")
    assert Source.parsed(str(EXAMPLE_VIDEO)).label == "example"
    assert Source.parsed("a head=/clips/me.mp4") == Source("a head", Path("/clips/me.mp4"))


def test_a_clip_is_brought_to_a_format_and_a_length(tmp_path: Path):
    prepared = prepared_clip(EXAMPLE_VIDEO, tmp_path, picture_format="360p10", seconds=0.5)
    found = picture_of(prepared)
    assert (found.width, found.height, found.fps) == (640, 360, 10)


@pytest.mark.skipif(sys.platform != "linux", reason="threads' processor times are read from /proc")
def test_the_watcher_charges_work_to_its_thread_and_function():
    watcher = Watcher()
    with watcher.watching():
        total = sum(number * number for number in range(8_000_000))
    assert total
    charged = watcher.charged_s["MainThread"]
    assert max(charged, key=charged.__getitem__).startswith("tests.benchmarks")
    assert "MainThread" in watcher.report(3)
