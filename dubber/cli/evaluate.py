"""`dubber eval`: how good is it, in numbers."""

from __future__ import annotations

from enum import Enum
from pathlib import Path
from typing import Annotated, Any

import typer

from dubber.cli import options as o
from dubber.cli.console import escape, print_json, progress_display, say, set_up_logging, show_table
from dubber.cli.evaluate_phones import phones

app = typer.Typer(help="Measure.", no_args_is_help=True)
app.command("phones")(phones)

_NETWORKS = "Measures by networks of yours"
SyncNetFile = Annotated[
    Path | None,
    typer.Option("--syncnet", help="syncnet_v2 weights: LSE-D, LSE-C.", rich_help_panel=_NETWORKS),
]
ArcFaceFile = Annotated[
    Path | None,
    typer.Option("--arcface", help="ArcFace network, ONNX: CSIM.", rich_help_panel=_NETWORKS),
]
FidFeatures = Annotated[
    Path | None,
    typer.Option("--fid-features", help="Inception, TorchScript: FID.", rich_help_panel=_NETWORKS),
]
VggFile = Annotated[
    Path | None,
    typer.Option(
        "--vgg", help="Normalised VGG-19, conv1_1 to conv3_1: feature distance.", rich_help_panel=_NETWORKS
    ),
]


class Drive(str, Enum):
    """What moves the mouth in an evaluation."""

    speech = "speech"
    truth = "truth"


class Part(str, Enum):
    """What an ablation takes apart."""

    translator = "translator"
    renderer = "renderer"


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
    syncnet: SyncNetFile = None,
    arcface: ArcFaceFile = None,
    fid_features: FidFeatures = None,
    vgg: VggFile = None,
    renderer: o.Renderer = None,
    translator: o.Translator = None,
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
    """Dub clips with their own speech; compare the last quarter, hidden from dubber, with the truth."""
    set_up_logging(verbosity=verbose, is_quiet=quiet)
    dub_config = o.build_config(config, settings, preset, renderer=renderer, translator=translator)
    from dubber.evaluation.self_dub import evaluate_clips
    from dubber.evaluation.user_networks import UserNetworks

    runtime = o.build_runtime(cache, weights, device, threads)
    with progress_display(is_quiet=quiet) as progress:
        document = evaluate_clips(
            clips,
            drive=drive.value,
            config=dub_config,
            runtime=runtime,
            progress=progress,
            has_pictures=pictures,
            networks=UserNetworks(syncnet, arcface, fid_features, vgg),
        )
    if not quiet:
        _show(document)
    if json:
        print_json(document)


