"""The device is chosen by wish, and torch is loaded only to find out what a wish leaves open."""

from __future__ import annotations

import os
import subprocess
import sys
import threading

import pytest
import torch
from threadpoolctl import threadpool_info

from dubber.engine.device import Device, choose_device, library_threads, torch_threads
from dubber.errors import DeviceError


def test_best_device_is_what_torch_finds() -> None:
    device = choose_device("auto")
    expected = "cuda" if torch.cuda.is_available() else "mps" if torch.backends.mps.is_available() else "cpu"
    assert device.kind == device.torch_device().type == expected
    assert device.reason


def test_wishes_are_granted_or_refused() -> None:
    assert choose_device("cpu").torch_device() == torch.device("cpu")
    for wish in ("gpu", "cuda:x", "cpu:1", ""):
        with pytest.raises(DeviceError, match="is no device"):
            choose_device(wish)
    if not torch.cuda.is_available():
        with pytest.raises(DeviceError, match="not available here"):
            choose_device("cuda:0")


def test_nothing_is_loaded_until_the_device_is_asked_for() -> None:
    code = (
        "import sys; from dubber.engine.device import choose_device; device = choose_device('auto'); "
        "assert 'torch' not in sys.modules; device.kind; assert 'torch' in sys.modules"
    )
    subprocess.run([sys.executable, "-c", code], check=True)


def test_threads_are_limited_in_the_thread_that_asks() -> None:
    before, found = torch.get_num_threads(), []

    def work() -> None:
        with torch_threads(1):
            found.append(torch.get_num_threads())
        with torch_threads(3):
            found.append(torch.get_num_threads())
            with torch_threads(0):
                found.append(torch.get_num_threads())

    worker = threading.Thread(target=work)
    worker.start()
    worker.join()
    assert found == [1, 3, 3]
    assert torch.get_num_threads() == before


def test_a_device_may_be_given() -> None:
    assert Device("cuda", 1, reason="test").torch_device() == torch.device("cuda", 1)


def test_matrix_products_are_limited_meanwhile(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("OPENBLAS_NUM_THREADS", "7")
    monkeypatch.delenv("VECLIB_MAXIMUM_THREADS", raising=False)

    def counts() -> set[int]:
        return {pool["num_threads"] for pool in threadpool_info() if pool["user_api"] == "blas"}

    before = counts()
    with library_threads(1):
        assert counts() == {1}
        assert os.environ["OPENBLAS_NUM_THREADS"] == os.environ["VECLIB_MAXIMUM_THREADS"] == "1"
    assert counts() == before
    assert os.environ["OPENBLAS_NUM_THREADS"] == "7"
    assert "VECLIB_MAXIMUM_THREADS" not in os.environ


def test_what_was_is_restored_when_the_last_one_ends() -> None:
    before = sys.getswitchinterval(), os.environ.get("OPENBLAS_NUM_THREADS")
    first, second = library_threads(1), library_threads(1)
    first.__enter__()
    second.__enter__()
    first.__exit__(None, None, None)
    assert sys.getswitchinterval() != before[0]
    second.__exit__(None, None, None)
    assert (sys.getswitchinterval(), os.environ.get("OPENBLAS_NUM_THREADS")) == before


@pytest.mark.slow
def test_torch_keeps_its_own_number() -> None:
    code = (
        "from dubber.engine.device import library_threads\n"
        "with library_threads(1):\n"
        "    import torch\n"
        "print(torch.get_num_threads())"
    )
    alone, limited = (
        subprocess.run([sys.executable, "-c", each], capture_output=True, text=True, check=True).stdout
        for each in ("import torch\nprint(torch.get_num_threads())", code)
    )
    assert limited == alone
