"""teeth: filmed detail for made teeth that lack it (EBT Appendix F; method.md section 5, "Teeth")."""

from __future__ import annotations

from collections.abc import Sequence
from functools import cached_property, partial
from typing import TYPE_CHECKING, Any

from pydantic import Field

from dubber.engine.stage import Params, Stage, StageContext
from dubber.types import CROP_SIZE_PX, Mouths, RetimeMap

if TYPE_CHECKING:
    from dubber.ops.teeth import TeethTransfer
    from dubber.ops.teeth_proxy import MouthViews, ProxyCost
    from dubber.stages.mouth_stream import Link, MouthStream, Part, ShownFootage
    from dubber.stages.renderers.crops import FaceCrops
    from dubber.types import Bool, Float32, Int32, UInt8

_FACE_WIDTH_PX = 250.0
"""From ear to ear (landmarks 234 and 454) in the crop; medians of three speakers: 238, 251, 254."""


class TeethParams(Params):
    """How teeth are sharpened. Distances in px of the 384 crop; see `ops.teeth` and `ops.teeth_proxy`.

    Attributes:
        is_on: Whether at all.
        is_literal: The paper's form: all of the proxy's detail, whatever the mouth has already.
        min_iou: Proxies whose inner mouth overlaps less are never taken.
        min_area_px2: Smaller inner mouths stay as they are, square px.
        bank_frames: At most so many source frames are considered.
        turn: Price of a px by which the head is turned otherwise.
        scale: Price of a face twice or half as large in the picture.
        flaw: Price of the worst picture quality.
        switch: Price of a change of proxy.
        dissolve_frames: Neighbours to either side that share in a change of proxy.
        boost: At most this much of the proxy's detail is added.
        blur_face_share: Side of the literal form's box, as a share of the face's width.
        below_upper_lip_px: How far under the upper inner lip the region begins.
        above_lower_lip_px: How far above the lower inner lip it ends.
        feather_px: How softly.
        max_saturation: Teeth are less colourful than this, of 255.
        min_value: Teeth are brighter than this, of 255.
        search_px: How far a proxy may be moved from where its lips put it.
        agreement_levels: Difference of the soft pictures at which a proxy is trusted by exp(-1/2).
    """

    is_on: bool = True
    is_literal: bool = False
    min_iou: float = Field(0.5, ge=0, le=1)
    min_area_px2: float = Field(60.0, gt=0)
    bank_frames: int = Field(1000, ge=1)
    turn: float = Field(0.02, ge=0)
    scale: float = Field(0.1, ge=0)
    flaw: float = Field(0.1, ge=0)
    switch: float = Field(0.5, ge=0)
    dissolve_frames: int = Field(2, ge=0, le=8)
    boost: float = Field(1.0, ge=0)
    blur_face_share: float = Field(0.055, gt=0)
    below_upper_lip_px: float = 0.0
    above_lower_lip_px: float = 1.0
    feather_px: float = Field(2.0, ge=0)
    max_saturation: float = Field(150.0, ge=0, le=255)
    min_value: float = Field(60.0, ge=0, le=255)
    search_px: float = Field(1.5, ge=0)
    agreement_levels: float = Field(50.0, gt=0)


