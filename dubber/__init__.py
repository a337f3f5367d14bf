"""dubber: give it a talking clip and new speech; it re-makes the mouth in the original footage.

from dubber import DubConfig, dub

result = dub("talk.mp4", "line.wav", "dubbed.mp4")
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from dubber.config import DubConfig as DubConfig
    from dubber.dubbing import dub as dub
    from dubber.dubbing import make_runtime as make_runtime
    from dubber.errors import DubberError as DubberError
    from dubber.outcome import DubResult as DubResult

__version__ = "0.1.0"
__all__ = ["DubConfig", "DubResult", "DubberError", "__version__", "dub", "make_runtime"]

_HOMES = {
    "DubConfig": "dubber.config",
    "DubberError": "dubber.errors",
    "DubResult": "dubber.outcome",
    "dub": "dubber.dubbing",
    "make_runtime": "dubber.dubbing",
}


def __getattr__(name: str) -> Any:
    """Import the API on first use, so that `dubber --help` need not wait for it."""
    if name in _HOMES:
        return getattr(importlib.import_module(_HOMES[name]), name)
    raise AttributeError(f"module 'dubber' has no attribute '{name}'")
