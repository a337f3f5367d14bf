"""`dubber weights`: what dubber runs on, and face models of others in its place."""

from __future__ import annotations

from enum import Enum
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from dubber.cli import options as o
from dubber.cli.console import escape, print_json, say, set_up_logging, show_error, show_table
from dubber.errors import WeightsError

if TYPE_CHECKING:
    from dubber.models.morphable import LinearFaceModel

app = typer.Typer(help="List, verify and import weights.", no_args_is_help=True)
import_app = typer.Typer(help="Convert what others have published.", no_args_is_help=True)
app.add_typer(import_app, name="import")


class FaceFormatName(str, Enum):
    """Formats of face models; see `dubber.training.face_files`."""

    auto = "auto"
    ict = "ict"
    bfm2009 = "bfm2009"
    bfm2017 = "bfm2017"


@app.command("list")
def list_weights(weights: o.WeightsDir = None, json: o.Json = False) -> None:
    """List the weights with licence and training data."""
    folder = o.build_runtime(None, weights).weights
    if json:
        print_json(
            {"root": str(folder.root), "weights": {n: e.model_dump() for n, e in folder.manifest.items()}}
        )
        return
    rows = [
        [
            name,
            entry.kind,
            entry.licence,
            "yes" if entry.is_commercial_use_allowed else "no",
            entry.training_data,
        ]
        for name, entry in folder.manifest.items()
    ]
    show_table(str(folder.root), ["name", "kind", "licence", "commercial use", "training data"], rows)


@app.command("verify")
def verify(weights: o.WeightsDir = None, json: o.Json = False) -> None:
    """Check every weight file against its checksum; exit 4 if one fails."""
    folder = o.build_runtime(None, weights).weights
    failures: dict[str, WeightsError] = {}
    for name in folder.manifest:
        try:
            folder.verify(name)
        except WeightsError as error:
            failures[name] = error
        say(f"{'[red]wrong[/]' if name in failures else '[green]ok[/]'}  {name}")
    if json:
        print_json({"ok": not failures, "failures": {name: str(error) for name, error in failures.items()}})
    for failure in failures.values():
        show_error(failure)
    if failures:
        raise typer.Exit(WeightsError.exit_code)


@import_app.command("face-model")
def import_face_model(
    path: Annotated[
        Path,
        typer.Argument(
            help="The publisher's files: the folder of ICT-FaceKit's OBJ files; a folder with the Basel Face "
            "Model 2009 and 3DDFA's or Guo's expressions; an HDF5 file of the Basel Face Model 2017 or 2019.",
            show_default=False,
        ),
    ],
    output: Annotated[
        Path,
        typer.Option(
            "-o",
            "--output",
            help="Weights folder to write into; other weights in it stay.",
            show_default=False,
        ),
    ],
    file_format: Annotated[
        FaceFormatName, typer.Option("--format", help="What the files are; auto: look.")
    ] = FaceFormatName.auto,
    landmarks: Annotated[
        Path | None,
        typer.Option(
            help="File with the vertex numbers, from 0, of the 68 iBUG points: JSON array or plain text. "
            "Needed where the model does not say where its landmarks are.",
            show_default=False,
        ),
    ] = None,
    components: Annotated[
        int, typer.Option(help="Expression components to keep; 0: all, as the files have them.", min=0)
    ] = 29,
    overwrite: Annotated[bool, typer.Option("--overwrite", help="Replace the folder's face model.")] = False,
    json: o.Json = False,
    quiet: o.Quiet = False,
    verbose: o.Verbose = 0,
) -> None:
    """Convert a published face model, once, into one that dubber can run on."""
    set_up_logging(verbosity=verbose, is_quiet=quiet)
    from dubber.training.face_import import import_face_model as convert

    model = convert(
        path,
        output,
        file_format=file_format.value,
        landmarks=landmarks,
        num_expression=components,
        is_overwrite_allowed=overwrite,
    )
    summary = _summary(model)
    if json:
        print_json({"output": str(output), "name": model.name, **summary})
    elif not quiet:
        rows = [[name, str(value)] for name, value in summary.items()]
        show_table(f"{model.name} in {output}", ["what", "how many"], rows)
    folder = escape(str(output))
    say(
        f"The network that moves the mouth must learn this face model's coefficients:\n"
        f"  dubber train expression --clips CSV -o {folder}\n"
        f"Then, or at once with `--translator neutral`:\n"
        f"  dubber run VIDEO AUDIO --weights {folder}",
        is_quiet=quiet,
    )


def _summary(model: LinearFaceModel) -> dict[str, int]:
    from dubber.models.morphable import TRACKER

    return {
        "vertices": len(model.mean_V3),
        "triangles": len(model.triangles_F3),
        "identity components": model.num_identity,
        "expression components": model.num_expression,
        "contour lines": len(model.contour_JC),
        **{
            f"landmarks: {name}": len(index)
            for name, index in model.landmark_sets.items()
            if len(index) and name != TRACKER
        },
    }
