"""track: follow one face through the clip (method.md, Crop / alignment)."""

from __future__ import annotations

from array import array
from collections.abc import Iterable
from contextlib import closing
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal
from uuid import uuid4

from pydantic import Field

from dubber.engine.stage import Params, Stage, StageContext
from dubber.errors import NoFaceError
from dubber.types import Clip, FaceTrack, SourceFile

if TYPE_CHECKING:
    from types import TracebackType

    from dubber.tracking.base import FaceTracker, Picture
    from dubber.types import Bool, Float32, Int32

PREFETCHED_FRAMES = 4
"""Frames decoded ahead of the tracker."""


class TrackParams(Params):
    """How faces are found, and which frames can be dubbed.

    Attributes:
        backend: The tracker.
        max_side_px: New faces are looked for in pictures whose longer side is at most this.
        max_gap_frames: So many frames without the face, within a shot, are bridged.
        min_face_px: Faces narrower than this are left alone.
        max_yaw_deg: Faces turned farther to the side than this are left alone.
        smoothing_sigma_frames: Gaussian smoothing of the similarity in time.
    """

    backend: Literal["mediapipe"] = "mediapipe"
    max_side_px: int = Field(640, ge=64)
    max_gap_frames: int = Field(5, ge=0)
    min_face_px: float = Field(64.0, gt=0)
    max_yaw_deg: float = Field(55.0, gt=0, le=90)
    smoothing_sigma_frames: float = Field(1.5, ge=0)


class Track(Stage[FaceTrack]):
    """Find the main face in every frame and the similarity that brings it into the crop."""

    name = "track"
    version = 3
    output_type = FaceTrack
    params: TrackParams

    def run(self, ctx: StageContext, *inputs: Any) -> FaceTrack:
        """Make the track.

        Args:
            ctx: Is told of each frame.
            *inputs: `SourceFile` of the video and its `Clip`.

        Returns:
            The track of the person whose face is largest and longest in the picture.

        Raises:
            NoFaceError: No frame has a face that can be dubbed.
        """
        from dubber.media.flow import prefetch
        from dubber.media.reader import read_frames
        from dubber.tracking.mediapipe_mesh import MediapipeMeshTracker

        video, clip = _inputs(*inputs)
        with (
            ctx.frames(clip.num_frames),
            MediapipeMeshTracker(look_side_px=self.params.max_side_px) as tracker,
            Sightings(tracker, ctx.scratch_dir()) as seen,
            closing(prefetch(read_frames(video.path, clip), PREFETCHED_FRAMES)) as frames,
        ):
            for frame, time_s in zip(frames, clip.times_s_T, strict=True):
                seen.add(frame, float(time_s))
                ctx.advance()
            track = make_track(seen, self.params)
        if not track.is_usable_T.any():
            raise NoFaceError(_why_none(track, self.params), where=str(video.path))
        return track


def _inputs(video: SourceFile, clip: Clip) -> tuple[SourceFile, Clip]:
    return video, clip


