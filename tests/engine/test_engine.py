"""The engine on toy stages: keys, hits and misses, atomic entries, resuming, damage."""

from __future__ import annotations

import dataclasses
import errno
import os
import shutil
import subprocess
import sys
import textwrap
from fractions import Fraction
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest

from dubber.engine.codecs import load_artefact, save_artefact
from dubber.engine.execute import Run, missing_stages
from dubber.engine.key import artefact_key, key_document
from dubber.engine.plan import Plan, Ref
from dubber.engine.stage import Params, Runtime, Stage, StageContext
from dubber.engine.store import EntryWriter, Store
from dubber.errors import ConfigError, MediaError, OutputFolderError, StageError, WeightsError
from dubber.types import Float32, SourceFile, StoredFile


@dataclasses.dataclass(frozen=True)
class Numbers:
    values_T: Float32
    rate: Fraction
    note: tuple[StoredFile, ...]


class LoadParams(Params):
    factor: float = 1.0


class Load(Stage[Numbers]):
    name, version, output_type = "load", 1, Numbers
    runs = 0

    def run(self, ctx: StageContext, *inputs: Any) -> Numbers:
        source: SourceFile = inputs[0]
        type(self).runs += 1
        note = ctx.new_file("note.txt")
        note.write_text("made")
        values = np.frombuffer(source.path.read_bytes(), np.uint8).astype(np.float32)
        return Numbers(values * self.params.factor, Fraction(30000, 1001), (StoredFile(note),))  # type: ignore[attr-defined]


class Double(Stage[Numbers]):
    name, version, output_type = "double", 1, Numbers
    runs = 0

    def run(self, ctx: StageContext, *inputs: Any) -> Numbers:
        type(self).runs += 1
        if ctx.work_dir.joinpath("fail").exists():
            raise ZeroDivisionError("on purpose")
        return Numbers(inputs[0].values_T * 2, inputs[0].rate, ())


@pytest.fixture(autouse=True)
def _count_from_zero() -> None:
    Load.runs = Double.runs = 0


def make_plan(runtime: Runtime, path: Path, factor: float = 1.0) -> tuple[Plan, Ref[Numbers]]:
    plan = Plan(runtime.weights, Store(runtime.cache_dir))
    loaded = plan.add(Load(LoadParams(factor=factor)), plan.source(path))
    return plan, plan.add(Double(Params()), loaded)


@pytest.fixture
def source(tmp_path: Path) -> Path:
    path = tmp_path / "ünïcode 'quoted' name.bin"
    path.write_bytes(b"\x01\x02\x03")
    return path


def test_second_run_recomputes_nothing(runtime: Runtime, source: Path) -> None:
    for _ in range(2):
        plan, ref = make_plan(runtime, source)
        result = Run(plan, runtime).get(ref)
        np.testing.assert_array_equal(result.values_T, [2, 4, 6])
        assert result.rate == Fraction(30000, 1001)
    assert (Load.runs, Double.runs) == (1, 1)


def test_key_follows_content_not_path(runtime: Runtime, source: Path, tmp_path: Path) -> None:
    copy = tmp_path / "copy.bin"
    copy.write_bytes(source.read_bytes())
    assert make_plan(runtime, source)[1].key == make_plan(runtime, copy)[1].key
    copy.write_bytes(b"\x01\x02\x04")
    assert make_plan(runtime, source)[1].key != make_plan(runtime, copy)[1].key


@pytest.mark.parametrize("change", ["stage", "version", "params", "weights", "inputs", "code"])
def test_every_part_of_the_document_changes_the_key(change: str) -> None:
    parts: dict[str, Any] = {
        "stage": "a",
        "version": 1,
        "params": {"x": 1},
        "weights": {"w": "0"},
        "inputs": ["k"],
    }
    others = {
        "stage": "b",
        "version": 2,
        "params": {"x": 2},
        "weights": {"w": "1"},
        "inputs": ["l"],
        "code": {"sha256": "0"},
    }
    changed = key_document(**{**parts, change: others[change]})
    assert artefact_key(key_document(**parts)) != artefact_key(changed)


def test_golden_key() -> None:
    """The key is a promise to every cache in use: it changes only together with KEY_SCHEMA."""
    document = key_document(
        stage="track", version=1, params={"b": 2.5, "a": "ü"}, weights={"w": "ff"}, inputs=["0", "1"]
    )
    assert artefact_key(document) == "64f3e2cc57cf5d2461ca2fcf365957af7b73f825d87f49a484ffa3c17483cbcd"


def test_params_refuse_unknown_names() -> None:
    with pytest.raises(ValueError, match="extra"):
        LoadParams(faktor=2)  # type: ignore[call-arg]


