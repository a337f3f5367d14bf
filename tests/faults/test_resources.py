"""Disks that are full, protected or oddly named, bytes that rot, and memory that runs out."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import av.error
import numpy as np
import pytest
import torch

from dubber.engine.execute import Run
from dubber.engine.memory import is_out_of_memory, with_smaller_batches
from dubber.engine.stage import Runtime, stage_faults
from dubber.engine.store import ENTRY_NAME, Store
from dubber.errors import DeviceError, MediaError, StageError
from dubber.models.prepared_painter import PreparedPainter
from tests.engine.test_engine import Double, Load, Numbers, make_plan
from tests.faults.jobs import Job, dubber_command, faults_of_cache, finished_bytes, make_jobs
from tests.models.test_prepared_painter import painter, shown

NO_ESTIMATE = "import dubber.dubbing; dubber.dubbing.check_space = lambda needs: None"


# Bytes that rot ------------------------------------------------------------------------------------------


def test_no_byte_of_an_entry_can_change_unseen(runtime: Runtime, tmp_path: Path) -> None:
    source = tmp_path / "source"
    source.write_bytes(b"\x01\x02\x03")
    plan, _ = make_plan(runtime, source)
    loaded = next(node for node in plan.nodes if node.name == "load")
    Run(plan, runtime).get(make_plan(runtime, source)[1])
    store = Store(runtime.cache_dir)
    folder = store.entry_dir(loaded.key)
    for path in sorted(folder.iterdir()):
        whole = path.read_bytes()
        for position in range(len(whole)):
            path.write_bytes(
                whole[:position] + bytes([whole[position] ^ (1 << position % 8)]) + whole[position + 1 :]
            )
            found = store.load(loaded.key, Numbers)
            if path.name == ENTRY_NAME and found is not None:  # what people are told may rot
                np.testing.assert_array_equal(found.values_T, [1, 2, 3])
            else:
                assert found is None, f"byte {position} of {path.name}"
        path.write_bytes(whole)
    assert store.load(loaded.key, Numbers) is not None


def test_a_damaged_entry_stays_until_it_is_replaced(runtime: Runtime, tmp_path: Path) -> None:
    """Whoever removed it without its lock might remove what another run has just made."""
    source = tmp_path / "source"
    source.write_bytes(b"\x01")
    plan, ref = make_plan(runtime, source)
    Run(plan, runtime).get(ref)
    store = Store(runtime.cache_dir)
    arrays = store.entry_dir(ref.key) / "arrays.safetensors"
    arrays.write_bytes(arrays.read_bytes()[:-1])
    assert store.load(ref.key, Numbers) is None
    assert arrays.exists()
    Load.runs = Double.runs = 0
    plan, ref = make_plan(runtime, source)
    assert Run(plan, runtime).get(ref).values_T.tolist() == [2]
    assert (Load.runs, Double.runs) == (0, 1)
    assert store.load(ref.key, Numbers) is not None


# Memory --------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "error",
    [
        MemoryError(),
        RuntimeError("CUDA out of memory. Tried to allocate 2.00 GiB"),
        RuntimeError("[enforce fail at alloc_cpu.cpp:114] DefaultCPUAllocator: can't allocate memory"),
        RuntimeError("can't start new thread"),
        OSError(12, "Cannot allocate memory"),
        av.error.MemoryError(12, "Cannot allocate memory"),
    ],
    ids=lambda error: f"{type(error).__name__} {error}"[:40],
)
def test_too_little_memory_is_no_bug(error: Exception) -> None:
    with pytest.raises(DeviceError, match=r"too small \(stage 'render'\)") as told, stage_faults("render"):
        raise error
    assert told.value.exit_code == 7
    with pytest.raises(DeviceError), stage_faults("render"):
        raise MediaError("The file cannot be read.") from error


def test_other_failures_are_not_taken_for_it() -> None:
    with pytest.raises(StageError), stage_faults("render"):
        raise RuntimeError("shapes do not fit")
    assert not is_out_of_memory(None)


def test_batches_are_halved_until_they_fit() -> None:
    asked = []

    def work(batch_size: int) -> str:
        asked.append(batch_size)
        if batch_size > 2:
            raise RuntimeError("CUDA out of memory.")
        return "done"

    assert with_smaller_batches(work, 8) == ("done", 2)
    assert asked == [8, 4, 2]
    with pytest.raises(MemoryError):
        with_smaller_batches(lambda _: (_ for _ in ()).throw(MemoryError()), 4)
    with pytest.raises(RuntimeError, match="a bug"):
        with_smaller_batches(lambda _: (_ for _ in ()).throw(RuntimeError("a bug")), 4)


def test_a_painter_short_of_memory_paints_fewer_at_a_time(monkeypatch: pytest.MonkeyPatch) -> None:
    inputs = shown(6, (64, 96))
    ready = PreparedPainter(painter(), torch.device("cpu"))
    wanted = ready.paint(inputs)
    asked = []

    def painted(inputs_BHWC: np.ndarray, size: int) -> np.ndarray:
        asked.append(size)
        if size > 1:
            raise RuntimeError("CUDA out of memory. Tried to allocate 2.00 GiB")
        return wanted

    monkeypatch.setattr(ready, "_painted", painted)
    monkeypatch.setattr(ready, "_calls_size", 4)
    np.testing.assert_array_equal(ready.paint(inputs), wanted)
    np.testing.assert_array_equal(ready.paint(inputs), wanted)
    assert asked == [4, 2, 1, 1], "it does not try again what failed"


@pytest.mark.slow
@pytest.mark.parametrize("megabytes", [1200, 1600, 2000, 3000])
def test_a_process_that_gets_no_more_memory_says_so_or_works(tmp_path: Path, megabytes: int) -> None:
    job = make_jobs(tmp_path / "inputs", ("hybrid",), num_videos=1)[0]
    limit = f"import resource; resource.setrlimit(resource.RLIMIT_AS, ({megabytes * 2**20},) * 2)"
    output, cache = tmp_path / "dubbed.mp4", tmp_path / "cache"
    done = subprocess.run(
        dubber_command(*job.arguments(output, cache), before=limit),
        capture_output=True,
        text=True,
        timeout=300,
        check=False,
    )
    assert done.returncode in (0, 7) or done.returncode < 0, done.stderr
    assert output.exists() == (done.returncode == 0)
    subprocess.run(dubber_command(*job.arguments(output, cache), "--overwrite"), check=True)
    assert faults_of_cache(cache) == []


# Disks ---------------------------------------------------------------------------------------------------


@pytest.fixture
def small_disk(tmp_path: Path) -> Iterator[Path]:
    """A file system of its own in memory."""
    folder = tmp_path / "disk"
    folder.mkdir()
    if not sys.platform.startswith("linux") or os.geteuid():
        pytest.skip("only root may mount a small disk")
    if subprocess.run(["mount", "-t", "tmpfs", "-o", "size=64k", "tmpfs", folder], check=False).returncode:
        pytest.skip("nothing may be mounted here")
    yield folder
    subprocess.run(["umount", "-l", folder], check=True)


def remount(folder: Path, options: str) -> None:
    subprocess.run(["mount", "-o", f"remount,{options}", folder], check=True)


@pytest.fixture(scope="module")
def job(tmp_path_factory: pytest.TempPathFactory) -> Job:
    return make_jobs(tmp_path_factory.mktemp("inputs"), ("exemplar",), num_videos=1)[0]


@pytest.fixture(scope="module")
def wanted(job: Job, tmp_path_factory: pytest.TempPathFactory) -> bytes:
    return finished_bytes(job, tmp_path_factory.mktemp("wanted"))


def run(job: Job, output: Path, cache: Path, before: str = "") -> subprocess.CompletedProcess[str]:
    command = dubber_command(*job.arguments(output, cache), before=before)
    return subprocess.run(command, capture_output=True, text=True, timeout=300, check=False)


@pytest.mark.slow
def test_a_disk_that_fills_up_at_any_moment(
    job: Job, wanted: bytes, small_disk: Path, tmp_path: Path
) -> None:
    output, cache = tmp_path / "dubbed.mp4", small_disk / "cache"
    codes = []
    for kilobytes in (16, 40, 80, 160, 320, 640, 900, 1200, 1600, 2400, 65536):
        remount(small_disk, f"size={kilobytes}k")
        done = run(job, output, cache, NO_ESTIMATE)
        codes.append(done.returncode)
        if done.returncode:
            assert done.returncode == 2, done.stderr
            assert "disk is full" in done.stderr or "cannot be written (No space" in done.stderr, done.stderr
            assert not output.exists()
            assert not list(cache.glob("tmp/*"))
        else:
            break
    assert codes[-1] == 0
    assert codes.count(2) >= 4
    assert output.read_bytes() == wanted
    assert faults_of_cache(cache) == []


@pytest.mark.slow
def test_an_output_disk_that_is_full(job: Job, wanted: bytes, small_disk: Path, tmp_path: Path) -> None:
    remount(small_disk, "size=16k")
    output = small_disk / "dubbed.mp4"
    done = run(job, output, tmp_path / "cache", NO_ESTIMATE)
    assert done.returncode == 2, done.stderr
    assert "The output cannot be written (No space left" in done.stderr
    assert list(small_disk.iterdir()) == []
    remount(small_disk, "size=16m")
    assert run(job, output, tmp_path / "cache", NO_ESTIMATE).returncode == 0
    assert output.read_bytes() == wanted


@pytest.mark.slow
def test_a_cache_that_may_only_be_read(job: Job, wanted: bytes, small_disk: Path, tmp_path: Path) -> None:
    output, cache = tmp_path / "dubbed.mp4", small_disk / "cache"
    remount(small_disk, "size=64m,ro")
    done = run(job, output, cache)
    assert done.returncode == 2, done.stderr
    assert "--cache" in done.stderr
    remount(small_disk, "rw")
    assert run(job, output, cache).returncode == 0
    output.unlink()
    remount(small_disk, "ro")
    done = run(job, output, cache)  # all of it is there: nothing needs to be written
    assert done.returncode == 0, done.stderr
    assert output.read_bytes() == wanted


@pytest.mark.slow
def test_folders_of_any_name(job: Job, wanted: bytes, tmp_path: Path) -> None:
    folder = tmp_path / "a 'b' \"c\" %20 #1 ü 😀 ;$(touch x) [z] {0} \\ -n"
    output, cache = folder / "out put:1.mp4", folder / "cache?*"
    done = run(job, output, cache)
    assert done.returncode == 0, done.stderr
    assert output.read_bytes() == wanted
    assert faults_of_cache(cache) == []
