"""Learning the face model: a made world is found again, and what follows the pose is no expression."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from dubber.engine.progress import SilentProgress
from dubber.engine.stage import Runtime
from dubber.errors import ConfigError
from dubber.models.morphable import LinearFaceModel, project_TL2
from dubber.ops import landmarks
from dubber.stages.fit import LIPS
from dubber.training.dataset import plan_clip, read_manifest
from dubber.training.face_model import lips_share, train_face_model, train_from_clips
from dubber.training.procrustes import TrainingTrack, align_faces, align_to
from tests.conftest import real_clip
from tests.models.face import depth_too, formula_face, random_poses


def made_tracks(num_people: int = 6, num_frames: int = 60, seed: int = 0) -> list[TrainingTrack]:
    model = formula_face(num_identity=4, num_expression=5)
    rng = np.random.default_rng(seed)
    tracks = []
    for person in range(num_people):
        identity = rng.normal(size=4).astype(np.float32)
        expression = rng.normal(size=(num_frames, 5)).astype(np.float32)
        rotation, scale, translation = random_poses(num_frames, rng)
        xy = project_TL2(model, identity, expression, rotation, scale, translation)
        z = depth_too(model, identity, expression, rotation, scale)
        tracks.append(TrainingTrack(f"person {person}", np.concatenate([xy, z[..., None]], axis=-1)))
    return tracks


@pytest.fixture(scope="module")
def learned() -> LinearFaceModel:
    """Mirror images double what there is to explain: ten components for five."""
    return train_face_model(made_tracks(), num_identity=8, num_expression=10)


def test_a_made_world_is_explained_by_as_many_components(learned: LinearFaceModel) -> None:
    faces = align_to(made_tracks(seed=1), learned.mean_V3.astype(np.float64), 60)
    assert lips_share(learned, faces) > 0.95
    fewer = replace(learned, expression_KV3=learned.expression_KV3[:2])
    assert lips_share(fewer, faces) < lips_share(learned, faces) - 0.1
    assert learned.expression_KV3.shape == (10, 468, 3)
    assert learned.identity_KV3.shape == (8, 468, 3)


def test_the_mean_face_is_upright_symmetric_and_one_unit_wide() -> None:
    faces = align_faces(made_tracks(), 60)
    mean = faces.mean_L3
    np.testing.assert_allclose(mean[landmarks.RIGID].mean(axis=0), 0, atol=1e-9)
    np.testing.assert_allclose(np.linalg.norm(mean[33] - mean[263]), 1)
    np.testing.assert_array_equal(faces.mirror_L[faces.mirror_L], np.arange(468))
    difference = mean[faces.mirror_L] * [-1, 1, 1] - mean
    np.testing.assert_allclose(difference, np.broadcast_to(difference[0], difference.shape), atol=1e-6)
    assert mean[152, 1] > mean[landmarks.NOSE_TIP, 1] > mean[33, 1]
    assert mean[landmarks.NOSE_TIP, 2] < mean[33, 2]


def test_opening_is_positive_and_one_standard_deviation_long(learned: LinearFaceModel) -> None:
    basis = learned.expression_KV3
    opening = basis[:, landmarks.LOWER_INNER_LIP, 1] - basis[:, landmarks.UPPER_INNER_LIP, 1]
    assert (opening >= 0).all()
    faces = align_to(made_tracks(), learned.mean_V3.astype(np.float64), 60)
    people = [faces.shape_TL3[faces.clip_T == person] for person in range(6)]
    deviations = np.concatenate([shapes - shapes.mean(axis=0) for shapes in people])
    # What the components, one standard deviation each, add up to is as large as what was seen.
    seen, modelled = (deviations[:, LIPS] ** 2).sum(axis=(1, 2)).mean(), (basis[:, LIPS] ** 2).sum()
    assert modelled == pytest.approx(seen, rel=0.35)


def test_no_frames() -> None:
    with pytest.raises(ValueError, match="no usable frames"):
        train_face_model([TrainingTrack("nobody", np.zeros((0, 468, 3), np.float32))])


def test_manifest(tmp_path: Path) -> None:
    path = tmp_path / "clips.csv"
    path.write_text("file,split,speaker,note\na.mp4,train,ann,x\nb.mp4,dev,bob,\n")
    (row,) = read_manifest(path)
    assert row.path == tmp_path / "a.mp4"
    assert row.speaker == "ann"
    assert len(read_manifest(path, None)) == 2
    with pytest.raises(ConfigError, match="split 'test'"):
        read_manifest(path, "test")
    path.write_text("file,split\na.mp4,train\n")
    with pytest.raises(ConfigError, match="speaker"):
        read_manifest(path)
    with pytest.raises(ConfigError, match="cannot be read"):
        read_manifest(tmp_path / "none.csv")


def test_from_clips_to_weights(runtime: Runtime, tmp_path: Path) -> None:
    clip = real_clip("train/radio10.mp4")
    manifest = tmp_path / "clips.csv"
    manifest.write_text(f"file,split,speaker\n{clip},train,one\n")
    measures = train_from_clips(manifest, tmp_path / "out", runtime, SilentProgress())
    assert measures["train_speakers"] == 1
    assert measures["train_frames"] > 50
    assert (tmp_path / "out" / "face_model.safetensors").stat().st_size < 2e6
    planned = plan_clip(clip, runtime)
    assert planned.track.index > planned.clip.index
