"""teeth: filmed detail for made teeth that lack it (EBT Appendix F; method.md section 5, "Teeth")."""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial
from typing import TYPE_CHECKING, Any

from pydantic import Field

from dubber.engine.stage import Params, Stage, StageContext
from dubber.types import CROP_SIZE_PX, Mouths

if TYPE_CHECKING:
    from dubber.ops.teeth import TeethTransfer
    from dubber.ops.teeth_proxy import MouthViews, ProxyCost
    from dubber.stages.mouth_stream import MouthStream, ShownFootage
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
        from dubber.stages.mouth_stream import ShownFootage, as_stream, changed_patches, next_link

        *shown, mouths = inputs
        footage = ShownFootage(*shown)
        before = as_stream(mouths, footage)
        search = ProxySearch(ctx, self.params, footage, before.mouths)
        return next_link(
            ctx,
            before,
            footage,
            lambda: partial(changed_patches, change=Sharpener(self.params, search).sharpened),
        )


class ProxySearch:
    """The frames that may lend, B of them: where their mouths are, their pictures, and who is chosen.

    Args:
        ctx: The pictures are shared with the run's other stages.
        params: How.
        footage: The frames.
        mouths: What is made.

    Attributes:
        mouths: The same.
        unit_px: Pixels that a px of the 384 crop is in the patches.
        lenders_B: (B,) int32 source frames.
        landmarks_BM2: (B, 39, 2) their mouths and jaws, px of the patches.
        pictures: B pictures, (h, w, 3) uint8 each, read from disk when looked at.
    """

    def __init__(self, ctx: StageContext, params: TeethParams, footage: ShownFootage, mouths: Mouths) -> None:
        from dubber.ops.align import apply_similarity
        from dubber.ops.landmarks import MOUTH_JAW
        from dubber.stages.mouth_geometry import patch_similarity
        from dubber.stages.renderers.crops import FaceCrops

        self._params, self._track, self._retime = params, footage.track, footage.retime
        self.mouths = mouths
        self.unit_px = mouths.crop_size_px / CROP_SIZE_PX
        similarity_T23 = patch_similarity(self._track.similarity_T23, mouths.crop_size_px)
        landmarks_TM2 = apply_similarity(similarity_T23, self._track.landmarks_TL3[:, MOUTH_JAW, :2])
        self.lenders_B = self._lenders(landmarks_TM2)
        self.landmarks_BM2 = landmarks_TM2[self.lenders_B]
        crops = FaceCrops.of(ctx, footage.video.path, footage.clip, similarity_T23, mouths.crop_size_px)
        self.pictures = _Pictures(crops, self.lenders_B.tolist())

    def _lenders(self, landmarks_TM2: Float32) -> Int32:
        """Open mouths that may lend; a varied subset where there are many."""
        from dubber.ops.exemplar import bank_subset
        from dubber.ops.teeth_proxy import INNER_LIPS, inner_mouth_areas

        is_open_T = inner_mouth_areas(landmarks_TM2, self.unit_px) >= self._params.min_area_px2
        inner_TI2 = landmarks_TM2[:, INNER_LIPS]
        shapes_TD = (inner_TI2 - inner_TI2.mean(1, keepdims=True)).reshape(len(inner_TI2), -1)
        return bank_subset(shapes_TD, self.mouths.lends_T & is_open_T, self._params.bank_frames)

    def shares(self) -> list[dict[int, float]]:
        """Lenders (positions in B) and shares for each output frame."""
        from dubber.ops.teeth import proxy_quality
        from dubber.ops.teeth_proxy import inner_mouth_areas, proxy_path, proxy_shares
        from dubber.stages.mouth_geometry import starts_anew

        mouths, params = self.mouths, self._params
        areas_N = inner_mouth_areas(mouths.landmarks_NM2, self.unit_px)
        is_open_N: Bool = mouths.has_patch_N & (areas_N >= params.min_area_px2)
        starts_anew_N = starts_anew(self._track, self._retime)
        path_N = proxy_path(
            self._views(mouths.landmarks_NM2, self._retime.source_index_N),
            self._views(self.landmarks_BM2, self.lenders_B),
            proxy_quality(self.pictures, self.landmarks_BM2, self.unit_px),
            is_open_N,
            starts_anew_N,
            _cost(params),
        )
        return proxy_shares(path_N, starts_anew_N, params.dissolve_frames)

    def _views(self, landmarks_NM2: Float32, frames_N: Int32) -> MouthViews:
        """What is compared of mouths that are shown on these source frames' heads."""
        from dubber.ops.align import apply_similarity, similarity_scale
        from dubber.ops.landmarks import NOSE_BASE, NOSE_TIP
        from dubber.ops.teeth_proxy import MouthViews, inner_mouth_masks

        similarity_N23 = self._track.similarity_T23[frames_N]
        base_N2, tip_N2 = (
            apply_similarity(similarity_N23, self._track.landmarks_TL3[frames_N][:, points, :2]).mean(1)
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
        params: How.
        search: Says which filmed mouths it comes from; it runs with the first patch.
    """

    def __init__(self, params: TeethParams, search: ProxySearch) -> None:
        self._search = search
        self._transfer = _transfer(params)
        self._shares_N: list[dict[int, float]] | None = None

    def sharpened(self, n: int, patch: UInt8) -> UInt8:
        """The sharpened patch, (height, width, 3) uint8, of output frame `n`."""
        from dubber.ops.teeth import Proxy, transfer_teeth

        search = self._search
        if not len(search.lenders_B):
            return patch
        if self._shares_N is None:
            self._shares_N = search.shares()
        proxies = [
            Proxy(search.pictures[lender], search.landmarks_BM2[lender], share)
            for lender, share in self._shares_N[n].items()
        ]
        landmarks_M2 = search.mouths.landmarks_NM2[n]
        return transfer_teeth(patch, landmarks_M2, proxies, search.unit_px, self._transfer)


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
