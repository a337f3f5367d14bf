"""How time and memory grow with length: one clip looped, dubbed from nothing at each length."""

from __future__ import annotations

import sys
import tempfile
from collections.abc import Sequence
from pathlib import Path

import numpy as np

from benchmarks.clips import NATIVE, Source, looped_clip, picture_of, prepared_clip, speech_of_length
from benchmarks.measuring import Dub, Reference, run_dub
from benchmarks.results import Length, Scaling, code_version, now, this_machine

MAX_EXPONENT = 1.05
"""Growth of time that counts as in proportion."""

MAX_MEMORY_GROWTH = 1.05
"""Ratio of peaks that counts as flat."""

MEMORY_FROM_MIN = 2.0
"""Memory is compared from this length on: by then everything is loaded and all queues are full."""


def measure(
    source: Source,
    audio: Path,
    minutes: Sequence[float],
    *,
    picture_format: str = NATIVE,
    renderer: str,
    arguments: tuple[str, ...],
    checkout: Path,
) -> Scaling:
    """Dub a looped clip from nothing, once at each length.

    Args:
        source: The clip.
        audio: Speech; looped to each length.
        minutes: Lengths.
        picture_format: See `prepared_clip`; encoded once, looped packet by packet.
        renderer: As `--renderer`.
        arguments: More arguments of `dubber run`.
        checkout: Folder whose `dubber` does it.
    """
    reference, lengths = Reference(), []
    with tempfile.TemporaryDirectory(prefix="dubber-bench-") as name:
        clip = prepared_clip(source.path, Path(name), picture_format=picture_format, seconds=None)
        picture = picture_of(clip)
        for length_min in sorted(minutes):
            with tempfile.TemporaryDirectory(prefix="length-", dir=name) as inner:
                folder, seconds = Path(inner), length_min * 60
                dub = Dub(
                    looped_clip(clip, folder / f"clip{clip.suffix}", seconds),
                    speech_of_length(audio, folder / "speech.wav", seconds=seconds, start_s=0),
                    folder / "cache",
                    folder / "dub.mp4",
                    renderer,
                    arguments,
                )
                sample = run_dub(dub, checkout, reference)
            lengths.append(Length(minutes=length_min, sample=sample))
            print(
                f"{length_min:g} min: {sample.wall_s:.1f} s, {sample.peak_rss_mb:.0f} MB",
                file=sys.stderr,
                flush=True,
            )
    return Scaling(
        made_at=now(),
        code=code_version(checkout),
        machine=this_machine(),
        label=source.label,
        width=picture.width,
        height=picture.height,
        fps=picture.fps,
        renderer=renderer,
        lengths=lengths,
    )


def growth_exponent(sizes: Sequence[float], costs: Sequence[float]) -> float:
    """Exponent of the power of size that cost grows with: 1 is in proportion.

    Least squares of log cost over log size.

    Args:
        sizes: At least two different ones, above 0.
        costs: As many, above 0.

    Raises:
        ValueError: Fewer than two sizes.
    """
    if len(set(sizes)) < 2:
        raise ValueError("growth needs two lengths or more")
    slope, _ = np.polyfit(np.log(sizes), np.log(costs), 1)
    return float(slope)


def memory_growth(lengths: Sequence[Length]) -> float | None:
    """Largest peak over the shortest's, of lengths from `MEMORY_FROM_MIN` on; None if fewer than two."""
    long = sorted(
        (each for each in lengths if each.minutes >= MEMORY_FROM_MIN), key=lambda each: each.minutes
    )
    if len(long) < 2:
        return None
    return max(each.sample.peak_rss_mb for each in long) / long[0].sample.peak_rss_mb


def verdicts(scaling: Scaling) -> list[str]:
    """What the lengths say about growth, a sentence each."""
    said = []
    if len(scaling.lengths) >= 2:
        minutes = [each.minutes for each in scaling.lengths]
        for what, costs in (
            ("Time", [each.sample.wall_s for each in scaling.lengths]),
            ("Processor time", [each.sample.cpu_s for each in scaling.lengths]),
        ):
            exponent = growth_exponent(minutes, costs)
            judged = (
                "no more than in proportion"
                if exponent <= MAX_EXPONENT
                else f"MORE than the {MAX_EXPONENT:g} allowed"
            )
            said.append(f"{what} grows with length to the power of {exponent:.3f}: {judged}.")
    growth = memory_growth(scaling.lengths)
    if growth is not None:
        judged = "flat" if growth <= MAX_MEMORY_GROWTH else f"MORE than the {MAX_MEMORY_GROWTH:g} allowed"
        said.append(
            f"Peak memory beyond {MEMORY_FROM_MIN:g} minutes grows by a factor of {growth:.3f}: {judged}."
        )
    return said
