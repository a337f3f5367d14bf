"""Presets: many settings at once, by what the user is short of."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from dubber.errors import ConfigError


@dataclass(frozen=True)
class Choice:
    """One setting of a preset.

    Attributes:
        key: STAGE.NAME.
        value: What the preset makes of it.
        why: The reason; docs/performance.md has the figures.
        needs: Another setting and its value, without which this one is left as it was.
    """

    key: str
    value: Any
    why: str
    needs: tuple[str, Any] | None = None


@dataclass(frozen=True)
class Preset:
    """A named choice of settings; whatever it does not name keeps its default.

    Attributes:
        summary: For whom it is.
        choices: What it sets.
    """

    summary: str
    choices: tuple[Choice, ...] = ()

    @property
    def values(self) -> dict[str, Any]:
        """Values by dotted key."""
        return {choice.key: choice.value for choice in self.choices}

    @property
    def needs(self) -> dict[str, tuple[str, Any]]:
        """By dotted key, what a choice is no use without."""
        return {choice.key: choice.needs for choice in self.choices if choice.needs}


DEFAULT_PRESET = "balanced"

PRESETS = {
    "fast": Preset(
        "For drafts, and for many clips on few cores: about two thirds of the time.",
        (
            Choice("render.renderer", "exemplar", "rendering without a network takes a third of the time"),
            Choice("remux.preset", "ultrafast", "the encode takes less than half the time, for larger files"),
            Choice(
                "remux.crf",
                16,
                "at this speed within 1 dB of what the default makes, for 1.5 to 3 times its bytes",
            ),
        ),
    ),
    DEFAULT_PRESET: Preset("The defaults: what looks best for the time it takes."),
    "best": Preset(
        "For the final version of a clip that matters: minutes longer.",
        (
            Choice(
                "adapt.is_on",
                True,
                "the network that paints learns the person's mouth first",
                needs=("render.renderer", "hybrid"),
            ),
            Choice(
                "remux.preset", "medium", "the encode is more exact at the same bytes, for twice its time"
            ),
        ),
    ),
}


def preset_named(name: str) -> Preset:
    """The preset of this name.

    Raises:
        ConfigError: There is no such preset.
    """
    if name not in PRESETS:
        raise ConfigError(
            f"There is no preset '{name}'.",
            where="--preset",
            advice=f"Presets: {', '.join(PRESETS)}. The encoder's speed is `--encoder-preset`.",
        )
    return PRESETS[name]
