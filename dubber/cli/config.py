"""`dubber config`: config files written, shown and checked."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from dubber.cli import options as o
from dubber.cli.command_tables import commands_of, errors_of_file
from dubber.cli.console import escape, print_json, print_text, say, show_error
from dubber.errors import ConfigError, OutputExistsError, OutputFolderError

if TYPE_CHECKING:
    from dubber.cli.effective import Effective

app = typer.Typer(help="Write, show and check config files.", no_args_is_help=True)


@app.command("init")
def init(
    context: typer.Context,
    file: Annotated[Path, typer.Argument(help="The new config file; - for stdout.")] = Path("dubber.toml"),
    overwrite: o.Overwrite = False,
    quiet: o.Quiet = False,
) -> None:
    """Write a config file with every key: its meaning, what it takes, its default. All is commented out."""
    from dubber.cli.config_text import template

    text = template(context.find_root().command)
    if str(file) == "-":
        print_text(text)
        return
    _write(text, file, is_overwrite=overwrite)
    say(f"Written: {escape(str(file))}; `--config {escape(str(file))}` uses it.", is_quiet=quiet)


@app.command("show", context_settings={"ignore_unknown_options": True, "allow_extra_args": True})
def show(
    context: typer.Context,
    changed: Annotated[bool, typer.Option("--changed", help="Only what differs from the defaults.")] = False,
    json: o.Json = False,
) -> None:
    """Print what a command would work with, and where each value comes from.

    Give it the command's name (run, where none is given) and its options: `dubber config show batch
    --preset fast --crf 18`. What it prints is a config file.
    """
    from dubber.cli.config_text import effective_document, effective_text

    found = _effective(context)
    if changed:
        found = found.changed()
    if json:
        print_json(effective_document(found))
    else:
        print_text(effective_text(found))


@app.command("validate")
def validate(
    context: typer.Context,
    files: Annotated[list[Path], typer.Argument(help="Config files.", show_default=False)],
    json: o.Json = False,
    quiet: o.Quiet = False,
) -> None:
    """Check config files and tell everything that is wrong; exit 2 if anything is."""
    from dubber.config_file import read_config_file

    errors: dict[Path, list[ConfigError]] = {}
    for file in files:
        try:
            errors[file] = errors_of_file(read_config_file(file), context)
        except ConfigError as error:
            errors[file] = [error]
        for each in errors[file]:
            show_error(each)
        if not errors[file]:
            say(f"[green]ok[/]  {escape(str(file))}", is_quiet=quiet)
    if json:
        print_json(
            {
                "ok": not any(errors.values()),
                "files": [
                    {
                        "file": str(file),
                        "errors": [{"message": e.message, "advice": e.advice} for e in errors[file]],
                    }
                    for file in errors
                ],
            }
        )
    if any(errors.values()):
        raise typer.Exit(ConfigError.exit_code)


def _effective(context: typer.Context) -> Effective:
    """What the command named in the rest of the command line would work with.

    Raises:
        ConfigError: There is no such command, or something in its options is wrong.
    """
    from dubber.cli.effective import effective_of

    root: Any = context.find_root()
    commands = dict(commands_of(root.command))
    words = tuple(context.args)
    names = max((each for each in commands if words[: len(each)] == each), key=len, default=())
    if not names and words and not words[0].startswith("-"):
        raise ConfigError(
            f"There is no command '{words[0]}'.",
            where="dubber config show",
            advice=f"Commands: {', '.join(' '.join(each) for each in commands)}.",
        )
    return effective_of(root, names or ("run",), list(words[len(names) :]))


def _write(text: str, file: Path, *, is_overwrite: bool) -> None:
    """Write a text whole or not at all.

    Raises:
        OutputExistsError: The file is there, and may not be replaced.
        OutputFolderError: There is no such folder, or it cannot be written.
    """
    import tempfile

    from dubber.output import publish

    if not file.parent.is_dir():
        raise OutputFolderError(
            "There is no such folder.", where=str(file.parent), advice="Make it first, or name another file."
        )
    if file.exists() and not is_overwrite:
        raise OutputExistsError(
            "The config file is there already.",
            where=str(file),
            advice="Pass `--overwrite` to replace it, or name another file.",
        )
    with tempfile.TemporaryDirectory() as folder:
        finished = Path(folder) / "config.toml"
        finished.write_text(text, encoding="utf-8")
        publish(finished, file, is_overwrite=is_overwrite)
