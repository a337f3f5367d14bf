"""`dubber inspect` and `dubber methods`: what a stage made, and what can be chosen."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from dubber.cli import completion
from dubber.cli import options as o
from dubber.cli.console import escape, print_json, progress_display, say, set_up_logging, show_table


def inspect(
    stage: Annotated[
        str,
        typer.Argument(
            help="track, fit, translate, retime, render, teeth, deflicker or blend; or sync: the audio-video "
            "offset plot.",
            autocompletion=completion.sheets,
            show_default=False,
        ),
    ],
    video: o.Video,
    audio: o.Audio,
    output: Annotated[
        Path, typer.Option("-o", "--output", help="The sheet, a PNG file.", show_default=False)
    ],
    frames: Annotated[int, typer.Option(help="Moments shown, spread over the clip.", min=1, max=200)] = 12,
    overwrite: o.Overwrite = False,
    length: o.LengthOption = None,
    renderer: o.Renderer = None,
    adapt: o.AdaptTime = None,
    translator: o.Translator = None,
    mouth_gain: o.MouthGain = None,
    av_offset_ms: o.AvOffset = None,
    preset: o.Preset = None,
    config: o.ConfigFile = None,
    settings: o.Settings = None,
    device: o.DeviceOption = "auto",
    threads: o.Threads = 1,
    cache: o.CacheDir = None,
    weights: o.WeightsDir = None,
    quiet: o.Quiet = False,
    verbose: o.Verbose = 0,
) -> None:
    """Draw a contact sheet of what a stage saw and made; stages that are in the cache are not run again."""
    set_up_logging(verbosity=verbose, is_quiet=quiet)
    dub_config = o.build_config(
        config,
        settings,
        preset,
        length=length,
        renderer=renderer,
        adapt=adapt,
        translator=translator,
        mouth_gain=mouth_gain,
        av_offset_ms=av_offset_ms,
    )
    from dubber.intermediates import check_sheet, stage_sheet, write_sheet
    from dubber.pipeline import plan_dub

    check_sheet(output, is_overwrite=overwrite)
    runtime = o.build_runtime(cache, weights, device, threads)
    with progress_display(is_quiet=quiet) as progress:
        dub_plan = plan_dub(dub_config, video, audio, runtime=runtime)
        sheet = stage_sheet(stage, dub_plan, runtime, progress, num_frames=frames)
    write_sheet(sheet, output, is_overwrite=overwrite)
    say(f"Written: {escape(str(output))}", is_quiet=quiet)


def methods(json: o.Json = False) -> None:
    """List the interchangeable parts: renderers, translators, length modes."""
    from dubber.stages.methods import all_methods

    rows = [
        [method.part, method.name, "yes" if method.is_default else "", method.summary]
        for method in all_methods()
    ]
    if json:
        keys = ("part", "name", "default", "summary")
        print_json({"methods": [dict(zip(keys, row, strict=True)) for row in rows]})
    else:
        show_table("Methods", ["part", "name", "default", "what it does"], rows)
