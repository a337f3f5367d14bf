"""dubber: give it a talking clip and new speech; it re-makes the mouth in the original footage.

Example:
    >>> from dubber import DubConfig, dub
    >>> config = DubConfig().with_overrides({"render.renderer": "copy"})
    >>> result = dub("talk.mp4", "line.wav", "dubbed.mp4", config=config)
    >>> result.output.name, result.num_frames, result.warnings
    ('dubbed.mp4', 24, ())

Every name here is imported on first use. `dubber.errors` holds what can go wrong, `dubber.script` makes
scripts without a file, `dubber.testing` checks a renderer of one's own.
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from dubber.config import DubConfig as DubConfig
    from dubber.dubbing import dub as dub
    from dubber.dubbing import make_runtime as make_runtime
    from dubber.engine.progress import Progress as Progress
    from dubber.engine.stage import Runtime as Runtime
    from dubber.errors import DubberError as DubberError
    from dubber.frames import DubbedFrame as DubbedFrame
    from dubber.frames import dubbed_frames as dubbed_frames
    from dubber.outcome import DubResult as DubResult
    from dubber.outcome import PassedThrough as PassedThrough
    from dubber.provenance import Provenance as Provenance
    from dubber.script import Line as Line
    from dubber.script import Script as Script
    from dubber.script import read_script as read_script
    from dubber.stages.plugins import register_renderer as register_renderer
    from dubber.stages.renderers import PatchRenderer as PatchRenderer
    from dubber.stages.renderers import Renderer as Renderer
    from dubber.stages.renderers import RenderJob as RenderJob

__version__ = "0.1.0"

_HOMES = {
    "DubConfig": "dubber.config",
    "DubResult": "dubber.outcome",
    "DubbedFrame": "dubber.frames",
    "DubberError": "dubber.errors",
    "Line": "dubber.script",
    "PassedThrough": "dubber.outcome",
    "PatchRenderer": "dubber.stages.renderers",
    "Progress": "dubber.engine.progress",
    "Provenance": "dubber.provenance",
    "RenderJob": "dubber.stages.renderers",
    "Renderer": "dubber.stages.renderers",
    "Runtime": "dubber.engine.stage",
    "Script": "dubber.script",
    "dub": "dubber.dubbing",
    "dubbed_frames": "dubber.frames",
    "make_runtime": "dubber.dubbing",
    "read_script": "dubber.script",
    "register_renderer": "dubber.stages.plugins",
}

__all__ = [
    "DubConfig",
    "DubResult",
    "DubbedFrame",
    "DubberError",
    "Line",
    "PassedThrough",
    "PatchRenderer",
    "Progress",
    "Provenance",
    "RenderJob",
    "Renderer",
    "Runtime",
    "Script",
    "__version__",
    "dub",
    "dubbed_frames",
    "make_runtime",
    "read_script",
    "register_renderer",
]


def __getattr__(name: str) -> Any:
    """Import the API on first use, so that `dubber --help` need not wait for it."""
    if name in _HOMES:
        return getattr(importlib.import_module(_HOMES[name]), name)
    raise AttributeError(f"module 'dubber' has no attribute '{name}'")


def __dir__() -> list[str]:
    """What completion offers: the API, imported or not."""
    return sorted({*globals(), *__all__})
