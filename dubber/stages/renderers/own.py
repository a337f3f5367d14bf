"""Renderers of the user's own: a short way to write one, and a watch over what it gives."""

from __future__ import annotations

import inspect
import traceback
from abc import ABC, abstractmethod
from collections.abc import Generator, Iterator
from contextlib import closing, contextmanager
from dataclasses import replace
from typing import ClassVar

import numpy as np

from dubber.engine.memory import is_out_of_memory
from dubber.errors import ConfigError, DubberError
from dubber.stages.mouth_stream import Shown
from dubber.stages.plugins import OwnRenderer
from dubber.stages.renderers.base import Renderer, RenderJob
from dubber.stages.renderers.crops import crop_of
from dubber.types import UInt8


class PatchRenderer(ABC):
    """A renderer that makes each patch by itself; the short way to write one.

    A subclass sets `version`, to be raised with every change of its pictures that its file does not show, and
    writes `patch`. What can be prepared for all frames is prepared in its constructor.

    Args:
        job: What is to be painted; kept as `self.job`.
    """

    version: ClassVar[int]

    def __init__(self, job: RenderJob) -> None:
        self.job = job

    @abstractmethod
    def patch(self, n: int, filmed_HW3: UInt8) -> UInt8:
        """Make the mouth of one output frame.

        Args:
            n: Its number; `job.wanted_NP2[n]` is where the mouth shall be, `job.own_NM2[n]` where it is.
            filmed_HW3: (height, width, 3) uint8 RGB of `job.patch_size`, what the source shows there.

        Returns:
            (height, width, 3) uint8 RGB, the same size. The same for the same `n`, whatever was asked before.
        """

    def paint(self, shown: Iterator[Shown]) -> Generator[Shown]:
        """See `Renderer`."""
        for each in shown:
            if not self.job.has_patch_N[each.n]:
                yield each
                continue
            filmed_HW3 = crop_of(each.frame, self.job.similarity_N23[each.n], self.job.patch_size)
            yield replace(each, patch=self.patch(each.n, filmed_HW3))


class WatchedRenderer:
    """A renderer of the user's whose mistakes are named as such.

    Args:
        own: The renderer.
        job: What is to be painted.

    Raises:
        ConfigError: Its constructor failed.
    """

    def __init__(self, own: OwnRenderer, job: RenderJob) -> None:
        self._own, self._job = own, job
        with _own_faults(own):
            self._renderer: Renderer = own.make(job)

    def paint(self, shown: Iterator[Shown]) -> Generator[Shown]:
        """See `Renderer`.

        Raises:
            ConfigError: It failed, or what it gave is not what was asked for.
        """
        expected: list[int] = []

        def told() -> Iterator[Shown]:
            for each in shown:
                expected.append(each.n)
                yield each

        with _own_faults(self._own), closing(self._renderer.paint(told())) as made:
            for each in made:
                self._check(each, expected.pop(0) if expected else None)
                yield each
        if expected:
            raise self._fault(f"it did not give output frame {expected[0]} back")

    def _check(self, made: Shown, n: int | None) -> None:
        if made.n != n:
            raise self._fault(f"it gave output frame {made.n} where {n} was to come")
        if (made.patch is not None) != self._job.has_patch_N[n]:
            told = "has no patch" if made.patch is None else "has a patch, though it has no face"
            raise self._fault(f"output frame {n} {told}")
        if made.patch is None:
            return
        shape = (*self._job.patch_size, 3)
        if (
            not isinstance(made.patch, np.ndarray)
            or made.patch.shape != shape
            or made.patch.dtype != np.uint8
        ):
            is_array = isinstance(made.patch, np.ndarray)
            given = f"{made.patch.shape} {made.patch.dtype}" if is_array else type(made.patch).__name__
            raise self._fault(f"its patch of output frame {n} is {given}, not {shape} uint8")

    def _fault(self, what: str) -> ConfigError:
        return ConfigError(
            f"The renderer does not keep its promises: {what}.",
            where=self._own.name,
            advice="`dubber.testing.check_renderer` finds such mistakes; see docs/howto/own_renderer.md.",
        )


@contextmanager
def _own_faults(own: OwnRenderer) -> Iterator[None]:
    """Name the user's file and line in what fails inside the block.

    Raises:
        ConfigError: Something failed that is no error of dubber's and not for want of memory.
    """
    try:
        yield
    except DubberError:
        raise
    except Exception as error:
        if is_out_of_memory(error):
            raise
        file = inspect.getmodule(own.make)
        steps = traceback.extract_tb(error.__traceback__)
        lines = [step.lineno for step in steps if step.filename == getattr(file, "__file__", None)]
        place = f", line {lines[-1]}" if lines else ""
        raise ConfigError(
            f"The renderer failed{place}: {type(error).__name__}: {error}",
            where=own.name,
            advice="This is in the renderer's own code; `--renderer hybrid` does without it.",
        ) from error
