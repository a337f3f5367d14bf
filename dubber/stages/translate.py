"""translate: from speech to what the target's mouth should do (method.md section 4)."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Literal

import numpy as np
from pydantic import Field

from dubber.engine.stage import Params, Stage, StageContext
from dubber.errors import NoFaceError, WeightsError
from dubber.types import (
    Bool,
    Clip,
    ExpressionTrack,
    FaceCoeffs,
    FaceTrack,
    Float32,
    Float64,
    Int64,
    Speech,
    Timeline,
)

if TYPE_CHECKING:
    from dubber.models.expression import ExpressionNet

EXPRESSION = "expression"
FACE_MODEL = "face_model"


class TranslateParams(Params):
    """How speech becomes expression.

    Attributes:
        translator: "lstm", or its null twin "neutral": the target's own expression, whatever is said.
        mouth_gain: How lively the mouth is; 1 is the least-squares answer for the target's own range. More
            opens the mouth wider and costs accuracy.
        rest_gain: How far silence closes the mouth: 1 to the target's own rest, 0 not at all.
        av_offset_ms: The user's correction: the mouth moves this much later, negative: earlier.
        lead_ms: The mouth moves this much before those of the clips that taught the network. Filmed mouths
            lead their sound a little, and a late mouth disturbs more than an early one.
        smoothing_ms: Width of a symmetric smoothing in time; 0 for none.
        min_gap_s: Silence shorter than this belongs to the utterance around it and does not shut the mouth.
    """

    translator: Literal["lstm", "neutral"] = "lstm"
    mouth_gain: float = Field(0.85, ge=0, le=3)
    rest_gain: float = Field(1.0, ge=0, le=1)
    av_offset_ms: float = Field(0.0, ge=-1000, le=1000)
    lead_ms: float = Field(50.0, ge=0, le=500)
    smoothing_ms: float = Field(50.0, ge=0, le=500)
    min_gap_s: float = Field(0.5, ge=0)


class Translate(Stage[ExpressionTrack]):
    """Listen to the speech and say what the mouth does, in the target's own range."""

    name = "translate"
    version = 1
    output_type = ExpressionTrack
    params: TranslateParams

    def weights(self) -> tuple[str, ...]:
        """The network, unless its null twin is asked for."""
        return (EXPRESSION,) if self.params.translator == "lstm" else ()

    def run(self, ctx: StageContext, *inputs: Any) -> ExpressionTrack:
        """Make the expression track.

        Args:
            ctx: Names weights and device.
            *inputs: `Speech`, `Timeline`, `FaceCoeffs`, `FaceTrack` and `Clip`.

        Raises:
            NoFaceError: No frame can be dubbed.
            WeightsError: The network is missing, damaged, or for another face model.
        """
        from dubber.media.audio import read_speech
        from dubber.ops import silence

        speech, timeline, coeffs, track, clip = _inputs(*inputs)
        if not track.is_usable_T.any():
            raise NoFaceError("No frame of the video has a face that can be dubbed.")
        samples_S = read_speech(speech)
        samples_S = samples_S[: round(timeline.audio_duration_s * speech.sample_rate_hz)]
        is_voiced_F = silence.is_voiced(silence.level_db(samples_S))
        edges_s = np.append(timeline.times_s_N, timeline.duration_s)
        is_silent_N = ~silence.utterances(is_voiced_F, edges_s, min_gap_s=self.params.min_gap_s)
        with ctx.frames(timeline.num_frames):
            if self.params.translator == "neutral":
                expression_NK = own_expression(timeline, coeffs, track, clip)
            else:
                expression_NK = self._heard(ctx, samples_S, is_voiced_F, timeline.times_s_N, coeffs, track)
            ctx.advance(timeline.num_frames)
        return ExpressionTrack(expression_NK.astype(np.float32), is_silent_N)

    def _heard(
        self,
        ctx: StageContext,
        samples_S: Float32,
        is_voiced_F: Bool,
        times_s_N: Float64,
        coeffs: FaceCoeffs,
        track: FaceTrack,
    ) -> Float32:
        from dubber.models.expression import ExpressionNet, calibrated, predict_steps, rest_modes
        from dubber.ops import mfcc, silence

        params = self.params
        net = ExpressionNet.from_weight(ctx.runtime.weights.open(EXPRESSION))
        _check_face_model(ctx, net, coeffs)
        heard = mfcc.normalised(mfcc.features(samples_S))
        device = ctx.runtime.device.torch_device()
        modes_FZ = predict_steps(net, heard.steps_FC, heard.silence_C, device)
        modes_FZ = centred(smoothed(modes_FZ, params.smoothing_ms / 1000 * mfcc.RATE_HZ), is_voiced_F)
        times_s_N = times_s_N + (params.lead_ms - params.av_offset_ms) / 1000
        steps_N = np.clip(times_s_N * mfcc.RATE_HZ, 0, len(modes_FZ) - 1)
        modes_NZ = np.stack(
            [np.interp(steps_N, np.arange(len(modes_FZ)), mode) for mode in modes_FZ.T], axis=1
        )
        own_TK = coeffs.expression_TK[track.is_usable_T]
        wanted_NZ = calibrated(net, modes_NZ.astype(np.float32), own_TK, gain=params.mouth_gain)
        rest_Z = rest_modes(net, own_TK, mouth_openings(track)[track.is_usable_T])
        shut_N1 = (
            params.rest_gain * (1 - silence.gate(is_voiced_F, times_s_N, min_gap_s=params.min_gap_s))[:, None]
        )
        return net.decode((1 - shut_N1) * wanted_NZ + shut_N1 * rest_Z)


