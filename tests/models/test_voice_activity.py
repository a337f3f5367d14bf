"""Voices are told from noise, hum and music, at the right time, at any level and whatever the length."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from safetensors.numpy import save_file

from dubber.errors import WeightsError
from dubber.media.audio import iterate_audio
from dubber.models import voice_activity
from dubber.models.voice_activity import speech_probability
from dubber.ops.silence import is_voiced, level_db
from tests.conftest import REPOSITORY, real_clip

RATE = 16000


def recording(path):
    import soxr

    chunks = list(iterate_audio(path))
    return soxr.resample(np.concatenate([chunk for chunk, _ in chunks]), chunks[0][1], RATE).astype(
        np.float32
    )


@pytest.fixture(scope="module")
def line():
    """The example's line of speech."""
    return recording(REPOSITORY / "examples" / "line.wav")


def voiced(samples):
    return is_voiced(level_db(samples), speech_probability(samples))


def pink(num_samples, seed=0):
    rng = np.random.default_rng(seed)
    spectrum = np.fft.rfft(rng.standard_normal(num_samples))
    spectrum[1:] /= np.sqrt(np.arange(1, len(spectrum)))
    noise = np.fft.irfft(spectrum, num_samples)
    return (noise / noise.std()).astype(np.float32)


def not_speech():
    t = np.arange(60 * RATE) / RATE
    rng = np.random.default_rng(0)
    clicks = np.zeros(len(t))
    for start in np.cumsum(rng.uniform(0.08, 0.4, 200)):
        index = round(start * RATE)
        if index + 320 < len(t):
            clicks[index : index + 320] += 0.3 * rng.standard_normal(320) * np.exp(-np.arange(320) / 60)
    beat = np.exp(-8 * (t % 0.5))
    pitch = 220 * 2 ** (np.array([0, 4, 7, 12, 9, 5, 2, 7])[(t / 0.5).astype(int) % 8] / 12)
    melody = sum(0.5**h * np.sin(2 * np.pi * h * np.cumsum(pitch) / RATE) for h in range(1, 7)) * 0.2 * beat
    return {
        "digital silence": np.zeros(len(t)),
        "quiet room": 10 ** (-50 / 20) * pink(len(t)),
        "noisy room": 10 ** (-30 / 20) * pink(len(t)),
        "hiss": 0.05 * rng.standard_normal(len(t)),
        "hum": 0.1 * np.sin(2 * np.pi * 50 * t) + 0.03 * np.sin(2 * np.pi * 150 * t),
        "clicks": clicks + 1e-3 * rng.standard_normal(len(t)),
        "melody": melody,
    }


@pytest.mark.parametrize("kind", list(not_speech()))
def test_nobody_speaks_where_nobody_speaks(kind):
    assert not voiced(not_speech()[kind].astype(np.float32)).any()


def with_names_of_the_weight_file(name):
    name = name.replace("stft.forward_basis_buffer", "stft_conv.weight").replace(
        "decoder.decoder.2", "final_conv"
    )
    if name.startswith("decoder.rnn."):
        return name.replace("decoder.rnn", "lstm_cell") + "_l0"
    for index in range(4):
        name = name.replace(f"encoder.{index}.reparam_conv", f"conv{index + 1}")
    return name


