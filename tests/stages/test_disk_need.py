"""The estimate follows what a run depends on, counts only what is missing, and is what a real run writes."""

from __future__ import annotations

from pathlib import Path

import pytest

from dubber.config import DubConfig
from dubber.dubbing import dub
from dubber.engine.execute import Run
from dubber.engine.stage import Runtime
from dubber.engine.store import Store
from dubber.pipeline import DubPlan, plan_dub
from dubber.stages.disk_need import DiskNeed, disk_need
from tests.conftest import real_clip
from tests.synth import make_wall_clip, talking_sound, write_wav


@pytest.fixture(scope="module")
def video(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("clip") / "wall.mp4"
    make_wall_clip(path, num_frames=50)
    return path


def planned(runtime: Runtime, video: Path, seconds: float = 4.0, **overrides: object) -> DubPlan:
    audio = write_wav(video.with_name(f"speech_{seconds}.wav"), talking_sound(seconds))
    config = DubConfig().with_overrides({key.replace("__", "."): value for key, value in overrides.items()})
    return plan_dub(config, video, audio, runtime=runtime)


def need_of(runtime: Runtime, dub_plan: DubPlan, *, keeps_all: bool = False) -> DiskNeed:
    return disk_need(dub_plan.plan, Store(runtime.cache_dir), dub_plan.dubbed.index, keeps_all=keeps_all)


def test_every_stored_stage_counts(runtime: Runtime, video: Path) -> None:
    dub_plan = planned(runtime, video)
    need, whole = need_of(runtime, dub_plan), need_of(runtime, dub_plan, keeps_all=True)
    stages = set(dub_plan.plan.stage_names()) - {"blend"}
    assert set(whole.kept) == stages
    assert set(need.kept) == stages - {"teeth", "deflicker"}
    assert need.kept_bytes == sum(need.kept.values())
    assert need.cache_bytes == need.kept_bytes + need.scratch_bytes
    assert need.output_bytes == need.kept["remux"]


def test_it_follows_length_crop_and_quality(runtime: Runtime, video: Path) -> None:
    usual = need_of(runtime, planned(runtime, video))
    longer = need_of(runtime, planned(runtime, video, seconds=8.0))
    assert longer.kept["render"] == pytest.approx(2 * usual.kept["render"], rel=0.02)
    assert longer.kept["track"] == usual.kept["track"]
    for size, area in ((512, 4), (256, 1)):
        chosen = need_of(runtime, planned(runtime, video, render__crop_size_px=size))
        assert chosen.kept["render"] == pytest.approx(area * usual.kept["render"], rel=0.05)
    finer = need_of(runtime, planned(runtime, video, remux__crf=10))
    assert usual.output_bytes < finer.output_bytes < 2 * usual.output_bytes
    kept = need_of(runtime, planned(runtime, video, length__mode="silence"))
    assert kept.kept["render"] == pytest.approx(usual.kept["render"] / 2, rel=0.05)


def test_what_is_stored_is_not_counted_again(runtime: Runtime, video: Path) -> None:
    dub_plan = planned(runtime, video)
    before = need_of(runtime, dub_plan)
    run = Run(dub_plan.plan, runtime)
    run.get(dub_plan.timeline)
    after = need_of(runtime, dub_plan)
    assert set(before.kept) - set(after.kept) == {"demux", "speech", "timeline"}
    written = sum(entry.num_bytes for entry in run.store.entries() if entry.stage == "speech")
    assert before.kept["speech"] == pytest.approx(written, rel=0.1)


@pytest.mark.slow
def test_it_is_what_a_real_run_writes(runtime: Runtime, tmp_path: Path) -> None:
    video = real_clip("dev/french_512.mp4")
    config = DubConfig().with_overrides({"render.renderer": "exemplar"})
    audio = write_wav(tmp_path / "speech.wav", talking_sound(6.0))
    need = need_of(runtime, plan_dub(config, video, audio, runtime=runtime))
    dub(video, audio, tmp_path / "out.mp4", config=config, runtime=runtime)
    entries = Store(runtime.cache_dir).entries()
    written = {entry.stage: entry.num_bytes for entry in entries}
    assert set(written) == set(need.kept)
    assert 0.8 * need.kept["track"] < written["track"] <= need.kept["track"]
    assert sum(written.values()) < need.kept_bytes < 3 * sum(written.values())
