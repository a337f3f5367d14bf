"""Which GPU a worker takes; no machine with several is needed."""

from __future__ import annotations

import pytest

from dubber.batch import devices
from dubber.batch.devices import device_of_worker, shared_out


@pytest.mark.parametrize(
    ("wish", "num_cuda", "taken"),
    [
        ("cuda", 2, ["cuda:0", "cuda:1", "cuda:0"]),
        ("auto", 3, ["cuda:0", "cuda:1", "cuda:2"]),
        ("cuda:1", 2, ["cuda:1"] * 3),
        ("cpu", 2, ["cpu"] * 3),
        ("auto", 1, ["auto"] * 3),
        ("cuda", 1, ["cuda"] * 3),
        ("auto", 0, ["auto"] * 3),
    ],
)
def test_workers_take_turns(wish: str, num_cuda: int, taken: list[str]) -> None:
    assert [shared_out(wish, number, num_cuda) for number in range(3)] == taken


def test_gpus_are_counted_only_where_that_matters(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(devices, "count_cuda", lambda: pytest.fail("Counting loads torch."))
    assert device_of_worker("cpu", 3) == "cpu"
    assert device_of_worker("cuda:1", 3) == "cuda:1"
    assert device_of_worker("auto", 0) == "auto"
