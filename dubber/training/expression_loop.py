"""The training loop of the expression network: settings, checkpoints, the curve.

Every iteration draws its chance from its own seed, so that a run resumed from its checkpoint is the run.
"""

from __future__ import annotations

import csv
import logging
import time
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from safetensors.torch import load_file, save_file
from torch import nn

from dubber.engine.progress import Progress
from dubber.models.expression import ExpressionNet
from dubber.ops import mfcc
from dubber.training.speech_data import Lessons

logger = logging.getLogger(__name__)

TRAIN_STAGE = "train expression"
_SAVE_EVERY = 100


@dataclass(frozen=True)
class ExpressionTraining:
    """How to train; the defaults made the weights that ship.

    Attributes:
        hidden: Units per layer.
        layers: Layers.
        members: Networks that are averaged.
        iterations: Steps of each member.
        delay_iterations: Steps of the network of each delay round.
        delay_rounds: Times the clips' delays are estimated.
        batch_size: Runs of features per step.
        length: Feature steps per run.
        learning_rate: Peak of the one-cycle schedule.
        weight_decay: Of AdamW.
        dropout: Between layers and before the last one.
        jitter: Random gain and shift of the features.
        num_variants: Copies of each clip with other speed, microphone and noise.
        seed: Of everything.
    """

    hidden: int = 60
    layers: int = 3
    members: int = 4
    iterations: int = 400
    delay_iterations: int = 250
    delay_rounds: int = 2
    batch_size: int = 24
    length: int = 240
    learning_rate: float = 2e-3
    weight_decay: float = 1e-4
    dropout: float = 0.4
    jitter: float = 0.2
    num_variants: int = 6
    seed: int = 0


def make_net(settings: ExpressionTraining, like: ExpressionNet, members: int) -> ExpressionNet:
    """A fresh network with the buffers of another."""
    net = ExpressionNet(
        mfcc.NUM_FEATURES,
        int(like.mode_std_Z.shape[0]),
        like.num_coefficients,
        hidden=settings.hidden,
        layers=settings.layers,
        members=members,
        num_past=mfcc.NUM_PAST,
        num_future=mfcc.NUM_FUTURE,
        dropout=settings.dropout,
    )
    net.load_state_dict({**net.state_dict(), **dict(like.named_buffers())})
    return net


class Trainer:
    """Trains networks one after the other; each goes on from where it was last saved.

    Args:
        settings: See `ExpressionTraining`.
        folder: For checkpoints and the curve.
        device: Where to train.
        progress: Is told of each iteration.
    """

    def __init__(
        self, settings: ExpressionTraining, folder: Path, device: torch.device, progress: Progress
    ) -> None:
        self.settings, self.folder, self.device, self.progress = settings, folder, device, progress
        folder.mkdir(parents=True, exist_ok=True)

    def train(
        self, name: str, like: ExpressionNet, lessons: Lessons, iterations: int, seed: int
    ) -> ExpressionNet:
        """Train a network, or read it where it is finished."""
        settings = self.settings
        torch.manual_seed(seed)
        net = make_net(settings, like, 1).to(self.device)
        optimiser = torch.optim.AdamW(
            net.parameters(), lr=settings.learning_rate, weight_decay=settings.weight_decay, betas=(0.9, 0.98)
        )
        done = self._resume(name, net, optimiser)
        started, total_loss = time.perf_counter(), 0.0
        net.train()
        for iteration in range(done, iterations):
            for group in optimiser.param_groups:
                group["lr"] = settings.learning_rate * one_cycle((iteration + 1) / iterations)
            total_loss += self._step(net, optimiser, lessons, seed, iteration)
            self.progress.advance(TRAIN_STAGE)
            if (iteration + 1) % _SAVE_EVERY == 0 or iteration + 1 == iterations:
                count = (iteration % _SAVE_EVERY) + 1
                self._log(name, iteration + 1, total_loss / count, time.perf_counter() - started)
                self._save(name, net, optimiser, iteration + 1)
                total_loss = 0.0
        return net.eval()

    def _step(
        self,
        net: ExpressionNet,
        optimiser: torch.optim.Optimizer,
        lessons: Lessons,
        seed: int,
        iteration: int,
    ) -> float:
        torch.manual_seed(seed * 1_000_003 + iteration)
        rng = np.random.default_rng([seed, iteration])
        batch = lessons.draw(self.settings.batch_size, rng, self.settings.jitter)
        features, wanted, weight = (torch.from_numpy(array).to(self.device) for array in batch)
        error = (((net.steps(features) - wanted) ** 2).sum(dim=-1) * weight).sum() / weight.sum().clamp(min=1)
        loss = error / (net.mode_std_Z**2).sum()
        optimiser.zero_grad()
        loss.backward()  # type: ignore[no-untyped-call]
        nn.utils.clip_grad_norm_(net.parameters(), 1.0)
        optimiser.step()
        return float(loss.detach())

    def _log(self, name: str, iteration: int, loss: float, seconds: float) -> None:
        path = self.folder / "curve.csv"
        is_new = not path.exists()
        with path.open("a", newline="", encoding="utf-8") as file:
            writer = csv.writer(file)
            if is_new:
                writer.writerow(["network", "iteration", "loss", "seconds"])
            writer.writerow([name, iteration, f"{loss:.5f}", f"{seconds:.1f}"])
        logger.info("%s: iteration %d, loss %.4f", name, iteration, loss)

    def _save(self, name: str, net: ExpressionNet, optimiser: torch.optim.Optimizer, iteration: int) -> None:
        tensors = {f"net.{key}": value.detach().cpu().contiguous() for key, value in net.state_dict().items()}
        for index, state in optimiser.state_dict()["state"].items():
            tensors.update({f"opt.{index}.{key}": value.cpu().contiguous() for key, value in state.items()})
        tensors["iteration"] = torch.tensor(iteration)
        part = self.folder / f"{name}.part"
        save_file(tensors, part)
        part.replace(self.folder / f"{name}.safetensors")

    def _resume(self, name: str, net: ExpressionNet, optimiser: torch.optim.Optimizer) -> int:
        path = self.folder / f"{name}.safetensors"
        if not path.exists():
            return 0
        tensors = load_file(path, device=str(self.device))
        net.load_state_dict({key[4:]: value for key, value in tensors.items() if key.startswith("net.")})
        state = optimiser.state_dict()
        for key, value in tensors.items():
            if key.startswith("opt."):
                _, index, field = key.split(".", 2)
                state["state"].setdefault(int(index), {})[field] = value
        optimiser.load_state_dict(state)
        return int(tensors["iteration"])


def one_cycle(progress: float) -> float:
    """Share of the peak learning rate: up over the first tenth, then down along a cosine."""
    if progress < 0.1:
        return 0.04 + 0.96 * progress / 0.1
    return float(0.5 + 0.5 * np.cos(np.pi * (progress - 0.1) / 0.9)) + 1e-4
