"""A made clip's face as a perfect tracker would tell it, and its own mouths asked for again."""

from __future__ import annotations

import numpy as np

from dubber.engine.stage import StageContext
from dubber.ops.align import identity_similarity, similarity_to_mean_face
from dubber.stages.mouth_geometry import source_geometry
from dubber.stages.mouth_stream import MouthStream
from dubber.stages.render import RenderParams, render_mouths
from dubber.types import Clip, FaceCoeffs, FaceTrack, PainterVerdict, RetimeMap, SourceFile
from tests.synth import SyntheticClip


def true_track(synthetic: SyntheticClip) -> FaceTrack:
    """What a perfect tracker would tell."""
    num_frames = len(synthetic.pts_T)
    has_face_T = synthetic.has_face_T
    landmarks_TL3 = np.concatenate([synthetic.landmarks_TL2, np.zeros((num_frames, 468, 1), np.float32)], 2)
    similarity_T23 = identity_similarity(num_frames)
    similarity_T23[has_face_T] = similarity_to_mean_face(landmarks_TL3[has_face_T])
    return FaceTrack(
        boxes_T4=np.zeros((num_frames, 4), np.float32),
        landmarks_TL3=landmarks_TL3,
        scores_T=has_face_T.astype(np.float32),
        is_usable_T=has_face_T,
        shot_id_T=synthetic.shot_id_T,
        identity_id_T=np.where(has_face_T, 0, -1).astype(np.int32),
        similarity_T23=similarity_T23,
        why_not_T=(~has_face_T).astype(np.int8),
    )


def still_coeffs(num_frames: int) -> FaceCoeffs:
    return FaceCoeffs(
        identity_K=np.zeros(5, np.float32),
        expression_TK=np.zeros((num_frames, 6), np.float32),
        rotation_T3=np.zeros((num_frames, 3), np.float32),
        scale_T=np.ones(num_frames, np.float32),
        translation_T2=np.zeros((num_frames, 2), np.float32),
        residual_px_T=np.zeros(num_frames, np.float32),
    )


def straight(num_frames: int) -> RetimeMap:
    return RetimeMap(np.arange(num_frames, dtype=np.int32), np.zeros(num_frames, bool))


def own_mouths(
    ctx: StageContext,
    synthetic: SyntheticClip,
    clip: Clip,
    retime: RetimeMap | None = None,
    verdict: PainterVerdict | None = None,
    **params: object,
) -> MouthStream:
    """The clip's own mouths, asked for again."""
    track, retime = true_track(synthetic), retime or straight(clip.num_frames)
    coeffs = still_coeffs(clip.num_frames)
    wanted = source_geometry(track, coeffs, retime).landmarks_NM2
    source = SourceFile(synthetic.path, "0" * 64)
    return render_mouths(
        ctx,
        RenderParams.model_validate({"renderer": "exemplar", **params}),
        source,
        clip,
        track,
        coeffs,
        retime,
        wanted.__getitem__,
        verdict=verdict,
    )
