"""The phone measure on mouths whose motion is known."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from dubber.engine.progress import SilentProgress
from dubber.engine.stage import Runtime
from dubber.errors import MediaError
from dubber.evaluation.phones import PhoneSync, evaluate_phones, measure
from dubber.training.phone_alignment import HeardPhone
from tests.conftest import real_clip

RATE_HZ = 25.0
OPENING = {"AA": 0.2, "AE": 0.16, "EH": 0.12, "IH": 0.08, "IY": 0.05, "UW": 0.04}


def _phones(consonants: str = "BPM") -> list[HeardPhone]:
    """Syllables of half a second: a consonant of 80 ms, a vowel of 420 ms, in a fixed disorder."""
    rng = np.random.default_rng(0)
    phones, time_s = [HeardPhone("SIL", 0.0, 0.5, 1.0)], 0.5
    for index, vowel in enumerate(rng.permutation(list(OPENING) * 8)):
        phones.append(HeardPhone(consonants[index % len(consonants)], time_s, time_s + 0.08, 0.9))
        phones.append(HeardPhone(str(vowel), time_s + 0.08, time_s + 0.5, 0.9))
        time_s += 0.5
    return [*phones, HeardPhone("SIL", time_s, time_s + 0.5, 1.0)]


def _mouth(phones: list[HeardPhone], late_s: float = 0.0) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Frames of a mouth that says the phones, late; closed lips stay closed for the whole consonant."""
    times_s_T = np.arange(0, phones[-1].end_s, 1 / RATE_HZ)
    knots = [
        (time_s + late_s, OPENING.get(phone.arpabet, 0.0))
        for phone in phones
        for time_s in (
            [(phone.start_s + phone.end_s) / 2] if phone.arpabet in OPENING else [phone.start_s, phone.end_s]
        )
    ]
    opening_T = np.interp(times_s_T, *zip(*knots, strict=True))
    return times_s_T, opening_T.astype(np.float32), np.ones(len(times_s_T), bool)


def _measured(late_s: float = 0.0) -> PhoneSync:
    phones = _phones()
    return measure(phones, *_mouth(phones, late_s))


def test_a_mouth_that_says_the_phones_closes_at_each_bilabial_in_time() -> None:
    found = _measured()
    assert len(found.closures) == 48
    assert found.closure_rate == 1.0
    assert found.lag_ms == pytest.approx(0, abs=20)
    assert found.late_ms == pytest.approx(0, abs=20)
    assert found.closure_chance is not None
    assert found.closure_chance < 0.8


def test_vowels_open_in_their_order() -> None:
    found = _measured()
    assert found.vowel_count == dict.fromkeys(OPENING, 8)
    assert found.vowel_order is not None
    assert found.vowel_order > 0.95
    assert found.vowel_opening["AA"] > 2 * found.vowel_opening["UW"]


@pytest.mark.parametrize("late_s", [-0.2, 0.2])
def test_a_late_mouth_is_told_from_one_that_does_not_close(late_s: float) -> None:
    found = _measured(late_s)
    assert found.lag_ms == pytest.approx(1000 * late_s, abs=25)
    assert found.late_ms == pytest.approx(1000 * late_s, abs=25)
    assert found.closure_rate_in_sync == 1.0
    assert found.closure_rate is not None
    assert found.closure_rate < 0.7
    assert found.vowel_order is not None
    assert found.vowel_order > 0.95


def test_a_mouth_that_never_closes_fails_by_the_limit_of_the_filmed_one() -> None:
    phones = _phones()
    times_s_T, opening_T, is_usable_T = _mouth(phones)
    filmed = measure(phones, times_s_T, opening_T, is_usable_T)
    ajar = measure(phones, times_s_T, opening_T + 0.05, is_usable_T, filmed.closed_below)
    assert filmed.closure_rate == 1.0
    assert ajar.closure_rate == 0.0
    assert ajar.closed_below == filmed.closed_below


def test_a_mouth_that_is_out_of_step_gets_what_chance_gives() -> None:
    phones = _phones()
    times_s_T, opening_T, is_usable_T = _mouth(phones)
    rates, chances = [], []
    for frames in range(25):
        moved_T = np.roll(opening_T, frames)
        found = measure(phones, times_s_T, moved_T, is_usable_T)
        rates.append(found.closure_rate)
        chances.append(found.closure_chance)
    assert np.mean(rates) == pytest.approx(np.mean(chances), abs=0.05)


def test_bilabials_that_are_not_seen_or_not_sure_do_not_count() -> None:
    phones = _phones()
    times_s_T, opening_T, is_usable_T = _mouth(phones)
    is_usable_T[: len(is_usable_T) // 2] = False
    half = measure(phones, times_s_T, opening_T, is_usable_T)
    assert 20 <= len(half.closures) <= 24
    unsure = [HeardPhone(p.arpabet, p.start_s, p.end_s, 0.1) if p.arpabet == "B" else p for p in phones]
    found = measure(unsure, *_mouth(phones))
    assert {closure.phone for closure in found.closures} == {"P", "M"}
    assert found.understood == pytest.approx(1 - 16 / 96)


def test_speech_without_bilabials_has_no_rate() -> None:
    phones = _phones("DSG")
    found = measure(phones, *_mouth(phones))
    assert found.closure_rate is None
    assert found.late_ms is None
    assert found.vowel_order is not None


def test_a_still_mouth_follows_nothing() -> None:
    phones = _phones()
    times_s_T, opening_T, is_usable_T = _mouth(phones)
    found = measure(phones, times_s_T, np.full_like(opening_T, 0.1), is_usable_T)
    assert found.lag_ms is None
    assert found.vowel_order is None


def test_what_is_not_understood_is_an_error() -> None:
    with pytest.raises(MediaError, match="English"):
        measure([HeardPhone("SIL", 0, 1, 1.0)], *_mouth(_phones()))


@pytest.mark.slow
def test_a_filmed_mouth_closes_more_often_than_by_chance(runtime: Runtime) -> None:
    pytest.importorskip("pocketsphinx")
    clip: Path = real_clip("dev/woman_256.mp4")
    document = evaluate_phones(clip, clip, runtime, SilentProgress())
    found, same = document["clips"]
    assert found == same
    assert found["closure_rate_in_sync"] > found["closure_chance"] + 0.2
    assert found["vowel_opening"]["AA"] > found["vowel_opening"]["IY"]
