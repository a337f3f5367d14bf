"""fit: explain the tracked face by the linear face model (method.md, Fitting)."""

from __future__ import annotations

import logging
from typing import TYPE_CHECKING, Any

import numpy as np
from pydantic import Field

from dubber.engine.stage import Params, Stage, StageContext
from dubber.errors import NoFaceError, WeightsError
from dubber.ops import landmarks
from dubber.types import FaceCoeffs, FaceTrack

if TYPE_CHECKING:
    from dubber.models.fit_state import FramePoses
    from dubber.models.fitting import FaceFitter
    from dubber.types import Bool, Float32, Float64, Int32

logger = logging.getLogger(__name__)

FACE_MODEL = "face_model"
"""Name of the face model's weights."""

LIPS: Int32 = np.array(
    [
        61,
        185,
        40,
        39,
        37,
        0,
        267,
        269,
        270,
        409,
        291,
        375,
        321,
        405,
        314,
        17,
        84,
        181,
        91,
        146,
        78,
        191,
        80,
        81,
        82,
        13,
        312,
        311,
        310,
        415,
        308,
        324,
        318,
        402,
        317,
        14,
        87,
        178,
        88,
        95,
    ],
    np.int32,
)
"""All landmarks of the lips, outer and inner line. Source: MediaPipe's list of lip connections."""


class FitParams(Params):
    """How much is believed of landmarks and priors; see `dubber.models.fitting.FitSettings`.

    Attributes:
        lips_weight: Importance of the lips' landmarks; other landmarks have 1.
        jaw_weight: Importance of the jaw's: on a turned head they slide along the outline.
        sigma_px: Typical landmark error, px of the crop.
        huber_px: Error from which on a landmark pulls no harder, px of the crop.
        expression_weight: Pull of the expression towards neutral.
        expression_smoothing: Weight of the expression's first differences in time; 0 for none.
        identity_weight: Pull of the identity towards the mean face.
        num_identity_frames: Frames that the identity is fitted to.
        pose_smoothing: Weight of the pose's second differences in time; 0 for none.
    """

    lips_weight: float = Field(3.0, gt=0)
    jaw_weight: float = Field(0.5, ge=0)
    sigma_px: float = Field(2.0, gt=0)
    huber_px: float = Field(4.0, gt=0)
    expression_weight: float = Field(0.1, ge=0)
    expression_smoothing: float = Field(0.05, ge=0)
    identity_weight: float = Field(0.02, gt=0)
    num_identity_frames: int = Field(50, ge=1)
    pose_smoothing: float = Field(2.0, ge=0)


class Fit(Stage[FaceCoeffs]):
    """Identity once per clip, pose and expression for each usable frame."""

    name = "fit"
    version = 2
    output_type = FaceCoeffs
    params: FitParams

    def weights(self) -> tuple[str, ...]:
        """The face model."""
        return (FACE_MODEL,)

    def run(self, ctx: StageContext, *inputs: Any) -> FaceCoeffs:
        """Make the coefficients.

        Args:
            ctx: Names the weights.
            *inputs: `FaceTrack`.

        Returns:
            Coefficients; zeros, and NaN as the residual, where the track is not usable.

        Raises:
            NoFaceError: No usable frame.
            WeightsError: The face model is missing, damaged, or not for this tracker.
        """
        from dubber.models.fitting import FaceFitter, FitSettings
        from dubber.models.morphable import TRACKER, LinearFaceModel

        (track,) = inputs
        usable: Int32 = np.flatnonzero(track.is_usable_T).astype(np.int32)
        if len(usable) == 0:
            raise NoFaceError("No frame of the video has a face that can be dubbed.")
        model = LinearFaceModel.from_weight(ctx.runtime.weights.open(FACE_MODEL))
        num_landmarks = track.landmarks_TL3.shape[1]
        if TRACKER not in model.landmark_sets or model.landmark_sets[TRACKER].max() >= num_landmarks:
            raise WeightsError("The face model does not fit the tracker's landmarks.")
        params = self.params
        settings = FitSettings(
            sigma_px=params.sigma_px,
            huber_px=params.huber_px,
            expression_weight=params.expression_weight,
            expression_smoothing=params.expression_smoothing,
            pose_smoothing=params.pose_smoothing,
            identity_weight=params.identity_weight,
        )
        fitter = FaceFitter(model, landmark_weights(num_landmarks, params), settings)
        with ctx.frames(len(usable)):
            identity_K, poses = fit_track(fitter, track, usable, params)
            ctx.advance(len(usable))
        crop_scale_T = crop_scales(track)[usable]
        residual_T = fitter.residual_px(UsableLandmarks(track, usable), crop_scale_T, identity_K, poses)
        logger.info(
            "Face model fitted to %d frames: median residual %.2f px of the crop.",
            len(usable),
            float(np.median(residual_T)),
        )
        return _scattered(identity_K, poses, residual_T, usable, len(track.is_usable_T))


