"""What the translator makes of a clip's own voice on the held-out quarter: landmarks, no pictures.

Beside it stand three trivial answers: the mean mouth, the mouth frozen as it was last seen, and (for the
opening's curve only) the loudness of the voice.

Index letters: T source frames, N held-out frames, M = 39 mouth and jaw landmarks, K coefficients.
"""

from __future__ import annotations

import dataclasses
import tempfile
import wave
from pathlib import Path
from typing import Any

import numpy as np

from dubber.config import DubConfig
from dubber.engine.progress import Progress
from dubber.engine.stage import Runtime, StageContext
from dubber.evaluation import motion
from dubber.evaluation.footage import Footage, on_own_heads
from dubber.evaluation.measures import Measures
from dubber.media.audio import read_speech
from dubber.models.morphable import MOUTH_JAW, LinearFaceModel, project_TL2
from dubber.ops.align import apply_similarity, similarity_scale
from dubber.ops.landmarks import MOUTH_JAW as MOUTH_JAW_POINTS
from dubber.ops.landmarks import mouth_opening
from dubber.ops.silence import RATE_HZ, level_db
from dubber.stages.fit import FACE_MODEL
from dubber.stages.translate import Translate
from dubber.training.targets import TargetName, landmark_numbers, numbered_landmarks
from dubber.types import Float32, Speech, StoredFile, Timeline

SILENCE_S = 60
"""Length of the silence of `motion_without_sound`."""

_CURVES = ("mouth_opening_correlation", "av_lag_frames", "opening_amplitude_ratio")
_STILL_PX = 1e-3
_TREMBLE_PX = 0.5
"""Standard deviations of an opening that does not move: as made, and as filmed, where the tracker trembles by
0.3 px. A correlation with it means nothing.
"""


def evaluate_footage(
    footage: Footage,
    config: DubConfig,
    runtime: Runtime,
    progress: Progress,
    *,
    target: TargetName = "expression",
) -> dict[str, Any]:
    """Measure what the translator says on the held-out quarter, which takes seconds.

    Args:
        footage: The clip, prepared with a face model of the same bytes.
        config: Parameters of the translator.
        runtime: Device and weights.
        progress: Is told of the translator.
        target: What the network of these weights predicts. Landmarks are measured by `landmark_measures`
            alone: without a face model there is no expression, and no head that could be made to stand still.

    Returns:
        {"clip", "frames", "metrics", "baselines"}: see `shape_measures`. Baselines are "mean_mouth",
        "frozen" and "loudness".

    Raises:
        DubberError: See `dubber.stages.translate`.
    """
    model = LinearFaceModel.from_weight(runtime.weights.open(FACE_MODEL))
    if target == "landmarks":
        heard_NM2 = heard_landmarks(footage, config, runtime, progress)
        metrics = {"expression_error": None, **landmark_measures(footage, heard_NM2)}
    else:
        metrics = shape_measures(footage, model, heard_expression(footage, config, runtime, progress), config)
    return {
        "clip": footage.name,
        "frames": int(footage.is_measured_N.sum()),
        "metrics": metrics,
        "baselines": {
            **{
                name: shape_measures(footage, model, expression, config)
                for name, expression in trivial_expressions(footage).items()
            },
            "loudness": loudness_measures(footage),
        },
    }


def heard_expression(footage: Footage, config: DubConfig, runtime: Runtime, progress: Progress) -> Float32:
    """(N, K) what the translator makes of the clip's own voice, knowing nothing of the held-out part."""
    heard_TK = _translated(footage, footage.speech, footage.timeline, config, runtime, progress)
    return heard_TK[footage.measured]


