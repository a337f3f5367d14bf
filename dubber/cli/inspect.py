"""`dubber methods` and `dubber weights`: what can be chosen, and what it runs on."""

from __future__ import annotations

import typer

from dubber.cli import options as o
from dubber.cli.console import print_json, say, show_error, show_table
from dubber.errors import WeightsError

weights_app = typer.Typer(help="List and verify the weights.", no_args_is_help=True)


def methods(json: o.Json = False) -> None:
    """List the interchangeable parts: renderers, translators, length modes."""
    from dubber.stages.methods import METHODS

    rows = [
        [method.part, method.name, "yes" if method.is_default else "", method.summary] for method in METHODS
    ]
    if json:
        keys = ("part", "name", "default", "summary")
        print_json({"methods": [dict(zip(keys, row, strict=True)) for row in rows]})
    else:
        show_table("Methods", ["part", "name", "default", "what it does"], rows)


@weights_app.command("list")
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


@weights_app.command("verify")
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
