"""The trackers by name. Loads nothing heavy until one is made."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Literal

from dubber.tracking.user_files import face_landmarker_file, insightface_files

if TYPE_CHECKING:
    from dubber.tracking.base import FaceTracker

TrackerName = Literal["mediapipe", "insightface", "mediapipe-tasks"]
"""What a stage's parameters call a tracker."""


@dataclass(frozen=True)
class _Backend:
    """A row of the table.

    Attributes:
        find_files: The files of the user's that it reads.
        make: Makes it, from `look_side_px` and these files.
    """

    find_files: Callable[[], tuple[Path, ...]]
    make: Callable[[int, tuple[Path, ...]], FaceTracker]


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
    return _BACKENDS[name].find_files()


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
    return backend.make(look_side_px, backend.find_files() if models is None else tuple(models))


def _mediapipe(look_side_px: int, models: tuple[Path, ...]) -> FaceTracker:  # noqa: ARG001 - needs none
    from dubber.tracking.mediapipe_mesh import MediapipeMeshTracker

    return MediapipeMeshTracker(look_side_px=look_side_px)


def _insightface(look_side_px: int, models: tuple[Path, ...]) -> FaceTracker:
    from dubber.tracking.insightface_mesh import InsightfaceTracker

    detector, *recogniser = models
    return InsightfaceTracker(detector, *recogniser, look_side_px=look_side_px)


def _mediapipe_tasks(look_side_px: int, models: tuple[Path, ...]) -> FaceTracker:
    from dubber.tracking.mediapipe_tasks import MediapipeTasksTracker

    (bundle,) = models
    return MediapipeTasksTracker(bundle, look_side_px=look_side_px)


_BACKENDS: dict[TrackerName, _Backend] = {
    "mediapipe": _Backend(lambda: (), _mediapipe),
    "insightface": _Backend(insightface_files, _insightface),
    "mediapipe-tasks": _Backend(face_landmarker_file, _mediapipe_tasks),
}
