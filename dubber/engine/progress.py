"""What a run tells whoever watches: a protocol, and a silent implementation."""

from __future__ import annotations

from typing import Protocol


class Progress(Protocol):
    """Receives the course of a run, from several threads. Implementations must not raise.

    Example:
        >>> from dubber import dub
        >>> from dubber.engine.progress import SilentProgress
        >>> class Names(SilentProgress):
        ...     done = set()
        ...     def finish(self, stage, seconds, *, is_hit):
        ...         self.done.add(stage)
        >>> result = dub("talk.mp4", "other.wav", progress=Names(), until_stage="timeline")
        >>> sorted(Names.done)
        ['demux', 'speech', 'timeline']
    """

    def plan(self, stages: list[str]) -> None:
        """The stages to come, in order."""

    def start(self, stage: str, total: int | None) -> None:
        """A stage begins; `total` frames where known."""

    def advance(self, stage: str, count: int = 1) -> None:
        """`count` more frames are done."""

    def finish(self, stage: str, seconds: float, *, is_hit: bool) -> None:
        """A stage is done; `is_hit` when it was in the cache."""


class SilentProgress:
    """Tells nobody."""

    def plan(self, stages: list[str]) -> None:
        """Ignore."""

    def start(self, stage: str, total: int | None) -> None:
        """Ignore."""

    def advance(self, stage: str, count: int = 1) -> None:
        """Ignore."""

    def finish(self, stage: str, seconds: float, *, is_hit: bool) -> None:
        """Ignore."""
