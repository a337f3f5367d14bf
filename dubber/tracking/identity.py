"""Who is who from frame to frame, and whose face is the main one."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from dubber.tracking.base import FaceObservation, box_iou
from dubber.types import Float32

MIN_IOU = 0.25
MIN_IOU_ACROSS_CUT = 0.4
MAX_CENTRE_DISTANCE = 0.5
"""In units of the box's longer side: a small face that moves fast no longer overlaps where it was."""

MAX_ABSENCE_FRAMES = 60
"""A person unseen for longer is somebody new."""


@dataclass
class _Person:
    identity: int
    box_4: Float32
    frame_index: int
    shot_id: int
    area_px2: float = 0.0


class FaceLinker:
    """Gives each observation the number of a person: the one whose last box it overlaps most.

    After a cut only a large overlap counts as the same person (a cut to a closer view of the same chair),
    since position is the only thing compared.
    """

    def __init__(self) -> None:
        self._people: list[_Person] = []

    def link(self, observations: list[FaceObservation], frame_index: int, shot_id: int) -> list[int]:
        """Numbers of the people observed in a frame.

        Args:
            observations: Faces of the frame.
            frame_index: Counting up.
            shot_id: Which shot the frame belongs to.

        Returns:
            A number per observation, each at most once.
        """
        pairs = sorted(
            (
                (closeness, number, person.identity)
                for number, observation in enumerate(observations)
                for person in self._people
                if (closeness := _closeness(person, observation, frame_index, shot_id)) > 0
            ),
            reverse=True,
        )
        identities: dict[int, int] = {}
        for _, number, identity in pairs:
            if number not in identities and identity not in identities.values():
                identities[number] = identity
        for number, observation in enumerate(observations):
            if number not in identities:
                identities[number] = len(self._people)
                self._people.append(_Person(identities[number], observation.box_4, frame_index, shot_id))
            person = self._people[identities[number]]
            person.box_4, person.frame_index, person.shot_id = observation.box_4, frame_index, shot_id
            person.area_px2 += float((observation.box_4[2:] - observation.box_4[:2]).prod())
        return [identities[number] for number in range(len(observations))]

    def main_identity(self) -> int:
        """The person with the largest face summed over frames, so large and long present; -1 for nobody."""
        return max(self._people, key=lambda person: person.area_px2).identity if self._people else -1


def _closeness(person: _Person, observation: FaceObservation, frame_index: int, shot_id: int) -> float:
    """How well an observation continues a person; 0 where it does not."""
    if frame_index - person.frame_index > MAX_ABSENCE_FRAMES:
        return 0.0
    box_4 = observation.box_4
    overlap = box_iou(person.box_4, box_4)
    if shot_id != person.shot_id:
        return overlap if overlap >= MIN_IOU_ACROSS_CUT else 0.0
    if overlap >= MIN_IOU:
        return overlap
    size = float(max((person.box_4[2:] - person.box_4[:2]).max(), (box_4[2:] - box_4[:2]).max()))
    distance = float(np.linalg.norm((person.box_4[:2] + person.box_4[2:] - box_4[:2] - box_4[2:]) / 2))
    return 1e-3 * (1 - distance / size) if distance < MAX_CENTRE_DISTANCE * size else 0.0
