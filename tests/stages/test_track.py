"""The track stage: who is followed, what is bridged, what counts as usable."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from tempfile import TemporaryDirectory
from types import TracebackType

import numpy as np
import pytest

from dubber.engine.stage import StageContext
from dubber.errors import NoFaceError
from dubber.media.probe import probe
from dubber.ops import portions
from dubber.ops.align import MEAN_FACE_RIGID_N2, apply_similarity, similarity_to_mean_face
from dubber.ops.landmarks import RIGID
from dubber.stages.people import FindPeople, PeopleParams
from dubber.stages.sightings import Sightings
from dubber.stages.track import Track, TrackParams, make_track, short_gaps, yaw_deg
from dubber.tracking.base import FaceObservation, Picture, RgbPicture
from dubber.tracking.regions import landmarks_box
from dubber.types import FaceTrack, Float32, People, SourceFile, UInt8
from tests.conftest import real_clip
from tests.models.face import formula_face

SIZE = (480, 640)


def mesh(x: float = 300, y: float = 200, scale: float = 100, yaw_radians: float = 0.0) -> FaceObservation:
    shape = formula_face().mean_V3
    c, s = np.cos(yaw_radians), np.sin(yaw_radians)
    turned = shape @ np.array([[c, 0, s], [0, 1, 0], [-s, 0, c]], np.float32).T
    landmarks: Float32 = (turned * scale + np.array([x, y, 0])).astype(np.float32)
    return FaceObservation(landmarks_box(landmarks), landmarks, 0.8)


class Script:
    """A tracker that plays what it is given, and counts resets."""

    def __init__(self, frames: list[list[FaceObservation]]) -> None:
        self._frames = iter(frames)
        self.num_resets = 0

    def track(self, picture: Picture, time_s: float) -> list[FaceObservation]:
        return next(self._frames)

    def reset(self) -> None:
        self.num_resets += 1

    def __enter__(self) -> Script:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        pass


def find(frames: list[list[FaceObservation]], folder: Path, cut_at: int = -1) -> tuple[People, Script]:
    script = Script(frames)
    picture: UInt8 = np.tile(np.arange(SIZE[1], dtype=np.uint8)[:, None], (SIZE[0], 1, 3))
    with Sightings(script, folder) as seen:
        for index in range(len(frames)):
            picture = np.invert(picture) if index == cut_at else picture
            seen.add(RgbPicture(picture), index / 25)
        return seen.people(), script


def track(frames: list[list[FaceObservation]], cut_at: int = -1, **params: float) -> tuple[FaceTrack, Script]:
    with TemporaryDirectory() as folder:
        people, script = find(frames, Path(folder), cut_at)
        return make_track(people, 0, TrackParams.model_validate(params), Path(folder)), script


def tracked(context: StageContext, path: Path, num_frames: int) -> FaceTrack:
    """The track of a real clip's first frames."""
    clip = probe(path)
    short, video = replace(clip, pts_T=clip.pts_T[:num_frames]), SourceFile(path, "")
    people = FindPeople(PeopleParams()).run(context, video, short)
    return Track(TrackParams()).run(context, video, short, people)


def test_the_larger_person_is_followed() -> None:
    frames = [[mesh(100, 200, 60), mesh(400, 200, 110)], [mesh(400, 201, 110), mesh(101, 200, 60)]] * 3
    found, _ = track(frames)
    assert found.is_usable_T.all()
    assert (found.boxes_T4[:, 0] > 250).all()
    assert (found.identity_id_T == found.identity_id_T[0]).all()
    assert found.landmarks_TL3.dtype == np.float32


def test_short_gaps_are_bridged_linearly_and_long_ones_are_not() -> None:
    frames = [[mesh(300)], [], [mesh(320)], *([[]] * 6), [mesh(330)]]
    found, _ = track(frames)
    assert found.is_usable_T.tolist() == [True] * 3 + [False] * 6 + [True]
    np.testing.assert_allclose(found.landmarks_TL3[1], mesh(310).landmarks_L3, atol=1e-3)
    assert found.scores_T[1] == pytest.approx(0.4)
    assert (found.identity_id_T[3:9] == -1).all()
    assert (found.landmarks_TL3[3:9] == 0).all()
    np.testing.assert_array_equal(found.similarity_T23[5], np.eye(2, 3))


