"""`dubber export` and `dubber import`: what mouths do, as tables to edit and to animate with."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from dubber.cli import options as o
from dubber.cli.console import escape, print_json, progress_display, say, set_up_logging
from dubber.cli.run import look_first, show_result

if TYPE_CHECKING:
    from dubber.corrections import Changed, Corrections
    from dubber.engine.progress import Progress
    from dubber.engine.stage import Runtime
    from dubber.jobs import Job

_RANGES_SHOWN = 6

export_app = typer.Typer(
    help="Write what the mouth does as a table: curves to edit, or blendshapes to animate with.",
    no_args_is_help=True,
)
import_app = typer.Typer(help="Take what was edited, and make the dub from there.", no_args_is_help=True)

_Table = Annotated[
    Path, typer.Option("-o", "--output", help="A .csv or .json file.", show_default=False, metavar="FILE")
]


@export_app.command(name="curves")
def export_curves(
    video: o.Video,
    audio: o.SomeAudio = None,
    *,
    output: _Table,
    overwrite: o.Overwrite = False,
    speaker: o.Speakers = None,
    script: o.ScriptFile = None,
    start: o.Start = None,
    end: o.End = None,
    curves: o.Curves = None,
    length: o.LengthOption = None,
    translator: o.Translator = None,
    mouth_gain: o.MouthGain = None,
    av_offset_ms: o.AvOffset = None,
    tracker: o.Tracker = None,
    deinterlace: o.Deinterlace = None,
    preset: o.Preset = None,
    config: o.ConfigFile = None,
    settings: o.Settings = None,
    device: o.DeviceOption = "auto",
    threads: o.Threads = 1,
    cache: o.CacheDir = None,
    weights: o.WeightsDir = None,
    json: o.Json = False,
    quiet: o.Quiet = False,
    verbose: o.Verbose = 0,
) -> None:
    """Write a row per frame of the dub: source frame, mouth opening and expression, to be edited."""
    set_up_logging(verbosity=verbose, is_quiet=quiet)
    said, who = o.build_script(audio, speaker, script, start, end, None)
    dub_config = o.build_config(
        config,
        settings,
        preset,
        deinterlace=deinterlace,
        tracker=tracker,
        track__speaker=who,
        length=length,
        translator=translator,
        mouth_gain=mouth_gain,
        av_offset_ms=av_offset_ms,
    )
    from dubber.intermediates.curves import check_table, write_curves
    from dubber.pipeline import plan_dub

    check_table(output, is_overwrite=overwrite)
    runtime = o.build_runtime(cache, weights, device, threads)
    plan = plan_dub(dub_config, video, said, runtime=runtime, curves=curves)
    with progress_display(is_quiet=quiet) as progress:
        num_rows = write_curves(plan, runtime, output, progress=progress, is_overwrite=overwrite)
    say(f"[bold green]{escape(str(output))}[/]  {num_rows} rows", is_quiet=quiet)
    if json:
        print_json({"output": str(output), "rows": num_rows})


@export_app.command(name="blendshapes")
def export_blendshapes(
    video: o.Video,
    audio: o.SomeAudio = None,
    *,
    output: _Table,
    overwrite: o.Overwrite = False,
    speaker: o.Speakers = None,
    script: o.ScriptFile = None,
    start: o.Start = None,
    end: o.End = None,
    curves: o.Curves = None,
    length: o.LengthOption = None,
    translator: o.Translator = None,
    mouth_gain: o.MouthGain = None,
    av_offset_ms: o.AvOffset = None,
    tracker: o.Tracker = None,
    deinterlace: o.Deinterlace = None,
    preset: o.Preset = None,
    config: o.ConfigFile = None,
    settings: o.Settings = None,
    device: o.DeviceOption = "auto",
    threads: o.Threads = 1,
    cache: o.CacheDir = None,
    weights: o.WeightsDir = None,
    json: o.Json = False,
    quiet: o.Quiet = False,
    verbose: o.Verbose = 0,
) -> None:
    """Write the performance as ARKit's 52 blendshapes, as Live Link Face does; a file per speaker."""
    set_up_logging(verbosity=verbose, is_quiet=quiet)
    said, who = o.build_script(audio, speaker, script, start, end, None)
    dub_config = o.build_config(
        config,
        settings,
        preset,
        deinterlace=deinterlace,
        tracker=tracker,
        track__speaker=who,
        length=length,
        translator=translator,
        mouth_gain=mouth_gain,
        av_offset_ms=av_offset_ms,
    )
    from dubber.intermediates.blendshapes import blendshape_files, write_blendshapes
    from dubber.intermediates.curves import check_table
    from dubber.pipeline import plan_dub

    for file in blendshape_files(output, said.num_speakers):
        check_table(file, is_overwrite=overwrite)
    runtime = o.build_runtime(cache, weights, device, threads)
    plan = plan_dub(dub_config, video, said, runtime=runtime, curves=curves)
    with progress_display(is_quiet=quiet) as progress:
        files = write_blendshapes(plan, runtime, output, progress=progress, is_overwrite=overwrite)
    for file in files:
        say(f"[bold green]{escape(str(file))}[/]", is_quiet=quiet)
    if json:
        print_json({"outputs": [str(file) for file in files]})


