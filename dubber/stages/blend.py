"""blend: full frames with the new mouths in them, streamed (EBT section 4.3; method.md section 5).

Two layers, both in the frame's own pixels: the source picture itself, warped a little so that its jaw is
where the new one shall be, which keeps collar, hair and background those of this very frame; and the rendered
patch inside the jaw, Poisson-blended into it.
"""

from __future__ import annotations

from collections.abc import Generator
from contextlib import ExitStack, closing
from typing import TYPE_CHECKING, Any

from pydantic import Field

from dubber.engine.stage import Params, Stage, StageContext

if TYPE_CHECKING:
    from dubber.media.flow import FrameStream
    from dubber.media.frame import Frame
    from dubber.stages.mouth_stream import MouthStream, Shown, ShownFootage


class BlendParams(Params):
    """How patches are put into frames; distances in px of the 384 crop.

    Attributes:
        erode_px: How far inside the jaw line the patch is half visible.
        feather_px: A quarter of the width over which it fades.
        below_nose_px: How far under the nose's base the patch begins.
        color_limit: How far, in levels of luma, the patch's light may be bent at single places of its rim;
            chroma a quarter as far.
        grain: How much of the sharpness and noise that the patch lacks beside the source is made up, 0..1.
        keeps_occluded: Whether what stands before the mouth, such as a hand, is kept from the source.
        is_jaw_moved: Whether the source picture's jaw is warped to the wanted one.
        fade_frames: Frames over which mouths fade in and out where the face is lost within a shot.
    """

    erode_px: float = Field(9.0, gt=0)
    feather_px: float = Field(4.0, gt=0)
    below_nose_px: float = Field(8.0, ge=0)
    color_limit: float = Field(48.0, ge=0)
    grain: float = Field(1.0, ge=0, le=1)
    keeps_occluded: bool = True
    is_jaw_moved: bool = True
    fade_frames: int = Field(3, ge=0, le=50)


class Blend(Stage["FrameStream"]):
    """Put the mouths into the frames."""

    name = "blend"
    version = 5
    output_type = object  # a FrameStream, whose module takes long to load
    is_stored = False
    params: BlendParams

    def run(self, ctx: StageContext, *inputs: Any) -> FrameStream:
        """Promise the frames; the work is done while they are consumed.

        Args:
            ctx: Is told of the time spent.
            *inputs: `SourceFile` of the video, `Clip`, `FaceTrack`, `RetimeMap`, `Mouths`; where another
                person was dubbed before, the `FrameStream` with that one's mouths.
        """
        from dubber.media.flow import FrameStream, prefetch
        from dubber.stages.mouth_stream import ShownFootage, as_stream

        video, clip, track, retime, mouths, *before = inputs
        footage = ShownFootage(video, clip, track, retime)
        stream = as_stream(mouths, footage)
        others: FrameStream | None = before[0] if before else None
        is_dubbed_N = stream.mouths.has_patch_N
        if others is not None:
            is_dubbed_N = is_dubbed_N | others.is_dubbed_N

        def frames() -> Generator[Frame]:
            with closing(blended(self.params, footage, stream, others)) as pairs:
                for _, frame in pairs:
                    yield frame

        ahead = footage.num_ahead
        return FrameStream(
            is_dubbed_N, lambda: prefetch(frames(), ahead, ctx.spend), is_moved_N=retime.is_moved_N
        )


def blended(
    params: BlendParams, footage: ShownFootage, stream: MouthStream, others: FrameStream | None = None
) -> Generator[tuple[Shown, Frame]]:
    """The output's frames in order, beside what they were made of; the stage's core.

    Args:
        params: How.
        footage: What is shown.
        stream: The mouths.
        others: The same frames with other people's mouths in them already; None: the source's.

    Yields:
        Source picture and patch; the finished frame, which is the source's own where nothing is to be done.
    """
    from dubber.ops.grain import GrainMatcher
    from dubber.stages.compositor import Compositor
    from dubber.stages.mouth_stream import parts

    grain = GrainMatcher(params.grain)
    upcoming = iter(parts(stream.mouths.num_frames))
    stop = first = 0
    with ExitStack() as opened:
        shown = opened.enter_context(closing(stream.open()))
        made = None if others is None else opened.enter_context(closing(others.open()))
        for each in shown:
            if each.n >= stop:
                part = next(upcoming)
                stop, first = part.stop, part.seen.start
                retime, mouths = part.retime(footage.retime), part.mouths(stream.mouths)
                compositor = Compositor(params, footage.track, retime, mouths, grain)
            frame = each.frame if made is None else next(made)
            if each.patch is not None:
                frame = compositor.composite(each.n - first, frame, each.patch)
            yield each, frame
