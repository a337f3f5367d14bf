"""Tables of a config file that stand for options: what `[run]` says is as if given to `dubber run`."""

from __future__ import annotations

import json
import os
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

import typer

from dubber.errors import ConfigError

if TYPE_CHECKING:
    from typer.core import TyperCommand, TyperOption

    from dubber.config_file import ConfigFile

CONFIG_VARIABLE = "DUBBER_CONFIG"
"""Environment variable that names a config file for every command."""

_NOT_KEYS = {"config", "settings", "help"}
"""Options that say where settings are; a file that is read says them itself."""

_META = "dubber.settings_of_command_table"


@dataclass
class OptionValues:
    """What a table says of a command's options.

    Attributes:
        defaults: By the option's parameter name.
        settings: Those that are another name of a setting, by STAGE.NAME: `--set` goes before them.
        errors: What is wrong in the table.
    """

    defaults: dict[str, Any] = field(default_factory=dict)
    settings: dict[str, Any] = field(default_factory=dict)
    errors: list[ConfigError] = field(default_factory=list)


def key_of(option: TyperOption) -> str:
    """The config key of an option: its long name, with underscores."""
    return _key(max(option.opts, key=lambda opt: opt.startswith("--")))


def keyed_options(command: Any) -> dict[str, TyperOption]:
    """A command's options by the keys that a config file may use; other spellings of an option are keys too.

    Args:
        command: As typer made it.
    """
    options = [
        param
        for param in command.params
        if param.param_type_name == "option" and param.name not in _NOT_KEYS and not param.is_eager
    ]
    return {_key(opt): option for option in options for opt in option.opts if opt.startswith("--")}


def commands_of(group: Any, path: tuple[str, ...] = ()) -> Iterator[tuple[tuple[str, ...], TyperCommand]]:
    """Every command below a group, with its names, in the order of `--help`."""
    for name, command in group.commands.items():
        if hasattr(command, "commands"):
            yield from commands_of(command, (*path, name))
        else:
            yield (*path, name), command


def read_options(file: ConfigFile, names: tuple[str, ...], context: typer.Context) -> OptionValues:
    """The table of one command, checked and typed.

    Args:
        file: The config file; paths in it lie relative to its folder.
        names: Of the command, such as ("eval", "self").
        context: Of any command.
    """
    from dubber.cli.options.settings import SETTING_OF
    from dubber.config_file import did_you_mean

    found = OptionValues()
    command: Any = context.find_root().command
    table: Any = file.tables
    for name in names:
        command, table = command.commands[name], table.get(name, {})
    options = keyed_options(command)
    called = f"dubber {' '.join(names)}"
    for key, value in table.items():
        if key not in options:
            message = f"`{called}` has no option '{key}' for [{'.'.join(names)}]."
            advice = did_you_mean(key, options) or f"See `{called} --help`."
            found.errors.append(ConfigError(message, where=file.where, advice=advice))
            continue
        option = options[key]
        try:
            typed = _typed(option, value, Path(file.where).parent, context)
        except typer.BadParameter as error:
            message = f"The key '{key}' of [{'.'.join(names)}] is wrong: {error.message.rstrip('.')}."
            advice = f"See `{called} --help`."
            found.errors.append(ConfigError(message, where=file.where, advice=advice))
            continue
        if option.name in SETTING_OF:
            found.settings[SETTING_OF[option.name]] = value
        else:
            found.defaults[option.name] = typed
    return found


def errors_of_file(file: ConfigFile, context: typer.Context) -> list[ConfigError]:
    """Everything that is wrong in a config file, in its order.

    Args:
        file: As it was read.
        context: Of any command.
    """
    from dubber.config import DubConfig, preset_layers, table_layer
    from dubber.config_file import unknown_table

    commands = dict(commands_of(context.find_root().command))
    errors: list[ConfigError] = []
    try:
        preset_layers(file.preset)
    except ConfigError as error:
        errors.append(ConfigError(error.message, where=file.where, advice=error.advice))
    errors += DubConfig().errors_in(table_layer(file).values, where=file.where)
    others = {name: table for name, table in file.tables.items() if name not in DubConfig.model_fields}
    for names in _tables(others, commands):
        if names in commands:
            values = read_options(file, names, context)
            errors += [*values.errors, *DubConfig().errors_in(values.settings, where=file.where)]
        else:
            known = (*DubConfig.model_fields, *(".".join(each) for each in commands))
            errors.append(unknown_table(".".join(names), known, file.where))
    return errors


def take_config(context: typer.Context, path: Path | None) -> Path | None:
    """What `--config` does at once: the file's table of this command becomes the defaults of its options.

    Raises:
        ConfigError: Something in the file is wrong.
    """
    from dubber.config import first_of
    from dubber.config_file import read_config_file

    if path is None or context.resilient_parsing:
        return path
    file = read_config_file(path)
    if errors := errors_of_file(file, context):
        raise first_of(errors)
    values = read_options(file, _names(context), context)
    context.default_map = values.defaults
    context.meta[_META] = values.settings
    return path


def take_settings(context: typer.Context, settings: list[str] | None) -> list[str] | None:
    """What `--set` does: settings that the command's table made come first, so that the user's own win."""
    ours = [f"{key}={json.dumps(value)}" for key, value in settings_of_table(context).items()]
    return [*ours, *(settings or [])]


def settings_of_table(context: typer.Context) -> dict[str, Any]:
    """By STAGE.NAME, what the command's table of the config file says of settings."""
    found: dict[str, Any] = context.meta.get(_META, {})
    return found


def take_variable(root: typer.Context) -> None:
    """Read the file that `DUBBER_CONFIG` names, for commands that know no `--config`.

    Raises:
        ConfigError: Something in the file is wrong.
    """
    from dubber.config import first_of
    from dubber.config_file import read_config_file

    if not (name := os.environ.get(CONFIG_VARIABLE)):
        return
    file = read_config_file(Path(name))
    if errors := errors_of_file(file, root):
        raise first_of(errors)
    root.default_map = {}
    for names, _ in commands_of(root.command):
        table: Any = root.default_map
        for each in names:
            table = table.setdefault(each, {})
        table.update(read_options(file, names, root).defaults)


def _typed(option: TyperOption, value: Any, folder: Path, context: typer.Context) -> Any:
    if option.multiple != isinstance(value, list):
        raise typer.BadParameter("It takes a list." if option.multiple else "It takes one value.")
    typed = option.process_value(context, value)
    if isinstance(typed, list):
        return [_in_folder(each, folder) for each in typed]
    return _in_folder(typed, folder)


def _in_folder(value: Any, folder: Path) -> Any:
    return folder / value.expanduser() if isinstance(value, Path) else value


def _tables(
    tables: Mapping[str, Any], commands: Mapping[tuple[str, ...], Any], group: tuple[str, ...] = ()
) -> Iterator[tuple[str, ...]]:
    """Names of tables, those of a group of commands by its members."""
    for name, table in tables.items():
        names = (*group, name)
        is_group = any(len(each) > len(names) and each[: len(names)] == names for each in commands)
        if is_group and isinstance(table, dict):
            yield from _tables(table, commands, names)
        else:
            yield names


def _names(context: typer.Context) -> tuple[str, ...]:
    names: list[str] = []
    step: Any = context
    while step.parent is not None:
        names.insert(0, step.info_name)
        step = step.parent
    return tuple(names)


def _key(opt: str) -> str:
    return opt.lstrip("-").replace("-", "_")
