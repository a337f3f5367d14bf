"""track: follow one face through the clip (method.md, Crop / alignment)."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable
from typing import TYPE_CHECKING, Any, Literal

from pydantic import Field

from dubber.engine.stage import Params, Stage, StageContext
from dubber.errors import NoFaceError
from dubber.types import Clip, FaceTrack, SourceFile

if TYPE_CHECKING:
    from dubber.tracking.base import FaceObservation, FaceTracker
    from dubber.types import Bool, Float32, Int32, UInt8


class TrackParams(Params):
    """How faces are found, and which frames can be dubbed.

    Attributes:
        backend: The tracker.
        max_side_px: Faces are looked for in pictures whose longer side is at most this.
        max_gap_frames: So many frames without the face, within a shot, are bridged.
        min_face_px: Faces narrower than this are left alone.
        max_yaw_deg: Faces turned farther to the side than this are left alone.
        smoothing_sigma_frames: Gaussian smoothing of the similarity in time.
    """

    backend: Literal["mediapipe"] = "mediapipe"
    max_side_px: int = Field(1280, ge=64)
    max_gap_frames: int = Field(5, ge=0)
    min_face_px: float = Field(64.0, gt=0)
    max_yaw_deg: float = Field(55.0, gt=0, le=90)
    smoothing_sigma_frames: float = Field(1.5, ge=0)


class Track(Stage[FaceTrack]):
    """Find the main face in every frame and the similarity that brings it into the crop."""

    name = "track"
    version = 1
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
        from dubber.media.reader import read_frames
        from dubber.tracking.mediapipe_mesh import MediapipeMeshTracker

        video, clip = _inputs(*inputs)
        size = detection_size(clip.size, self.params.max_side_px)
        with ctx.frames(clip.num_frames), MediapipeMeshTracker() as tracker:
            seen = Sightings(tracker, clip.size)
            for frame, time_s in zip(read_frames(video.path, clip), clip.times_s_T, strict=True):
                seen.add(frame.rgb(size), float(time_s))
                ctx.advance()
        track = make_track(seen, self.params)
        if not track.is_usable_T.any():
            raise NoFaceError(_why_none(track, self.params), where=str(video.path))
        return track


def _inputs(video: SourceFile, clip: Clip) -> tuple[SourceFile, Clip]:
    return video, clip


def detection_size(size: tuple[int, int], max_side_px: int) -> tuple[int, int]:
    """(height, width) of the pictures in which faces are looked for."""
    factor = min(1.0, max_side_px / max(size))
    return max(1, round(size[0] * factor)), max(1, round(size[1] * factor))


class Sightings:
    """All that was seen of all people, gathered while frames flow by.

    Args:
        tracker: Finds the faces.
        size: (height, width) of the frames in whose px everything is told.

    Attributes:
        shot_ids: Shot of each frame.
        by_person: Observations by person and frame.
    """

    def __init__(self, tracker: FaceTracker, size: tuple[int, int]) -> None:
        from dubber.ops.shots import CutDetector
        from dubber.tracking.identity import FaceLinker

        self.shot_ids: list[int] = []
        self.by_person: dict[int, dict[int, FaceObservation]] = defaultdict(dict)
        self._tracker = tracker
        self._size = size
        self._cuts = CutDetector()
        self._linker = FaceLinker()

    def add(self, rgb_HW3: UInt8, time_s: float) -> None:
        """Look at the next frame.

        Args:
            rgb_HW3: (h, w, 3) uint8, the frame at any scale.
            time_s: When it is shown.
        """
        index = len(self.shot_ids)
        is_cut = self._cuts.is_cut(rgb_HW3)
        if is_cut:
            self._tracker.reset()
        self.shot_ids.append((self.shot_ids[-1] if self.shot_ids else 0) + int(is_cut))
        scale_xy = (self._size[1] / rgb_HW3.shape[1], self._size[0] / rgb_HW3.shape[0])
        observations = [_scaled(seen, scale_xy) for seen in self._tracker.track(rgb_HW3, time_s)]
        people = self._linker.link(observations, index, self.shot_ids[-1])
        for person, observation in zip(people, observations, strict=True):
            self.by_person[person][index] = observation

    def main_person(self) -> int:
        """The person to dub; -1 where nobody was seen."""
        return self._linker.main_identity()


def _scaled(observation: FaceObservation, scale_xy: tuple[float, float]) -> FaceObservation:
    """The observation in px of a picture that is larger by the given factors."""
    import numpy as np

    from dubber.tracking.base import FaceObservation

    # Depth is in the same px as x.
    scale_3 = np.array([*scale_xy, scale_xy[0]], np.float32)
    box_4 = observation.box_4 * np.array([*scale_xy, *scale_xy], np.float32)
    return FaceObservation(box_4, observation.landmarks_L3 * scale_3, observation.score)


def make_track(seen: Sightings, params: TrackParams) -> FaceTrack:
    """Turn sightings into the main person's track; the other people are dropped.

    Args:
        seen: All frames' sightings. Emptied, so that landmarks are not held twice.
        params: What counts as usable, how much is smoothed.
    """
    import numpy as np

    from dubber.ops.align import similarity_to_mean_face, smooth_per_segment
    from dubber.types import NUM_TRACKER_LANDMARKS

    num_frames, person = len(seen.shot_ids), seen.main_person()
    shot_id_T: Int32 = np.array(seen.shot_ids, np.int32)
    boxes_T4 = np.zeros((num_frames, 4), np.float32)
    landmarks_TL3 = np.zeros((num_frames, NUM_TRACKER_LANDMARKS, 3), np.float32)
    scores_T = np.zeros(num_frames, np.float32)
    found = seen.by_person.get(person, {})
    seen.by_person.clear()
    while found:
        index, observation = found.popitem()
        boxes_T4[index], landmarks_TL3[index] = observation.box_4, observation.landmarks_L3
        scores_T[index] = observation.score
    for start, stop in short_gaps(scores_T > 0, shot_id_T, params.max_gap_frames):
        _bridge(start, stop, boxes_T4, landmarks_TL3, scores_T)
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

    across_T3 = landmarks_TL3[:, EYE_CORNERS[-1]] - landmarks_TL3[:, EYE_CORNERS[0]]
    breadth_T = np.hypot(across_T3[:, 0], across_T3[:, 1])
    return np.asarray(np.rad2deg(np.arctan2(across_T3[:, 2], breadth_T)), np.float32)


def short_gaps(is_found_T: Bool, shot_id_T: Int32, max_frames: int) -> Iterable[tuple[int, int]]:
    """Runs (start, stop) of up to `max_frames` missing frames between two found ones of one shot."""
    import numpy as np

    found = np.flatnonzero(is_found_T)
    for before, after in zip(found[:-1].tolist(), found[1:].tolist(), strict=True):
        if 1 < after - before <= max_frames + 1 and shot_id_T[before] == shot_id_T[after]:
            yield before + 1, after


def _bridge(start: int, stop: int, boxes_T4: Float32, landmarks_TL3: Float32, scores_T: Float32) -> None:
    """Fill frames between two found ones linearly; their score is half the worse neighbour's."""
    before, after = start - 1, stop
    for index in range(start, stop):
        share = (index - before) / (after - before)
        for values in (boxes_T4, landmarks_TL3):
            values[index] = (1 - share) * values[before] + share * values[after]
        scores_T[index] = min(scores_T[before], scores_T[after]) / 2


def _why_none(track: FaceTrack, params: TrackParams) -> str:
    """What to tell when no frame is usable."""
    has_face_T = track.scores_T > 0
    if not has_face_T.any():
        return "No face was found in the video."
    widest_px = float((track.boxes_T4[:, 2] - track.boxes_T4[:, 0]).max())
    if widest_px < params.min_face_px:
        return f"The largest face is only {widest_px:.0f} px wide."
    return "The face is turned away from the camera, or too small, throughout the video."
