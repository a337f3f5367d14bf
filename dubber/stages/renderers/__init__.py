"""The ways of making mouth patches, behind one protocol. Loaded only when a render stage runs."""

from __future__ import annotations

from collections.abc import Callable

from dubber.stages.renderers.base import Renderer, RenderJob
from dubber.stages.renderers.copying import CopyRenderer
from dubber.stages.renderers.exemplar import ExemplarRenderer


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
"""The table of renderers by name."""
