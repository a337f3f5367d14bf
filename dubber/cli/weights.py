"""`dubber weights`: what dubber runs on, and models of others beside it or in its place."""

from __future__ import annotations

import sys
import time
from enum import Enum
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from dubber.cli import completion
from dubber.cli import options as o
from dubber.cli.console import (
    PLAIN_INTERVAL_S,
    escape,
    print_json,
    say,
    set_up_logging,
    show_error,
    show_table,
)
from dubber.engine.disk import human_bytes
from dubber.errors import ConfigError, WeightsError

if TYPE_CHECKING:
    from dubber.engine.user_models import Licence, ModelEntry
    from dubber.models.morphable import LinearFaceModel

app = typer.Typer(help="List, verify, fetch and import weights.", no_args_is_help=True)
_ELSEWHERE = "The default tracker, `mediapipe`, needs no such file."

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
    """List the weights and models with their licences, and models of others that can be fetched."""
    from dubber.engine.user_models import PACKAGED, ModelsFolder, catalogue, default_models_dir

    folder = o.build_runtime(None, weights).weights
    models = ModelsFolder(default_models_dir())
    found = _tracker_files()
    if json:
        print_json(
            {
                "root": str(folder.root),
                "weights": {name: entry.model_dump() for name, entry in folder.manifest.items()},
                "packaged": [vars(model) | {"is_commercial_use_allowed": True} for model in PACKAGED],
                "models_root": str(models.root),
                "models": {
                    name: {**entry.model_dump(), "is_here": models.has(name)}
                    for name, entry in catalogue().items()
                },
                "tracker_files": [
                    {"tracker": tracker, "file": str(path), "licence": licence and licence.model_dump()}
                    for tracker, path, licence in found
                ],
            }
        )
        return
    rows = [
        [name, entry.kind, entry.licence, _may(entry.is_commercial_use_allowed), entry.training_data]
        for name, entry in folder.manifest.items()
    ]
    show_table(str(folder.root), ["name", "kind", "licence", "commercial use", "training data"], rows)
    rows = [[model.package, model.licence, _may(True), model.description] for model in PACKAGED]
    show_table("In installed packages", ["package", "licence", "commercial use", "what"], rows)
    rows = [
        [
            name,
            _may(models.has(name)),
            entry.licence,
            _may(entry.is_commercial_use_allowed),
            entry.description,
        ]
        for name, entry in catalogue().items()
    ]
    columns = ["name", "fetched", "licence", "commercial use", "what"]
    show_table(f"Models of others (`dubber weights fetch NAME`): {models.root}", columns, rows)
    if found:
        rows = [
            [tracker, str(path), licence.licence, _may(licence.is_commercial_use_allowed)]
            if licence
            else [tracker, str(path), "not known", "not known"]
            for tracker, path, licence in found
        ]
        show_table("Files that trackers find here", ["tracker", "file", "licence", "commercial use"], rows)


def _may(is_so: bool) -> str:
    return "yes" if is_so else "no"


def _tracker_files() -> list[tuple[str, Path, Licence | None]]:
    """Model files of the user's, the tracker that reads each, and what may be done with it."""
    from typing import get_args

    from dubber.engine.key import file_sha256
    from dubber.engine.user_models import licence_of
    from dubber.tracking.backends import TrackerName, model_files

    found = []
    for tracker in get_args(TrackerName):
        try:
            paths = model_files(tracker)
        except WeightsError:
            continue
        found += [(str(tracker), path, licence_of(file_sha256(path))) for path in paths]
    return found


@app.command("verify")
def verify(weights: o.WeightsDir = None, json: o.Json = False) -> None:
    """Check every weight file and fetched model against its checksum; exit 4 if one fails."""
    from dubber.engine.user_models import ModelsFolder, catalogue, default_models_dir

    folder = o.build_runtime(None, weights).weights
    models = ModelsFolder(default_models_dir())
    checks = dict.fromkeys(folder.manifest, folder.verify)
    checks |= {name: models.verify for name in catalogue() if models.folder(name).is_dir()}
    failures: dict[str, WeightsError] = {}
    for name, check in checks.items():
        try:
            check(name)
        except WeightsError as error:
            failures[name] = error
        say(f"{'[red]wrong[/]' if name in failures else '[green]ok[/]'}  {name}")
    if json:
        print_json({"ok": not failures, "failures": {name: str(error) for name, error in failures.items()}})
    for failure in failures.values():
        show_error(failure)
    if failures:
        raise typer.Exit(WeightsError.exit_code)


@app.command("fetch")
def fetch_model(
    name: Annotated[
        str,
        typer.Argument(
            help="A model of `dubber weights list`.",
            autocompletion=completion.models,
            show_default=False,
            metavar="NAME",
        ),
    ],
    accept_licence: Annotated[
        bool, typer.Option("--accept-licence", help="Accept the model's licence without being asked.")
    ] = False,
    source: Annotated[
        Path | None,
        typer.Option(
            "--from",
            help="The publisher's file, downloaded already: for machines without network.",
            show_default=False,
        ),
    ] = None,
    json: o.Json = False,
    quiet: o.Quiet = False,
) -> None:
    """Get a model of others that dubber does not ship, after its licence is accepted."""
    from dubber.engine.fetch import fetch, import_file
    from dubber.engine.user_models import ModelsFolder, catalogue_entry, default_models_dir

    entry, folder = catalogue_entry(name), ModelsFolder(default_models_dir())
    is_new = not folder.has(name)
    if is_new:
        _ask_for_licence(name, entry, is_accepted=accept_licence)
        if source is None:
            fetch(folder, name, entry, told=_DownloadLines(entry.num_bytes, is_quiet=quiet))
        else:
            import_file(folder, name, entry, source)
    place = str(folder.folder(name))
    say(f"{name} {'is' if is_new else 'was there already:'} in {escape(place)}", is_quiet=quiet)
    if json:
        print_json({"name": name, "folder": place, "is_new": is_new})


def _ask_for_licence(name: str, entry: ModelEntry, *, is_accepted: bool) -> None:
    """Show the licence, and have it accepted.

    Raises:
        ConfigError: It is not.
    """
    commercial = "allowed" if entry.is_commercial_use_allowed else "not allowed"
    say(
        f"[bold]{name}[/]: {escape(entry.description)}\n"
        f"{escape(entry.url)} ({human_bytes(entry.num_bytes)})\n\n"
        f"[bold]Licence:[/] {escape(entry.licence)}\n{escape(entry.licence_text)}\n"
        f"Commercial use: {commercial}. Full text: {escape(entry.licence_url)}\n"
    )
    if is_accepted:
        return
    if not sys.stdin.isatty():
        raise ConfigError(
            "The licence was not accepted; nothing was fetched.",
            where=name,
            advice="Read it, and pass `--accept-licence` if you accept it.",
        )
    if not typer.confirm("Do you accept this licence?", err=True):
        raise ConfigError("The licence was not accepted; nothing was fetched.", where=name, advice=_ELSEWHERE)


class _DownloadLines:
    """Says now and then how far a download is."""

    def __init__(self, num_bytes: int, *, is_quiet: bool) -> None:
        self._num_bytes = num_bytes
        self._is_quiet = is_quiet
        self._said_s = time.monotonic()

    def __call__(self, done: int) -> None:
        now = time.monotonic()
        if now - self._said_s >= PLAIN_INTERVAL_S:
            self._said_s = now
            say(f"{human_bytes(done)} of {human_bytes(self._num_bytes)}", is_quiet=self._is_quiet)


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
