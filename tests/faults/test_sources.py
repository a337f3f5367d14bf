"""A source file that changes or vanishes while a run reads it: said plainly, and nothing of it is kept."""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from dubber.engine import store as store_module
from dubber.engine.execute import Run
from dubber.engine.key import file_sha256
from dubber.engine.plan import Plan
from dubber.engine.sources import FileStamp, check_unchanged
from dubber.engine.stage import Params, Runtime, StageContext
from dubber.engine.store import Store
from dubber.engine.weights import WeightsFolder
from dubber.errors import MediaError, WeightsError
from dubber.training.release import save_weight
from tests.engine.test_engine import Double, Load, LoadParams, make_plan
from tests.engine.test_streams import Add, make_toy

WEIGHT = {
    **dict.fromkeys(("kind", "licence", "training_data", "recipe", "description"), ""),
    "is_commercial_use_allowed": True,
}


@pytest.fixture
def source(tmp_path: Path) -> Path:
    path = tmp_path / "source.bin"
    path.write_bytes(b"\x01\x02\x03")
    return path


def same_size_and_time(path: Path) -> None:
    """Replace a file so that neither its size nor its modification time tell."""
    before = path.stat()
    path.write_bytes(bytes(reversed(path.read_bytes())))
    os.utime(path, ns=(before.st_atime_ns, before.st_mtime_ns))


CHANGES: dict[str, tuple[Callable[[Path], object], str]] = {
    "grown": (lambda path: path.write_bytes(path.read_bytes() + b"x"), "was changed while dubber"),
    "same size and time": (same_size_and_time, "was changed while dubber"),
    "vanished": (lambda path: path.unlink(), "vanished while dubber"),
}


@pytest.mark.parametrize("change", CHANGES)
def test_a_change_during_a_stage_is_noticed(
    runtime: Runtime, source: Path, monkeypatch: pytest.MonkeyPatch, change: str
) -> None:
    done, words = CHANGES[change]
    run_stage = Double.run

    def changing(self: Double, ctx: StageContext, *inputs: Any) -> Any:
        done(source)
        (ctx.work_dir / "resume.bin").write_text("made of other bytes, perhaps")
        return run_stage(self, ctx, *inputs)

    monkeypatch.setattr(Double, "run", changing)
    plan, ref = make_plan(runtime, source)
    with pytest.raises(MediaError, match=words) as raised:
        Run(plan, runtime).get(ref)
    assert raised.value.where == str(source)
    assert not Store(runtime.cache_dir).has(ref.key)
    assert not list(runtime.cache_dir.glob("work/*/*"))
    assert not list(runtime.cache_dir.glob("tmp/*"))


def test_a_change_explains_a_stage_s_failure(
    runtime: Runtime, source: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def failing(self: Load, ctx: StageContext, *inputs: Any) -> Any:
        source.write_bytes(b"cut")
        raise ValueError("frame 7 does not decode")

    monkeypatch.setattr(Load, "run", failing)
    plan, ref = make_plan(runtime, source)
    with pytest.raises(MediaError, match="was changed"):
        Run(plan, runtime).get(ref)


def test_a_change_under_a_stream_is_noticed_before_it_is_kept(
    runtime: Runtime, source: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    items = Add.items

    def changing(self: Add, ctx: StageContext, before: Any) -> Any:
        source.write_bytes(b"2")
        yield from items(self, ctx, before)

    monkeypatch.setattr(Add, "items", changing)
    toy = make_toy(runtime, source)
    with pytest.raises(MediaError, match="was changed"):
        Run(toy.plan, runtime).get(toy.ended)
    assert toy.is_stored(runtime) == [False, False, False]


def test_a_touched_file_is_the_same_file(
    runtime: Runtime, source: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    run_stage = Double.run

    def touching(self: Double, ctx: StageContext, *inputs: Any) -> Any:
        source.touch()
        source.chmod(0o600)
        return run_stage(self, ctx, *inputs)

    monkeypatch.setattr(Double, "run", touching)
    plan, ref = make_plan(runtime, source)
    assert Run(plan, runtime).get(ref).values_T.tolist() == [2, 4, 6]


def test_another_source_s_change_is_nobody_s_business(runtime: Runtime, source: Path, tmp_path: Path) -> None:
    other = tmp_path / "other.bin"
    other.write_bytes(b"\x09")
    plan = Plan(runtime.weights, Store(runtime.cache_dir))
    plan.source(other)
    loaded = plan.add(Load(LoadParams()), plan.source(source))
    other.write_bytes(b"\x08")
    assert Run(plan, runtime).get(plan.add(Double(Params()), loaded)).values_T.tolist() == [2, 4, 6]


def test_the_memory_of_checksums_sees_a_file_of_the_same_size_and_time(
    runtime: Runtime, source: Path
) -> None:
    store = Store(runtime.cache_dir)
    before, _ = store.source_sha256(source)
    assert store.knows_source(source)
    same_size_and_time(source)
    assert store.source_sha256(source)[0] == file_sha256(source) != before


@pytest.mark.parametrize("year", [1980, 2100])
def test_clocks_may_be_wrong(runtime: Runtime, source: Path, year: int) -> None:
    seconds = (year - 1970) * 31_557_600
    os.utime(source, (seconds, seconds))
    plan, ref = make_plan(runtime, source)
    Run(plan, runtime).get(ref)
    for entry in runtime.cache_dir.rglob("*"):
        os.utime(entry, (seconds, seconds))
    plan, ref = make_plan(runtime, source)
    run = Run(plan, runtime)
    assert run.get(ref).values_T.tolist() == [2, 4, 6]
    assert all(report.is_hit for report in run.reports)
    assert len(Store(runtime.cache_dir).prune(0)) == 2


def test_a_file_that_is_being_written_is_refused(
    runtime: Runtime, source: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def growing(path: Path) -> str:
        digest = file_sha256(path)
        path.write_bytes(path.read_bytes() + b"more")
        return digest

    monkeypatch.setattr(store_module, "file_sha256", growing)
    with pytest.raises(MediaError, match="still being written"):
        Store(runtime.cache_dir).source_sha256(source)
    assert not list(runtime.cache_dir.glob("sources/*"))


@pytest.mark.parametrize("memo", [b"", b"\xff" * 64, b"z" * 64, b"0" * 63])
def test_a_damaged_memory_of_checksums_is_forgotten(runtime: Runtime, source: Path, memo: bytes) -> None:
    store = Store(runtime.cache_dir)
    digest, _ = store.source_sha256(source)
    for path in runtime.cache_dir.glob("sources/*"):
        path.write_bytes(memo)
    assert store.source_sha256(source)[0] == digest == file_sha256(source)


def test_unchanged_costs_no_reading(source: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    stamp, digest = FileStamp.of(source), file_sha256(source)
    monkeypatch.setattr("dubber.engine.sources.file_sha256", lambda _: pytest.fail("it was read"))
    check_unchanged(source, stamp, digest)


def test_weights_that_change_during_a_run_are_refused(tmp_path: Path) -> None:
    save_weight(tmp_path, "face_model", {"mean": np.zeros(3, np.float32)}, WEIGHT)
    weights = WeightsFolder(tmp_path)
    weights.verify("face_model")
    path = weights.path("face_model")
    path.write_bytes(path.read_bytes()[:-1] + b"\x01")
    with pytest.raises(WeightsError, match="damaged or was replaced") as raised:
        weights.open("face_model")
    assert raised.value.where == str(path)
    path.unlink()
    with pytest.raises(WeightsError, match="cannot be read"):
        weights.open("face_model")
