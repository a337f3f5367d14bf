"""`dubber batch`: many dubs, from a folder or a jobs file."""

from __future__ import annotations

from enum import Enum
from pathlib import Path
from typing import Annotated

import typer

from dubber.cli import options as o
from dubber.cli.console import set_up_logging, show_error

_BATCH = "Batch"


class Engine(str, Enum):
    """What does the work."""

    local = "local"
    ray = "ray"


def batch(
    context: typer.Context,
    source: Annotated[
        Path,
        typer.Argument(
            metavar="FOLDER|JOBS",
            help="A folder with videos and speech of the same names (a.mp4 with a.wav, a.fr.wav), or a jobs "
            "file: TOML, CSV or JSON Lines.",
            show_default=False,
        ),
    ],
    output_dir: Annotated[
        Path, typer.Option("-o", "--output", help="Folder of the results.", show_default=False)
    ],
    dry_run: Annotated[
        bool, typer.Option("--dry-run", help="List the jobs and how they stand; does no work.")
    ] = False,
    overwrite: Annotated[
        bool,
        typer.Option(
            "--overwrite",
            help="Do jobs again whose inputs or settings were changed, and replace files that no batch made.",
        ),
    ] = False,
    retry_failed: Annotated[
        bool, typer.Option("--retry-failed", help="Try jobs again that failed before.")
    ] = False,
    pattern: Annotated[
        str | None,
        typer.Option(
            help="What names of speech look like in a folder, such as '{stem}_{lang}{suffix}'.",
            show_default="{stem}[.{take}]{suffix}",
            rich_help_panel=_BATCH,
        ),
    ] = None,
    watch: Annotated[
        bool,
        typer.Option(
            "--watch", help="Go on with what is put into the folder, until Ctrl-C.", rich_help_panel=_BATCH
        ),
    ] = False,
    report: Annotated[
        bool,
        typer.Option(
            "--report", help="Write a page about each dub, and an index of them.", rich_help_panel=_BATCH
        ),
    ] = False,
    jobs: Annotated[
        str | None,
        typer.Option(
            "--jobs",
            metavar="N|auto",
            help="Clips at a time; auto: as many as processors and memory allow.",
            rich_help_panel=_BATCH,
            show_default="1; with --engine ray auto",
        ),
    ] = None,
    wave: Annotated[
        int,
        typer.Option(
            help="So many clips go through each phase of the work together.", min=1, rich_help_panel=_BATCH
        ),
    ] = 16,
    engine: Annotated[
        Engine,
        typer.Option(help="local: processes of this machine; ray: a cluster.", rich_help_panel=_BATCH),
    ] = Engine.local,
    cluster: Annotated[
        str,
        typer.Option(
            metavar="ADDRESS",
            help="With --engine ray: HOST:PORT, auto for the cluster this machine is in, local for one "
            "of its own.",
            rich_help_panel=_BATCH,
        ),
    ] = "local",
    shared: Annotated[
        str | None,
        typer.Option(
            metavar="URL",
            help="With --engine ray: where machines share their caches: a mounted folder, s3://..., any "
            "store that fsspec knows.",
            rich_help_panel=_BATCH,
            show_default=False,
        ),
    ] = None,
    cpus_per_job: Annotated[
        float,
        typer.Option(help="With --engine ray: processors for each clip.", min=0.1, rich_help_panel=_BATCH),
    ] = 1.0,
    gpus_per_job: Annotated[
        float,
        typer.Option(help="With --engine ray: share of a GPU for each clip.", min=0, rich_help_panel=_BATCH),
    ] = 0.0,
    speaker: o.Speakers = None,
    bed: o.Bed = None,
    bed_gain_db: o.BedGain = None,
    audio_track: o.AudioTrack = None,
    audio_language: o.AudioLanguage = None,
    length: o.LengthOption = None,
    renderer: o.Renderer = None,
    adapt: o.AdaptTime = None,
    translator: o.Translator = None,
    mouth_gain: o.MouthGain = None,
    av_offset_ms: o.AvOffset = None,
    tracker: o.Tracker = None,
    deinterlace: o.Deinterlace = None,
    crf: o.Crf = None,
    encoder_preset: o.EncoderPreset = None,
    vcodec: o.VideoCodec = None,
    chroma: o.Chroma = None,
    consent: o.Consent = None,
    label: o.Label = None,
    label_text: o.LabelText = None,
    labelled: o.Labelled = None,
    certificate: o.Certificate = None,
    private_key: o.PrivateKey = None,
    commercial: o.Commercial = False,
    preset: o.Preset = None,
    config: o.ConfigFile = None,
    settings: o.Settings = None,
    device: o.DeviceOption = "auto",
    threads: o.Threads = 1,
    cache: o.CacheDir = None,
    weights: o.WeightsDir = None,
    strict: o.Strict = False,
    json: Annotated[
        bool,
        typer.Option(
            "--json",
            help="Print what happens on stdout, a JSON object per line (docs/batch.md).",
            rich_help_panel="Running",
        ),
    ] = False,
    quiet: o.Quiet = False,
    verbose: o.Verbose = 0,
) -> None:
    """Do many dubs, from a folder or a jobs file.

    Run again, it goes on where it was: finished ones are never touched. Ends with 10 if some failed.
    """
    set_up_logging(verbosity=verbose, is_quiet=quiet)
    from dubber.cli import batch_engines as engines
    from dubber.cli import batch_session as b
    from dubber.cli.batch_jobs import given_options

    source_of_jobs = b.Source(
        source, output_dir.absolute(), pattern, given_options(context), has_report=report
    )
    session = b.Session(
        source_of_jobs, is_overwrite=overwrite, retries_failed=retry_failed, is_json=json, is_quiet=quiet
    )
    if dry_run:
        session.show_plan()
        return
    resources = engines.resources(
        cache, weights, device, threads, is_commercial=commercial, is_strict=strict, verbosity=verbose
    )
    if engine is Engine.ray:
        executor = engines.ray_executor(
            resources, cluster, jobs, cpus_per_job=cpus_per_job, gpus_per_job=gpus_per_job, shared=shared
        )
    else:
        executor = engines.local_executor(resources, jobs, wave)
    if watch:
        session.watch(executor)
    else:
        session.run(executor)
    if (error := session.finish()) is not None:
        show_error(error)
        raise typer.Exit(error.exit_code)
