"""`dubber train`: make the weights that dubber ships, or your own."""

from __future__ import annotations

from collections.abc import Callable
from enum import Enum
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from dubber.cli import options as o
from dubber.cli.console import escape, print_json, progress_display, say, set_up_logging
from dubber.errors import ConfigError
from dubber.training.expression_settings import ExpressionTraining
from dubber.training.variants import recipes_in_words, train_variant, variant_folder, variant_settings

if TYPE_CHECKING:
    from dubber.engine.progress import Progress
    from dubber.engine.stage import Runtime


class TrainedTranslator(str, Enum):
    """Translators that are networks."""

    conv = "conv"
    lstm = "lstm"


class TrainedRenderer(str, Enum):
    """Renderers that are networks."""

    hybrid = "hybrid"
    unet = "unet"


app = typer.Typer(
    help="Train the face model, the audio-to-expression network and the renderer.", no_args_is_help=True
)

Clips = Annotated[
    Path,
    typer.Option(
        "--clips",
        help="CSV with the columns file, split, speaker; rows of split 'train' are used.",
        show_default=False,
    ),
]
Out = Annotated[
    Path, typer.Option("-o", "--output", help="Weights folder to write into; its manifest is updated.")
]


@app.command("face-model")
def face_model(
    clips: Clips,
    output: Out = Path("weights"),
    device: o.DeviceOption = "auto",
    threads: o.Threads = 0,
    cache: o.CacheDir = None,
    json: o.Json = False,
    quiet: o.Quiet = False,
    verbose: o.Verbose = 0,
) -> None:
    """Learn the linear face model from tracked talking clips."""
    set_up_logging(verbosity=verbose, is_quiet=quiet)
    from dubber.training.face_model import train_from_clips

    runtime = o.build_runtime(cache, output, device, threads)
    _train(train_from_clips, clips, output, runtime, is_json=json, is_quiet=quiet)


@app.command("expression")
def expression(
    clips: Clips,
    output: Out = Path("weights"),
    translator: Annotated[TrainedTranslator, typer.Option(help="Which network.")] = TrainedTranslator.conv,
    variant: Annotated[
        str | None,
        typer.Option(
            metavar="NAME",
            help="Leave something out, for `dubber eval ablation`: "
            + recipes_in_words()
            + ". Goes into the cache; --output only lends the face model.",
            show_default=False,
        ),
    ] = None,
    teacher: Annotated[
        Path | None,
        typer.Option(
            help="CSV like --clips of videos that your own lip-sync system made: its mouths teach too.",
            show_default=False,
        ),
    ] = None,
    device: o.DeviceOption = "auto",
    threads: o.Threads = 0,
    cache: o.CacheDir = None,
    json: o.Json = False,
    quiet: o.Quiet = False,
    verbose: o.Verbose = 0,
) -> None:
    """Teach a network that turns speech into expression. A killed training goes on from its checkpoint.

    Needs espeak-ng, from whose voices the network first learns the sounds of speech.
    """
    set_up_logging(verbosity=verbose, is_quiet=quiet)
    from dubber.training.expression import train_from_clips

    runtime = o.build_runtime(cache, output, device, threads)
    if variant is None:
        settings = ExpressionTraining.recipe(translator.value)
        train = partial(train_from_clips, settings=settings, teacher=teacher)
    else:
        settings = variant_settings(variant, translator.value)
        train = partial(train_variant, settings=settings, teacher=teacher)
        output = variant_folder(runtime, variant)
    _train(train, clips, output, runtime, is_json=json, is_quiet=quiet)


@app.command("renderer")
def renderer(
    clips: Clips,
    output: Out = Path("weights"),
    name: Annotated[
        TrainedRenderer, typer.Option("--renderer", help="Which network.")
    ] = TrainedRenderer.hybrid,
    paper: Annotated[
        bool, typer.Option("--paper", help="unet in the papers' size, with their losses; for a GPU.")
    ] = False,
    vgg: Annotated[
        Path | None,
        typer.Option(
            help="Normalised VGG-19 (see docs/method.md, Measures), whose features are compared too.",
            show_default=False,
        ),
    ] = None,
    iterations: Annotated[int | None, typer.Option(help="Steps.", min=1, show_default="the recipe's")] = None,
    base_width: Annotated[
        int | None, typer.Option(help="Channels of the first level.", min=1, show_default="the recipe's")
    ] = None,
    device: o.DeviceOption = "auto",
    threads: o.Threads = 0,
    cache: o.CacheDir = None,
    json: o.Json = False,
    quiet: o.Quiet = False,
    verbose: o.Verbose = 0,
) -> None:
    """Teach a renderer's network to paint mouths. A killed training goes on from its checkpoint."""
    set_up_logging(verbosity=verbose, is_quiet=quiet)
    from dubber.training.literal_renderer import LiteralTraining, train_literal_from_clips
    from dubber.training.renderer import RendererTraining, train_from_clips

    if paper and name is not TrainedRenderer.unet:
        raise ConfigError("Only `--renderer unet` has a recipe of the papers.", advice="Leave `--paper` out.")
    train: Callable[[Path, Path, Runtime, Progress], dict[str, float]]
    if name is TrainedRenderer.hybrid:
        train = partial(train_from_clips, settings=RendererTraining(vgg=vgg).but(iterations, base_width))
    else:
        usual = LiteralTraining.paper() if paper else LiteralTraining()
        train = partial(train_literal_from_clips, settings=usual.looking(vgg).but(iterations, base_width))
    _train(
        train, clips, output, o.build_runtime(cache, output, device, threads), is_json=json, is_quiet=quiet
    )


def _train(
    train_from_clips: Callable[[Path, Path, Runtime, Progress], dict[str, float]],
    clips: Path,
    output: Path,
    runtime: Runtime,
    *,
    is_json: bool,
    is_quiet: bool,
) -> None:
    with progress_display(is_quiet=is_quiet) as progress:
        measures = train_from_clips(clips, output, runtime, progress)
    for name, value in measures.items():
        say(f"{name}: {value:.4g}", is_quiet=is_quiet)
    say(f"Weights written to {escape(str(output))}", is_quiet=is_quiet)
    if is_json:
        print_json({"output": str(output), "measures": measures})
