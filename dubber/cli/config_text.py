"""Config files as text: the commented template, and what a command would work with."""

from __future__ import annotations

import itertools
import textwrap
from collections.abc import Iterator, Mapping
from typing import TYPE_CHECKING, Any

from dubber.cli.command_tables import CONFIG_VARIABLE, commands_of, key_of, keyed_options
from dubber.cli.option_docs import describe

if TYPE_CHECKING:
    from dubber.cli.effective import Effective, Value

_WIDTH = 100
_COMMANDS = (("run",), ("batch",))
"""Commands whose options the template lists; those of the others have tables too."""


def template(root: Any) -> str:
    """A config file that changes nothing: every key with its meaning, what it takes and its default.

    Prose follows "# ", a key "#": with the latter taken away the file says the defaults.

    Args:
        root: The command line as typer made it.
    """
    from dubber.presets import DEFAULT_PRESET, PRESETS

    lines = [
        *_prose(
            "dubber's settings. Lines that begin with # and no space are keys with their defaults: take the "
            "# away to change one. `dubber run --config FILE` uses the file, and so does every command where "
            f"{CONFIG_VARIABLE} names it. What --set and flags say goes before what stands here."
        ),
        "",
        *_prose("Many settings at once; the tables below go before it."),
        *(line for name, preset in PRESETS.items() for line in _prose(f"{name}: {preset.summary}")),
        f'#preset = "{DEFAULT_PRESET}"',
        *_stage_lines(),
        "",
        *_prose(
            "Options of commands, by their long names; [plan], [eval.self] and so on hold those of other "
            "commands. What [run] says of the dub and of where the work is done holds for them too. Paths "
            "lie relative to this file. Options that are another name of a setting above stand there."
        ),
    ]
    commands = dict(commands_of(root))
    for names in _COMMANDS:
        lines += ["", f"[{'.'.join(names)}]", *_option_lines(commands[names])]
    return "\n".join(lines) + "\n"


def effective_text(found: Effective) -> str:
    """What a command would work with, as a config file with the source of each value behind it."""
    lines = [f"# dubber {found.command}"]
    settings = itertools.groupby(found.settings.items(), key=lambda item: item[0].partition(".")[0])
    for stage, group in settings:
        table = {key.partition(".")[2]: value for key, value in group}
        lines += ["", f"[{stage}]", *_value_lines(table)]
    if found.options:
        lines += ["", f"[{found.command.replace(' ', '.')}]", *_value_lines(found.options)]
    return "\n".join(lines) + "\n"


def effective_document(found: Effective) -> dict[str, Any]:
    """The same for `--json`."""
    parts = {"settings": found.settings, "options": found.options}
    return {
        "command": found.command,
        **{
            part: {key: {"value": value.value, "source": value.source} for key, value in values.items()}
            for part, values in parts.items()
        },
    }


def _stage_lines() -> Iterator[str]:
    from dubber.config_schema import stage_settings, toml_value

    for stage in stage_settings():
        yield ""
        yield from _prose(stage.summary)
        yield f"[{stage.stage}]"
        for setting in stage.settings:
            yield from _prose(f"{setting.meaning} {setting.takes[:1].upper()}{setting.takes[1:]}.")
            if setting.default is None:
                yield f"# {setting.name} is not set."
            else:
                yield f"#{setting.name} = {toml_value(setting.default)}"


def _option_lines(command: Any) -> Iterator[str]:
    from dubber.cli.options.settings import SETTING_OF
    from dubber.config_schema import toml_value

    for option in {option.name: option for option in keyed_options(command).values()}.values():
        if option.name in SETTING_OF:
            continue
        described = describe(option, command)
        yield from _prose(described.help)
        if described.default is None:
            instead = f": {described.default_text}" if described.default_text else ""
            yield f"# {key_of(option)} is not set{instead}."
        else:
            yield f"#{key_of(option)} = {toml_value(described.default)}"


def _value_lines(values: Mapping[str, Value]) -> Iterator[str]:
    from dubber.config_schema import toml_value

    for name, value in values.items():
        said = f"# {name} is not set" if value.value is None else f"{name} = {toml_value(value.value)}"
        yield f"{said:<40}  # {value.source}"


def _prose(text: str) -> list[str]:
    return textwrap.wrap(text, _WIDTH, initial_indent="# ", subsequent_indent="# ")
