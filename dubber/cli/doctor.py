"""`dubber doctor`: is this installation all right?"""

from __future__ import annotations

import dataclasses

import typer

from dubber.cli import options as o
from dubber.cli.console import escape, print_json, say, set_up_logging

_LOOKS = {
    "ok": "[green]ok     [/]",
    "absent": "[dim]absent [/]",
    "warning": "[yellow]warning[/]",
    "problem": "[bold red]problem[/]",
}


def doctor(
    device: o.DeviceOption = "auto",
    cache: o.CacheDir = None,
    weights: o.WeightsDir = None,
    json: o.Json = False,
    verbose: o.Verbose = 0,
) -> None:
    """Try everything that a run relies on; what it prints helps in a bug report.

    Ends with 0, or with the exit code of the first problem.
    """
    set_up_logging(verbosity=verbose, is_quiet=not verbose)
    from dubber.preflight.doctor import examine

    lines = []
    for line in examine(o.build_runtime(cache, weights, device)):
        lines.append(line)
        if not json:
            say(f"{_LOOKS[line.state]}  {line.name}: {escape(line.text)}")
            if line.advice:
                say(f"         [dim]→[/] {escape(line.advice)}")
    code = next((line.exit_code for line in lines if line.state == "problem"), 0)
    if json:
        print_json({"exit_code": code, "lines": [dataclasses.asdict(line) for line in lines]})
    if code:
        raise typer.Exit(code)
