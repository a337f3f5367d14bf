"""Streams in the engine, on toy stages: who is stored, who is not, and what a failure leaves."""

from __future__ import annotations

import dataclasses
import errno
import threading
import time
from collections.abc import Callable, Generator
from contextlib import closing
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from dubber.engine.codecs import adopt_artefact, load_artefact
from dubber.engine.execute import Run, StageReport
from dubber.engine.plan import Plan, Ref
from dubber.engine.stage import Params, Runtime, Stage, StageContext, Stream, stage_faults
from dubber.engine.store import Store
from dubber.errors import ConfigError, DubberError, OutputFolderError, StageError
from dubber.media.flow import prefetch
from dubber.types import Int32, StoredFile

NUM_ITEMS = 12


@dataclasses.dataclass(frozen=True)
class Tale:
    """Numbers, in a file."""

    total: int
    files: tuple[StoredFile, ...]

    def read(self) -> list[int]:
        return [int(line) for line in self.files[0].path.read_text().split()]


@dataclasses.dataclass(frozen=True)
class TaleStream(Stream[Tale]):
    open: Callable[[], Generator[int]]

    def drain(self) -> None:
        with closing(self.open()) as items:
            for _ in items:
                pass


class Told(Stage[Tale]):
    """What the two stages that stream have in common."""

    version, output_type, is_streamed = 1, Tale, True
    opened = 0
    burn_s = 0.0
    fails_at: int | None = None
    error: BaseException = ZeroDivisionError("on purpose")

    def run(self, ctx: StageContext, *inputs: Any) -> TaleStream:
        return TaleStream(lambda: prefetch(self._told(ctx, inputs[0]), 2, ctx.spend))

    def items(self, ctx: StageContext, before: Any) -> Generator[int]:
        raise NotImplementedError

    def _told(self, ctx: StageContext, before: Any) -> Generator[int]:
        type(self).opened += 1
        scratch = ctx.scratch_dir() / self.name
        scratch.write_text("worthless")
        part = ctx.work_dir / "numbers.part"
        with stage_faults(self.name), closing(self.items(ctx, before)) as items:
            for place, item in enumerate(items):
                until_s = time.thread_time() + self.burn_s / NUM_ITEMS
                while time.thread_time() < until_s:
                    pass
                if self.fails_at == place:
                    raise self.error
                if ctx.keep is not None:
                    with part.open("a" if place else "w") as file:
                        file.write(f"{item}\n")
                    if place == NUM_ITEMS - 1:
                        ctx.keep(Tale(NUM_ITEMS, (StoredFile(part.rename(part.with_suffix(".txt"))),)))
                yield item


class Begin(Told):
    name = "begin"

    def items(self, ctx: StageContext, before: Any) -> Generator[int]:
        yield from range(NUM_ITEMS)


class Add(Told):
    name, is_costly = "add", False

    def items(self, ctx: StageContext, before: Any) -> Generator[int]:
        if isinstance(before, Tale):
            yield from (item + 100 for item in before.read())
            return
        with closing(before.open()) as items:
            for item in items:
                yield item + 100


class EndParams(Params):
    factor: int = 1


@dataclasses.dataclass(frozen=True)
class Sum:
    items_N: Int32


class End(Stage[Sum]):
    """Stored; consumes what streams."""

    name, version, output_type = "end", 1, Sum
    params: EndParams
    fails_at: int | None = None
    runs = 0
    seen: tuple[list[str], ...] = ()

    def run(self, ctx: StageContext, *inputs: Any) -> Sum:
        type(self).runs += 1
        made = []
        with closing(inputs[0].open()) as items:
            for place, item in enumerate(items):
                made.append(item * self.params.factor)
                if self.fails_at == place:
                    raise ZeroDivisionError("at the end")
        type(self).seen = (*self.seen, sorted(path.name for path in ctx.scratch_dir().iterdir()))
        return Sum(np.array(made, np.int32))


@pytest.fixture(autouse=True)
def clean(monkeypatch: pytest.MonkeyPatch) -> None:
    for stage in (Begin, Add):
        monkeypatch.setattr(stage, "opened", 0)
    monkeypatch.setattr(End, "runs", 0)
    monkeypatch.setattr(End, "seen", ())


