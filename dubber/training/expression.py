"""`dubber train expression`: the network that turns speech into expression, from talking clips.

1. Each clip's face is fitted; its coefficients, as deviations from the clip's mean and brought to a common
   liveliness, are turned into modes (principal axes of what lips and jaw do).
2. Many clips' sound is late. A first network is trained on all; where its mouth agrees best with the
picture is the
   clip's delay. Taken out, the next network is sharper, and so are its estimates.
3. The members that ship are trained on the corrected clips.

Every iteration draws its chance from its own seed, so that a run resumed from its checkpoint is the run.
"""

from __future__ import annotations

import csv
import json
import logging
import time
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from safetensors.torch import load_file, save_file
from torch import nn

from dubber.engine.progress import Progress, SilentProgress
from dubber.engine.stage import Runtime
from dubber.errors import ConfigError
from dubber.models.expression import ExpressionNet, predict_steps
from dubber.models.morphable import MOUTH_JAW, LinearFaceModel
from dubber.ops import landmarks, mfcc
from dubber.training.release import save_weight
from dubber.training.speech_data import (
    Lesson,
    Lessons,
    TalkingClip,
    at_media_times,
    best_lag,
    talking_clips,
    variants,
)
from dubber.types import Float32

logger = logging.getLogger(__name__)

EXPRESSION = "expression"
FACE_MODEL = "face_model"
_STAGE = "train expression"
_JAW_WEIGHT = 0.5
"""Jaw landmarks slide along the outline on a turned head: they count half."""
_CALM = 0.02
"""Weight of the coefficients themselves beside their effect on the mouth: the modes span all of them."""
_MAX_DELAY_S = 0.4
_MIN_AGREEMENT = 0.4
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
    iterations: int = 600
    delay_iterations: int = 300
    delay_rounds: int = 2
    batch_size: int = 24
    length: int = 240
    learning_rate: float = 2e-3
    weight_decay: float = 1e-4
    dropout: float = 0.4
    jitter: float = 0.2
    num_variants: int = 6
    seed: int = 0


def mouth_metric(model: LinearFaceModel) -> tuple[Float32, Float32]:
    """What expression coefficients do to the mouth.

    Args:
        model: The face model.

    Returns:
        (K, D) coefficients to weighted displacements of the 39 landmarks, model units; (K,) change of the
        mouth's opening.
    """
    basis_KM3 = model.expression_KV3[:, model.landmark_sets[MOUTH_JAW]].astype(np.float64)
    weight_M = np.where(np.arange(basis_KM3.shape[1]) < landmarks.NUM_MOUTH, 1.0, np.sqrt(_JAW_WEIGHT))
    # Depth is not seen, and is the tracker's weakest coordinate.
    weighted = basis_KM3 * weight_M[:, None] * np.array([1.0, 1.0, 0.5])
    order = landmarks.MOUTH_JAW.tolist()
    lower, upper = order.index(landmarks.LOWER_INNER_LIP), order.index(landmarks.UPPER_INNER_LIP)
    opening_K = basis_KM3[:, lower, 1] - basis_KM3[:, upper, 1]
    return weighted.reshape(len(basis_KM3), -1).astype(np.float32), opening_K.astype(np.float32)


def deviations(clip: TalkingClip) -> Float32:
    """(T, K) coefficients less the clip's mean over usable frames."""
    return np.asarray(clip.expression_TK - clip.expression_TK[clip.is_usable_T].mean(axis=0), np.float32)


def make_modes(clips: list[TalkingClip], metric_KD: Float32) -> tuple[Float32, Float32, Float32, list[float]]:
    """Principal axes of the coefficients under the mouth's metric.

    Args:
        clips: The clips.
        metric_KD: From `mouth_metric`.

    Returns:
        (K, Z) encode, (Z, K) decode with Z = K, (Z,) usual standard deviations, and each clip's liveliness:
        the root mean square of its mouth's displacements over the usual one.
    """
    used = [deviations(clip)[clip.is_usable_T].astype(np.float64) for clip in clips]
    metric_KK = metric_KD.astype(np.float64) @ metric_KD.T
    metric_KK += _CALM * np.trace(metric_KK) / len(metric_KK) * np.eye(len(metric_KK))
    root_KK = np.linalg.cholesky(metric_KK)
    energy = [float(np.sqrt(np.mean(np.sum((one @ root_KK) ** 2, axis=1)))) for one in used]
    usual = float(np.median(energy))
    lively = [max(one / usual, 1e-3) for one in energy]
    moved = np.concatenate([one @ root_KK / live for one, live in zip(used, lively, strict=True)])
    values, axes_KZ = np.linalg.eigh(moved.T @ moved / len(moved))
    order = np.argsort(values)[::-1]
    encode_KZ = root_KK @ axes_KZ[:, order]
    return (
        encode_KZ.astype(np.float32),
        np.linalg.inv(encode_KZ).astype(np.float32),
        np.sqrt(np.maximum(values[order], 1e-12)).astype(np.float32),
        lively,
    )


