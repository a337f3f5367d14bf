"""render: mouth patches for the output's frames (EBT section 4; method.md section 0, "Renderer")."""

from __future__ import annotations

import logging
import uuid
from collections.abc import Callable, Mapping
from dataclasses import replace
from functools import cached_property
from typing import TYPE_CHECKING, Annotated, Any, Literal

from pydantic import AfterValidator, Field

from dubber.engine.stage import Params, Stage, StageContext
from dubber.errors import ConfigError
from dubber.stages.plugins import OwnRenderer, checked_name, find_renderer
from dubber.stages.render_job import make_job, make_lenders
from dubber.types import (
    CROP_SIZE_PX,
    AdaptedPainter,
    Clip,
    ExpressionTrack,
    FaceCoeffs,
    FaceTrack,
    Float32,
    Mouths,
    PainterVerdict,
    RetimeMap,
    SourceFile,
)

if TYPE_CHECKING:
    from dubber.stages.mouth_stream import Link, MouthStream, Part
    from dubber.stages.renderers.base import Lenders, RenderJob
    from dubber.types import Bool

logger = logging.getLogger(__name__)

_NETWORKS = {"hybrid": ("renderer_hybrid",), "unet": ("renderer_unet",)}
"""Weights of the renderers that have some."""


class RenderParams(Params):
    """How mouths are made.

    Attributes:
        renderer: See `dubber methods`; or one of yours, FILE.py:CLASS.
        crop_size_px: Side of the crop of which the patches are a part; "auto" is the smallest size that keeps
        the footage's detail.
        held_out_from_frame: Source frames from this one on lend no mouth; for measuring.
        num_candidates: Exemplars considered per frame.
        bank_frames: At most so many source frames are considered in all.
        dissolve_frames: Neighbours to either side that share in a change of exemplar; None: 2, but 0 for
            `hybrid`, which mixes several exemplars anyway, and sharper.
        opening: Extra weight of the mouth's opening in the search.
        width: Extra weight of the mouth's width.
        jaw: Weight of the jaw.
        place: Weight of the mouth's place in the crop.
        rotation_px: Pixels that a radian of head rotation is worth.
        smoothness: Weight of the change of misfit between neighbours.
        switch: Price of leaving the footage's own order, squared px.
        hop_limit: Highest price of one change of exemplar, squared px.
        regularisation: How much the warp forgives noisy landmarks.
        window_stride: Frames from one window of the `unet` renderer to the next; frames that several windows
        show become their mean.
        is_checked: Whether `hybrid` gives way to `exemplar` where it paints the clip's own frames worse; see
            `dubber.stages.painter_check`.
        landmark_smoothing: EBT's Algorithm 2 on the wanted landmarks, as printed or so that it neither lags
        nor freezes; the translator's modes are smooth already.
    """

    renderer: Literal["hybrid", "exemplar", "unet", "copy"] | Annotated[str, AfterValidator(checked_name)] = (
        "hybrid"
    )
    crop_size_px: Literal["auto", 256, 384, 512, 768, 1024] = "auto"
    held_out_from_frame: int | None = Field(None, ge=0)
    num_candidates: int = Field(32, ge=1, le=256)
    bank_frames: int = Field(4000, ge=1)
    dissolve_frames: int | None = Field(None, ge=0, le=8)
    opening: float = Field(2.0, ge=0)
    width: float = Field(1.0, ge=0)
    jaw: float = Field(0.5, ge=0)
    place: float = Field(0.3, ge=0)
    rotation_px: float = Field(40.0, ge=0)
    smoothness: float = Field(1.0, ge=0)
    switch: float = Field(4.0, ge=0)
    hop_limit: float = Field(60.0, ge=0)
    regularisation: float = Field(0.003, ge=0)
    window_stride: int = Field(1, ge=1)
    is_checked: bool = True
    landmark_smoothing: Literal["none", "corrected", "literal"] = "none"


class Render(Stage[Mouths]):
    """Make the mouth patches."""

    name = "render"
    version = 4
    output_type = Mouths
    is_streamed = True
    params: RenderParams

    def weights(self) -> tuple[str, ...]:
        """The face model says where the wanted landmarks are; a renderer may have its network."""
        return ("face_model", *_NETWORKS.get(self.params.renderer, ()))

    def code(self) -> Mapping[str, str]:
        """See `Stage`."""
        return {} if self._own is None else self._own.code

    @cached_property
    def _own(self) -> OwnRenderer | None:
        """The user's renderer, loaded when its plan is made: what the key is of is what runs."""
        return find_renderer(self.params.renderer)

    def run(self, ctx: StageContext, *inputs: Any) -> MouthStream:
        """Promise the patches.

        Args:
            ctx: Finished segments are kept in `work_dir`.
            *inputs: `SourceFile` of the video, `Clip`, `FaceTrack`, `FaceCoeffs`, `ExpressionTrack`,
            `RetimeMap`; where they are planned, `PainterVerdict` and `AdaptedPainter`.

        Raises:
            ConfigError: No frame is left to lend its mouth.
        """
        from dubber.models.morphable import LinearFaceModel
        from dubber.stages.mouth_geometry import wanted_landmarks

        video, clip, track, coeffs, expression, retime = _inputs(*inputs[:_NUM_FIXED])
        model = LinearFaceModel.from_weight(ctx.runtime.weights.open("face_model"))
        given = {type(each): each for each in inputs[_NUM_FIXED:]}

        def wanted(shown: slice) -> Float32:
            part = RetimeMap(retime.source_index_N[shown], retime.is_halfway_N[shown])
            return wanted_landmarks(model, track, coeffs, expression.expression_NK[shown], part)

        return render_mouths(
            ctx,
            self.params,
            video,
            clip,
            track,
            coeffs,
            retime,
            wanted,
            is_asked_N=expression.is_asked_N,
            verdict=given.get(PainterVerdict),
            adapted=given.get(AdaptedPainter),
            own=self._own,
        )


