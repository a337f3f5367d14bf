"""Learning the face model: a made world is found again, and what follows the pose is no expression."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from dubber.engine.progress import SilentProgress
from dubber.engine.stage import Runtime
from dubber.errors import ConfigError
from dubber.models.morphable import EYES, IBUG68, NOSE_TIP, LinearFaceModel, project_TL2
from dubber.ops import landmarks
from dubber.stages.fit import LIPS
from dubber.training.dataset import plan_clip, read_manifest
from dubber.training.face_measures import lips_share, pose_leakage
from dubber.training.face_model import held_out_measures, train_face_model, train_from_clips
from dubber.training.procrustes import POSE_POINTS, TrainingTrack, align_faces, align_to
from tests.conftest import real_clip
from tests.models.face import depth_too, formula_face, random_poses


def posed_face() -> LinearFaceModel:
    """A face whose mesh deforms with the pose, and alike in a mirror."""
    model = formula_face(num_identity=4, num_expression=5)
    mean = model.mean_V3.astype(np.float64)
    below = np.maximum(mean[:, 1], 0)
    below[POSE_POINTS] = 0
    zero = np.zeros_like(below)
    nod = np.stack([zero, 0.4 * (below > 0.3), zero], axis=-1)
    turn = np.stack([0.3 * below, zero, zero], axis=-1)
    pose = np.stack([nod, turn, 0 * nod, 0 * nod, 0 * nod])
    return replace(model, pose_PV3=pose.astype(np.float32))


def made_tracks(
    num_people: int = 6, num_frames: int = 60, seed: int = 0, model: LinearFaceModel | None = None
) -> list[TrainingTrack]:
    model = model or formula_face(num_identity=4, num_expression=5)
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


@pytest.mark.slow
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


def test_every_named_set_and_the_mesh_are_there(learned: LinearFaceModel) -> None:
    learned.check()
    assert len(learned.landmark_sets[IBUG68]) == 68
    assert len(learned.landmark_sets[EYES]) == 12
    np.testing.assert_array_equal(learned.landmark_sets[NOSE_TIP], [landmarks.NOSE_TIP])
    assert learned.triangles_F3.shape == (852, 3)


def test_what_the_mesh_does_with_the_pose_is_found_and_is_no_expression() -> None:
    truth = posed_face()
    model = train_face_model(made_tracks(num_people=8, model=truth), num_identity=8, num_expression=10)
    low = truth.mean_V3[:, 1] > 0.3
    for found, true in zip(model.pose_PV3[:2, low], truth.pose_PV3[:2, low], strict=True):
        assert np.corrcoef(found.ravel(), true.ravel())[0, 1] > 0.9
        assert np.linalg.norm(found - true) < 0.5 * np.linalg.norm(true)


def test_opening_the_mouth_while_nodding_is_no_deformation_by_the_pose() -> None:
    rng = np.random.default_rng(2)
    model = formula_face(num_identity=4, num_expression=1)
    basis = np.zeros_like(model.expression_KV3)
    basis[0, landmarks.MOUTH_INNER[5:], 1] = 0.1
    model = replace(model, expression_KV3=basis)
    tracks = []
    for person in range(4):
        rotation, scale, translation = random_poses(80, rng)
        opening = (rotation[:, :1] * 10 + rng.normal(0, 0.3, (80, 1))).astype(np.float32)
        identity = rng.normal(size=4).astype(np.float32)
        xy = project_TL2(model, identity, opening, rotation, scale, translation)
        z = depth_too(model, identity, opening, rotation, scale)
        tracks.append(TrainingTrack(f"person {person}", np.concatenate([xy, z[..., None]], axis=-1)))
    learned = train_face_model(tracks, num_identity=4, num_expression=1)
    nod_by_10_deg = learned.pose_PV3[0] * np.sin(np.deg2rad(10))
    opened = nod_by_10_deg[landmarks.LOWER_INNER_LIP, 1] - nod_by_10_deg[landmarks.UPPER_INNER_LIP, 1]
    assert abs(opened) < 0.01, "the regression without the opening finds 0.17"


def test_pose_leakage_tells_what_follows_the_pose() -> None:
    rng = np.random.default_rng(1)
    rotations = [rng.normal(0, 0.1, (4000, 3)) + offset for offset in (0, 1)]
    free = [rng.normal(size=(4000, 2)) for _ in rotations]
    assert pose_leakage(free, rotations).max() < 0.02
    bound = [
        np.stack([rows[:, 1], rows[:, 0] * 0 + noise[:, 0]], axis=1)
        for rows, noise in zip(rotations, free, strict=True)
    ]
    # A normal variable's 5th and 95th percentile lie 3.29 standard deviations apart.
    np.testing.assert_allclose(pose_leakage(bound, rotations), [[0, 0], [1 / 3.29, 0]], atol=0.02)


def test_held_out_people_measure_the_model() -> None:
    measures = held_out_measures(made_tracks(num_people=10, num_frames=40, model=posed_face()))
    assert measures["held_out_lips_share"] > 0.9
    assert 0 < measures["held_out_pose_leakage"] <= measures["held_out_pose_leakage_worst"]
    assert measures["turned_mesh_leakage"] < 0.05
    assert held_out_measures(made_tracks(num_people=4)) == {}


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
