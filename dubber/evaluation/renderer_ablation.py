"""What each part of the way from mouth to picture brings: named variants over all clips of a split.

A variant is a configuration. All are driven by the true landmarks of the held-out quarter, so that only the
picture is measured. The whole chain runs for each clip and variant: minutes for a long clip, and more where
the renderer learns the person first.
"""

from __future__ import annotations

import logging
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from dubber.config import DubConfig
from dubber.engine.progress import Progress
from dubber.engine.stage import Runtime
from dubber.errors import ConfigError, MediaError, NoFaceError, WeightsError
from dubber.evaluation.footage import Footage, longest_first, on_own_heads, prepare
from dubber.evaluation.measures import Measures, medians
from dubber.evaluation.remade import measure_pictures
from dubber.models.morphable import LinearFaceModel
from dubber.stages.fit import FACE_MODEL
from dubber.training.dataset import ManifestRow, read_manifest

logger = logging.getLogger(__name__)

ENOUGH_S = 10.0
"""Clips that last so long have enough footage to borrow from; shorter ones are summarised apart."""


@dataclass(frozen=True)
class RendererVariant:
    """One row of the table.

    Attributes:
        name: What the row is called.
        overrides: Settings that differ from the defaults, by dotted key.
    """

    name: str
    overrides: Mapping[str, Any] = field(default_factory=dict)


def _variant(name: str, renderer: str, **is_on: bool) -> RendererVariant:
    """A renderer with all of the finishing, and nothing learned of the person, but for what is said."""
    stages = {"adapt": False, "teeth": True, "deflicker": True, **is_on}
    overrides = {f"{stage}.is_on": value for stage, value in stages.items()}
    return RendererVariant(name, {"render.renderer": renderer, **overrides})


MAIN = _variant("hybrid", "hybrid")
BASELINE = _variant("exemplar", "exemplar")
UNSTEADY = _variant("hybrid without deflicker", "hybrid", deflicker=False)

VARIANTS: tuple[RendererVariant, ...] = (
    MAIN,
    _variant("hybrid without teeth", "hybrid", teeth=False),
    UNSTEADY,
    RendererVariant("hybrid without grain", {**MAIN.overrides, "blend.grain": 0.0}),
    _variant("hybrid, bare", "hybrid", teeth=False, deflicker=False),
    BASELINE,
    RendererVariant("exemplar without dissolves", {**BASELINE.overrides, "render.dissolve_frames": 0}),
    _variant("exemplar, bare", "exemplar", teeth=False, deflicker=False),
    _variant("U-Net as published", "unet"),
    _variant("hybrid, adapted", "hybrid", adapt=True),
)
"""The rows, in order."""


def evaluate_renderers(
    manifest: Path,
    split: str,
    *,
    variants: Sequence[RendererVariant] = VARIANTS,
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
        progress: Is told of each clip and frame.

    Returns:
        {"split", "min_seconds", "variants": [{"name", "missing", "long", "short", "clips"}], "left_out"}:
        "long" and "short" are medians over clips of `ENOUGH_S` and more and of shorter ones, "clips" has
        {"clip", "speaker", "seconds", "frames", "metrics"}, metrics as in `remade.measure_pictures`;
        "missing" says why a variant has no numbers. "left_out" has {"clip", "reason"}.

    Raises:
        ConfigError: The manifest or a setting cannot be used, or nothing can be measured.
    """
    rows = [_Row(variant, config.with_overrides(variant.overrides)) for variant in variants]
    left_out: list[dict[str, str]] = []
    clips = longest_first(read_manifest(manifest, split), min_seconds, runtime)
    progress.start("clips", len(clips))
    for clip in clips:
        try:
            footage = prepare(clip.path, config, runtime, progress, max_frames=max_frames)
        except (ConfigError, MediaError, NoFaceError) as error:
            logger.warning("%s", error)
            left_out.append({"clip": clip.path.stem, "reason": error.message})
        else:
            _measure_clip(clip, footage, rows, runtime, progress)
        progress.advance("clips")
    if not any(row.results for row in rows):
        raise ConfigError("No variant can be measured on any clip of the split.", where=str(manifest))
    return {
        "split": split,
        "min_seconds": min_seconds,
        "variants": [row.summary() for row in rows],
        "left_out": left_out,
    }


@dataclass
class _Row:
    """A variant while it is measured.

    Attributes:
        variant: Which.
        config: Its settings.
        missing: Why it has no numbers; None while it has.
        results: A document per clip.
    """

    variant: RendererVariant
    config: DubConfig
    missing: str | None = None
    results: list[dict[str, Any]] = field(default_factory=list)

    def summary(self) -> dict[str, Any]:
        """What the document says of it."""
        return {
            "name": self.variant.name,
            "missing": self.missing,
            "long": self._medians(is_long=True),
            "short": self._medians(is_long=False),
            "clips": self.results,
        }

    def _medians(self, *, is_long: bool) -> Measures:
        chosen = [result for result in self.results if (result["seconds"] >= ENOUGH_S) is is_long]
        return medians([result["metrics"] for result in chosen])


def _measure_clip(
    clip: ManifestRow, footage: Footage, rows: Sequence[_Row], runtime: Runtime, progress: Progress
) -> None:
    """Add a clip's result to each row that can have one."""
    model = LinearFaceModel.from_weight(runtime.weights.open(FACE_MODEL))
    wanted_NM2 = on_own_heads(model, footage, footage.true_expression_NK)
    for row in rows:
        if row.missing is not None:
            continue
        name = f"{footage.name}, {row.variant.name}"
        try:
            metrics = measure_pictures(footage, wanted_NM2, row.config, runtime, progress, name=name)
        except WeightsError as error:
            row.missing = error.message
            continue
        row.results.append(
            {
                "clip": footage.name,
                "speaker": clip.speaker,
                "seconds": footage.clip.duration_s,
                "frames": int(footage.is_measured_N.sum()),
                "metrics": metrics,
            }
        )
