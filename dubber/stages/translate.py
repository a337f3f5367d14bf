"""translate: from speech to what the target's mouth should do (method.md section 4)."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Literal

import numpy as np
from pydantic import Field

from dubber.engine.device import torch_threads
from dubber.engine.stage import Params, Stage, StageContext
from dubber.errors import NoFaceError, WeightsError
from dubber.stages.fit import FACE_MODEL
from dubber.stages.listening import (
    RATE_HZ,
    Target,
    at_steps,
    centred,
    learned_answer,
    predicted,
    smoothed,
)
from dubber.types import (
    Bool,
    Clip,
    ExpressionTrack,
    FaceCoeffs,
    FaceTrack,
    Float32,
    Float64,
    Int64,
    Samples,
    Speech,
    Timeline,
)

if TYPE_CHECKING:
    from dubber.models.expression import ExpressionNet

WEIGHTS = {"lstm": "expression", "conv": "expression_conv"}
"""Weights of each translator."""


class TranslateParams(Params):
    """How speech becomes expression.

    Attributes:
        translator: "conv" or "lstm", see `dubber.models.speech_net`, or their null twin "neutral": the
            target's own expression, whatever is said.
        self_adaptation: Learn from the target's own speech where the video has some; see
            `dubber.models.self_adaptation`.
        voice_activity: What counts as speech: "silero", a detector of voices, or "volume", whatever is
            loud.
        mouth_gain: How lively the mouth is; 1 is the least-squares answer for the target's own range. More
            opens the mouth wider and costs accuracy.
        rest_gain: How far silence closes the mouth: 1 to the target's own most shut, 0 not at all. Few people
            shut their mouths in every pause.
        av_offset_ms: The user's correction: the mouth moves this much later, negative: earlier.
        lead_ms: The mouth moves this much before those of the clips that taught the network. Filmed mouths
            lead their sound a little, and a late mouth disturbs more than an early one.
        smoothing_ms: Width of a symmetric smoothing in time; 0 for none.
        min_gap_s: Silence shorter than this belongs to the utterance around it and does not shut the mouth.
        ranges_s: (start, end) in seconds of the output: mouths are made there only; empty: everywhere.
    """

    translator: Literal["conv", "lstm", "neutral"] = "conv"
    self_adaptation: bool = True
    voice_activity: Literal["silero", "volume"] = "silero"
    mouth_gain: float = Field(1.0, ge=0, le=3)
    rest_gain: float = Field(0.5, ge=0, le=1)
    av_offset_ms: float = Field(0.0, ge=-1000, le=1000)
    lead_ms: float = Field(50.0, ge=0, le=500)
    smoothing_ms: float = Field(50.0, ge=0, le=500)
    min_gap_s: float = Field(0.5, ge=0)
    ranges_s: tuple[tuple[float, float], ...] = ()


class Translate(Stage[ExpressionTrack]):
    """Listen to the speech and say what the mouth does, in the target's own range."""

    name = "translate"
    version = 4
    output_type = ExpressionTrack
    params: TranslateParams

    def weights(self) -> tuple[str, ...]:
        """The network, unless its null twin is asked for."""
        name = WEIGHTS.get(self.params.translator)
        return (name,) if name else ()

    def run(self, ctx: StageContext, *inputs: Any) -> ExpressionTrack:
        """Make the expression track.

        Args:
            ctx: Names weights and device.
            *inputs: `Speech`, `Timeline`, `FaceCoeffs`, `FaceTrack`, `Clip`, and the `Speech` of the video
                itself, which may be empty.

        Raises:
            NoFaceError: No frame can be dubbed.
            WeightsError: The network or the voice detector is missing or damaged, or the network is for
                another face model.
        """
        from dubber.media.audio import open_speech
        from dubber.ops import silence

        speech, timeline, coeffs, track, clip, own_speech = _inputs(*inputs)
        if not track.is_usable_T.any():
            raise NoFaceError("No frame of the video has a face that can be dubbed.")
        edges_s = np.append(timeline.times_s_N, timeline.duration_s)
        with (
            ctx.frames(timeline.num_frames),
            torch_threads(1),
            open_speech(speech, timeline.audio_duration_s) as samples_S,
        ):
            is_voiced_F = self._is_voiced(samples_S)
            is_silent_N = ~silence.utterances(is_voiced_F, edges_s, min_gap_s=self.params.min_gap_s)
            if self.params.translator == "neutral":
                expression_NK = own_expression(timeline, coeffs, track, clip)
            else:
                target = Target(coeffs, track, clip.times_s_T, own_speech)
                expression_NK = self._heard(ctx, samples_S, is_voiced_F, timeline.times_s_N, target)
            ctx.advance(timeline.num_frames)
        is_asked_N = in_ranges(timeline.times_s_N, self.params.ranges_s)
        return ExpressionTrack(expression_NK.astype(np.float32), is_silent_N, is_asked_N)

    def _is_voiced(self, samples_S: Samples) -> Bool:
        from dubber.ops import silence

        level_db_F = silence.level_db(samples_S)
        if self.params.voice_activity == "volume":
            return silence.is_voiced(level_db_F)
        from dubber.models.voice_activity import speech_probability

        return silence.is_voiced(level_db_F, speech_probability(samples_S))

    def _heard(
        self,
        ctx: StageContext,
        samples_S: Samples,
        is_voiced_F: Bool,
        times_s_N: Float64,
        target: Target,
    ) -> Float32:
        from dubber.models.expression import ExpressionNet, TargetRange, rest_modes
        from dubber.ops import silence

        params = self.params
        name = WEIGHTS[params.translator]
        net = ExpressionNet.from_weight(ctx.runtime.weights.open(name))
        _check_face_model(ctx, net, target.coeffs, name)
        device = ctx.runtime.device.torch_device()
        usable_T = target.track.is_usable_T
        own_TK = target.coeffs.expression_TK[usable_T]
        reach = TargetRange.measured(net, own_TK)
        width = params.smoothing_ms / 1000 * RATE_HZ
        own_answer = learned_answer(net, target, reach, width, device) if params.self_adaptation else None
        deviation_FZ = smoothed(predicted(net, samples_S, reach, device, own_answer), width)
        deviation_FZ = params.mouth_gain * centred(deviation_FZ, is_voiced_F)
        steps_N = (times_s_N + (params.lead_ms - params.av_offset_ms) / 1000) * RATE_HZ
        deviation_NZ = at_steps(deviation_FZ, np.clip(steps_N, 0, len(deviation_FZ) - 1))
        rest_Z = rest_modes(net, own_TK, mouth_openings(target.track)[usable_T])
        is_open_N = silence.gate(is_voiced_F, steps_N / RATE_HZ, min_gap_s=params.min_gap_s)
        shut_N1 = params.rest_gain * (1 - is_open_N[:, None])
        return net.decode((1 - shut_N1) * reach.limited(deviation_NZ) + shut_N1 * rest_Z)


