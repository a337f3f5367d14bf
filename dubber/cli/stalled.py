"""Leaving a run that stands still: nothing else can be done, nothing is lost (`dubber.engine.watchdog`)."""

from __future__ import annotations

import math
import os
import signal
import sys
from contextlib import suppress
from typing import NoReturn

from dubber.cli.console import report_error
from dubber.engine.watchdog import STALL_LIMIT_S, children
from dubber.errors import ConfigError, MediaError

LIMIT_VARIABLE = "DUBBER_STALL_S"


def stall_limit_s() -> float:
    """Seconds of standing still that end a run: `DUBBER_STALL_S`, 0 for none, else the usual.

    Raises:
        ConfigError: The variable holds something else.
    """
    text = os.environ.get(LIMIT_VARIABLE, "")
    if not text:
        return STALL_LIMIT_S
    try:
        limit_s = float(text)
    except ValueError:
        limit_s = math.nan
    if not 0 <= limit_s < math.inf:
        raise ConfigError(f"'{text}' is no time in seconds.", where=LIMIT_VARIABLE, advice="0 turns it off.")
    return limit_s


def leave_stalled(error: MediaError) -> NoReturn:
    """Tell what is wrong, and end this process and those it started as if killed."""
    code = report_error(error, sys.argv[1:])
    for child in children():
        with suppress(OSError, ValueError):
            os.kill(int(child.name), signal.SIGKILL)
    sys.stdout.flush()
    sys.stderr.flush()
    os._exit(code)
