"""What the shell offers for an option's value; each function is given what was typed and lists what fits."""

from __future__ import annotations

from collections.abc import Iterable, Iterator

Offer = tuple[str, str]
"""A value and a line about it."""


def presets(incomplete: str) -> Iterator[Offer]:
    """Names of presets."""
    from dubber.presets import PRESETS

    return _fitting(((name, preset.summary) for name, preset in PRESETS.items()), incomplete)


def renderers(incomplete: str) -> Iterator[Offer]:
    """Names of renderers."""
    return _methods("renderer", incomplete)


def translators(incomplete: str) -> Iterator[Offer]:
    """Names of translators."""
    return _methods("translator", incomplete)


def trackers(incomplete: str) -> Iterator[Offer]:
    """Names of trackers."""
    from typing import get_args

    from dubber.tracking.backends import TrackerName

    return _fitting(((name, "") for name in get_args(TrackerName)), incomplete)


def stages(incomplete: str) -> Iterator[Offer]:
    """Names of stages."""
    import dubber.pipeline  # noqa: F401 - makes every stage known
    from dubber.engine.stage import Stage

    own = (stage for stage in Stage.__subclasses__() if stage.__module__.startswith("dubber."))
    return _fitting(((stage.name, "") for stage in own), incomplete)


def sheets(incomplete: str) -> Iterator[Offer]:
    """Names of what `dubber inspect` draws."""
    from dubber.intermediates.drawn_stages import SHEETS

    return _fitting(((name, "") for name in SHEETS), incomplete)


def settings(incomplete: str) -> Iterator[Offer]:
    """Keys of settings, as `--set` takes them."""
    from dubber.config_schema import stage_settings

    keys = (
        (f"{stage.stage}.{each.name}=", each.meaning) for stage in stage_settings() for each in stage.settings
    )
    return _fitting(keys, incomplete)


def models(incomplete: str) -> Iterator[Offer]:
    """Names of models of others that can be fetched."""
    from dubber.engine.user_models import catalogue

    return _fitting(((name, entry.description) for name, entry in catalogue().items()), incomplete)


def _methods(part: str, incomplete: str) -> Iterator[Offer]:
    from dubber.stages.methods import all_methods

    return _fitting(((each.name, each.summary) for each in all_methods() if each.part == part), incomplete)


def _fitting(offers: Iterable[Offer], incomplete: str) -> Iterator[Offer]:
    return (offer for offer in offers if offer[0].startswith(incomplete))
