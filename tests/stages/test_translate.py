"""Translate listens to the speech, stays in the target's range, and shuts the mouth in silence."""

from __future__ import annotations

from dataclasses import replace
from fractions import Fraction

import numpy as np
import pytest
import soundfile
import torch
from safetensors.numpy import save_file

from dubber.engine.key import file_sha256
from dubber.engine.weights import WeightsFolder
from dubber.errors import NoFaceError, WeightsError
from dubber.models.expression import ExpressionNet
from dubber.ops.landmarks import LOWER_INNER_LIP, UPPER_INNER_LIP
from dubber.ops.timeline import make_timeline
from dubber.stages.translate import Translate, TranslateParams, centred, frames_back_and_forth, smoothed
from dubber.types import FaceCoeffs, FaceTrack, Speech, StoredFile
from tests.stages.test_timeline import CLIP

ROW = """[expression]
file = "expression.safetensors"
sha256 = "{sha}"
kind = "expression"
licence = "Apache-2.0"
is_commercial_use_allowed = true
training_data = "none"
recipe = "none"
description = "random"
"""


@pytest.fixture
def ctx(context, tmp_path):
    """A context whose weights are a small random network for four coefficients."""
    torch.manual_seed(0)
    net = ExpressionNet(28, 4, 4, hidden=8, layers=1)
    net.encode_KZ.copy_(torch.eye(4))
    net.decode_ZK.copy_(torch.eye(4))
    folder = tmp_path / "weights"
    folder.mkdir()
    save_file(net.to_arrays(), folder / "expression.safetensors")
    (folder / "manifest.toml").write_text(ROW.format(sha=file_sha256(folder / "expression.safetensors")))
    context.runtime = replace(context.runtime, weights=WeightsFolder(folder))
    return context


def target(num_frames=50):
    """A face whose first coefficient is its opening, and which is at rest on every fifth frame."""
    rng = np.random.default_rng(0)
    opening = np.where(np.arange(num_frames) % 5 == 0, 0.0, rng.uniform(5, 20, num_frames)).astype(np.float32)
    landmarks = np.zeros((num_frames, 468, 3), np.float32)
    landmarks[:, 263, 0] = 100
    landmarks[:, LOWER_INNER_LIP, 1] = opening
    assert UPPER_INNER_LIP == 13
    expression = np.stack([opening, *rng.standard_normal((3, num_frames))], axis=1).astype(np.float32)
    zeros, ones = np.zeros(num_frames, np.float32), np.ones(num_frames, np.float32)
    track = FaceTrack(
        np.zeros((num_frames, 4), np.float32), landmarks, ones, ones > 0, zeros.astype(np.int32),
        zeros.astype(np.int32), np.zeros((num_frames, 2, 3), np.float32),
    )  # fmt: skip
    coeffs = FaceCoeffs(
        np.zeros(2, np.float32), expression, np.zeros((num_frames, 3), np.float32), ones,
        np.zeros((num_frames, 2), np.float32), zeros,
    )  # fmt: skip
    return coeffs, track


def speech(tmp_path, seconds=2.0, spoken=(0.5, 1.2)):
    t = np.arange(round(seconds * 16000)) / 16000
    rng = np.random.default_rng(0)
    loud = (t >= spoken[0]) & (t < spoken[1])
    samples = 0.2 * loud * rng.standard_normal(len(t)) * (1.2 + np.sin(20 * t))
    soundfile.write(tmp_path / "speech.wav", samples, 16000, subtype="PCM_16")
    return Speech(StoredFile(tmp_path / "speech.wav"), 16000, len(t))


def run(ctx, tmp_path, mode="auto", said=None, **params):
    said = said or speech(tmp_path)
    timeline = make_timeline(
        mode, CLIP.pts_T, CLIP.end_pts, CLIP.time_base, Fraction(said.num_samples, 16000)
    )
    coeffs, track = target()
    return Translate(TranslateParams(**params)).run(ctx, said, timeline, coeffs, track, CLIP), timeline


def test_silence_is_found_and_shuts_the_mouth(ctx, tmp_path):
    track, timeline = run(ctx, tmp_path)
    times_s = timeline.times_s_N
    assert track.expression_NK.shape == (50, 4)
    assert track.expression_NK.dtype == np.float32
    assert not track.is_silent_N[(times_s > 0.52) & (times_s < 1.18)].any()
    assert track.is_silent_N[(times_s < 0.4) | (times_s > 1.3)].all()
    assert track.expression_NK[times_s < 0.35, 0] == pytest.approx(0, abs=1e-3)
    assert track.expression_NK[(times_s > 0.55) & (times_s < 1.15), 0].min() > 2
    ajar, _ = run(ctx, tmp_path, rest_gain=0.0)
    assert ajar.expression_NK[times_s < 0.35, 0].min() > 2


