"""What is to be said of a parameter of a command, for config files and docs/reference."""

from __future__ import annotations

from dataclasses import dataclass
from enum import Enum
from pathlib import Path
from typing import Any

import typer


@dataclass(frozen=True)
class OptionDoc:
    """A parameter of a command.

    Attributes:
        names: As they are given: "-o, --output"; an argument's name.
        takes: What follows it: a metavar, a type, or choices; empty for a flag.
        help: Its help text.
        default: As JSON knows it; None where it is not set.
        default_text: The default in words; empty where there is nothing to say.
        variable: Environment variable that stands for it; empty for none.
        is_required: Whether the command needs it.
    """

    names: str
    takes: str
    help: str
    default: Any
    default_text: str
    variable: str
    is_required: bool


def describe(param: Any, command: Any) -> OptionDoc:
    """What is to be said of a parameter.

    Args:
        param: An option or argument, as typer made it.
        command: Its command.
    """
    is_option = param.param_type_name == "option"
    is_flag = is_option and (param.is_flag or param.count)
    default = _plain(param.default)
    if isinstance(param.show_default, str):
        text = param.show_default
    else:
        text = "" if default in (None, False) or param.show_default is False else str(default)
    return OptionDoc(
        names=", ".join((*param.opts, *param.secondary_opts)) if is_option else param.name.upper(),
        takes="" if is_flag else param.metavar or param.display_type(typer.Context(command)).strip("<>"),
        help=param.help or "",
        default=default,
        default_text=text,
        variable=param.envvar or "",
        is_required=param.required,
    )


def _plain(value: Any) -> Any:
    if isinstance(value, Enum):
        return value.value
    return str(value) if isinstance(value, Path) else value
