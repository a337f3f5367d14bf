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


def settings_of(name: str, value: Any) -> dict[str, Any]:
    """The settings that an option stands for, by STAGE.NAME.

    Args:
        name: Of the option's parameter.
        value: As it was given; None means not given.

    Returns:
        Nothing for an option that is no other name of settings.

    Raises:
        ConfigError: `--adapt` takes neither this nor "auto".
    """
    if value is None:
        return {}
    if name == "adapt":
        return {"adapt.is_on": True, "adapt.minutes": _minutes(value)}
    plain = (
        {SETTING_OF[name]: value.value if isinstance(value, Enum) else value} if name in SETTING_OF else {}
    )
    return {SETTING_OF["label"]: True, **plain} if name == "label_text" else plain


def build_config(
    config_file: Path | None, settings: list[str] | None, preset: str | None = None, **flags: Any
) -> DubConfig:
    """Layer defaults, a preset, the config file, `--set` and flags, later ones winning.

    Args:
        config_file: TOML file, or None.
        settings: STAGE.NAME=VALUE texts.
        preset: Name of a preset; None for the config file's own.
        **flags: Values of the options that stand for settings by their name, other settings by key with "__"
            for ".", such as track__speaker; None means not given.

    Raises:
        ConfigError: Something in them is wrong.
    """
    from dubber.config import Layer, stacked

    given: dict[str, Any] = {}
    for name, value in flags.items():
        if value is not None:
            given |= settings_of(name, value) or {name.replace("__", "."): value}
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


def _minutes(text: Any) -> Any:
    try:
        return text if text == "auto" else float(text)
    except ValueError as error:
        raise ConfigError(
            f"'{text}' is no time to adapt.", advice="Say `--adapt 5` or `--adapt auto`."
        ) from error


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
