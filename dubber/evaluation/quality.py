"""What a person wants to know of a finished dub, in figures and in words (docs/quality.md).

Index letters: N output frames, P people.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field

import numpy as np

from dubber.engine.device import library_threads
from dubber.engine.progress import Progress
from dubber.engine.stage import Runtime
from dubber.evaluation.finished import FinishedDub, finished_dub
from dubber.evaluation.measures import Measures
from dubber.evaluation.pictures import Detail, Flicker, Seam
from dubber.evaluation.quality_inside import Inside
from dubber.evaluation.quality_moments import SeenFace, chosen_frames, seen_frames
from dubber.evaluation.quality_sync import AvOffset, Openings, av_offset, openings
from dubber.evaluation.quality_verdicts import NATURAL_LEAD_MS, Figure, judged
from dubber.ops.landmarks import MOUTH_JAW, mouth_opening
from dubber.pipeline import DubPlan
from dubber.tracking.base import RgbPicture
from dubber.tracking.mediapipe_mesh import MediapipeMeshTracker
from dubber.types import Bool, Float32, UInt8

LEAST_AGREEMENT = 0.3
"""Where mouth and voice correlate less, their best offset is chance."""

STAGE = "quality"
"""What progress is told."""


@dataclass(frozen=True)
class Quality:
    """How good a finished dub is.

    Attributes:
        figures: In the order of their importance.
        av_offset: Agreement of picture and sound over offsets; None where too little speech is seen.
        openings: Each speaker's mouth over time.
        num_frames_seen: Frames in which mouths were looked at.
        num_frames_compared: Those of them that were compared with the source's picture.
        num_dubbed_frames: Frames whose mouth was made.
    """

    figures: tuple[Figure, ...]
    av_offset: AvOffset | None
    openings: tuple[Openings, ...]
    num_frames_seen: int
    num_frames_compared: int
    num_dubbed_frames: int


def measure_quality(dub_plan: DubPlan, runtime: Runtime, progress: Progress) -> Quality:
    """Look at a finished dub.

    Args:
        dub_plan: A plan that was run.
        runtime: Names the cache and the weights.
        progress: Is told of each frame that is looked at, as "quality".

    Raises:
        DubberError: A file or a stage's result can no longer be read.
    """
    dub = finished_dub(dub_plan, runtime)
    chosen = chosen_frames(dub)
    is_seen_N = chosen.is_seen_N
    look = _Look(dub)
    progress.start(STAGE, int(is_seen_N.sum()))
    with library_threads(1), look:
        for frame in seen_frames(dub, chosen) if is_seen_N.any() else ():
            for face in frame.faces:
                look.add(face)
            look.untouched.add(frame.outside)
            progress.advance(STAGE)
    people = tuple(
        openings(dub, person, look.opening_PN[person], look.is_known_PN[person], runtime)
        for person in range(len(dub.people))
    )
    offset = av_offset(people)
    measures = {**look.measures(), "untouched_psnr_db": look.untouched.psnr_db(), **sync_measures(offset)}
    return Quality(
        figures=judged(measures),
        av_offset=offset,
        openings=people,
        num_frames_seen=int(is_seen_N.sum()),
        num_frames_compared=int(chosen.is_compared_N.sum()),
        num_dubbed_frames=int(dub.is_dubbed_N.sum()),
    )


def sync_measures(offset: AvOffset | None) -> Measures:
    """The numbers that an offset curve tells."""
    if offset is None:
        return {}
    voice, wanted = offset.voice, offset.wanted
    is_sure = voice is not None and voice[0] >= LEAST_AGREEMENT
    return {
        "voice_correlation": None if voice is None else voice[0],
        "voice_late_ms": voice[1] * 1000 + NATURAL_LEAD_MS if voice is not None and is_sure else None,
        "wanted_correlation": None if wanted is None else wanted[0],
    }


@dataclass
class _Untouched:
    """Luma of made and source picture where nothing was to be changed."""

    error: float = 0.0
    num_pixels: int = 0

    def add(self, outside: tuple[UInt8, UInt8] | None) -> None:
        """Sum squared errors."""
        if outside is None or not len(outside[0]):
            return
        made, filmed = (luma.astype(np.int32) for luma in outside)
        self.error += float(np.square(made - filmed).sum())
        self.num_pixels += len(made)

    def psnr_db(self) -> float | None:
        """Of all of them."""
        if not self.num_pixels:
            return None
        return float(10 * np.log10(255**2 * self.num_pixels / self.error)) if self.error else 100.0


@dataclass
class _Look:
    """Sums over all faces that are seen; trackers hold native memory.

    Attributes:
        opening_PN: (P, N) px of the 384 crop.
        is_known_PN: (P, N) bool.
    """

    dub: FinishedDub
    opening_PN: Float32 = field(init=False)
    is_known_PN: Bool = field(init=False)
    untouched: _Untouched = field(default_factory=_Untouched)

    def __post_init__(self) -> None:
        shape = len(self.dub.people), len(self.dub.times_s_N)
        self.opening_PN = np.zeros(shape, np.float32)
        self.is_known_PN = np.zeros(shape, np.bool_)
        self._trackers = [MediapipeMeshTracker(max_faces=1) for _ in self.dub.people]
        self._detail, self._seam = Detail(), Seam()
        self._flicker = [Flicker() for _ in self.dub.people]
        self._inside = [Inside() for _ in self.dub.people]

    def __enter__(self) -> _Look:
        for tracker in self._trackers:
            tracker.__enter__()
        return self

    def __exit__(self, *problem: object) -> None:
        for tracker in self._trackers:
            tracker.__exit__(None, None, None)

    def add(self, face: SeenFace) -> None:
        """Track the mouth; compare the pictures where they are to be."""
        tracker = self._trackers[face.person]
        if face.starts_anew:
            tracker.reset()
        found = tracker.track(RgbPicture(face.crop), float(self.dub.times_s_N[face.n]))
        if found:
            landmarks_M2 = found[0].landmarks_L3[MOUTH_JAW, :2]
            self.opening_PN[face.person, face.n] = mouth_opening(landmarks_M2[None])[0]
            self.is_known_PN[face.person, face.n] = True
            if face.filmed is not None:
                self._inside[face.person].add_made(face.n, face.crop, landmarks_M2)
        if face.filmed is not None:
            self._inside[face.person].add_filmed(face.n, *face.filmed)
        if face.pair is not None:
            for measure in (self._detail, self._seam, self._flicker[face.person]):
                measure.add(face.pair)

    def measures(self) -> Measures:
        """Of the pictures; of several people the one whose mouth is least steady counts."""
        return {
            **self._detail.measures(),
            **self._seam.measures(),
            "soft_flicker_index": _highest(
                measure.measures()["soft_flicker_index"] for measure in self._flicker
            ),
            "inside_unrest_ratio": _highest(measure.ratio() for measure in self._inside),
        }


def _highest(values: Iterable[float | None]) -> float | None:
    """Of those that are known."""
    return max((value for value in values if value is not None), default=None)
