"""What the options about the method come to: layers of settings."""

from __future__ import annotations

import sys
from enum import Enum
from pathlib import Path
from typing import TYPE_CHECKING, Any

from dubber.errors import ConfigError

if TYPE_CHECKING:
    from dubber.config import DubConfig, Layer

if sys.version_info >= (3, 11):
    import tomllib
else:
    import tomli as tomllib

SETTING_OF = {
    "audio_language": "remux.audio_language",
    "audio_track": "remux.audio_track",
    "av_offset_ms": "translate.av_offset_ms",
    "bed_gain_db": "mix.bed_gain_db",
    "chroma": "remux.chroma",
    "consent": "remux.consent",
    "crf": "remux.crf",
    "deinterlace": "demux.deinterlace",
    "encoder_preset": "remux.preset",
    "label": "mark.is_on",
    "label_text": "mark.text",
    "labelled": "remux.is_labelled",
    "length": "length.mode",
    "mouth_gain": "translate.mouth_gain",
    "renderer": "render.renderer",
    "tracker": "people.backend",
    "translator": "translate.translator",
    "vcodec": "remux.vcodec",
}
"""Options that are another name of one setting."""


def build_config(
    config_file: Path | None, settings: list[str] | None, preset: str | None = None, **flags: Any
) -> DubConfig:
    """Layer defaults, a preset, the config file, `--set` and flags, later ones winning.

    Args:
        config_file: TOML file, or None.
        settings: STAGE.NAME=VALUE texts.
        preset: Name of a preset; None for the config file's own.
        **flags: Values of the options in `SETTING_OF` by their name, other settings by key with "__" for ".",
            such as track__speaker; None means not given.

    Raises:
        ConfigError: Something in them is wrong.
    """
    from dubber.config import Layer, stacked

    given = {
        SETTING_OF.get(name, name.replace("__", ".")): value.value if isinstance(value, Enum) else value
        for name, value in flags.items()
        if value is not None
    }
    return stacked([*file_layers(config_file, preset), set_layer(settings), Layer("", given)])


def file_layers(config_file: Path | None, preset: str | None) -> list[Layer]:
    """What a preset and a config file's tables of stages say.

    Args:
        config_file: TOML file, or None.
        preset: Name of a preset; None for the config file's own.

    Raises:
        ConfigError: The file cannot be read, or there is no such preset.
    """
    from dubber.config import layers_of, preset_layers
    from dubber.config_file import read_config_file

    return preset_layers(preset) if config_file is None else layers_of(read_config_file(config_file), preset)


def set_layer(settings: list[str] | None) -> Layer:
    """What `--set` says.

    Args:
        settings: STAGE.NAME=VALUE texts.

    Raises:
        ConfigError: One is not of that form.
    """
    from dubber.config import Layer

    return Layer("--set", dict(_setting(text) for text in settings or []))


def adapt_flags(adapt: str | None) -> dict[str, Any]:
    """The settings that `--adapt` stands for, as flags of `build_config`.

    Raises:
        ConfigError: Neither a number nor "auto".
    """
    if adapt is None:
        return {}
    try:
        minutes = adapt if adapt == "auto" else float(adapt)
    except ValueError as error:
        raise ConfigError(
            f"'{adapt}' is no time to adapt.", advice="Say `--adapt 5` or `--adapt auto`."
        ) from error
    return {"adapt__is_on": True, "adapt__minutes": minutes}


def _setting(text: str) -> tuple[str, Any]:
    key, separator, value = text.partition("=")
    if not separator:
        raise ConfigError(f"'{text}' is not of the form STAGE.NAME=VALUE.", where="--set")
    return key.strip(), _typed(value.strip())


def _typed(text: str) -> Any:
    """Read a value as TOML would, and as plain text otherwise."""
    try:
        return tomllib.loads(f"value = {text}")["value"]
    except (ValueError, RecursionError):  # TOML's errors are ValueErrors
        return text
