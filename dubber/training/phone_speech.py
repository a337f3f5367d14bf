"""Speech whose phones and their times are known, because espeak-ng made it: lessons in hearing phones.

The library is needed for training only, never for dubbing.

Index letters: S samples, F steps of 10 ms, A articulatory targets.
"""

from __future__ import annotations

import ctypes
import logging
import shutil
import tempfile
from collections.abc import Iterator, Sequence
from ctypes import (
    CFUNCTYPE,
    POINTER,
    Structure,
    Union,
    byref,
    c_char,
    c_char_p,
    c_int,
    c_short,
    c_uint,
    c_void_p,
)
from ctypes.util import find_library
from dataclasses import dataclass
from itertools import count

import numpy as np
import soxr
from numpy.typing import NDArray

from dubber.errors import ConfigError
from dubber.ops.mfcc import SAMPLE_RATE_HZ
from dubber.training.phone_sentences import SENTENCES
from dubber.training.phones import (
    SILENCE,
    STEP_HZ,
    Phone,
    classes_at_steps,
    split,
    symbols_of,
    targets_at_steps,
)
from dubber.types import Float32

logger = logging.getLogger(__name__)

VARIANTS = (
    *(f"m{number}" for number in range(1, 9)),
    *(f"f{number}" for number in range(1, 6)),
    "klatt",
    "klatt2",
    "croak",
    "whisper",
)
"""Timbres of espeak-ng: men, women, another synthesiser, two husky voices."""


@dataclass(frozen=True)
class PhoneClip:
    """Speech with its phones.

    Attributes:
        name: Unlike that of any other clip of the same seed.
        speaker: Language and timbre, such as `de+f3`.
        samples_S: (S,) float32 mono 16 kHz in -1..1.
        phones: In order of time; synthesised ones leave no gap between 0 and the clip's end.
        class_F: (F,) uint8 values of `PhoneClass` at i / 100 seconds, as many as `dubber.ops.mfcc.features`
            has steps; `dubber.training.phones.UNKNOWN` where no phone is known, which synthesis never is.
        targets_FA: (F, A) float32 in 0..1, columns as `dubber.training.phones.TARGETS`; nan where unknown.
    """

    name: str
    speaker: str
    samples_S: Float32
    phones: tuple[Phone, ...]
    class_F: NDArray[np.uint8]
    targets_FA: Float32


def phone_lessons(seconds: float, seed: int) -> Iterator[PhoneClip]:
    """Speech in many languages and timbres, until there is enough.

    Each clip is one or a few sentences of one language, some with their words shuffled, at a random speed,
    pitch, liveliness and volume.

    Args:
        seconds: How much speech in all; the last clip may go beyond.
        seed: The same seed gives the same clips with the same espeak-ng.

    Raises:
        ConfigError: espeak-ng is not installed.
    """
    rng = np.random.default_rng(seed)
    voice = _Espeak()
    made_s = 0.0
    for index in count():
        if made_s >= seconds:
            return
        language = str(rng.choice(list(SENTENCES)))
        speaker = f"{language}+{rng.choice(VARIANTS)}"
        text = _text(language, rng)
        spoken = voice.say(
            text,
            speaker,
            words_per_minute=int(rng.integers(120, 261)),
            pitch=int(rng.integers(15, 86)),
            liveliness=int(rng.integers(10, 91)),
            noise_seed=int(rng.integers(2**31)),
        )
        if spoken is None:
            continue
        samples_S, phones = _padded(*spoken, rng)
        made_s += len(samples_S) / SAMPLE_RATE_HZ
        yield labelled(f"espeak-{seed}-{index}", speaker, samples_S, phones)


