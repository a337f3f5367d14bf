"""Null twin of the renderers: the source's own pixels."""

from __future__ import annotations

from collections.abc import Generator, Iterator

from dubber.stages.mouth_stream import Shown
from dubber.stages.renderers.base import RenderJob


class CopyRenderer:
    """No patches: the frames stay as they are."""

    def __init__(self, job: RenderJob) -> None:
        """Nothing is to be prepared."""

    def paint(self, shown: Iterator[Shown]) -> Generator[Shown]:
        """See `Renderer`."""
        yield from shown
