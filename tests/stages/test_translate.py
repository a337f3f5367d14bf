"""Translate listens to the speech, learns from the target's own, and shuts the mouth in silence."""

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
from dubber.media.audio import read_speech
from dubber.models import voice_activity
from dubber.models.expression import ExpressionNet, listen
from dubber.ops import mfcc
from dubber.ops.landmarks import LOWER_INNER_LIP, UPPER_INNER_LIP
from dubber.ops.timeline import make_timeline
from dubber.stages.listening import centred, smoothed
from dubber.stages.translate import Translate, TranslateParams, frames_back_and_forth
from dubber.types import FaceCoeffs, FaceTrack, Speech, StoredFile
from tests.stages.test_timeline import CLIP

WEIGHTS = {"lstm": "expression", "conv": "expression_conv"}
ROW = """[{name}]
file = "{name}.safetensors"
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
    """A context whose weights are small random networks for four coefficients."""
    folder = tmp_path / "weights"
    folder.mkdir()
    rows = []
    for translator, name in WEIGHTS.items():
        torch.manual_seed(0)
        net = ExpressionNet(translator, 28, 4, 4, num_bases=2, width=24)
        net.encode_KZ.copy_(torch.eye(4))
        net.decode_ZK.copy_(torch.eye(4))
        path = folder / f"{name}.safetensors"
        save_file(net.to_arrays(), path)
        rows.append(ROW.format(name=name, sha=file_sha256(path)))
    (folder / "manifest.toml").write_text("\n".join(rows))
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
        zeros.astype(np.int8),
    )  # fmt: skip
    coeffs = FaceCoeffs(
        np.zeros(2, np.float32), expression, np.zeros((num_frames, 3), np.float32), ones,
        np.zeros((num_frames, 2), np.float32), zeros,
    )  # fmt: skip
    return coeffs, track


def written(path, samples):
    soundfile.write(path, samples, 16000, subtype="PCM_16")
    return Speech(StoredFile(path), 16000, len(samples))


def speech(tmp_path, seconds=2.0, spoken=(0.5, 1.2)):
    t = np.arange(round(seconds * 16000)) / 16000
    rng = np.random.default_rng(0)
    loud = (t >= spoken[0]) & (t < spoken[1])
    samples = 0.2 * loud * rng.standard_normal(len(t)) * (1.2 + np.sin(20 * t))
    return written(tmp_path / "speech.wav", samples)


def no_speech(tmp_path):
    """What a video without sound has."""
    return written(tmp_path / "none.wav", np.zeros(0))


def run(ctx, tmp_path, mode="auto", said=None, own=None, clip=CLIP, face=None, **params):
    said, own = said or speech(tmp_path), own or no_speech(tmp_path)
    timeline = make_timeline(
        mode, clip.pts_T, clip.end_pts, clip.time_base, Fraction(said.num_samples, 16000)
    )
    # Noise with a rhythm is no voice: whatever is loud counts.
    stage = Translate(TranslateParams(**{"voice_activity": "volume", **params}))
    return stage.run(ctx, said, timeline, *(face or target()), clip, own), timeline


@pytest.mark.parametrize("translator", ["lstm", "conv"])
def test_silence_is_found_and_shuts_the_mouth(ctx, tmp_path, translator):
    track, timeline = run(ctx, tmp_path, translator=translator, rest_gain=1)
    times_s = timeline.times_s_N
    assert track.expression_NK.shape == (50, 4)
    assert track.expression_NK.dtype == np.float32
    assert not track.is_silent_N[(times_s > 0.52) & (times_s < 1.18)].any()
    assert track.is_silent_N[(times_s < 0.4) | (times_s > 1.3)].all()
    assert track.expression_NK[times_s < 0.35, 0] == pytest.approx(0, abs=1e-3)
    assert track.expression_NK[(times_s > 0.55) & (times_s < 1.15), 0].min() > 2
    ajar, _ = run(ctx, tmp_path, rest_gain=0.0, translator=translator)
    assert ajar.expression_NK[times_s < 0.35, 0].min() > 2
    half, _ = run(ctx, tmp_path, rest_gain=0.5, translator=translator)
    assert half.expression_NK == pytest.approx((track.expression_NK + ajar.expression_NK) / 2, abs=1e-3)


def test_no_gain_is_the_target_s_mean(ctx, tmp_path):
    track, timeline = run(ctx, tmp_path, mouth_gain=0.0)
    spoken = (timeline.times_s_N > 0.55) & (timeline.times_s_N < 1.15)
    mean = np.tile(target()[0].expression_TK.mean(axis=0), (spoken.sum(), 1))
    assert track.expression_NK[spoken] == pytest.approx(mean, abs=1e-3)


def test_offset_and_lead_move_the_mouth_against_the_sound(ctx, tmp_path):
    plain, _ = run(ctx, tmp_path, lead_ms=0)
    early, _ = run(ctx, tmp_path, lead_ms=0, av_offset_ms=-80)  # two frames of 40 ms
    assert early.expression_NK[8:40] == pytest.approx(plain.expression_NK[10:42], abs=1e-3)
    late, _ = run(ctx, tmp_path, lead_ms=0, av_offset_ms=80)
    assert late.expression_NK[10:42] == pytest.approx(plain.expression_NK[8:40], abs=1e-3)
    assert np.abs(late.expression_NK - early.expression_NK).max() > 1
    led, _ = run(ctx, tmp_path, lead_ms=80)
    assert np.array_equal(led.expression_NK, early.expression_NK)
    # Who speaks when is a matter of the sound.
    assert np.array_equal(led.is_silent_N, late.is_silent_N)


@pytest.mark.parametrize("translator", ["lstm", "conv"])
def test_a_minute_of_silence_is_a_mouth_at_rest(ctx, tmp_path, translator):
    said = speech(tmp_path, 62.0, (0.5, 1.2))
    track, timeline = run(ctx, tmp_path, mode="loop", said=said, translator=translator, rest_gain=1)
    ajar, _ = run(ctx, tmp_path, mode="loop", said=said, translator=translator)
    after = timeline.times_s_N > 1.8
    assert after.sum() > 1500
    assert track.is_silent_N[after].all()
    resting = target()[0].expression_TK[::5].mean(axis=0)
    assert track.expression_NK[after] == pytest.approx(np.tile(resting, (after.sum(), 1)), abs=1e-3)
    assert ajar.expression_NK[timeline.times_s_N > 3].std(axis=0).max() < 1e-3  # ajar, perhaps, but still


def test_speech_beyond_the_timeline_and_silence_after_it(ctx, tmp_path):
    cut, timeline = run(ctx, tmp_path, mode="silence", said=speech(tmp_path, 5.0, (0.0, 5.0)))
    assert len(cut.expression_NK) == timeline.num_frames == 50
    short, _ = run(ctx, tmp_path, mode="silence", said=speech(tmp_path, 0.5, (0.0, 0.5)), rest_gain=1)
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
    assert Translate(TranslateParams()).weights() == ("expression_conv",)
    assert Translate(TranslateParams(translator="lstm")).weights() == ("expression",)


def test_neutral_borrows_from_the_nearest_usable_frame(ctx, tmp_path):
    said = speech(tmp_path)
    timeline = make_timeline("auto", CLIP.pts_T, CLIP.end_pts, CLIP.time_base, Fraction(2))
    coeffs, track = target()
    usable = np.ones(50, bool)
    usable[10:20] = False
    stage = Translate(TranslateParams(translator="neutral", voice_activity="volume"))
    mute, some = no_speech(tmp_path), replace(track, is_usable_T=usable)
    out = stage.run(ctx, said, timeline, coeffs, some, CLIP, mute).expression_NK
    assert np.array_equal(out[11], coeffs.expression_TK[9])
    assert np.array_equal(out[18], coeffs.expression_TK[20])
    with pytest.raises(NoFaceError):
        stage.run(ctx, said, timeline, coeffs, replace(track, is_usable_T=usable & False), CLIP, mute)


def test_another_face_model_is_refused(ctx, tmp_path):
    coeffs, track = target()
    other = replace(coeffs, expression_TK=np.zeros((50, 7), np.float32))
    with pytest.raises(WeightsError, match="another face model"):
        run(ctx, tmp_path, face=(other, track))


def test_a_missing_voice_detector_says_what_to_do(ctx, tmp_path, monkeypatch):
    monkeypatch.setattr(voice_activity, "find_spec", lambda name: None)
    voice_activity._detector.cache_clear()
    try:
        with pytest.raises(WeightsError, match=r"--set translate\.voice_activity=volume"):
            run(ctx, tmp_path, voice_activity="silero")
        run(ctx, tmp_path, voice_activity="volume")
    finally:
        voice_activity._detector.cache_clear()


def loudness(times_s, seed):
    """Syllables: some loud, some faint, some none."""
    rng = np.random.default_rng(seed)
    return np.interp(times_s, np.arange(400) * 0.12, np.maximum(rng.uniform(-0.4, 1.0, 400), 0.02))


def filmed(tmp_path, name, seconds, seed, late_s=0.0):
    """Someone whose mouth opens with the loudness of the own sound."""
    rng = np.random.default_rng(seed)
    clip = replace(
        CLIP, pts_T=np.arange(round(25 * seconds), dtype=np.int64) * 512, end_pts=round(25 * seconds) * 512
    )
    t = np.arange(round(16000 * seconds)) / 16000
    own = written(tmp_path / name, 0.1 * loudness(t - late_s, seed) * rng.standard_normal(len(t)))
    coeffs, track = target(len(clip.pts_T))
    expression = 0.1 * coeffs.expression_TK
    expression[:, 0] = 20 * loudness(clip.times_s_T, seed)
    return clip, own, (replace(coeffs, expression_TK=expression), track)


@pytest.mark.parametrize("translator", ["lstm", "conv"])
def test_the_own_speech_teaches_where_there_is_some(ctx, tmp_path, translator):
    clip, own, face = filmed(tmp_path, "own.wav", 24.0, 1)
    _, said, _ = filmed(tmp_path, "said.wav", 24.0, 2)

    def made(**how):
        track, timeline = run(ctx, tmp_path, said=said, clip=clip, face=face, translator=translator, **how)
        wanted = loudness(timeline.times_s_N + 0.05, 2)  # the mouth leads
        return np.corrcoef(track.expression_NK[:, 0], wanted)[0, 1], track.expression_NK

    taught, _ = made(own=own)
    untaught, without = made(own=own, self_adaptation=False)
    _, mute = made()
    assert np.array_equal(without, mute)  # without sound there is nothing to learn from
    assert taught > 0.45 > untaught + 0.3


def hears_loudness(ctx, tmp_path):
    """Let the network's first mode be the loudness; the others stay 0."""
    _, heard, _ = filmed(tmp_path, "heard.wav", 30.0, 7)
    net = ExpressionNet.from_weight(ctx.runtime.weights.open("expression"))
    features = mfcc.normalised(mfcc.features(read_speech(heard)))
    hidden = np.concatenate(
        [hidden for _, hidden in listen(net, features.steps_FC, features.silence_C, torch.device("cpu"))]
    )
    wanted = 20 * loudness(np.arange(len(hidden)) / 100, 7)
    weight = np.linalg.lstsq(
        np.vstack([hidden - hidden.mean(axis=0), 3 * np.eye(hidden.shape[1])]),
        np.concatenate([wanted - wanted.mean(), np.zeros(hidden.shape[1])]),
        rcond=None,
    )[0]
    net.mode_std_Z.copy_(torch.tensor([wanted.std(), 0.1, 0.1, 0.1]))
    with torch.no_grad():
        net.members[0].last.weight.zero_()[0] = torch.from_numpy(weight / wanted.std())
        net.members[0].last.bias.zero_()
    folder = tmp_path / "taught"
    folder.mkdir()
    path = folder / "expression.safetensors"
    save_file(net.to_arrays(), path)
    (folder / "manifest.toml").write_text(ROW.format(name="expression", sha=file_sha256(path)))
    ctx.runtime = replace(ctx.runtime, weights=WeightsFolder(folder))