@import_app.command(name="curves")
def import_curves(
    curves: Annotated[
        Path, typer.Argument(help="What `dubber export curves` wrote, edited.", show_default=False)
    ],
    video: o.Video,
    audio: o.SomeAudio = None,
    output: Annotated[
        Path | None,
        typer.Option("-o", "--output", help="The result.", show_default="VIDEO's name + .dubbed.mp4"),
    ] = None,
    overwrite: o.Overwrite = False,
    dry_run: Annotated[
        bool, typer.Option("--dry-run", help="Check the file and say what it changes; make nothing.")
    ] = False,
    speaker: o.Speakers = None,
    script: o.ScriptFile = None,
    start: o.Start = None,
    end: o.End = None,
    bed: o.Bed = None,
    length: o.LengthOption = None,
    renderer: o.Renderer = None,
    translator: o.Translator = None,
    mouth_gain: o.MouthGain = None,
    av_offset_ms: o.AvOffset = None,
    tracker: o.Tracker = None,
    deinterlace: o.Deinterlace = None,
    preset: o.Preset = None,
    config: o.ConfigFile = None,
    settings: o.Settings = None,
    device: o.DeviceOption = "auto",
    threads: o.Threads = 1,
    cache: o.CacheDir = None,
    weights: o.WeightsDir = None,
    strict: o.Strict = False,
    json: o.Json = False,
    quiet: o.Quiet = False,
    verbose: o.Verbose = 0,
) -> None:
    """Check edited curves, say what they change, and make the dub from there.

    It is `dubber run --curves FILE`, which has more options, with a look at the file first. Give the options
    that the curves were exported with.
    """
    set_up_logging(verbosity=verbose, is_quiet=quiet)
    said, who = o.build_script(audio, speaker, script, start, end, bed)
    dub_config = o.build_config(
        config,
        settings,
        preset,
        deinterlace=deinterlace,
        tracker=tracker,
        track__speaker=who,
        length=length,
        renderer=renderer,
        translator=translator,
        mouth_gain=mouth_gain,
        av_offset_ms=av_offset_ms,
    )
    from dubber.jobs import Job, do_job
    from dubber.outcome import result_document
    from dubber.output import default_output

    job = Job(video, said, output or default_output(video), dub_config, curves=curves)
    runtime = o.build_runtime(cache, weights, device, threads)
    if not dry_run:
        look_first(job, runtime, is_overwrite=overwrite, is_strict=strict, is_quiet=quiet)
    with progress_display(is_quiet=quiet) as progress:
        found = _compared(job, runtime, progress)
        _show(found, is_quiet=quiet)
        result = None if dry_run else do_job(job, runtime=runtime, progress=progress, is_overwrite=overwrite)
    if result is not None:
        unsaid = tuple(warning for warning in result.warnings if warning not in found.warnings)
        show_result(replace(result, warnings=unsaid), is_quiet=quiet)
    if json:
        document = _document(found) | ({} if result is None else {"result": result_document(result)})
        print_json(document)


def _compared(job: Job, runtime: Runtime, progress: Progress) -> Corrections:
    """What a job's curves change; makes what that needs."""
    from dubber.corrections import corrections
    from dubber.engine.execute import Run
    from dubber.jobs import plan_job

    plan = plan_job(job, runtime)
    run = Run(plan.plan, runtime, progress)
    run.progress.plan([node.name for node in plan.plan.nodes[: plan.retime.index + 1] if node.stage])
    return corrections(run, plan)


def _show(found: Corrections, *, is_quiet: bool) -> None:
    for each in found.changed:
        say(escape(_sentence(each)), is_quiet=is_quiet)
    for warning in found.warnings:
        say(f"[bold yellow]Warning:[/] {escape(warning)}", is_quiet=is_quiet)


def _sentence(changed: Changed) -> str:
    if not changed.num_frames:
        return f"{changed.what}: nothing changes"
    ranges = [f"{first}-{last}" if last > first else f"{first}" for first, last in changed.ranges]
    more = len(ranges) - _RANGES_SHOWN
    shown = ", ".join([*ranges[:_RANGES_SHOWN], *([f"and {more} more"] if more > 0 else [])])
    return f"{changed.what}: {changed.num_frames} frames change ({shown}); at most {changed.how_much}"


def _document(found: Corrections) -> dict[str, Any]:
    return {
        "changed": [
            {
                "what": each.what,
                "frames": each.num_frames,
                "ranges": [list(pair) for pair in each.ranges],
                "largest": each.how_much,
            }
            for each in found.changed
        ],
        "warnings": list(found.warnings),
    }
