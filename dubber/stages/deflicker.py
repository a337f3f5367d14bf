"""deflicker: mouth patches without flicker (EBT Appendix G; method.md section 5, "Deflicker")."""

from __future__ import annotations

from collections import deque
from collections.abc import Generator
from dataclasses import replace
from typing import TYPE_CHECKING, Any, Literal

from pydantic import Field

from dubber.engine.stage import Params, Stage, StageContext
from dubber.types import CROP_SIZE_PX, FaceTrack, Mouths, RetimeMap

if TYPE_CHECKING:
    from pathlib import Path

    from dubber.types import Float32, UInt8

_NAME = "steady"
"""Stem of the patch files."""


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
    version = 1
    output_type = Mouths
    params: DeflickerParams

    def run(self, ctx: StageContext, *inputs: Any) -> Mouths:
        """Rewrite the patches.

        Args:
            ctx: Finished segments are kept in `work_dir`.
            *inputs: `FaceTrack`, `RetimeMap`, `Mouths`.

        Raises:
            MediaError: A patch file is missing or damaged.
        """
        from dubber.stages.patch_segments import copy_segments, write_segments

        track, retime, mouths = _inputs(*inputs)
        if mouths.is_own_pixels:
            return replace(mouths, patches=copy_segments(ctx, mouths.patches))
        chain = _Chain(ctx, self.params, track, retime, mouths)
        patches = write_segments(ctx, _NAME, mouths.has_patch_N, mouths.patch_size, chain.segment)
        return replace(mouths, patches=patches)


def _inputs(track: FaceTrack, retime: RetimeMap, mouths: Mouths) -> tuple[FaceTrack, RetimeMap, Mouths]:
    return track, retime, mouths


class _Chain:
    """The recursion through all patches.

    Its state is the last patch before and after filtering. The latter, unrounded, is left in the work folder
    at the end of each segment, so that a run which goes on after a kill ends with the same bytes.
    """

    def __init__(
        self,
        ctx: StageContext,
        params: DeflickerParams,
        track: FaceTrack,
        retime: RetimeMap,
        mouths: Mouths,
    ) -> None:
        import numpy as np

        from dubber.ops.landmark_smoothing import mouth_motion
        from dubber.stages.mouth_geometry import starts_anew

        self._ctx, self._params, self._mouths = ctx, params, mouths
        has_patch_N = mouths.has_patch_N
        follows_gap_N = np.concatenate([[True], ~has_patch_N[:-1]])[: len(has_patch_N)]
        self._begins_N = starts_anew(track, retime) | follows_gap_N
        self._unit_px = mouths.crop_size_px / CROP_SIZE_PX
        motion_N = mouth_motion(mouths.landmarks_NM2, of_centre=params.method == "literal")
        self._motion_px_N = motion_N / self._unit_px
        self._last: tuple[int, UInt8, Float32] | None = None
        """Number, unfiltered and filtered patch of the last output frame that was made."""

    def segment(self, start: int, stop: int) -> Generator[UInt8]:
        """The filtered patches of output frames start..stop."""
        from contextlib import closing

        import numpy as np

        from dubber.stages.patch_segments import read_segment

        mouths = self._mouths
        numbers = start + np.flatnonzero(mouths.has_patch_N[start:stop])
        with closing(read_segment(mouths.patches, mouths.has_patch_N, start)) as patches:
            for n, patch in zip(numbers.tolist(), patches, strict=True):
                filtered = patch.astype(np.float32) if self._begins_N[n] else self._filtered(n, patch)
                self._last = (n, patch, filtered)
                if n == stop - 1:
                    self._save(start, filtered)
                yield np.asarray(np.rint(filtered), np.uint8)

    def _filtered(self, n: int, patch: UInt8) -> Float32:
        from dubber.ops.deflicker import Consistency, deflickered, lip_trust, literal_deflickered
        from dubber.ops.landmarks import NUM_MOUTH

        params, motion_px = self._params, float(self._motion_px_N[n])
        before, filtered_before = self._before(n)
        if params.method == "literal":
            return literal_deflickered(patch, before, filtered_before, motion_px)
        lips_P2 = self._mouths.landmarks_NM2[n, :NUM_MOUTH]
        trust_HW = lip_trust(lips_P2, motion_px / params.motion_px, self._mouths.patch_size, self._unit_px)
        consistency = Consistency(params.weight, params.data, params.detail, params.confidence_levels)
        return deflickered(patch, before, filtered_before, trust_HW, consistency)

    def _before(self, n: int) -> tuple[UInt8, Float32]:
        """Patch n - 1, unfiltered and filtered."""
        if self._last is not None and self._last[0] == n - 1:
            return self._last[1:]
        import numpy as np

        from dubber.stages.patch_segments import SEGMENT_FRAMES, read_segment

        start = (n - 1) // SEGMENT_FRAMES * SEGMENT_FRAMES
        unfiltered = deque(read_segment(self._mouths.patches, self._mouths.has_patch_N, start), maxlen=1)[0]
        return unfiltered, np.asarray(np.load(self._state_path(start)), np.float32)

    def _save(self, start: int, filtered: Float32) -> None:
        import numpy as np

        path = self._state_path(start)
        part = path.with_suffix(".part")
        with part.open("wb") as file:
            np.save(file, filtered)
        part.replace(path)

    def _state_path(self, start: int) -> Path:
        return self._ctx.work_dir / f"{_NAME}_{start:07d}.npy"
