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
    pictures: Annotated[
        bool, typer.Option("--pictures/--no-pictures", help="Render and compare pictures; without: seconds.")
    ] = True,
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
            clips,
            drive=drive.value,
            config=dub_config,
            runtime=runtime,
            progress=progress,
            has_pictures=pictures,
        )
    if not quiet:
        _show(document)
    if json:
        print_json(document)


def _show(document: dict[str, Any]) -> None:
    """A row per clip and one of medians, in each table that has numbers."""
    rows = [
        *(
            (clip["clip"], str(clip["frames"]), clip["metrics"], clip["baselines"])
            for clip in document["clips"]
        ),
        ("median", "", document["median"], document["median_baselines"]),
    ]
    for title, columns in _TABLES.items():
        if any(key in document["median"] for _, key in columns.values()):
            show_table(
                title,
                ["clip", "frames", *columns],
                [
                    [
                        name,
                        frames,
                        *(_number({"": metrics, **others}[side].get(key)) for side, key in columns.values()),
                    ]
                    for name, frames, metrics, others in rows
                ],
            )


_TABLES = {
    "Pictures: mouth box of the 384 crop, dB": {
        "PSNR": ("", "mouth_psnr_db"),
        "mean mouth": ("mean_mouth", "mouth_psnr_db"),
        "frozen": ("frozen", "mouth_psnr_db"),
        "SSIM": ("", "mouth_ssim"),
        "re-made px": ("", "remade_psnr_db"),
        "bare patch": ("", "patch_psnr_db"),
        "error seen": ("", "rendered_landmark_error_px"),
    },
    "Shape: px of the 384 crop; E_exp in standard deviations of the face model": {
        "E_ldmk": ("", "landmark_error_px"),
        "mean mouth": ("mean_mouth", "landmark_error_px"),
        "frozen": ("frozen", "landmark_error_px"),
        "LMD": ("", "lmd_px"),
        "E_exp": ("", "expression_error"),
        "mean mouth's": ("mean_mouth", "expression_error"),
    },
    "Motion: the mouth's opening against the truth; lips in silence against speech": {
        "opening r": ("", "mouth_opening_correlation"),
        "loudness": ("loudness", "mouth_opening_correlation"),
        "lag": ("", "av_lag_frames"),
        "swing": ("", "opening_amplitude_ratio"),
        "in silence": ("", "motion_in_silence"),
        "filmed": ("", "true_motion_in_silence"),
    },
}
"""Title; heading of each column; whose number it is ("" for dubber's own) and its key."""


def _number(value: float | None) -> str:
    return "-" if value is None else f"{value:.2f}"
