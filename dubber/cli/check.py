"""`dubber check`: what a run would do, told before it."""

from __future__ import annotations

import dataclasses
from fractions import Fraction
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from dubber.cli import options as o
from dubber.cli.console import escape, print_json, say, set_up_logging, show_table
from dubber.engine.disk import human_bytes

if TYPE_CHECKING:
    from dubber.preflight import Finding, Preflight

_LOOKS = {"error": "[bold red]Error:[/]", "warning": "[bold yellow]Warning:[/]", "info": "[dim]Note:[/]"}


def check(
    video: o.Video,
    audio: o.SomeAudio = None,
    output: Annotated[
        Path | None,
        typer.Option(
            "-o", "--output", "--outfile", help="The result.", show_default="VIDEO's name + .dubbed.mp4"
        ),
    ] = None,
    overwrite: o.Overwrite = False,
    strict: o.Strict = False,
    speaker: o.Speakers = None,
    script: o.ScriptFile = None,
    start: o.Start = None,
    end: o.End = None,
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
    commercial: o.Commercial = False,
    preset: o.Preset = None,
    config: o.ConfigFile = None,
    settings: o.Settings = None,
    device: o.DeviceOption = "auto",
    cache: o.CacheDir = None,
    weights: o.WeightsDir = None,
    json: o.Json = False,
    quiet: o.Quiet = False,
    verbose: o.Verbose = 0,
) -> None:
    """Tell in some seconds whether a run will work, what it will do, and how long it takes.

    Ends with 0, or with the code that the run would end with; with --strict 2 where there are only warnings.
    """
    set_up_logging(verbosity=verbose, is_quiet=True if not verbose else quiet)
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
    from dubber import preflight
    from dubber.output import default_output

    found = preflight.check(
        preflight.Request(
            video=video,
            said=said,
            output=output or default_output(video),
            config=dub_config,
            runtime=o.build_runtime(cache, weights, device, is_commercial=commercial),
            is_overwrite=overwrite,
        )
    )
    failure = found.failure(is_strict=strict)
    code = 0 if failure is None else failure.exit_code
    if json:
        print_json(document(found, code))
    elif not quiet:
        show_table("Check", ["", ""], [[name, text] for name, text in _rows(found)])
        show_findings(found.findings)
        say(_verdict(found, code))
    if code:
        raise typer.Exit(code)


def document(found: Preflight, exit_code: int) -> dict[str, Any]:
    """What `--json` prints; see docs/check.md."""
    return {
        "exit_code": exit_code,
        "seconds": found.seconds,
        "findings": [_finding(finding) for finding in found.findings],
        "video": _plain(found.footage),
        "speech": [_plain(voice) for voice in found.voices],
        "length": _plain(found.length),
        "faces": _plain(found.faces),
        "cost": _plain(found.cost),
        "output": str(found.request.output),
    }


def show_findings(findings: tuple[Finding, ...]) -> None:
    """Errors, warnings and notes, each with what to do."""
    for finding in findings:
        where = f" ({_ranges(finding.ranges_s)})" if finding.ranges_s else ""
        say(f"{_LOOKS[finding.level]} {escape(finding.message + where)}")
        if finding.advice:
            say(f"  [dim]→[/] {escape(finding.advice)}")


def _finding(finding: Finding) -> dict[str, Any]:
    return {
        "level": finding.level,
        "code": finding.code,
        "message": finding.message,
        "where": finding.where,
        "advice": finding.advice,
        "ranges_s": [list(each) for each in finding.ranges_s],
        "exit_code": finding.exit_code,
    }


def _plain(facts: Any) -> Any:
    """Facts as JSON knows them."""
    if dataclasses.is_dataclass(facts) and not isinstance(facts, type):
        return {field.name: _plain(getattr(facts, field.name)) for field in dataclasses.fields(facts)}
    if isinstance(facts, Fraction | Path):
        return str(facts)
    if isinstance(facts, tuple):
        return [_plain(each) for each in facts]
    return round(facts, 4) if isinstance(facts, float) else facts


def _rows(found: Preflight) -> list[tuple[str, str]]:
    rows: list[tuple[str, str]] = []
    if (video := found.footage) is not None:
        height, width = video.size
        rate = f"{video.frame_rate:.2f} fps{' (varies)' if video.is_variable_rate else ''}"
        depth = f", {video.bit_depth} bit{' ' + video.hdr if video.hdr else ''}"
        rows.append(("video", f"{video.codec} {width} x {height}{depth}, {rate}, {_time(video.duration_s)}"))
    for voice in found.voices:
        loud = "" if voice.spoken_dbfs is None else f", speech at {voice.spoken_dbfs:.0f} dB"
        share = "" if voice.spoken_share is None else f", spoken {voice.spoken_share:.0%} of the time"
        facts = f"{voice.sample_rate_hz / 1000:g} kHz, {voice.num_channels} ch, {_time(voice.duration_s)}"
        rows.append(("speech", f"{voice.codec} {facts}{loud}{share}".strip()))
    if (length := found.length) is not None:
        mode = length.mode if length.mode == length.asked else f"{length.asked}: {length.mode}"
        rows.append(("length", f"{_time(length.output_s)}, {length.num_frames} frames ({mode})"))
    if (faces := found.faces) is not None:
        sizes = f", {faces.narrowest_px:.0f} to {faces.widest_px:.0f} px wide" if faces.usable_share else ""
        rows.append(
            ("faces", f"about {faces.usable_share:.0%} of the video can be dubbed{sizes}; up to "
             f"{faces.most_at_once} at once ({faces.num_sampled} pictures looked at)")
        )  # fmt: skip
    if (cost := found.cost) is not None:
        cached = " (all of it is in the cache)" if not cost.stages_to_run else ""
        rows.append(("time", f"about {_time(cost.seconds)}{cached}"))
        free = "" if cost.free_bytes is None else f", {human_bytes(cost.free_bytes)} free"
        sizes = f"{human_bytes(cost.cache_bytes)} in the cache, {human_bytes(cost.output_bytes)} of output"
        rows.append(("disk", f"{sizes}{free}"))
    return rows


def _verdict(found: Preflight, code: int) -> str:
    num_warnings = sum(finding.level == "warning" for finding in found.findings)
    if code:
        return f"[bold red]A run would end with exit code {code}.[/]"
    if num_warnings:
        return f"[yellow]Ready, with {num_warnings} warning{'s' if num_warnings > 1 else ''}.[/]"
    return "[bold green]Ready.[/]"


def _ranges(ranges_s: tuple[tuple[float, float], ...]) -> str:
    shown = ", ".join(f"{start:.1f}-{end:.1f} s" for start, end in ranges_s[:8])
    return shown if len(ranges_s) <= 8 else f"{shown} and {len(ranges_s) - 8} more"


def _time(seconds: float) -> str:
    if seconds < 90:
        return f"{seconds:.3g} s"
    minutes, rest = divmod(round(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours} h {minutes} min" if hours else f"{minutes} min {rest} s"
