"""A finished dub, as the cache has it: the file, and where its mouths are.

Index letters: N output frames.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from dubber.engine.execute import Run
from dubber.engine.plan import Ref
from dubber.engine.stage import Runtime
from dubber.pipeline import DubPlan
from dubber.types import Bool, FaceTrack, Float64, Mouths, RetimeMap, StoredFile


@dataclass(frozen=True)
class DubbedPerson:
    """One of those who were dubbed.

    Attributes:
        track: The face in the source.
        mouths: What was made; its patches are not looked at.
    """

    track: FaceTrack
    mouths: Mouths


@dataclass(frozen=True)
class FinishedDub:
    """A finished dub and where its mouths are.

    Attributes:
        run: Has the stages.
        plan: The plan that was run.
        file: The finished video.
        retime: Which source frame each output frame shows.
        times_s_N: (N,) when each frame is shown, seconds.
        people: Who was dubbed.
    """

    run: Run
    plan: DubPlan
    file: StoredFile
    retime: RetimeMap
    times_s_N: Float64
    people: tuple[DubbedPerson, ...]

    @property
    def is_dubbed_N(self) -> Bool:
        """(N,) bool, somebody's mouth was made."""
        return np.asarray(np.any([person.mouths.has_patch_N for person in self.people], axis=0), np.bool_)


def finished_dub(dub_plan: DubPlan, runtime: Runtime) -> FinishedDub:
    """Gather what the cache has of a dub.

    Args:
        dub_plan: A plan that was run.
        runtime: Names the cache.

    Raises:
        DubberError: A stage that is no longer in the cache failed when it was made again.
    """
    run = Run(dub_plan.plan, runtime)
    people = tuple(
        DubbedPerson(run.get(performance.track), _known_mouths(run, painting.rendered))
        for performance, painting in zip(dub_plan.performances, dub_plan.paintings, strict=True)
    )
    return FinishedDub(
        run=run,
        plan=dub_plan,
        file=run.get(dub_plan.dubbed).file,
        retime=run.get(dub_plan.retime),
        times_s_N=run.get(dub_plan.timeline).times_s_N,
        people=people,
    )


def _known_mouths(run: Run, rendered: Ref[Mouths]) -> Mouths:
    """Where the mouths are; the patches themselves need not be whole."""
    stored = run.peek(rendered)
    return run.get(rendered) if stored is None else stored