class Sightings:
    """All that was seen of all people, gathered while frames flow by; the landmarks wait in a file.

    A context manager: at its end the file is removed.

    Args:
        tracker: Finds the faces.
        folder: Where there is room for the landmarks, 6 KB per face and frame.
    """

    def __init__(self, tracker: FaceTracker, folder: Path) -> None:
        from dubber.ops.shots import CutDetector
        from dubber.tracking.identity import FaceLinker

        self.folder = folder
        self._path = folder / f"seen-{uuid4().hex}.landmarks"
        self._file = self._path.open("xb")
        self._tracker = tracker
        self._cuts = CutDetector()
        self._linker = FaceLinker()
        self._shot_ids = array("i")
        # Of every sighting: frame, person, box and score.
        self._frames, self._people = array("i"), array("i")
        self._boxes, self._scores = array("f"), array("f")

    def __enter__(self) -> Sightings:
        """Be the one that removes the file."""
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Remove the file."""
        self._file.close()
        self._path.unlink()

    def add(self, picture: Picture, time_s: float) -> None:
        """Look at the next frame.

        Args:
            picture: The frame.
            time_s: When it is shown.
        """
        from dubber.ops.shots import SMALL_SIZE

        index = len(self._shot_ids)
        is_cut = self._cuts.is_cut(picture.rgb(SMALL_SIZE))
        if is_cut:
            self._tracker.reset()
        self._shot_ids.append((self._shot_ids[-1] if self._shot_ids else 0) + int(is_cut))
        observations = self._tracker.track(picture, time_s)
        self._people.extend(self._linker.link(observations, index, self._shot_ids[-1]))
        for observation in observations:
            self._frames.append(index)
            self._boxes.extend(observation.box_4.tolist())
            self._scores.append(observation.score)
            self._file.write(observation.landmarks_L3.tobytes())

    def main_person(self) -> int:
        """The person to dub; -1 where nobody was seen."""
        return self._linker.main_identity()

    def shot_id_T(self) -> Int32:
        """(T,) int32 shot of each frame."""
        import numpy as np

        return np.array(self._shot_ids, np.int32)

    def of_person(self, person: int) -> Seen:
        """What was seen of somebody, without the landmarks."""
        import numpy as np

        rows_S = np.flatnonzero(np.array(self._people, np.int32) == person).astype(np.int32)
        return Seen(
            frames_S=np.array(self._frames, np.int32)[rows_S],
            rows_S=rows_S,
            boxes_S4=np.array(self._boxes, np.float32).reshape(-1, 4)[rows_S],
            scores_S=np.array(self._scores, np.float32)[rows_S],
        )

    def landmarks(self, start: int, stop: int) -> Float32:
        """(stop - start, 468, 3) float32 px of some of all sightings, by their numbers."""
        import numpy as np

        from dubber.types import NUM_TRACKER_LANDMARKS

        self._file.flush()
        numbers = NUM_TRACKER_LANDMARKS * 3
        flat = np.fromfile(self._path, np.float32, (stop - start) * numbers, offset=start * numbers * 4)
        return flat.reshape(-1, NUM_TRACKER_LANDMARKS, 3)


@dataclass(frozen=True)
class Seen:
    """Sightings of one person.

    Attributes:
        frames_S: (S,) int32, increasing.
        rows_S: (S,) int32, numbers among all sightings.
        boxes_S4: (S, 4) float32 px.
        scores_S: (S,) float32.
    """

    frames_S: Int32
    rows_S: Int32
    boxes_S4: Float32
    scores_S: Float32


def make_track(seen: Sightings, params: TrackParams) -> FaceTrack:
    """Turn sightings into the main person's track; the other people are dropped.

    Args:
        seen: All frames' sightings.
        params: What counts as usable, how much is smoothed.

    Returns:
        The track. Its landmarks are mapped from a file beside those of the sightings.
    """
    import numpy as np

    from dubber.engine.mapped import scratch_array
    from dubber.ops.align import similarity_to_mean_face, smooth_per_segment
    from dubber.ops.portions import portions
    from dubber.types import NUM_TRACKER_LANDMARKS

    shot_id_T, person = seen.shot_id_T(), seen.main_person()
    num_frames, found = len(shot_id_T), seen.of_person(person)
    boxes_T4, scores_T = np.zeros((num_frames, 4), np.float32), np.zeros(num_frames, np.float32)
    landmarks_path = seen.folder / f"track-{uuid4().hex}.landmarks"
    landmarks_TL3 = scratch_array(landmarks_path, (num_frames, NUM_TRACKER_LANDMARKS, 3), np.float32)
    known_K, before_K, after_K, share_K = _between(found.frames_S, shot_id_T, params.max_gap_frames)
    boxes_T4[known_K] = _mixed(found.boxes_S4[before_K], found.boxes_S4[after_K], share_K)
    worse_K = np.minimum(found.scores_S[before_K], found.scores_S[after_K])
    scores_T[known_K] = np.where(before_K == after_K, worse_K, worse_K / 2)
    for part in portions(num_frames):
        first, last = np.searchsorted(known_K, [part.start, part.stop])
        if first == last:
            continue
        before_k, after_k = found.rows_S[before_K[first:last]], found.rows_S[after_K[first:last]]
        rows_SL3 = seen.landmarks(before_k[0], after_k[-1] + 1)
        landmarks_TL3[known_K[first:last]] = _mixed(
            rows_SL3[before_k - before_k[0]], rows_SL3[after_k - before_k[0]], share_K[first:last]
        )
    has_face_T = scores_T > 0
    is_large_T = boxes_T4[:, 2] - boxes_T4[:, 0] >= params.min_face_px
    is_usable_T: Bool = has_face_T & is_large_T & (np.abs(yaw_deg(landmarks_TL3)) <= params.max_yaw_deg)
    similarity_T23 = similarity_to_mean_face(landmarks_TL3, has_face_T)
    return FaceTrack(
        boxes_T4=boxes_T4,
        landmarks_TL3=landmarks_TL3,
        scores_T=scores_T,
        is_usable_T=is_usable_T,
        shot_id_T=shot_id_T,
        identity_id_T=np.where(has_face_T, person, -1).astype(np.int32),
        similarity_T23=smooth_per_segment(
            similarity_T23, is_usable_T, shot_id_T, params.smoothing_sigma_frames
        ),
    )


def yaw_deg(landmarks_TL3: Float32) -> Float32:
    """How far faces are turned to the side, from the depths of the outer eye corners.

    Args:
        landmarks_TL3: (T, L, 3) tracker landmarks.

    Returns:
        (T,) float32 degrees, 0 towards the camera, positive where the face looks to the picture's right.
    """
    import numpy as np

    from dubber.ops.landmarks import EYE_CORNERS
    from dubber.ops.portions import picked

    eyes_T23 = picked(landmarks_TL3, EYE_CORNERS[[0, -1]])
    across_T3 = eyes_T23[:, 1] - eyes_T23[:, 0]
    breadth_T = np.hypot(across_T3[:, 0], across_T3[:, 1])
    return np.asarray(np.rad2deg(np.arctan2(across_T3[:, 2], breadth_T)), np.float32)


def short_gaps(frames_S: Int32, shot_id_T: Int32, max_frames: int) -> Iterable[tuple[int, int]]:
    """Runs (start, stop) of up to `max_frames` missing frames between two found ones of one shot.

    Args:
        frames_S: (S,) the frames found, increasing.
        shot_id_T: (T,) shot of each frame.
        max_frames: Longest run.
    """
    for before, after in pairwise(frames_S.tolist()):
        if 1 < after - before <= max_frames + 1 and shot_id_T[before] == shot_id_T[after]:
            yield before + 1, after


def _between(frames_S: Int32, shot_id_T: Int32, max_gap_frames: int) -> tuple[Int32, Int32, Int32, Float32]:
    """Which frames are known, found or bridged, and from what.

    Returns:
        (K,) frames, increasing; (K,) and (K,) numbers of the sightings they lie between, the same for those
        found; (K,) share of the latter.
    """
    import numpy as np

    bridged = [np.arange(*gap, dtype=np.int32) for gap in short_gaps(frames_S, shot_id_T, max_gap_frames)]
    known_K = np.sort(np.concatenate([frames_S, *bridged]))
    before_K = np.searchsorted(frames_S, known_K, side="right").astype(np.int32) - 1
    after_K = np.searchsorted(frames_S, known_K).astype(np.int32)
    gap_K = np.maximum(frames_S[after_K] - frames_S[before_K], 1)
    return known_K, before_K, after_K, ((known_K - frames_S[before_K]) / gap_K).astype(np.float32)


def _mixed(first_Kx: Float32, second_Kx: Float32, share_K: Float32) -> Float32:
    """(K, ...) linearly between two arrays; share 0 is the first."""
    share_Kx = share_K.reshape(-1, *[1] * (first_Kx.ndim - 1))
    return (1 - share_Kx) * first_Kx + share_Kx * second_Kx


def _why_none(track: FaceTrack, params: TrackParams) -> str:
    """What to tell when no frame is usable."""
    has_face_T = track.scores_T > 0
    if not has_face_T.any():
        return "No face was found in the video."
    widest_px = float((track.boxes_T4[:, 2] - track.boxes_T4[:, 0]).max())
    if widest_px < params.min_face_px:
        return f"The largest face is only {widest_px:.0f} px wide."
    return "The face is turned away from the camera, or too small, throughout the video."
