"""The trackers by name. Loads nothing heavy until one is made."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Literal

if TYPE_CHECKING:
    from dubber.tracking.base import FaceTracker

TrackerName = Literal["mediapipe"]
"""What a stage's parameters call a tracker."""


def model_files(name: TrackerName) -> tuple[Path, ...]:
    """Files of the user's that a tracker reads; their bytes may change what it finds.

    Whoever caches what a tracker found makes their checksums part of the key.

    Args:
        name: The tracker.

    Returns:
        Paths, for `make_tracker`; empty where all lies in installed packages.

    Raises:
        WeightsError: Files are missing.
    """
    return _BACKENDS[name].files()


def make_tracker(
    name: TrackerName, *, look_side_px: int, models: Sequence[Path] | None = None
) -> FaceTracker:
    """A tracker, which is a context manager.

    Args:
        name: Which.
        look_side_px: New faces are looked for in pictures whose longer side is at most this.
        models: What `model_files` gave; None: look for them now.

    Raises:
        WeightsError: Files are missing, or hold something else.
    """
    backend = _BACKENDS[name]
    return backend.make(look_side_px, backend.files() if models is None else tuple(models))


class _Backend:
    """How to find what a tracker needs, and how to make it."""

    def __init__(
        self, files: Callable[[], tuple[Path, ...]], make: Callable[[int, tuple[Path, ...]], FaceTracker]
    ) -> None:
        self.files = files
        self.make = make


def _mediapipe(look_side_px: int, models: tuple[Path, ...]) -> FaceTracker:  # noqa: ARG001 - needs none
    from dubber.tracking.mediapipe_mesh import MediapipeMeshTracker

    return MediapipeMeshTracker(look_side_px=look_side_px)


_BACKENDS: dict[str, _Backend] = {"mediapipe": _Backend(lambda: (), _mediapipe)}