def _inputs(
    speech: Speech, timeline: Timeline, coeffs: FaceCoeffs, track: FaceTrack, clip: Clip
) -> tuple[Speech, Timeline, FaceCoeffs, FaceTrack, Clip]:
    return speech, timeline, coeffs, track, clip


def _check_face_model(ctx: StageContext, net: ExpressionNet, coeffs: FaceCoeffs) -> None:
    """Coefficients of another face model would be nonsense to the network."""
    is_other = net.num_coefficients != coeffs.expression_TK.shape[1]
    if net.face_model_digest and FACE_MODEL in ctx.runtime.weights.manifest:
        is_other |= net.face_model_digest != ctx.runtime.weights.entry(FACE_MODEL).sha256
    if is_other:
        raise WeightsError(
            "The expression network was trained for another face model.",
            where=str(ctx.runtime.weights.path(EXPRESSION)),
            advice="Run `dubber train expression`, or restore the weights that come with dubber.",
        )


def mouth_openings(track: FaceTrack) -> Float32:
    """(T,) distance of the middle of the inner lips in inter-ocular distances; comparable within a clip."""
    from dubber.ops.landmarks import LOWER_INNER_LIP, UPPER_INNER_LIP
    from dubber.ops.retime import eye_distance

    gap_T2 = track.landmarks_TL3[:, UPPER_INNER_LIP, :2] - track.landmarks_TL3[:, LOWER_INNER_LIP, :2]
    return np.asarray(np.linalg.norm(gap_T2, axis=1) / eye_distance(track.landmarks_TL3), np.float32)


def smoothed(modes_FZ: Float32, width_steps: float) -> Float32:
    """Symmetric smoothing in time (no lag).

    Args:
        modes_FZ: (F, Z).
        width_steps: Full width of a Hann window at half its height; below one step nothing is done.

    Returns:
        (F, Z).
    """
    from scipy.ndimage import convolve1d

    reach = round(width_steps)
    if reach < 1:
        return modes_FZ
    weights = np.hanning(2 * reach + 1)[1:-1]
    return np.asarray(convolve1d(modes_FZ, weights / weights.sum(), axis=0, mode="nearest"), np.float32)


def centred(modes_FZ: Float32, is_voiced_F: Bool) -> Float32:
    """Take out the mean over the spoken part: the target's own mean comes in its place.

    Args:
        modes_FZ: (F, Z).
        is_voiced_F: (F or F - 1,) spoken steps; a short speech says little about its mean, and less is
            taken out.

    Returns:
        (F, Z).
    """
    spoken_FZ = modes_FZ[: len(is_voiced_F)][is_voiced_F[: len(modes_FZ)]]
    if not len(spoken_FZ):
        return modes_FZ
    trust = len(spoken_FZ) / (len(spoken_FZ) + 200.0)
    return np.asarray(modes_FZ - trust * spoken_FZ.mean(axis=0), np.float32)


def own_expression(timeline: Timeline, coeffs: FaceCoeffs, track: FaceTrack, clip: Clip) -> Float32:
    """The target's own expression at each output frame's source.

    Args:
        timeline: Names the source frames; when they are not known yet, the footage back and forth is meant.
        coeffs: The coefficients.
        track: Which frames have any; others borrow from the nearest one that has.
        clip: The source's times.

    Returns:
        (N, K).
    """
    source_N: Int64 = timeline.source_index_N.astype(np.int64)
    if (source_N < 0).any():
        source_N = frames_back_and_forth(clip.times_s_T, clip.duration_s, timeline.times_s_N)
    usable = np.flatnonzero(track.is_usable_T)
    after_N = np.clip(np.searchsorted(usable, source_N), 0, len(usable) - 1)
    before_N = np.maximum(after_N - 1, 0)
    is_before_nearer_N = np.abs(usable[before_N] - source_N) <= np.abs(usable[after_N] - source_N)
    return np.asarray(coeffs.expression_TK[usable[np.where(is_before_nearer_N, before_N, after_N)]])


def frames_back_and_forth(times_s_T: Float64, duration_s: float, times_s_N: Float64) -> Int64:
    """(N,) frame shown at each time when the clip is played forwards, backwards, and so on."""
    phase_N = np.mod(times_s_N + 1e-9, 2 * duration_s)
    folded_N = np.minimum(phase_N, 2 * duration_s - phase_N)
    index_N = np.searchsorted(times_s_T, folded_N, side="right") - 1
    return np.asarray(np.clip(index_N, 0, len(times_s_T) - 1), np.int64)
