"""Synthesised lessons: what they claim to say must be what is heard, and the same seed says the same."""

from __future__ import annotations

from ctypes.util import find_library

import numpy as np
import pytest

from dubber.errors import ConfigError
from dubber.ops import mfcc
from dubber.training import phone_speech
from dubber.training.phone_speech import PhoneClip, phone_lessons
from dubber.training.phones import UNKNOWN, Phone, PhoneClass, classes_at_steps, symbols_of, targets_at_steps

needs_espeak = pytest.mark.skipif(find_library("espeak-ng") is None, reason="espeak-ng is not installed")


@pytest.fixture(scope="module")
def clips() -> list[PhoneClip]:
    return list(phone_lessons(60.0, seed=3))


def _level_db(clips: list[PhoneClip], kind: PhoneClass) -> float:
    """Median level of a class relative to each clip's loud parts."""
    levels = []
    for clip in clips:
        padded_S = np.pad(clip.samples_S, (80, 400))
        hops_FS = np.lib.stride_tricks.sliding_window_view(padded_S, 160)[::160][: len(clip.class_F)]
        level_F = 10 * np.log10(np.mean(hops_FS**2, axis=1) + 1e-9)
        levels.append(level_F[clip.class_F == kind] - np.percentile(level_F, 95))
    return float(np.median(np.concatenate(levels)))


@needs_espeak
def test_lessons_are_as_long_as_asked_and_within_range(clips: list[PhoneClip]) -> None:
    lengths_s = [len(clip.samples_S) / mfcc.SAMPLE_RATE_HZ for clip in clips]
    assert sum(lengths_s) >= 60 > sum(lengths_s[:-1])
    assert all(0.05 < np.abs(clip.samples_S).max() < 1 for clip in clips)
    assert len({clip.speaker.split("+")[0] for clip in clips}) > 3


@needs_espeak
def test_labels_stand_at_the_steps_of_the_features(clips: list[PhoneClip]) -> None:
    clip = clips[0]
    assert len(clip.class_F) == len(clip.targets_FA) == len(mfcc.features(clip.samples_S).steps_FC)
    assert clip.phones[0].start_s == 0
    assert clip.phones[-1].end_s == len(clip.samples_S) / mfcc.SAMPLE_RATE_HZ
    for before, after in zip(clip.phones[:-1], clip.phones[1:], strict=True):
        assert before.end_s == after.start_s
        assert before.end_s > before.start_s


@needs_espeak
def test_pauses_are_quiet_closures_are_weak_and_vowels_loud(clips: list[PhoneClip]) -> None:
    assert _level_db(clips, PhoneClass.SILENCE) < -50
    assert _level_db(clips, PhoneClass.BILABIAL) < _level_db(clips, PhoneClass.OPEN) - 8
    assert _level_db(clips, PhoneClass.OPEN) > -6


@needs_espeak
def test_a_seed_says_the_same_whatever_was_said_before(clips: list[PhoneClip]) -> None:
    again = list(phone_lessons(60.0, seed=3))
    assert [clip.phones for clip in again] == [clip.phones for clip in clips]
    assert all(np.array_equal(a.samples_S, b.samples_S) for a, b in zip(again, clips, strict=True))
    other = next(phone_lessons(1.0, seed=4))
    assert other.phones != clips[0].phones


def test_without_espeak_the_error_says_what_to_install(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(phone_speech, "find_library", lambda _: None)
    with pytest.raises(ConfigError, match="apt install espeak-ng"):
        next(phone_lessons(1.0, seed=0))


def test_ipa_is_read_into_single_sounds() -> None:
    assert symbols_of("aɪ") == ("a", "ɪ")
    assert symbols_of("ˈɑ̃ː") == ("ɑ",)
    assert symbols_of("tʃ") == ("ʃ",)
    assert symbols_of("(en)") == ()
    assert symbols_of("b☃") is None


def test_steps_take_the_phone_they_lie_in_and_gaps_stay_unknown() -> None:
    phones = [Phone("m", 0.01, 0.03), Phone("a", 0.04, 0.06)]
    bilabial, is_open = PhoneClass.BILABIAL, PhoneClass.OPEN
    assert list(classes_at_steps(phones, 7)) == [
        UNKNOWN,
        bilabial,
        bilabial,
        UNKNOWN,
        is_open,
        is_open,
        UNKNOWN,
    ]
    targets_FA = targets_at_steps(phones, 7)
    assert np.isnan(targets_FA[3]).all()
    assert targets_FA[1, 0] == 1
    assert targets_FA[4, 2] == 1
