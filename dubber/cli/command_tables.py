"""Tables of a config file that stand for options: what `[run]` says is as if given to `dubber run`.

What it says of the dub and of where the work is done holds for the other commands that take it too, unless a
table of their own says otherwise: so `plan` and `check` tell of what `run` does with the same file.
"""

from __future__ import annotations

import json
import os
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

import typer

from dubber.errors import ConfigError

if TYPE_CHECKING:
    from typer.core import TyperCommand, TyperOption

    from dubber.config import Layer
    from dubber.config_file import ConfigFile

CONFIG_VARIABLE = "DUBBER_CONFIG"
"""Environment variable that names a config file for every command."""

_NOT_KEYS = {"config", "settings", "help"}
"""Options that say where settings are; a file that is read says them itself."""

_RUN = ("run",)
_OF_EVERY_COMMAND = {
    "bed",
    "cache",
    "certificate",
    "commercial",
    "curves",
    "device",
    "end",
    "preset",
    "private_key",
    "script",
    "speaker",
    "start",
    "threads",
    "weights",
}
"""Options of `[run]` that hold for each command that has them, as those that stand for settings do."""

_OF_CHECK = {"output", "overwrite", "strict"}
"""Others on which depends how a run ends, which `check` tells."""

_META = "dubber.settings_of_command_tables"


@dataclass
class OptionValues:
    """What a table says of a command's options.

    Attributes:
        defaults: By the option's parameter name.
        settings: What those come to that stand for settings, by STAGE.NAME: `--set` goes before them.
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
    from dubber.cli.options.settings import settings_of
    from dubber.config import with_files_in
    from dubber.config_file import did_you_mean

    found, folder = OptionValues(), Path(file.where).parent
    command = _command(context, names)
    table: Any = file.tables
    for name in names:
        table = table.get(name, {})
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
            typed = _typed(option, value, folder, context)
            settings = with_files_in(settings_of(option.name, typed), folder)
        except (typer.BadParameter, ConfigError) as error:
            message = f"The key '{key}' of [{'.'.join(names)}] is wrong: {error.message.rstrip('.')}."
            advice = f"See `{called} --help`."
            found.errors.append(ConfigError(message, where=file.where, advice=advice))
            continue
        found.settings |= settings
        if not settings:
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
    for names, is_table in _tables(others, commands):
        called = ".".join(names)
        if names not in commands:
            known = (*DubConfig.model_fields, *(".".join(each) for each in commands))
            errors.append(unknown_table(called, known, file.where))
        elif is_table:
            values = read_options(file, names, context)
            errors += [*values.errors, *DubConfig().errors_in(values.settings, where=file.where)]
        else:
            advice = f"Write its keys below a line `[{called}]`."
            errors.append(ConfigError(f"'{called}' is no table.", where=file.where, advice=advice))
    return errors


def take_config(context: typer.Context, path: Path | None) -> Path | None:
    """What `--config` does at once: the file's table of this command becomes the defaults of its options.

    Raises:
        ConfigError: Something in the file is wrong.
    """
    if path is None or context.resilient_parsing:
        return path
    from dubber.config import Layer, first_of
    from dubber.config_file import read_config_file

    file = read_config_file(path)
    if errors := errors_of_file(file, context):
        raise first_of(errors)
    names = _names(context)
    tables = _tables_for(file, names, context)
    context.default_map = {
        name: value for values in tables.values() for name, value in values.defaults.items()
    }
    context.meta[_META] = [
        Layer(f"{path} [{'.'.join(of)}]", values.settings) for of, values in tables.items()
    ]
    return path


def take_settings(context: typer.Context, settings: list[str] | None) -> list[str] | None:
    """What `--set` does: settings that tables of commands made come first, so that the user's own win."""
    ours = [
        f"{key}={json.dumps(value, ensure_ascii=False)}"
        for layer in layers_of_tables(context)
        for key, value in layer.values.items()
    ]
    return [*ours, *(settings or [])]


def layers_of_tables(context: typer.Context) -> list[Layer]:
    """What the config file's tables say of settings that concern the command: `[run]`, then its own."""
    found: list[Layer] = context.meta.get(_META, [])
    return found


