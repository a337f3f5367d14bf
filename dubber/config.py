"""Everything that may change the bytes of a dub: the parameters of its stages, in one frozen value."""

from __future__ import annotations

import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from pydantic import BaseModel, ConfigDict, ValidationError

from dubber.errors import ConfigError
from dubber.stages.adapt import AdaptParams
from dubber.stages.blend import BlendParams
from dubber.stages.deflicker import DeflickerParams
from dubber.stages.demux import DemuxParams
from dubber.stages.fit import FitParams
from dubber.stages.mix import MixParams
from dubber.stages.people import PeopleParams
from dubber.stages.remux import RemuxParams
from dubber.stages.render import RenderParams
from dubber.stages.retime import RetimeParams
from dubber.stages.speech import SpeechParams
from dubber.stages.teeth import TeethParams
from dubber.stages.timeline import LengthParams
from dubber.stages.track import TrackParams
from dubber.stages.translate import TranslateParams

if sys.version_info >= (3, 11):
    import tomllib
else:
    import tomli as tomllib


class DubConfig(BaseModel):
    """Parameters of every stage. Layers: these defaults, then a TOML file, then the command line."""

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
    mix: MixParams = MixParams()
    remux: RemuxParams = RemuxParams()

    def with_overrides(self, overrides: Mapping[str, Any]) -> DubConfig:
        """A copy with some values replaced.

        Args:
            overrides: Values by dotted key, such as {"render.renderer": "copy"}.

        Raises:
            ConfigError: An unknown key, or a value that the key does not take.
        """
        document = self.model_dump(mode="json")
        for dotted, value in overrides.items():
            stage, _, name = dotted.partition(".")
            if stage not in document or not name:
                raise ConfigError(
                    f"There is no setting '{dotted}'.", advice=f"Stages: {', '.join(document)}."
                )
            document[stage][name] = value
        return self._validated(document, where="")

    @classmethod
    def from_toml(cls, path: Path) -> DubConfig:
        """Read a config file: a table per stage.

        Raises:
            ConfigError: The file is missing, malformed, or has a key or value that is not known.
        """
        try:
            document = tomllib.loads(path.read_text(encoding="utf-8"))
        except OSError as error:
            raise ConfigError(
                f"The config file cannot be read ({error.strerror}).", where=str(path)
            ) from error
        except (ValueError, RecursionError) as error:  # TOML's and UTF-8's are ValueErrors
            raise ConfigError(f"The config file is no valid TOML: {error}.", where=str(path)) from error
        return cls._validated(document, where=str(path))

    @classmethod
    def _validated(cls, document: dict[str, Any], where: str) -> DubConfig:
        try:
            return cls.model_validate(document)
        except ValidationError as error:
            first = error.errors()[0]
            # Stage and name; what follows is pydantic's own word for a kind of value.
            key = ".".join(str(part) for part in first["loc"][:2])
            raise ConfigError(f"The setting '{key}' is wrong: {first['msg']}.", where=where) from error