@pytest.mark.filterwarnings("ignore:`torch.jit.load` is deprecated")
def test_the_net_is_silero_s_own(line):
    """The package has a scripted network too; with its weights the answers are the same."""
    scripted = torch.jit.load(voice_activity._weights_path().with_name("silero_vad.jit"))
    net = voice_activity.VoiceActivityNet()
    net.load_state_dict(
        {with_names_of_the_weight_file(k): v for k, v in scripted._model.state_dict().items()}
    )
    samples = torch.from_numpy(line[: len(line) // 512 * 512])
    chunks = torch.nn.functional.pad(samples, (64, 0)).unfold(0, 576, 512)
    with torch.inference_mode():
        wanted = torch.cat([scripted(chunk[None], RATE)[0] for chunk in samples.split(512)])
        first, state = net(chunks[:7])
        rest, _ = net(chunks[7:], state)
    assert wanted.max() > 0.9
    assert torch.cat([first, rest]).numpy() == pytest.approx(wanted.numpy(), abs=1e-4)


def test_speech_is_found_at_its_time(line):
    where = np.flatnonzero(is_voiced(level_db(line)))
    word = line[where[0] * 160 : (where[-1] + 1) * 160]
    starts_s = (1.013, 1.013 + len(word) / RATE + 1.507)
    samples = np.zeros(round((starts_s[-1] + len(word) / RATE + 2) * RATE), np.float32)
    for start in starts_s:
        samples[round(start * RATE) : round(start * RATE) + len(word)] += word
    raw = speech_probability(samples) > 0.5
    sharp = voiced(samples)
    for found, off_s in ((raw, 0.13), (sharp, 0.035)):
        for start in starts_s:
            stop = start + len(word) / RATE
            near = np.flatnonzero(found[round((start - 0.5) * 100) : round((stop + 0.5) * 100)]) / 100 - 0.5
            assert near[0] == pytest.approx(0, abs=off_s)
            assert near[-1] + 0.01 == pytest.approx(stop - start, abs=off_s)


@pytest.mark.parametrize("snr_db", [20, 10, 5, 0])
def test_speech_is_found_in_noise(line, snr_db):
    samples = np.pad(line, 3 * RATE)
    clean = voiced(samples)
    level = np.sqrt(np.mean(samples[np.repeat(clean, 160)[: len(samples)]] ** 2))
    noise = np.random.default_rng(0).standard_normal(len(samples)).astype(np.float32)
    found = voiced(samples + noise * level * 10 ** (-snr_db / 20))
    assert found[:270].sum() == 0
    assert found[-250:].sum() == 0
    assert found[clean].mean() > 0.85
    assert (found == clean).mean() > 0.88


@pytest.mark.parametrize("gain", [1.0, 0.1, 0.01])
def test_the_level_of_the_recording_does_not_matter(line, gain):
    assert (voiced(line * np.float32(gain)) == voiced(line)).mean() > 0.98


@pytest.mark.parametrize("num_samples", [0, 1, 159, 160, 161, 511, 512, 513, 512 * 513])
def test_any_length(num_samples):
    found = speech_probability(np.zeros(num_samples, np.float32))
    assert len(found) == -(-num_samples // 160) == len(level_db(np.zeros(num_samples, np.float32)))
    assert (found < 0.1).all()


@pytest.mark.parametrize(
    ("name", "least", "most"),
    [
        ("speech/singing.flac", 0.7, 1.0),
        ("speech/dialogue_8khz.wav", 0.4, 0.6),
        ("speech/german.flac", 0.7, 0.9),
        ("speech/japanese.wav", 0.7, 0.9),
    ],
)
def test_real_voices(name, least, most):
    assert least < voiced(recording(real_clip(name))).mean() < most


def test_noise_after_speech_is_silence():
    samples = recording(real_clip("speech/english.flac"))
    found = voiced(samples)
    assert found[:800].mean() > 0.7
    assert found[850:].mean() < 0.02
    assert is_voiced(level_db(samples))[850:].mean() > 0.7


def test_a_whisper_is_speech(line):
    from dubber.training.augment import whispered

    whisper = whispered(line, np.random.default_rng(0))
    assert (voiced(whisper) == voiced(line)).mean() > 0.85


@pytest.fixture
def fresh_detector():
    voice_activity._detector.cache_clear()
    yield
    voice_activity._detector.cache_clear()


def test_a_missing_package_says_what_to_do(fresh_detector, monkeypatch):
    monkeypatch.setattr(voice_activity, "find_spec", lambda name: None)
    with pytest.raises(WeightsError, match=r"pip install .*silero-vad.*translate\.voice_activity=volume"):
        speech_probability(np.zeros(RATE, np.float32))


def test_another_network_is_refused(fresh_detector, monkeypatch, tmp_path):
    path = tmp_path / "silero_vad_16k.safetensors"
    save_file({"conv1.weight": np.zeros((2, 2), np.float32)}, path)
    monkeypatch.setattr(voice_activity, "_weights_path", lambda: path)
    for damage in (lambda: None, lambda: path.write_bytes(b"no weights"), path.unlink):
        damage()
        with pytest.raises(WeightsError, match="not the voice activity detector"):
            speech_probability(np.zeros(RATE, np.float32))


def test_pieces_do_not_show(line, monkeypatch):
    whole = speech_probability(line[:50_001])
    monkeypatch.setattr(voice_activity, "_CHUNKS_AT_ONCE", 7)
    assert speech_probability(line[:50_001]) == pytest.approx(whole, abs=1e-6)
