"""How long a run will take, about.

The table is measured: processor time of each stage on clips of 1280 x 720 and 1920 x 1080 pixels with 30 s of
speech, two cores, AMD EPYC (benchmarks/baseline.json). Another machine is compared with that one by a short
piece of fixed work.
"""

from __future__ import annotations

import os
import time
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from dubber.config import DubConfig
    from dubber.media.survey import VideoFacts
    from dubber.preflight.faces import FaceFacts
    from dubber.preflight.length import LengthFacts


@dataclass(frozen=True)
class _Cost:
    """Processor time of a stage.

    Attributes:
        once_s: Whatever the length.
        frame_ms: Per frame.
        megapixel_ms: Per frame and 10^6 of its pixels.
        is_of_source: Frames of the video count, not those of the output.
        needs_face: Only frames with a usable face count.
    """

    once_s: float = 0.0
    frame_ms: float = 0.0
    megapixel_ms: float = 0.0
    is_of_source: bool = False
    needs_face: bool = False


_COSTS = {
    "demux": _Cost(megapixel_ms=1.4, is_of_source=True),
    "people": _Cost(frame_ms=7.9, megapixel_ms=4.4, is_of_source=True),
    "fit": _Cost(frame_ms=0.65, is_of_source=True),
    "own_speech": _Cost(frame_ms=0.15, is_of_source=True),
    "translate": _Cost(once_s=1.0, frame_ms=1.1),
    "check": _Cost(once_s=1.5),
    "render": _Cost(once_s=1.0, frame_ms=13.0, megapixel_ms=2.9, needs_face=True),
    "teeth": _Cost(frame_ms=2.5, needs_face=True),
    "deflicker": _Cost(frame_ms=3.3, needs_face=True),
    "blend": _Cost(frame_ms=3.6, megapixel_ms=1.4, needs_face=True),
    "remux": _Cost(megapixel_ms=12.9),
}

_OF_HYBRID = {"exemplar": 0.43, "copy": 0.1}
"""What other renderers take of the hybrid one's time."""

_START_S = 3.0
"""Loading Python, torch and the rest."""

_CACHED_S = 1.0

_PARALLEL = 1.45
"""How many cores a run keeps busy where it has two or more."""

_REFERENCE_S = 0.018
"""Processor time of `_fixed_work` on the machine of the table."""


@dataclass(frozen=True)
class CostFacts:
    """What a run will cost.

    Attributes:
        seconds: Wall-clock time, about.
        cpu_s: Processor time, about.
        speed: This machine's, the table's being 1.
        stages_to_run: Names of the stages that are not in the cache.
        num_cached: Stages whose result is.
        cache_bytes: What the cache will grow by, and what lies there meanwhile.
        output_bytes: Size of the output.
        free_bytes: Room on the cache's disk; None where nobody can tell.
    """

    seconds: float
    cpu_s: float
    speed: float
    stages_to_run: tuple[str, ...]
    num_cached: int
    cache_bytes: int
    output_bytes: int
    free_bytes: int | None


def run_seconds(
    stages: Sequence[str],
    footage: VideoFacts,
    length: LengthFacts,
    faces: FaceFacts | None,
    config: DubConfig,
    speed: float,
) -> tuple[float, float]:
    """Estimate a run.

    Args:
        stages: The names, as `Stage.name`, of the stages to run; again for each further speaker.
        footage: The video.
        length: The output's length.
        faces: How much of it can be dubbed; None: all.
        config: Which renderer, and whether it learns.
        speed: See `machine_speed`.

    Returns:
        Wall-clock seconds and processor seconds.
    """
    if not stages:
        return _CACHED_S, _CACHED_S
    share = length.asked_share * (1.0 if faces is None or not faces.num_sampled else faces.usable_share)
    megapixels = footage.num_pixels / 1e6
    cpu_s = 0.0
    for name in stages:
        cost = _COSTS.get(name, _Cost())
        frames = footage.num_frames if cost.is_of_source else length.num_frames
        frame_ms = (cost.frame_ms + cost.megapixel_ms * megapixels) * (share if cost.needs_face else 1.0)
        factor = _OF_HYBRID.get(config.render.renderer, 1.0) if name == "render" else 1.0
        cpu_s += factor * (cost.once_s + frames * frame_ms / 1e3)
    cpu_s /= speed
    learning_s = 60 * _minutes(config, footage) * stages.count("adapt")
    wall_s = _START_S / speed + learning_s + cpu_s / min(os.cpu_count() or 1, _PARALLEL)
    return wall_s, cpu_s + learning_s


def _minutes(config: DubConfig, footage: VideoFacts) -> float:
    """Of learning the person: ten seconds for each one of footage where the user leaves it open."""
    minutes = config.adapt.minutes
    return min(max(footage.duration_s / 6, 1.0), 10.0) if minutes == "auto" else minutes


def machine_speed() -> float:
    """How fast a core of this machine is; 1 for the table's."""
    from dubber.engine.device import library_threads

    with library_threads(1):
        return _REFERENCE_S / min(_fixed_work() for _ in range(4))


def _fixed_work() -> float:
    """Processor seconds of a little of what a run does: products of matrices, and pictures made smaller."""
    import cv2
    import numpy as np

    matrix = np.random.default_rng(0).standard_normal((384, 384), np.float32)
    picture = np.full((1080, 1920, 3), 99, np.uint8)
    started = time.thread_time()
    for _ in range(8):
        matrix @ matrix
    for _ in range(4):
        small = cv2.resize(picture, (960, 540), interpolation=cv2.INTER_AREA)
        cv2.GaussianBlur(small, (0, 0), 2.0)
    return time.thread_time() - started