def _make_net(settings: ExpressionTraining, like: ExpressionNet, members: int) -> ExpressionNet:
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


class _Trainer:
    """One network's training, resumable between any two iterations that were saved."""

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
        net = _make_net(settings, like, 1).to(self.device)
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
            self.progress.advance(_STAGE)
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


def estimate_delays(
    net: ExpressionNet, lessons: list[Lesson], opening_Z: Float32, device: torch.device
) -> list[tuple[float, float]]:
    """By how much each clip's sound comes after its picture.

    Args:
        net: Trained.
        lessons: The clips.
        opening_Z: (Z,) what the modes do to the mouth's opening.
        device: Where the network runs.

    Returns:
        For each clip the correlation of mouth opening, and the delay in seconds; 0 where they hardly agree.
    """
    out = []
    for lesson in lessons:
        heard = lesson.heard[0]
        modes_FZ = predict_steps(net, heard.features.steps_FC, heard.features.silence_C, device)
        seen_FZ, is_known_F = at_media_times(
            heard.media_s_F, lesson.clip.times_s_T, lesson.modes_TZ, lesson.clip.is_usable_T
        )
        reach = round(_MAX_DELAY_S * mfcc.RATE_HZ)
        agreement, lag = best_lag(modes_FZ @ opening_Z, seen_FZ @ opening_Z, is_known_F, reach)
        is_sure = agreement >= _MIN_AGREEMENT and abs(lag) < reach
        out.append((agreement, lag / mfcc.RATE_HZ if is_sure else 0.0))
    return out


def train_expression(
    clips: list[TalkingClip],
    model: LinearFaceModel,
    folder: Path,
    *,
    settings: ExpressionTraining | None = None,
    device: torch.device | None = None,
    progress: Progress | None = None,
    face_model_sha256: str = "",
) -> tuple[ExpressionNet, dict[str, Any]]:
    """Train the network.

    Args:
        clips: To learn from.
        model: The face model that the clips were fitted with.
        folder: Checkpoints and the curve; a run that finds its own goes on from there.
        settings: See `ExpressionTraining`.
        device: Where; the CPU by default.
        progress: Is told of each iteration.
        face_model_sha256: Goes into the weights, so that they are not used with another face model.

    Returns:
        The network, and a report with each clip's delay and agreement.

    Raises:
        ConfigError: No clip has enough frames.
    """
    settings, device = settings or ExpressionTraining(), device or torch.device("cpu")
    progress = progress or SilentProgress()
    clips = [clip for clip in clips if clip.is_usable_T.sum() >= 25 and len(clip.samples_S) >= 8000]
    if not clips:
        raise ConfigError("No clip has a second of speech and a face: there is nothing to learn from.")
    metric_KD, opening_K = mouth_metric(model)
    encode_KZ, decode_ZK, std_Z, lively = make_modes(clips, metric_KD)
    lessons = [
        Lesson(
            variants(clip.samples_S, settings.num_variants, settings.seed + index),
            deviations(clip) @ encode_KZ / live,
            clip,
        )
        for index, (clip, live) in enumerate(zip(clips, lively, strict=True))
    ]
    like = ExpressionNet(mfcc.NUM_FEATURES, len(std_Z), len(encode_KZ), hidden=1, layers=1)
    for buffer, array in ((like.encode_KZ, encode_KZ), (like.decode_ZK, decode_ZK), (like.mode_std_Z, std_Z)):
        buffer.copy_(torch.from_numpy(array))
    _measure_features(like, lessons)
    if face_model_sha256:
        like.face_model_sha256.copy_(torch.tensor(list(bytes.fromhex(face_model_sha256)), dtype=torch.uint8))

    rounds = settings.delay_rounds
    progress.start(_STAGE, rounds * settings.delay_iterations + settings.members * settings.iterations)
    trainer = _Trainer(settings, folder, device, progress)
    late = [(0.0, 0.0)] * len(lessons)
    for index in range(rounds):
        net = trainer.train(
            f"delay{index}",
            like,
            _corrected(lessons, late, settings),
            settings.delay_iterations,
            settings.seed,
        )
        late = estimate_delays(net, lessons, decode_ZK @ opening_K, device)
    corrected = _corrected(lessons, late, settings)
    members = [
        trainer.train(f"member{index}", like, corrected, settings.iterations, settings.seed + 1 + index)
        for index in range(settings.members)
    ]
    report = {
        "settings": asdict(settings),
        "clips": {
            clip.name: {"delay_s": delay, "correlation": round(agreement, 3)}
            for clip, (agreement, delay) in zip(clips, late, strict=True)
        },
    }
    (folder / "report.json").write_text(json.dumps(report, indent=1), encoding="utf-8")
    return _joined(settings, like, members), report