def labelled(name: str, speaker: str, samples_S: Float32, phones: Sequence[Phone]) -> PhoneClip:
    """A clip of speech with its phones at every step; see `PhoneClip`."""
    steps = -(-len(samples_S) * STEP_HZ // SAMPLE_RATE_HZ) + 1
    return PhoneClip(
        name,
        speaker,
        samples_S,
        tuple(phones),
        classes_at_steps(phones, steps),
        targets_at_steps(phones, steps),
    )


def _text(language: str, rng: np.random.Generator) -> str:
    """One to three sentences, each with a chance of its words in another order."""
    chosen = rng.choice(SENTENCES[language], size=rng.integers(1, 4), replace=False)
    sentences = []
    for sentence in chosen:
        words = str(sentence).split()
        if rng.random() < 0.3:
            rng.shuffle(words)
        sentences.append(" ".join(words))
    return " ".join(sentences)


def _padded(samples_S: Float32, phones: list[Phone], rng: np.random.Generator) -> tuple[Float32, list[Phone]]:
    """With silence before and after, at a random volume that cannot clip."""
    before, after = (round(pad * SAMPLE_RATE_HZ) for pad in rng.uniform(0.1, 0.5, 2))
    peak = float(np.abs(samples_S).max(initial=1e-6))
    loud_S = samples_S * np.float32(rng.uniform(0.1, 0.9) / peak)
    padded_S = np.pad(loud_S, (before, after))
    shift_s = before / SAMPLE_RATE_HZ
    moved = [Phone(phone.name, phone.start_s + shift_s, phone.end_s + shift_s) for phone in phones]
    end_s = len(padded_S) / SAMPLE_RATE_HZ
    return padded_S, [Phone(SILENCE, 0.0, moved[0].start_s), *moved, Phone(SILENCE, moved[-1].end_s, end_s)]


class _EventId(Union):
    _fields_ = [("number", c_int), ("name", c_char_p), ("string", c_char * 8)]


class _Event(Structure):
    """`espeak_EVENT` of speak_lib.h."""

    _fields_ = [
        ("type", c_int),
        ("unique_identifier", c_uint),
        ("text_position", c_int),
        ("length", c_int),
        ("audio_position", c_int),
        ("sample", c_int),
        ("user_data", c_void_p),
        ("id", _EventId),
    ]


class _DlInfo(Structure):
    """`Dl_info` of dlfcn.h."""

    _fields_ = [
        ("dli_fname", c_char_p),
        ("dli_fbase", c_void_p),
        ("dli_sname", c_char_p),
        ("dli_saddr", c_void_p),
    ]


_Callback = CFUNCTYPE(c_int, POINTER(c_short), c_int, POINTER(_Event))
# Constants of speak_lib.h.
_SYNCHRONOUS = 2
_PHONEME_EVENTS, _PHONEME_IPA, _DONT_EXIT = 0x0001, 0x0002, 0x8000
_END_OF_LIST, _PHONEME = 0, 7
_RATE, _PITCH, _RANGE = 1, 3, 4
_CHARACTERS, _UTF8 = 1, 1


class _Espeak:
    """espeak-ng as a library, in a state of its own.

    Raises:
        ConfigError: It is not installed.
    """

    def __init__(self) -> None:
        self._library = _private_library()
        self._sound: list[NDArray[np.int16]] = []
        self._events: list[tuple[int, str]] = []
        # ctypes does not keep the callback alive.
        self._callback = _Callback(self._heard)
        self._rate_hz = self._library.espeak_Initialize(
            _SYNCHRONOUS, 200, None, _PHONEME_EVENTS | _PHONEME_IPA | _DONT_EXIT
        )
        if self._rate_hz <= 0:
            raise ConfigError(
                "espeak-ng cannot find its voices.", where="espeak-ng", advice="Reinstall espeak-ng-data."
            )
        self._library.espeak_SetSynthCallback(self._callback)

    def say(
        self,
        text: str,
        speaker: str,
        *,
        words_per_minute: int,
        pitch: int,
        liveliness: int,
        noise_seed: int,
    ) -> tuple[Float32, list[Phone]] | None:
        """Speak.

        Args:
            text: In the speaker's language.
            speaker: Language and timbre.
            words_per_minute: 80 to 450.
            pitch: 0 to 100.
            liveliness: Range of the pitch, 0 to 100.
            noise_seed: Of the breath in the voice.

        Returns:
            (S,) float32 at 16 kHz; phones from its start to its end. `None` if a phone is not known.

        Raises:
            ConfigError: This espeak-ng lacks the voice.
        """
        self._sound.clear()
        self._events.clear()
        if self._library.espeak_SetVoiceByName(speaker.encode()) != 0:
            raise ConfigError(
                f"espeak-ng has no voice {speaker}.",
                where="espeak-ng",
                advice="Install espeak-ng 1.50 or later.",
            )
        for parameter, value in ((_RATE, words_per_minute), (_PITCH, pitch), (_RANGE, liveliness)):
            self._library.espeak_SetParameter(parameter, value, 0)
        # The library's noise comes from C's own generator.
        ctypes.CDLL(None).srand(noise_seed)
        encoded = text.encode()
        self._library.espeak_Synth(encoded, len(encoded) + 1, 0, _CHARACTERS, 0, _UTF8, None, None)
        samples_S = np.concatenate(self._sound).astype(np.float32) / 32768
        phones = _phones(samples_S, self._events, self._rate_hz)
        if phones is None:
            logger.debug("a phone of %s is not known in %s", speaker, self._events)
            return None
        return soxr.resample(samples_S, self._rate_hz, SAMPLE_RATE_HZ).astype(np.float32), phones

    def _heard(self, sound: ctypes._Pointer[c_short], length: int, events: ctypes._Pointer[_Event]) -> int:
        """Called by the library with each piece of sound and the events in it."""
        if sound and length:
            self._sound.append(np.ctypeslib.as_array(sound, (length,)).copy())
        for index in count():
            event = events[index]
            if event.type == _END_OF_LIST:
                return 0
            if event.type == _PHONEME:
                self._events.append((event.sample, event.id.string.decode(errors="ignore")))
        return 0


def _private_library() -> ctypes.CDLL:
    """A copy of espeak-ng for this caller alone.

    The library keeps its state (the phase of its tremolo, its noise) in static variables from one sentence to
    the next, and cannot be started anew; loaded from a file of its own, it starts from the same state each
    time.
    """
    found = find_library("espeak-ng")
    if found is None:
        raise ConfigError(
            "Speech to learn phones from needs espeak-ng, which is not installed.",
            where="espeak-ng",
            advice="Install it: `apt install espeak-ng` or `brew install espeak-ng`.",
        )
    shared = ctypes.CDLL(found)
    info = _DlInfo()
    ctypes.CDLL(None).dladdr(shared.espeak_Synth, byref(info))
    with tempfile.TemporaryDirectory() as folder:
        return ctypes.CDLL(shutil.copy(info.dli_fname.decode(), f"{folder}/espeak"))


def _phones(samples_S: Float32, events: list[tuple[int, str]], rate_hz: int) -> list[Phone] | None:
    """Phones from the library's events, or `None` if one is not known."""
    # A sign that only changes the sound before it is no phone of its own.
    sounding = [(sample, ipa) for sample, ipa in events if ipa == SILENCE or symbols_of(ipa) != ()]
    starts = [_closure_start(samples_S, sample, ipa, rate_hz) for sample, ipa in sounding]
    phones: list[Phone] = []
    for (_, ipa), start, end in zip(sounding, starts, [*starts[1:], len(samples_S)], strict=True):
        if end > start:
            found = split(ipa, start / rate_hz, end / rate_hz)
            if found is None:
                return None
            phones += found
    return phones


_STOPS = "pbtdkgɡcɟqʈɖ"
_LONGEST_CLOSURE_S = 0.08
"""Source: closures of stops last 50 to 100 ms in running speech (Crystal and House, Journal of the Acoustical
Society of America 83 (1988))."""


def _closure_start(samples_S: Float32, sample: int, ipa: str, rate_hz: int) -> int:
    """Where a phone starts: espeak tells of a stop at its burst, after a closure that is digitally silent."""
    if not ipa or ipa[0] not in _STOPS:
        return sample
    first = max(sample - round(_LONGEST_CLOSURE_S * rate_hz), 0)
    sounding = np.flatnonzero(np.abs(samples_S[first:sample]) >= 1e-3)
    return int(first + sounding[-1] + 1 if len(sounding) else first)