def take_variable(root: typer.Context) -> None:
    """Read the file that `DUBBER_CONFIG` names, for commands that know no `--config`.

    Raises:
        ConfigError: Something in the file is wrong.
    """
    if not (name := os.environ.get(CONFIG_VARIABLE)):
        return
    from dubber.config import first_of
    from dubber.config_file import read_config_file

    file = read_config_file(Path(name))
    if errors := errors_of_file(file, root):
        raise first_of(errors)
    root.default_map = {}
    for names, _ in commands_of(root.command):
        table: Any = root.default_map
        for each in names:
            table = table.setdefault(each, {})
        for values in _tables_for(file, names, root).values():
            table.update(values.defaults)


def wants_json(arguments: Sequence[str]) -> bool:
    """Whether a command line asks for JSON, itself or by its config file; what is wrong in either is left.

    Args:
        arguments: Of the command line.
    """
    if "--json" in arguments:
        return True
    if not (name := _named_config(arguments)):
        return False
    from dubber.config_file import read_config_file

    try:
        table: dict[str, Any] = read_config_file(Path(name)).tables
    except ConfigError:
        return False
    for each in arguments:
        if not isinstance(table.get(each), dict):
            break
        table = table[each]
    return table.get("json") is True


def _named_config(arguments: Sequence[str]) -> str:
    """The config file that `--config` or the variable names; "" for none."""
    named = os.environ.get(CONFIG_VARIABLE, "")
    for argument, following in zip(arguments, [*arguments[1:], ""], strict=True):
        option, is_value, value = argument.partition("=")
        if option == "--config":
            named = value if is_value else following
    return named


def _tables_for(
    file: ConfigFile, names: tuple[str, ...], context: typer.Context
) -> dict[tuple[str, ...], OptionValues]:
    """By the names of their commands, the tables that concern a command; the later one wins."""
    own = read_options(file, names, context)
    if names == _RUN:
        return {names: own}
    command = _command(context, names)
    options = {option.name for option in keyed_options(command).values()}
    shared = options & (_OF_EVERY_COMMAND | (_OF_CHECK if names == ("check",) else set()))
    of_run = read_options(file, _RUN, context)
    defaults = {name: value for name, value in of_run.defaults.items() if name in shared}
    settings = of_run.settings if any(param.name == "settings" for param in command.params) else {}
    return {_RUN: OptionValues(defaults, settings), names: own}


def _command(context: typer.Context, names: tuple[str, ...]) -> Any:
    command: Any = context.find_root().command
    for name in names:
        command = command.commands[name]
    return command


def _typed(option: TyperOption, value: Any, folder: Path, context: typer.Context) -> Any:
    if option.multiple != isinstance(value, list):
        raise typer.BadParameter("It takes a list." if option.multiple else "It takes one value.")
    from dubber.config_file import file_named

    typed = option.process_value(context, value)
    if option.name == "speaker":  # WHO, WHO=FILE or NAME=WHO
        return ["=".join(file_named(part, folder) for part in each.split("=", 1)) for each in typed]
    if isinstance(typed, list):
        return [_in_folder(each, folder) for each in typed]
    return _in_folder(typed, folder)


def _in_folder(value: Any, folder: Path) -> Any:
    return folder / value.expanduser() if isinstance(value, Path) else value


def _tables(
    tables: Mapping[str, Any], commands: Mapping[tuple[str, ...], Any], group: tuple[str, ...] = ()
) -> Iterator[tuple[tuple[str, ...], bool]]:
    """Names of tables, those of a group of commands by its members; and whether they are tables."""
    for name, table in tables.items():
        names = (*group, name)
        is_group = any(len(each) > len(names) and each[: len(names)] == names for each in commands)
        if is_group and isinstance(table, dict):
            yield from _tables(table, commands, names)
        else:
            yield names, isinstance(table, dict)


def _names(context: typer.Context) -> tuple[str, ...]:
    names: list[str] = []
    step: Any = context
    while step.parent is not None:
        names.insert(0, step.info_name)
        step = step.parent
    return tuple(names)


def _key(opt: str) -> str:
    return opt.lstrip("-").replace("-", "_")