def test_no_gain_is_the_target_s_mean(ctx, tmp_path):
    track, timeline = run(ctx, tmp_path, mouth_gain=0.0)
    spoken = (timeline.times_s_N > 0.55) & (timeline.times_s_N < 1.15)
    mean = np.tile(target()[0].expression_TK.mean(axis=0), (spoken.sum(), 1))
    assert track.expression_NK[spoken] == pytest.approx(mean, abs=1e-3)


def test_the_offset_moves_the_mouth_before_the_sound(ctx, tmp_path):
    plain, _ = run(ctx, tmp_path, av_offset_ms=0)
    early, _ = run(ctx, tmp_path, av_offset_ms=-80)  # two frames of 40 ms
    assert early.expression_NK[8:40] == pytest.approx(plain.expression_NK[10:42], abs=1e-3)


def test_speech_beyond_the_timeline_and_silence_after_it(ctx, tmp_path):
    cut, timeline = run(ctx, tmp_path, mode="silence", said=speech(tmp_path, 5.0, (0.0, 5.0)))
    assert len(cut.expression_NK) == timeline.num_frames == 50
    short, _ = run(ctx, tmp_path, mode="silence", said=speech(tmp_path, 0.5, (0.0, 0.5)))
    assert short.is_silent_N[14:].all()
    assert short.expression_NK[17:, 0] == pytest.approx(0, abs=1e-3)
    mute, _ = run(ctx, tmp_path, said=speech(tmp_path, 2.0, (0.0, 0.0)))
    assert mute.is_silent_N.all()
    assert np.isfinite(mute.expression_NK).all()


def test_neutral_is_the_target_s_own_expression(ctx, tmp_path):
    coeffs, _ = target()
    same, _ = run(ctx, tmp_path, translator="neutral")
    assert np.array_equal(same.expression_NK, coeffs.expression_TK)
    looped, timeline = run(ctx, tmp_path, mode="loop", said=speech(tmp_path, 3.0), translator="neutral")
    assert np.array_equal(looped.expression_NK, coeffs.expression_TK[timeline.source_index_N])
    retimed, _ = run(ctx, tmp_path, mode="retime", said=speech(tmp_path, 3.0), translator="neutral")
    assert np.array_equal(retimed.expression_NK[:50], coeffs.expression_TK)
    assert np.array_equal(retimed.expression_NK[51], coeffs.expression_TK[48])
    assert Translate(TranslateParams(translator="neutral")).weights() == ()
    assert Translate(TranslateParams()).weights() == ("expression",)


def test_neutral_borrows_from_the_nearest_usable_frame(ctx, tmp_path):
    said = speech(tmp_path)
    timeline = make_timeline("auto", CLIP.pts_T, CLIP.end_pts, CLIP.time_base, Fraction(2))
    coeffs, track = target()
    usable = np.ones(50, bool)
    usable[10:20] = False
    stage = Translate(TranslateParams(translator="neutral"))
    out = stage.run(ctx, said, timeline, coeffs, replace(track, is_usable_T=usable), CLIP).expression_NK
    assert np.array_equal(out[11], coeffs.expression_TK[9])
    assert np.array_equal(out[18], coeffs.expression_TK[20])
    with pytest.raises(NoFaceError):
        stage.run(ctx, said, timeline, coeffs, replace(track, is_usable_T=usable & False), CLIP)


def test_another_face_model_is_refused(ctx, tmp_path):
    coeffs, track = target()
    timeline = make_timeline("auto", CLIP.pts_T, CLIP.end_pts, CLIP.time_base, Fraction(2))
    other = replace(coeffs, expression_TK=np.zeros((50, 7), np.float32))
    with pytest.raises(WeightsError, match="another face model"):
        Translate(TranslateParams()).run(ctx, speech(tmp_path), timeline, other, track, CLIP)


def test_smoothing_has_no_lag():
    pulse = np.zeros((41, 1), np.float32)
    pulse[20] = 1
    out = smoothed(pulse, 5)
    assert out.sum() == pytest.approx(1, abs=1e-5)
    assert out[:, 0] == pytest.approx(out[::-1, 0])
    assert 0 < out[18, 0] < out[20, 0] < 1
    assert smoothed(pulse, 0) is pulse


def test_centred_by_the_spoken_part():
    modes = np.concatenate([np.full((1000, 2), 3.0), np.full((500, 2), -9.0)]).astype(np.float32)
    spoken = np.arange(1500) < 1000
    assert centred(modes, spoken)[0, 0] == pytest.approx(3 - 3 * 1000 / 1200)
    assert centred(modes, spoken & False) is modes


def test_back_and_forth():
    times_s = np.arange(4) / 4
    assert frames_back_and_forth(times_s, 1.0, np.arange(12) / 4 + 0.1).tolist() == [
        0,
        1,
        2,
        3,
        3,
        2,
        1,
        0,
        0,
        1,
        2,
        3,
    ]
