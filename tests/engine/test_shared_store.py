"""The cache that machines share: whole entries or none, whatever is missing, damaged or interrupted."""

from __future__ import annotations

import dataclasses
import json
import os
import subprocess
import sys
import textwrap
import threading
import uuid
from pathlib import Path

import pytest

from dubber.engine.execute import Run
from dubber.engine.shared_store import INPUT_STAGE, LEFTOVER_S, SharedStore
from dubber.engine.stage import Runtime
from dubber.engine.store import ENTRY_NAME, Store
from dubber.errors import MediaError, SharedStoreError, ToolMissingError
from tests.engine.test_engine import Load, make_plan, source  # noqa: F401 - a fixture

pytest.importorskip("fsspec")

KEY = "ab" * 32


@pytest.fixture(params=["folder", "memory"])
def shared(request: pytest.FixtureRequest, tmp_path: Path) -> SharedStore:
    if request.param == "folder":
        return SharedStore(str(tmp_path / "shared"))
    return SharedStore(f"memory://{uuid.uuid4().hex}")


@pytest.fixture
def here(tmp_path: Path) -> Store:
    return Store(tmp_path / "here")


@pytest.fixture
def there(tmp_path: Path) -> Store:
    return Store(tmp_path / "there")


def make_entry(store: Store, key: str = KEY, **files: bytes) -> None:
    with store.writing(key, {"stage": "toy", "params": {"a": 1}}) as writer:
        for name, content in files.items():
            (writer.folder / name).write_bytes(content)


def contents(store: Store, key: str = KEY) -> dict[str, bytes]:
    return {path.name: path.read_bytes() for path in store.entry_dir(key).iterdir()}


def test_an_entry_arrives_as_it_was_made(shared: SharedStore, here: Store, there: Store) -> None:
    make_entry(here, one=b"1" * 1000, two=b"2")
    assert shared.push(here, KEY) == 1001
    assert shared.pull(there, KEY) == 1001
    assert contents(there) == contents(here)
    assert shared.push(there, KEY) == 0
    assert shared.pull(there, KEY) == 0


def test_what_is_nowhere_is_no_error(shared: SharedStore, here: Store) -> None:
    assert not shared.has(KEY)
    assert shared.push(here, KEY) == shared.pull(here, KEY) == 0
    assert shared.entries() == []
    assert shared.prune(0) == []
    assert not here.has(KEY)


def test_files_of_the_same_content_are_sent_once(shared: SharedStore, here: Store, there: Store) -> None:
    make_entry(here, one=b"same")
    make_entry(here, "cd" * 32, other=b"same")
    assert [shared.push(here, KEY), shared.push(here, "cd" * 32)] == [4, 0]
    assert shared.pull(there, "cd" * 32) == 4


@pytest.mark.parametrize("damage", [b"", b"another", None])
def test_a_damaged_file_is_a_miss_and_is_put_right(
    tmp_path: Path, here: Store, there: Store, damage: bytes | None
) -> None:
    shared = SharedStore(str(tmp_path / "shared"))
    make_entry(here, one=b"first", two=b"second")
    shared.push(here, KEY)
    victim = next(p for p in (tmp_path / "shared/objects").rglob("*") if p.is_file())
    victim.unlink() if damage is None else victim.write_bytes(damage)
    assert shared.pull(there, KEY) == 0
    assert not there.has(KEY)
    assert not shared.has(KEY)
    assert not list((there.root / "tmp").iterdir())
    shared.push(here, KEY)
    assert shared.pull(there, KEY) == 11


@pytest.mark.parametrize("text", ["", "{", '{"stage": "toy"}', '{"files": {"../x": "00"}}', "[]"])
def test_a_torn_document_is_a_miss(tmp_path: Path, here: Store, there: Store, text: str) -> None:
    shared = SharedStore(str(tmp_path / "shared"))
    make_entry(here, one=b"first")
    shared.push(here, KEY)
    marker = next((tmp_path / "shared/entries").rglob("*.json"))
    marker.write_text(text)
    assert shared.entries() == []
    assert shared.pull(there, KEY) == 0
    assert not marker.exists()
    assert shared.push(here, KEY) == 0
    assert shared.pull(there, KEY) == 5


