"""The `dubber` command. Heavy libraries are imported inside the commands, so that help is instant."""

from __future__ import annotations

import _thread
import os
import signal
import stat
import sys
import threading
import traceback
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from types import FrameType
from typing import Annotated, Any, NoReturn

import typer
from typer.core import TyperGroup

from dubber import __version__
from dubber.cli import (
    batch,
    cache,
    check,
    config,
    curves,
    doctor,
    evaluate,
    faces,
    inspect,
    run,
    train,
    verify,
    weights,
)
from dubber.cli.aliases import in_own_words
from dubber.cli.command_tables import take_variable, wants_json
from dubber.cli.console import escape, is_verbose, print_error, report_error, say, stderr
from dubber.engine.memory import is_out_of_memory, memory_error
from dubber.errors import EXIT_INTERRUPTED, ConfigError, DubberError, StageError

_ENDING = (signal.SIGINT, signal.SIGTERM, *([signal.SIGHUP] if hasattr(signal, "SIGHUP") else []))
"""What ends a run: Ctrl-C, `kill`, and a terminal that is closed."""

_IMPORT_WAIT_S = 0.05
"""An interrupt that comes while a library is imported is tried again so much later."""

_ARGUMENTS = "dubber.arguments"

_UsageError: Any = typer.BadParameter.__base__
"""What all errors of a command line are; typer gives it no public name."""


class _Commands(TyperGroup):
    """Tells what is wrong in a command line as JSON, too, where that is asked for."""

    def make_context(self, info_name: str | None, args: list[str], *others: Any, **more: Any) -> Any:
        """Take the command line apart."""
        arguments = list(args)
        with _usage_errors_told(arguments):
            context = super().make_context(info_name, args, *others, **more)
        context.meta[_ARGUMENTS] = arguments
        return context

    def invoke(self, ctx: Any) -> Any:
        """Take the rest of it apart, which is the command's, and do that."""
        with _usage_errors_told(ctx.meta[_ARGUMENTS]):
            return super().invoke(ctx)


app = typer.Typer(
    name="dubber",
    cls=_Commands,
    help="Give it a video of a person talking and new speech: it re-makes the mouth in the original footage.",
    no_args_is_help=True,
    add_completion=True,
    rich_markup_mode="rich",
    pretty_exceptions_enable=False,
    context_settings={"help_option_names": ["-h", "--help"]},
)
app.command(name="run")(run.run)
app.command(name="plan")(run.plan)
app.command(name="check")(check.check)
app.command(name="doctor")(doctor.doctor)
app.command(name="faces")(faces.faces)
app.command(name="batch")(batch.batch)
app.command(name="inspect")(inspect.inspect)
app.command(name="verify")(verify.verify)
app.command(name="methods")(inspect.methods)
app.add_typer(cache.app, name="cache")
app.add_typer(config.app, name="config")
app.add_typer(curves.export_app, name="export")
app.add_typer(curves.import_app, name="import")
app.add_typer(weights.app, name="weights")
app.add_typer(evaluate.app, name="eval")
app.add_typer(train.app, name="train")


@contextmanager
def _usage_errors_told(arguments: list[str]) -> Iterator[None]:
    try:
        yield
    except _UsageError as error:
        if wants_json(arguments):
            path = "dubber" if error.ctx is None else error.ctx.command_path
            message = error.format_message()
            print_error(ConfigError(message, where=path, advice=f"See `{path} --help`."))
        raise


def _print_version(is_asked: bool) -> None:
    if is_asked:
        sys.stdout.write(f"dubber {__version__}\n")
        raise typer.Exit


@app.callback()
def _root(
    context: typer.Context,
    version: Annotated[  # noqa: ARG001 - its callback answers
        bool, typer.Option("--version", callback=_print_version, is_eager=True, help="Print the version.")
    ] = False,
) -> None:
    # The commands about config files must work where that file is wrong.
    if context.invoked_subcommand != "config":
        take_variable(context)


def main() -> NoReturn:
    """Run the command line; every failure becomes a message with advice and its exit code."""
    for signum in _ENDING:
        if signal.getsignal(signum) is not signal.SIG_IGN:  # as with nohup
            signal.signal(signum, _interrupt)
    arguments = sys.argv[1:]
    code: int | str | None = 0
    try:
        own = in_own_words(arguments)
        for note in own.notes:
            say(f"[dim]{escape(note)}[/]", is_quiet=bool({"-q", "--quiet"} & set(arguments)))
        app(args=own.arguments)
    except SystemExit as exit_:
        code = exit_.code
        if code == EXIT_INTERRUPTED:
            say("[yellow]Interrupted.[/] Finished stages are kept: the same command goes on from there.")
            _leave(EXIT_INTERRUPTED)
    except DubberError as error:
        code = report_error(error, arguments)
    except Exception as error:
        if is_verbose(arguments):
            stderr.print(traceback.format_exc(), markup=False)
        bug = StageError(f"{type(error).__name__}: {error}")
        code = report_error(memory_error() if is_out_of_memory(error) else bug, arguments)
    sys.exit(code)


def _leave(code: int) -> NoReturn:
    """End the process with exactly this code.

    Where the interrupt hit code that was compiled from a string (a dataclass being made, while a library is
    imported), `python -m dubber` would end by killing itself with SIGINT, whatever is passed to `sys.exit`.
    """
    sys.stdout.flush()
    sys.stderr.flush()
    os._exit(code)


def _interrupt(signum: int, frame: FrameType | None) -> None:
    """End what is being done.

    Not in the middle of an import: libraries that try what else is installed take any exception for a "no".

    Raises:
        KeyboardInterrupt: Always but then.
    """
    if _is_importing(frame):
        again = threading.Timer(_IMPORT_WAIT_S, _thread.interrupt_main, [signum])
        again.daemon = True
        again.start()
        return
    for stream in (1, 2):
        with suppress(OSError):
            if stat.S_ISCHR(os.fstat(stream).st_mode) and not os.isatty(stream):
                _silence(stream)
    raise KeyboardInterrupt


def _is_importing(frame: FrameType | None) -> bool:
    while frame is not None:
        if frame.f_code.co_filename.startswith("<frozen importlib"):
            return True
        frame = frame.f_back
    return False


def _silence(stream: int) -> None:
    """Let what is said there go nowhere: the terminal is gone, and saying something would be an error."""
    nowhere = os.open(os.devnull, os.O_WRONLY)
    os.dup2(nowhere, stream)
    os.close(nowhere)
