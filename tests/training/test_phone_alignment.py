"""Alignment of English speech, judged by synthesised speech whose phones are known."""

from __future__ import annotations

import sys
from ctypes.util import find_library
from itertools import pairwise

import numpy as np
import pytest

from dubber.errors import ConfigError
from dubber.ops.mfcc import SAMPLE_RATE_HZ
from dubber.training import phone_alignment
from dubber.training.phone_alignment import IPA_OF_ARPABET, heard_phones, in_ipa
from dubber.training.phone_speech import PhoneClip, phone_lessons
from dubber.training.phones import PhoneClass, split

SENTENCE = "mum and bob made a map of the harbour"


@pytest.fixture(scope="module")
def spoken() -> PhoneClip:
    """A sentence said by a voice that knows when it said what."""
    pytest.importorskip("pocketsphinx")
    if find_library("espeak-ng") is None:
        pytest.skip("espeak-ng is not installed")
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("dubber.training.phone_speech.SENTENCES", {"en-us": (SENTENCE,) * 3})
        patch.setattr("dubber.training.phone_speech.VARIANTS", ("m3",))
        patch.setattr("dubber.training.phone_speech._text", lambda *_: SENTENCE)
        return next(phone_lessons(1.0, seed=1))


def test_every_phone_of_the_english_model_has_a_class() -> None:
    assert all(split(ipa, 0.0, 1.0) for ipa in IPA_OF_ARPABET.values())


def test_known_words_are_found_where_they_were_said(spoken: PhoneClip) -> None:
    found = [p for p in in_ipa(heard_phones(spoken.samples_S, SENTENCE)) if p.kind is PhoneClass.BILABIAL]
    truth = [p for p in spoken.phones if p.kind is PhoneClass.BILABIAL]
    assert [p.name for p in found] == [p.name for p in truth]
    assert len(truth) == 8
    errors_s = [abs(a.start_s + a.end_s - b.start_s - b.end_s) / 2 for a, b in zip(found, truth, strict=True)]
    assert np.median(errors_s) < 0.015


@pytest.mark.slow
def test_what_was_heard_before_changes_nothing(spoken: PhoneClip) -> None:
    once = heard_phones(spoken.samples_S)
    heard_phones(np.zeros(SAMPLE_RATE_HZ, np.float32))
    assert heard_phones(spoken.samples_S) == once


@pytest.mark.slow
def test_long_speech_is_cut_in_pauses(spoken: PhoneClip, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(phone_alignment, "_LONGEST_PIECE_S", 4.0)
    many_S = np.concatenate([spoken.samples_S, np.zeros(8000, np.float32)] * 2)
    cuts = phone_alignment._quiet_cuts(many_S)
    assert len(cuts) == 3
    assert max(np.diff(cuts)) <= 4 * SAMPLE_RATE_HZ
    assert np.abs(many_S[cuts[1] - 800 : cuts[1] + 800]).max() < 1e-3
    found = heard_phones(many_S)
    assert found[-1].end_s == pytest.approx(len(many_S) / SAMPLE_RATE_HZ, abs=0.1)
    assert all(b.start_s >= a.end_s - 1e-9 for a, b in pairwise(found))


def test_words_out_of_the_dictionary_are_an_error() -> None:
    pytest.importorskip("pocketsphinx")
    with pytest.raises(ConfigError, match="qwrtz"):
        heard_phones(np.zeros(SAMPLE_RATE_HZ, np.float32), "hello qwrtz")


def test_silence_has_no_phones() -> None:
    pytest.importorskip("pocketsphinx")
    kinds = {phone.kind for phone in in_ipa(heard_phones(np.zeros(SAMPLE_RATE_HZ, np.float32)))}
    assert kinds <= {PhoneClass.SILENCE}


def test_without_pocketsphinx_the_error_says_what_to_install(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "pocketsphinx", None)
    phone_alignment._decoder.cache_clear()
    with pytest.raises(ConfigError, match=r"dubber\[phones\]"):
        heard_phones(np.zeros(SAMPLE_RATE_HZ, np.float32))
