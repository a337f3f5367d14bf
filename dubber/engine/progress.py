"""What a run tells whoever watches: a protocol, and a silent implementation."""

from __future__ import annotations

from typing import Protocol


class Progress(Protocol):
    """Receives the course of a run. Implementations must not raise."""

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
