"""The committed example is small, whole and agrees with its truth."""

from __future__ import annotations

import wave

import av
import numpy as np

from examples.modes import PARAM, POSE
from tests.synth import EXAMPLES, puppet

LIMIT_BYTES = 2_000_000


def test_it_is_small_enough_to_commit():
    files = ("speaker.mp4", "speaker.truth.npz", "line.wav")
    assert sum((EXAMPLES / name).stat().st_size for name in files) < LIMIT_BYTES


def test_the_clip_has_sound_and_one_truth_per_frame():
    with np.load(EXAMPLES / "speaker.truth.npz") as truth:
        poses_TP, opening_px_T = truth["poses_TP"], truth["opening_px_T"]
    with av.open(str(EXAMPLES / "speaker.mp4")) as container:
        picture = container.streams.video[0]
        assert (picture.width, picture.height, picture.average_rate) == (480, 480, 25)
        assert picture.frames == len(poses_TP) == len(opening_px_T)
        assert container.streams.audio[0].codec_context.name == "aac"
        assert abs(container.duration / 1e6 - len(poses_TP) / 25) < 0.1
    assert poses_TP.shape[1] == len(POSE)


def test_the_mouth_does_all_that_mouths_do():
    """Shut, half open and wide open are all there for the exemplar bank, and the eyes blink."""
    with np.load(EXAMPLES / "speaker.truth.npz") as truth:
        poses_TP, opening_px_T = truth["poses_TP"], truth["opening_px_T"]
    shares, _ = np.histogram(opening_px_T, [0, 1, 8, 16, 24, 100])
    assert (shares / len(opening_px_T) > 0.05).all()
    assert (poses_TP[:, PARAM["blink"]] > 0.9).any()
    again = [puppet().opening_px(poses_TP[index]) for index in (0, 100, 200)]
    np.testing.assert_allclose(again, opening_px_T[[0, 100, 200]], atol=0.05)


def test_the_line_is_another_and_fits_the_clip():
    with wave.open(str(EXAMPLES / "line.wav")) as line:
        assert line.getnchannels() == 1
        assert 6 <= line.getnframes() / line.getframerate() <= 8
        samples = np.frombuffer(line.readframes(line.getnframes()), "<i2")
    assert np.abs(samples).max() > 20_000
