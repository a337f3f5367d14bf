"""`dubber cache` on a cache that machines share."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from dubber.engine.shared_store import SharedStore
from dubber.engine.store import Store
from tests.cli.command import dubber

pytest.importorskip("fsspec")


def test_a_shared_cache_is_listed_and_pruned(tmp_path: Path) -> None:
    store, url = Store(tmp_path / "own"), str(tmp_path / "shared")
    for name in ("first", "second"):
        with store.writing(name, {"stage": f"the {name}"}) as writer:
            (writer.folder / "file").write_bytes(name.encode())
        SharedStore(url).push(store, name)
    listed = json.loads(dubber("cache", "ls", "--shared", url, "--json").stdout)
    assert {entry["stage"]: entry["bytes"] for entry in listed["entries"]} == {
        "the first": 5,
        "the second": 6,
    }
    assert listed["bytes"] == 11
    shown = dubber("cache", "ls", "--shared", url).stderr
    assert "the second" in shown
    assert "2 entries" in shown
    removed = json.loads(dubber("cache", "prune", "--shared", url, "--keep", "0", "--json").stdout)
    assert removed == {"removed": 2, "bytes": 11}
    assert SharedStore(url).entries() == []
    assert len(store.entries()) == 2


def test_a_store_that_is_none_is_a_wrong_option(tmp_path: Path) -> None:
    result = dubber("cache", "ls", "--shared", "nonsense://bucket")
    assert result.returncode == 2
    assert "nonsense" in result.stderr