def test_gaps_over_a_cut_or_at_the_ends_stay() -> None:
    assert list(short_gaps(np.array([0, 2]), np.array([0, 0, 1]), 5)) == []
    assert list(short_gaps(np.array([2]), np.zeros(4, np.int32), 5)) == []
    assert list(short_gaps(np.array([0, 3, 5]), np.zeros(6, np.int32), 1)) == [(4, 5)]


def test_small_and_turned_faces_are_not_usable() -> None:
    frames = [[mesh()], [mesh(yaw_radians=np.deg2rad(50))], [mesh(yaw_radians=np.deg2rad(-60))]]
    found, _ = track(frames)
    assert found.is_usable_T.tolist() == [True, True, False]
    np.testing.assert_allclose(np.abs(yaw_deg(found.landmarks_TL3)), [0, 50, 60], atol=0.5)
    found, _ = track([[mesh(scale=30)], [mesh(scale=60)]])
    assert found.is_usable_T.tolist() == [False, True]


def test_a_cut_starts_a_shot_and_resets_the_tracker() -> None:
    found, script = track([[mesh()]] * 4 + [[mesh(330, 220, 120)]] * 4, cut_at=4)
    assert found.shot_id_T.tolist() == [0] * 4 + [1] * 4
    assert script.num_resets == 1
    # Nothing is smoothed over the cut.
    np.testing.assert_allclose(found.similarity_T23[3], found.similarity_T23[0], atol=1e-4)
    np.testing.assert_allclose(found.similarity_T23[4], found.similarity_T23[7], atol=1e-4)


def test_long_clips_are_put_together_portion_by_portion(monkeypatch: pytest.MonkeyPatch) -> None:
    frames = [
        [] if index in {5, 6, 7, 14, 15} else [mesh(100, 200, 60), mesh(300 + index)] for index in range(20)
    ]
    whole, _ = track(frames)
    monkeypatch.setattr(portions, "PORTION_FRAMES", 3)
    parts, _ = track(frames)
    np.testing.assert_array_equal(parts.landmarks_TL3, whole.landmarks_TL3)
    np.testing.assert_array_equal(parts.similarity_T23, whole.similarity_T23)
    np.testing.assert_allclose(parts.landmarks_TL3[6], mesh(306).landmarks_L3, atol=1e-3)


def test_the_similarity_brings_the_face_onto_the_mean_face() -> None:
    found, _ = track([[mesh(300 + k, 200)] for k in range(9)])
    rigid = apply_similarity(found.similarity_T23, found.landmarks_TL3[:, RIGID, :2])
    expected = apply_similarity(
        similarity_to_mean_face(mesh().landmarks_L3[None]), mesh().landmarks_L3[None, RIGID, :2]
    )
    np.testing.assert_allclose(rigid, np.broadcast_to(expected, rigid.shape), atol=0.05)
    assert np.linalg.norm(rigid - MEAN_FACE_RIGID_N2, axis=-1).mean() < 40


def test_real_footage(context: StageContext) -> None:
    found = tracked(context, real_clip("dev/grid_s1/bbir7s.mp4"), 8)
    assert found.is_usable_T.all()
    assert found.similarity_T23.shape == (8, 2, 3)
    rigid = apply_similarity(found.similarity_T23, found.landmarks_TL3[:, RIGID, :2])
    assert np.linalg.norm(rigid - MEAN_FACE_RIGID_N2, axis=-1).mean() < 8


def test_no_face_says_so(context: StageContext) -> None:
    path = real_clip("hard/no_face.mp4")
    with pytest.raises(NoFaceError) as caught:
        tracked(context, path, 3)
    assert caught.value.where == str(path)
    assert "No face" in caught.value.message


def test_a_face_too_small_says_so(context: StageContext) -> None:
    with pytest.raises(NoFaceError, match=r"only 4\d px wide"):
        tracked(context, real_clip("hard/tiny_face.mp4"), 2)
