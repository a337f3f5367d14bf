"""What is gathered of everybody's faces while frames flow by, and who they turn out to be.

Index letters: S sightings, N chains of sightings within one shot, P people, A looks, D numbers of a look.
"""

from __future__ import annotations

from array import array
from collections import Counter
from pathlib import Path
from types import TracebackType
from uuid import uuid4

import numpy as np

from dubber.engine.mapped import scratch_array
from dubber.ops import appearance
from dubber.ops.portions import portions
from dubber.ops.shots import SMALL_SIZE, ShotFinder
from dubber.stages.who_is_who import Chains, name_chains
from dubber.tracking.base import EMBEDDING_SIZE, FaceObservation, FaceTracker, Picture
from dubber.tracking.identity import FaceLinker
from dubber.types import NUM_TRACKER_LANDMARKS, Bool, Float32, Int32, People, UInt8

_LOOK_EVERY = 10
_SECOND_LOOK = 3
"""Sightings of a chain that are looked at closely, counted anew where a shot may begin: the first, which may
be blurred, one soon after, and then every so often.
"""

_LOOKS_OF_CHAIN, _LOOKS_OF_PERSON = 6, 6
"""How many looks, the best ones, are compared; how many are kept of a person."""


class Sightings:
    """Looks at frames, in order. Landmarks and looks wait in files; a context manager, it removes them.

    Args:
        tracker: Finds the faces.
        folder: Where there is room for the landmarks, twice 6 KB per face and frame.
    """

    def __init__(self, tracker: FaceTracker, folder: Path) -> None:
        self._folder = folder
        self._landmarks_path, self._looks_path = (folder / f"seen-{uuid4().hex}.{k}" for k in range(2))
        self._landmarks_file = self._landmarks_path.open("xb")
        self._looks_file = self._looks_path.open("xb")
        self._tracker = tracker
        self._shots = ShotFinder()
        self._linker = FaceLinker()
        self._num_frames = self._num_cuts = self._num_stretches = 0
        # Of every sighting: frame, chain, box and score.
        self._frames, self._chains = array("i"), array("i")
        self._boxes, self._scores = array("f"), array("f")
        # Of every look: which sighting, and how good.
        self._look_rows, self._look_qualities = array("i"), array("f")
        self._ages: Counter[tuple[int, int]] = Counter()
        self._is_recognised = False

    def __enter__(self) -> Sightings:
        """Be the one that removes the files."""
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Remove the files."""
        for file, path in (
            (self._landmarks_file, self._landmarks_path),
            (self._looks_file, self._looks_path),
        ):
            file.close()
            path.unlink()

    def add(self, picture: Picture, time_s: float) -> None:
        """Look at the next frame.

        Args:
            picture: The frame.
            time_s: When it is shown.
        """
        if self._shots.add(picture.rgb(SMALL_SIZE)):
            self._tracker.reset()
            self._num_cuts += 1
        self._num_stretches += self._shots.may_be_cut
        observations = self._tracker.track(picture, time_s)
        chains = self._linker.link(observations, self._num_frames, self._num_cuts)
        for chain, observation in zip(chains, observations, strict=True):
            self._look(picture, chain, observation)
            self._frames.append(self._num_frames)
            self._chains.append(chain)
            self._boxes.extend(observation.box_4.tolist())
            self._scores.append(observation.score)
            self._landmarks_file.write(observation.landmarks_L3.tobytes())
        self._num_frames += 1

    def people(self) -> People:
        """Who was seen. The landmarks are mapped from a file in the folder, of no worth afterwards."""
        shot_id_T, is_mixed_T = self._shots.shots()
        frames_S, boxes_S4 = np.array(self._frames, np.int32), np.array(self._boxes, np.float32)
        boxes_S4 = boxes_S4.reshape(-1, 4)
        # A chain that runs on into another shot is another one there.
        chain_shot_S2 = np.stack([np.array(self._chains, np.int32), shot_id_T[frames_S]], axis=1)
        _, chain_S = np.unique(chain_shot_S2, axis=0, return_inverse=True)
        chain_S = chain_S.reshape(-1).astype(np.int32)
        rows_R, quality_R, looks_RD = self._looks(is_mixed_T[frames_S])
        best_R = _best(chain_S[rows_R], quality_R, _LOOKS_OF_CHAIN)
        chains = Chains(frames_S, chain_S, chain_S[rows_R[best_R]], looks_RD[best_R])
        person_S, num_people = largest_first(name_chains(chains)[chain_S], boxes_S4)
        kept_R = _best(person_S[rows_R], quality_R, _LOOKS_OF_PERSON)
        look_rows_PA, looks_PAD = _by_person(
            person_S[rows_R[kept_R]], rows_R[kept_R], looks_RD[kept_R], num_people
        )
        return People(
            frames_S=frames_S,
            person_S=person_S,
            boxes_S4=boxes_S4,
            scores_S=np.array(self._scores, np.float32),
            landmarks_SL3=self._landmarks(),
            shot_id_T=shot_id_T,
            is_mixed_T=is_mixed_T,
            look_rows_PA=look_rows_PA,
            looks_PAD=looks_PAD,
        )

    def _look(self, picture: Picture, chain: int, observation: FaceObservation) -> None:
        """Look closely at a face, now and then."""
        age = self._ages[chain, self._num_stretches]
        embedding_E = observation.embedding_E
        self._is_recognised |= embedding_E is not None
        if self._is_recognised and embedding_E is None:
            return
        self._ages[chain, self._num_stretches] += 1
        if age % _LOOK_EVERY and age != _SECOND_LOOK:
            return
        seen = close_up(picture, observation.landmarks_L3)
        if embedding_E is None:
            embedding_E = np.zeros(EMBEDDING_SIZE, np.float32)
        self._look_rows.append(len(self._frames))
        self._look_qualities.append(appearance.quality(*seen))
        look_D = np.concatenate([appearance.look(*seen), embedding_E])
        self._looks_file.write(look_D.astype(np.float32).tobytes())

    def _looks(self, is_mixed_S: Bool) -> tuple[Int32, Float32, Float32]:
        """(R,) sightings, (R,) qualities and (R, D) looks, mapped, without those nobody should trust."""
        self._looks_file.flush()
        numbers = appearance.NUM_OWN + EMBEDDING_SIZE
        rows_R, quality_R = np.array(self._look_rows, np.int32), np.array(self._look_qualities, np.float32)
        if not len(rows_R):
            return rows_R, quality_R, np.zeros((0, numbers), np.float32)
        looks_RD = np.memmap(self._looks_path, np.float32, "r", shape=(len(rows_R), numbers))
        if not self._is_recognised:
            return rows_R, np.where(is_mixed_S[rows_R], 0, quality_R), looks_RD[:, : appearance.NUM_OWN]
        has_embedding_R = looks_RD[:, -EMBEDDING_SIZE:].any(axis=1)
        return rows_R, np.where(is_mixed_S[rows_R] | ~has_embedding_R, 0, quality_R), looks_RD

    def _landmarks(self) -> Float32:
        """(S, 468, 3) float32, mapped."""
        self._landmarks_file.flush()
        shape = (len(self._scores), NUM_TRACKER_LANDMARKS, 3)
        landmarks_SL3 = scratch_array(self._folder / f"{uuid4().hex}.landmarks", shape, np.float32)
        with self._landmarks_path.open("rb") as file:
            for part in portions(len(landmarks_SL3)):
                numbers = np.fromfile(file, np.float32, landmarks_SL3[part].size)
                landmarks_SL3[part] = numbers.reshape(landmarks_SL3[part].shape)
        return landmarks_SL3


def close_up(picture: Picture, landmarks_L3: Float32) -> tuple[UInt8, Float32]:
    """What `appearance` looks at: part of the picture, no larger than need be, and the landmarks in it."""
    height, width = picture.size
    x0, y0, x1, y1 = appearance.window_box(landmarks_L3)
    left, top = (int(max(value, 0)) // 2 * 2 for value in (x0, y0))
    right, bottom = int(min(x1 + 2, width)) // 2 * 2, int(min(y1 + 2, height)) // 2 * 2
    if right - left < 2 or bottom - top < 2:  # the face lies outside of the picture
        left, top, right, bottom = 0, 0, width // 2 * 2, height // 2 * 2
    shrink = max(1, int(appearance.window_side(landmarks_L3)))
    size = (max((bottom - top) // shrink, 1), max((right - left) // shrink, 1))
    rgb_HW3 = picture.part((left, top, right, bottom)).rgb(size)
    return rgb_HW3, ((landmarks_L3 - [left, top, 0]) / shrink).astype(np.float32)


def largest_first(label_S: Int32, boxes_S4: Float32) -> tuple[Int32, int]:
    """Number people by the area of their faces, summed over all sightings.

    Args:
        label_S: (S,) who, by any numbers; where areas are equal, the smaller number comes first.
        boxes_S4: (S, 4) px.

    Returns:
        (S,) int32 numbers from 0, and how many people there are.
    """
    labels_P, compact_S = np.unique(label_S, return_inverse=True)
    area_S = (boxes_S4[:, 2:] - boxes_S4[:, :2]).astype(np.float64).prod(axis=1)
    area_P = np.bincount(compact_S, area_S, len(labels_P))
    number_P = np.empty(len(labels_P), np.int32)
    number_P[np.argsort(-area_P, kind="stable")] = np.arange(len(labels_P))
    return np.asarray(number_P[compact_S], np.int32), len(labels_P)


def _best(group_R: Int32, quality_R: Float32, count: int) -> Int32:
    """The best looks of each group, best first within it, groups in order; worthless ones are left out."""
    order_R = np.lexsort([np.arange(len(group_R)), -quality_R, group_R])
    starts = np.searchsorted(group_R[order_R], group_R[order_R])
    is_kept_R = (np.arange(len(order_R)) - starts < count) & (quality_R[order_R] > 0)
    return np.asarray(order_R[is_kept_R], np.int32)


def _by_person(person_R: Int32, rows_R: Int32, looks_RD: Float32, num_people: int) -> tuple[Int32, Float32]:
    """(P, A) sightings and (P, A, D) looks of people; `person_R` does not decrease."""
    look_rows_PA = np.full((num_people, _LOOKS_OF_PERSON), -1, np.int32)
    looks_PAD = np.zeros((num_people, _LOOKS_OF_PERSON, looks_RD.shape[1]), np.float32)
    rank_R = np.arange(len(person_R)) - np.searchsorted(person_R, person_R)
    look_rows_PA[person_R, rank_R] = rows_R
    looks_PAD[person_R, rank_R] = looks_RD
    return look_rows_PA, looks_PAD