def _inputs(
    speech: Speech, timeline: Timeline, coeffs: FaceCoeffs, track: FaceTrack, clip: Clip, own_speech: Speech
) -> tuple[Speech, Timeline, FaceCoeffs, FaceTrack, Clip, Speech]:
    return speech, timeline, coeffs, track, clip, own_speech


def in_ranges(times_s_N: Float64, ranges_s: tuple[tuple[float, float], ...]) -> Bool:
    """(N,) bool, times within any of the half-open ranges; all where there are none."""
    is_within_N = np.full(len(times_s_N), not ranges_s)
    for start_s, end_s in ranges_s:
        first, last = np.searchsorted(times_s_N, [start_s, end_s])
        is_within_N[first:last] = True
    return is_within_N


def _check_face_model(ctx: StageContext, net: ExpressionNet, coeffs: FaceCoeffs, name: str) -> None:
    """Coefficients of another face model would be nonsense to the network."""
    is_other = net.num_coefficients != coeffs.expression_TK.shape[1]
    if net.face_model_digest and FACE_MODEL in ctx.runtime.weights.manifest:
        is_other |= net.face_model_digest != ctx.runtime.weights.entry(FACE_MODEL).sha256
    if is_other:
        raise WeightsError(
            "The expression network was trained for another face model.",
            where=str(ctx.runtime.weights.path(name)),
            advice="Run `dubber train expression`, or restore the weights that come with dubber.",
        )


def mouth_openings(track: FaceTrack) -> Float32:
    """(T,) distance of the middle of the inner lips in inter-ocular distances; comparable within a clip."""
    from dubber.ops.face_motion import eye_distance
    from dubber.ops.landmarks import LOWER_INNER_LIP, UPPER_INNER_LIP
    from dubber.ops.portions import picked

    lips_T23 = picked(track.landmarks_TL3, [UPPER_INNER_LIP, LOWER_INNER_LIP])
    gap_T2 = lips_T23[:, 0, :2] - lips_T23[:, 1, :2]
    return np.asarray(np.linalg.norm(gap_T2, axis=1) / eye_distance(track.landmarks_TL3), np.float32)


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