class Teeth(Stage[Mouths]):
    """Sharpen the made mouths' teeth with filmed ones."""

    name = "teeth"
    version = 2
    output_type = Mouths
    is_streamed = True
    is_costly = False
    params: TeethParams

    def run(self, ctx: StageContext, *inputs: Any) -> MouthStream:
        """Promise the patches.

        Args:
            ctx: The lenders' pictures lie in its scratch folder.
            *inputs: `SourceFile` of the video, `Clip`, `FaceTrack`, `RetimeMap`, `Mouths`, of which only the
                `lends_T` frames lend.
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
        bank = ProxyBank(ctx, self.params, footage, before.mouths)

        def link_of(part: Part) -> Link:
            sharpener = Sharpener(bank, part.mouths(before.mouths), part.retime(footage.retime))
            return partial(changed_patches, change=sharpener.sharpened)

        return next_link(ctx, before, footage, lambda: part_by_part(before.mouths.num_frames, link_of))


class ProxyBank:
    """The frames that may lend, B of them: where their mouths are, and their pictures.

    Args:
        ctx: The pictures are shared with the run's other stages.
        params: Which frames may lend, and what counts.
        footage: The frames.
        mouths: What is made.

    Attributes:
        params: The same.
        unit_px: Pixels that a px of the 384 crop is in the patches.
        lenders_B: (B,) int32 source frames.
        landmarks_BM2: (B, 39, 2) their mouths and jaws, px of the patches.
        pictures: B pictures, (h, w, 3) uint8 each, read from disk when looked at.
    """

    def __init__(self, ctx: StageContext, params: TeethParams, footage: ShownFootage, mouths: Mouths) -> None:
        from dubber.stages.mouth_geometry import patch_similarity
        from dubber.stages.renderers.crops import FaceCrops

        self.params = params
        self.unit_px = mouths.crop_size_px / CROP_SIZE_PX
        self.track = footage.track
        self._similarity_T23 = patch_similarity(self.track.similarity_T23, mouths.crop_size_px)
        self.lenders_B = self._lenders(mouths.lends_T)
        self.landmarks_BM2 = self._landmarks(self.lenders_B)
        crops = FaceCrops.of(ctx, footage.video.path, footage.clip, self._similarity_T23, mouths.crop_size_px)
        self.pictures = _Pictures(crops, self.lenders_B.tolist())

    def _lenders(self, lends_T: Bool) -> Int32:
        """Open mouths that may lend; a varied subset where there are many."""
        import numpy as np

        from dubber.ops.exemplar import bank_subset
        from dubber.ops.portions import portions
        from dubber.ops.teeth_proxy import INNER_LIPS, inner_mouth_areas

        may_lend_T = lends_T.copy()
        for part in portions(len(lends_T)):
            frames = np.arange(part.start, part.stop, dtype=np.int32)
            areas_n = inner_mouth_areas(self._landmarks(frames), self.unit_px)
            may_lend_T[frames] &= areas_n >= self.params.min_area_px2

        def shapes(frames: Int32) -> Float32:
            inner_nI2 = self._landmarks(frames)[:, INNER_LIPS]
            centred_nI2: Float32 = inner_nI2 - inner_nI2.mean(1, keepdims=True)
            return centred_nI2.reshape(len(frames), -1)

        return bank_subset(shapes, may_lend_T, self.params.bank_frames)

    def _landmarks(self, frames: Int32) -> Float32:
        """(n, 39, 2) mouths and jaws of source frames, px of the patches."""
        from dubber.ops.align import apply_similarity
        from dubber.ops.landmarks import MOUTH_JAW
        from dubber.ops.portions import picked

        points_nM2 = picked(self.track.landmarks_TL3, MOUTH_JAW, frames)[..., :2]
        return apply_similarity(self._similarity_T23[frames], points_nM2)

    @cached_property
    def quality_B(self) -> Float32:
        """(B,) how good each is at lending, 0..1; see `proxy_quality`."""
        from dubber.ops.teeth import proxy_quality

        return proxy_quality(self.pictures, self.landmarks_BM2, self.unit_px)

    @cached_property
    def views(self) -> MouthViews:
        """What is compared of the lenders."""
        return self.views_of(self.landmarks_BM2, self.lenders_B)

    def views_of(self, landmarks_NM2: Float32, frames_N: Int32) -> MouthViews:
        """What is compared of mouths, (N, 39, 2) px of the patches, shown on these source frames' heads."""
        from dubber.ops.align import apply_similarity, similarity_scale
        from dubber.ops.landmarks import NOSE_BASE, NOSE_TIP
        from dubber.ops.portions import picked
        from dubber.ops.teeth_proxy import MouthViews, inner_mouth_masks

        similarity_N23 = self.track.similarity_T23[frames_N]
        base_N2, tip_N2 = (
            apply_similarity(
                similarity_N23, picked(self.track.landmarks_TL3, points, frames_N)[..., :2]
            ).mean(1)
            for points in (NOSE_BASE, [NOSE_TIP])
        )
        return MouthViews(
            masks_NB=inner_mouth_masks(landmarks_NM2, self.unit_px),
            # The tip stands out of the face: how it lies over the base tells yaw and pitch.
            turn_N2=tip_N2 - base_N2,
            scale_N=similarity_scale(similarity_N23),
        )


