"""`dubber eval`: how good is it, in numbers."""

from __future__ import annotations

from enum import Enum
from pathlib import Path
from typing import Annotated, Any

import typer

from dubber.cli import options as o
from dubber.cli.console import print_json, progress_display, set_up_logging, show_table

app = typer.Typer(help="Measure.", no_args_is_help=True)


class Drive(str, Enum):
    """What moves the mouth in an evaluation."""

    speech = "speech"
    truth = "truth"


@app.callback()
def _root() -> None:
    pass


@app.command("self")
def self_dub(
    clips: Annotated[
        list[Path], typer.Argument(help="Talking clips with their own sound.", show_default=False)
    ],
    drive: Annotated[
        Drive, typer.Option(help="speech: the clip's own voice. truth: the clip's own tracked landmarks.")
    ] = Drive.speech,
    renderer: o.Renderer = None,
    translator: o.Translator = None,
    config: o.ConfigFile = None,
    settings: o.Settings = None,
    device: o.DeviceOption = "auto",
    threads: o.Threads = 0,
    cache: o.CacheDir = None,
    weights: o.WeightsDir = None,
    json: o.Json = False,
    quiet: o.Quiet = False,
    verbose: o.Verbose = 0,
) -> None:
    """Dub clips with their own speech; compare the last quarter, hidden from dubber, with the truth."""
    set_up_logging(verbosity=verbose, is_quiet=quiet)
    dub_config = o.build_config(config, settings, render__renderer=renderer, translate__translator=translator)
    from dubber.evaluation.self_dub import evaluate_clips

    runtime = o.build_runtime(cache, weights, device, threads)
    with progress_display(is_quiet=quiet) as progress:
        document = evaluate_clips(
            clips, drive=drive.value, config=dub_config, runtime=runtime, progress=progress
        )
    if not quiet:
        _show(document)
    if json:
        print_json(document)


def _show(document: dict[str, Any]) -> None:
    rows = [["median", "", *_cells(document["median"], document["median_baselines"])]]
    rows = [
        [clip["clip"], str(clip["frames"]), *_cells(clip["metrics"], clip["baselines"])]
        for clip in document["clips"]
    ] + rows
    columns = [
        "clip",
        "frames",
        "PSNR dB",
        "(mean mouth, frozen)",
        "SSIM",
        "landmarks px",
        "(mean mouth, frozen)",
        "opening r",
        "(loudness)",
        "lag",
    ]
    show_table("Self-dub: last quarter held out", columns, rows)


def _cells(metrics: dict[str, Any], baselines: dict[str, Any]) -> list[str]:
    def both(name: str) -> str:
        return ", ".join(_number(baselines[key].get(name)) for key in ("mean_mouth", "frozen"))

    return [
        _number(metrics["mouth_psnr_db"]),
        both("mouth_psnr_db"),
        _number(metrics["mouth_ssim"]),
        _number(metrics["landmark_error_px"]),
        both("landmark_error_px"),
        _number(metrics["mouth_opening_correlation"]),
        _number(baselines["loudness"].get("mouth_opening_correlation")),
        _number(metrics["av_lag_frames"]),
    ]


def _number(value: float | None) -> str:
    return "-" if value is None else f"{value:.2f}"