@dataclasses.dataclass(frozen=True)
class Toy:
    plan: Plan
    begun: Ref[Tale]
    added: Ref[Tale]
    ended: Ref[Sum]

    def is_stored(self, runtime: Runtime) -> list[bool]:
        store = Store(runtime.cache_dir)
        return [store.has(ref.key) for ref in (self.begun, self.added, self.ended)]


@pytest.fixture
def source(tmp_path: Path) -> Path:
    path = tmp_path / "source"
    path.write_bytes(b"1")
    return path


def make_toy(runtime: Runtime, source: Path, factor: int = 1) -> Toy:
    plan = Plan(runtime.weights, Store(runtime.cache_dir))
    begun = plan.add(Begin(Params()), plan.source(source))
    added = plan.add(Add(Params()), begun)
    return Toy(plan, begun, added, plan.add(End(EndParams(factor=factor)), added))


def leftovers(runtime: Runtime) -> list[str]:
    """What runs left of their work."""
    folders = [runtime.cache_dir / name for name in ("tmp", "work")]
    return sorted(path.name for folder in folders for path in folder.rglob("*"))


ITEMS = list(range(100, 100 + NUM_ITEMS))


def test_only_costly_streams_are_stored_as_they_flow(runtime: Runtime, source: Path) -> None:
    toy = make_toy(runtime, source)
    run = Run(toy.plan, runtime)
    assert run.get(toy.ended).items_N.tolist() == ITEMS
    assert (Begin.opened, Add.opened, End.runs) == (1, 1, 1)
    assert toy.is_stored(runtime) == [True, False, True]
    assert run.get(toy.begun).read() == list(range(NUM_ITEMS))
    assert Begin.opened == 1
    assert leftovers(runtime) == []
    assert End.seen == (["add", "begin"],), "scratch is shared, and was there"
    assert [(report.name, report.is_hit) for report in run.reports] == [
        ("begin", False),
        ("add", False),
        ("end", False),
    ]


def test_another_end_takes_the_stored_stream(runtime: Runtime, source: Path) -> None:
    Run((toy := make_toy(runtime, source)).plan, runtime).get(toy.ended)
    toy = make_toy(runtime, source, factor=2)
    run = Run(toy.plan, runtime)
    assert run.get(toy.ended).items_N.tolist() == [2 * item for item in ITEMS]
    assert (Begin.opened, Add.opened) == (1, 2)
    assert [(report.name, report.is_hit) for report in run.reports] == [
        ("begin", True),
        ("add", False),
        ("end", False),
    ]


def test_a_stream_that_is_asked_for_is_stored_and_is_what_flowed(runtime: Runtime, source: Path) -> None:
    toy = make_toy(runtime, source)
    run = Run(toy.plan, runtime)
    assert run.peek(toy.added) is None
    tale = run.get(toy.added)
    assert tale.read() == ITEMS
    assert tale.files[0].path.parent == Store(runtime.cache_dir).entry_dir(toy.added.key)
    assert toy.is_stored(runtime) == [True, True, False]
    assert leftovers(runtime) == []
    assert run.get(toy.added).read() == ITEMS
    assert run.peek(toy.added) == tale
    assert (Begin.opened, Add.opened) == (1, 1), "made once"
    assert [report.name for report in run.reports] == ["begin", "add"]


def test_all_streams_are_stored_where_that_is_wanted(runtime: Runtime, source: Path) -> None:
    runtime = dataclasses.replace(runtime, keeps_all=True)
    toy = make_toy(runtime, source)
    run = Run(toy.plan, runtime)
    assert run.get(toy.ended).items_N.tolist() == ITEMS
    assert toy.is_stored(runtime) == [True, True, True]
    tale = run.peek(toy.added)
    assert tale is not None
    assert tale.read() == ITEMS
    assert leftovers(runtime) == []


@pytest.mark.parametrize("stage", [Begin, Add])
def test_a_failing_link_is_named_and_leaves_nothing(
    runtime: Runtime, source: Path, monkeypatch: pytest.MonkeyPatch, stage: type[Told]
) -> None:
    toy = make_toy(runtime, source)
    monkeypatch.setattr(stage, "fails_at", 5)
    run = Run(toy.plan, runtime)
    with pytest.raises(StageError, match=f"stage '{stage.name}' failed: ZeroDivisionError: on purpose"):
        run.get(toy.ended)
    assert toy.is_stored(runtime) == [False, False, False]
    assert leftovers(runtime) == []
    assert threading.active_count() == 1
    assert run.reports == [] or all(report.name != "end" for report in run.reports)
    monkeypatch.setattr(stage, "fails_at", None)
    assert run.get(toy.ended).items_N.tolist() == ITEMS, "the same run may be asked again"