class _Pictures(Sequence["UInt8"]):
    """Patches of some source frames, read when looked at."""

    def __init__(self, crops: FaceCrops, frames: list[int]) -> None:
        self._crops, self._frames = crops, frames
        crops.want(frames)

    def __len__(self) -> int:
        return len(self._frames)

    def __getitem__(self, place: Any) -> Any:
        return self._crops.patch(self._frames[place])


class Sharpener:
    """Gives each made mouth the detail that it lacks.

    Args:
        bank: The filmed mouths.
        mouths: The made ones.
        retime: The source frames that show them.
    """

    def __init__(self, bank: ProxyBank, mouths: Mouths, retime: RetimeMap) -> None:
        self._bank, self._mouths, self._retime = bank, mouths, retime
        self._transfer = _transfer(bank.params)

    def sharpened(self, n: int, patch: UInt8) -> UInt8:
        """The sharpened patch, (height, width, 3) uint8, of output frame `n`."""
        from dubber.ops.teeth import Proxy, transfer_teeth

        bank = self._bank
        shares = self._shares_N[n] if len(bank.lenders_B) else {}
        if not shares:
            return patch
        proxies = [Proxy(bank.pictures[b], bank.landmarks_BM2[b], share) for b, share in shares.items()]
        return transfer_teeth(patch, self._mouths.landmarks_NM2[n], proxies, bank.unit_px, self._transfer)

    @cached_property
    def _shares_N(self) -> list[dict[int, float]]:
        """Lenders (positions in B) and shares for each output frame; found when the first patch comes."""
        from dubber.ops.teeth_proxy import inner_mouth_areas, proxy_path, proxy_shares
        from dubber.stages.mouth_geometry import starts_anew

        bank, params, landmarks_NM2 = self._bank, self._bank.params, self._mouths.landmarks_NM2
        areas_N = inner_mouth_areas(landmarks_NM2, bank.unit_px)
        is_open_N: Bool = self._mouths.has_patch_N & (areas_N >= params.min_area_px2)
        starts_anew_N = starts_anew(bank.track, self._retime)
        path_N = proxy_path(
            bank.views_of(landmarks_NM2, self._retime.source_index_N),
            bank.views,
            bank.quality_B,
            is_open_N,
            starts_anew_N,
            _cost(params),
        )
        return proxy_shares(path_N, starts_anew_N, params.dissolve_frames)


def _cost(params: TeethParams) -> ProxyCost:
    from dubber.ops.teeth_proxy import ProxyCost

    return ProxyCost(
        min_iou=params.min_iou,
        turn=params.turn,
        scale=params.scale,
        flaw=params.flaw,
        switch=params.switch,
    )


def _transfer(params: TeethParams) -> TeethTransfer:
    from dubber.ops.teeth import TeethTransfer

    return TeethTransfer(
        min_area=params.min_area_px2,
        boost=params.boost,
        blur=params.blur_face_share * _FACE_WIDTH_PX,
        below_upper_lip=params.below_upper_lip_px,
        above_lower_lip=params.above_lower_lip_px,
        feather=params.feather_px,
        max_saturation=params.max_saturation,
        min_value=params.min_value,
        search=params.search_px,
        agreement=params.agreement_levels,
        is_literal=params.is_literal,
    )
