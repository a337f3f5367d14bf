"""The people of a video, as a table and as a picture.

Index letters: S sightings, T frames, P people.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import cv2
import numpy as np

from dubber.config import DubConfig
from dubber.engine.execute import Run
from dubber.engine.plan import Plan
from dubber.engine.progress import Progress
from dubber.engine.stage import Runtime
from dubber.engine.store import Store
from dubber.intermediates.drawing import draw_text
from dubber.media.reader import read_frames_at
from dubber.ops.speaker_lips import SURE
from dubber.stages.choice import agreements
from dubber.stages.demux import Demux
from dubber.stages.people import plan_people
from dubber.stages.speech import ExtractOwnSpeech
from dubber.stages.track import TrackParams, yaw_deg
from dubber.types import Clip, Float32, Int32, People, Speech, UInt8

FACE_PX = 128
"""Side of a face on the sheet."""

FACES_SHOWN = 10

_LEAST_S = 0.2
"""People seen for less are left out: a face on a poster, or none at all."""

_MARGIN = 0.3
"""Part of a face's longer side that is shown around it."""

_GAP_PX, _LABEL_PX, _BACKGROUND = 6, 84, 32


@dataclass(frozen=True)
class PersonSeen:
    """What is told of a person.

    Attributes:
        number: Counting from 1; what `--speaker` takes.
        num_frames: Frames in which they are seen.
        share: Part of all frames.
        ranges_s: Time ranges, seconds; gaps of less than half a second are part of them.
        width_px: Median width of the face.
        usable_share: Part of all frames in which the mouth can be dubbed.
        lips: Standard deviations by which their lips go with the sound better than chance; None: no sound.
    """

    number: int
    num_frames: int
    share: float
    ranges_s: tuple[tuple[float, float], ...]
    width_px: float
    usable_share: float
    lips: float | None

    @property
    def is_talking(self) -> bool:
        """Whether it is sure that what is heard is theirs."""
        return self.lips is not None and self.lips >= SURE


@dataclass(frozen=True)
class FacesFound:
    """Who is in a video.

    Attributes:
        video: The file.
        clip: What demuxing tells.
        people: All sightings.
        shown: Those seen long enough to matter, by number.
    """

    video: Path
    clip: Clip
    people: People
    shown: tuple[PersonSeen, ...]

    @property
    def num_brief(self) -> int:
        """How many others there are."""
        return self.people.num_people - len(self.shown)

    def document(self) -> dict[str, Any]:
        """For a JSON document."""
        return {
            "video": str(self.video),
            "num_frames": self.clip.num_frames,
            "duration_s": self.clip.duration_s,
            "num_shots": int(self.people.shot_id_T[-1]) + 1,
            "people": [asdict(person) | {"is_talking": person.is_talking} for person in self.shown],
            "num_seen_briefly": self.num_brief,
        }


def find_people(video: Path, config: DubConfig, runtime: Runtime, progress: Progress) -> FacesFound:
    """Find and describe everybody in a video, through the cache: dubbing it later does not look again.

    Args:
        video: The file.
        config: How faces are found, and what counts as usable.
        runtime: Names the cache.
        progress: Is told of the stages.

    Raises:
        MediaError: The file is missing or cannot be read.
    """
    plan = Plan(runtime.weights, Store(runtime.cache_dir))
    source = plan.source(video)
    clip_ref = plan.add(Demux(config.demux), source)
    people_ref = plan_people(plan, config.people, source, clip_ref)
    speech_ref = plan.add(ExtractOwnSpeech(), source)
    run = Run(plan, runtime, progress)
    progress.plan(plan.stage_names())
    clip, people = run.get(clip_ref), run.get(people_ref)
    shown = _described(people, clip, run.get(speech_ref), config.track)
    return FacesFound(video, clip, people, tuple(shown))


