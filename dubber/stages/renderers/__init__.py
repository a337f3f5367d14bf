"""The ways of making mouth patches, behind one protocol. Loaded only when a render stage runs.

Whoever writes a renderer finds here all that is needed for it; see docs/howto/own_renderer.md.
"""

from __future__ import annotations

from collections.abc import Callable

from dubber.stages.mouth_stream import Shown
from dubber.stages.plugins import OwnRenderer
from dubber.stages.renderers.base import Renderer, RenderJob
from dubber.stages.renderers.copying import CopyRenderer
from dubber.stages.renderers.crops import FaceCrops
from dubber.stages.renderers.exemplar import ExemplarRenderer
from dubber.stages.renderers.own import PatchRenderer, WatchedRenderer

__all__ = [
    "RENDERERS",
    "FaceCrops",
    "PatchRenderer",
    "RenderJob",
    "Renderer",
    "Shown",
    "make_renderer",
]


def _unet(job: RenderJob) -> Renderer:
    # Only renderers with a network wait for torch.
    from dubber.stages.renderers.unet import UNetRenderer

    return UNetRenderer(job)


def _hybrid(job: RenderJob) -> Renderer:
    from dubber.stages.renderers.hybrid import HybridRenderer

    return HybridRenderer(job)


RENDERERS: dict[str, Callable[[RenderJob], Renderer]] = {
    "exemplar": ExemplarRenderer,
    "hybrid": _hybrid,
    "unet": _unet,
    "copy": CopyRenderer,
}
"""The table of dubber's renderers by name."""


def make_renderer(name: str, own: OwnRenderer | None, job: RenderJob) -> Renderer:
    """Build the user's renderer, or where there is none the named one.

    Raises:
        ConfigError: The user's renderer failed.
        WeightsError: The renderer's network is missing or damaged.
    """
    return RENDERERS[name](job) if own is None else WatchedRenderer(own, job)
