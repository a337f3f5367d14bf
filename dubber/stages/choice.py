"""Which of the people is dubbed, and what to tell of those there are.

Index letters: S sightings, T frames, P people, A, B looks, D numbers of a look.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import cv2
import numpy as np

from dubber.errors import ConfigError, MediaError, NoFaceError
from dubber.media.audio import open_speech
from dubber.ops import appearance
from dubber.ops.silence import level_db
from dubber.ops.speaker import Speaker
from dubber.ops.speaker_lips import CLEAR_LEAD, LIKELY, LipAgreement, lip_agreement, lip_openings
from dubber.stages.sightings import Sightings
from dubber.tracking.backends import make_tracker
from dubber.tracking.base import RgbPicture
from dubber.types import Clip, Float32, People, SourceFile, Speech

_CLOSE_CALL = 0.08
"""A picture that resembles somebody else by so little less, in parts of the limit, leaves doubt."""

_LISTED = 8


@dataclass(frozen=True)
class Choice:
    """A person, and what the user should know about how they were chosen.

    Attributes:
        person: Counting from 0.
        warnings: Sentences.
    """

    person: int
    warnings: tuple[str, ...] = ()


def choose(
    speaker: Speaker,
    people: People,
    clip: Clip,
    *,
    own_speech: Speech | None = None,
    reference: SourceFile | None = None,
    scratch: Path | None = None,
) -> Choice:
    """Find the person a user means.

    Args:
        speaker: Who is meant.
        people: Who is there; somebody is.
        clip: Tells times and size.
        own_speech: What is heard; for "auto".
        reference: A picture; for "reference".
        scratch: A folder for what is found in that picture.

    Raises:
        ConfigError: There is no such person, or nobody at that place.
        NoFaceError: The picture shows no face, or nobody like it is in the video.
        MediaError: The picture cannot be read.
    """
    if speaker.by == "longest":
        return Choice(int(np.bincount(people.person_S, minlength=people.num_people).argmax()))
    if speaker.by == "number":
        return _numbered(speaker.number, people, clip)
    if speaker.by == "place":
        return _at_place(speaker, people, clip)
    if speaker.by == "reference" and reference is not None and scratch is not None:
        return _like(reference, people, clip, scratch)
    if speaker.by == "auto" and own_speech is not None:
        return _talking(people, clip, own_speech)
    return Choice(0)


def agreements(people: People, clip: Clip, own_speech: Speech) -> list[LipAgreement] | None:
    """How well each person's lips go with what is heard; None where nothing is."""
    with open_speech(own_speech) as samples:
        level_F = level_db(samples) if len(samples) else np.zeros(0)
    if not len(level_F):
        return None
    found = []
    for person in range(people.num_people):
        rows_K = np.flatnonzero(people.person_S == person).astype(np.int32)
        opening_K, frames_K = lip_openings(people.landmarks_SL3, rows_K), people.frames_S[rows_K]
        found.append(lip_agreement(opening_K, frames_K, people.shot_id_T, clip.times_s_T, level_F))
    return found


def who_there_is(people: People, clip: Clip) -> str:
    """The people in a sentence, for messages."""
    seen_P = np.bincount(people.person_S, minlength=people.num_people)
    first_P = [clip.times_s_T[people.frames_S[people.person_S == p].min()] for p in range(people.num_people)]
    told = [
        f"{p + 1} (from {first_P[p]:.1f} s, in {seen_P[p] / clip.num_frames:.0%} of the frames)"
        for p in range(min(people.num_people, _LISTED))
    ]
    more = f" and {people.num_people - _LISTED} more" if people.num_people > _LISTED else ""
    return f"There are: {', '.join(told)}{more}. `dubber faces` shows them."


def _numbered(number: int, people: People, clip: Clip) -> Choice:
    if number > people.num_people:
        raise ConfigError(
            f"There is no person {number} in the video.", where="speaker", advice=who_there_is(people, clip)
        )
    return Choice(number - 1)


