"""Where the files lie that the optional trackers read. Nothing is downloaded here, ever."""

from __future__ import annotations

import os
from collections.abc import Iterable
from pathlib import Path

from dubber.engine.user_models import ModelsFolder, default_models_dir
from dubber.errors import WeightsError

INSIGHTFACE_DIR = "DUBBER_INSIGHTFACE_DIR"
FACE_LANDMARKER = "DUBBER_FACE_LANDMARKER"

_DETECTORS = ("det_10g.onnx", "det_2.5g.onnx", "det_500m.onnx", "scrfd_*bnkps*.onnx", "scrfd_*.onnx")
_RECOGNISERS = ("glintr100.onnx", "w600k_r50.onnx", "w600k_mbf.onnx")
"""Best first."""

_FETCHED_PACKS = ("insightface-buffalo_l", "insightface-buffalo_s")
_INSTALLED_PACKS = ("antelopev2", "buffalo_l", "buffalo_m", "buffalo_s", "buffalo_sc")
LANDMARKER = "mediapipe-face-landmarker"
"""The bundle's name in the catalogue."""


def insightface_files() -> tuple[Path, ...]:
    """The detector, and the recogniser where its folder has one.

    They are looked for in the folder that `DUBBER_INSIGHTFACE_DIR` names. Where it names none: among fetched
    models, then where the insightface library keeps its own.

    Raises:
        WeightsError: No folder has a detector.
    """
    folders = _insightface_folders()
    for folder in folders:
        detector = _first(folder, _DETECTORS)
        if detector is not None:
            recogniser = _first(folder, _RECOGNISERS)
            return (detector,) if recogniser is None else (detector, recogniser)
    raise WeightsError(
        "The tracker 'insightface' needs a detection model, such as det_10g.onnx or det_500m.onnx, and for "
        "telling people apart a recognition model, such as w600k_r50.onnx or w600k_mbf.onnx, in the same "
        "folder. There is none.",
        where=_looked_in(folders),
        advice="The models are for non-commercial research only. Get them with "
        f"`dubber weights fetch {_FETCHED_PACKS[0]}`, or set {INSIGHTFACE_DIR} to a folder that has them.",
    )


def face_landmarker_file() -> tuple[Path, ...]:
    """The Face Landmarker's bundle: the file that `DUBBER_FACE_LANDMARKER` names, or else the fetched one.

    Raises:
        WeightsError: It is not there.
    """
    named = os.environ.get(FACE_LANDMARKER)
    fetched = ModelsFolder(default_models_dir()).folder(LANDMARKER) / "face_landmarker.task"
    path = Path(named).expanduser() if named else fetched
    if path.is_file():
        return (path,)
    raise WeightsError(
        "The tracker 'mediapipe-tasks' needs MediaPipe's bundle face_landmarker.task, which is not there.",
        where=str(path),
        advice=f"Its licence is Apache-2.0. `dubber weights fetch {LANDMARKER}` gets it; or set "
        f"{FACE_LANDMARKER} to the file.",
    )


def _insightface_folders() -> tuple[Path, ...]:
    named = os.environ.get(INSIGHTFACE_DIR)
    if named:
        return (Path(named).expanduser(),)
    fetched = ModelsFolder(default_models_dir())
    installed = Path.home() / ".insightface" / "models"
    return (
        *(fetched.folder(pack) for pack in _FETCHED_PACKS),
        *(installed / pack for pack in _INSTALLED_PACKS),
    )


def _first(folder: Path, patterns: Iterable[str]) -> Path | None:
    """The first file that matches, by the patterns' order and then by name."""
    return next(
        (path for pattern in patterns for path in sorted(folder.glob(pattern)) if path.is_file()), None
    )


def _looked_in(folders: tuple[Path, ...]) -> str:
    return ", ".join(str(folder) for folder in folders)
