"""What rows of a batch come to: jobs, each with the options of `dubber run` that concern one dub."""

from __future__ import annotations

import typing
from collections.abc import Mapping
from dataclasses import dataclass, field, fields
from enum import Enum
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING, Any

import typer
from pydantic import ConfigDict, TypeAdapter, ValidationError

from dubber.cli import options as o
from dubber.cli.command_tables import layers_of_tables
from dubber.cli.run import run
from dubber.config_file import did_you_mean, file_named
from dubber.errors import ConfigError
from dubber.jobs import Extras, Job
from dubber.output import container_of, default_output
from dubber.provenance import Provenance
from dubber.stages.plugins import file_of, named_in
from dubber.stages.remux import consent_words

if TYPE_CHECKING:
    from dubber.batch.rows import Rows
    from dubber.config import DubConfig

OF_THE_BATCH = frozenset(
    [
        "overwrite",
        "from_stage",
        "until_stage",
        "dry_run",
        "device",
        "threads",
        "cache",
        "weights",
        "commercial",
        "strict",
        "json",
        "quiet",
        "verbose",
    ]
)
"""Options of `dubber run` that hold for a whole batch, or make no sense in one."""

_EXTRAS = frozenset(field.name for field in fields(Extras))
_WRITTEN = _EXTRAS | {"output"}
_SIGNER = frozenset(field.name for field in fields(Provenance))
_OTHERS = frozenset(
    [
        "video",
        "audio",
        "curves",
        "output",
        "speaker",
        "script",
        "start",
        "end",
        "bed",
        "adapt",
        "preset",
        "config",
        "set",
        "name",
    ]
)

JOB_OPTIONS = frozenset(o.SETTING_OF) | _EXTRAS | _SIGNER | _OTHERS
"""What a row may hold beside settings."""


@dataclass(frozen=True)
class Given:
    """Options for every job, as `_checked` takes them.

    Attributes:
        flags: From the command line.
        tables: From the config file's tables of commands; settings are there by STAGE.NAME.
    """

    flags: Mapping[str, Any] = field(default_factory=dict)
    tables: Mapping[str, Any] = field(default_factory=dict)


def build_jobs(rows: Rows, output_dir: Path, given: Given, *, has_report: bool) -> list[Job]:
    """Turn rows into jobs.

    Of what is said of a setting the last counts: the preset and the config file, what a folder's names imply,
    a jobs file's defaults, the command line, the row.

    Args:
        rows: Of a folder or a jobs file.
        output_dir: Where results go.
        given: What concerns every job.
        has_report: Whether every job gets a report.

    Raises:
        ConfigError: A row cannot be meant.
    """
    tables = _checked(given.tables, "the config file", Path.cwd(), output_dir)
    flags = _checked(given.flags, "the command line", Path.cwd(), output_dir)
    jobs = []
    for row in rows.rows:
        layers = [
            _checked(options, row.where, row.folder, output_dir) for options in (row.implied, rows.defaults)
        ]
        asked = _checked(row.options, row.where, row.folder, output_dir)
        try:
            jobs.append(_job([tables, *layers, flags, asked], output_dir, has_report=has_report))
        except ConfigError as error:
            where = f"{row.where}: {error.where}" if error.where else row.where
            raise ConfigError(error.message, where=where, advice=error.advice) from error
    return jobs


def _job(layers: list[dict[str, Any]], output_dir: Path, *, has_report: bool) -> Job:
    asked = {name: value for layer in layers for name, value in layer.items()}
    video = asked.get("video")
    if video is None:
        raise ConfigError("It names no video.", advice="Give it `video` and `audio`.")
    said, who = o.build_script(
        *(asked.get(name) for name in ("audio", "speaker", "script", "start", "end", "bed"))
    )
    output = asked.get("output") or output_dir / f"{video.stem}{default_output(video).suffix}"
    container_of(output)
    name = asked.get("name") or _name(output, output_dir)
    if not (output_dir / name).resolve().is_relative_to(output_dir.resolve()):
        raise ConfigError(f"'{name}' is no name of a job: it leads out of the output folder.")
    extras = Extras(**{each: asked[each] for each in _EXTRAS if each in asked})
    if has_report and extras.report is None:
        extras = Extras(**{**vars(extras), "report": output_dir / f"{name}.report.html"})
    config = _config(asked, layers, who)
    # Who does the job, perhaps on another machine, does not see the document.
    config = config.with_overrides({"remux.consent": consent_words(config.remux.consent)})
    return Job(
        video=video,
        said=said,
        output=output,
        config=config,
        extras=extras,
        provenance=Provenance(**{each: asked[each] for each in _SIGNER if each in asked}),
        curves=asked.get("curves"),
        name=name,
    )


