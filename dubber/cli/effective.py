"""What a command would work with: every value, and who gave it."""

from __future__ import annotations

import os
from collections.abc import Mapping
from dataclasses import dataclass, replace
from enum import Enum
from pathlib import Path
from typing import Any

import typer

from dubber.cli.command_tables import CONFIG_VARIABLE, key_of, keyed_options, layers_of_tables, take_variable

DEFAULT = "default"


@dataclass(frozen=True)
class Value:
    """A value and its origin.

    Attributes:
        value: As JSON knows it; None: not set.
        source: "default", "preset NAME", "variable NAME", the name of a config file, or the flag.
    """

    value: Any
    source: str


@dataclass(frozen=True)
class Effective:
    """What a command would work with.

    Attributes:
        command: Its name, "eval self".
        settings: By STAGE.NAME; empty for a command that has none.
        options: The command's other options by config key.
    """

    command: str
    settings: Mapping[str, Value]
    options: Mapping[str, Value]

    def changed(self) -> Effective:
        """Without what is as it is by default."""
        return replace(self, settings=_changed(self.settings), options=_changed(self.options))


def effective_of(root: typer.Context, names: tuple[str, ...], arguments: list[str]) -> Effective:
    """What a command would work with if it were given these options; its files need not be named.

    Args:
        root: Context of the whole command line.
        names: Of the command.
        arguments: Its options.

    Raises:
        ConfigError: Something in them, or in their config file, is wrong.
    """
    take_variable(root)
    command: Any = root.command
    context = root
    for name in names[:-1]:
        command = command.commands[name]
        context = typer.Context(command, parent=context, info_name=name)
    command = command.commands[names[-1]]
    for param in command.params:
        param.required = False
    context = command.make_context(names[-1], arguments, parent=context)
    return Effective(
        " ".join(names),
        settings=_settings(context) if "settings" in context.params else {},
        options=_options(context),
    )


def _settings(context: typer.Context) -> dict[str, Value]:
    """Every setting, after all layers."""
    from dubber.cli.options.settings import file_layers, set_layer, settings_of
    from dubber.config import Layer, kept, setting_keys, stacked

    given = context.params
    of_tables = layers_of_tables(context)
    num_of_tables = sum(len(layer.values) for layer in of_tables)
    layers = kept(
        [
            *file_layers(given["config"], given["preset"]),
            *of_tables,
            set_layer(given["settings"][num_of_tables:]),
            *(
                Layer(_source(context, name), values)
                for name, value in given.items()
                if (values := settings_of(name, value))
            ),
            *(Layer(_source(context, "speaker"), {"track.speaker": who}) for who in _one_speaker(given)),
        ]
    )
    sources = {key: layer.source for layer in layers for key in layer.values}
    document = stacked(layers).model_dump(mode="json")
    return {
        key: Value(document[stage][name], sources.get(key, DEFAULT))
        for key in setting_keys()
        for stage, _, name in [key.partition(".")]
    }


def _one_speaker(given: Mapping[str, Any]) -> list[str]:
    """Whose mouth, where one person is named without a recording of their own; see `build_script`."""
    speakers = given.get("speaker") or []
    is_one = given.get("script") is None and len(speakers) == 1 and "=" not in speakers[0]
    return list(speakers) if is_one else []


def _options(context: typer.Context) -> dict[str, Value]:
    """Every option that is not another name of a setting."""
    from dubber.cli.options.settings import SETTING_OF

    options = {option.name: option for option in keyed_options(context.command).values()}
    return {
        key_of(option): Value(_plain(context.params[name]), _source(context, name))
        for name, option in options.items()
        if name not in SETTING_OF
    }


def _source(context: typer.Context, name: str) -> str:
    source = context.get_parameter_source(name)
    params: Any = context.command.params
    [option] = [param for param in params if param.name == name]
    return {
        "COMMANDLINE": f"--{key_of(option).replace('_', '-')}",
        "ENVIRONMENT": f"variable {option.envvar}",
        "DEFAULT_MAP": f"{context.params.get('config') or os.environ.get(CONFIG_VARIABLE)}",
    }.get(source.name if source else "", DEFAULT)


def _plain(value: Any) -> Any:
    """As JSON and TOML know it."""
    if isinstance(value, list):
        return [_plain(each) for each in value]
    if isinstance(value, Enum):
        return value.value
    return str(value) if isinstance(value, Path) else value


def _changed(values: Mapping[str, Value]) -> dict[str, Value]:
    return {name: value for name, value in values.items() if value.source != DEFAULT}
