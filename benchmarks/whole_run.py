"""Whole runs of `dubber run`, in the states in which users meet it.

A round is, with one cache that is empty at first and other speech wherever a state says so:

- cold: nothing is cached.
- cached: the same once more, all cached, its output there.
- warm: other speech; what depends on the video alone is cached.
- exemplar: other speech again, mouths from footage without the network.
- copy: other speech again, the source's own mouth put back; what remains is the fixed cost.
"""

from __future__ import annotations

import statistics
import sys
import tempfile
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from benchmarks.clips import Source, duration_s, picture_of, prepared_clip, speech_of_length
from benchmarks.measuring import Dub, Reference, dubber, run_dub
from benchmarks.results import (
    ClipResult,
    Measured,
    Sample,
    WholeRuns,
    code_version,
    now,
    rounded,
    this_machine,
)


@dataclass(frozen=True)
class State:
    """A kind of run.

    Attributes:
        renderer: As `--renderer`.
        speech: Which speech; a number not met before means speech that no run has heard.
    """

    renderer: str
    speech: int


ROUND = {
    "cold": State("hybrid", 0),
    "cached": State("hybrid", 0),
    "warm": State("hybrid", 1),
    "exemplar": State("exemplar", 2),
    "copy": State("copy", 3),
}
"""The states in their order; later ones use what earlier ones left in the cache."""

NUM_HELPS = 5

NUM_SPEECHES = 1 + max(state.speech for state in ROUND.values())


@dataclass(frozen=True)
class Work:
    """What is measured.

    Attributes:
        sources: Clips.
        audio: Speech; brought to each clip's length.
        formats: Formats of each clip.
        seconds: Length of each clip; None: its own.
        num_rounds: Repeats of everything.
        states: Those of `ROUND` wanted; the first is always run.
        arguments: More arguments of `dubber run`.
    """

    sources: Sequence[Source]
    audio: Path
    formats: Sequence[str]
    seconds: float | None
    num_rounds: int
    states: Sequence[str]
    arguments: tuple[str, ...]


def measure(work: Work, checkouts: Sequence[Path]) -> Iterator[list[WholeRuns]]:
    """Run everything in each checkout, in turn.

    Args:
        work: What.
        checkouts: Folders that hold a `dubber`. They take turns state by state, and who is first changes
            from round to round.

    Yields:
        All so far after each clip, one for each checkout; sample `i` of a state was made in round `i` by all.
    """
    reference, machine, made_at = Reference(), this_machine(), now()
    codes, helps_s = [code_version(each) for each in checkouts], [_help_s(each) for each in checkouts]
    clips: list[list[ClipResult]] = [[] for _ in checkouts]
    for source in work.sources:
        for picture_format in work.formats:
            with tempfile.TemporaryDirectory(prefix="dubber-bench-") as name:
                results = _measure_clip(work, source, picture_format, checkouts, reference, Path(name))
            for each, result in zip(clips, results, strict=True):
                each.append(result)
            yield [
                WholeRuns(made_at=made_at, code=code, machine=machine, help_s=help_s, clips=each)
                for code, help_s, each in zip(codes, helps_s, clips, strict=True)
            ]


def _help_s(checkout: Path) -> float:
    usages = [dubber(["--help"], checkout) for _ in range(NUM_HELPS)]
    return rounded(statistics.median(usage.wall_s for usage in usages))


def _measure_clip(
    work: Work,
    source: Source,
    picture_format: str,
    checkouts: Sequence[Path],
    reference: Reference,
    folder: Path,
) -> list[ClipResult]:
    clip = prepared_clip(source.path, folder, picture_format=picture_format, seconds=work.seconds)
    seconds = work.seconds or duration_s(clip)
    speech_s = duration_s(work.audio)
    speeches = [
        speech_of_length(
            work.audio,
            folder / f"speech{number}.wav",
            seconds=seconds,
            start_s=number * speech_s / NUM_SPEECHES,
        )
        for number in range(NUM_SPEECHES)
    ]
    wanted = {name: state for name, state in ROUND.items() if name in {"cold", *work.states}}
    samples: list[dict[str, list[Sample]]] = [{name: [] for name in wanted} for _ in checkouts]
    for number in range(work.num_rounds):
        order = range(len(checkouts)) if number % 2 == 0 else reversed(range(len(checkouts)))
        turns = list(order)
        with tempfile.TemporaryDirectory(prefix="round-", dir=folder) as name:
            for state_name, state in wanted.items():
                for turn in turns:
                    own = Path(name) / str(turn)
                    own.mkdir(exist_ok=True)
                    dub = Dub(
                        clip,
                        speeches[state.speech],
                        own / "cache",
                        own / f"dub{state.speech}.mp4",
                        state.renderer,
                        work.arguments,
                    )
                    sample = run_dub(dub, checkouts[turn], reference)
                    samples[turn][state_name].append(sample)
                    print(
                        f"{source.label} {picture_format} round {number + 1} {checkouts[turn].name} "
                        f"{state_name}: {sample.wall_s:.1f} s, {sample.peak_rss_mb:.0f} MB",
                        file=sys.stderr,
                        flush=True,
                    )
    picture = picture_of(clip)
    return [
        ClipResult(
            label=source.label,
            width=picture.width,
            height=picture.height,
            fps=picture.fps,
            seconds=round(seconds, 2),
            states={state: Measured(samples=found) for state, found in each.items()},
        )
        for each in samples
    ]
