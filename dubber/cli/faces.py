"""`dubber faces`: who is in a video, for `--speaker`."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from dubber.cli import options as o
from dubber.cli.console import escape, print_json, progress_display, say, set_up_logging, show_table

if TYPE_CHECKING:
    from dubber.intermediates.faces import PersonSeen

_RANGES_SHOWN = 4


def faces(
    video: Annotated[Path, typer.Argument(help="Any video.", show_default=False)],
    output: Annotated[
        Path | None,
        typer.Option("-o", "--output", help="A picture of them, a PNG file.", show_default="no picture"),
    ] = None,
    overwrite: o.Overwrite = False,
    tracker: o.Tracker = None,
    deinterlace: o.Deinterlace = None,
    preset: o.Preset = None,
    config: o.ConfigFile = None,
    settings: o.Settings = None,
    cache: o.CacheDir = None,
    weights: o.WeightsDir = None,
    json: o.Json = False,
    quiet: o.Quiet = False,
    verbose: o.Verbose = 0,
) -> None:
    """List the people in a video, the largest first, with the numbers that `--speaker` takes."""
    set_up_logging(verbosity=verbose, is_quiet=quiet)
    dub_config = o.build_config(config, settings, preset, deinterlace=deinterlace, tracker=tracker)
    from dubber.intermediates import check_sheet, write_sheet
    from dubber.intermediates.faces import faces_sheet, find_people

    if output is not None:
        check_sheet(output, is_overwrite=overwrite)
    runtime = o.build_runtime(cache, weights)
    with progress_display(is_quiet=quiet) as progress:
        found = find_people(video, dub_config, runtime, progress)
    if json:
        print_json(found.document())
    else:
        show_table(
            str(video),
            ["number", "frames", "seen", "face", "can be dubbed", "lips and sound"],
            [_row(person) for person in found.shown],
        )
        if found.num_brief:
            say(f"{found.num_brief} more are seen for less than 0.2 s.", is_quiet=quiet)
        if not found.shown:
            say("No face was found.", is_quiet=quiet)
    if output is not None and found.shown:
        write_sheet(faces_sheet(found), output, is_overwrite=overwrite)
        say(f"Written: {escape(str(output))}", is_quiet=quiet)


def _row(person: PersonSeen) -> list[str]:
    ranges = [f"{start:.1f}-{end:.1f} s" for start, end in person.ranges_s[:_RANGES_SHOWN]]
    if len(person.ranges_s) > _RANGES_SHOWN:
        ranges.append(f"and {len(person.ranges_s) - _RANGES_SHOWN} more")
    lips = (
        "no sound" if person.lips is None else f"{person.lips:.1f}" + (" talks" if person.is_talking else "")
    )
    return [
        str(person.number),
        f"{person.share:.0%}",
        ", ".join(ranges),
        f"{person.width_px:.0f} px",
        f"{person.usable_share:.0%}",
        lips,
    ]
