"""`dubber eval`: how good is it, in numbers."""

from __future__ import annotations

from enum import Enum
from pathlib import Path
from typing import Annotated

import typer

from dubber.cli import options as o
from dubber.cli.console import escape, print_json, progress_display, say, set_up_logging
from dubber.cli.evaluate_phones import phones
from dubber.cli.evaluate_tables import show_ablation, show_clips, show_pair

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
        show_clips(document)
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
        show_pair(document)
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
        show_ablation(document, is_renderer=is_renderer)
    if json:
        print_json(document)
