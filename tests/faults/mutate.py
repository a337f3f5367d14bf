"""Ways in which a file may be damaged or forged; deterministic in its random generator."""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence

import numpy as np

Mutation = Callable[[bytearray, Sequence[bytes], np.random.Generator], bytes]

_EDGE_NUMBERS = (0, 1, 0x7F, 0x80, 0xFF, 0x7FFF, 0x8000, 0xFFFF, 0x10000, 0x7FFFFFFF, 0x80000000, 0xFFFFFFFF)
_HUGE_NUMBERS = (2**31, 2**32, 2**40, 2**62, 2**63 - 1, 2**64 - 1)
_FOUR_LETTERS = re.compile(rb"[a-zA-Z][a-zA-Z0-9 ]{3}")
_WORDS = (
    b"nan",
    b"inf",
    b"-1",
    b"1e999",
    b"9" * 400,
    b"0x",
    b"null",
    b"true",
    b"[]",
    b"{}",
    b'""',
    b"[" * 3000,
    b"{" * 3000,
    b'{"a":' * 2000,
    b"a." * 3000,
    b"\xff\xfe",
    b"\x00",
    b"\xed\xa0\x80",
    "\u202e\U0001f600".encode(),
    b"../../../etc/passwd",
    b"/dev/zero",
    b"1970-01-01",
    b"99999999999999999999",
    b"\n[remux]\n[remux]\n",
    b",,,,,,\n",
    b'"',
)
_TOKEN = re.compile(rb"[A-Za-z0-9_.+-]+")


def truncate(data: bytearray, others: Sequence[bytes], rng: np.random.Generator) -> bytes:
    """Cut off the end."""
    return bytes(data[: int(rng.integers(len(data) + 1))])


def flip_bits(data: bytearray, others: Sequence[bytes], rng: np.random.Generator) -> bytes:
    """Turn over 1 to 64 bits, half of the time near the beginning, where headers are."""
    reach = len(data) if rng.random() < 0.5 else min(len(data), 1024)
    for position in rng.integers(reach, size=int(2 ** rng.integers(7))):
        data[position] ^= 1 << int(rng.integers(8))
    return bytes(data)


def splice(data: bytearray, others: Sequence[bytes], rng: np.random.Generator) -> bytes:
    """Begin like this file and go on like another."""
    other = others[int(rng.integers(len(others)))]
    return bytes(data[: int(rng.integers(len(data) + 1))]) + other[int(rng.integers(len(other) + 1)) :]


def forge_length(data: bytearray, others: Sequence[bytes], rng: np.random.Generator) -> bytes:
    """Replace a number of 1, 2, 4 or 8 bytes by an extreme one, preferably one beside a four letter code."""
    for _ in range(int(rng.integers(1, 4))):
        width = int(rng.choice([1, 2, 4, 8]))
        codes = [match.start() for match in _FOUR_LETTERS.finditer(bytes(data[: 1 << 16]))]
        if codes and rng.random() < 0.6:
            position = codes[int(rng.integers(len(codes)))] + int(rng.choice([-4, 4, 8, 12, 16]))
        else:
            position = int(rng.integers(len(data)))
        position = min(max(position, 0), max(len(data) - width, 0))
        numbers = _EDGE_NUMBERS + (_HUGE_NUMBERS if width == 8 else ())
        number = int(numbers[int(rng.integers(len(numbers)))]) % (1 << 8 * width)
        order = "big" if rng.random() < 0.5 else "little"
        data[position : position + width] = number.to_bytes(width, order)  # type: ignore[arg-type]
    return bytes(data)


def fill(data: bytearray, others: Sequence[bytes], rng: np.random.Generator) -> bytes:
    """Overwrite a range with zeros, ones or noise, as a failing disk does."""
    start, stop = sorted(rng.integers(len(data) + 1, size=2).tolist())
    size = stop - start
    data[start:stop] = [bytes(size), b"\xff" * size, rng.bytes(size)][int(rng.integers(3))]
    return bytes(data)


def repeat(data: bytearray, others: Sequence[bytes], rng: np.random.Generator) -> bytes:
    """Say a range several times."""
    start, stop = sorted(rng.integers(len(data) + 1, size=2).tolist())
    return bytes(data[:stop]) + bytes(data[start:stop]) * int(rng.integers(1, 5)) + bytes(data[stop:])


def leave_out(data: bytearray, others: Sequence[bytes], rng: np.random.Generator) -> bytes:
    """Take a range away."""
    start = int(rng.integers(len(data) + 1))
    return bytes(data[:start]) + bytes(data[start + int(2 ** rng.integers(1, 14)) :])


def swap_type(data: bytearray, others: Sequence[bytes], rng: np.random.Generator) -> bytes:
    """Be a file of another kind under this name."""
    return bytes(others[int(rng.integers(len(others)))])


def change_word(data: bytearray, others: Sequence[bytes], rng: np.random.Generator) -> bytes:
    """Put something a reader of text may not think of in the place of a word or number."""
    tokens = list(_TOKEN.finditer(bytes(data[: 1 << 16])))
    word = _WORDS[int(rng.integers(len(_WORDS)))]
    if not tokens:
        return bytes(data) + word
    token = tokens[int(rng.integers(len(tokens)))]
    return bytes(data[: token.start()]) + word + bytes(data[token.end() :])


BINARY: tuple[Mutation, ...] = (
    truncate,
    flip_bits,
    flip_bits,
    splice,
    forge_length,
    forge_length,
    forge_length,
    fill,
    repeat,
    leave_out,
    swap_type,
)
TEXT: tuple[Mutation, ...] = (*BINARY, *[change_word] * len(BINARY))
"""Half of the mutations of text know what text is made of."""


def mutate(
    data: bytes, others: Sequence[bytes], rng: np.random.Generator, *, is_text: bool
) -> tuple[str, bytes]:
    """Damage a file.

    Args:
        data: The file, not empty.
        others: Files of other kinds.
        rng: Chooses how.
        is_text: Whether words are changed too.

    Returns:
        What was done, and the damaged file.
    """
    kinds = TEXT if is_text else BINARY
    names = []
    for _ in range(1 if rng.random() < 0.7 else 2):
        kind = kinds[int(rng.integers(len(kinds)))]
        names.append(kind.__name__)
        data = kind(bytearray(data or b"\0"), others, rng)
    return "+".join(names), data