@app.command("pair")
def pair(
    made: Annotated[Path, typer.Argument(help="The made video, with its sound.", show_default=False)],
    reference: Annotated[
        Path, typer.Argument(help="The filmed video of the same frames.", show_default=False)
    ],
    syncnet: SyncNetFile = None,
    arcface: ArcFaceFile = None,
    fid_features: FidFeatures = None,
    vgg: VggFile = None,
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
    """Compare a made video with the filmed one: pictures, and where a tracker sees the mouth in both."""
    set_up_logging(verbosity=verbose, is_quiet=quiet)
    dub_config = o.build_config(config, settings, preset)
    from dubber.evaluation.made_pair import evaluate_pair
    from dubber.evaluation.user_networks import UserNetworks

    runtime = o.build_runtime(cache, weights, device, threads)
    with progress_display(is_quiet=quiet) as progress:
        document = evaluate_pair(
            made,
            reference,
            config=dub_config,
            runtime=runtime,
            progress=progress,
            networks=UserNetworks(syncnet, arcface, fid_features, vgg),
        )
    if not quiet:
        _show_tables([(document["made"], str(document["frames"]), document["metrics"], {})], _PICTURE_TABLES)
    if json:
        print_json(document)


@app.command("ablation")
def ablation(
    clips: Annotated[
        Path, typer.Option("--clips", help="CSV with the columns file, split, speaker.", show_default=False)
    ],
    split: Annotated[str, typer.Option(help="Which rows are measured.")] = "dev",
    part: Annotated[
        Part,
        typer.Option("--of", help="translator: from speech to mouth. renderer: from mouth to picture, slow."),
    ] = Part.translator,
    min_seconds: Annotated[float, typer.Option(help="Leave shorter clips out.", min=0)] = 0.0,
    max_frames: Annotated[
        int | None,
        typer.Option(help="Measure so many frames of each clip at most.", min=2, show_default="all"),
    ] = None,
    output: Annotated[
        Path | None, typer.Option("-o", "--output", help="Markdown page to write.", show_default="none")
    ] = None,
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
    """Measure what each part of the method brings, over all clips of a split."""
    set_up_logging(verbosity=verbose, is_quiet=quiet)
    dub_config = o.build_config(config, settings, preset)
    from dubber.evaluation.ablation import evaluate_variants
    from dubber.evaluation.page import check_page, write_page
    from dubber.evaluation.renderer_ablation import evaluate_renderers
    from dubber.evaluation.results import results_page
    from dubber.evaluation.results_pictures import pictures_page

    if output is not None:
        check_page(output)
    is_renderer = part is Part.renderer
    evaluate, page = (evaluate_renderers, pictures_page) if is_renderer else (evaluate_variants, results_page)
    runtime = o.build_runtime(cache, weights, device, threads)
    with progress_display(is_quiet=quiet) as progress:
        document = evaluate(
            clips,
            split,
            min_seconds=min_seconds,
            max_frames=max_frames,
            config=dub_config,
            runtime=runtime,
            progress=progress,
        )
    if output is not None:
        command = f"dubber eval ablation --clips CSV --split {split}"
        command += " --of renderer" if is_renderer else ""
        command += f" --min-seconds {min_seconds:g}" if min_seconds else ""
        command += f" --max-frames {max_frames}" if max_frames else ""
        command += "".join(f" --set {setting}" for setting in settings or [])
        write_page(page(document, command), output)
        say(f"Written: {escape(str(output))}", is_quiet=quiet)
    if not quiet:
        for length, title in _LENGTHS.items():
            rows: list[_Row] = [
                (variant["name"], "", variant[length], variant[length]) for variant in document["variants"]
            ]
            tables = _RENDERER_TABLES if is_renderer else _TRANSLATOR_TABLES
            _show_tables(rows, {f"{title}: {what}": tables[what] for what in tables}, ("", ""))
        for variant in document["variants"]:
            if variant["missing"] is not None:
                say(escape(f"{variant['name']}: {variant['missing']}"))
    if json:
        print_json(document)


_Row = tuple[str, str, dict[str, Any], dict[str, Any]]
"""Name, frames, metrics, metrics of the baselines by name."""


def _show(document: dict[str, Any]) -> None:
    """A row per clip and one of medians."""
    rows = [
        *(
            (clip["clip"], str(clip["frames"]), clip["metrics"], clip["baselines"])
            for clip in document["clips"]
        ),
        ("median", "", document["median"], document["median_baselines"]),
    ]
    _show_tables(rows, {**_PICTURE_TABLES, **_REMADE_TABLE, **_SPEECH_TABLES})


def _show_tables(
    rows: list[_Row],
    tables: dict[str, dict[str, tuple[str, str]]],
    heading: tuple[str, str] = ("clip", "frames"),
) -> None:
    """Every table of which a row has a number."""
    for title, columns in tables.items():
        if any(key in metrics for _, _, metrics, _ in rows for side, key in columns.values() if not side):
            show_table(
                title,
                [*heading, *columns],
                [
                    [
                        name,
                        frames,
                        *(_number({"": metrics, **others}[side].get(key)) for side, key in columns.values()),
                    ]
                    for name, frames, metrics, others in rows
                ],
            )


_PICTURE_TABLES = {
    "Pictures: PSNR in dB and SSIM, by region": {
        "frame": ("", "frame_psnr_db"),
        "crop": ("", "crop_psnr_db"),
        "mouth": ("", "mouth_psnr_db"),
        "frame SSIM": ("", "frame_ssim"),
        "crop SSIM": ("", "crop_ssim"),
        "mouth SSIM": ("", "mouth_ssim"),
    },
    "The made pixels against the filmed ones; 1 is as filmed": {
        "sharpness": ("", "sharpness_ratio"),
        "lips' sharpness": ("", "lips_sharpness_ratio"),
        "seam": ("", "seam_index"),
        "soft seam": ("", "soft_seam_index"),
        "flicker": ("", "flicker_index"),
        "soft flicker": ("", "soft_flicker_index"),
    },
    "Seen by a tracker: 39 landmarks and LMD in px of the 384 crop; mouth opening; lips in silence": {
        "E_ldmk": ("", "rendered_landmark_error_px"),
        "LMD": ("", "rendered_lmd_px"),
        "opening r": ("", "rendered_opening_correlation"),
        "lag": ("", "rendered_av_lag_frames"),
        "swing": ("", "rendered_opening_amplitude_ratio"),
        "in silence": ("", "rendered_motion_in_silence"),
        "filmed": ("", "filmed_motion_in_silence"),
    },
    "By your networks": {
        "LSE-D": ("", "lse_d"),
        "filmed": ("", "filmed_lse_d"),
        "LSE-C": ("", "lse_c"),
        "filmed LSE-C": ("", "filmed_lse_c"),
        "offset": ("", "sync_offset_frames"),
        "CSIM": ("", "csim"),
        "FID": ("", "fid"),
        "VGG": ("", "vgg_distance"),
    },
}
_REMADE_TABLE = {
    "Mouth box, PSNR in dB": {
        "dubber": ("", "mouth_psnr_db"),
        "mean mouth": ("mean_mouth", "mouth_psnr_db"),
        "frozen": ("frozen", "mouth_psnr_db"),
        "re-made px": ("", "remade_psnr_db"),
        "bare patch": ("", "patch_psnr_db"),
    },
}
_SPEECH_TABLES = {
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
        "no sound": ("", "motion_without_sound"),
    },
}
_LENGTHS = {"long": "Clips, medians", "short": "Shorter clips, medians"}
_TRANSLATOR_TABLES = {
    "shape and motion": {
        "E_exp": ("", "expression_error"),
        "E_ldmk": ("", "landmark_error_px"),
        "LMD": ("", "lmd_px"),
        "opening r": ("", "mouth_opening_correlation"),
        "lag": ("", "av_lag_frames"),
        "swing": ("", "opening_amplitude_ratio"),
    },
}
_RENDERER_TABLES = {
    "mouth box; seen landmarks in px of the 384 crop": {
        "PSNR": ("", "mouth_psnr_db"),
        "SSIM": ("", "mouth_ssim"),
        "re-made": ("", "remade_psnr_db"),
        "patch": ("", "patch_psnr_db"),
        "E_ldmk": ("", "rendered_landmark_error_px"),
    },
    "the made pixels against the filmed ones; 1 is as filmed": {
        "sharp": ("", "sharpness_ratio"),
        "lips": ("", "lips_sharpness_ratio"),
        "seam": ("", "seam_index"),
        "soft": ("", "soft_seam_index"),
        "flicker": ("", "flicker_index"),
        "soft fl.": ("", "soft_flicker_index"),
    },
}
"""Title; heading of each column; whose number it is ("" for dubber's own) and its key."""


def _number(value: float | None) -> str:
    return "-" if value is None else f"{value:.2f}"
