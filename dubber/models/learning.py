"""Teaching a network to paint mouths: reconstruction, look, and, if wanted, an adversary.

Used by `dubber train renderer` on many people and by `dubber run --adapt` on one. Every iteration draws its
chance from its own seed, so that a run resumed from its checkpoint is the run.

Index letters: B batch, C channels, H height, W width.
"""

from __future__ import annotations

import copy
import csv
import logging
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from safetensors.torch import load_file, save_file
from torch import Tensor, nn

from dubber.engine.device import mixed_precision
from dubber.engine.progress import Progress
from dubber.models.discriminator import Discriminator
from dubber.models.painting_losses import (
    feature_matching,
    gradient_penalty,
    least_squares_critic,
    least_squares_painter,
    perceptual,
    total_variation,
    weighted_l1,
)
from dubber.models.vgg import VggFeatures

logger = logging.getLogger(__name__)

_SAVE_EVERY = 100


@dataclass(frozen=True)
class PaintingLosses:
    """What each loss counts.

    Attributes:
        pixel: Weighted L1 of the picture.
        mixture: Weighted L1 of the mixed exemplars alone, for painters that mix.
        perceptual: Differences of VGG features (`vgg` is needed), or of the discriminator's where there is
            none and it is adversarial.
        adversarial: LSGAN; 0: there is no discriminator.
        gradient_penalty: Of the discriminator.
        total_variation: Of the sum over a picture.
    """

    pixel: float = 1.0
    mixture: float = 0.3
    perceptual: float = 0.0
    adversarial: float = 0.0
    gradient_penalty: float = 1.0
    total_variation: float = 0.0


PAPER_LOSSES = PaintingLosses(
    pixel=10.0, mixture=0.0, perceptual=1.0, adversarial=1.0, gradient_penalty=10.0, total_variation=1e-4
)
"""EBT prints none: MEAD's for the same recipe, WGAN-GP's for the penalty (method.md section 5)."""


@dataclass(frozen=True)
class PaintingSchedule:
    """How long and how fast.

    Attributes:
        iterations: Steps of the painter.
        learning_rate: Peak of the one-cycle schedule.
        weight_decay: Of AdamW.
        betas: Of AdamW.
        ema_decay: The weights that are kept are an exponential moving average.
        seed: Of everything.
    """

    iterations: int
    learning_rate: float = 1e-3
    weight_decay: float = 1e-4
    betas: tuple[float, float] = (0.9, 0.98)
    ema_decay: float = 0.998
    seed: int = 0


@dataclass(frozen=True)
class Painted:
    """A batch as the painter made it, and what it should be.

    Attributes:
        picture_BCHW: Made.
        truth_BCHW: Filmed, the same range.
        weight_B1HW: What each pixel counts.
        mixture_BCHW: The mixed exemplars, if it mixes.
        seen_BCHW: What the discriminator is shown beside the picture; none: the picture alone.
        look_B3HW: Part of the picture that is compared in VGG's features, RGB 0..1.
        look_truth_B3HW: The same of the truth.
    """

    picture_BCHW: Tensor
    truth_BCHW: Tensor
    weight_B1HW: Tensor
    mixture_BCHW: Tensor | None
    seen_BCHW: Tensor | None
    look_B3HW: Tensor
    look_truth_B3HW: Tensor


Paint = Callable[[nn.Module, np.random.Generator], Painted]
"""Draws a batch and lets a painter paint it."""