@pytest.mark.parametrize("late_s", [0.0, 0.2, -0.12])
def test_what_the_own_speech_teaches_does_not_come_late_with_it(ctx, tmp_path, late_s):
    """This one's second coefficient follows the loudness too, which the network could not know."""
    hears_loudness(ctx, tmp_path)
    clip, own, (coeffs, track) = filmed(tmp_path, "own.wav", 24.0, 1, late_s)
    expression = coeffs.expression_TK.copy()
    expression[:, 1] = -expression[:, 0]
    face = (replace(coeffs, expression_TK=expression), track)
    _, said, _ = filmed(tmp_path, "said.wav", 24.0, 2)
    made, timeline = run(
        ctx, tmp_path, said=said, clip=clip, face=face, own=own, lead_ms=0, translator="lstm"
    )
    habit = [
        np.corrcoef(made.expression_NK[:, 1], -loudness(timeline.times_s_N - lag / 100, 2))[0, 1]
        for lag in range(-30, 31)
    ]
    assert np.argmax(habit) - 30 == pytest.approx(0, abs=4)
    assert max(habit) > 0.8


def test_own_speech_that_fits_nothing_is_left_alone(ctx, tmp_path):
    clip, own, face = filmed(tmp_path, "own.wav", 12.0, 1)
    rng = np.random.default_rng(3)
    unrelated = replace(face[0], expression_TK=rng.standard_normal((300, 4)).astype(np.float32))
    made = [
        run(ctx, tmp_path, clip=clip, face=(unrelated, face[1]), own=own, self_adaptation=is_on)[0]
        for is_on in (True, False)
    ]
    assert np.array_equal(made[0].expression_NK, made[1].expression_NK)


@pytest.mark.filterwarnings("error")
@pytest.mark.parametrize("first_usable", [0, 200, 299])
def test_own_speech_that_ends_early_or_a_face_that_comes_late(ctx, tmp_path, first_usable):
    """Sound of 5 s to a video of 12: the rest has a mouth and no sound to it."""
    clip, _, (coeffs, track) = filmed(tmp_path, "own.wav", 12.0, 1)
    _, own, _ = filmed(tmp_path, "short.wav", 5.0, 1)
    seen = replace(track, is_usable_T=np.arange(300) >= first_usable)
    made, _ = run(ctx, tmp_path, clip=clip, face=(coeffs, seen), own=own)
    assert np.isfinite(made.expression_NK).all()


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