def _at_place(speaker: Speaker, people: People, clip: Clip) -> Choice:
    height, width = clip.size
    (x, y), where = speaker.place_px, f"speaker {speaker.place_px[0]:g},{speaker.place_px[1]:g}"
    where += f"@{speaker.time_s:g}"
    if x > width or y > height or speaker.time_s > clip.duration_s:
        raise ConfigError(
            f"That lies outside of the video of {width} x {height} pixels and {clip.duration_s:.1f} s.",
            where=where,
        )
    frame = max(int(np.searchsorted(clip.times_s_T, speaker.time_s, side="right")) - 1, 0)
    rows = np.flatnonzero(people.frames_S == frame)
    boxes_R4 = people.boxes_S4[rows]
    is_inside_R = ((boxes_R4[:, :2] <= [x, y]) & (boxes_R4[:, 2:] > [x, y])).all(axis=1)
    if not is_inside_R.any():
        places = [
            f"{people.person_S[row] + 1} at {box[0]:.0f},{box[1]:.0f} to {box[2]:.0f},{box[3]:.0f}"
            for row, box in zip(rows, boxes_R4, strict=True)
        ]
        shown = f"In that frame: {'; '.join(places)}." if places else "That frame shows no face."
        raise ConfigError("Nobody's face is there.", where=where, advice=shown)
    centres_R2 = (boxes_R4[:, :2] + boxes_R4[:, 2:]) / 2
    distance_R = np.where(is_inside_R, np.linalg.norm(centres_R2 - [x, y], axis=1), np.inf)
    return Choice(int(people.person_S[rows[distance_R.argmin()]]))


def _like(reference: SourceFile, people: People, clip: Clip, scratch: Path) -> Choice:
    looks_AD = _looks_of(reference, scratch)
    distance_P = np.full(people.num_people, np.inf)
    for person in range(people.num_people):
        looks_BD = people.looks_PAD[person][people.look_rows_PA[person] >= 0]
        if len(looks_BD):
            # Clothes and light may differ; where they do not, they tell most.
            distance_P[person] = min(
                appearance.face_distances(looks_AD, looks_BD).min() / appearance.SAME_FACE,
                appearance.distances(looks_AD, looks_BD).min() / appearance.SAME_PERSON,
            )
    order = np.argsort(distance_P, kind="stable")
    if distance_P[order[0]] > 1:
        raise NoFaceError(
            f"Nobody in the video resembles the picture: the nearest, person {order[0] + 1}, is "
            f"{distance_P[order[0]]:.1f} times as different as one person's pictures are.",
            where=str(reference.path),
            advice="Take a picture from the video, or a number. " + who_there_is(people, clip),
        )
    if len(order) > 1 and distance_P[order[1]] - distance_P[order[0]] < _CLOSE_CALL:
        return Choice(
            int(order[0]),
            (
                f"The picture resembles person {order[0] + 1} hardly more than person {order[1] + 1} "
                f"({distance_P[order[0]]:.2f} and {distance_P[order[1]]:.2f}; 0 is the same, 1 the limit).",
            ),
        )
    return Choice(int(order[0]))


def _looks_of(reference: SourceFile, scratch: Path) -> Float32:
    """(A, D) looks of the largest face in a picture.

    Raises:
        NoFaceError: It shows none.
    """
    picture = _read_picture(reference.path)
    with make_tracker("mediapipe", look_side_px=640) as tracker, Sightings(tracker, scratch) as seen:
        seen.add(picture, 0.0)
        found = seen.people()
    if not found.num_people:
        raise NoFaceError("The picture shows no face.", where=str(reference.path))
    looks_AD: Float32 = found.looks_PAD[0][found.look_rows_PA[0] >= 0]
    return looks_AD


def _read_picture(path: Path) -> RgbPicture:
    """A picture, upright.

    Raises:
        MediaError: It is none.
    """
    try:
        data = path.read_bytes()
    except OSError as error:
        raise MediaError(f"The picture cannot be read ({error.strerror}).", where=str(path)) from error
    bgr_HW3 = cv2.imdecode(np.frombuffer(data, np.uint8), cv2.IMREAD_COLOR) if data else None
    if bgr_HW3 is None:
        raise MediaError(
            "This is no picture.", where=str(path), advice="Take a JPEG or PNG file that shows one face."
        )
    # Colours are made from samples of 4:2:0 later on: both sides are even.
    height, width = (length // 2 * 2 for length in bgr_HW3.shape[:2])
    return RgbPicture(np.asarray(cv2.cvtColor(bgr_HW3[:height, :width], cv2.COLOR_BGR2RGB), np.uint8))


def _talking(people: People, clip: Clip, own_speech: Speech) -> Choice:
    if people.num_people == 1:
        return Choice(0)
    found = agreements(people, clip, own_speech)
    if found is None:
        return Choice(0, ("The video has no sound to tell who speaks: the largest face is dubbed.",))
    surprise_P = np.array([each.surprise for each in found])
    best, next_best = (int(person) for person in np.argsort(-surprise_P, kind="stable")[:2])
    if surprise_P[best] < LIKELY or surprise_P[best] - surprise_P[next_best] < CLEAR_LEAD:
        return Choice(0, ("Nobody's lips clearly go with the sound: the largest face is dubbed.",))
    return Choice(best)
