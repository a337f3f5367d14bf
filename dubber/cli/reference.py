"""docs/reference, made from the command line and the settings: `python -m dubber.cli.reference DIR`."""

from __future__ import annotations

import inspect
import sys
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any

from dubber.cli.command_tables import commands_of, key_of, keyed_options
from dubber.cli.option_docs import describe
from dubber.cli.options.settings import SETTING_OF
from dubber.config_schema import stage_settings, toml_value
from dubber.presets import PRESETS

_NOTE = "Made by `make reference` from the code; do not edit."


def cli_reference(root: Any) -> str:
    """docs/reference/cli.md: every command with every argument and option.

    Args:
        root: The command line as typer made it.
    """
    lines = [
        "# Commands",
        "",
        _NOTE,
        "",
        "A *key* is the option's name in a config file: `run.overwrite` is `overwrite` in the table `[run]`. "
        "Where two keys stand, the option is another name of the setting, see [config.md](config.md).",
        "",
        *_options_table(root, ()),
    ]
    for names, command in commands_of(root):
        lines += ["", f"## dubber {' '.join(names)}", "", inspect.cleandoc(command.help or ""), ""]
        lines += [*_arguments_table(command), *_options_table(command, names)]
    return "\n".join(lines) + "\n"


def config_reference() -> str:
    """docs/reference/config.md: every preset and every setting."""
    lines = [
        "# Settings",
        "",
        _NOTE,
        "",
        "A setting is given as `--set STAGE.NAME=VALUE`, or in a config file in the table of its stage. "
        "`--config FILE` or the variable `DUBBER_CONFIG` names the file; `dubber config init` writes one "
        "with every key. Later ones win: defaults, preset, the file's tables of stages, its table `[run]`, "
        "that of the command, `--set`, the options of the command. `dubber config show` says which did.",
        "",
        "What `[run]` says of the dub and of where the work is done (settings, speakers, preset, device, "
        "cache, weights and the like) holds for the other commands that take it too, unless their own table "
        "says otherwise: `dubber plan` and `dubber check` tell of what `dubber run` does with the same file.",
        "",
        "```toml",
        'preset = "fast"         # the preset to start from',
        "",
        "[render]                # settings of a stage",
        "num_candidates = 64",
        "",
        "[run]                   # options of `dubber run`, by their long names",
        "overwrite = true",
        'cache = "../cache"      # relative to the file',
        "```",
        "",
        "## Presets",
        "",
        *_preset_lines(),
    ]
    for stage in stage_settings():
        lines += ["", f"## {stage.stage}", "", stage.summary]
        rows = [
            (f"`{stage.stage}.{each.name}`", _code(each.takes), _default(each.default), each.meaning)
            for each in stage.settings
        ]
        lines += ["", *_table(("key", "takes", "default", "meaning"), rows)] if rows else []
    return "\n".join(lines).rstrip() + "\n"


def write_reference(folder: Path) -> None:
    """Write both pages."""
    import typer.main

    from dubber.cli.app import app

    folder.mkdir(parents=True, exist_ok=True)
    (folder / "cli.md").write_text(cli_reference(typer.main.get_command(app)), encoding="utf-8")
    (folder / "config.md").write_text(config_reference(), encoding="utf-8")


def _arguments_table(command: Any) -> list[str]:
    arguments = [describe(each, command) for each in command.params if each.param_type_name == "argument"]
    rows = [
        (f"`{each.names}`", "yes" if each.is_required else _code(each.default_text) or "no", each.help)
        for each in arguments
    ]
    return [*_table(("argument", "needed", "meaning"), rows), ""] if rows else []


def _options_table(command: Any, names: tuple[str, ...]) -> list[str]:
    keyed = {option.name for option in keyed_options(command).values()}
    rows = []
    for option in command.params:
        if option.param_type_name != "option":
            continue
        each = describe(option, command)
        keys = [".".join((*names, key_of(option)))] if names and option.name in keyed else []
        keys += [SETTING_OF[option.name]] if option.name in SETTING_OF else []
        given = f"`{each.names}`{f' {_code(each.takes)}' if each.takes else ''}"
        default = "needed" if each.is_required else _code(each.default_text)
        rows.append((given, default, each.variable, ", ".join(map(_code, keys)), each.help))
    return _table(("option", "default", "variable", "key", "meaning"), rows)


def _preset_lines() -> Iterator[str]:
    for name, preset in PRESETS.items():
        yield f"- `{name}`: {preset.summary}"
        for choice in preset.choices:
            needs = f"; only with `{choice.needs[0]} = {toml_value(choice.needs[1])}`" if choice.needs else ""
            yield f"    - `{choice.key} = {toml_value(choice.value)}`: {choice.why}{needs}."


def _table(head: tuple[str, ...], rows: Iterable[tuple[str, ...]]) -> list[str]:
    lines = [head, tuple("---" for _ in head), *rows]
    return [f"| {' | '.join(cell.replace('|', chr(92) + '|') for cell in line)} |" for line in lines]


def _default(value: Any) -> str:
    return "not set" if value is None else _code(toml_value(value))


def _code(text: str) -> str:
    return f"`{text}`" if text else ""


if __name__ == "__main__":
    write_reference(Path(sys.argv[1]))