def test_an_upload_that_is_killed_leaves_nothing_that_counts(tmp_path: Path, there: Store) -> None:
    """The process ends between the first file and the second."""
    script = f"""
        import os
        from pathlib import Path
        from dubber.engine.remote import RemoteFolder
        from dubber.engine.shared_store import SharedStore
        from dubber.engine.store import Store

        store = Store(Path({str(tmp_path / "here")!r}))
        with store.writing({KEY!r}, {{"stage": "toy"}}) as writer:
            (writer.folder / "one").write_bytes(b"first")
            (writer.folder / "two").write_bytes(b"second")
        put = RemoteFolder.put
        def dying(self, path, name):
            if path.name == "two":
                os._exit(9)
            return put(self, path, name)
        RemoteFolder.put = dying
        SharedStore({str(tmp_path / "shared")!r}).push(store, {KEY!r})
    """
    assert subprocess.run([sys.executable, "-c", textwrap.dedent(script)], check=False).returncode == 9
    shared = SharedStore(str(tmp_path / "shared"))
    assert not shared.has(KEY)
    assert shared.pull(there, KEY) == 0
    assert shared.push(Store(tmp_path / "here"), KEY) == len("second")
    assert shared.pull(there, KEY) == 11


def test_a_transfer_that_went_wrong_costs_no_entry(
    shared: SharedStore, here: Store, there: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    make_entry(here, one=b"first", two=b"second")
    shared.push(here, KEY)
    file_system = shared._folder._system._opened().fs
    real_get, calls = file_system.get_file, []

    def torn_get(remote: str, target: str) -> None:
        real_get(remote, target)
        calls.append(target)
        if len(calls) == 1:
            Path(target).write_bytes(b"fir")

    monkeypatch.setattr(file_system, "get_file", torn_get)
    assert shared.pull(there, KEY) == 11
    assert contents(there) == contents(here)
    assert len(calls) == 3


def test_many_push_and_pull_at_once(tmp_path: Path) -> None:
    # Not in memory: all who read one of fsspec's files there share its read position.
    shared = SharedStore(str(tmp_path / "shared"))
    stores = [Store(tmp_path / str(number)) for number in range(6)]
    for store in stores[:3]:
        make_entry(store, one=b"1" * 100_000, two=b"2" * 100_000)
    failures: list[BaseException] = []

    def work(store: Store) -> None:
        try:
            for _ in range(5):
                shared.push(store, KEY)
                shared.pull(store, KEY)
        except BaseException as error:
            failures.append(error)

    threads = [threading.Thread(target=work, args=(store,)) for store in stores]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert not failures
    for store in stores:
        shared.pull(store, KEY)
        assert contents(store) == contents(stores[0])


def test_inputs_arrive_under_their_suffix(
    shared: SharedStore, here: Store, there: Store, tmp_path: Path
) -> None:
    path = tmp_path / "entry.json"  # a name that entries use themselves
    path.write_bytes(b"{}")
    sha256, _ = here.source_sha256(path)
    assert shared.push_input(path, sha256) == 2
    assert shared.push_input(path, sha256) == 0
    arrived, received = shared.pull_input(there, sha256)
    assert (arrived.suffix, arrived.read_bytes(), received) == (".json", b"{}", 2)
    assert shared.pull_input(there, sha256) == (arrived, 0)
    assert [entry.stage for entry in there.entries()] == [INPUT_STAGE]
    with pytest.raises(MediaError, match="gone or damaged"):
        shared.pull_input(there, "0" * 64)


def test_parcels_are_taken_once(shared: SharedStore, tmp_path: Path) -> None:
    path, arrived = tmp_path / "a.mp4", tmp_path / "b.mp4"
    path.write_bytes(b"film")
    sha256 = shared.send(path, "one")
    assert shared.send(path, "two") == sha256
    shared.receive("one", sha256, arrived)
    assert arrived.read_bytes() == b"film"
    shared.discard("one")
    with pytest.raises(SharedStoreError, match="gone or damaged"):
        shared.receive("one", sha256, arrived)
    shared.receive("two", sha256, arrived)
    shared.discard("never used")


def test_pruning_keeps_the_latest_whole(tmp_path: Path, here: Store, there: Store) -> None:
    shared = SharedStore(str(tmp_path / "shared"))
    make_entry(here, own=b"o" * 50, common=b"c" * 50)
    make_entry(here, "cd" * 32, own=b"p" * 50, common=b"c" * 50)
    shared.push(here, KEY)
    os.utime(next((tmp_path / "shared/entries").rglob("*.json")), (1, 1))
    shared.push(here, "cd" * 32)
    random = "0a" * 16
    old = tmp_path / f"shared/parts/some-1-{random}"
    old.write_bytes(b"left")
    os.utime(old, (1, 1))
    (tmp_path / f"shared/parts/some-2-{random}").write_bytes(b"under way")
    assert [entry.key for entry in shared.entries()] == ["cd" * 32, KEY]
    assert [entry.key for entry in shared.prune(150)] == [KEY]
    assert not shared.has(KEY)
    assert shared.pull(there, "cd" * 32) == 100
    assert [path.name for path in (tmp_path / "shared/parts").iterdir()] == [f"some-2-{random}"]
    assert LEFTOVER_S > 3600
    shared.prune(0)
    assert not [path for path in (tmp_path / "shared/objects").rglob("*") if path.is_file()]


def test_a_plan_made_elsewhere_is_not_made_again(
    runtime: Runtime,
    source: Path,  # noqa: F811
    shared: SharedStore,
    there: Store,
) -> None:
    Load.runs = 0
    plan, ref = make_plan(runtime, source)
    Run(plan, runtime).get(ref)
    made_there = dataclasses.replace(runtime, cache_dir=there.root)
    assert shared.push_plan(plan, Store(runtime.cache_dir)) > 0
    assert shared.push_plan(plan, Store(runtime.cache_dir)) == 0
    elsewhere, ref = make_plan(made_there, source)
    assert shared.pull_plan(elsewhere, there) > 0
    value = Run(elsewhere, made_there).get(ref)
    assert Load.runs == 1
    assert value.values_T.tolist() == [2, 4, 6]


def test_a_store_that_cannot_be_used_says_why(tmp_path: Path, here: Store) -> None:
    (tmp_path / "file").write_text("no folder")
    make_entry(here, one=b"1")
    with pytest.raises(SharedStoreError, match=r"file.*cannot be read \(Not a directory\)"):
        SharedStore(str(tmp_path / "file/below")).push(here, KEY)
    with pytest.raises(SharedStoreError, match=r"nonsense://bucket.*cannot be read"):
        SharedStore("nonsense://bucket").has(KEY)
    with pytest.raises(ToolMissingError, match="--shared"):
        SharedStore("gdrive://folder").has(KEY)


def test_a_folder_is_known_wherever_one_works(
    tmp_path: Path, here: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    make_entry(here, one=b"1")
    monkeypatch.chdir(tmp_path)
    shared = SharedStore("shared")
    shared.push(here, KEY)
    monkeypatch.chdir("/")
    assert shared.has(KEY)
    assert SharedStore(shared.url).has(KEY)
    assert SharedStore("memory://some/where").url == "memory://some/where"


def test_a_document_says_what_the_local_one_says(shared: SharedStore, here: Store, there: Store) -> None:
    make_entry(here, one=b"1")
    shared.push(here, KEY)
    shared.pull(there, KEY)
    documents = [json.loads((store.entry_dir(KEY) / ENTRY_NAME).read_text()) for store in (here, there)]
    assert documents[0] == documents[1]
    assert shared.entries()[0].stage == "toy"


def test_pruning_a_folder_of_something_else_removes_nothing(tmp_path: Path) -> None:
    names = (
        "objects/ab/cdef",
        "objects/pack/pack-1.idx",
        "parts/door.step",
        "parcels/anna/list.txt",
    )
    for name in names:
        path = tmp_path / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text("mine")
        os.utime(path, (1, 1))
    assert SharedStore(str(tmp_path)).prune(0) == []
    assert [name for name in names if (tmp_path / name).exists()] == list(names)
