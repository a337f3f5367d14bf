"""`dubber train expression`: the network that turns speech into expression, from talking clips.

1. Each clip's face is fitted; its coefficients, as deviations from the clip's mean and brought to a common
   liveliness, are turned into modes (principal axes of what lips and jaw do).
2. Many clips' sound is late. A first network is trained on all; where its mouth agrees best with the picture
   is the clip's delay. Taken out, the next network is sharper, and so are its estimates.
3. The members that ship are trained on the corrected clips.

Every iteration draws its chance from its own seed, so that a run resumed from its checkpoint is the run.
"""

from __future__ import annotations

import json
from dataclasses import asdict
from pathlib import Path
from typing import Any

import numpy as np
import torch

from dubber.engine.progress import Progress, SilentProgress
from dubber.engine.stage import Runtime
from dubber.errors import ConfigError
from dubber.models.expression import ExpressionNet, predict_steps
from dubber.models.morphable import MOUTH_JAW, LinearFaceModel
from dubber.ops import landmarks, mfcc
from dubber.training.expression_loop import TRAIN_STAGE, ExpressionTraining, Trainer, make_net
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

EXPRESSION = "expression"
FACE_MODEL = "face_model"
_SOURCES = (
    "GRID talkers (CC BY 4.0, Cooke et al. 2006), addresses of the US government (probably public domain), "
    "one recording under Apache-2.0"
)
_JAW_WEIGHT = 0.5
"""Jaw landmarks slide along the outline on a turned head: they count half."""
_CALM = 0.02
"""Weight of the coefficients themselves beside their effect on the mouth: the modes span all of them."""
_MAX_DELAY_S = 0.4
_MIN_AGREEMENT = 0.4


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
    progress.start(TRAIN_STAGE, rounds * settings.delay_iterations + settings.members * settings.iterations)
    trainer = Trainer(settings, folder, device, progress)
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
    net = make_net(settings, like, len(members))
    state = net.state_dict()
    for index, member in enumerate(members):
        for key, value in member.state_dict().items():
            kind, _, rest = key.partition(".")
            if kind in ("recurrent", "last"):
                state[f"{kind}.{index}.{rest.partition('.')[2]}"] = value.cpu()
    net.load_state_dict(state)
    return net.eval()


def weight_entry(num_clips: int, num_speakers: int) -> dict[str, Any]:
    """The manifest's row for weights learned from so many clips."""
    return {
        "kind": "expression network",
        "licence": "Apache-2.0",
        "is_commercial_use_allowed": True,
        "training_data": f"{num_clips} talking clips of {num_speakers} people: {_SOURCES}",
        "recipe": "dubber train expression --clips CSV",
        "description": "Speech to expression coefficients: LSTM over 0.8 s of past and 0.2 s of future",
    }


def train_from_clips(
    manifest: Path,
    out: Path,
    runtime: Runtime,
    progress: Progress | None = None,
    *,
    settings: ExpressionTraining | None = None,
) -> dict[str, float]:
    """Train on the `train` rows of a manifest and list the result among the weights.

    Args:
        manifest: CSV with the columns file, split and speaker.
        out: Weights folder; the checkpoints go to the cache.
        runtime: Names cache, device and the weights folder that holds the face model.
        progress: Is told how far it is.
        settings: See `ExpressionTraining`.

    Returns:
        Measures: clips, speakers, frames, clips whose sound was late by 40 ms or more, and the median
            correlation
        of mouth openings on the clips it learned from. Each clip's delay lies in report.json beside the
        checkpoints.

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
    save_weight(out, EXPRESSION, net.to_arrays(), weight_entry(len(clips), num_speakers))
    rows = list(report["clips"].values())
    return {
        "train_clips": float(len(rows)),
        "train_speakers": float(num_speakers),
        "train_frames": float(sum(clip.is_usable_T.sum() for clip in clips)),
        "late_clips": float(sum(abs(row["delay_s"]) >= 0.04 for row in rows)),
        "train_correlation": float(np.median([row["correlation"] for row in rows])),
    }
