"""Tables of the results, the same for the terminal and for Markdown."""

from __future__ import annotations

from collections.abc import Sequence

from benchmarks.results import ClipResult, Machine, Scaling, WholeRuns

WORKING_STATES = ("cold", "warm", "exemplar", "copy")
"""States in which stages have something to do."""


def table(header: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    """A Markdown table with aligned columns: the first to the left, the others, figures, to the right."""
    widths = [max(len(row[column]) for row in [header, *rows]) for column in range(len(header))]
    rule = ["-" * widths[0], *("-" * (width - 1) + ":" for width in widths[1:])]
    return "\n".join(_line(row, widths) for row in (header, rule, *rows))


def machine_text(machine: Machine, *, made_at: str, code: str) -> str:
    """Where and when, in a sentence."""
    return (
        f"{machine.cpu}, {machine.num_cores} cores, {machine.memory_gb:g} GB, {machine.system}, "
        f"Python {machine.python}, torch {machine.torch}; {made_at} UTC{f', commit {code}' if code else ''}."
    )


def help_text(results: WholeRuns) -> str:
    """What the command takes to do nothing."""
    return f"`dubber --help`: {results.help_s:.2f} s."


def whole_table(clip: ClipResult) -> str:
    """Time, memory and disk of whole runs on a clip."""
    header = [
        clip.name,
        "s per s",
        "CPU s per s",
        "in references",
        "peak RSS, MB",
        "cache, MB/min",
        "peak disk, MB/min",
        "output, MB/min",
    ]
    rows = [
        [
            state,
            f"{measured.wall_s_per_s:.2f}",
            f"{measured.cpu_s_per_s:.2f}",
            f"{measured.wall_ratio:.2f}",
            f"{measured.peak_rss_mb:.0f}",
            f"{measured.cache_mb_per_min:.0f}",
            f"{measured.peak_disk_mb_per_min:.0f}",
            f"{measured.output_mb_per_min:.0f}",
        ]
        for state, measured in clip.states.items()
    ]
    return table(header, rows)


def stage_table(clip: ClipResult) -> str:
    """Milliseconds per output frame of each stage."""
    states = {name: clip.states[name] for name in WORKING_STATES if name in clip.states}
    rows = [
        [stage, *(_ms(measured.stage_ms_per_frame.get(stage)) for measured in states.values())]
        for stage in clip.stages
    ]
    rows.append(["start, rest", *(_ms(measured.rest_ms_per_frame) for measured in states.values())])
    rows.append(["CPU in all", *(_ms(measured.cpu_ms_per_frame) for measured in states.values())])
    rows.append(["wall clock", *(_ms(measured.wall_ms_per_frame) for measured in states.values())])
    return table([f"{clip.name}: ms per frame", *states], rows)


def scale_table(scaling: Scaling) -> str:
    """Time, memory and disk at each length."""
    header = [
        "length, min",
        "s per s",
        "CPU s per s",
        "in references per min",
        "peak RSS, MB",
        "cache, MB/min",
    ]
    header += ["peak disk, MB/min"]
    rows = []
    for length in scaling.lengths:
        sample = length.sample
        minutes = sample.duration_s / 60
        rows.append(
            [
                f"{length.minutes:g}",
                f"{sample.wall_s / sample.duration_s:.2f}",
                f"{sample.cpu_s / sample.duration_s:.2f}",
                f"{sample.wall_s / sample.reference_wall_s / minutes:.2f}",
                f"{sample.peak_rss_mb:.0f}",
                f"{sample.cache_mb / minutes:.0f}",
                f"{sample.peak_disk_mb / minutes:.0f}",
            ]
        )
    return table(header, rows)


def _line(cells: Sequence[str], widths: Sequence[int]) -> str:
    first, *others = zip(cells, widths, strict=True)
    aligned = [first[0].ljust(first[1]), *(cell.rjust(width) for cell, width in others)]
    return f"| {' | '.join(aligned)} |"


def _ms(value: float | None) -> str:
    return "–" if not value else f"{value:.2f}"
