"""Phones of any language as what they do to the visible mouth: a class, and targets for lips and jaw.

A phone is written in the International Phonetic Alphabet (IPA). Consonants are grouped by the place where the
mouth is narrowed, for that is what is seen of them; vowels by height and rounding of the lips.

Source: the groups of consonants are the visemes of MPEG-4 (ISO/IEC 14496-2, table C-1), with the sounds that
English lacks put beside those made at the same place (IPA chart, 2020); vowels by the IPA chart's height and
rounding.

Index letters: F steps of 10 ms, A articulatory targets (closure, rounding, jaw, spread).
"""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Sequence
from dataclasses import dataclass
from enum import IntEnum

import numpy as np
from numpy.typing import NDArray

from dubber.types import Float32

UNKNOWN = 255
"""Stands for a class where it is not known what was said."""

STEP_HZ = 100
"""Steps a second at which phones are sampled: step i stands at i / STEP_HZ seconds."""


class PhoneClass(IntEnum):
    """What a phone looks like, in any language."""

    SILENCE = 0
    BILABIAL = 1  # p b m
    LABIODENTAL = 2  # f v
    DENTAL = 3  # θ ð
    ALVEOLAR = 4  # t d n
    LATERAL = 5  # l
    SIBILANT = 6  # s z ts
    POSTALVEOLAR = 7  # ʃ ʒ tʃ dʒ
    PALATAL = 8  # j ɲ ç
    VELAR = 9  # k g ŋ x
    GLOTTAL = 10  # h
    RHOTIC = 11  # r
    LABIOVELAR = 12  # w
    CLOSE_FRONT = 13  # i
    NEAR_CLOSE = 14  # ɪ
    MID_FRONT = 15  # e
    OPEN_MID_FRONT = 16  # ɛ æ
    OPEN = 17  # a ɑ
    CENTRAL = 18  # ə ɜ ʌ
    CLOSE_CENTRAL = 19  # ɨ ɯ: close, neither spread nor rounded
    FRONT_ROUNDED = 20  # y ø œ
    CLOSE_BACK = 21  # u ʊ
    MID_BACK = 22  # o
    OPEN_MID_BACK = 23  # ɔ ɒ


TARGETS = ("closure", "rounding", "jaw", "spread")
"""What each column of targets means, 0 to 1: lips shut, lips rounded, jaw down, corners drawn apart."""

_CONSONANTS = {
    PhoneClass.BILABIAL: ("pbmɓʙɸβ", (1.0, 0.0, 0.2, 0.0)),
    PhoneClass.LABIODENTAL: ("fvʋɱⱱ", (0.7, 0.1, 0.15, 0.1)),
    PhoneClass.DENTAL: ("θð", (0.0, 0.0, 0.2, 0.1)),
    PhoneClass.ALVEOLAR: ("tdnʈɖɳɗ", (0.0, 0.0, 0.15, 0.2)),
    PhoneClass.LATERAL: ("lɫɭʎɬɮʟ", (0.0, 0.0, 0.3, 0.1)),
    PhoneClass.SIBILANT: ("sz", (0.0, 0.0, 0.05, 0.4)),
    PhoneClass.POSTALVEOLAR: ("ʃʒɕʑʂʐɧ", (0.0, 0.6, 0.05, 0.0)),
    PhoneClass.PALATAL: ("jʝçɲcɟ", (0.0, 0.0, 0.15, 0.6)),
    PhoneClass.VELAR: ("kɡgŋxɣɰqɢɴχʁ", (0.0, 0.0, 0.3, 0.1)),
    PhoneClass.GLOTTAL: ("hɦħʕʔ", (0.0, 0.0, 0.4, 0.1)),
    PhoneClass.RHOTIC: ("rɹɾɻɽʀɺ", (0.0, 0.3, 0.2, 0.0)),
    PhoneClass.LABIOVELAR: ("wʍɥ", (0.3, 1.0, 0.1, 0.0)),
}
"""Class: its symbols, and targets.

Source: jaw heights in the order of Keating, Lindblom, Lubker and Kreiman, Journal of Phonetics 22 (1994):
sibilants highest, then t d, n, f, labials, l and k, h lowest; the English ʃ is rounded (Ladefoged and
Johnson, A Course in Phonetics). The numbers between are ours: only their order carries weight.
"""

_VOWELS = {
    PhoneClass.CLOSE_FRONT: {"i": (0.0, 0.15, 1.0)},
    PhoneClass.NEAR_CLOSE: {"ɪ": (0.0, 0.3, 0.7), "ᵻ": (0.0, 0.3, 0.5)},
    PhoneClass.MID_FRONT: {"e": (0.0, 0.45, 0.7)},
    PhoneClass.OPEN_MID_FRONT: {"ɛ": (0.0, 0.6, 0.5), "æ": (0.0, 0.8, 0.5)},
    PhoneClass.OPEN: {"a": (0.0, 1.0, 0.2), "ä": (0.0, 1.0, 0.2), "ɑ": (0.0, 1.0, 0.0), "ɐ": (0.0, 0.8, 0.1)},
    PhoneClass.CENTRAL: {
        "ə": (0.0, 0.4, 0.2),
        "ɘ": (0.0, 0.4, 0.2),
        "ɚ": (0.3, 0.4, 0.0),
        "ɜ": (0.0, 0.6, 0.2),
        "ɝ": (0.3, 0.5, 0.0),
        "ʌ": (0.0, 0.65, 0.1),
        "ɤ": (0.0, 0.45, 0.2),
    },
    PhoneClass.CLOSE_CENTRAL: {"ɨ": (0.0, 0.2, 0.4), "ɯ": (0.1, 0.2, 0.2)},
    PhoneClass.FRONT_ROUNDED: {
        "y": (0.9, 0.15, 0.0),
        "ʏ": (0.8, 0.3, 0.0),
        "ø": (0.8, 0.45, 0.0),
        "œ": (0.6, 0.6, 0.0),
        "ɵ": (0.7, 0.4, 0.0),
    },
    PhoneClass.CLOSE_BACK: {"u": (1.0, 0.15, 0.0), "ʉ": (0.9, 0.15, 0.0), "ʊ": (0.8, 0.3, 0.0)},
    PhoneClass.MID_BACK: {"o": (0.9, 0.45, 0.0)},
    PhoneClass.OPEN_MID_BACK: {"ɔ": (0.7, 0.65, 0.0), "ɒ": (0.5, 0.85, 0.0)},
}
"""Class: its symbols with their rounding, jaw and spread; the lips are never shut.

Source: jaw by the height, rounding and spread by the column of the IPA chart (2020), which orders the vowels;
the numbers are ours, evenly spaced.
"""

