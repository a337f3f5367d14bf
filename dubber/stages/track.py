"""track: follow one person's face through the clip (method.md, Crop / alignment)."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import replace
from itertools import pairwise
from pathlib import Path
from typing import TYPE_CHECKING, Any
from uuid import uuid4

from pydantic import Field

from dubber.engine.stage import Params, Stage, StageContext
from dubber.errors import NoFaceError
from dubber.ops.speaker import REFERENCE, parse_speaker
from dubber.types import Clip, FaceTrack, People, SourceFile, Speech, WhyNot

if TYPE_CHECKING:
    from dubber.engine.plan import Plan, Ref
    from dubber.types import Bool, Float32, Int8, Int32


_SIZE_SLACK, _YAW_SLACK_DEG = 0.9, 4.0
"""A face that can be dubbed may become a little smaller than the limit, or turn a little beyond it, and come
back: mouths that come and go with the tracker's tremble would flicker.
"""


class TrackParams(Params):
    """Whose face is dubbed, and which frames can be.

    Attributes:
        speaker: Whose: see `dubber.ops.speaker.parse_speaker`.
        max_gap_frames: So many frames without the face, within a shot, are bridged.
        min_face_px: Faces narrower than this are left alone.
        max_yaw_deg: Faces turned farther to the side than this are left alone. Both limits are a little wider
            for a face that was inside them in the same run of frames.
        smoothing_sigma_frames: Gaussian smoothing of the similarity in time.
    """

    speaker: str = Field("largest", coerce_numbers_to_str=True)
    max_gap_frames: int = Field(5, ge=0)
    min_face_px: float = Field(64.0, gt=0)
    max_yaw_deg: float = Field(55.0, gt=0, le=90)
    smoothing_sigma_frames: float = Field(1.5, ge=0)


class Track(Stage[FaceTrack]):
    """Choose a person, bridge what is missing, and find the similarity that brings the face into the crop."""

    name = "track"
    version = 5
    output_type = FaceTrack
    params: TrackParams

    def run(self, ctx: StageContext, *inputs: Any) -> FaceTrack:
        """Make the track.

        Args:
            ctx: Lends room for the landmarks.
            *inputs: `SourceFile` of the video, its `Clip`, its `People`, and what the choice of the person
                needs: the video's own `Speech`, or the `SourceFile` of a picture.

        Returns:
            The track of the chosen person.

        Raises:
            NoFaceError: No frame has a face that can be dubbed, or nobody resembles the picture.
            ConfigError: There is no such person.
        """
        from dubber.stages.choice import choose

        video, clip, people, own_speech, reference = _inputs(*inputs)
        if not people.num_people:
            raise NoFaceError("No face was found in the video.", where=str(video.path))
        choice = choose(
            parse_speaker(self.params.speaker),
            people,
            clip,
            own_speech=own_speech,
            reference=reference,
            scratch=ctx.scratch_dir(),
        )
        track = make_track(people, choice.person, self.params, ctx.scratch_dir())
        if not track.is_usable_T.any():
            raise NoFaceError(_why_none(track), where=str(video.path))
        return replace(track, warnings=choice.warnings)


def plan_track(
    plan: Plan,
    params: TrackParams,
    video: Ref[SourceFile],
    clip: Ref[Clip],
    people: Ref[People],
    own_speech: Ref[Speech],
) -> Ref[FaceTrack]:
    """Plan the stage with what the choice of the person needs, and nothing else.

    Args:
        plan: The plan.
        params: Whose face, and how.
        video: The video.
        clip: Its pictures.
        people: Who is in it.
        own_speech: What is said in it; waited for only where lips are compared with it.

    Raises:
        ConfigError: `params.speaker` names nobody.
        MediaError: The picture it names is missing or cannot be read.
    """
    speaker = parse_speaker(params.speaker)
    if speaker.picture is not None:  # known by its content, not by its name
        picture = plan.source(speaker.picture)
        return plan.add(Track(params.model_copy(update={"speaker": REFERENCE})), video, clip, people, picture)
    evidence = (own_speech,) if speaker.by == "auto" else ()
    return plan.add(Track(params), video, clip, people, *evidence)


def _inputs(
    video: SourceFile, clip: Clip, people: People, *evidence: Speech | SourceFile
) -> tuple[SourceFile, Clip, People, Speech | None, SourceFile | None]:
    own_speech = next((each for each in evidence if isinstance(each, Speech)), None)
    reference = next((each for each in evidence if isinstance(each, SourceFile)), None)
    return video, clip, people, own_speech, reference


def make_track(people: People, person: int, params: TrackParams, folder: Path) -> FaceTrack:
    """One person's track.

    Args:
        people: All frames' sightings.
        person: Whose, counting from 0.
        params: What counts as usable, how much is smoothed.
        folder: The landmarks are mapped from a new file in it.
    """
    import numpy as np

    from dubber.engine.mapped import scratch_array
    from dubber.ops.align import similarity_to_mean_face, smooth_per_segment
    from dubber.ops.portions import portions
    from dubber.types import NUM_TRACKER_LANDMARKS

    shot_id_T, num_frames = people.shot_id_T, len(people.shot_id_T)
    rows_R = np.flatnonzero(people.person_S == person)
    boxes_R4, scores_R = people.boxes_S4[rows_R], people.scores_S[rows_R]
    known_K, before_K, after_K, share_K = _between(people.frames_S[rows_R], shot_id_T, params.max_gap_frames)
    boxes_T4, scores_T = np.zeros((num_frames, 4), np.float32), np.zeros(num_frames, np.float32)
    boxes_T4[known_K] = _mixed(boxes_R4[before_K], boxes_R4[after_K], share_K)
    worse_K = np.minimum(scores_R[before_K], scores_R[after_K])
    scores_T[known_K] = np.where(before_K == after_K, worse_K, worse_K / 2)
    landmarks_TL3 = scratch_array(
        folder / f"track-{uuid4().hex}.landmarks", (num_frames, NUM_TRACKER_LANDMARKS, 3), np.float32
    )
    for part in portions(num_frames):
        known_k = slice(*np.searchsorted(known_K, [part.start, part.stop]))
        landmarks_TL3[known_K[known_k]] = _mixed(
            people.landmarks_SL3[rows_R[before_K[known_k]]],
            people.landmarks_SL3[rows_R[after_K[known_k]]],
            share_K[known_k],
        )
    has_face_T = scores_T > 0
    why_not_T = _why_not(people, has_face_T, boxes_T4, landmarks_TL3, params)
    is_usable_T: Bool = why_not_T == WhyNot.USABLE
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
        why_not_T=why_not_T,
    )


def _why_not(
    people: People, has_face_T: Bool, boxes_T4: Float32, landmarks_TL3: Float32, params: TrackParams
) -> Int8:
    """(T,) int8 `WhyNot`."""
    import numpy as np

    from dubber.ops.align import segments

    is_anybody_T = np.zeros(len(has_face_T), np.bool_)
    is_anybody_T[people.frames_S] = True
    width_T, yaw_T = boxes_T4[:, 2] - boxes_T4[:, 0], np.abs(yaw_deg(landmarks_TL3))
    is_well_seen_T = has_face_T & (width_T >= params.min_face_px) & (yaw_T <= params.max_yaw_deg)
    is_large_T = width_T >= params.min_face_px * _SIZE_SLACK
    is_towards_T = yaw_T <= params.max_yaw_deg + _YAW_SLACK_DEG
    for run in segments(has_face_T & is_large_T & is_towards_T, people.shot_id_T):
        if not is_well_seen_T[run].any():
            is_large_T[run] = (width_T >= params.min_face_px)[run]
            is_towards_T[run] = (yaw_T <= params.max_yaw_deg)[run]
    reasons = {
        WhyNot.NO_FACE: ~has_face_T & ~is_anybody_T,
        WhyNot.OTHER_PERSON: ~has_face_T,
        WhyNot.TOO_SMALL: ~is_large_T,
        WhyNot.TURNED_AWAY: ~is_towards_T,
        WhyNot.MIXED: people.is_mixed_T,
    }
    return np.select(list(reasons.values()), list(reasons), WhyNot.USABLE).astype(np.int8)


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


def _why_none(track: FaceTrack) -> str:
    """What to tell when no frame is usable."""
    if (track.why_not_T == WhyNot.TURNED_AWAY).any():
        return "The face is turned away from the camera, or too small, throughout the video."
    widest_px = float((track.boxes_T4[:, 2] - track.boxes_T4[:, 0]).max())
    return f"The largest face is only {widest_px:.0f} px wide."
