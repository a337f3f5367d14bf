"""`dubber run` and `dubber plan`."""

from __future__ import annotations

from dataclasses import replace
from math import isfinite
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from dubber.cli import completion
from dubber.cli import options as o
from dubber.cli.console import escape, print_json, progress_display, say, set_up_logging, show_table

if TYPE_CHECKING:
    from dubber.engine.stage import Runtime
    from dubber.jobs import Job
    from dubber.outcome import DubResult
    from dubber.pipeline import DubPlan


def run(
    video: o.Video,
    audio: o.SomeAudio = None,
    output: Annotated[
        Path | None,
        typer.Option(
            "-o", "--output", "--outfile", help="The result.", show_default="VIDEO's name + .dubbed.mp4"
        ),
    ] = None,
    overwrite: o.Overwrite = False,
    speaker: o.Speakers = None,
    script: o.ScriptFile = None,
    start: o.Start = None,
    end: o.End = None,
    bed: o.Bed = None,
    bed_gain_db: o.BedGain = None,
    curves: o.Curves = None,
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
    from_stage: Annotated[
        str | None,
        typer.Option(
            "--from",
            metavar="STAGE",
            help="Make this stage and all after it again.",
            autocompletion=completion.stages,
        ),
    ] = None,
    until_stage: Annotated[
        str | None,
        typer.Option(
            "--until", metavar="STAGE", help="Stop after this stage.", autocompletion=completion.stages
        ),
    ] = None,
    report: o.Report = None,
    overlay: o.Overlay = None,
    side_by_side: o.SideBySide = None,
    keep_stages: o.KeepStages = None,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Check the inputs and print the plan.")] = False,
    device: o.DeviceOption = "auto",
    threads: o.Threads = 1,
    cache: o.CacheDir = None,
    weights: o.WeightsDir = None,
    strict: o.Strict = False,
    json: o.Json = False,
    quiet: o.Quiet = False,
    verbose: o.Verbose = 0,
) -> None:
    """Make the person in VIDEO say what is said in AUDIO."""
    set_up_logging(verbosity=verbose, is_quiet=quiet)
    said, who = o.build_script(audio, speaker, script, start, end, bed)
    dub_config = o.build_config(
        config,
        settings,
        preset,
        deinterlace=deinterlace,
        tracker=tracker,
        track__speaker=who,
        bed_gain_db=bed_gain_db,
        audio_track=audio_track,
        audio_language=audio_language,
        length=length,
        renderer=renderer,
        adapt=adapt,
        translator=translator,
        mouth_gain=mouth_gain,
        av_offset_ms=av_offset_ms,
        crf=crf,
        encoder_preset=encoder_preset,
        vcodec=vcodec,
        chroma=chroma,
        consent=consent,
        label=label,
        label_text=label_text,
        labelled=labelled,
    )
    from dubber.jobs import Extras, Job, do_job, plan_job
    from dubber.outcome import result_document
    from dubber.output import default_output
    from dubber.provenance import Provenance

    runtime = o.build_runtime(cache, weights, device, threads, is_commercial=commercial)
    extras = Extras(report, overlay, side_by_side, keep_stages)
    signer = Provenance(certificate, private_key)
    job = Job(video, said, output or default_output(video), dub_config, extras, signer, curves)
    if dry_run:
        runtime = replace(runtime, keeps_all=keep_stages is not None)
        _show_plan(plan_job(job, runtime), runtime, is_json=json, forced_from=from_stage)
        return
    if until_stage is None:
        look_first(job, runtime, is_overwrite=overwrite, is_strict=strict, is_quiet=quiet)
    with progress_display(is_quiet=quiet) as progress:
        result = do_job(
            job,
            runtime=runtime,
            progress=progress,
            is_overwrite=overwrite,
            from_stage=from_stage,
            until_stage=until_stage,
        )
    for name, path in extras.named.items():
        say(f"{name}: {escape(str(path))}", is_quiet=quiet)
    show_result(result, is_quiet=quiet)
    if json:
        print_json(result_document(result))


