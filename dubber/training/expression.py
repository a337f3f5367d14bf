"""`dubber train expression`: the network that turns speech into expression, from talking clips."""

from __future__ import annotations

import hashlib
import json
from dataclasses import asdict
from pathlib import Path
from typing import Any

import numpy as np
import torch

from dubber.engine.device import torch_threads
from dubber.engine.progress import Progress, SilentProgress
from dubber.engine.stage import Runtime
from dubber.engine.weights import WeightEntry
from dubber.errors import ConfigError
from dubber.models.expression import ExpressionNet
from dubber.models.morphable import LinearFaceModel
from dubber.ops import mfcc
from dubber.stages.fit import FACE_MODEL
from dubber.stages.translate import WEIGHTS
from dubber.training.dataset import provenance
from dubber.training.expression_course import Course
from dubber.training.expression_settings import ExpressionTraining
from dubber.training.loop import Loop
from dubber.training.release import save_weight
from dubber.training.speech_data import TalkingClip, talking_clips

TRAIN_STAGE = "train expression"
_LEAST_FRAMES = 25
_LEAST_SAMPLES = mfcc.SAMPLE_RATE_HZ // 2
"""Clips with fewer frames that show a face, about a second, or with less sound are left out."""


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
        The network, and a report: each clip's delay and agreement, how many sounds are named, and how well a
        fresh probe tells speakers apart before and after the identity remover.

    Raises:
        ConfigError: No clip has enough frames, or espeak-ng is needed and missing.
    """
    settings, device = settings or ExpressionTraining(), device or torch.device("cpu")
    progress = progress or SilentProgress()
    clips = [
        clip
        for clip in clips
        if clip.is_usable_T.sum() >= _LEAST_FRAMES and len(clip.samples_S) >= _LEAST_SAMPLES
    ]
    if not clips:
        raise ConfigError("No clip has a second of speech and a face: there is nothing to learn from.")
    progress.start(TRAIN_STAGE, settings.num_steps)
    course = Course(clips, model, settings, Loop(folder, device, progress, TRAIN_STAGE), face_model_sha256)
    named = course.learn_sounds()
    late = course.find_delays()
    remover_state, probe = course.remove_identity(late)
    net = course.train_members(late, remover_state)
    report = {
        "settings": asdict(settings),
        "phones_named": named,
        "speaker_probe": asdict(probe) if probe else None,
        "clips": {
            clip.name: {"delay_s": delay, "correlation": round(agreement, 3)}
            for clip, (agreement, delay) in zip(clips, late, strict=True)
        },
    }
    name = "-".join(filter(None, ("report", settings.variant, settings.translator)))
    (folder / f"{name}.json").write_text(json.dumps(report, indent=1), encoding="utf-8")
    return net, report


def weight_entry(
    translator: str, clips: list[TalkingClip], face_model: WeightEntry, variant: str = ""
) -> dict[str, Any]:
    """The manifest's row for weights learned from clips.

    Args:
        translator: Which.
        clips: What taught it.
        face_model: The face model that the clips were fitted with: its terms go on.
        variant: Name in `dubber.training.variants`, if it is one.
    """
    options = f"--translator {translator}" + (f" --variant {variant}" if variant else "")
    speakers = len({clip.speaker for clip in clips})
    rights = provenance(clip.rights for clip in clips)
    return {
        "kind": "expression network",
        "licence": face_model.licence,
        "is_commercial_use_allowed": face_model.is_commercial_use_allowed,
        "training_data": f"{len(clips)} talking clips of {speakers} people ({rights}); synthetic speech",
        "recipe": f"dubber train expression --clips CSV {options}",
        "description": f"Speech to expression coefficients, translator {translator}",
    }


def _digest(clips: list[TalkingClip]) -> str:
    """Tells clips apart by what is heard and seen in them: other clips, other checkpoints."""
    digest = hashlib.sha256()
    for clip in clips:
        digest.update(f"{clip.name}\0{clip.speaker}\0".encode())
        for array in (clip.samples_S, clip.times_s_T, clip.expression_TK, clip.is_usable_T):
            digest.update(np.ascontiguousarray(array).tobytes())
    return digest.hexdigest()[:12]


def train_from_clips(
    manifest: Path,
    out: Path,
    runtime: Runtime,
    progress: Progress | None = None,
    *,
    settings: ExpressionTraining | None = None,
    teacher: Path | None = None,
) -> dict[str, float]:
    """Train on the `train` rows of a manifest and list the result among the weights.

    Args:
        manifest: CSV with the columns file, split and speaker, and perhaps rights.
        out: Weights folder; the checkpoints go to the cache.
        runtime: Names cache, device and the weights folder that holds the face model.
        progress: Is told how far it is.
        settings: See `ExpressionTraining`.
        teacher: CSV of the same form, all of whose rows are clips that another lip-sync system made: its
            mouths teach too (Meta Talk's pseudo labels).

    Returns:
        Measures: clips, speakers, frames, clips whose sound was late by 40 ms or more, the median correlation
        of mouth openings on the clips it learned from, the share of sounds named, the fresh probe's accuracy
        before and after, and its chance. Each clip's delay lies in a report beside the checkpoints.

    Raises:
        ConfigError: The manifest cannot be used, or espeak-ng is needed and missing.
        WeightsError: There is no face model yet.
        OutputFolderError: The weights folder cannot be written.
    """
    progress = progress or SilentProgress()
    model = LinearFaceModel.from_weight(runtime.weights.open(FACE_MODEL))
    face_entry = runtime.weights.entry(FACE_MODEL)
    clips = list(talking_clips(manifest, runtime, progress, "train"))
    if teacher is not None:
        clips += list(talking_clips(teacher, runtime, progress, None))
    settings = settings or ExpressionTraining()
    label = f"{face_entry.sha256[:12]}-{_digest(clips)}-{settings.label}"
    with torch_threads(runtime.threads):
        net, report = train_expression(
            clips,
            model,
            runtime.cache_dir / "training" / "expression" / label,
            settings=settings,
            device=runtime.device.torch_device(),
            progress=progress,
            face_model_sha256=face_entry.sha256,
        )
    entry = weight_entry(settings.translator, clips, face_entry, settings.variant)
    save_weight(out, WEIGHTS[settings.translator], net.to_arrays(), entry)
    rows = list(report["clips"].values())
    probe = report["speaker_probe"] or {}
    return {
        "train_clips": float(len(rows)),
        "train_speakers": float(len({clip.speaker for clip in clips})),
        "train_frames": float(sum(clip.is_usable_T.sum() for clip in clips)),
        "late_clips": float(sum(abs(row["delay_s"]) >= 0.04 for row in rows)),
        "train_correlation": float(np.median([row["correlation"] for row in rows])),
        **({"phones_named": report["phones_named"]} if report["phones_named"] else {}),
        **{f"speaker_probe_{name}": value for name, value in probe.items()},
    }
