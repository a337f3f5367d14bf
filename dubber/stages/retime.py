"""retime: which source frame each output frame shows (method.md section 1)."""

from __future__ import annotations

from typing import Any

from pydantic import Field

from dubber.engine.stage import Params, Stage, StageContext
from dubber.errors import NoFaceError
from dubber.types import ExpressionTrack, FaceCoeffs, FaceTrack, RetimeMap, Timeline


class RetimeParams(Params):
    """Weights of the walk through the footage; see `dubber.ops.retime.RetimeCosts`.

    Attributes:
        repeat: alpha_s, price of repeating a moving frame.
        onset: alpha_u, reward for motion where speech begins.
        blink: alpha_b, how much motion a blink counts as.
        blink_ratio: Eyes are shut below this share of their median opening.
        is_literal: Use the base case as the paper prints it.
    """

    repeat: float = Field(2.0, ge=0)
    onset: float = Field(2.0, ge=0)
    blink: float = Field(1.0, ge=0)
    blink_ratio: float = Field(0.55, gt=0, lt=1)
    is_literal: bool = False


class Retime(Stage[RetimeMap]):
    """Choose the footage under the speech, so that the head rests when nobody speaks."""

    name = "retime"
    version = 2
    output_type = RetimeMap
    params: RetimeParams

    def run(self, ctx: StageContext, *inputs: Any) -> RetimeMap:  # noqa: ARG002 - the protocol's
        """Make the map.

        Args:
            ctx: Unused but for its place in the protocol.
            *inputs: `Timeline`, `ExpressionTrack`, `FaceCoeffs` and `FaceTrack`.

        Returns:
            The timeline's own map unless its mode is "retime".

        Raises:
            NoFaceError: No frame can be dubbed.
        """
        import numpy as np

        from dubber.ops.face_motion import blinks, head_motion
        from dubber.ops.retime import RetimeCosts, retime

        timeline, expression, track = _inputs(*inputs)
        if timeline.mode != "retime":
            return RetimeMap(timeline.source_index_N, np.zeros(timeline.num_frames, bool))
        if not track.is_usable_T.any():
            raise NoFaceError("No frame of the video has a face that can be dubbed.")
        params = self.params
        costs = RetimeCosts(repeat=params.repeat, onset=params.onset, is_literal=params.is_literal)
        has_face_T = track.scores_T > 0
        motion_T = head_motion(track.landmarks_TL3, track.shot_id_T, has_face_T)
        is_blink_T = blinks(track.landmarks_TL3, has_face_T, threshold_ratio=params.blink_ratio)
        source_N, is_halfway_N = retime(
            ~expression.is_silent_N,
            motion_T + params.blink * is_blink_T,
            ~track.is_usable_T,
            track.shot_id_T,
            costs,
        )
        return RetimeMap(source_N, is_halfway_N)


def _inputs(
    timeline: Timeline, expression: ExpressionTrack, _coeffs: FaceCoeffs, track: FaceTrack
) -> tuple[Timeline, ExpressionTrack, FaceTrack]:
    return timeline, expression, track
