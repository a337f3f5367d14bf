"""timeline: when the output's frames are shown (method.md section 1)."""

from __future__ import annotations

from fractions import Fraction
from typing import Any

from dubber.engine.stage import Params, Stage, StageContext
from dubber.errors import MediaError
from dubber.types import Clip, LengthMode, Speech, Timeline


class LengthParams(Params):
    """How the lengths of footage and speech are matched.

    Attributes:
        mode: See `dubber.ops.timeline.make_timeline`.
    """

    mode: LengthMode = "auto"


class SetLength(Stage[Timeline]):
    """Match the length of the footage and of the speech."""

    name = "timeline"
    version = 1
    output_type = Timeline
    params: LengthParams

    def run(self, ctx: StageContext, *inputs: Any) -> Timeline:  # noqa: ARG002 - the protocol's
        """Make the timeline.

        Args:
            ctx: Unused but for its place in the protocol.
            *inputs: The `Clip` and every speaker's `Speech`; the longest one counts.

        Raises:
            MediaError: The clip or the speech is empty.
        """
        from dubber.ops.timeline import make_timeline

        clip, speech = _inputs(*inputs)
        if clip.num_frames == 0:
            raise MediaError("The video has no frames.")
        if speech.num_samples == 0:
            raise MediaError("The speech is empty.")
        return make_timeline(
            self.params.mode,
            clip.pts_T,
            clip.end_pts,
            clip.time_base,
            Fraction(speech.num_samples, speech.sample_rate_hz),
        )


def _inputs(clip: Clip, *speeches: Speech) -> tuple[Clip, Speech]:
    return clip, max(speeches, key=lambda speech: speech.num_samples)
