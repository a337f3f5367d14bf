"""What a renderer is given: footage that may lend its mouth, and the output's frames in the patches' px."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from dubber.engine.stage import StageContext
from dubber.ops.align import apply_similarity, invert_similarity, similarity_scale
from dubber.ops.exemplar import HopCost, ShapeWeights
from dubber.ops.landmark_smoothing import smooth_landmarks
from dubber.ops.portions import picked, portions
from dubber.types import (
    CROP_SIZE_PX,
    Bool,
    Clip,
    FaceCoeffs,
    FaceTrack,
    Float32,
    RetimeMap,
    SourceFile,
    StoredFile,
)

if TYPE_CHECKING:
    from dubber.stages.mouth_geometry import SourceGeometry
    from dubber.stages.render import RenderParams
    from dubber.stages.renderers.base import ExemplarSearch, Lenders, RenderJob

CROP_SIZES_PX = (256, 384, 512, 768, 1024)
_ENLARGING_ALLOWED = 1.05

_DISSOLVE_FRAMES = {"exemplar": 2, "hybrid": 0, "unet": 0, "copy": 0}


def crop_size(params: RenderParams, track: FaceTrack) -> int:
    """Side of the whole crop at the patches' resolution, px."""
    if params.crop_size_px != "auto":
        return params.crop_size_px
    if not track.is_usable_T.any():
        return CROP_SIZE_PX
    scale = float(np.median(similarity_scale(track.similarity_T23[track.is_usable_T])))
    needed = CROP_SIZE_PX / scale / _ENLARGING_ALLOWED
    return next((size for size in CROP_SIZES_PX if size >= needed), CROP_SIZES_PX[-1])


def make_lenders(params: RenderParams, clip: Clip, track: FaceTrack, coeffs: FaceCoeffs) -> Lenders:
    """The footage's mouths, at the resolution that the renderer works at."""
    from dubber.stages.mouth_geometry import patch_similarity
    from dubber.stages.renderers.base import Lenders

    crop_size_px = crop_size(params, track)
    return Lenders(
        track=track,
        rotation_T3=coeffs.rotation_T3,
        similarity_T23=patch_similarity(track.similarity_T23, crop_size_px),
        may_lend_T=lending_frames(params, clip, track),
        unit_px=crop_size_px / CROP_SIZE_PX,
        search=_search(params),
    )


def make_job(
    ctx: StageContext,
    params: RenderParams,
    video: SourceFile,
    clip: Clip,
    track: FaceTrack,
    coeffs: FaceCoeffs,
    retime: RetimeMap,
    wanted_NM2: Float32,
    lenders: Lenders | None = None,
    painter: tuple[StoredFile, ...] = (),
) -> RenderJob:
    """Bring everything into the patches' px.

    Args:
        ctx: Lends weights, device, threads and folders.
        params: The renderer's.
        video: The footage.
        clip: What probing told.
        track: The tracked face.
        coeffs: Its head rotation is part of the search.
        retime: Which source frame each output frame shows.
        wanted_NM2: (N, 39, 2) display px.
        lenders: See `make_lenders`; made if not given.
        painter: Weights of the painter that has learned the target, if there are such.
    """
    from dubber.stages.mouth_geometry import patch_similarity, source_geometry
    from dubber.stages.renderers.base import RenderJob

    lenders = lenders or make_lenders(params, clip, track, coeffs)
    source = source_geometry(track, coeffs, retime)
    wanted_NM2 = _smoothed(params, source, wanted_NM2)
    crop_size_px = round(lenders.unit_px * CROP_SIZE_PX)
    similarity_N23 = patch_similarity(source.similarity_N23, crop_size_px)
    return RenderJob(
        video=video.path,
        clip=clip,
        ctx=ctx,
        crop_size_px=crop_size_px,
        search=lenders.search,
        lenders=lenders,
        window_stride=params.window_stride,
        source_index_N=retime.source_index_N,
        is_halfway_N=source.is_halfway_N,
        has_patch_N=source.has_face_N,
        starts_anew_N=source.starts_anew_N,
        similarity_N23=similarity_N23,
        wanted_NP2=apply_similarity(similarity_N23, np.concatenate([wanted_NM2, source.nose_NA2], 1)),
        own_NM2=apply_similarity(similarity_N23, source.landmarks_NM2),
        rotation_N3=source.rotation_N3,
        painter=painter,
    )


def _smoothed(params: RenderParams, source: SourceGeometry, wanted_NM2: Float32) -> Float32:
    """Landmarks kept from trembling, where that is asked for."""
    if params.landmark_smoothing == "none":
        return wanted_NM2
    upright_NM2 = apply_similarity(source.similarity_N23, wanted_NM2)
    calm_NM2 = smooth_landmarks(upright_NM2, source.starts_anew_N, method=params.landmark_smoothing)
    return apply_similarity(invert_similarity(source.similarity_N23), calm_NM2)


def lending_frames(params: RenderParams, clip: Clip, track: FaceTrack) -> Bool:
    """(T,) bool, source frames that may lend their mouth: usable, and, if any is, wholly in the picture."""
    from dubber.stages.mouth_geometry import RENDERED_POINTS

    height, width = clip.size
    is_inside_T = np.zeros(clip.num_frames, np.bool_)
    for part in portions(clip.num_frames):
        points_nP2 = picked(track.landmarks_TL3[part], RENDERED_POINTS)[..., :2]
        is_inside_T[part] = ((points_nP2 >= 0) & (points_nP2 <= [width, height])).all((1, 2))
    lends_T = track.is_usable_T & (is_inside_T if (track.is_usable_T & is_inside_T).any() else True)
    if params.held_out_from_frame is not None:
        lends_T = lends_T & (np.arange(clip.num_frames) < params.held_out_from_frame)
    return np.asarray(lends_T, np.bool_)


def _search(params: RenderParams) -> ExemplarSearch:
    """Settings of the search for exemplars."""
    from dubber.stages.renderers.base import ExemplarSearch

    return ExemplarSearch(
        shape=ShapeWeights(
            opening=params.opening,
            width=params.width,
            jaw=params.jaw,
            place=params.place,
            rotation_px=params.rotation_px,
        ),
        hop=HopCost(smoothness=params.smoothness, switch=params.switch, limit=params.hop_limit),
        num_candidates=params.num_candidates,
        bank_frames=params.bank_frames,
        dissolve_frames=_DISSOLVE_FRAMES.get(params.renderer, 0)
        if params.dissolve_frames is None
        else params.dissolve_frames,
        regularisation=params.regularisation,
    )
