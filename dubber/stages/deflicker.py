"""deflicker: mouth patches without flicker (EBT Appendix G; method.md section 5, "Deflicker")."""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING, Any, Literal

from pydantic import Field

from dubber.engine.stage import Params, Stage, StageContext
from dubber.types import CROP_SIZE_PX, FaceTrack, Mouths, RetimeMap

if TYPE_CHECKING:
    from dubber.stages.mouth_stream import Link, MouthStream, Part
    from dubber.types import Float32, UInt8


class DeflickerParams(Params):
    """How flicker is removed; see `ops.deflicker`.

    Attributes:
        is_on: Whether at all.
        method: "literal" is the paper's equation as printed, which freezes the colours of a shot's beginning;
            the other parameters do not concern it.
        weight: Weight of the picture before.
        data: Weight of the picture's own colours; larger forgets sooner.
        detail: What of each picture is kept: its Laplacian, or, less sharply parted from light, its gradient.
        confidence_levels: How different, in levels of 0..255, a pixel may be and still be taken for the same.
        motion_px: Motion of the lips that divides their trust in the picture before by e, px of the 384 crop
            per frame.
    """

    is_on: bool = True
    method: Literal["screened_poisson", "literal"] = "screened_poisson"
    weight: float = Field(2.0, ge=0)
    data: float = Field(0.2, gt=0)
    detail: Literal["laplacian", "gradient"] = "laplacian"
    confidence_levels: float = Field(20.0, gt=0)
    motion_px: float = Field(1.0, gt=0)


class Deflicker(Stage[Mouths]):
    """Remove the patches' flicker."""

    name = "deflicker"
    version = 2
    output_type = Mouths
    is_streamed = True
    is_costly = False
    params: DeflickerParams

    def run(self, ctx: StageContext, *inputs: Any) -> MouthStream:
        """Promise the patches.

        Args:
            ctx: Is told of each frame.
            *inputs: `SourceFile` of the video, `Clip`, `FaceTrack`, `RetimeMap`, `Mouths`.
        """
        from dubber.stages.mouth_stream import (
            ShownFootage,
            as_stream,
            changed_patches,
            next_link,
            part_by_part,
        )

        *shown, mouths = inputs
        footage = ShownFootage(*shown)
        before = as_stream(mouths, footage)

        def begin() -> Link:
            recursion = Recursion(self.params, footage.track)

            def link_of(part: Part) -> Link:
                recursion.look_ahead(part.mouths(before.mouths), part.retime(footage.retime))
                return partial(changed_patches, change=recursion.filtered)

            return part_by_part(before.mouths.num_frames, link_of)

        return next_link(ctx, before, footage, begin)


class Recursion:
    """The recursion through all patches, which come in order.

    Its state is the last patch before and after filtering.

    Args:
        params: How.
        track: Knows the cuts.
    """

    def __init__(self, params: DeflickerParams, track: FaceTrack) -> None:
        self._params, self._track = params, track
        self._before: tuple[UInt8, Float32] | None = None

    def look_ahead(self, mouths: Mouths, retime: RetimeMap) -> None:
        """Prepare for some consecutive output frames, counted from 0 from here on.

        Args:
            mouths: Their landmarks.
            retime: Knows where the footage jumps.
        """
        import numpy as np

        from dubber.ops.landmark_smoothing import mouth_motion
        from dubber.stages.mouth_geometry import starts_anew

        self._mouths = mouths
        has_patch_N = mouths.has_patch_N
        follows_gap_N = np.concatenate([[True], ~has_patch_N[:-1]])[: len(has_patch_N)]
        self._begins_N = starts_anew(self._track, retime) | follows_gap_N
        self._unit_px = mouths.crop_size_px / CROP_SIZE_PX
        motion_N = mouth_motion(mouths.landmarks_NM2, of_centre=self._params.method == "literal")
        self._motion_px_N = motion_N / self._unit_px

    def filtered(self, n: int, patch: UInt8) -> UInt8:
        """The filtered patch of output frame `n`.

        Args:
            n: The one after the last, unless a gap or a cut lies between them.
            patch: (height, width, 3) uint8.
        """
        import numpy as np

        is_begun = self._before is None or self._begins_N[n]
        made = patch.astype(np.float32) if is_begun else self._filtered(n, patch)
        self._before = patch, made
        return np.asarray(np.rint(made), np.uint8)

    def _filtered(self, n: int, patch: UInt8) -> Float32:
        from dubber.ops.deflicker import Consistency, deflickered, lip_trust, literal_deflickered
        from dubber.ops.landmarks import NUM_MOUTH

        params, motion_px = self._params, float(self._motion_px_N[n])
        assert self._before is not None  # noqa: S101 - told to the type checker; the caller checked
        before, filtered_before = self._before
        if params.method == "literal":
            return literal_deflickered(patch, before, filtered_before, motion_px)
        lips_P2 = self._mouths.landmarks_NM2[n, :NUM_MOUTH]
        trust_HW = lip_trust(lips_P2, motion_px / params.motion_px, self._mouths.patch_size, self._unit_px)
        consistency = Consistency(params.weight, params.data, params.detail, params.confidence_levels)
        return deflickered(patch, before, filtered_before, trust_HW, consistency)