def heard_landmarks(footage: Footage, config: DubConfig, runtime: Runtime, progress: Progress) -> Float32:
    """(N, 39, 2) px of the 384 crop: the same of a network that predicts landmarks.

    The translator does not ask what the network's numbers are. So they are calibrated, smoothed and read off
    as coefficients are, around the landmarks of the known part.
    """
    landmarks_TM2 = apply_similarity(
        footage.track.similarity_T23, footage.track.landmarks_TL3[:, MOUTH_JAW_POINTS, :2]
    )
    numbers = dataclasses.replace(footage.coeffs, expression_TK=landmark_numbers(landmarks_TM2))
    shown = dataclasses.replace(footage, coeffs=numbers)
    return numbered_landmarks(heard_expression(shown, config, runtime, progress))


def motion_without_sound(
    footage: Footage, model: LinearFaceModel, config: DubConfig, runtime: Runtime, progress: Progress
) -> float | None:
    """How much the lips move while a minute of digital silence is dubbed, against the clip's own speech.

    Args:
        footage: The clip.
        model: The face model.
        config: Parameters of the translator.
        runtime: Device and weights.
        progress: Is told of the translator.

    Returns:
        Ratio of the two `motion.lip_speed`s, both on a head that stands still; None where the clip never
        speaks.
    """
    rate, ticks_per_s = footage.clip.frame_rate, 1 / footage.clip.time_base
    pts_N = np.round(np.arange(int(SILENCE_S * rate)) * float(ticks_per_s / rate)).astype(np.int64)
    timeline = Timeline(
        mode="retime",
        pts_N=pts_N,
        end_pts=int(SILENCE_S * ticks_per_s),
        time_base=footage.clip.time_base,
        source_index_N=np.full(len(pts_N), -1, np.int32),
        audio_duration_s=SILENCE_S,
    )
    with tempfile.TemporaryDirectory(prefix="dubber-") as folder:
        path = Path(folder) / "silence.wav"
        num_samples = int(SILENCE_S * footage.speech.sample_rate_hz)
        with wave.open(str(path), "wb") as file:
            file.setparams((1, 2, footage.speech.sample_rate_hz, num_samples, "NONE", ""))
            file.writeframes(bytes(2 * num_samples))
        speech = Speech(StoredFile(path), footage.speech.sample_rate_hz, num_samples)
        silent_NK = _translated(footage, speech, timeline, config, runtime, progress)
    spoken_T = footage.track.is_usable_T & ~footage.is_silent_T(config.translate.min_gap_s)
    own_speed = motion.lip_speed(
        on_a_still_head(model, footage, footage.coeffs.expression_TK), footage.timeline.times_s_N, spoken_T
    )
    speed = motion.lip_speed(
        on_a_still_head(model, footage, silent_NK), timeline.times_s_N, np.ones(len(silent_NK), np.bool_)
    )
    return speed / own_speed if own_speed and speed is not None else None


def _translated(
    footage: Footage,
    speech: Speech,
    timeline: Timeline,
    config: DubConfig,
    runtime: Runtime,
    progress: Progress,
) -> Float32:
    """(N, K) what the translator makes of speech, knowing nothing of the held-out part's faces."""
    with tempfile.TemporaryDirectory(prefix="dubber-") as folder:
        context = StageContext(runtime, Path(folder), Path(folder), "translate", progress)
        expression = Translate(config.translate).run(
            context,
            speech,
            timeline,
            footage.coeffs,
            footage.known_track,
            footage.clip,
            footage.speech,
        )
    return expression.expression_NK


def trivial_expressions(footage: Footage) -> dict[str, Float32]:
    """(K,) answers that need no ears: the mean of what is known, and the last of it."""
    known_nK = footage.known_expression_nK
    return {"mean_mouth": known_nK.mean(axis=0), "frozen": known_nK[-1]}


