"""The loop that teaches painters: what is killed goes on, what learns gets better, adversary or not."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from torch import nn

from dubber.engine.progress import SilentProgress
from dubber.models.discriminator import Discriminator
from dubber.models.learning import (
    PAPER_LOSSES,
    Painted,
    PaintingLoop,
    PaintingLosses,
    PaintingSchedule,
)

SCHEDULE = PaintingSchedule(iterations=230, learning_rate=2e-2, ema_decay=0.9)


def paint(net: nn.Module, rng: np.random.Generator) -> Painted:
    """The task: swap red and blue."""
    shown = torch.from_numpy(rng.random((4, 3, 16, 16), np.float32))
    made, truth = net(shown), shown.flip(1)
    return Painted(made, truth, torch.ones(4, 1, 16, 16), None, shown[:, :1], made, truth)


def taught(
    folder: Path | None, losses: PaintingLosses, schedule: PaintingSchedule = SCHEDULE, stop: int = 10**6
) -> PaintingLoop:
    torch.manual_seed(0)
    critic = Discriminator(4, 1, 4, 3)
    net = nn.Conv2d(3, 3, 1)
    loop = PaintingLoop(folder, net, paint, losses, schedule, torch.device("cpu"), critic=critic)
    loop.run(SilentProgress(), "learn", until=lambda: loop.iteration >= stop)
    return loop


def error(loop: PaintingLoop) -> float:
    painted = paint(loop.average, np.random.default_rng(99))
    return float((painted.picture_BCHW - painted.truth_BCHW).abs().mean())


@pytest.mark.parametrize("losses", [PaintingLosses(), replace(PAPER_LOSSES, gradient_penalty=1.0)])
def test_it_learns(losses: PaintingLosses) -> None:
    assert error(taught(None, losses)) < 0.05


@pytest.mark.parametrize("adversarial", [0.0, 0.1])
@pytest.mark.slow
def test_a_killed_run_goes_on_to_the_same_weights(tmp_path: Path, adversarial: float) -> None:
    losses = PaintingLosses(adversarial=adversarial)
    whole = taught(tmp_path / "whole", losses)
    taught(tmp_path / "killed", losses, stop=150)  # the checkpoint is that of 100
    resumed = taught(tmp_path / "killed", losses)
    for net in ("painter", "average"):
        pairs = zip(getattr(whole, net).parameters(), getattr(resumed, net).parameters(), strict=True)
        assert all(torch.equal(one, other) for one, other in pairs)
    header = (tmp_path / "whole" / "curve.csv").read_text().splitlines()[0]
    assert ("critic" in header) is (adversarial > 0)


def test_each_loss_that_counts_is_in_the_curve(tmp_path: Path) -> None:
    taught(tmp_path, PAPER_LOSSES, replace(SCHEDULE, iterations=2))
    header, values = (tmp_path / "curve.csv").read_text().splitlines()
    names = ["pixel", "total_variation", "adversarial", "feature_matching", "critic"]
    assert header.split(",")[2:] == names
    assert all(float(value) > 0 for value in values.split(",")[2:])
