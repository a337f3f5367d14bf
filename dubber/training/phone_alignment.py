"""The phones of real English speech and their times, by recognising it or from its words.

Needs pocketsphinx, whose package carries an English model (`pip install 'dubber[phones]'`).

Index letters: S samples.
"""

from __future__ import annotations

import logging
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cache
from itertools import pairwise
from typing import TYPE_CHECKING

import numpy as np

from dubber.errors import ConfigError
from dubber.ops.mfcc import SAMPLE_RATE_HZ, loud_level
from dubber.training.phones import SILENCE, Phone, split
from dubber.types import Float32

if TYPE_CHECKING:
    from pocketsphinx import Decoder

logger = logging.getLogger(__name__)

LEAST_CONFIDENCE = 0.2
"""Phones of words less sure than this are left out by default."""

PAUSE = "SIL"

_ARPABET = (
    "AA-ɑ AE-æ AH-ʌ AO-ɔ AW-aʊ AY-aɪ EH-ɛ ER-ɝ EY-eɪ IH-ɪ IY-i OW-oʊ OY-ɔɪ UH-ʊ UW-u B-b CH-tʃ D-d DH-ð "
    "F-f G-ɡ HH-h JH-dʒ K-k L-l M-m N-n NG-ŋ P-p R-ɹ S-s SH-ʃ T-t TH-θ V-v W-w Y-j Z-z ZH-ʒ"
)
"""Each phone as ARPAbet-IPA. Source: the CMU Pronouncing Dictionary's phone set."""
IPA_OF_ARPABET = {PAUSE: SILENCE} | dict(pair.split("-") for pair in _ARPABET.split())

_FRAME_HZ = 100
_EDGE_S = 0.0256 / 2 - 0.5 / _FRAME_HZ
"""The recogniser's frame i looks at the 25.6 ms from i / 100 s on; the edge between two frames lies midway
between their centres. Source: pocketsphinx's defaults `wlen` and `frate`."""
_STOPS = frozenset("PBTDKG")
_LOUD_RMS = 0.05
_NOISE_RMS = np.float32(_LOUD_RMS * 10 ** (-45 / 20))
"""45 dB below the speech. Measured: without it, speech between digital silence is not understood; over all of
a filmed clip instead of its silence alone, it costs a tenth of the words."""
_LONGEST_STOP_S = 0.3
"""A stop that seems longer has swallowed a pause."""
_LONGEST_PIECE_S = 20.0
_QUIET_S = 0.2


@dataclass(frozen=True)
class HeardPhone:
    """A phone as the English model names it.

    Attributes:
        arpabet: Such as `AA` or `B`; `SIL` is a pause, a name in plus signs a noise.
        start_s: Seconds from the first sample.
        end_s: When the next begins.
        confidence: Posterior probability of its word, 0 to 1.
    """

    arpabet: str
    start_s: float
    end_s: float
    confidence: float


def heard_phones(samples_S: Float32, text: str | None = None) -> list[HeardPhone]:
    """Phones of English speech.

    Long recordings are cut into pieces at quiet places.

    Args:
        samples_S: (S,) float32 mono 16 kHz in -1..1.
        text: The words, of the CMU dictionary, lower case, apart by spaces. Without it the words are
            recognised. For recordings of up to 20 s.

    Returns:
        In order of time, with gaps where an alignment cannot be; empty if nothing was understood.

    Raises:
        ConfigError: pocketsphinx is not installed, or a word of the text is not in its dictionary.
    """
    decoder = _decoder()
    if text is not None:
        return _heard_in_piece(decoder, samples_S, text)
    found = []
    for first, last in pairwise(_quiet_cuts(samples_S)):
        shift_s = first / SAMPLE_RATE_HZ
        found += [
            HeardPhone(phone.arpabet, phone.start_s + shift_s, phone.end_s + shift_s, phone.confidence)
            for phone in _heard_in_piece(decoder, samples_S[first:last], None)
        ]
    return found


