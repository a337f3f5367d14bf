"""Preflight of the faces: sampled pictures tell which parts of a video can be dubbed, about.

A single picture is looked at as the tracker looks at the first one of a shot. Tracking follows a face through
pictures in which it would not be found anew, so a run may do a little better than what is said here; and it
dubs the people it is told to only, so that it may do less where others are seen.
"""

from __future__ import annotations

import time
from collections.abc import Iterable, Iterator
from contextlib import closing
from dataclasses import dataclass
from itertools import groupby, pairwise
from pathlib import Path
from typing import TYPE_CHECKING

from dubber.errors import NoFaceError
from dubber.preflight.findings import Finding, Range
from dubber.types import WhyNot

if TYPE_CHECKING:
    from dubber.config import DubConfig
    from dubber.media.survey import SeekIndex, VideoFacts
    from dubber.script import Script
    from dubber.tracking.base import FaceTracker, Picture
    from dubber.types import Int64

NUM_SAMPLES = 48
"""Pictures looked at first, spread over the video."""

NUM_CLOSER, NUM_ROUNDS = 16, 3
"""Then, where neighbours differ, at most so many between them, in so many rounds that halve the distance."""

PATIENCE_S = 25.0
"""After this no further picture is decoded; a video with few keyframes is known less well then."""

_TELLING_SHARE = 0.02
"""Less than this of the video passing through is no warning: blinks of the tracker are bridged in a run."""


@dataclass(frozen=True)
class FaceSample:
    """What one picture shows.

    Attributes:
        time_s: When, from the first picture.
        why_not: Why it could not be dubbed; USABLE where it could.
        num_faces: Faces found.
        width_px: Of the face that is meant; 0 where there is none.
        yaw_deg: How far that is turned to the side, 0 towards the camera.
    """

    time_s: float
    why_not: WhyNot
    num_faces: int = 0
    width_px: float = 0.0
    yaw_deg: float = 0.0


@dataclass(frozen=True)
class Untouched:
    """A part of the video that will pass through.

    Attributes:
        start_s: Its begin, about.
        end_s: Its end, about.
        reason: Name of a `WhyNot`, in small letters.
    """

    start_s: float
    end_s: float
    reason: str


@dataclass(frozen=True)
class FaceFacts:
    """What sampled pictures tell of the faces.

    Attributes:
        num_sampled: Pictures looked at.
        looked_until_s: Time of the last one, from the first picture of the video.
        usable_share: Share of the time, up to then, that can be dubbed, 0..1.
        most_at_once: Most faces in one picture.
        narrowest_px: Of the usable faces; 0 where there are none.
        widest_px: Of all faces.
        most_turned_deg: Of the usable faces.
        passes_through: What will be left as it is, in order of time.
    """

    num_sampled: int
    looked_until_s: float
    usable_share: float
    most_at_once: int
    narrowest_px: float
    widest_px: float
    most_turned_deg: float
    passes_through: tuple[Untouched, ...]


def look_for_faces(path: Path, footage: VideoFacts, index: SeekIndex, config: DubConfig) -> FaceFacts:
    """Look at some pictures of a video.

    Args:
        path: The video.
        footage: What it is.
        index: Where one can look into it.
        config: Which tracker, and what counts as usable.

    Raises:
        MediaError: It cannot be read.
        WeightsError: The tracker's files are missing.
    """
    from dubber.engine.device import library_threads
    from dubber.tracking.backends import make_tracker

    people = config.people
    with library_threads(1), make_tracker(people.backend, look_side_px=people.max_side_px) as tracker:
        return _summary(_Looker(path, footage, index, config, tracker).samples(), footage.duration_s)


class _Looker:
    """Looks at pictures, first all over the video, then where something changes."""

    def __init__(
        self, path: Path, footage: VideoFacts, index: SeekIndex, config: DubConfig, tracker: FaceTracker
    ) -> None:
        self._path, self._footage, self._index = path, footage, index
        self._limits = config.track
        self._tracker = tracker
        self._num_looked = 0
        self._give_up_s = time.monotonic() + PATIENCE_S

    def samples(self) -> list[FaceSample]:
        """What was seen, in order of time."""
        from dubber.media.sampling import spread_ticks

        found = dict(self._look_at(spread_ticks(self._footage, self._index, NUM_SAMPLES)))
        for _ in range(NUM_ROUNDS):
            between = _between(found, self._index, 2 / self._footage.frame_rate)
            found.update(self._look_at(between[:NUM_CLOSER]))
        return [found[tick] for tick in sorted(found)]

    def _look_at(self, ticks_K: Int64) -> Iterator[tuple[int, FaceSample]]:
        from dubber.media.sampling import pictures_at

        with closing(pictures_at(self._path, self._index, ticks_K)) as pictures:
            for picture in pictures:
                if picture is not None:
                    yield picture[0], self._sample(*picture)
                if time.monotonic() > self._give_up_s:
                    return

    def _sample(self, tick: int, picture: Picture) -> FaceSample:
        from dubber.stages.track import yaw_deg

        time_s = (tick - self._index.first_tick) * float(self._index.time_base)
        self._tracker.reset()
        self._num_looked += 1
        faces = self._tracker.track(picture, float(self._num_looked))
        samples = []
        for face in faces:
            width = float(face.box_4[2] - face.box_4[0])
            yaw = abs(float(yaw_deg(face.landmarks_L3[None])[0]))
            samples.append(FaceSample(time_s, self._why_not(width, yaw), len(faces), width, yaw))
        best = min(samples, key=lambda one: (one.why_not, -one.width_px), default=None)
        return best or FaceSample(time_s, WhyNot.NO_FACE)

    def _why_not(self, width_px: float, yaw: float) -> WhyNot:
        if width_px < self._limits.min_face_px:
            return WhyNot.TOO_SMALL
        return WhyNot.TURNED_AWAY if yaw > self._limits.max_yaw_deg else WhyNot.USABLE


