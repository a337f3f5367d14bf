"""`dubber batch`: a folder of videos and audios paired by name."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from dubber.cli import options as o
from dubber.cli.console import (
    escape,
    print_json,
    progress_display,
    say,
    set_up_logging,
    show_error,
    show_table,
)
from dubber.errors import BatchFailedError

if TYPE_CHECKING:
    from dubber.batch import JobResult


def batch(
    folder: Annotated[Path, typer.Argument(help="Videos and audios, paired by name: a.mp4 with a.wav.")],
    output_dir: Annotated[
        Path, typer.Option("-o", "--output", help="Folder of the results.", show_default=False)
    ],
    overwrite: o.Overwrite = False,
    length: o.LengthOption = None,
    renderer: o.Renderer = None,
    translator: o.Translator = None,
    mouth_gain: o.MouthGain = None,
    crf: o.Crf = None,
    encoder_preset: o.EncoderPreset = None,
    vcodec: o.VideoCodec = None,
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
    """Dub every pair of a folder, one after the other. Finished ones are skipped; exit 10 if any failed."""
    set_up_logging(verbosity=verbose, is_quiet=quiet)
    dub_config = o.build_config(
        config,
        settings,
        preset,
        length__mode=length,
        render__renderer=renderer,
        translate__translator=translator,
        translate__mouth_gain=mouth_gain,
        remux__crf=crf,
        remux__preset=encoder_preset,
        remux__vcodec=vcodec,
    )
    from dubber.batch import find_jobs, run_batch

    runtime = o.build_runtime(cache, weights, device, threads)
    jobs = find_jobs(folder, output_dir)
    with progress_display(is_quiet=quiet) as progress:
        results = run_batch(
            jobs,
            config=dub_config,
            runtime=runtime,
            progress=progress,
            is_overwrite=overwrite,
            on_result=lambda result: say(_line(result), is_quiet=quiet),
        )
    failed = [result for result in results if result.state == "failed"]
    if not quiet:
        show_table("Batch", ["video", "state", "output or reason"], [_row(result) for result in results])
    if json:
        print_json({"jobs": [_document(result) for result in results], "failed": len(failed)})
    if failed:
        error = BatchFailedError(f"{len(failed)} of {len(results)} failed.", where=str(folder))
        show_error(error)
        raise typer.Exit(error.exit_code)


def _line(result: JobResult) -> str:
    color = {"done": "green", "skipped": "dim", "failed": "red"}[result.state]
    reason = f": {escape(str(result.error))}" if result.error else ""
    return f"[{color}]{result.state}[/] {escape(result.job.video.name)}{reason}"


def _row(result: JobResult) -> list[str]:
    return [
        result.job.video.name,
        result.state,
        str(result.error) if result.error else str(result.job.output),
    ]


def _document(result: JobResult) -> dict[str, object]:
    from dubber.outcome import result_document

    return {
        "video": str(result.job.video),
        "audio": str(result.job.audio),
        "output": str(result.job.output),
        "state": result.state,
        "result": result_document(result.result) if result.result else None,
        "error": None
        if result.error is None
        else {
            "type": type(result.error).__name__,
            "message": str(result.error),
            "exit_code": result.error.exit_code,
        },
    }
