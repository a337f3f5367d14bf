"""blend: full frames with the new mouths in them, streamed (EBT section 4.3; method.md section 5).

Two layers, both in the frame's own pixels: the source picture itself, warped a little so that its jaw is
where the new one shall be, which keeps collar, hair and background those of this very frame; and the rendered
patch inside the jaw, Poisson-blended into it.
"""

from __future__ import annotations

from collections.abc import Generator
from typing import TYPE_CHECKING, Any

from pydantic import Field

from dubber.engine.stage import Params, Stage, StageContext
from dubber.types import Clip, FaceTrack, Mouths, RetimeMap, SourceFile

if TYPE_CHECKING:
    from dubber.media.flow import FrameStream
    from dubber.media.frame import Frame
    from dubber.stages.compositor import Compositor


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
    fade_frames: int = Field(3, ge=0)


class Blend(Stage["FrameStream"]):
    """Put the mouths into the frames."""

    name = "blend"
    version = 4
    output_type = object  # a FrameStream, whose module takes long to load
    is_stored = False
    params: BlendParams

    def run(self, ctx: StageContext, *inputs: Any) -> FrameStream:  # noqa: ARG002 - the protocol's
        """Promise the frames; the work is done while they are consumed.

        Args:
            ctx: Unused but for its place in the protocol.
            *inputs: `SourceFile` of the video, `Clip`, `FaceTrack`, `RetimeMap`, `Mouths`.
        """
        from dubber.media.flow import FrameStream
        from dubber.stages.compositor import Compositor

        video, clip, track, retime, mouths = _inputs(*inputs)

        def frames() -> Generator[Frame]:
            compositor = Compositor(self.params, track, retime, mouths)
            return _frames(video, clip, retime, mouths, compositor)

        return FrameStream(mouths.has_patch_N, frames)


def _inputs(
    video: SourceFile, clip: Clip, track: FaceTrack, retime: RetimeMap, mouths: Mouths
) -> tuple[SourceFile, Clip, FaceTrack, RetimeMap, Mouths]:
    return video, clip, track, retime, mouths


def _frames(
    video: SourceFile, clip: Clip, retime: RetimeMap, mouths: Mouths, compositor: Compositor
) -> Generator[Frame]:
    """The output's frames in order; where nothing is to be done, the source's own."""
    from contextlib import closing

    from dubber.media.flow import prefetch
    from dubber.media.patches import read_patches
    from dubber.media.reader import read_frames_at
    from dubber.stages.compositor import halfway_frame

    indices: list[int] = []
    for index, is_halfway in zip(retime.source_index_N.tolist(), compositor.is_halfway_N, strict=True):
        indices += [index, index + 1] if is_halfway else [index]
    patch_files = [] if mouths.is_own_pixels else [file.path for file in mouths.patches]
    with (
        closing(prefetch(read_frames_at(video.path, clip, indices), 4)) as sources,
        closing(prefetch(read_patches(patch_files), 4)) as patches,
    ):
        for n, is_halfway in enumerate(compositor.is_halfway_N):
            frame = next(sources)
            if is_halfway:
                frame = halfway_frame(frame, next(sources))
            if mouths.has_patch_N[n] and not mouths.is_own_pixels:
                frame = compositor.composite(n, frame, next(patches))
            yield frame