def landmark_weights(num_landmarks: int, params: FitParams) -> Float64:
    """(L,) importance of each landmark."""
    weight_L = np.ones(num_landmarks)
    weight_L[landmarks.JAW] = params.jaw_weight
    weight_L[LIPS] = params.lips_weight
    return weight_L


def crop_scales(track: FaceTrack) -> Float32:
    """(T,) px of the crop per px of the picture."""
    from dubber.ops.align import similarity_scale

    return similarity_scale(track.similarity_T23)


class UsableLandmarks:
    """The landmarks of the usable frames, read a few frames at a time.

    Args:
        track: The landmarks of all frames, in memory or mapped from disk.
        usable: (U,) indices of the usable ones.
    """

    def __init__(self, track: FaceTrack, usable: Int32) -> None:
        self._landmarks_TL3, self._usable = track.landmarks_TL3, usable

    def __len__(self) -> int:
        """U."""
        return len(self._usable)

    def __getitem__(self, frames: slice | Int32, /) -> Float32:
        """(n, L, 3) float32 px, a copy."""
        from dubber.engine.mapped import forget_pages

        landmarks_nL3: Float32 = self._landmarks_TL3[self._usable[frames]]
        forget_pages()
        return landmarks_nL3


def identity_frames(
    landmarks_TL3: Float32, crop_scale_T: Float32, count: int, usable: Int32 | None = None
) -> Int32:
    """Frames that tell who it is: they differ in yaw and in how far the mouth is open.

    Args:
        landmarks_TL3: (T, L, 3) px, in memory or mapped from disk.
        crop_scale_T: (T,) px of the crop per px of the picture.
        count: How many.
        usable: (U,) frames to choose from; None for all.

    Returns:
        (min(U, count),) int32 numbers among those to choose from, increasing.
    """
    from dubber.ops.landmarks import LOWER_INNER_LIP, UPPER_INNER_LIP
    from dubber.ops.portions import picked
    from dubber.ops.spread import spread_frames
    from dubber.stages.track import yaw_deg

    chosen = slice(None) if usable is None else usable
    lips_T23 = picked(landmarks_TL3, [UPPER_INNER_LIP, LOWER_INNER_LIP])
    opening_T = np.linalg.norm(lips_T23[:, 1, :2] - lips_T23[:, 0, :2], axis=1) * crop_scale_T
    return spread_frames(yaw_deg(landmarks_TL3)[chosen], opening_T[chosen], count)


def fit_track(
    fitter: FaceFitter, track: FaceTrack, usable: Int32, params: FitParams
) -> tuple[Float32, FramePoses]:
    """Fit the usable frames: first who it is, then all frames together.

    Args:
        fitter: Holds the model.
        track: The landmarks.
        usable: (U,) indices of the usable frames.
        params: See `FitParams`.

    Returns:
        Identity (K_id,), and poses and expressions of the usable frames.
    """
    frames_UL3 = UsableLandmarks(track, usable)
    scale_T = crop_scales(track)
    scale_U = scale_T[usable]
    chosen = identity_frames(track.landmarks_TL3, scale_T, params.num_identity_frames, usable)
    identity_K = fitter.fit_identity(frames_UL3[chosen], scale_U[chosen])
    poses = fitter.fit_frames(frames_UL3, scale_U, identity_K, continues(track, usable))
    return identity_K, poses


def continues(track: FaceTrack, usable: Int32) -> Bool:
    """(U,) bool, whether each usable frame follows the usable one before without a gap or a cut."""
    is_next_U = np.zeros(len(usable), bool)
    is_next_U[1:] = (np.diff(usable) == 1) & (np.diff(track.shot_id_T[usable]) == 0)
    return is_next_U


def _scattered(
    identity_K: Float32, poses: FramePoses, residual_U: Float32, usable: Int32, num_frames: int
) -> FaceCoeffs:
    """Coefficients of all frames from those of the usable ones."""

    def spread(values: Float64 | Float32, fill: float = 0.0) -> Float32:
        out = np.full((num_frames, *values.shape[1:]), fill, np.float32)
        out[usable] = values
        return out

    return FaceCoeffs(
        identity_K=identity_K,
        expression_TK=spread(poses.expression_TK),
        rotation_T3=spread(poses.rotation_T3),
        scale_T=spread(poses.scale_T),
        translation_T2=spread(poses.translation_T2),
        residual_px_T=spread(residual_U, fill=np.nan),
    )