def test_failed_stage_leaves_nothing_and_keeps_its_inputs(runtime: Runtime, source: Path) -> None:
    plan, ref = make_plan(runtime, source)
    store = Store(runtime.cache_dir)
    (store.work_dir(ref.key) / "fail").touch()
    with pytest.raises(StageError, match="on purpose"):
        Run(plan, runtime).get(ref)
    assert not store.has(ref.key)
    assert list((runtime.cache_dir / "tmp").iterdir()) == []
    (store.work_dir(ref.key) / "fail").unlink()
    Run(plan, runtime).get(ref)
    assert (Load.runs, Double.runs) == (1, 2)


def test_a_run_that_failed_may_be_asked_again(runtime: Runtime, source: Path) -> None:
    plan, ref = make_plan(runtime, source)
    flag = Store(runtime.cache_dir).work_dir(ref.key) / "fail"
    flag.touch()
    run = Run(plan, runtime)
    with pytest.raises(StageError, match="on purpose"):
        run.get(ref)
    flag.unlink()
    np.testing.assert_array_equal(run.get(ref).values_T, [2, 4, 6])


def test_damaged_entry_is_made_again(runtime: Runtime, source: Path) -> None:
    plan, ref = make_plan(runtime, source)
    Run(plan, runtime).get(ref)
    arrays = Store(runtime.cache_dir).entry_dir(ref.key) / "arrays.safetensors"
    data = bytearray(arrays.read_bytes())
    data[-1] ^= 0xFF
    arrays.write_bytes(bytes(data))
    plan, ref = make_plan(runtime, source)
    np.testing.assert_array_equal(Run(plan, runtime).get(ref).values_T, [2, 4, 6])
    assert (Load.runs, Double.runs) == (1, 2)


def test_forced_stage_and_all_after_it_run_again(runtime: Runtime, source: Path) -> None:
    plan, ref = make_plan(runtime, source)
    Run(plan, runtime).get(ref)
    Run(plan, runtime, forced=plan.downstream_of(plan.index_of("load"))).get(ref)
    assert (Load.runs, Double.runs) == (2, 2)
    Run(plan, runtime, forced=plan.downstream_of(plan.index_of("double"))).get(ref)
    assert (Load.runs, Double.runs) == (2, 3)


def test_missing_stages_tells_what_would_run(runtime: Runtime, source: Path) -> None:
    plan, ref = make_plan(runtime, source)
    store = Store(runtime.cache_dir)
    assert missing_stages(plan, store, ref.index, set()) == {1, 2}
    Run(plan, runtime).get(ref)
    assert missing_stages(plan, store, ref.index, set()) == set()
    plan, ref = make_plan(runtime, source, factor=3)
    assert missing_stages(plan, store, ref.index, set()) == {1, 2}
    assert missing_stages(plan, store, ref.index, {2}) == {1, 2}


def test_unknown_stage_and_missing_source(runtime: Runtime, source: Path, tmp_path: Path) -> None:
    plan, _ = make_plan(runtime, source)
    with pytest.raises(ConfigError, match="render"):
        plan.index_of("render")
    with pytest.raises(MediaError, match="no such file"):
        plan.source(tmp_path / "absent.mp4")
    with pytest.raises(MediaError, match="not a file"):
        plan.source(tmp_path)


def test_artefact_files_move_with_the_entry(runtime: Runtime, source: Path) -> None:
    plan, _ = make_plan(runtime, source)
    loaded = Run(plan, runtime).get(Ref(plan.nodes[1].key, 1))
    assert loaded.note[0].path.read_text() == "made"
    assert loaded.note[0].path.parent == Store(runtime.cache_dir).entry_dir(plan.nodes[1].key)


def test_codec_refuses_files_from_elsewhere(tmp_path: Path) -> None:
    stray = StoredFile(tmp_path / "elsewhere" / "x")
    (tmp_path / "entry").mkdir()
    with pytest.raises(ValueError, match="does not lie"):
        save_artefact(Numbers(np.zeros(1, np.float32), Fraction(1), (stray,)), tmp_path / "entry")


def test_codec_round_trip_is_exact_and_repeatable(tmp_path: Path) -> None:
    value = Numbers(np.linspace(0, 1, 7, dtype=np.float32), Fraction(24000, 1001), ())
    digests = []
    for name in ("a", "b"):
        (tmp_path / name).mkdir()
        save_artefact(value, tmp_path / name)
        digests.append([path.read_bytes() for path in sorted((tmp_path / name).iterdir())])
    assert digests[0] == digests[1]
    back = load_artefact(Numbers, tmp_path / "a")
    np.testing.assert_array_equal(back.values_T, value.values_T)
    assert back.rate == value.rate and back.note == ()


def test_prune_removes_least_recently_used_first(runtime: Runtime, source: Path) -> None:
    plan, ref = make_plan(runtime, source)
    Run(plan, runtime).get(ref)
    store = Store(runtime.cache_dir)
    old, new = plan.nodes[1].key, plan.nodes[2].key
    os.utime(store.entry_dir(old) / "entry.json", (1, 1))
    removed = store.prune(store.entries()[0].num_bytes)
    assert [entry.key for entry in removed] == [old]
    assert store.has(new) and not store.has(old)