def in_ipa(heard: Sequence[HeardPhone], least_confidence: float = LEAST_CONFIDENCE) -> list[Phone]:
    """The phones that are sure enough, in IPA, diphthongs apart; noises are left out too."""
    phones: list[Phone] = []
    for phone in heard:
        if phone.arpabet in IPA_OF_ARPABET and phone.confidence >= least_confidence:
            phones += split(IPA_OF_ARPABET[phone.arpabet], phone.start_s, phone.end_s, phone.confidence) or []
    return phones


@cache
def _decoder() -> Decoder:
    """The recogniser with its English model."""
    try:
        import pocketsphinx
    except ImportError as error:
        raise ConfigError(
            "Finding the phones of speech needs pocketsphinx, which is not installed.",
            where="pocketsphinx",
            advice="Install it: `pip install 'dubber[phones]'`.",
        ) from error
    return pocketsphinx.Decoder(samprate=SAMPLE_RATE_HZ, cmn="batch", loglevel="FATAL")


def _heard_in_piece(decoder: Decoder, samples_S: Float32, text: str | None) -> list[HeardPhone]:
    """Two passes: the words and how sure they are, then the phones in them."""
    sound = _prepared(samples_S)
    if text is None:
        decoder.activate_search()
    else:
        unknown = [word for word in text.split() if decoder.lookup_word(word) is None]
        if unknown:
            raise ConfigError(
                f"The dictionary lacks {', '.join(unknown)}.", where=text, advice="Leave the text away."
            )
        decoder.set_align_text(text)
    try:
        _decode(decoder, sound)
        if decoder.hyp() is None:
            return []
        words = list(decoder.seg())
        decoder.set_alignment()
        _decode(decoder, sound)
    except RuntimeError as error:
        # So it says that the sound cannot be the words.
        logger.debug("no alignment: %s", error)
        return []
    found = []
    for word, aligned in zip(words, decoder.get_alignment(), strict=True):
        confidence = 1.0 if text is not None else float(np.clip(word.prob, 0, 1))
        for phone in aligned:
            if phone.name in _STOPS and phone.duration > _LONGEST_STOP_S * _FRAME_HZ:
                continue
            # The first frame's edge is the start of the sound.
            start_s = phone.start / _FRAME_HZ + (_EDGE_S if phone.start else 0.0)
            end_s = (phone.start + phone.duration) / _FRAME_HZ + _EDGE_S
            found.append(HeardPhone(phone.name, start_s, end_s, confidence))
    return found


def _prepared(samples_S: Float32) -> bytes:
    """16 bit samples at a usual level, digital silence filled with a little noise: the model never met it."""
    level = loud_level(samples_S)
    loud_S = samples_S * np.float32(_LOUD_RMS / level if level > 0 else 1.0)
    hop = SAMPLE_RATE_HZ // _FRAME_HZ
    power_S = np.convolve(loud_S**2, np.full(hop, 1 / hop), "same")
    noise_S = _NOISE_RMS * np.random.default_rng(0).standard_normal(len(samples_S), np.float32)
    filled_S = loud_S + np.where(power_S < _NOISE_RMS**2 / 10, noise_S, 0)
    samples_i16_S = np.asarray(np.clip(filled_S, -1, 1) * 32767, "<i2")
    return samples_i16_S.tobytes()


def _decode(decoder: Decoder, sound: bytes) -> None:
    # Nothing heard before may change what is heard now.
    decoder.reinit_feat()
    decoder.start_utt()
    decoder.process_raw(sound, full_utt=True)
    decoder.end_utt()


def _quiet_cuts(samples_S: Float32) -> list[int]:
    """Samples at which to cut: 0, the quietest place of the later half of each longest piece, the end."""
    width, longest = round(_QUIET_S * SAMPLE_RATE_HZ), round(_LONGEST_PIECE_S * SAMPLE_RATE_HZ)
    cuts = [0]
    while len(samples_S) - cuts[-1] > longest:
        first = cuts[-1] + longest // 2
        power_S = np.cumsum(samples_S[first : first + longest // 2].astype(np.float64) ** 2)
        quietest = int(np.argmin(power_S[width:] - power_S[:-width]))
        cuts.append(first + quietest + width // 2)
    return [*cuts, len(samples_S)]
