"""What a file of curves says of itself, and whether that fits the dub it is used for."""

from __future__ import annotations

from collections.abc import Mapping
from fractions import Fraction

from dubber.errors import ConfigError
from dubber.types import Timeline
from dubber.units import median_frame_rate

FORMAT = "format"
FORMAT_VALUE = "dubber curves 1"
VERSION = "dubber"
VIDEO = "video"
VIDEO_SHA256 = "video_sha256"
SPEECH = "speech"
SPEECH_SHA256 = "speech_sha256"
NUM_FRAMES = "frames"
FRAME_RATE = "frame_rate"
NUM_SOURCE_FRAMES = "source_frames"
FACE_MODEL = "face_model"
EXPRESSION_KEY = "expression_key"
RETIME_KEY = "retime_key"
OWN_OPENING = "own_mouth_opening"
BETWEEN_ROWS = "between_rows"
KEEP = "keep"
INTERPOLATE = "interpolate"

_RATE_TOLERANCE = 5e-4
"""Half the difference between 29.97 and 30 frames per second."""


def rate_text(timeline: Timeline) -> str:
    """Frames per second of a dub: a whole number, or a fraction."""
    return str(median_frame_rate(timeline.pts_N, timeline.time_base))


def is_same_rate(rate: str, timeline: Timeline) -> bool:
    """Whether a file's frame rate is a dub's; one that says nothing fits all.

    Raises:
        ConfigError: It is no rate.
    """
    if not rate:
        return True
    try:
        told = Fraction(rate.replace(",", "."))
    except (ValueError, ZeroDivisionError) as error:
        raise ConfigError(f"The curves' {FRAME_RATE} '{rate}' is no number.") from error
    present = median_frame_rate(timeline.pts_N, timeline.time_base)
    return abs(told - present) <= _RATE_TOLERANCE * present


def check_facts(facts: Mapping[str, str], where: str) -> None:
    """Find out whether a file is one that this version understands.

    Raises:
        ConfigError: It is not.
    """
    if facts.get(FORMAT, FORMAT_VALUE) != FORMAT_VALUE:
        raise ConfigError(
            f"The curves are in the form '{facts[FORMAT]}'; this version of dubber reads '{FORMAT_VALUE}'.",
            where=where,
            advice="Export them again.",
        )
    if facts.get(BETWEEN_ROWS, KEEP).lower() not in (KEEP, INTERPOLATE):
        raise ConfigError(
            f"'{facts[BETWEEN_ROWS]}' is nothing that can be between rows.",
            where=where,
            advice=f"Say `{KEEP}` (as computed) or `{INTERPOLATE}` beside `# {BETWEEN_ROWS}`.",
        )


def misfits(facts: Mapping[str, str], present: Mapping[str, str]) -> list[str]:
    """Sentences on what a file of curves was made from that a dub is not made from.

    Args:
        facts: The file's; what it does not say is not looked at.
        present: Those that an export of the dub would have.
    """
    other = {name for name in present if name in facts and facts[name] != present[name]}
    found = []
    for what, name, digest in (("video", VIDEO, VIDEO_SHA256), ("speech", SPEECH, SPEECH_SHA256)):
        if digest in other:
            found.append(f"The curves were exported from another {what}: {facts.get(name, 'unknown')}.")
    if FRAME_RATE in other:
        found.append(
            f"The curves have {facts[FRAME_RATE]} frames per second, the dub has {present[FRAME_RATE]}: "
            "their rows are placed by time, and their source frames are not taken."
        )
    elif NUM_FRAMES in other:
        found.append(f"The curves are of {facts[NUM_FRAMES]} frames; the dub has {present[NUM_FRAMES]}.")
    if other & {EXPRESSION_KEY, RETIME_KEY} and not found:
        found.append(
            "The curves were exported with other settings: all that differs from what the present ones give "
            "counts as edited, and a row's coefficients count before its mouth_opening."
        )
    return found