def _between(found: dict[int, FaceSample], index: SeekIndex, least_s: float) -> Int64:
    """Times half-way between neighbours of which one can be dubbed and the other cannot."""
    import numpy as np

    from dubber.media.sampling import near_keyframe

    ticks = [
        near_keyframe(index, (one + other) / 2, (other - one) / 4)
        for one, other in pairwise(sorted(found))
        if (found[one].why_not == WhyNot.USABLE) != (found[other].why_not == WhyNot.USABLE)
        and found[other].time_s - found[one].time_s > least_s
    ]
    return np.array(ticks, np.int64)


def _summary(samples: list[FaceSample], duration_s: float) -> FaceFacts:
    """Each sample stands for the time half-way to its neighbours."""
    usable = [sample for sample in samples if sample.why_not == WhyNot.USABLE]
    middles_s = [(one.time_s + other.time_s) / 2 for one, other in pairwise(samples)]
    is_all = bool(samples) and duration_s - samples[-1].time_s < 2 * duration_s / NUM_SAMPLES
    end_s = duration_s if is_all else samples[-1].time_s if samples else 0.0
    edges_s = [0.0, *middles_s, end_s]
    passes = tuple(_untouched(samples, edges_s))
    untouched_s = sum(part.end_s - part.start_s for part in passes)
    return FaceFacts(
        num_sampled=len(samples),
        looked_until_s=round(end_s, 3),
        usable_share=round(1 - untouched_s / end_s, 3) if end_s and usable else 0.0,
        most_at_once=max((sample.num_faces for sample in samples), default=0),
        narrowest_px=round(min((sample.width_px for sample in usable), default=0.0)),
        widest_px=round(max((sample.width_px for sample in samples), default=0.0)),
        most_turned_deg=round(max((sample.yaw_deg for sample in usable), default=0.0)),
        passes_through=passes,
    )


def _untouched(samples: list[FaceSample], edges_s: list[float]) -> Iterator[Untouched]:
    first = 0
    for is_usable, run in groupby(samples, key=lambda sample: sample.why_not == WhyNot.USABLE):
        reasons = [sample.why_not for sample in run]
        last = first + len(reasons)
        if not is_usable:
            reason = max(set(reasons), key=lambda why: (reasons.count(why), why))
            yield Untouched(round(edges_s[first], 2), round(edges_s[last], 2), reason.name.lower())
        first = last


_SAYINGS = {
    WhyNot.NO_FACE: "no face is seen",
    WhyNot.TOO_SMALL: "the face is too small",
    WhyNot.TURNED_AWAY: "the face is turned away",
}


def in_words(reason: str) -> str:
    """A reason in words."""
    return _SAYINGS[WhyNot[reason.upper()]]


def face_findings(
    facts: FaceFacts, video: Path, duration_s: float, config: DubConfig, said: Script
) -> list[Finding]:
    """What the user may not have meant.

    Args:
        facts: The faces.
        video: The file.
        duration_s: Its length.
        config: Who speaks where the script does not say it.
        said: The script.
    """
    if not facts.num_sampled:
        message = "No picture could be looked at in time: the video decodes slowly."
        return [Finding("warning", "not-looked-at", message, str(video))]
    if not facts.usable_share:
        return [Finding.of_error("no-face", NoFaceError(_why_none(facts), where=str(video)))]
    found = []
    if facts.usable_share < 1 - _TELLING_SHARE:
        found.append(_passing(facts, video))
    is_chosen = bool(said.speakers) or config.track.speaker != type(config.track)().speaker
    if facts.most_at_once > 1 and not is_chosen:
        found.append(
            Finding(
                "warning",
                "several-people",
                f"Up to {facts.most_at_once} faces are seen at once; one of them will speak.",
                str(video),
                "`dubber faces VIDEO` shows who is there; choose with `--speaker`.",
            )
        )
    if facts.looked_until_s < duration_s - 1e-3:
        message = f"After {facts.looked_until_s:.0f} s nothing was looked at: the video decodes slowly."
        found.append(Finding("info", "looked-at-in-part", message, str(video)))
    return found


def _passing(facts: FaceFacts, video: Path) -> Finding:
    seconds: dict[str, float] = {}
    for part in facts.passes_through:
        seconds[part.reason] = seconds.get(part.reason, 0.0) + part.end_s - part.start_s
    reasons = ", ".join(f"{in_words(reason)} (about {total:.1f} s)" for reason, total in seconds.items())
    return Finding(
        "warning",
        "passes-through",
        f"About {1 - facts.usable_share:.0%} of the video will be left as it is: {reasons}.",
        str(video),
        "Cut it to the parts with the speaker, or be content: what passes through is not changed.",
        _ranges(facts.passes_through),
    )


def _ranges(parts: Iterable[Untouched]) -> tuple[Range, ...]:
    return tuple((part.start_s, part.end_s) for part in parts)


def _why_none(facts: FaceFacts) -> str:
    start = f"In none of {facts.num_sampled} pictures, spread over the video,"
    if not facts.widest_px:
        return f"{start} a face was found."
    reasons = {part.reason for part in facts.passes_through}
    if WhyNot.TURNED_AWAY.name.lower() in reasons:
        return f"{start} a face is large enough and looks towards the camera."
    return f"{start} a face is large enough; the largest is {facts.widest_px:.0f} px wide."
