"""Variants of the recipe, each of which leaves one thing out, so that it can be measured what that brings.

They never ship: each is trained into a folder of weights of its own, in the cache.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from dubber.errors import ConfigError
from dubber.training.expression_settings import IDENTITY_ROUNDS, ExpressionTraining

if TYPE_CHECKING:
    from dubber.engine.progress import Progress
    from dubber.engine.stage import Runtime


@dataclass(frozen=True)
class Recipe:
    """A variant of the recipe.

    Attributes:
        left_out: What it leaves out, in a few words.
        overrides: Fields of `ExpressionTraining` that differ from the translator's recipe.
    """

    left_out: str
    overrides: Mapping[str, Any]


RECIPES: dict[str, Recipe] = {
    "with-identity-removal": Recipe("the voice's identity", {"identity_rounds": IDENTITY_ROUNDS["lstm"]}),
    "without-identity-removal": Recipe("voices are heard as they are", {"identity_rounds": 0}),
    "without-phones": Recipe("filmed mouths alone teach, no synthetic voices", {"phone_iterations": 0}),
    "landmarks-2d": Recipe("landmarks in the picture are predicted, no 3D", {"target": "landmarks"}),
}


def recipes_in_words() -> str:
    """Every variant and what it leaves out, on one line."""
    return "; ".join(f"{name} ({recipe.left_out})" for name, recipe in RECIPES.items())


def variant_folder(runtime: Runtime, name: str) -> Path:
    """Weights folder of a variant."""
    return runtime.cache_dir / "variants" / name


def variant_settings(name: str, translator: str = "conv") -> ExpressionTraining:
    """How a variant is trained.

    Args:
        name: Key of `RECIPES`.
        translator: Key of `dubber.models.speech_net.TRANSLATORS`.

    Raises:
        ConfigError: There is no such variant.
    """
    if name not in RECIPES:
        raise ConfigError(
            f"There is no variant '{name}' of the training.", advice=f"Choose one of: {recipes_in_words()}."
        )
    return replace(ExpressionTraining.recipe(translator), variant=name, **RECIPES[name].overrides)


def train_variant(
    manifest: Path,
    out: Path,
    runtime: Runtime,
    progress: Progress | None = None,
    *,
    settings: ExpressionTraining,
    teacher: Path | None = None,
) -> dict[str, float]:
    """Train a variant into its folder, and put the face model beside it, for one does not work without.

    Args:
        manifest: See `dubber.training.expression.train_from_clips`, as all others.
        out: Weights folder, see `variant_folder`; a network of the other translator in it stays.
        runtime: Names cache, device and the weights folder that holds the face model.
        progress: Is told how far it is.
        settings: From `variant_settings`.
        teacher: CSV of clips that another lip-sync system made.

    Returns:
        Measures.

    Raises:
        ConfigError: The manifest cannot be used, or espeak-ng is needed and missing.
        WeightsError: There is no face model yet.
        OutputFolderError: The folder cannot be written.
    """
    from dubber.stages.fit import FACE_MODEL
    from dubber.training.expression import train_from_clips
    from dubber.training.release import copy_weight

    copy_weight(runtime.weights, FACE_MODEL, out)
    return train_from_clips(manifest, out, runtime, progress, settings=settings, teacher=teacher)
