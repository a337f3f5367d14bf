"""What every renderer promises, as checks: dubber's own pass them, and those of others can.

Each check raises `AssertionError` with what was promised and what was found; any test runner shows it.
"""

from __future__ import annotations

import tempfile
import threading
from collections.abc import Callable, Iterator, Sequence
from contextlib import closing, contextmanager
from dataclasses import replace
from itertools import islice
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from dubber.config import DubConfig
from dubber.dubbing import make_runtime
from dubber.engine.execute import Run
from dubber.engine.stage import Runtime, StageContext
from dubber.models.morphable import LinearFaceModel
from dubber.pipeline import DubPlan, plan_dub
from dubber.stages.mouth_geometry import wanted_landmarks
from dubber.stages.mouth_stream import Shown, ShownFootage
from dubber.stages.plugins import find_renderer
from dubber.stages.render_job import make_job
from dubber.stages.renderers import Renderer, RenderJob, make_renderer
from dubber.types import RetimeMap

if TYPE_CHECKING:
    from dubber.script import Script

Make = Callable[[RenderJob], Renderer]
"""Builds the renderer that is checked."""


def check_renderer(
    name: str,
    video: Path | str,
    said: Path | str | Script,
    *,
    runtime: Runtime | None = None,
    num_frames: int = 50,
) -> None:
    """Let a renderer paint the first frames of a dub, in several ways that must come to the same.

    Args:
        name: As `--renderer` takes it.
        video: A person talking.
        said: What the person shall say.
        runtime: Device, cache and weights; see `dubber.make_runtime`.
        num_frames: Frames of the output that are painted.

    Raises:
        AssertionError: It does not keep a promise.
        DubberError: The video cannot be dubbed, or the renderer failed.

    Example:
        >>> from dubber.testing import check_renderer
        >>> check_renderer("exemplar", "talk.mp4", "line.wav", num_frames=12)
    """
    runtime = runtime or make_runtime()
    config = DubConfig().with_overrides({"render.renderer": name})
    said = Path(said) if isinstance(said, str) else said
    own = find_renderer(name)

    def make(job: RenderJob) -> Renderer:
        return make_renderer(name, own, job)

    with _first_frames(plan_dub(config, Path(video), said, runtime=runtime), runtime, num_frames) as given:
        job, footage = given
        check_patches(make, job, footage)
        check_any_beginning(make, job, footage, [job.has_patch_N.size // 3, job.has_patch_N.size // 2])
        check_nothing_to_do(make, job, footage)
        check_early_end(make, job, footage)


def check_patches(make: Make, job: RenderJob, footage: ShownFootage) -> list[Shown]:
    """Every output frame comes back, in order, as it was, with a patch exactly where there is a face.

    Args:
        make: Builds the renderer.
        job: What is painted.
        footage: The frames.

    Returns:
        What was painted.
    """
    made = painted(make, job, footage)
    _expect([each.n for each in made] == list(range(len(job.has_patch_N))), "frames come back in order")
    _expect(_pictures_stay(footage, made), "the source pictures come back as they were")
    for each in made:
        _expect(
            (each.patch is not None) == job.has_patch_N[each.n],
            f"frame {each.n} has a patch if it has a face",
        )
        if each.patch is not None:
            given, wanted = (each.patch.shape, str(each.patch.dtype)), ((*job.patch_size, 3), "uint8")
            _expect(given == wanted, f"the patch of frame {each.n} is {wanted}, not {given}")
    return made


def check_any_beginning(make: Make, job: RenderJob, footage: ShownFootage, firsts: Sequence[int]) -> None:
    """A killed run goes on behind its last finished frames: the bytes do not depend on where one begins."""
    whole = painted(make, job, footage)
    for first in firsts:
        rest = painted(make, job, footage, first)
        _expect(
            [each.n for each in rest] == list(range(first, len(whole))), f"frames from {first} on come back"
        )
        for before, now in zip(whole[first:], rest, strict=True):
            is_same = np.array_equal(np.asarray(before.patch), np.asarray(now.patch))
            _expect(is_same, f"frame {now.n} is the same when painting begins with frame {first}")


def check_nothing_to_do(make: Make, job: RenderJob, footage: ShownFootage) -> None:
    """Where no frame has a face, all pass as they are."""
    nobody = replace(job, has_patch_N=np.zeros_like(job.has_patch_N))
    made = painted(make, nobody, footage)
    _expect(all(each.patch is None for each in made), "frames without a face have no patch")
    _expect(_pictures_stay(footage, made), "frames without a face come back as they were")


def check_early_end(make: Make, job: RenderJob, footage: ShownFootage) -> None:
    """Closed early, it leaves no thread behind."""
    before = set(threading.enumerate())
    with closing(footage.open()) as shown, closing(make(job).paint(shown)) as made:
        next(made)
    left = [thread.name for thread in set(threading.enumerate()) - before if thread.is_alive()]
    _expect(not left, f"no thread is left behind, such as {left}")


def painted(make: Make, job: RenderJob, footage: ShownFootage, first: int = 0) -> list[Shown]:
    """The output frames from `first` on, as a renderer gives them."""
    with closing(footage.open()) as shown, closing(make(job).paint(islice(shown, first, None))) as made:
        return list(made)


def _pictures_stay(footage: ShownFootage, made: Sequence[Shown]) -> bool:
    with closing(footage.open()) as shown:
        return all(
            np.array_equal(before, after)
            for one, other in zip(shown, made, strict=True)
            for before, after in zip(one.frame.planes, other.frame.planes, strict=True)
        )


@contextmanager
def _first_frames(
    dub_plan: DubPlan, runtime: Runtime, num_frames: int
) -> Iterator[tuple[RenderJob, ShownFootage]]:
    """What the renderer of a dub would be given for its first frames."""
    run = Run(dub_plan.plan, runtime)
    video, clip, track = run.get(dub_plan.video), run.get(dub_plan.clip), run.get(dub_plan.track)
    coeffs, expression, retime = (
        run.get(dub_plan.coeffs),
        run.get(dub_plan.expression),
        run.get(dub_plan.retime),
    )
    part = RetimeMap(retime.source_index_N[:num_frames], retime.is_halfway_N[:num_frames])
    model = LinearFaceModel.from_weight(runtime.weights.open("face_model"))
    wanted_NM2 = wanted_landmarks(model, track, coeffs, expression.expression_NK[:num_frames], part)
    with tempfile.TemporaryDirectory() as folder:
        ctx = StageContext(runtime, Path(folder), Path(folder), "render")
        job = make_job(ctx, dub_plan.config.render, video, clip, track, coeffs, part, wanted_NM2)
        yield job, ShownFootage(video, clip, track, part)


def _expect(is_kept: object, promise: str) -> None:
    if not is_kept:
        raise AssertionError(f"not so: {promise}")
