"""A run that was killed goes on to the very same weights; the learning rate rises, then falls."""

from __future__ import annotations

import csv
from pathlib import Path

import numpy as np
import pytest
import torch
from torch import nn
from torch.nn import functional

from dubber.engine.progress import SilentProgress
from dubber.models.learning import one_cycle
from dubber.training.loop import Loop, Optimisation

HOW = Optimisation(230, 1e-2)


class _Counted(SilentProgress):
    def __init__(self) -> None:
        self.count = 0

    def advance(self, stage: str, count: int = 1) -> None:
        self.count += count


class _KilledError(Exception):
    """Stands for the end of the process."""


def made() -> nn.Module:
    torch.manual_seed(0)
    return nn.Sequential(nn.Linear(3, 8), nn.BatchNorm1d(8), nn.Dropout(0.2), nn.GELU(), nn.Linear(8, 1))


def trained(folder: Path, *, killed_at: int | None = None, how: Optimisation = HOW) -> tuple[nn.Module, int]:
    """A small network that learns a sum; the iterations it took."""
    module, progress = made(), _Counted()

    def loss(rng: np.random.Generator) -> torch.Tensor:
        if progress.count == killed_at:
            raise _KilledError
        features = torch.from_numpy(rng.standard_normal((16, 3)).astype(np.float32))
        return functional.mse_loss(module(features)[:, 0], features.sum(dim=-1))

    Loop(folder, torch.device("cpu"), progress, "test").train("sum", module, loss, how, seed=3)
    return module, progress.count


def same(a: nn.Module, b: nn.Module) -> bool:
    return all(torch.equal(value, b.state_dict()[name]) for name, value in a.state_dict().items())


def losses(folder: Path) -> list[list[str]]:
    with (folder / "curve.csv").open(encoding="utf-8") as file:
        return [row[:3] for row in csv.reader(file)]


def test_it_learns_and_says_how(tmp_path: Path) -> None:
    module, count = trained(tmp_path)
    assert count == 230
    assert not module.training
    rows = losses(tmp_path)
    assert rows[0] == ["network", "iteration", "loss"]
    assert [row[:2] for row in rows[1:]] == [["sum", "100"], ["sum", "200"], ["sum", "230"]]
    assert float(rows[-1][2]) < 0.5 * float(rows[1][2])
    features = torch.randn(200, 3)
    with torch.inference_mode():
        assert np.corrcoef(module(features)[:, 0], features.sum(dim=-1))[0, 1] > 0.95


@pytest.mark.parametrize("killed_at", [130, 229])
def test_a_killed_run_goes_on_to_the_same_weights(tmp_path: Path, killed_at: int) -> None:
    whole, _ = trained(tmp_path / "whole")
    with pytest.raises(_KilledError):
        trained(tmp_path / "killed", killed_at=killed_at)
    again, count = trained(tmp_path / "killed")
    assert count == 230 - killed_at // 100 * 100
    assert same(whole, again)
    assert losses(tmp_path / "killed") == losses(tmp_path / "whole")
    assert not list((tmp_path / "killed").glob("*.part"))


def test_a_finished_run_is_read(tmp_path: Path) -> None:
    whole, _ = trained(tmp_path)
    again, count = trained(tmp_path)
    assert count == 0
    assert not again.training
    assert same(whole, again)


def test_frozen_parameters_stay(tmp_path: Path) -> None:
    module = made()
    before = [value.clone() for value in module[0].parameters()]
    module[0].requires_grad_(False)

    def loss(rng: np.random.Generator) -> torch.Tensor:
        return module(torch.from_numpy(rng.standard_normal((16, 3)).astype(np.float32))).square().mean()

    for iterations in (50, 100):  # the second goes on from the first
        loop = Loop(tmp_path, torch.device("cpu"), SilentProgress(), "test")
        loop.train("frozen", module, loss, Optimisation(iterations), seed=0)
    assert all(torch.equal(a, b) for a, b in zip(before, module[0].parameters(), strict=True))


def test_the_learning_rate_rises_then_falls() -> None:
    rates = np.array([one_cycle(x) for x in np.linspace(0, 1, 50)])
    peak = int(rates.argmax())
    assert 0.05 <= peak / 49 <= 0.15
    assert (np.diff(rates[: peak + 1]) > 0).all()
    assert (np.diff(rates[peak:]) < 0).all()
    assert rates.max() == pytest.approx(1, abs=0.01)
    assert 0 < rates[-1] < 0.01
