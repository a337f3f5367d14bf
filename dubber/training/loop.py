"""A training loop that resumes: checkpoints, the learning curve, one cycle of the learning rate.

Every iteration draws its chance from its own seed, so that a run resumed from its checkpoint is the run.
"""

from __future__ import annotations

import csv
import logging
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from safetensors.torch import load_file, save_file
from torch import Tensor, nn

from dubber.engine.progress import Progress
from dubber.models.learning import one_cycle

logger = logging.getLogger(__name__)

_SAVE_EVERY = 100

Loss = Callable[[np.random.Generator], Tensor]
"""The loss of one iteration; all its chance comes from the generator and from torch's own seed."""


@dataclass(frozen=True)
class Optimisation:
    """How to descend.

    Attributes:
        iterations: Steps.
        learning_rate: Peak of the one-cycle schedule.
        weight_decay: Of AdamW.
    """

    iterations: int
    learning_rate: float = 2e-3
    weight_decay: float = 1e-3


class Loop:
    """Trains modules one after the other; each goes on from where it was last saved.

    Args:
        folder: For checkpoints and curve.csv.
        device: Where to train.
        progress: Is told of each iteration.
        stage: Under this name; the caller has started it.
    """

    def __init__(self, folder: Path, device: torch.device, progress: Progress, stage: str) -> None:
        self.folder, self.device, self.progress, self.stage = folder, device, progress, stage
        folder.mkdir(parents=True, exist_ok=True)

    def train(self, name: str, module: nn.Module, loss: Loss, how: Optimisation, seed: int) -> None:
        """Train a module in place, or read it where it is finished.

        Args:
            name: Of the checkpoint and in the curve.
            module: Moved to the device; left in evaluation mode.
            loss: Its loss.
            how: Steps and learning rate.
            seed: Of everything.
        """
        module.to(self.device)
        optimiser = torch.optim.AdamW(
            [parameter for parameter in module.parameters() if parameter.requires_grad],
            lr=how.learning_rate,
            weight_decay=how.weight_decay,
            betas=(0.9, 0.98),
        )
        done = self._resume(name, module, optimiser)
        started, total_loss = time.perf_counter(), 0.0
        module.train()
        for iteration in range(done, how.iterations):
            for group in optimiser.param_groups:
                group["lr"] = how.learning_rate * one_cycle((iteration + 1) / how.iterations)
            torch.manual_seed(seed * 1_000_003 + iteration)
            value = loss(np.random.default_rng([seed, iteration]))
            optimiser.zero_grad()
            value.backward()  # type: ignore[no-untyped-call]
            nn.utils.clip_grad_norm_(module.parameters(), 1.0)
            optimiser.step()
            total_loss += float(value.detach())
            self.progress.advance(self.stage)
            if (iteration + 1) % _SAVE_EVERY == 0 or iteration + 1 == how.iterations:
                count = (iteration % _SAVE_EVERY) + 1
                self._log(name, iteration + 1, total_loss / count, time.perf_counter() - started)
                self._save(name, module, optimiser, iteration + 1)
                total_loss = 0.0
        module.eval()

    def _log(self, name: str, iteration: int, loss: float, seconds: float) -> None:
        path = self.folder / "curve.csv"
        is_new = not path.exists()
        with path.open("a", newline="", encoding="utf-8") as file:
            writer = csv.writer(file)
            if is_new:
                writer.writerow(["network", "iteration", "loss", "seconds"])
            writer.writerow([name, iteration, f"{loss:.5f}", f"{seconds:.1f}"])
        logger.info("%s: iteration %d, loss %.4f", name, iteration, loss)

    def _save(self, name: str, module: nn.Module, optimiser: torch.optim.Optimizer, iteration: int) -> None:
        tensors = {
            f"net.{key}": value.detach().cpu().contiguous() for key, value in module.state_dict().items()
        }
        for index, state in optimiser.state_dict()["state"].items():
            tensors.update({f"opt.{index}.{key}": value.cpu().contiguous() for key, value in state.items()})
        tensors["iteration"] = torch.tensor(iteration)
        part = self.folder / f"{name}.part"
        save_file(tensors, part)
        part.replace(self.folder / f"{name}.safetensors")

    def _resume(self, name: str, module: nn.Module, optimiser: torch.optim.Optimizer) -> int:
        path = self.folder / f"{name}.safetensors"
        if not path.exists():
            return 0
        tensors = load_file(path, device=str(self.device))
        module.load_state_dict({key[4:]: value for key, value in tensors.items() if key.startswith("net.")})
        state = optimiser.state_dict()
        for key, value in tensors.items():
            if key.startswith("opt."):
                _, index, field = key.split(".", 2)
                state["state"].setdefault(int(index), {})[field] = value
        optimiser.load_state_dict(state)
        return int(tensors["iteration"])
