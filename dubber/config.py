"""Everything that may change the bytes of a dub: the parameters of its stages, in one frozen value."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, cast

from pydantic import BaseModel, ConfigDict, ValidationError

from dubber.config_file import (
    COMMANDS,
    ConfigFile,
    did_you_mean,
    file_named,
    read_config_file,
    unknown_table,
)
from dubber.errors import ConfigError
from dubber.presets import preset_named
from dubber.stages.adapt import AdaptParams
from dubber.stages.blend import BlendParams
from dubber.stages.deflicker import DeflickerParams
from dubber.stages.demux import DemuxParams
from dubber.stages.fit import FitParams
from dubber.stages.mark import MarkParams
from dubber.stages.mix import MixParams
from dubber.stages.people import PeopleParams
from dubber.stages.plugins import named_in
from dubber.stages.remux import RemuxParams
from dubber.stages.render import RenderParams
from dubber.stages.retime import RetimeParams
from dubber.stages.speech import SpeechParams
from dubber.stages.teeth import TeethParams
from dubber.stages.timeline import LengthParams
from dubber.stages.track import TrackParams
from dubber.stages.translate import TranslateParams

if TYPE_CHECKING:
    from pydantic_core import ErrorDetails

_WITH_FILE = {"remux.consent": file_named, "render.renderer": named_in, "track.speaker": file_named}
"""Settings that may name a file, and what finds it in a folder."""


class DubConfig(BaseModel):
    """Parameters of every stage. Layers: these defaults, a preset, a config file, the command line."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    demux: DemuxParams = DemuxParams()
    speech: SpeechParams = SpeechParams()
    people: PeopleParams = PeopleParams()
    track: TrackParams = TrackParams()
    fit: FitParams = FitParams()
    length: LengthParams = LengthParams()
    translate: TranslateParams = TranslateParams()
    retime: RetimeParams = RetimeParams()
    render: RenderParams = RenderParams()
    adapt: AdaptParams = AdaptParams()
    teeth: TeethParams = TeethParams()
    deflicker: DeflickerParams = DeflickerParams()
    blend: BlendParams = BlendParams()
    mark: MarkParams = MarkParams()
    mix: MixParams = MixParams()
    remux: RemuxParams = RemuxParams()

    def with_overrides(self, overrides: Mapping[str, Any], where: str = "") -> DubConfig:
        """A copy with some values replaced.

        Args:
            overrides: Values by dotted key, such as {"render.renderer": "copy"}.
            where: Whoever gave them, for errors.

        Raises:
            ConfigError: An unknown key, or a value that the key does not take.

        Example:
            >>> from dubber import DubConfig
            >>> config = DubConfig().with_overrides({"render.renderer": "copy", "translate.mouth_gain": 1.2})
            >>> config.render.renderer, config.translate.mouth_gain
            ('copy', 1.2)
        """
        config, errors = self._with(overrides, where)
        if errors:
            raise first_of(errors)
        return config

    def errors_in(self, overrides: Mapping[str, Any], where: str = "") -> list[ConfigError]:
        """Everything for which `with_overrides` would refuse these values."""
        return self._with(overrides, where)[1]

    def _with(self, overrides: Mapping[str, Any], where: str) -> tuple[DubConfig, list[ConfigError]]:
        document = self.model_dump(mode="json")
        errors = []
        for dotted, value in overrides.items():
            stage, _, name = dotted.partition(".")
            if name in document.get(stage, {}):
                document[stage][name] = value
            else:
                errors.append(_unknown_key(dotted, where))
        try:
            return DubConfig.model_validate(document), errors
        except ValidationError as error:
            return self, [*errors, *_wrong_values(error.errors(), where)]

    @classmethod
    def from_toml(cls, path: Path) -> DubConfig:
        """Read a config file: the preset it names, and its table of each stage.

        Tables of commands hold options of the command line and change nothing here.

        Raises:
            ConfigError: The file is missing, malformed, or has a table, key or value that is not known.
        """
        file = read_config_file(path)
        known = (*cls.model_fields, *COMMANDS)
        for table in file.tables:
            if table not in known:
                raise unknown_table(table, known, file.where)
        return stacked(layers_of(file))


