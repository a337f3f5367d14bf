"""What loudspeakers' signals become on fewer or more loudspeakers.

Channels are named as FFmpeg does: FL, FR, FC, LFE, BL, BR, SL, SR, BC and so on.

Index letters: C channels in, D channels out, S samples.
"""

from __future__ import annotations

import numpy as np

from dubber.types import Float32

_HALF_POWER = 2**-0.5

LAYOUTS: dict[int, tuple[str, ...]] = {
    1: ("FC",),
    2: ("FL", "FR"),
    3: ("FL", "FR", "FC"),
    4: ("FL", "FR", "BL", "BR"),
    5: ("FL", "FR", "FC", "BL", "BR"),
    6: ("FL", "FR", "FC", "LFE", "BL", "BR"),
    7: ("FL", "FR", "FC", "LFE", "BC", "SL", "SR"),
    8: ("FL", "FR", "FC", "LFE", "BL", "BR", "SL", "SR"),
}
"""The channels of files that only tell how many they have. Source: the order of WAVEFORMATEXTENSIBLE."""

_TO_STEREO: dict[str, tuple[float, float]] = {
    "FL": (1, 0),
    "FR": (0, 1),
    "FLC": (1, 0),
    "FRC": (0, 1),
    "FC": (_HALF_POWER, _HALF_POWER),
    "SL": (_HALF_POWER, 0),
    "SR": (0, _HALF_POWER),
    "BL": (_HALF_POWER, 0),
    "BR": (0, _HALF_POWER),
    "BC": (0.5, 0.5),
    "LFE": (0, 0),
}
"""Source: ITU-R BS.775-3, annex 4, table 2; the effects channel is left out there too."""

_NEAREST = {"SL": "BL", "SR": "BR", "BL": "SL", "BR": "SR", "FLC": "FL", "FRC": "FR"}
"""Where a channel goes whose loudspeaker is absent."""

_PAIR_FOR = {"BC": ("BL", "BR")}
"""Where a single channel goes at half power each, if it is there."""

_FRONT = ("FL", "FR", "FC")


def named(channels: tuple[str, ...]) -> tuple[str, ...]:
    """Names for channels that a decoder gave names or none."""
    is_known = all(name in _TO_STEREO for name in channels) and len(set(channels)) == len(channels)
    return channels if is_known else LAYOUTS.get(len(channels), channels)


def mono_weights(channels: tuple[str, ...]) -> Float32:
    """How loud each channel is in a mono mix for listening to speech.

    The weights of the front add up to 1, so that no usual mix leaves -1..1, and the centre, where films have
    their speech, is the loudest of them.

    Args:
        channels: C names.

    Returns:
        (C,) float32 in 0..1; equal where the names say nothing.
    """
    if len(channels) == 1 or not all(name in _TO_STEREO for name in channels):
        return np.full(len(channels), 1 / max(len(channels), 1), np.float32)
    weights_C = np.array([sum(_TO_STEREO[name]) / 2 for name in channels])
    is_front_C = np.array([name in _FRONT for name in channels])
    scale = weights_C[is_front_C].sum() or weights_C.sum() or 1.0
    return np.asarray(weights_C / scale, np.float32)


def mix_matrix(channels: tuple[str, ...], wanted: tuple[str, ...]) -> Float32:
    """What each wanted channel takes of each given one.

    A single channel goes to the centre loudspeaker, or at full level to both of a stereo pair, where it is
    then heard as it is on one: a voice does not change its level by being placed. Others go to their own
    loudspeaker, else to the nearest one, else (ITU-R BS.775) to the front pair.

    Args:
        channels: C names of what is given.
        wanted: D names.

    Returns:
        (D, C) float32.
    """
    matrix_DC = np.zeros((len(wanted), len(channels)), np.float32)
    for column, name in enumerate(channels):
        if len(channels) == 1 and "FC" not in wanted:
            matrix_DC[: min(2, len(wanted)), column] = 1
        elif len(channels) == 1:
            matrix_DC[wanted.index("FC"), column] = 1
        elif len(wanted) == 1:
            matrix_DC[0, column] = mono_weights(channels)[column]
        elif (place := name if name in wanted else _NEAREST.get(name)) in wanted:
            matrix_DC[wanted.index(str(place)), column] = 1
        elif set(pair := _PAIR_FOR.get(name, ("", ""))) <= set(wanted):
            matrix_DC[[wanted.index(each) for each in pair], column] = _HALF_POWER
        else:
            left, right = _TO_STEREO.get(name, (_HALF_POWER, _HALF_POWER))
            matrix_DC[0, column], matrix_DC[1, column] = left, right
    return matrix_DC
