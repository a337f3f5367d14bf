"""What settings there are: their type, default, limits and meaning, read from the stages' `Params`."""

from __future__ import annotations

import inspect
import json
import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, cast

from dubber.config import DubConfig
from dubber.engine.stage import Params

_KINDS = {
    "boolean": "true or false",
    "integer": "a whole number",
    "number": "a number",
    "string": "text",
    "array": "a list",
    "object": "a table",
}
_LIMITS = {
    "minimum": "at least",
    "exclusiveMinimum": "more than",
    "maximum": "at most",
    "exclusiveMaximum": "less than",
}


@dataclass(frozen=True)
class Setting:
    """One setting.

    Attributes:
        name: Within its stage.
        takes: What it may be, in words: 'a whole number, at least 0'.
        default: None where it is not set.
        meaning: From the docstring of its `Params`; empty where that says nothing.
    """

    name: str
    takes: str
    default: Any
    meaning: str


@dataclass(frozen=True)
class StageSettings:
    """The settings of one stage.

    Attributes:
        stage: Its name, which is that of its table in a config file.
        summary: The first line of its docstring.
        settings: In their order there.
    """

    stage: str
    summary: str
    settings: tuple[Setting, ...]


def stage_settings() -> list[StageSettings]:
    """Every stage with its settings, in the order of `DubConfig`."""
    found = []
    for stage, field in DubConfig.model_fields.items():
        params = cast("type[Params]", field.annotation)
        text = inspect.getdoc(params) or ""
        schema = params.model_json_schema()
        meanings = _attributes(text, tuple(params.model_fields))
        defaults = params().model_dump(mode="json")
        settings = tuple(
            Setting(name, _takes(each, schema.get("$defs", {})), defaults[name], meanings.get(name, ""))
            for name, each in schema.get("properties", {}).items()
        )
        found.append(StageSettings(stage, text.partition("\n")[0], settings))
    return found


def toml_value(value: Any) -> str:
    """A setting's value as a config file writes it; JSON's and TOML's texts, numbers and lists are alike."""
    return json.dumps(value, ensure_ascii=False)


def _attributes(docstring: str, names: tuple[str, ...]) -> dict[str, str]:
    """The meanings in a docstring's section "Attributes"."""
    _, _, section = docstring.partition("Attributes:\n")
    meanings: dict[str, str] = {}
    name = ""
    for line in section.splitlines():
        match = re.match(r"\s*(\w+): (.*)", line)
        if match and match[1] in names:
            name, text = match[1], match[2]
            meanings[name] = text
        elif name and line.strip():
            meanings[name] += " " + line.strip()
    return meanings


def _takes(schema: Mapping[str, Any], definitions: Mapping[str, Any]) -> str:
    if "$ref" in schema:
        return _takes(definitions[schema["$ref"].rpartition("/")[2]], definitions)
    if "anyOf" in schema:
        parts = [_takes(part, definitions) for part in schema["anyOf"] if part.get("type") != "null"]
        return " or ".join(parts)
    if "const" in schema:
        return toml_value(schema["const"])
    if "enum" in schema:
        return ", ".join(toml_value(each) for each in schema["enum"])
    if "pattern" in schema:
        return f"text like {schema['pattern']}"
    kind = _KINDS[schema["type"]]
    limits = [f"{words} {schema[name]:g}" for name, words in _LIMITS.items() if name in schema]
    return ", ".join([kind, " and ".join(limits)] if limits else [kind])