SILENCE = ""
"""Name of the phone that is a pause. Its lips are at rest, which for most people is nearly shut."""

_TABLE: dict[str, tuple[PhoneClass, tuple[float, float, float, float]]] = {
    SILENCE: (PhoneClass.SILENCE, (0.8, 0.0, 0.0, 0.0)),
    **{symbol: (kind, targets) for kind, (symbols, targets) in _CONSONANTS.items() for symbol in symbols},
    **{
        symbol: (kind, (0.0, *targets))
        for kind, symbols in _VOWELS.items()
        for symbol, targets in symbols.items()
    },
}
_MARKS = ("Mn", "Lm", "Sk", "Po", "Pd", "Nd", "Cf")
"""Unicode categories of diacritics, length, stress and tone, and of espeak's own marks."""
_LANGUAGE = re.compile(r"\([a-z-]+\)")
"""espeak's mark of a word spoken in another language."""
_FRICATIVES = frozenset("szʃʒɕʑʂʐ")


@dataclass(frozen=True)
class Phone:
    """A phone that was spoken.

    Attributes:
        name: An IPA symbol without diacritics, or `SILENCE`.
        start_s: When its articulation starts, in seconds; for a stop this is the closure.
        end_s: When the next starts.
        confidence: 0 to 1, that it was said at all.
    """

    name: str
    start_s: float
    end_s: float
    confidence: float = 1.0

    @property
    def kind(self) -> PhoneClass:
        """Its class."""
        return _TABLE[self.name][0]

    @property
    def targets(self) -> tuple[float, float, float, float]:
        """What it wants of lips and jaw, as `TARGETS` says."""
        return _TABLE[self.name][1]


def symbols_of(ipa: str) -> tuple[str, ...] | None:
    """The single sounds in an IPA string: diphthongs apart, affricates as their fricative.

    Args:
        ipa: As espeak or a dictionary writes it; diacritics, length and stress do not count.

    Returns:
        IPA symbols; empty if there is none; `None` if one is not known.
    """
    found: list[str] = []
    for letter in unicodedata.normalize("NFD", _LANGUAGE.sub("", ipa)):
        if letter in _TABLE:
            if found and found[-1] in ("t", "d", "ʈ", "ɖ") and letter in _FRICATIVES:
                found.pop()
            found.append(letter)
        elif unicodedata.category(letter) not in _MARKS:
            return None
    return tuple(found)


def split(ipa: str, start_s: float, end_s: float, confidence: float = 1.0) -> list[Phone] | None:
    """An IPA string over a span of time as phones of equal length, or `None` if a symbol is not known."""
    symbols = symbols_of(ipa) if ipa else (SILENCE,)
    if symbols is None:
        return None
    edges_s = np.linspace(start_s, end_s, len(symbols) + 1)
    return [
        Phone(symbol, float(start), float(end), confidence)
        for symbol, start, end in zip(symbols, edges_s[:-1], edges_s[1:], strict=True)
    ]


def classes_at_steps(phones: Sequence[Phone], count: int) -> NDArray[np.uint8]:
    """Class at each step.

    Args:
        phones: In order of time, not overlapping.
        count: F.

    Returns:
        (F,) uint8 values of `PhoneClass`, at i / `STEP_HZ` seconds; `UNKNOWN` where there is no phone.
    """
    found = _at_steps(phones, count)
    return np.array([UNKNOWN if phone is None else phone.kind for phone in found], np.uint8)


def targets_at_steps(phones: Sequence[Phone], count: int) -> Float32:
    """Targets at each step: (F, A) float32 in 0 to 1, columns as `TARGETS`; nan where there is no phone."""
    unknown = (np.nan,) * len(TARGETS)
    found = _at_steps(phones, count)
    rows = [unknown if phone is None else phone.targets for phone in found]
    return np.array(rows, np.float32).reshape(count, len(TARGETS))


def _at_steps(phones: Sequence[Phone], count: int) -> list[Phone | None]:
    """The phone at each step."""
    out: list[Phone | None] = [None] * count
    for phone in phones:
        # A step belongs to the phone in whose half-open span it lies.
        first, last = (int(np.ceil(edge * STEP_HZ - 1e-6)) for edge in (phone.start_s, phone.end_s))
        for step in range(max(first, 0), min(last, count)):
            out[step] = phone
    return out