def test_half_written_entries_of_dead_processes_are_swept(runtime: Runtime) -> None:
    """A process killed in the middle of a write leaves no entry, and the next sweep removes what it left."""
    code = textwrap.dedent(f"""
        import os, signal
        from pathlib import Path
        from dubber.engine.store import EntryWriter, Store
        with Store(Path({str(runtime.cache_dir)!r})).writing("ab" * 32, {{"stage": "x"}}) as writer:
            (writer.folder / "half").write_text("written")
            os.kill(os.getpid(), signal.SIGKILL)
    """)
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == -9
    store = Store(runtime.cache_dir)
    assert not store.has("ab" * 32)
    assert len(list((runtime.cache_dir / "tmp").iterdir())) == 1
    store.sweep()
    assert list((runtime.cache_dir / "tmp").iterdir()) == []


@pytest.mark.parametrize(
    "error",
    [
        OSError(errno.ENOSPC, os.strerror(errno.ENOSPC)),
        RuntimeError("I/O error: No space left on device (os error 28)"),
        StageError("ffmpeg failed with code 1: No space left on device"),
        None,
    ],
    ids=["errno", "words", "ffmpeg", "no reason given"],
)
@pytest.mark.parametrize("place", ["run", "save", "commit"])
def test_full_disk_is_no_bug(
    runtime: Runtime,
    source: Path,
    monkeypatch: pytest.MonkeyPatch,
    error: Exception | None,
    place: str,
) -> None:
    def fail(*arguments: object, **_: object) -> None:
        if isinstance(arguments[1], StageContext):
            arguments[1].work_dir.joinpath("crops.part").write_text("half")
        raise error or RuntimeError("System error.")

    if error is None:
        monkeypatch.setattr(shutil, "disk_usage", lambda _: SimpleNamespace(free=2**20))
    owner, name = {"run": (Double, "run"), "save": (EntryWriter, "save"), "commit": (Store, "_commit")}[place]
    monkeypatch.setattr(owner, name, fail)
    plan, ref = make_plan(runtime, source)
    with pytest.raises(OutputFolderError, match="disk is full") as caught:
        Run(plan, runtime).get(ref)
    assert "--cache" in caught.value.advice
    assert not list(runtime.cache_dir.glob("tmp/*"))
    assert not list(runtime.cache_dir.glob("work/*/*"))


def test_write_protected_cache_is_no_bug(
    runtime: Runtime, source: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def protected(store: Store, key: str) -> None:
        raise OSError(errno.EROFS, "Read-only file system", str(store.root / "locks" / key))

    monkeypatch.setattr(Store, "lock", protected)
    plan, ref = make_plan(runtime, source)
    with pytest.raises(OutputFolderError, match="Read-only"):
        Run(plan, runtime).get(ref)


def test_a_bug_stays_a_bug(runtime: Runtime, source: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(shutil, "disk_usage", lambda _: SimpleNamespace(free=2**40))
    plan, ref = make_plan(runtime, source)
    Store(runtime.cache_dir).work_dir(ref.key).joinpath("fail").touch()
    with pytest.raises(StageError, match="on purpose"):
        Run(plan, runtime).get(ref)


def test_a_checksum_that_cannot_be_kept_is_not_needed(runtime: Runtime, source: Path) -> None:
    runtime.cache_dir.mkdir(parents=True, exist_ok=True)
    (runtime.cache_dir / "sources").write_text("in the way")
    assert len(Store(runtime.cache_dir).source_sha256(source)[0]) == 64


def test_weights_are_verified(runtime: Runtime, tmp_path: Path) -> None:
    from dubber.engine.weights import WeightsFolder

    with pytest.raises(WeightsError, match="manifest cannot be read"):
        WeightsFolder(tmp_path / "nowhere").entry("face_model")
    folder = tmp_path / "weights"
    folder.mkdir()
    row = 'file="w.safetensors"\nsha256="00"\nkind="x"\nlicence="y"\nis_commercial_use_allowed=true\n'
    (folder / "manifest.toml").write_text(f'[w]\n{row}training_data=""\nrecipe=""\ndescription=""\n')
    with pytest.raises(WeightsError, match="cannot be read"):
        WeightsFolder(folder).open("w")
    (folder / "w.safetensors").write_bytes(b"not safetensors")
    with pytest.raises(WeightsError, match="not the ones"):
        WeightsFolder(folder).open("w")
    with pytest.raises(WeightsError, match="No weights named"):
        WeightsFolder(folder).entry("v")


def test_names_that_are_no_utf8_are_refused(runtime: Runtime, tmp_path: Path) -> None:
    path = tmp_path / os.fsdecode(b"a\xff.wav")
    path.write_bytes(b"x")
    with pytest.raises(MediaError, match="UTF-8"):
        Store(runtime.cache_dir).source_sha256(path)