def _measure_features(net: ExpressionNet, lessons: list[Lesson]) -> None:
    steps_FC = np.concatenate([heard.features.steps_FC for lesson in lessons for heard in lesson.heard])
    net.feature_mean_C.copy_(torch.from_numpy(steps_FC.mean(axis=0)))
    net.feature_std_C.copy_(torch.from_numpy(np.maximum(steps_FC.std(axis=0), 1e-3)))


def _corrected(
    lessons: list[Lesson], late: list[tuple[float, float]], settings: ExpressionTraining
) -> Lessons:
    return Lessons(
        lessons,
        [delay for _, delay in late],
        delay_steps=mfcc.NUM_FUTURE - 1,
        length=settings.length,
        warm_steps=60,
    )


def _joined(settings: ExpressionTraining, like: ExpressionNet, members: list[ExpressionNet]) -> ExpressionNet:
    """One network that averages the members."""
    net = _make_net(settings, like, len(members))
    state = net.state_dict()
    for index, member in enumerate(members):
        for key, value in member.state_dict().items():
            kind, _, rest = key.partition(".")
            if kind in ("recurrent", "last"):
                state[f"{kind}.{index}.{rest.partition('.')[2]}"] = value.cpu()
    net.load_state_dict(state)
    return net.eval()


def train_from_clips(
    manifest: Path,
    out: Path,
    runtime: Runtime,
    progress: Progress | None = None,
    *,
    settings: ExpressionTraining | None = None,
) -> dict[str, Any]:
    """Train on the `train` rows of a manifest and list the result among the weights.

    Args:
        manifest: CSV with the columns file, split and speaker.
        out: Weights folder; the checkpoints go to the cache.
        runtime: Names cache, device and the weights folder that holds the face model.
        progress: Is told how far it is.
        settings: See `ExpressionTraining`.

    Returns:
        The report of `train_expression`.

    Raises:
        ConfigError: The manifest cannot be used.
        WeightsError: There is no face model yet.
        OutputFolderError: The weights folder cannot be written.
    """
    progress = progress or SilentProgress()
    model = LinearFaceModel.from_weight(runtime.weights.open(FACE_MODEL))
    digest = runtime.weights.entry(FACE_MODEL).sha256
    clips = list(talking_clips(manifest, runtime, progress, "train"))
    settings = settings or ExpressionTraining()
    label = f"{digest[:12]}-" + "-".join(str(value) for value in asdict(settings).values()) + f"-{len(clips)}"
    net, report = train_expression(
        clips,
        model,
        runtime.cache_dir / "training" / "expression" / label,
        settings=settings,
        device=runtime.device.torch_device(),
        progress=progress,
        face_model_sha256=digest,
    )
    num_speakers = len({clip.speaker for clip in clips})
    save_weight(
        out,
        EXPRESSION,
        net.to_arrays(),
        {
            "kind": "expression",
            "licence": "Apache-2.0",
            "is_commercial_use_allowed": True,
            "training_data": f"{len(clips)} talking clips of {num_speakers} speakers",
            "recipe": "dubber train expression",
            "description": "Speech to expression coefficients: LSTM over 0.8 s of past and 0.2 s of future.",
        },
    )
    return report
