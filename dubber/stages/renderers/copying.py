"""Null twin of the renderers: the source's own pixels."""

from __future__ import annotations

from collections.abc import Iterator
from typing import ClassVar

from dubber.stages.renderers.base import RenderJob
from dubber.stages.renderers.crops import source_pictures
from dubber.types import UInt8


class CopyRenderer:
    """The source's own patches."""

    is_own_pixels: ClassVar[bool] = True

    def __init__(self, job: RenderJob) -> None:
        self._job = job

    def patches(self, start: int, stop: int) -> Iterator[UInt8]:
        """See `Renderer`."""
        chosen = [n for n in range(start, stop) if self._job.has_patch_N[n]]
        yield from source_pictures(self._job, chosen)