def plan(
    video: o.Video,
    audio: o.SomeAudio = None,
    speaker: o.Speakers = None,
    script: o.ScriptFile = None,
    start: o.Start = None,
    end: o.End = None,
    bed: o.Bed = None,
    bed_gain_db: o.BedGain = None,
    curves: o.Curves = None,
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
    preset: o.Preset = None,
    config: o.ConfigFile = None,
    settings: o.Settings = None,
    cache: o.CacheDir = None,
    weights: o.WeightsDir = None,
    json: o.Json = False,
) -> None:
    """Show which stages a run would do and which are in the cache; does no work."""
    set_up_logging(verbosity=0, is_quiet=False)
    said, who = o.build_script(audio, speaker, script, start, end, bed)
    dub_config = o.build_config(
        config,
        settings,
        preset,
        deinterlace=deinterlace,
        tracker=tracker,
        track__speaker=who,
        bed_gain_db=bed_gain_db,
        audio_track=audio_track,
        audio_language=audio_language,
        length=length,
        renderer=renderer,
        adapt=adapt,
        translator=translator,
        mouth_gain=mouth_gain,
        av_offset_ms=av_offset_ms,
        crf=crf,
        encoder_preset=encoder_preset,
        vcodec=vcodec,
        chroma=chroma,
        consent=consent,
        label=label,
        label_text=label_text,
        labelled=labelled,
    )
    from dubber.jobs import Job, plan_job
    from dubber.output import default_output

    runtime = o.build_runtime(cache, weights)
    job = Job(video, said, default_output(video), dub_config, curves=curves)
    _show_plan(plan_job(job, runtime), runtime, is_json=json, forced_from=None)


def look_first(job: Job, runtime: Runtime, *, is_overwrite: bool, is_strict: bool, is_quiet: bool) -> None:
    """Say what the files' headers tell against the run.

    Raises:
        DubberError: The run cannot succeed; or there are warnings, and they count.
    """
    from dubber import jobs
    from dubber.cli.check import show_findings

    found = jobs.look_first(job, runtime, is_overwrite=is_overwrite)
    if not is_quiet:
        show_findings(tuple(finding for finding in found.findings if finding.level == "warning"))
    if (error := found.failure(is_strict=is_strict)) is not None:
        raise error


def _show_plan(dub_plan: DubPlan, runtime: Any, *, is_json: bool, forced_from: str | None) -> None:
    from dubber.engine.disk import free_bytes, human_bytes
    from dubber.engine.execute import missing_stages
    from dubber.engine.store import Store
    from dubber.stages.disk_need import disk_need

    nodes = dub_plan.plan.nodes
    forced = dub_plan.plan.downstream_of(dub_plan.plan.index_of(forced_from)) if forced_from else set()
    store = Store(runtime.cache_dir)
    missing = missing_stages(dub_plan.plan, store, dub_plan.dubbed.index, forced)
    need = disk_need(dub_plan.plan, store, dub_plan.dubbed.index, forced, keeps_all=runtime.keeps_all)
    free = free_bytes(runtime.cache_dir)
    rows = [
        {
            "stage": node.name,
            "key": node.key,
            "is_stored": node.stage.is_stored and store.has(node.key),
            "will_run": index in missing,
        }
        for index, node in enumerate(nodes)
        if node.stage is not None
    ]
    if is_json:
        disk = {
            "cache_bytes": need.kept_bytes,
            "scratch_bytes": need.scratch_bytes,
            "output_bytes": need.output_bytes,
            "free_bytes": int(free) if isfinite(free) else None,
        }
        print_json({"stages": rows, "disk": disk})
        return
    words = {True: "run", False: "skip"}
    show_table(
        "Plan",
        ["stage", "", "cache", "key"],
        [
            [
                str(r["stage"]),
                words[bool(r["will_run"])],
                "hit" if r["is_stored"] else "-",
                str(r["key"])[:12],
            ]
            for r in rows
        ],
    )
    say(
        f"Disk: about {human_bytes(need.kept_bytes)} into the cache, {human_bytes(need.scratch_bytes)} more "
        f"meanwhile, {human_bytes(need.output_bytes)} of output; {human_bytes(free)} are free."
    )


def show_result(result: DubResult, *, is_quiet: bool) -> None:
    """Say what a run did, and what the user may not have meant."""
    if result.output is None:
        say("Stopped where you asked; no output was written.", is_quiet=is_quiet)
        return
    facts = [
        f"{result.num_frames} frames",
        f"{result.duration_s:.1f} s",
        f"length: {result.length_mode}",
        *([f"{result.num_copied_frames} frames untouched"] if result.num_copied_frames else []),
        f"face model within {result.fit_residual_px:.1f} px",
        *([f"{result.renderer} at {result.crop_size_px} px"] if result.renderer else []),
        f"{result.seconds:.1f} s of work",
    ]
    say(f"[bold green]{escape(str(result.output))}[/]  {', '.join(facts)}", is_quiet=is_quiet)
    for warning in result.warnings:
        say(f"[bold yellow]Warning:[/] {escape(warning)}", is_quiet=is_quiet)
    from dubber.outcome import REASONS

    say(escape(result.labels.sentence), is_quiet=is_quiet)
    for each in result.passed_through:
        span = f"{each.start_s:.2f} s to {each.end_s:.2f} s"
        say(f"[yellow]{span} left as it was: {REASONS[each.why]}.[/]", is_quiet=is_quiet)
