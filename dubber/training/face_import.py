"""Making the face model of a weights folder out of a published one, instead of learning it from clips."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from dubber.engine.weights import MANIFEST_NAME, WeightsFolder, shipped_weights_dir
from dubber.errors import OutputExistsError, WeightsError
from dubber.models.morphable import TRACKER, TRACKER_VERTICES, LinearFaceModel
from dubber.stages.fit import FACE_MODEL
from dubber.training.face_files import FaceFile, read_face_file, to_linear_face_model
from dubber.training.release import save_weight
from dubber.types import NUM_TRACKER_LANDMARKS, Float64


def import_face_model(
    path: Path,
    out: Path,
    *,
    file_format: str,
    landmarks: Path | None,
    num_expression: int,
    is_overwrite_allowed: bool,
) -> LinearFaceModel:
    """Convert a published face model and put it into a weights folder.

    Args:
        path: The publisher's folder or file.
        out: Weights folder; its manifest is updated, other weights stay.
        file_format: See `read_face_file`.
        landmarks: See `read_face_file`.
        num_expression: See `read_face_file`.
        is_overwrite_allowed: Whether a face model that is there may be replaced.

    Returns:
        The model.

    Raises:
        ConfigError: Path, format or landmarks cannot be meant.
        OutputExistsError: The folder has a face model already.
        OutputFolderError: The folder cannot be written.
        WeightsError: A file is damaged, or its landmarks are not those of a face.
    """
    if not is_overwrite_allowed and has_weight(out, FACE_MODEL):
        raise OutputExistsError("The weights folder has a face model already.", where=str(out))
    source = read_face_file(path, file_format, landmarks, num_expression)
    model = to_linear_face_model(source, tracker_mean_face())
    save_weight(out, FACE_MODEL, model.to_arrays(), _entry(source, model, path))
    return model


def has_weight(folder: Path, name: str) -> bool:
    """Whether a weights folder lists a weight."""
    return (folder / MANIFEST_NAME).is_file() and name in WeightsFolder(folder).manifest


def tracker_mean_face() -> Float64:
    """(468, 3) the tracker's mean face, out of the face model that comes with dubber.

    Raises:
        WeightsError: That model was replaced by another one.
    """
    folder = WeightsFolder(shipped_weights_dir())
    model = LinearFaceModel.from_weight(folder.open(FACE_MODEL))
    tracker = model.landmark_sets[TRACKER]
    mean_L3 = np.full((NUM_TRACKER_LANDMARKS, 3), np.nan)
    mean_L3[tracker] = model.mean_V3[model.landmark_sets[TRACKER_VERTICES]]
    if not np.isfinite(mean_L3).all():
        raise WeightsError(
            "The face model that comes with dubber was replaced; it says where landmarks lie on others.",
            where=str(folder.root),
            advice="Reinstall dubber, and import into a folder of your own.",
        )
    return mean_L3


def _entry(source: FaceFile, model: LinearFaceModel, path: Path) -> dict[str, object]:
    return {
        "kind": "linear face model",
        "licence": source.licence,
        "is_commercial_use_allowed": source.is_commercial_use_allowed,
        "training_data": source.training_data,
        "recipe": f"dubber weights import face-model {path.name}",
        "description": (
            f"{source.name}: {model.num_identity} identity and {model.num_expression} expression components, "
            f"{len(model.mean_V3)} vertices"
        ),
    }
