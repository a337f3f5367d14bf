"""What is looked at of a finished dub: stretches of its frames, each dubbed face in them, beside the source.

Memory and time do not grow with the dub: of a long one, stretches that are spread over it are looked at.

Index letters: N output frames, n frames of a stretch, P people.
"""

from __future__ import annotations

from collections.abc import Generator
from contextlib import closing
from dataclasses import dataclass

import numpy as np

from dubber.evaluation.finished import DubbedPerson, FinishedDub
from dubber.evaluation.pairs import MaskedPair
from dubber.media.frame import Frame, even_box
from dubber.media.probe import probe
from dubber.media.reader import read_frames_at
from dubber.media.survey import listed
from dubber.ops.align import apply_similarity, invert_similarity
from dubber.ops.landmarks import MOUTH_JAW
from dubber.ops.warp import sample_crop
from dubber.stages.compositor import Compositor
from dubber.stages.mouth_geometry import shown_halfway
from dubber.stages.mouth_stream import Part, ShownFootage
from dubber.types import CROP_SIZE_PX, Bool, Clip, Float32, RetimeMap, UInt8

SEEN_S, NUM_STRETCHES = 16.0, 4
"""So much of a dub's made mouths is looked at, in so many stretches where there is more."""

NUM_BURSTS, BURST_FRAMES = 5, 8
"""Runs of frames that are compared with the source picture by picture; flicker needs neighbours."""

MOUTH_FRAMES = 30
"""Frames of as many runs whose filmed mouth is looked at: enough open mouths to know what is usual."""


@dataclass(frozen=True)
class ChosenFrames:
    """What is looked at.

    Attributes:
        is_seen_N: (N,) bool, frames whose mouths are looked at.
        is_filmed_N: (N,) bool, those of them whose filmed mouth is looked at too.
        is_compared_N: (N,) bool, those of these that are compared picture by picture.
    """

    is_seen_N: Bool
    is_filmed_N: Bool
    is_compared_N: Bool


@dataclass(frozen=True)
class SeenFace:
    """A dubbed face in a frame of the finished video.

    Attributes:
        n: The frame.
        person: Whose face, counting from 0.
        crop: (384, 384, 3) uint8 RGB.
        starts_anew: It does not continue the face seen before.
        filmed: (384, 384, 3) uint8 RGB crop of the source, and (39, 2) its mouth and jaw landmarks in it, px;
            None where the filmed mouth is not looked at.
        pair: The same beside the source; None where pictures are not compared.
    """

    n: int
    person: int
    crop: UInt8
    starts_anew: bool
    filmed: tuple[UInt8, Float32] | None
    pair: MaskedPair | None


@dataclass(frozen=True)
class SeenFrame:
    """A frame of the finished video.

    Attributes:
        faces: Those that were dubbed.
        outside: Luma of made and source picture, (k,) uint8 each, where nothing was to be changed; None where
            pictures are not compared.
    """

    faces: tuple[SeenFace, ...]
    outside: tuple[UInt8, UInt8] | None


def spread(is_in_N: Bool, count: int, length: int) -> Bool:
    """Some of many frames, in runs that are spread evenly over them.

    Args:
        is_in_N: (N,) bool, frames to choose from.
        count: How many runs.
        length: Frames of each.

    Returns:
        (N,) bool; all of `is_in_N` where there are no more than `count * length`.
    """
    frames = np.flatnonzero(is_in_N)
    if len(frames) <= count * length:
        return is_in_N
    starts = np.rint(np.linspace(0, len(frames) - length, count)).astype(np.int64)
    chosen_N = np.zeros(len(is_in_N), np.bool_)
    chosen_N[frames[(starts[:, None] + np.arange(length)).ravel()]] = True
    return chosen_N


def chosen_frames(dub: FinishedDub) -> ChosenFrames:
    """Which frames are looked at, and which of them are laid beside the source."""
    step_s = float(np.median(np.diff(dub.times_s_N))) if len(dub.times_s_N) > 1 else 1.0
    length = max(round(SEEN_S / NUM_STRETCHES / max(step_s, 1e-3)), 1)
    is_seen_N = spread(dub.is_dubbed_N, NUM_STRETCHES, length)
    is_compared_N = spread(is_seen_N, NUM_BURSTS, BURST_FRAMES)
    is_filmed_N = is_compared_N | spread(is_seen_N, NUM_BURSTS, MOUTH_FRAMES)
    return ChosenFrames(is_seen_N, is_filmed_N, is_compared_N)


def seen_frames(dub: FinishedDub, chosen: ChosenFrames) -> Generator[SeenFrame]:
    """The frames that are looked at, in order; each file is decoded once, and only where it is needed.

    Args:
        dub: The dub.
        chosen: Which.

    Raises:
        MediaError: A file can no longer be read.
    """
    run, plan = dub.run, dub.plan
    seen, beside = np.flatnonzero(chosen.is_seen_N), np.flatnonzero(chosen.is_filmed_N)
    shown = RetimeMap(dub.retime.source_index_N[beside], dub.retime.is_halfway_N[beside])
    footage = ShownFootage(run.get(plan.video), run.get(plan.clip), dub.people[0].track, shown)
    with (
        closing(read_frames_at(dub.file.path, _finished_clip(dub), seen.tolist())) as made,
        closing(footage.open()) as filmed,
    ):
        for run_n in np.split(seen, np.flatnonzero(np.diff(seen) > 1) + 1):
            stretch = _Stretch(dub, slice(int(run_n[0]), int(run_n[-1]) + 1))
            for n in run_n.tolist():
                source = next(filmed).frame if chosen.is_filmed_N[n] else None
                yield stretch.seen(n, next(made), source, is_compared=bool(chosen.is_compared_N[n]))


