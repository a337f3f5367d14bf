"""Self-dub: a clip is dubbed with its own speech and compared with itself.

The last quarter is held out (`dubber.evaluation.footage`). Its frames are made again and compared with what
was filmed, and so are the trivial answers of `dubber.evaluation.spoken`.

Index letters: N held-out frames, M = 39 mouth and jaw landmarks, K coefficients.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

from dubber.config import DubConfig
from dubber.engine.progress import Progress
from dubber.engine.stage import Runtime
from dubber.evaluation.footage import on_own_heads, prepare
from dubber.evaluation.measures import Measures, medians
from dubber.evaluation.remade import measure_pictures
from dubber.evaluation.spoken import (
    heard_expression,
    loudness_measures,
    motion_without_sound,
    shape_measures,
    trivial_expressions,
)
from dubber.evaluation.user_networks import UserNetworks
from dubber.models.morphable import LinearFaceModel
from dubber.stages.fit import FACE_MODEL

Drive = Literal["speech", "truth"]


def evaluate_clips(
    clips: Sequence[Path],
    *,
    drive: Drive,
    config: DubConfig,
    runtime: Runtime,
    progress: Progress,
    has_pictures: bool = True,
    networks: UserNetworks | None = None,
) -> dict[str, Any]:
    """Measure self-dubs.

    Args:
        clips: Talking clips with their own sound.
        drive: "speech": the clip's own voice through the translator. "truth": the clip's own expression,
            which gives the tracked landmarks and leaves the renderer alone to be measured.
        config: Parameters of all stages.
        runtime: Device, cache and weights.
        progress: Is told how far each clip is.
        has_pictures: Whether to render and compare pictures; without, a clip takes seconds.
        networks: Measures of pictures that need a network of the user's.

    Returns:
        {"clips": [{"clip", "drive", "renderer", "frames", "metrics", "baselines"}], "median",
        "median_baselines"}; "renderer" is None without pictures. Metrics are those of
        `spoken.shape_measures`, driven by speech also `motion_without_sound`, and with pictures those of
        `remade.measure_pictures`. None where a measure has no meaning.

    Raises:
        WeightsError: A network's file is not what it should be.
        DubberError: A clip cannot be measured; see the stages.
    """
    networks = networks or UserNetworks()
    networks.check()
    settings = _Settings(drive, config, runtime, progress, networks, has_pictures)
    results = [_evaluate(path, settings) for path in clips]
    return {
        "clips": results,
        "median": medians([result["metrics"] for result in results]),
        "median_baselines": {
            name: medians([result["baselines"][name] for result in results])
            for name in results[0]["baselines"]
        },
    }


@dataclass(frozen=True)
class _Settings:
    """What is the same for all clips; see `evaluate_clips`."""

    drive: Drive
    config: DubConfig
    runtime: Runtime
    progress: Progress
    networks: UserNetworks
    has_pictures: bool


def _evaluate(path: Path, settings: _Settings) -> dict[str, Any]:
    config, runtime, progress = settings.config, settings.runtime, settings.progress
    footage = prepare(path, config, runtime, progress)
    model = LinearFaceModel.from_weight(runtime.weights.open(FACE_MODEL))
    driven_NK = footage.true_expression_NK
    if settings.drive == "speech":
        driven_NK = heard_expression(footage, config, runtime, progress)
    measured: dict[str, Measures] = {}
    for name, expression in {"metrics": driven_NK, **trivial_expressions(footage)}.items():
        measured[name] = shape_measures(footage, model, expression, config)
        if settings.has_pictures:
            wanted_NM2 = on_own_heads(model, footage, expression)
            measured[name] |= measure_pictures(
                footage,
                wanted_NM2,
                config,
                runtime,
                progress,
                name=f"{footage.name} {name}",
                networks=settings.networks,
            )
    if settings.drive == "speech":
        without_sound = motion_without_sound(footage, model, config, runtime, progress)
        measured["metrics"]["motion_without_sound"] = without_sound
    return {
        "clip": footage.name,
        "drive": settings.drive,
        "renderer": config.render.renderer if settings.has_pictures else None,
        "frames": int(footage.is_measured_N.sum()),
        "metrics": measured.pop("metrics"),
        "baselines": {**measured, "loudness": loudness_measures(footage)},
    }
