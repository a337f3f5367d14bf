"""Who is who: from frame to frame by where faces are, from shot to shot by how they look.

Index letters: S sightings, N chains of sightings.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from dubber.tracking.base import FaceObservation, box_iou
from dubber.types import Bool, Float32, Int32

MIN_IOU = 0.25
MIN_IOU_ACROSS_CUT = 0.4
MAX_CENTRE_DISTANCE = 0.5
"""In units of the box's longer side: a small face that moves fast no longer overlaps where it was."""

MAX_ABSENCE_FRAMES = 60
"""A face that comes back later is another chain, even where the last one was."""


@dataclass(frozen=True)
class _Person:
    """Where one of those seen lately was seen last."""

    box_4: Float32
    frame_index: int
    shot_id: int


class FaceLinker:
    """Gives each observation the number of a chain: the one whose last box it overlaps most.

    After a cut only a large overlap continues a chain, since position is the only thing compared: what was
    taken for a cut may be none.
    """

    def __init__(self) -> None:
        self._people: dict[int, _Person] = {}
        self._num_chains = 0

    def link(self, observations: list[FaceObservation], frame_index: int, shot_id: int) -> list[int]:
        """Numbers of the chains that go on in a frame.

        Args:
            observations: Faces of the frame.
            frame_index: Counting up.
            shot_id: Which shot the frame belongs to.

        Returns:
            A number per observation, each at most once.
        """
        self._people = {
            identity: person
            for identity, person in self._people.items()
            if frame_index - person.frame_index <= MAX_ABSENCE_FRAMES
        }
        pairs = sorted(
            (
                (closeness, number, identity)
                for number, observation in enumerate(observations)
                for identity, person in self._people.items()
                if (closeness := _closeness(person, observation, shot_id)) > 0
            ),
            reverse=True,
        )
        identities: dict[int, int] = {}
        for _, number, identity in pairs:
            if number not in identities and identity not in identities.values():
                identities[number] = identity
        for number, observation in enumerate(observations):
            if number not in identities:
                identities[number] = self._num_chains
                self._num_chains += 1
            self._people[identities[number]] = _Person(observation.box_4, frame_index, shot_id)
        return [identities[number] for number in range(len(observations))]


def _closeness(person: _Person, observation: FaceObservation, shot_id: int) -> float:
    """How well an observation continues a person; 0 where it does not."""
    box_4 = observation.box_4
    overlap = box_iou(person.box_4, box_4)
    if shot_id != person.shot_id:
        return overlap if overlap >= MIN_IOU_ACROSS_CUT else 0.0
    if overlap >= MIN_IOU:
        return overlap
    size = float(max((person.box_4[2:] - person.box_4[:2]).max(), (box_4[2:] - box_4[:2]).max()))
    distance = float(np.linalg.norm((person.box_4[:2] + person.box_4[2:] - box_4[:2] - box_4[2:]) / 2))
    return 1e-3 * (1 - distance / size) if distance < MAX_CENTRE_DISTANCE * size else 0.0


def together(frames_S: Int32, chain_S: Int32, num_chains: int) -> Bool:
    """Which chains are surely two people: both are seen in one frame.

    Args:
        frames_S: (S,) frame of each sighting, not decreasing.
        chain_S: (S,) in 0..N - 1, or -1 for sightings to leave out.
        num_chains: N.

    Returns:
        (N, N) bool, symmetric.
    """
    are_together_NN = np.zeros((num_chains, num_chains), np.bool_)
    by_frame = np.split(chain_S, np.flatnonzero(np.diff(frames_S)) + 1) if len(frames_S) else []
    for chains in by_frame:
        seen = chains[chains >= 0]
        if len(seen) > 1:
            are_together_NN[np.ix_(seen, seen)] = True
    np.fill_diagonal(are_together_NN, val=False)
    return are_together_NN


def cluster(distance_NN: Float32, are_together_NN: Bool, limit: float) -> Int32:
    """Put chains together to people: agglomerative clustering with average linkage.

    Args:
        distance_NN: (N, N) how different two chains look, symmetric but for rounding; infinite where nothing
            is known.
        are_together_NN: (N, N) bool, symmetric, chains that must not become one person.
        limit: Chains and groups of chains nearer than this become one.

    Returns:
        (N,) int32 numbers of people, in no particular order.
    """
    from scipy.cluster.hierarchy import fcluster, linkage
    from scipy.spatial.distance import squareform

    if len(distance_NN) < 2:
        return np.zeros(len(distance_NN), np.int32)
    # So far apart that the mean over any two groups with such a pair is beyond the limit too.
    far = 2.0 * limit * len(distance_NN) ** 2
    mean_NN = (distance_NN.astype(np.float64) + distance_NN.T) / 2
    kept_NN = np.where(are_together_NN, far, np.minimum(mean_NN, far))
    np.fill_diagonal(kept_NN, 0)
    label_N = fcluster(linkage(squareform(kept_NN, checks=False), "average"), limit, "distance")
    return np.asarray(label_N - 1, np.int32)
