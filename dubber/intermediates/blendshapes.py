"""A performance as ARKit-like blendshapes, in the form that Live Link Face writes (docs/curves.md)."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import numpy as np

from dubber import __version__
from dubber.corrections import facts_of, lip_opening
from dubber.curves.facts import FORMAT, VERSION
from dubber.curves.opening import LipOpening, vertices_of
from dubber.curves.table import check_suffix
from dubber.engine.execute import Run
from dubber.engine.progress import Progress
from dubber.engine.stage import Runtime
from dubber.intermediates.curves import decimal, write_whole
from dubber.models.morphable import LinearFaceModel
from dubber.ops.blendshapes import (
    ARKIT_NAMES,
    MEASURED,
    MouthMeasures,
    head_angles,
    lid_shapes,
    mouth_shapes,
)
from dubber.ops.face_motion import eye_openness
from dubber.ops.landmarks import EYE_CORNERS
from dubber.ops.pose import rotation_matrices
from dubber.pipeline import DubPlan, Performance
from dubber.stages.fit import FACE_MODEL
from dubber.types import FaceCoeffs, FaceTrack, Float64, RetimeMap, Timeline
from dubber.units import median_frame_rate

FORMAT_VALUE = "dubber blendshapes 1"

_HEAD = ("HeadYaw", "HeadPitch", "HeadRoll")
_GAZE = tuple(f"{side}Eye{axis}" for side in ("Left", "Right") for axis in ("Yaw", "Pitch", "Roll"))
COLUMNS = ("Timecode", "BlendShapeCount", *ARKIT_NAMES, *_HEAD, *_GAZE)
"""Of Live Link Face's files."""

_DECIMALS = 5


def blendshape_files(path: Path, num_speakers: int) -> tuple[Path, ...]:
    """Where each speaker's blendshapes go: the first one's into the file named, the others' beside it.

    Raises:
        ConfigError: The name is neither that of a CSV nor of a JSON file.
    """
    check_suffix(path)
    others = (path.with_name(f"{path.stem}.speaker_{n}{path.suffix}") for n in range(2, num_speakers + 1))
    return (path, *others)


def write_blendshapes(
    dub_plan: DubPlan, runtime: Runtime, path: Path, *, progress: Progress, is_overwrite: bool
) -> tuple[Path, ...]:
    """Write what mouths, eyelids and heads do as blendshapes.

    Args:
        dub_plan: A plan; what of it is missing in the cache is made, up to the curves.
        runtime: Where and how.
        path: A `.csv` or `.json` file; see `blendshape_files`.
        progress: Is told how far it is.
        is_overwrite: Replace existing files.

    Returns:
        The files.

    Raises:
        DubberError: A stage failed, or a file cannot be written.
    """
    run = Run(dub_plan.plan, runtime, progress)
    run.progress.plan([node.name for node in dub_plan.plan.nodes[: dub_plan.retime.index + 1] if node.stage])
    files = blendshape_files(path, len(dub_plan.performances))
    facts = facts_of(run, dub_plan) | {FORMAT: FORMAT_VALUE, VERSION: __version__}
    for person, file in zip(dub_plan.performances, files, strict=True):
        rows = _rows(run, dub_plan, person)
        # Live Link Face's files begin with the columns' names.
        told = facts if file.suffix.lower() == ".json" else {}
        write_whole(file, told, COLUMNS, rows, is_overwrite=is_overwrite)
    return files


def person_shapes(run: Run, dub_plan: DubPlan, person: Performance) -> dict[str, Float64]:
    """What a speaker's face does in the dub.

    Args:
        run: The run of the plan.
        dub_plan: Its plan.
        person: One of its speakers.

    Returns:
        (N,) float64 by column: shapes in 0..1, head angles in radians; what cannot be told is left out.
    """
    coeffs, track, retime = run.get(person.coeffs), run.get(person.track), run.get(dub_plan.retime)
    model = LinearFaceModel.from_weight(run.runtime.weights.open(FACE_MODEL))
    shapes = mouth_shapes(
        run.get(person.expression).expression_NK.astype(np.float64),
        neutral_expression(coeffs, track, lip_opening(run, person)),
        mouth_measures(model, coeffs),
    )
    return shapes | _upper_face(coeffs, track, retime)


def neutral_expression(coeffs: FaceCoeffs, track: FaceTrack, opening: LipOpening) -> Float64:
    """(K,) a person's median expression in the footage, with the lips shut."""
    median_1K = np.median(coeffs.expression_TK[track.is_usable_T], axis=0)[None]
    return np.asarray(opening.moved(median_1K, np.zeros(1))[0])


def mouth_measures(model: LinearFaceModel, coeffs: FaceCoeffs) -> MouthMeasures:
    """What blendshapes are read from, in distances of a person's eyes.

    Raises:
        WeightsError: The face model lacks one of the landmarks.
    """
    right, left = vertices_of(model, [int(EYE_CORNERS[0]), int(EYE_CORNERS[3])])
    neutral_1K = np.zeros((1, model.num_expression), np.float32)
    shape_V3 = model.vertices_TV3(coeffs.identity_K, neutral_1K)[0].astype(np.float64)
    eyes = float(np.linalg.norm(shape_V3[right] - shape_V3[left]))
    basis_KP3 = model.expression_KV3[:, vertices_of(model, MEASURED.tolist())].astype(np.float64)
    return MouthMeasures(basis_KP3 / eyes)


def _upper_face(coeffs: FaceCoeffs, track: FaceTrack, retime: RetimeMap) -> dict[str, Float64]:
    """Eyelids and head as the footage has them."""
    source_N = retime.source_index_N
    lids_N2 = lid_shapes(eye_openness(track.landmarks_TL3), track.is_usable_T)[source_N]
    angles_N3 = head_angles(rotation_matrices(coeffs.rotation_T3[source_N]))
    lids = zip(("EyeBlinkLeft", "EyeBlinkRight"), lids_N2.T, strict=True)
    return {**dict(lids), **dict(zip(_HEAD, angles_N3.T, strict=True))}


def _rows(run: Run, dub_plan: DubPlan, person: Performance) -> Iterator[list[str]]:
    timeline = run.get(dub_plan.timeline)
    known = person_shapes(run, dub_plan, person)
    unknown_N = np.zeros(timeline.num_frames)
    names = COLUMNS[2:]
    values_NC = np.stack([known.get(name, unknown_N) for name in names], axis=1)
    for timecode, values in zip(_timecodes(timeline), values_NC, strict=True):
        yield [timecode, str(len(names)), *(decimal(value, _DECIMALS) for value in values)]


def _timecodes(timeline: Timeline) -> Iterator[str]:
    """Hours, minutes, seconds, frames and thousandths of a frame, from 0; no frame numbers are dropped."""
    rate = float(median_frame_rate(timeline.pts_N, timeline.time_base))
    counted = max(1, round(rate))
    for time_s in timeline.times_s_N.tolist():
        frames, thousandths = divmod(round(time_s * rate * 1000), 1000)
        seconds, frame = divmod(frames, counted)
        hours, rest = divmod(seconds, 3600)
        yield f"{hours:02d}:{rest // 60:02d}:{rest % 60:02d}:{frame:02d}.{thousandths:03d}"
