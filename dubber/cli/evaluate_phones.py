"""`dubber eval phones`: do the lips close for P, B and M, and open for vowels?"""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any

import typer

from dubber.cli import options as o
from dubber.cli.console import print_json, progress_display, set_up_logging, show_table


def phones(
    video: Annotated[Path, typer.Argument(help="A video with its sound, in English.", show_default=False)],
    reference: Annotated[
        Path | None,
        typer.Option(help="The filmed footage, to be measured by the same limits.", show_default="none"),
    ] = None,
    device: o.DeviceOption = "auto",
    threads: o.Threads = 1,
    cache: o.CacheDir = None,
    weights: o.WeightsDir = None,
    json: o.Json = False,
    quiet: o.Quiet = False,
    verbose: o.Verbose = 0,
) -> None:
    """Check lips against phones: closed at P, B and M, and how wide at each vowel. English speech only."""
    set_up_logging(verbosity=verbose, is_quiet=quiet)
    from dubber.evaluation.phones import evaluate_phones

    runtime = o.build_runtime(cache, weights, device, threads)
    with progress_display(is_quiet=quiet) as progress:
        document = evaluate_phones(video, reference, runtime, progress)
    if not quiet:
        _show(document["clips"])
    if json:
        print_json(document)


def _show(clips: list[dict[str, Any]]) -> None:
    show_table(
        "Share of P, B, M at which the lips close; by how many ms the picture comes after the sound",
        ["clip", "understood", "P B M", "closed", "by chance", "in sync", "lag", "r", "late", "spread"],
        [
            [
                clip["clip"],
                _number(clip["understood"], 2),
                str(len(clip["closures"])),
                _number(clip["closure_rate"], 2),
                _number(clip["closure_chance"], 2),
                _number(clip["closure_rate_in_sync"], 2),
                _number(clip["lag_ms"], 0),
                _number(clip["opening_correlation"], 2),
                _number(clip["late_ms"], 0),
                _number(clip["late_spread_ms"], 0),
            ]
            for clip in clips
        ],
    )
    vowels = list(clips[0]["vowel_count"])
    show_table(
        "Opening at vowels, % of the eye distance, widest expected first; order: 1 is as expected",
        ["clip", *vowels, "order"],
        [
            [
                clip["clip"],
                *(
                    _number(100 * clip["vowel_opening"][name], 1) if name in clip["vowel_opening"] else "-"
                    for name in vowels
                ),
                _number(clip["vowel_order"], 2),
            ]
            for clip in clips
        ],
    )


def _number(value: float | None, decimals: int) -> str:
    return "-" if value is None else f"{value:.{decimals}f}"
