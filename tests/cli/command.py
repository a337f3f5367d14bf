"""The command line as tests call it."""

from __future__ import annotations

import io
import os
import signal
import sys
from contextlib import redirect_stderr, redirect_stdout
from dataclasses import dataclass
from pathlib import Path
from unittest.mock import patch

from dubber.cli.app import main


@dataclass(frozen=True)
class Called:
    """How a command ended, under the names that `subprocess.CompletedProcess` has."""

    returncode: int
    stdout: str
    stderr: str


def dubber(*arguments: str | Path, env: dict[str, str] | None = None) -> Called:
    """Run the command within this process, from its arguments to its exit code, as a user would.

    A process of its own costs a second. Tests that ask what a process loads, or how it dies, start one.
    """
    argv = ["dubber", *map(str, arguments)]
    stdout, stderr = io.StringIO(), io.StringIO()
    handlers = {signum: signal.getsignal(signum) for signum in (signal.SIGTERM, signal.SIGHUP)}
    environment = patch.dict(os.environ, {"COLUMNS": "120", "TERMINAL_WIDTH": "120", **(env or {})})
    try:
        with environment, patch.object(sys, "argv", argv), redirect_stdout(stdout), redirect_stderr(stderr):
            main()
    except SystemExit as exit_:
        code = exit_.code
    finally:
        for signum, handler in handlers.items():
            signal.signal(signum, handler)
    return Called(
        code if isinstance(code, int) else int(code is not None), stdout.getvalue(), stderr.getvalue()
    )