class PaintingLoop:
    """Trains one painter.

    Args:
        folder: For the checkpoint and curve.csv; None: nothing is written.
        painter: Trained in place; its moving average is `average`.
        paint: Makes batches.
        losses: What counts how much.
        schedule: How long.
        device: Where.
        critic: The discriminator; needed when adversarial.
        vgg: Its features; None: the discriminator's.
    """

    def __init__(
        self,
        folder: Path | None,
        painter: nn.Module,
        paint: Paint,
        losses: PaintingLosses,
        schedule: PaintingSchedule,
        device: torch.device,
        *,
        critic: Discriminator | None = None,
        vgg: VggFeatures | None = None,
    ) -> None:
        self.folder, self._paint = folder, paint
        self._losses, self._schedule, self._device = losses, schedule, device
        self.painter = painter.to(device, memory_format=torch.channels_last)  # type: ignore[call-overload]
        self.average = copy.deepcopy(self.painter).requires_grad_(False)
        self._critic = critic.to(device) if critic is not None and losses.adversarial else None
        self._vgg = vgg.to(device) if vgg is not None and losses.perceptual else None
        self._optimiser = self._adam(self.painter)
        self._critic_optimiser = self._adam(self._critic) if self._critic is not None else None
        self.iteration = 0
        if folder is not None:
            folder.mkdir(parents=True, exist_ok=True)
            self._resume(folder)

    def run(
        self,
        progress: Progress,
        stage: str,
        *,
        until: Callable[[], bool] | None = None,
        on_save: Callable[[int], None] | None = None,
    ) -> None:
        """Go on from where it was last saved to the schedule's end.

        Args:
            progress: Is told of each iteration.
            stage: Under this name; the caller has started it.
            until: Asked before each iteration; true stops.
            on_save: Told whenever a checkpoint was written.
        """
        started, sums, count = time.perf_counter(), dict[str, float](), 0
        self.painter.train()
        progress.advance(stage, self.iteration)
        while self.iteration < self._schedule.iterations and not (until and until()):
            for name, value in self._step().items():
                sums[name] = sums.get(name, 0.0) + value
            count += 1
            progress.advance(stage)
            if self.iteration % _SAVE_EVERY == 0 or self.iteration == self._schedule.iterations:
                means = {name: value / count for name, value in sums.items()}
                if self.folder is not None:
                    self._log(self.folder, means, time.perf_counter() - started)
                    self._save(self.folder)
                sums, count = {}, 0
                if on_save is not None:
                    on_save(self.iteration)
        self.painter.eval()

    def _step(self) -> dict[str, float]:
        schedule = self._schedule
        rate = schedule.learning_rate * one_cycle((self.iteration + 1) / schedule.iterations)
        torch.manual_seed(schedule.seed * 1_000_003 + self.iteration)
        rng = np.random.default_rng([schedule.seed, self.iteration])
        with mixed_precision(self._device):
            painted = self._paint(self.painter, rng)
            parts = self._parts(painted)
        found = {name: float(value.detach()) for name, (_, value) in parts.items()}
        total = torch.stack([weight * value.float() for weight, value in parts.values()]).sum()
        _descend(self._optimiser, self.painter, total, rate)
        if self._critic is not None and self._critic_optimiser is not None:
            found["critic"] = self._teach_critic(self._critic, self._critic_optimiser, painted, rate)
        self.iteration += 1
        decay = min(schedule.ema_decay, (1 + self.iteration) / (10 + self.iteration))
        with torch.no_grad():
            for kept, now in zip(self.average.parameters(), self.painter.parameters(), strict=True):
                kept.lerp_(now, 1 - decay)
        return found

    def _parts(self, painted: Painted) -> dict[str, tuple[float, Tensor]]:
        """Weight and value of each loss of the painter."""
        losses = self._losses
        made, truth, weight = painted.picture_BCHW, painted.truth_BCHW, painted.weight_B1HW
        parts = {"pixel": (losses.pixel, weighted_l1(made, truth, weight))}
        if losses.mixture and painted.mixture_BCHW is not None:
            parts["mixture"] = (losses.mixture, weighted_l1(painted.mixture_BCHW, truth, weight))
        if losses.total_variation:
            parts["total_variation"] = (losses.total_variation, total_variation(made))
        if self._vgg is not None:
            look = perceptual(self._vgg, painted.look_B3HW, painted.look_truth_B3HW)
            parts["perceptual"] = (losses.perceptual, look)
        if self._critic is not None:
            shown = _beside(painted.picture_BCHW, painted)
            parts["adversarial"] = (losses.adversarial, least_squares_painter(self._critic(shown)))
            if self._vgg is None and losses.perceptual:
                match = feature_matching(self._critic, shown, _beside(truth, painted))
                parts["feature_matching"] = (losses.perceptual, match)
        return parts

    def _teach_critic(
        self, critic: Discriminator, optimiser: torch.optim.Optimizer, painted: Painted, rate: float
    ) -> float:
        made, truth = (
            _beside(picture.detach(), painted).float()
            for picture in (painted.picture_BCHW, painted.truth_BCHW)
        )
        loss = least_squares_critic(critic(truth), critic(made))
        if self._losses.gradient_penalty:
            loss = loss + self._losses.gradient_penalty * gradient_penalty(critic, truth, made)
        _descend(optimiser, critic, loss, rate)
        return float(loss.detach())

    def _adam(self, net: nn.Module) -> torch.optim.AdamW:
        schedule = self._schedule
        return torch.optim.AdamW(
            net.parameters(),
            lr=schedule.learning_rate,
            weight_decay=schedule.weight_decay,
            betas=schedule.betas,
        )

    def _log(self, folder: Path, means: Mapping[str, float], seconds: float) -> None:
        path = folder / "curve.csv"
        is_new = not path.exists()
        with path.open("a", newline="", encoding="utf-8") as file:
            writer = csv.writer(file)
            if is_new:
                writer.writerow(["iteration", "seconds", *means])
            writer.writerow([self.iteration, f"{seconds:.1f}", *(f"{value:.5g}" for value in means.values())])
        text = ", ".join(f"{name} {value:.4g}" for name, value in means.items())
        logger.info("iteration %d: %s", self.iteration, text)

    def _modules(self) -> dict[str, nn.Module]:
        modules: dict[str, nn.Module] = {"painter": self.painter, "average": self.average}
        return modules | ({"critic": self._critic} if self._critic is not None else {})

    def _optimisers(self) -> dict[str, torch.optim.Optimizer]:
        optimisers: dict[str, torch.optim.Optimizer] = {"painter_adam": self._optimiser}
        return optimisers | ({"critic_adam": self._critic_optimiser} if self._critic_optimiser else {})

    def _save(self, folder: Path) -> None:
        tensors = {"iteration": torch.tensor(self.iteration)}
        for name, module in self._modules().items():
            for key, value in module.state_dict().items():
                tensors[f"{name}:{key}"] = value.detach().cpu().contiguous().clone()
        for name, optimiser in self._optimisers().items():
            for index, state in optimiser.state_dict()["state"].items():
                for key, value in state.items():
                    tensors[f"{name}:{index}:{key}"] = value.cpu().contiguous().clone()
        part = folder / "checkpoint.part"
        save_file(tensors, part)
        part.replace(folder / "checkpoint.safetensors")

    def _resume(self, folder: Path) -> None:
        path = folder / "checkpoint.safetensors"
        if not path.exists():
            return
        tensors = load_file(path, device=str(self._device))
        self.iteration = int(tensors["iteration"])
        for name, module in self._modules().items():
            module.load_state_dict(_part_of(tensors, name))
        for name, optimiser in self._optimisers().items():
            state = optimiser.state_dict()
            for key, value in _part_of(tensors, name).items():
                index, field = key.split(":")
                state["state"].setdefault(int(index), {})[field] = value
            optimiser.load_state_dict(state)


def _part_of(tensors: Mapping[str, Tensor], name: str) -> dict[str, Tensor]:
    return {
        key.removeprefix(f"{name}:"): value for key, value in tensors.items() if key.startswith(f"{name}:")
    }


def _beside(picture_BCHW: Tensor, painted: Painted) -> Tensor:
    """What the discriminator sees."""
    if painted.seen_BCHW is None:
        return picture_BCHW
    return torch.cat([picture_BCHW, painted.seen_BCHW], dim=1)


def _descend(optimiser: torch.optim.Optimizer, net: nn.Module, loss: Tensor, rate: float) -> None:
    for group in optimiser.param_groups:
        group["lr"] = rate
    optimiser.zero_grad()
    loss.backward()  # type: ignore[no-untyped-call]
    nn.utils.clip_grad_norm_(net.parameters(), 1.0)
    optimiser.step()


def one_cycle(progress: float) -> float:
    """Share of the peak learning rate: up over the first tenth, then down along a cosine.

    Args:
        progress: 0..1 of the training.
    """
    if progress < 0.1:
        return 0.04 + 0.96 * progress / 0.1
    return float(0.5 + 0.5 * np.cos(np.pi * (progress - 0.1) / 0.9)) + 1e-4
