"""Checking that a finished file is what it should be, before anybody gets it."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass
from fractions import Fraction
from pathlib import Path

import numpy as np

from dubber.errors import MediaError, StageError
from dubber.media import formats
from dubber.media.decoding import is_heard
from dubber.media.languages import is_three_letters
from dubber.media.probe import probe
from dubber.media.stream_plan import StreamPlan
from dubber.media.streams import Kind, SourceStreams, source_streams

_CHAPTER_TOLERANCE_S = 0.01
_START_TOLERANCE_S = 0.01


@dataclass(frozen=True)
class Expected:
    """What a finished file must hold.

    Attributes:
        num_frames: Frames.
        duration_s: Length of its video; half a frame or 20 ms may be missing or too many, in footage of
            uneven rhythm the longest frame.
        size: (height, width) of its pictures.
        needs_audio: Whether there must be sound.
        language: Of the new speech; empty for any.
        streams: What was to be kept of the source.
    """

    num_frames: int
    duration_s: float
    size: tuple[int, int]
    needs_audio: bool = True
    language: str = ""
    streams: StreamPlan | None = None


def verify_output(path: Path, expected: Expected) -> None:
    """Decode all pictures of a finished file and some sound and compare it with what was to be made.

    Args:
        path: The file.
        expected: What was to be made.

    Raises:
        StageError: It is not that.
        MediaError: It cannot be decoded.
    """
    clip = probe(path)
    longest_s = float(np.max(np.diff(clip.times_s_T), initial=0.0))
    is_even = longest_s * float(clip.frame_rate) < 1.5
    tolerance_s = max(0.02, (0.5 if is_even else 1.0) * longest_s)
    if clip.num_frames != expected.num_frames:
        raise _wrong(path, f"holds {clip.num_frames} frames instead of {expected.num_frames}")
    if abs(clip.duration_s - expected.duration_s) > tolerance_s:
        raise _wrong(path, f"lasts {clip.duration_s:.3f} s instead of {expected.duration_s:.3f} s")
    first_s = float(int(clip.pts_T[0]) * clip.time_base)
    if path.suffix != ".ts" and abs(first_s) > _START_TOLERANCE_S:  # transport streams begin anywhere
        raise _wrong(path, f"begins with pictures at {first_s:.3f} s")
    if clip.size != expected.size:
        raise _wrong(path, f"has pictures of {clip.size} instead of {expected.size}")
    if expected.needs_audio:
        _check_sound(path)
    if expected.streams is not None:
        _check_streams(path, source_streams(path, Fraction(0)), expected.streams, expected.language)


def _check_sound(path: Path) -> None:
    """Some sound can be decoded; copied sound may be damaged in places, as the user's file is."""
    try:
        has_sound = is_heard(path)
    except MediaError as error:
        raise _wrong(path, f"has no sound ({error.message})") from error
    if not has_sound:
        raise _wrong(path, "has no sound")


def _check_streams(path: Path, found: SourceStreams, plan: StreamPlan, language: str) -> None:
    """What was to be kept is there, in its languages."""
    container = path.suffix.removeprefix(".")
    wanted = Counter[str](each.stream.kind for each in plan.kept) + Counter({"audio": 1})
    have = Counter[str](stream.kind for stream in found.others)
    kinds = [kind for kind in wanted if have[kind] < wanted[kind]]
    if kinds:
        lacking = ", ".join(f"{have[kind]} of {wanted[kind]} {kind} streams" for kind in kinds)
        raise _wrong(path, f"has only {lacking}")
    if container in formats.LANGUAGES:
        tracks: tuple[Kind, Kind] = ("audio", "subtitle")
        spoken = Counter(_tag(each.stream.language) for each in plan.kept if each.stream.kind in tracks)
        spoken += Counter([_tag(language)])
        spoken = Counter({tag: count for tag, count in spoken.items() if is_three_letters(tag)})
        if unspoken := spoken - Counter(_tag(stream.language) for stream in found.of(*tracks)):
            raise _wrong(path, f"lacks tracks of the languages {', '.join(unspoken)}")
    if len(found.chapters) != len(plan.chapters):
        raise _wrong(path, f"has {len(found.chapters)} chapters instead of {len(plan.chapters)}")
    for ours, theirs in zip(plan.chapters, found.chapters, strict=True):
        if abs(ours.start_s - theirs.start_s) > _CHAPTER_TOLERANCE_S or ours.title != theirs.title:
            raise _wrong(path, f"has a chapter '{theirs.title}' at {theirs.start_s:.3f} s")


def _tag(language: str) -> str:
    """One of the two tags that a language may have."""
    return formats.BIBLIOGRAPHIC.get(language, language)


def _wrong(path: Path, what: str) -> StageError:
    return StageError(f"The output {what}.", where=str(path))
