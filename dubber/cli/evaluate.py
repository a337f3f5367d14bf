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
    rows = [
        _row(clip["clip"], clip["frames"], clip["metrics"], clip["baselines"]) for clip in document["clips"]
    ]
    rows.append(_row("median", "", document["median"], document["median_baselines"]))
    show_table(
        "Pictures: mouth box of the 384 crop, dB", ["clip", "frames", *_PICTURES], [row[0] for row in rows]
    )
    show_table(
        "Mouth: 39 landmarks, px of the 384 crop; opening", ["clip", *_SHAPES], [row[1] for row in rows]
    )


_PICTURES = {
    "PSNR": ("", "mouth_psnr_db"),
    "mean mouth": ("mean_mouth", "mouth_psnr_db"),
    "frozen": ("frozen", "mouth_psnr_db"),
    "SSIM": ("", "mouth_ssim"),
    "re-made px": ("", "remade_psnr_db"),
    "bare patch": ("", "patch_psnr_db"),
}
_SHAPES = {
    "error": ("", "landmark_error_px"),
    "mean mouth": ("mean_mouth", "landmark_error_px"),
    "frozen": ("frozen", "landmark_error_px"),
    "opening r": ("", "mouth_opening_correlation"),
    "loudness": ("loudness", "mouth_opening_correlation"),
    "lag": ("", "av_lag_frames"),
    "error seen": ("", "rendered_landmark_error_px"),
}


def _row(
    clip: str, frames: Any, metrics: dict[str, Any], baselines: dict[str, Any]
) -> tuple[list[str], list[str]]:
    """Cells of one clip for both tables."""
    sides = {"": metrics, **baselines}
    pictures, shapes = (
        [_number(sides[side].get(name)) for side, name in columns.values()]
        for columns in (_PICTURES, _SHAPES)
    )
    return [clip, str(frames), *pictures], [clip, *shapes]


def _number(value: float | None) -> str:
    return "-" if value is None else f"{value:.2f}"