def test_an_error_for_the_user_stays_what_it_is(
    runtime: Runtime, source: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    toy = make_toy(runtime, source)
    monkeypatch.setattr(Begin, "fails_at", 5)
    monkeypatch.setattr(Begin, "error", ConfigError("No.", advice="Do otherwise."))
    with pytest.raises(ConfigError, match=r"No\."):
        Run(toy.plan, runtime).get(toy.ended)


@pytest.mark.parametrize("stage", [Begin, Add])
def test_a_full_disk_in_a_link_is_no_bug(
    runtime: Runtime, source: Path, monkeypatch: pytest.MonkeyPatch, stage: type[Told]
) -> None:
    toy = make_toy(runtime, source)
    monkeypatch.setattr(stage, "fails_at", 5)
    monkeypatch.setattr(stage, "error", OSError(errno.ENOSPC, "No space left on device"))
    for ref in (toy.ended, toy.added):
        with pytest.raises(OutputFolderError, match="disk is full"):
            Run(toy.plan, runtime).get(ref)
    assert leftovers(runtime) == []


def test_what_was_kept_stays_when_the_consumer_fails(
    runtime: Runtime, source: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    toy = make_toy(runtime, source)
    monkeypatch.setattr(End, "fails_at", NUM_ITEMS - 1)
    with pytest.raises(StageError, match="stage 'end' failed"):
        Run(toy.plan, runtime).get(toy.ended)
    assert toy.is_stored(runtime) == [True, False, False]
    assert leftovers(runtime) == []
    assert threading.active_count() == 1
    monkeypatch.setattr(End, "fails_at", None)
    assert Run(toy.plan, runtime).get(toy.ended).items_N.tolist() == ITEMS
    assert Begin.opened == 1


def test_a_consumer_that_fails_early_ends_all_threads(
    runtime: Runtime, source: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    toy = make_toy(runtime, source)
    monkeypatch.setattr(End, "fails_at", 1)
    with pytest.raises(StageError, match="stage 'end' failed"):
        Run(toy.plan, runtime).get(toy.ended)
    assert threading.active_count() == 1
    assert toy.is_stored(runtime) == [False, False, False]
    assert leftovers(runtime) == []


def test_what_a_stage_can_resume_from_stays(
    runtime: Runtime, source: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Only half-written files are removed after a failure."""
    toy = make_toy(runtime, source)
    finished = Store(runtime.cache_dir).work_dir(toy.begun.key) / "finished.txt"
    finished.touch()
    monkeypatch.setattr(Begin, "fails_at", 5)
    with pytest.raises(StageError):
        Run(toy.plan, runtime).get(toy.ended)
    assert leftovers(runtime) == [toy.begun.key, "finished.txt"]
    monkeypatch.setattr(Begin, "fails_at", None)
    Run(toy.plan, runtime).get(toy.ended)
    assert leftovers(runtime) == []


def test_what_cannot_be_stored_is_no_bug(
    runtime: Runtime, source: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(*_: object) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr("dubber.engine.store.adopt_artefact", full)
    toy = make_toy(runtime, source)
    with pytest.raises(OutputFolderError, match=r"disk is full \(stage 'begin'\)"):
        Run(toy.plan, runtime).get(toy.ended)
    assert threading.active_count() == 1
    assert not list((runtime.cache_dir / "tmp").iterdir())


def test_forced_streams_are_made_again(runtime: Runtime, source: Path) -> None:
    Run((toy := make_toy(runtime, source)).plan, runtime).get(toy.ended)
    for stage, opened in (("begin", (2, 2)), ("add", (2, 3)), ("end", (2, 4))):
        run = Run(toy.plan, runtime, forced=toy.plan.downstream_of(toy.plan.index_of(stage)))
        assert run.get(toy.ended).items_N.tolist() == ITEMS
        assert (Begin.opened, Add.opened) == opened
    assert End.runs == 4
    assert leftovers(runtime) == []


def test_two_runs_of_one_key_make_it_once(runtime: Runtime, source: Path) -> None:
    results: list[list[int]] = []
    reports: list[list[StageReport]] = []
    together = threading.Barrier(2)

    def work() -> None:
        toy = make_toy(runtime, source)
        run = Run(toy.plan, runtime)
        together.wait()
        results.append(run.get(toy.ended).items_N.tolist())
        reports.append(run.reports)

    threads = [threading.Thread(target=work) for _ in range(2)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(timeout=30)
    assert results == [ITEMS, ITEMS]
    assert (Begin.opened, Add.opened, End.runs) == (1, 1, 1)
    assert leftovers(runtime) == []
    made = sorted([report.name for report in run if not report.is_hit] for run in reports)
    assert made == [[], ["begin", "add", "end"]], "who waited made nothing"


def test_processor_time_is_told_of_the_stage_that_used_it(
    runtime: Runtime, source: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    burnt_s = {Begin: 0.3, Add: 0.15}
    for stage, seconds in burnt_s.items():
        monkeypatch.setattr(stage, "burn_s", seconds)
    toy = make_toy(runtime, source)
    run = Run(toy.plan, runtime)
    run.get(toy.ended)
    begin, add, end = run.reports
    assert 0.3 <= begin.cpu_s < 0.4
    assert 0.15 <= add.cpu_s < 0.25
    assert 0 <= end.cpu_s < 0.15, "what the streams' threads used is theirs alone"
    assert (begin.seconds, add.seconds) == (begin.cpu_s, add.cpu_s)
    assert end.seconds >= 0.3


def test_files_come_with_an_artefact(tmp_path: Path) -> None:
    @dataclasses.dataclass(frozen=True)
    class Mixed:
        one: StoredFile
        many: tuple[StoredFile, ...]
        number: int

    there = tmp_path / "there"
    there.mkdir()
    for name in "abc":
        (tmp_path / name).write_text(name)
    one, *many = (StoredFile(tmp_path / name) for name in "abc")
    # Types of the fields are looked up in the module, where a class of a test is not.
    Mixed.__annotations__ = {"one": StoredFile, "many": tuple[StoredFile, ...], "number": int}
    adopt_artefact(Mixed(one, tuple(many), 3), there)
    expected = Mixed(StoredFile(there / "a"), (StoredFile(there / "b"), StoredFile(there / "c")), 3)
    assert load_artefact(Mixed, there) == expected
    assert [(there / name).read_text() for name in "abc"] == ["a", "b", "c"]
    assert sorted(path.name for path in tmp_path.iterdir()) == ["a", "b", "c", "there"], (
        "killed now, it goes on"
    )


def test_adopted_files_are_the_entry_s(runtime: Runtime, tmp_path: Path) -> None:
    store = Store(runtime.cache_dir)
    path = store.work_dir("ab" * 32) / "numbers.txt"
    path.write_text("1\n2\n")
    with store.writing("ab" * 32, {"stage": "x"}) as writer:
        writer.adopt(Tale(2, (StoredFile(path),)))
        assert path.exists(), "until the entry is whole"
    store.finish_work("ab" * 32)
    assert not path.exists()
    tale = store.load("ab" * 32, Tale)
    assert tale is not None
    assert tale.read() == [1, 2]
    tale.files[0].path.write_text("changed")
    assert store.load("ab" * 32, Tale) is None, "its files are checked too"


def test_a_scratch_folder_is_made_on_demand_and_goes_in_any_case(runtime: Runtime) -> None:
    store = Store(runtime.cache_dir)
    with store.scratch() as unused:
        assert not unused.exists()

    def fail(folder: Path) -> None:
        folder.mkdir(parents=True)
        (folder / "file").touch()
        raise DubberError("broken")

    with pytest.raises(DubberError), store.scratch() as used:
        fail(used)
    assert leftovers(runtime) == []


def test_by_itself_a_stage_has_its_scratch_in_its_work_folder(context: StageContext) -> None:
    assert context.scratch_dir() == context.work_dir / "scratch"
    assert context.scratch_dir().is_dir()
    context.spend(0.5)
    context.spend(0.25)
    assert context.spent_s == 0.75
