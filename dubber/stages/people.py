"""people: every face of everybody, and who is who (method.md section 3)."""

from __future__ import annotations

from array import array
from contextlib import closing
from pathlib import Path
from typing import TYPE_CHECKING, Any
from uuid import uuid4

from pydantic import Field

from dubber.engine.stage import Params, Stage, StageContext
from dubber.tracking.backends import TrackerName, make_tracker, model_files
from dubber.types import Clip, People, SourceFile

if TYPE_CHECKING:
    from types import TracebackType

    from dubber.engine.plan import Plan, Ref
    from dubber.tracking.base import FaceTracker, Picture
    from dubber.types import Float32, Int32

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
    version = 1
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
        WeightsError: The tracker's files are missing.
    """
    models = [plan.source(path) for path in model_files(params.backend)]
    return plan.add(FindPeople(params), video, clip, *models)


def _inputs(
    video: SourceFile, clip: Clip, *models: SourceFile
) -> tuple[SourceFile, Clip, tuple[SourceFile, ...]]:
    return video, clip, models


class Sightings:
    """All that was seen of all people, gathered while frames flow by; the landmarks wait in a file.

    A context manager: at its end the file is removed.

    Args:
        tracker: Finds the faces.
        folder: Where there is room for the landmarks, twice 6 KB per face and frame.
    """

    def __init__(self, tracker: FaceTracker, folder: Path) -> None:
        from dubber.ops.shots import CutDetector
        from dubber.tracking.identity import FaceLinker

        self._folder = folder
        self._path = folder / f"seen-{uuid4().hex}.landmarks"
        self._file = self._path.open("xb")
        self._tracker = tracker
        self._cuts = CutDetector()
        self._linker = FaceLinker()
        self._shot_ids = array("i")
        # Of every sighting: frame, person, box and score.
        self._frames, self._people = array("i"), array("i")
        self._boxes, self._scores = array("f"), array("f")

    def __enter__(self) -> Sightings:
        """Be the one that removes the file."""
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Remove the file."""
        self._file.close()
        self._path.unlink()

    def add(self, picture: Picture, time_s: float) -> None:
        """Look at the next frame.

        Args:
            picture: The frame.
            time_s: When it is shown.
        """
        from dubber.ops.shots import SMALL_SIZE

        index = len(self._shot_ids)
        is_cut = self._cuts.is_cut(picture.rgb(SMALL_SIZE))
        if is_cut:
            self._tracker.reset()
        self._shot_ids.append((self._shot_ids[-1] if self._shot_ids else 0) + int(is_cut))
        observations = self._tracker.track(picture, time_s)
        self._people.extend(self._linker.link(observations, index, self._shot_ids[-1]))
        for observation in observations:
            self._frames.append(index)
            self._boxes.extend(observation.box_4.tolist())
            self._scores.append(observation.score)
            self._file.write(observation.landmarks_L3.tobytes())

    def people(self) -> People:
        """Who was seen. The landmarks are mapped from a file in the folder, of no worth afterwards."""
        import numpy as np

        boxes_S4 = np.array(self._boxes, np.float32).reshape(-1, 4)
        person_S, num_people = largest_first(np.array(self._people, np.int32), boxes_S4)
        return People(
            frames_S=np.array(self._frames, np.int32),
            person_S=person_S,
            boxes_S4=boxes_S4,
            scores_S=np.array(self._scores, np.float32),
            landmarks_SL3=self._landmarks(),
            shot_id_T=np.array(self._shot_ids, np.int32),
            is_mixed_T=np.zeros(len(self._shot_ids), np.bool_),
            look_rows_PA=np.zeros((num_people, 0), np.int32),
            looks_PAD=np.zeros((num_people, 0, 0), np.float32),
            embedding_PE=np.zeros((num_people, 512), np.float32),
        )

    def _landmarks(self) -> Float32:
        """(S, 468, 3) float32, mapped."""
        import numpy as np

        from dubber.engine.mapped import scratch_array
        from dubber.ops.portions import portions
        from dubber.types import NUM_TRACKER_LANDMARKS

        self._file.flush()
        shape = (len(self._scores), NUM_TRACKER_LANDMARKS, 3)
        landmarks_SL3 = scratch_array(self._folder / f"{uuid4().hex}.landmarks", shape, np.float32)
        with self._path.open("rb") as file:
            for part in portions(len(landmarks_SL3)):
                numbers = np.fromfile(file, np.float32, landmarks_SL3[part].size)
                landmarks_SL3[part] = numbers.reshape(landmarks_SL3[part].shape)
        return landmarks_SL3


def largest_first(label_S: Int32, boxes_S4: Float32) -> tuple[Int32, int]:
    """Number people by the area of their faces, summed over all sightings.

    Args:
        label_S: (S,) who, by any numbers; where areas are equal, the smaller number comes first.
        boxes_S4: (S, 4) px.

    Returns:
        (S,) int32 numbers from 0, and how many people there are.
    """
    import numpy as np

    labels_P, compact_S = np.unique(label_S, return_inverse=True)
    area_S = (boxes_S4[:, 2:] - boxes_S4[:, :2]).astype(np.float64).prod(axis=1)
    area_P = np.bincount(compact_S, area_S, len(labels_P))
    number_P = np.empty(len(labels_P), np.int32)
    number_P[np.argsort(-area_P, kind="stable")] = np.arange(len(labels_P))
    return number_P[compact_S], len(labels_P)