_NUM_FIXED = 6
"""Inputs that every plan has."""


def _inputs(
    video: SourceFile,
    clip: Clip,
    track: FaceTrack,
    coeffs: FaceCoeffs,
    expression: ExpressionTrack,
    retime: RetimeMap,
) -> tuple[SourceFile, Clip, FaceTrack, FaceCoeffs, ExpressionTrack, RetimeMap]:
    return video, clip, track, coeffs, expression, retime


def render_mouths(
    ctx: StageContext,
    params: RenderParams,
    video: SourceFile,
    clip: Clip,
    track: FaceTrack,
    coeffs: FaceCoeffs,
    retime: RetimeMap,
    wanted: Callable[[slice], Float32],
    *,
    is_asked_N: Bool | None = None,
    verdict: PainterVerdict | None = None,
    adapted: AdaptedPainter | None = None,
    own: OwnRenderer | None = None,
) -> MouthStream:
    """Make patches for given landmarks; the stage's core, and the door for measuring with true ones.

    Args:
        ctx: Files go to its folders.
        params: How.
        video: The footage.
        clip: What probing told.
        track: The tracked face.
        coeffs: Its head rotation is part of the search.
        retime: Which source frame each output frame shows.
        wanted: Gives (n, 39, 2) landmarks, display px, of a slice of the output's frames.
        is_asked_N: (N,) bool, frames whose mouth is to be made; None: all.
        verdict: Whether the `hybrid` renderer suits the clip; None: it does.
        adapted: What the `hybrid` renderer has learned of the target.
        own: The user's renderer; None: the one that `params` names, which may be the user's too.

    Raises:
        ConfigError: No frame is left to lend its mouth.
        WeightsError: The renderer's network is missing or damaged.
    """
    from dubber.stages.mouth_stream import ShownFootage, first_link, part_by_part
    from dubber.stages.renderers import make_renderer

    name = params.renderer
    if name == "hybrid" and verdict is not None and not verdict.is_better:
        logger.warning(
            "The hybrid renderer paints this clip worse than its own frames do: exemplars are used."
        )
        name = "exemplar"
    own = own or find_renderer(name)
    lenders = make_lenders(params.model_copy(update={"renderer": name}), clip, track, coeffs)
    painter = () if adapted is None else adapted.painter

    def job_of(part: Part) -> RenderJob:
        shown = part.retime(retime)
        wanted_NM2 = wanted(part.seen)
        job = make_job(ctx, params, video, clip, track, coeffs, shown, wanted_NM2, lenders, painter)
        return (
            job if is_asked_N is None else replace(job, has_patch_N=job.has_patch_N & is_asked_N[part.seen])
        )

    def link_of(part: Part) -> Link:
        return make_renderer(name, own, job_of(part)).paint

    mouths = _known_mouths(ctx, name, len(retime.source_index_N), lenders, job_of)
    if mouths.has_patch_N.any() and name != "copy" and not lenders.may_lend_T.any():
        raise ConfigError(
            "No frame of the video is left to lend its mouth.",
            where="render.held_out_from_frame",
            advice="Hold out fewer frames.",
        )
    footage = ShownFootage(video, clip, track, retime)
    return first_link(ctx, mouths, footage, lambda: part_by_part(mouths.num_frames, link_of))


def _known_mouths(
    ctx: StageContext, renderer: str, num_frames: int, lenders: Lenders, job_of: Callable[[Part], RenderJob]
) -> Mouths:
    """All of the mouths but their patches; the arrays lie on disk."""
    import numpy as np

    from dubber.engine.mapped import forget_pages, scratch_array
    from dubber.ops.landmarks import NUM_MOUTH_JAW
    from dubber.stages.mouth_geometry import patch_size
    from dubber.stages.mouth_stream import parts

    folder = ctx.scratch_dir()
    crop_size_px = round(lenders.unit_px * CROP_SIZE_PX)

    def array(name: str, *shape: int) -> Float32:
        return scratch_array(folder / f"{name}_{uuid.uuid4().hex}", (num_frames, *shape), np.float32)

    mouths = Mouths(
        patches=(),
        crop_size_px=crop_size_px,
        patch_size=patch_size(crop_size_px),
        has_patch_N=np.zeros(num_frames, np.bool_),
        similarity_N23=array("similarity", 2, 3),
        landmarks_NM2=array("wanted", NUM_MOUTH_JAW, 2),
        source_landmarks_NM2=array("own", NUM_MOUTH_JAW, 2),
        is_own_pixels=renderer == "copy",
        renderer=renderer,
        lends_T=lenders.may_lend_T,
    )
    for part in parts(num_frames):
        job, made = job_of(part), slice(part.start, part.stop)
        own = slice(part.start - part.seen.start, part.stop - part.seen.start)
        mouths.has_patch_N[made] = job.has_patch_N[own]
        mouths.similarity_N23[made] = job.similarity_N23[own]
        mouths.landmarks_NM2[made] = job.wanted_NP2[own, :NUM_MOUTH_JAW]
        mouths.source_landmarks_NM2[made] = job.own_NM2[own]
        forget_pages()
    return mouths