@dataclass(frozen=True)
class Layer:
    """Some settings, and who made them.

    Attributes:
        source: In the user's words, such as "preset fast" or the name of a file.
        values: By dotted key.
        needs: By dotted key of a value, another setting and what it must be; otherwise the value is left out.
    """

    source: str
    values: Mapping[str, Any]
    needs: Mapping[str, tuple[str, Any]] = field(default_factory=dict)


def stacked(layers: Iterable[Layer]) -> DubConfig:
    """The defaults with layers on top of them, later ones winning.

    Raises:
        ConfigError: One has an unknown key, or a value that the key does not take.
    """
    config = DubConfig()
    for layer in kept(layers):
        config = config.with_overrides(layer.values, where=layer.source) if layer.values else config
    return config


def kept(layers: Iterable[Layer]) -> list[Layer]:
    """Layers without the values that need other settings than there are."""
    layers = list(layers)
    default = DubConfig().model_dump(mode="json")
    said = {f"{stage}.{name}": value for stage, table in default.items() for name, value in table.items()}
    for layer in layers:
        said |= layer.values

    def is_met(key: str, needs: Mapping[str, tuple[str, Any]]) -> bool:
        return key not in needs or said.get(needs[key][0]) == needs[key][1]

    return [
        replace(layer, values={key: each for key, each in layer.values.items() if is_met(key, layer.needs)})
        for layer in layers
    ]


def layers_of(file: ConfigFile, preset: str | None = None) -> list[Layer]:
    """A config file as layers: its preset, and what its tables say.

    Args:
        file: As it was read.
        preset: Stands for the file's own.

    Raises:
        ConfigError: No such preset.
    """
    return [*preset_layers(preset or file.preset), table_layer(file)]


def table_layer(file: ConfigFile) -> Layer:
    """What the stages' tables of a config file say."""
    tables = {stage: table for stage, table in file.tables.items() if stage in DubConfig.model_fields}
    values = {f"{stage}.{name}": value for stage, table in tables.items() for name, value in table.items()}
    return Layer(file.where, with_files_in(values, Path(file.where).parent))


def with_files_in(values: Mapping[str, Any], folder: Path) -> dict[str, Any]:
    """Settings by dotted key; the files that they name are relative to a folder no longer."""
    return {
        key: _WITH_FILE[key](value, folder) if key in _WITH_FILE and isinstance(value, str) else value
        for key, value in values.items()
    }


def preset_layers(name: str | None) -> list[Layer]:
    """A preset as a layer; nothing where none is named.

    Raises:
        ConfigError: No such preset.
    """
    if name is None:
        return []
    preset = preset_named(name)
    return [Layer(f"preset {name}", preset.values, preset.needs)]


def setting_keys() -> list[str]:
    """Every STAGE.NAME, in the order of the stages."""
    return [
        f"{stage}.{name}"
        for stage, field in DubConfig.model_fields.items()
        for name in cast("type[BaseModel]", field.annotation).model_fields
    ]


def first_of(errors: Sequence[ConfigError]) -> ConfigError:
    """The first of several errors, which says how many more there are."""
    first = errors[0]
    more = f" ({len(errors) - 1} more: see `dubber config validate`.)" if errors[1:] else ""
    return ConfigError(first.message + more, where=first.where, advice=first.advice)


def _unknown_key(dotted: str, where: str) -> ConfigError:
    stages = DubConfig.model_fields
    stage, _, name = dotted.partition(".")
    near = did_you_mean(dotted, setting_keys())
    if stage in stages:
        names = [key.partition(".")[2] for key in setting_keys() if key.startswith(f"{stage}.")]
        near = did_you_mean(name, names) or f"[{stage}] has: {', '.join(names) or 'nothing'}."
    return ConfigError(
        f"There is no setting '{dotted}'.", where=where, advice=near or f"Stages: {', '.join(stages)}."
    )


def _wrong_values(errors: Sequence[ErrorDetails], where: str) -> list[ConfigError]:
    reasons: dict[str, list[str]] = {}
    for error in errors:
        # Stage and name; what follows is pydantic's own word for each kind of value that would do.
        key = ".".join(str(part) for part in error["loc"][:2])
        reasons.setdefault(key, []).append(error["msg"].removeprefix("Value error, "))
    return [
        ConfigError(
            f"The setting '{key}' is wrong: {', or '.join(each)}.",
            where=where,
            advice="`dubber config init` writes a file with every setting and what it takes.",
        )
        for key, each in reasons.items()
    ]
