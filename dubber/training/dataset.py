"""Talking clips to learn from: a manifest, and each clip's track through the cache."""

from __future__ import annotations

import csv
import logging
from collections import Counter
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path

from dubber.engine.execute import Run
from dubber.engine.plan import Plan, Ref
from dubber.engine.progress import Progress
from dubber.engine.stage import Runtime
from dubber.engine.store import Store
from dubber.errors import ConfigError, NoFaceError
from dubber.stages.demux import Demux, DemuxParams
from dubber.stages.fit import Fit, FitParams
from dubber.stages.people import PeopleParams, plan_people
from dubber.stages.speech import ExtractOwnSpeech
from dubber.stages.track import TrackParams, plan_track
from dubber.types import Clip, FaceCoeffs, FaceTrack, SourceFile

logger = logging.getLogger(__name__)

COLUMNS = ("file", "split", "speaker")
"""Columns a manifest must have. A column `rights` goes into the weights' provenance."""


@dataclass(frozen=True)
class ManifestRow:
    """One clip of a manifest.

    Attributes:
        path: The file.
        split: What it is for: "train" rows teach.
        speaker: Who speaks.
        rights: What may be done with it; "" where the manifest does not say.
    """

    path: Path
    split: str
    speaker: str
    rights: str = ""


@dataclass(frozen=True)
class TrackedClip:
    """A clip whose face was followed.

    Attributes:
        row: Where it comes from.
        clip: What demuxing tells.
        track: The face.
    """

    row: ManifestRow
    clip: Clip
    track: FaceTrack


@dataclass(frozen=True)
class FittedClip:
    """A clip whose face was followed and explained.

    Attributes:
        row: Where it comes from.
        key: Names clip, track and fit.
        video: The file.
        clip: What demuxing tells.
        track: The face.
        coeffs: What explains it.
    """

    row: ManifestRow
    key: str
    video: SourceFile
    clip: Clip
    track: FaceTrack
    coeffs: FaceCoeffs


@dataclass(frozen=True)
class ClipPlan:
    """A plan that tracks one clip; stages that need more are added to it.

    Attributes:
        plan: The plan.
        video: The file.
        clip: What demuxing will tell.
        track: The face.
    """

    plan: Plan
    video: Ref[SourceFile]
    clip: Ref[Clip]
    track: Ref[FaceTrack]


def read_manifest(path: Path, split: str | None = "train") -> list[ManifestRow]:
    """Rows of a manifest.

    Args:
        path: CSV with at least `COLUMNS`; files are relative to its folder.
        split: Only rows of this split; all if None.

    Raises:
        ConfigError: The manifest cannot be read, lacks a column, or has no row of the split.
    """
    try:
        with path.open(newline="", encoding="utf-8") as file:
            reader = csv.DictReader(file)
            missing = set(COLUMNS) - set(reader.fieldnames or ())
            if missing:
                raise ConfigError(
                    f"The manifest lacks the columns {', '.join(sorted(missing))}.", where=str(path)
                )
            rows = [
                ManifestRow(path.parent / row["file"], row["split"], row["speaker"], row.get("rights") or "")
                for row in reader
                if split is None or row["split"] == split
            ]
    except (OSError, UnicodeDecodeError) as error:
        raise ConfigError(f"The manifest cannot be read: {error}.", where=str(path)) from error
    if not rows:
        raise ConfigError(f"The manifest has no rows of the split '{split}'.", where=str(path))
    return rows


def plan_clip(path: Path, runtime: Runtime) -> ClipPlan:
    """Plan the tracking of one clip, with the default parameters: dubbing it later finds it in the cache.

    Raises:
        MediaError: The file is missing or cannot be read.
    """
    plan = Plan(runtime.weights, Store(runtime.cache_dir))
    video = plan.source(path)
    clip = plan.add(Demux(DemuxParams()), video)
    people = plan_people(plan, PeopleParams(), video, clip)
    track = plan_track(plan, TrackParams(), video, clip, people, plan.add(ExtractOwnSpeech(), video))
    return ClipPlan(plan, video, clip, track)


def fitted_clip(row: ManifestRow, runtime: Runtime) -> FittedClip | None:
    """A clip with its face fitted, through the cache; None where it shows no usable face.

    Raises:
        MediaError: The file is missing or damaged.
    """
    planned = plan_clip(row.path, runtime)
    coeffs = planned.plan.add(Fit(FitParams()), planned.track)
    run = Run(planned.plan, runtime)
    try:
        return FittedClip(
            row,
            coeffs.key,
            run.get(planned.video),
            run.get(planned.clip),
            run.get(planned.track),
            run.get(coeffs),
        )
    except NoFaceError as error:
        logger.warning("%s", error)
        return None


def tracked_clips(
    manifest: Path, runtime: Runtime, progress: Progress, split: str | None = "train"
) -> Iterator[TrackedClip]:
    """Every clip of a split with its track, one at a time; clips without a usable face are left out.

    Args:
        manifest: See `read_manifest`.
        runtime: Names the cache.
        progress: Is told of each clip.
        split: See `read_manifest`.

    Raises:
        ConfigError: See `read_manifest`.
        MediaError: A file is missing or damaged.
    """
    rows = read_manifest(manifest, split)
    stage = f"track {split or 'all'} clips"
    progress.start(stage, len(rows))
    for row in rows:
        planned = plan_clip(row.path, runtime)
        run = Run(planned.plan, runtime)
        try:
            yield TrackedClip(row, run.get(planned.clip), run.get(planned.track))
        except NoFaceError as error:
            logger.warning("%s", error)
        progress.advance(stage)


def provenance(rights: Iterable[str]) -> str:
    """How many clips came under which rights, for a weight's `training_data`.

    Args:
        rights: Of each clip; "" where nothing is known.
    """
    counts = Counter(right or "rights not stated" for right in rights)
    return ", ".join(f"{count} {right}" for right, count in counts.most_common())