def _described(people: People, clip: Clip, own_speech: Speech, params: TrackParams) -> Iterator[PersonSeen]:
    """Everybody who is seen long enough to matter."""
    heard = agreements(people, clip, own_speech)
    width_S = people.boxes_S4[:, 2] - people.boxes_S4[:, 0]
    is_usable_S = (width_S >= params.min_face_px) & (
        np.abs(yaw_deg(people.landmarks_SL3)) <= params.max_yaw_deg
    )
    for person in range(people.num_people):
        rows = np.flatnonzero(people.person_S == person)
        if len(rows) < _LEAST_S * float(clip.frame_rate):
            continue
        yield PersonSeen(
            number=person + 1,
            num_frames=len(rows),
            share=len(rows) / clip.num_frames,
            ranges_s=_ranges_s(people.frames_S[rows], clip),
            width_px=float(np.median(width_S[rows])),
            usable_share=float(is_usable_S[rows].sum() / clip.num_frames),
            lips=None if heard is None else heard[person].surprise,
        )


def faces_sheet(found: FacesFound) -> UInt8:
    """A row of faces for each person, spread over the time they are seen; there is somebody.

    Returns:
        (H, W, 3) uint8 RGB.
    """
    people, clip, shown = found.people, found.clip, found.shown
    chosen = [_spread(np.flatnonzero(people.person_S == person.number - 1)) for person in shown]
    rows = np.array(sorted(row for some in chosen for row in some.tolist()), np.int64)
    frames = people.frames_S[rows]
    pictures: dict[int, UInt8] = {}
    wanted = np.unique(frames)
    for t, frame in zip(wanted.tolist(), read_frames_at(found.video, clip, wanted), strict=True):
        picture = frame.rgb()
        for row in rows[frames == t].tolist():
            face = _face(picture, people.boxes_S4[row])
            draw_text(face, f"{clip.times_s_T[t]:.1f} s", (5, FACE_PX - 17), 11)
            pictures[row] = face
    height = len(shown) * (FACE_PX + _GAP_PX) - _GAP_PX
    width = _LABEL_PX + FACES_SHOWN * (FACE_PX + _GAP_PX) - _GAP_PX
    sheet = np.full((height, width, 3), _BACKGROUND, np.uint8)
    for place, (person, some) in enumerate(zip(shown, chosen, strict=True)):
        top = place * (FACE_PX + _GAP_PX)
        for line, text in enumerate((f"{person.number}", f"{person.share:.0%}", f"{person.width_px:.0f} px")):
            draw_text(sheet, text, (8, top + 16 + 26 * line), 22 if line == 0 else 12)
        for column, row in enumerate(some.tolist()):
            left = _LABEL_PX + column * (FACE_PX + _GAP_PX)
            sheet[top : top + FACE_PX, left : left + FACE_PX] = pictures[row]
    return sheet


def _ranges_s(frames: Int32, clip: Clip) -> tuple[tuple[float, float], ...]:
    times_s = np.append(clip.times_s_T, clip.duration_s)
    breaks = np.flatnonzero(times_s[frames[1:]] - times_s[frames[:-1] + 1] >= 0.5) + 1
    return tuple((float(times_s[run[0]]), float(times_s[run[-1] + 1])) for run in np.split(frames, breaks))


def _spread(rows: Int32) -> Int32:
    """Up to so many as are shown, evenly."""
    places = np.linspace(0, len(rows) - 1, min(FACES_SHOWN, len(rows)))
    return np.asarray(rows[np.rint(places).astype(np.int64)], np.int32)


def _face(picture: UInt8, box_4: Float32) -> UInt8:
    """A square around a face; what lies outside of the picture is dark."""
    centre = (box_4[:2] + box_4[2:]) / 2
    side = float((box_4[2:] - box_4[:2]).max()) * (1 + 2 * _MARGIN)
    scale = FACE_PX / max(side, 1.0)
    matrix = np.array([[scale, 0, 0.0], [0, scale, 0.0]])
    matrix[:, 2] = FACE_PX / 2 - scale * centre
    # Whole pixels at a time first: sampling alone would leave out some of a large face's.
    shrink = max(1, int(1 / scale))
    if shrink > 1:
        size = (picture.shape[1] // shrink, picture.shape[0] // shrink)
        picture = np.asarray(cv2.resize(picture, size, interpolation=cv2.INTER_AREA), np.uint8)
        matrix[:, :2] *= shrink
    border = (_BACKGROUND,) * 3
    face = cv2.warpAffine(
        picture, matrix, (FACE_PX, FACE_PX), borderMode=cv2.BORDER_CONSTANT, borderValue=border
    )
    return np.asarray(face, np.uint8)