def _finished_clip(dub: FinishedDub) -> Clip:
    """The finished video; where it holds copies of damaged packets, only decoding tells its frames."""
    clip = listed(dub.file.path)
    return clip if clip.num_frames == len(dub.times_s_N) else probe(dub.file.path)


class _Stretch:
    """Consecutive frames: where each face is in them, and where its patch is seen."""

    def __init__(self, dub: FinishedDub, frames: slice) -> None:
        self._dub, self._frames = dub, frames
        self._faces = [_Faces(dub, person, frames) for person in dub.people]

    def seen(self, n: int, made: Frame, filmed: Frame | None, *, is_compared: bool) -> SeenFrame:
        """Look at a frame of the stretch."""
        size = filmed.size if filmed is not None else made.size
        is_outside_HW = np.ones(size, np.bool_) if is_compared else None
        faces = []
        for number, of_person in enumerate(self._faces):
            if not self._dub.people[number].mouths.has_patch_N[n]:
                continue
            faces.append(of_person.seen(n, number, made, filmed, is_compared=is_compared))
            if is_outside_HW is not None:
                is_outside_HW[of_person.changed_part(n, size)] = False
        outside = None
        if filmed is not None and is_outside_HW is not None:
            height, width = size
            outside = (made.y[:height, :width][is_outside_HW], filmed.y[is_outside_HW])
        return SeenFrame(tuple(faces), outside)


class _Faces:
    """One person in the frames of a stretch."""

    def __init__(self, dub: FinishedDub, person: DubbedPerson, frames: slice) -> None:
        self._dub, self._start = dub, frames.start
        part = Part(frames.start, frames.stop, frames)
        track, retime = person.track, part.retime(dub.retime)
        self._index_n = retime.source_index_N
        self._next_n = self._index_n + shown_halfway(track, retime)
        self._track = track
        self._compositor = Compositor(dub.plan.config.blend, track, retime, part.mouths(person.mouths))

    def _between(self, values_T: Float32, n: int) -> Float32:
        """What the source frame has, or the mean of two for a picture between them."""
        first, second = int(self._index_n[n - self._start]), int(self._next_n[n - self._start])
        return np.asarray((values_T[first] + values_T[second]) / 2, np.float32)

    def seen(self, n: int, person: int, made: Frame, filmed: Frame | None, *, is_compared: bool) -> SeenFace:
        """The face in a frame."""
        similarity_23 = self._between(self._track.similarity_T23, n)
        size = made.size if filmed is None else filmed.size
        box = _crop_box(similarity_23, size)
        corner_2 = np.array(box[:2], np.float32)
        here_23 = similarity_23.copy()
        here_23[:, 2] += similarity_23[:, :2] @ corner_2
        made_part = made.rgb_box(box)
        filmed_mouth, pair = None, None
        if filmed is not None:
            filmed_part = filmed.rgb_box(box)
            filmed_crop = sample_crop(filmed_part, (0, 0), here_23, CROP_SIZE_PX)
            landmarks_L3 = self._between(self._track.landmarks_TL3, n)
            landmarks_L3[:, :2] -= corner_2
            filmed_mouth = (filmed_crop, apply_similarity(here_23, landmarks_L3[MOUTH_JAW, :2]))
            if is_compared:
                (x, y), mask_hw = self._compositor.mask(n - self._start, size)
                pair = MaskedPair(
                    n=n,
                    time_s=float(self._dub.times_s_N[n]),
                    made=made_part,
                    filmed=filmed_part,
                    similarity_23=here_23,
                    landmarks_L3=landmarks_L3,
                    box_4=self._between(self._track.boxes_T4, n) - np.tile(corner_2, 2),
                    used_mask=((x - box[0], y - box[1]), mask_hw),
                )
        starts_anew = n == self._start or self._is_cut(n)
        crop = sample_crop(made_part, (0, 0), here_23, CROP_SIZE_PX)
        return SeenFace(n, person, crop, starts_anew, filmed_mouth, pair)

    def changed_part(self, n: int, size: tuple[int, int]) -> tuple[slice, slice]:
        """Rows and columns of the frame in which the compositor works."""
        (x, y), mask_hw = self._compositor.mask(n - self._start, size)
        height, width = mask_hw.shape
        return slice(max(y, 0), max(y + height, 0)), slice(max(x, 0), max(x + width, 0))

    def _is_cut(self, n: int) -> bool:
        shots = self._track.shot_id_T[self._index_n[n - self._start - 1 : n - self._start + 1]]
        return bool(shots[0] != shots[1])


def _crop_box(similarity_23: Float32, size: tuple[int, int]) -> tuple[int, int, int, int]:
    """The part of a picture that holds a face's crop, even px."""
    corners_42 = np.array([[0, 0], [1, 0], [1, 1], [0, 1]], np.float32) * CROP_SIZE_PX
    shown_42 = apply_similarity(invert_similarity(similarity_23), corners_42)
    (x0, y0), (x1, y1) = shown_42.min(axis=0), shown_42.max(axis=0)
    return even_box((float(x0), float(y0), float(x1), float(y1)), (size[0] // 2 * 2, size[1] // 2 * 2))
