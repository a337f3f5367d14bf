"""A short dub that the tests of this folder look at."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path

import pytest

from dubber import DubConfig, dub, make_runtime
from dubber.engine.stage import Runtime
from dubber.pipeline import DubPlan, plan_dub
from tests.synth import SyntheticClip, make_clip, talking_sound, write_wav


@dataclass(frozen=True)
class Dub:
    """A finished dub.

    Attributes:
        clip: The source, 24 frames.
        line: New speech, 0.8 s longer, so that the footage is retimed.
        runtime: Names the cache that holds all stages.
        plan: The plan that was run.
        replan: The same with other settings, which was not.
    """

    clip: SyntheticClip
    line: Path
    runtime: Runtime
    plan: DubPlan
    replan: Callable[[dict[str, object]], DubPlan]


@pytest.fixture(scope="session")
def finished(tmp_path_factory: pytest.TempPathFactory) -> Dub:
    folder = tmp_path_factory.mktemp("dub")
    clip = make_clip(folder / "talk.mp4", num_frames=24)
    line = write_wav(folder / "line.wav", talking_sound(1.76, seed=5))
    runtime = replace(make_runtime(cache_dir=folder / "cache", device="cpu", threads=1), keeps_all=True)

    def replan(overrides: dict[str, object]) -> DubPlan:
        return plan_dub(DubConfig().with_overrides(overrides), clip.path, line, runtime=runtime)

    dub(clip.path, line, folder / "dubbed.mp4", runtime=runtime)
    return Dub(clip, line, runtime, replan({}), replan)
