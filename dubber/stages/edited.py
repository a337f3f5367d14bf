"""edit and edit_retime: the user's own curves in the place of the computed ones (docs/curves.md)."""

from __future__ import annotations

from typing import Any

from pydantic import Field

from dubber.engine.stage import Params, Stage, StageContext
from dubber.stages.fit import FACE_MODEL
from dubber.types import Clip, ExpressionTrack, FaceCoeffs, RetimeMap, SourceFile, Timeline


class EditParams(Params):
    """Whose curves are taken from the file.

    Attributes:
        speaker: Which of the script's speakers, counting from 0.
        num_speakers: How many there are.
    """

    speaker: int = Field(0, ge=0)
    num_speakers: int = Field(1, ge=1)


class EditExpression(Stage[ExpressionTrack]):
    """What the mouth should do, as the user corrected it."""

    name = "edit"
    version = 1
    output_type = ExpressionTrack
    params: EditParams

    def weights(self) -> tuple[str, ...]:
        """The face model: it knows how expressions open the mouth."""
        return (FACE_MODEL,)

    def run(self, ctx: StageContext, *inputs: Any) -> ExpressionTrack:
        """Make the expression track.

        Args:
            ctx: Names the weights.
            *inputs: `SourceFile` of the curves, `Timeline`, the computed `ExpressionTrack`, and `FaceCoeffs`.

        Raises:
            ConfigError: The file is no table of curves, or not one for this dub.
            WeightsError: The face model is missing or damaged.
        """
        from dubber.curves.edits import check_speakers, edited_expression, placed_rows
        from dubber.curves.opening import LipOpening
        from dubber.curves.table import read_table
        from dubber.models.morphable import LinearFaceModel

        curves, timeline, track, coeffs = _inputs(*inputs)
        table = read_table(curves.path)
        check_speakers(table, self.params.num_speakers)
        rows = placed_rows(table, timeline, speaker=self.params.speaker)
        model = LinearFaceModel.from_weight(ctx.runtime.weights.open(FACE_MODEL))
        opening = LipOpening.of_person(model, coeffs.identity_K)
        digest = ctx.runtime.weights.entry(FACE_MODEL).sha256
        return edited_expression(track, rows, timeline, opening, digest)


class EditRetime(Stage[RetimeMap]):
    """Which source frame each output frame shows, as the user corrected it."""

    name = "edit_retime"
    version = 2
    output_type = RetimeMap
    params: Params

    def run(self, ctx: StageContext, *inputs: Any) -> RetimeMap:  # noqa: ARG002 - the protocol's
        """Make the map.

        Args:
            ctx: Unused but for its place in the protocol.
            *inputs: `SourceFile` of the curves, `Timeline`, the `Clip`, and the computed `RetimeMap`.

        Raises:
            ConfigError: The file is no table of curves, or not one for this dub.
        """
        from dubber.curves.edits import check_sources, edited_retime, placed_rows
        from dubber.curves.table import read_table

        curves, timeline, clip, retime = _retime_inputs(*inputs)
        table = read_table(curves.path)
        rows = placed_rows(table, timeline, speaker=0)
        if rows.is_of_frames:
            check_sources(table, clip.num_frames)
        return edited_retime(retime, rows, timeline)


def _inputs(
    curves: SourceFile, timeline: Timeline, track: ExpressionTrack, coeffs: FaceCoeffs
) -> tuple[SourceFile, Timeline, ExpressionTrack, FaceCoeffs]:
    return curves, timeline, track, coeffs


def _retime_inputs(
    curves: SourceFile, timeline: Timeline, clip: Clip, retime: RetimeMap
) -> tuple[SourceFile, Timeline, Clip, RetimeMap]:
    return curves, timeline, clip, retime
