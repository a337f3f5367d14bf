"""Options about where and how loudly a command works."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

if TYPE_CHECKING:
    from dubber.engine.stage import Runtime

_PANEL = "Running"

Overwrite = Annotated[bool, typer.Option("--overwrite", help="Replace an existing output.")]
Strict = Annotated[
    bool, typer.Option("--strict", help="Take warnings before the work as errors.", rich_help_panel=_PANEL)
]
DeviceOption = Annotated[
    str, typer.Option("--device", help="auto, cpu, mps, cuda or cuda:N.", rich_help_panel=_PANEL)
]
Threads = Annotated[
    int,
    typer.Option(
        help="CPU threads of each network; 0: as many as torch likes. A run keeps all cores busy with 1: its "
        "stages work beside each other.",
        min=0,
        rich_help_panel=_PANEL,
    ),
]
CacheDir = Annotated[
    Path | None,
    typer.Option(
        "--cache",
        help="Where intermediates are kept.",
        envvar="DUBBER_CACHE",
        show_default="the user's cache folder",
        rich_help_panel=_PANEL,
    ),
]
WeightsDir = Annotated[
    Path | None,
    typer.Option(
        "--weights",
        help="Folder with weights and their manifest.",
        envvar="DUBBER_WEIGHTS",
        show_default="those that come with dubber",
        rich_help_panel=_PANEL,
    ),
]
Json = Annotated[
    bool, typer.Option("--json", help="Print one JSON document on stdout.", rich_help_panel=_PANEL)
]
Quiet = Annotated[bool, typer.Option("--quiet", "-q", help="Only errors.", rich_help_panel=_PANEL)]
Verbose = Annotated[
    int,
    typer.Option(
        "--verbose", "-v", count=True, help="Say more; twice for even more.", rich_help_panel=_PANEL
    ),
]


def build_runtime(
    cache: Path | None,
    weights: Path | None,
    device: str = "cpu",
    threads: int = 1,
    *,
    is_commercial: bool = False,
) -> Runtime:
    """Turn the running options into a runtime; a run that stands still ends the process.

    Raises:
        ConfigError: `DUBBER_STALL_S` is no time.
        DeviceError: The device does not exist here.
    """
    from dubber.cli.stalled import leave_stalled, stall_limit_s
    from dubber.dubbing import make_runtime

    runtime = make_runtime(
        cache_dir=cache,
        weights_dir=weights,
        device=device,
        threads=threads,
        is_commercial=is_commercial,
    )
    return replace(runtime, stall_limit_s=stall_limit_s(), on_stall=leave_stalled)