def _config(asked: dict[str, Any], layers: list[dict[str, Any]], who: str | None) -> DubConfig:
    from dubber.config import Layer, stacked

    stack = o.file_layers(asked.get("config"), asked.get("preset"))
    for layer in layers:
        stack.append(Layer("", {key: value for key, value in layer.items() if "." in key}))
        stack.append(o.set_layer(layer.get("set")))
        stack.append(Layer("", _settings(layer)))
    config = stacked([*stack, *([] if who is None else [Layer("--speaker", {"track.speaker": who})])])
    return _with_whole_renderer(config)


def _with_whole_renderer(config: DubConfig) -> DubConfig:
    """The same where the file of a renderer of the user's is relative to nothing any more.

    Raises:
        ConfigError: The file is missing.
    """
    renderer = named_in(config.render.renderer, Path.cwd())
    file = file_of(renderer)
    if file is None:
        return config
    if not file.is_file():
        raise ConfigError("There is no such file with a renderer.", where=str(file))
    return config.with_overrides({"render.renderer": renderer})


def _settings(layer: Mapping[str, Any]) -> dict[str, Any]:
    """Options that stand for settings, by the settings' names."""
    return {key: made for name, value in layer.items() for key, made in o.settings_of(name, value).items()}


def _checked(options: Mapping[str, Any], where: str, folder: Path, output_dir: Path) -> dict[str, Any]:
    """Options with values of their types; names of files are whole.

    Raises:
        ConfigError: An option is unknown, concerns the whole batch, or has a value that it does not take.
    """
    checked: dict[str, Any] = {}
    for name, value in options.items():
        if "." in name:  # a setting; whoever stacks them checks them
            checked[name] = _whole(value, folder, name)
            continue
        _check_name(name, where)
        option_type, takes_several = _option_types()[name]
        try:
            listed = [value] if takes_several and isinstance(value, str) else value
            typed = option_type.validate_python(listed)
        except ValidationError as error:
            reason = error.errors()[0]["msg"]
            raise ConfigError(f"'{name} = {value}' is wrong: {reason}.", where=where) from error
        checked[name] = _whole(typed, output_dir if name in _WRITTEN else folder, name)
    return checked


def _check_name(name: str, where: str) -> None:
    if name in OF_THE_BATCH:
        raise ConfigError(
            f"'{name}' holds for the whole batch.",
            where=where,
            advice=f"Say `--{name.replace('_', '-')}` on the command line.",
        )
    if name not in JOB_OPTIONS:
        known = f"Known: {', '.join(sorted(JOB_OPTIONS))}, and settings as STAGE.NAME."
        advice = did_you_mean(name, JOB_OPTIONS) or known
        raise ConfigError(f"There is no option '{name}' for a job.", where=where, advice=advice)


@cache
def _option_types() -> dict[str, tuple[TypeAdapter[Any], bool]]:
    """Of each option that a row may hold: what checks its value, and whether it takes several."""
    hints = typing.get_type_hints(run)
    hints = {**hints, "set": hints["settings"], "name": str}
    lax = ConfigDict(coerce_numbers_to_str=True)
    return {
        name: (TypeAdapter(hints[name], config=lax), _takes_list(hints[name]))
        for name in JOB_OPTIONS & hints.keys()
    }


def _takes_list(hint: Any) -> bool:
    return any(typing.get_origin(each) is list for each in typing.get_args(hint))


def _whole(value: Any, folder: Path, name: str) -> Any:
    """A value as settings take it; the names of files in it are relative to nothing any more."""
    if isinstance(value, Path):
        return folder / value
    if isinstance(value, Enum):
        return value.value
    if name == "speaker":  # WHO, WHO=FILE or NAME=WHO
        return ["=".join(file_named(part, folder) for part in each.split("=", 1)) for each in value]
    if name in ("renderer", "render.renderer") and isinstance(value, str):
        return named_in(value, folder)
    return file_named(value, folder) if name in ("consent", "remux.consent") else value


def _name(output: Path, output_dir: Path) -> str:
    inside = output.relative_to(output_dir) if output.is_relative_to(output_dir) else Path(output.name)
    return inside.with_suffix("").as_posix()


def given_options(context: typer.Context) -> Given:
    """Options for every job that the user gave, on the command line or in the config file's tables.

    Args:
        context: Of the command.
    """
    flags: dict[str, Any] = {}
    tables: dict[str, Any] = {}
    for name in context.params.keys() & (JOB_OPTIONS - _WRITTEN):
        source = context.get_parameter_source(name)
        if source is not None and source.name != "DEFAULT":
            found = tables if source.name == "DEFAULT_MAP" else flags
            value = context.params[name]
            found[name] = value.value if isinstance(value, Enum) else value
    of_tables = [layer.values for layer in layers_of_tables(context)]
    if own := context.params["settings"][sum(map(len, of_tables)) :]:
        flags["set"] = own
    for values in of_tables:
        tables |= values
    return Given(flags, tables)