def shape_measures(
    footage: Footage, model: LinearFaceModel, expression: Float32, config: DubConfig
) -> Measures:
    """Compare an expression of the held-out frames with what was filmed.

    Args:
        footage: Knows the truth.
        model: The face model.
        expression: (K,) one for all frames, or (N, K).
        config: Says how long a silence is one.

    Returns:
        `expression_error`, the measures of `landmark_measures`, `motion_in_silence` as
        `dubber.evaluation.motion` defines them, and `true_motion_in_silence`, the filmed mouth's. None where
        a measure has no meaning.
    """
    truth_NK, is_known_N = footage.true_expression_NK, footage.is_measured_N
    expression_NK = np.broadcast_to(expression, truth_NK.shape)
    still_NM2 = on_a_still_head(model, footage, expression_NK)
    is_silent_N = footage.is_silent_T(config.translate.min_gap_s)[footage.measured]
    in_silence, truly_in_silence = (
        motion.motion_in_silence(landmarks_NM2, footage.times_s_N, is_silent_N, is_known_N)
        for landmarks_NM2 in (still_NM2, on_a_still_head(model, footage, truth_NK))
    )
    asked = landmark_measures(footage, footage.in_crop(on_own_heads(model, footage, expression_NK)))
    # A mouth that stands still has the curve of the tracker's tremble, which correlates with the truth's.
    if mouth_opening(still_NM2).std() < _STILL_PX:
        asked |= dict.fromkeys(_CURVES)
    return {
        "expression_error": motion.expression_error(expression_NK[is_known_N], truth_NK[is_known_N]),
        **asked,
        "motion_in_silence": in_silence,
        "true_motion_in_silence": truly_in_silence,
    }


def landmark_measures(footage: Footage, asked_NM2: Float32) -> Measures:
    """Compare landmarks asked of the renderer with the tracked ones, as `dubber.evaluation.motion` defines.

    Args:
        footage: Knows the truth.
        asked_NM2: (N, 39, 2) px of the 384 crop.

    Returns:
        `landmark_error_px`, `lmd_px`, `lmd_sum_px`, `mouth_opening_correlation`, `av_lag_frames` and
        `opening_amplitude_ratio`; None for the last three where the filmed mouth stands still.
    """
    is_known_N, truth_NM2 = footage.is_measured_N, footage.true_landmarks_NM2
    asked, truth = asked_NM2[is_known_N], truth_NM2[is_known_N]
    correlation, lag = motion.lagged_correlation(
        mouth_opening(asked_NM2), mouth_opening(truth_NM2), is_known_N
    )
    curves: Measures = dict.fromkeys(_CURVES)
    if mouth_opening(truth).std() > _TREMBLE_PX:
        swing = motion.amplitude_ratio(mouth_opening(asked), mouth_opening(truth))
        curves = dict(zip(_CURVES, (correlation, lag, swing), strict=True))
    return {
        "landmark_error_px": motion.landmark_error_px(asked, truth),
        "lmd_px": motion.lmd_px(asked, truth),
        "lmd_sum_px": motion.lmd_sum_px(asked, truth),
        **curves,
    }


def on_a_still_head(model: LinearFaceModel, footage: Footage, expression_NK: Float32) -> Float32:
    """(N, 39, 2) landmarks of expressions on a head that looks ahead and keeps still, px of the 384 crop."""
    num_frames = len(expression_NK)
    is_usable_T = footage.track.is_usable_T
    scale_px = np.median(
        (footage.coeffs.scale_T * similarity_scale(footage.track.similarity_T23))[is_usable_T]
    )
    return project_TL2(
        model,
        footage.coeffs.identity_K,
        np.asarray(expression_NK, np.float32),
        np.zeros((num_frames, 3), np.float32),
        np.full(num_frames, scale_px, np.float32),
        np.zeros((num_frames, 2), np.float32),
        model.landmark_sets[MOUTH_JAW],
    )


def loudness_measures(footage: Footage) -> Measures:
    """How well the voice's loudness alone tells the mouth's opening."""
    level_F = level_db(read_speech(footage.speech))
    level_N = np.interp(footage.times_s_N, np.arange(len(level_F)) / RATE_HZ, level_F).astype(np.float32)
    correlation, lag = motion.lagged_correlation(
        level_N, mouth_opening(footage.true_landmarks_NM2), footage.is_measured_N
    )
    return {"mouth_opening_correlation": correlation, "av_lag_frames": lag}
