"""What each part of the way from speech to mouth brings: named variants over all clips of a split.

A variant is a configuration and, where its weights differ from those that ship, a folder of weights. Clips of
a few seconds leave a second to measure and are summarised apart.
"""

from __future__ import annotations

import dataclasses
import logging
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from dubber.config import DubConfig
from dubber.engine.progress import Progress
from dubber.engine.stage import Runtime
from dubber.engine.weights import WeightsFolder
from dubber.errors import ConfigError, MediaError, NoFaceError, WeightsError
from dubber.evaluation.footage import Footage, longest_first, prepare
from dubber.evaluation.measures import medians
from dubber.evaluation.spoken import evaluate_footage
from dubber.stages.translate import WEIGHTS
from dubber.training.dataset import ManifestRow, read_manifest
from dubber.training.face_import import has_weight
from dubber.training.targets import TargetName
from dubber.training.variants import variant_folder

logger = logging.getLogger(__name__)

SHORT_CLIP_S = 5.0
"""Shorter clips are summarised apart: their held-out quarter is a second."""


@dataclass(frozen=True)
class Variant:
    """One row of the table.

    Attributes:
        name: What the row is called.
        overrides: Settings that differ from the defaults, by dotted key.
        trained_as: Its weights are those that `dubber train expression --variant NAME` made; None for those
            that ship.
        target: What its network predicts; see `dubber.training.targets`.
    """

    name: str
    overrides: Mapping[str, Any] = field(default_factory=dict)
    trained_as: str | None = None
    target: TargetName = "expression"


_NOT_ADAPTED = {"translate.self_adaptation": False}
_LSTM = {"translate.translator": "lstm"}
_CONV = {"translate.translator": "conv"}

VARIANTS: tuple[Variant, ...] = (
    Variant("conv, self-adapted", _CONV),
    Variant("conv", {**_CONV, **_NOT_ADAPTED}),
    Variant("conv with identity removal, self-adapted", _CONV, trained_as="with-identity-removal"),
    Variant("conv with identity removal", {**_CONV, **_NOT_ADAPTED}, trained_as="with-identity-removal"),
    Variant("conv without phones", {**_CONV, **_NOT_ADAPTED}, trained_as="without-phones"),
    Variant(
        "conv, 2D landmarks for expression",
        {**_CONV, **_NOT_ADAPTED},
        trained_as="landmarks-2d",
        target="landmarks",
    ),
    Variant("LSTM, self-adapted", _LSTM),
    Variant("LSTM", {**_LSTM, **_NOT_ADAPTED}),
    Variant("LSTM without identity removal, self-adapted", _LSTM, trained_as="without-identity-removal"),
    Variant(
        "LSTM without identity removal", {**_LSTM, **_NOT_ADAPTED}, trained_as="without-identity-removal"
    ),
    Variant("neutral", {"translate.translator": "neutral"}),
)
"""The rows, in order; the trivial answers of `dubber.evaluation.spoken` follow them."""


def evaluate_variants(
    manifest: Path,
    split: str,
    *,
    variants: Sequence[Variant] = VARIANTS,
    min_seconds: float = 0.0,
    max_frames: int | None = None,
    config: DubConfig,
    runtime: Runtime,
    progress: Progress,
) -> dict[str, Any]:
    """Measure every variant on every clip of a split, long clips first.

    Args:
        manifest: See `dubber.training.dataset.read_manifest`.
        split: Which rows.
        variants: What is compared.
        min_seconds: Shorter clips are not measured.
        max_frames: Of each clip's held-out frames only so many, the first ones, are measured; None: all.
        config: What the variants' settings are laid over.
        runtime: Device, cache and weights.
        progress: Is told of each clip.

    Returns:
        {"split", "variants": [{"name", "missing", "long", "short", "clips"}], "left_out"}: "long" and "short"
        are medians, "clips" has {"clip", "speaker", "seconds", "frames", "metrics"}; "missing" says why a
        variant has no numbers. The trivial answers are the last variants. "left_out" has
        {"clip", "reason"}.

    Raises:
        ConfigError: The manifest cannot be used, or nothing can be measured.
    """
    rows = [_start(variant, config, runtime) for variant in variants]
    trivial: dict[str, list[dict[str, Any]]] = {}
    left_out: list[dict[str, str]] = []
    clips = longest_first(read_manifest(manifest, split), min_seconds, runtime)
    progress.start("clips", len(clips))
    for clip in clips:
        try:
            result = _measure_clip(clip, rows, progress, max_frames)
        except (ConfigError, MediaError, NoFaceError) as error:
            logger.warning("%s", error)
            left_out.append({"clip": clip.path.stem, "reason": error.message})
        else:
            for name, metrics in (result or {}).get("baselines", {}).items():
                trivial.setdefault(name, []).append({**(result or {}), "metrics": metrics})
        progress.advance("clips")
    if not trivial:
        raise ConfigError("No variant can be measured on any clip of the split.", where=str(manifest))
    return {
        "split": split,
        "variants": [
            *(row.summary() for row in rows),
            *(_summary(name, results, None) for name, results in trivial.items()),
        ],
        "left_out": left_out,
    }


@dataclass
class _Row:
    """A variant while it is measured.

    Attributes:
        variant: Which.
        config: Its settings.
        runtime: Names its weights.
        missing: Why it has no numbers; None while it has.
        results: A document per clip.
    """

    variant: Variant
    config: DubConfig
    runtime: Runtime
    missing: str | None = None
    results: list[dict[str, Any]] = field(default_factory=list)

    def summary(self) -> dict[str, Any]:
        return _summary(self.variant.name, self.results, self.missing)


def _start(variant: Variant, config: DubConfig, runtime: Runtime) -> _Row:
    chosen = config.with_overrides(variant.overrides)
    if variant.trained_as is None:
        return _Row(variant, chosen, runtime)
    folder = variant_folder(runtime, variant.trained_as)
    own = dataclasses.replace(runtime, weights=WeightsFolder(folder))
    translator = chosen.translate.translator
    if has_weight(folder, WEIGHTS[translator]):
        return _Row(variant, chosen, own)
    command = f"dubber train expression --variant {variant.trained_as} --translator {translator}"
    return _Row(variant, chosen, own, missing=f"not trained: `{command}`")


def _measure_clip(
    clip: ManifestRow, rows: Sequence[_Row], progress: Progress, max_frames: int | None
) -> dict[str, Any] | None:
    """Add a clip's result to each row that can have one; prepare the clip once per face model.

    Returns:
        The result of the first row that has one.
    """
    footages: dict[str, Footage] = {}
    first = None
    for row in rows:
        if row.missing is not None:
            continue
        try:
            face_model = row.runtime.weights.entry("face_model").sha256
            if face_model not in footages:
                footages[face_model] = prepare(
                    clip.path, row.config, row.runtime, progress, max_frames=max_frames
                )
            footage = footages[face_model]
            found = evaluate_footage(footage, row.config, row.runtime, progress, target=row.variant.target)
        except WeightsError as error:
            row.missing = error.message
            continue
        row.results.append({"speaker": clip.speaker, "seconds": footage.clip.duration_s, **found})
        first = first or row.results[-1]
    return first


def _summary(name: str, results: list[dict[str, Any]], missing: str | None) -> dict[str, Any]:
    long, short = (
        medians([result["metrics"] for result in results if (result["seconds"] < SHORT_CLIP_S) is is_short])
        for is_short in (False, True)
    )
    clips = [{key: value for key, value in result.items() if key != "baselines"} for result in results]
    return {"name": name, "missing": missing, "long": long, "short": short, "clips": clips}
