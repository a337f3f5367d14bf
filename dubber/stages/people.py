"""people: every face of everybody, and who is who (method.md section 3)."""

from __future__ import annotations

from contextlib import closing
from typing import TYPE_CHECKING, Any

from pydantic import Field

from dubber.engine.stage import Params, Stage, StageContext
from dubber.tracking.backends import TrackerName, make_tracker, model_files
from dubber.types import Clip, People, SourceFile

if TYPE_CHECKING:
    from dubber.engine.plan import Plan, Ref

PREFETCHED_FRAMES = 4
"""Frames decoded ahead of the tracker."""


class PeopleParams(Params):
    """How faces are found.

    Attributes:
        backend: The tracker.
        max_side_px: New faces are looked for in pictures whose longer side is at most this.
    """

    backend: TrackerName = "mediapipe"
    max_side_px: int = Field(640, ge=64)


class FindPeople(Stage[People]):
    """Look at every frame once: all faces, the shots, and whose face is whose."""

    name = "people"
    version = 4
    output_type = People
    params: PeopleParams

    def run(self, ctx: StageContext, *inputs: Any) -> People:
        """Find them.

        Args:
            ctx: Is told of each frame.
            *inputs: `SourceFile` of the video, its `Clip`, and a `SourceFile` for each of the tracker's
                `model_files`.

        Returns:
            The people; nobody, where no frame has a face.
        """
        from dubber.media.flow import prefetch
        from dubber.media.reader import read_frames
        from dubber.stages.sightings import Sightings

        video, clip, models = _inputs(*inputs)
        with (
            ctx.frames(clip.num_frames),
            make_tracker(
                self.params.backend,
                look_side_px=self.params.max_side_px,
                models=[model.path for model in models],
            ) as tracker,
            Sightings(tracker, ctx.scratch_dir()) as seen,
            closing(prefetch(read_frames(video.path, clip), PREFETCHED_FRAMES)) as frames,
        ):
            for frame, time_s in zip(frames, clip.times_s_T, strict=True):
                seen.add(frame, float(time_s))
                ctx.advance()
            return seen.people()


def plan_people(plan: Plan, params: PeopleParams, video: Ref[SourceFile], clip: Ref[Clip]) -> Ref[People]:
    """Plan the stage with all that it reads.

    Raises:
        WeightsError: The tracker's files are missing, or their licence does not allow the use.
    """
    from dubber.engine.user_models import check_commercial_use

    paths = model_files(params.backend)
    models = [plan.source(path) for path in paths]
    if plan.weights.is_commercial:
        for path, model in zip(paths, models, strict=True):
            check_commercial_use(path, model.key, advice="The tracker `mediapipe` may be used: `--tracker`.")
    return plan.add(FindPeople(params), video, clip, *models)


def _inputs(
    video: SourceFile, clip: Clip, *models: SourceFile
) -> tuple[SourceFile, Clip, tuple[SourceFile, ...]]:
    return video, clip, models
