"""Published face models, each in its own layout, come into our convention with their geometry unchanged."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from dubber.engine.stage import Runtime, StageContext
from dubber.engine.weights import WeightsFolder
from dubber.errors import ConfigError, DubberError, OutputExistsError, WeightsError
from dubber.models.morphable import (
    CONTOUR_TRACKER,
    EYES,
    IBUG68,
    MOUTH_JAW,
    NO_VERTEX,
    NOSE_TIP,
    RIGID,
    TRACKER,
    TRACKER_VERTICES,
    LinearFaceModel,
    project_TL2,
)
from dubber.ops import landmarks
from dubber.stages.fit import Fit, FitParams
from dubber.stages.people import FindPeople, PeopleParams
from dubber.stages.track import Track, TrackParams
from dubber.training.face_files import (
    bfm2009,
    bfm2017,
    matlab_child,
    read_face_file,
    read_landmarks,
    to_linear_face_model,
)
from dubber.training.face_import import import_face_model, tracker_mean_face
from dubber.types import FaceTrack
from tests.conftest import real_clip, real_model
from tests.models.face import depth_too, random_poses
from tests.training.published import Truth, make_truth, write_bfm2009, write_bfm2017, write_ict


def imported(path: Path, **options: object) -> LinearFaceModel:
    return to_linear_face_model(read_face_file(path, **options), tracker_mean_face())  # type: ignore[arg-type]


def assert_is(model: LinearFaceModel, truth: Truth) -> None:
    np.testing.assert_allclose(model.mean_V3, truth.mean_V3, atol=2e-4)
    np.testing.assert_allclose(model.identity_KV3, truth.identity_KV3, atol=2e-4)
    np.testing.assert_allclose(model.expression_KV3, truth.expression_KV3, atol=2e-4)
    np.testing.assert_allclose(model.identity_std_K, truth.identity_std_K, rtol=1e-5)
    np.testing.assert_allclose(model.expression_std_K, truth.expression_std_K, rtol=1e-5)
    every = np.arange(len(truth.mean_V3))
    np.testing.assert_array_equal(model.landmark_sets[TRACKER], every)
    np.testing.assert_array_equal(model.landmark_sets[TRACKER_VERTICES], every)
    np.testing.assert_array_equal(model.landmark_sets[MOUTH_JAW], landmarks.MOUTH_JAW)
    np.testing.assert_array_equal(model.landmark_sets[RIGID], landmarks.RIGID)
    np.testing.assert_array_equal(model.landmark_sets[IBUG68], landmarks.IBUG68)
    np.testing.assert_array_equal(model.landmark_sets[EYES], landmarks.IBUG68[36:48])
    np.testing.assert_array_equal(model.landmark_sets[NOSE_TIP], [landmarks.NOSE_TIP])
    np.testing.assert_array_equal(
        sorted(map(sorted, model.triangles_F3.tolist())),
        sorted(map(sorted, landmarks.tracker_triangles().tolist())),
    )


def test_ict_facekit(tmp_path: Path) -> None:
    truth = make_truth(units=9.0)
    truth = replace(
        truth,
        identity_std_K=np.ones(3),
        expression_std_K=np.full(4, 12**-0.5),
        expression_KV3=truth.expression_KV3 * 12**-0.5,
    )
    write_ict(tmp_path, replace(truth, expression_KV3=truth.expression_KV3 * 12**0.5))
    model = imported(tmp_path, num_expression=0)
    assert_is(model, truth)
    assert len(model.contour_JC) == 0


def test_ict_expressions_become_orthogonal_components(tmp_path: Path) -> None:
    truth = make_truth(units=9.0)
    write_ict(tmp_path, truth)
    deltas = truth.expression_KV3.reshape(4, -1)
    model = imported(tmp_path)
    flat = model.expression_KV3.reshape(4, -1).astype(np.float64)
    gram = flat @ flat.T
    np.testing.assert_allclose(gram - np.diag(np.diag(gram)), 0, atol=1e-4 * gram.max())
    assert (np.diff(np.diag(gram)) < 0).all()
    # Weights that are independent and even over 0..1 have this covariance.
    np.testing.assert_allclose(flat.T @ flat, deltas.T @ deltas / 12, atol=2e-5)
    # The file's own coefficients are lengths in its units.
    np.testing.assert_allclose(model.expression_std_K, np.sqrt(np.diag(gram)) * truth.units, rtol=1e-3)
    fewer = imported(tmp_path, num_expression=2)
    np.testing.assert_allclose(fewer.expression_KV3, model.expression_KV3[:2], atol=1e-6)


@pytest.mark.parametrize("expressions", ["3ddfa", "guo"])
def test_bfm_2009(tmp_path: Path, expressions: str) -> None:
    truth = make_truth(units=90000.0)
    write_bfm2009(tmp_path, truth, expressions)
    model = imported(tmp_path)
    assert_is(model, truth)
    contour = landmarks.IBUG68[:17]
    np.testing.assert_array_equal(model.landmark_sets[CONTOUR_TRACKER], contour)
    assert model.contour_JC.shape == (17, 3)
    np.testing.assert_array_equal(model.contour_JC[0], [contour[0], NO_VERTEX, NO_VERTEX])
    np.testing.assert_array_equal(model.contour_JC[2], contour[2] + np.arange(3))


def test_bfm_2009_may_lack_contours_and_be_cut(tmp_path: Path) -> None:
    truth = make_truth(units=90000.0)
    write_bfm2009(tmp_path, truth, has_contour=False)
    model = imported(tmp_path, num_expression=2)
    assert len(model.contour_JC) == 0 == len(model.landmark_sets[CONTOUR_TRACKER])
    assert_is(
        model,
        replace(truth, expression_KV3=truth.expression_KV3[:2], expression_std_K=truth.expression_std_K[:2]),
    )


def test_bfm_2017_with_its_own_landmarks(tmp_path: Path) -> None:
    pytest.importorskip("h5py")
    truth = make_truth(units=87.0)
    write_bfm2017(tmp_path / "model.h5", truth, {**bfm2017.LANDMARKS, "left.ear.lobule.tip": 3})
    assert_is(imported(tmp_path / "model.h5"), truth)


def test_bfm_2017_with_landmarks_of_the_user(tmp_path: Path) -> None:
    pytest.importorskip("h5py")
    truth = make_truth(units=87.0)
    path, lists = tmp_path / "model.h5", [tmp_path / "list.json", tmp_path / "list.anl"]
    write_bfm2017(path, truth, None)
    lists[0].write_text(json.dumps(landmarks.IBUG68.tolist()))
    lists[1].write_text("\n".join(map(str, landmarks.IBUG68)))
    for file in lists:
        assert_is(imported(path, landmarks=file), truth)
    with pytest.raises(ConfigError, match="--landmarks"):
        imported(path)


def test_h5py_missing_says_what_to_install(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "model.h5"
    path.write_bytes(b"\x89HDF\r\n\x1a\n")
    monkeypatch.setitem(__import__("sys").modules, "h5py", None)
    with pytest.raises(ConfigError, match=r"dubber\[face-models\]"):
        read_face_file(path)


def test_links_out_of_an_hdf5_file_are_not_followed(tmp_path: Path) -> None:
    h5py = pytest.importorskip("h5py")
    truth = make_truth(units=87.0)
    other, path = tmp_path / "other.h5", tmp_path / "model.h5"
    write_bfm2017(other, truth, bfm2017.LANDMARKS)
    write_bfm2017(path, truth, bfm2017.LANDMARKS)
    with h5py.File(path, "a") as file:
        del file["shape/model/mean"]
        file["shape/model/mean"] = h5py.ExternalLink(str(other), "shape/model/mean")
    with pytest.raises(WeightsError, match="shape/model/mean"):
        read_face_file(path)


def test_the_expression_that_made_a_face_is_found_again(
    tmp_path: Path, runtime: Runtime, context: StageContext
) -> None:
    write_bfm2009(tmp_path / "bfm", make_truth(units=90000.0), has_contour=False)
    out = tmp_path / "weights"
    import_face_model(
        tmp_path / "bfm",
        out,
        file_format="auto",
        landmarks=None,
        num_expression=29,
        is_overwrite_allowed=False,
    )
    folder = WeightsFolder(out)
    assert folder.manifest["face_model"].is_commercial_use_allowed is False
    model = LinearFaceModel.from_weight(folder.open("face_model"))
    rng = np.random.default_rng(3)
    count = 40
    rotation, scale, translation = random_poses(count, rng)
    expression = rng.normal(size=(count, 4)).astype(np.float32)
    identity = np.array([1.0, -0.5, 0.7], np.float32)
    points = project_TL2(model, identity, expression, rotation, scale, translation)
    depth = depth_too(model, identity, expression, rotation, scale)
    similarity = np.zeros((count, 2, 3), np.float32)
    similarity[:, 0, 0] = similarity[:, 1, 1] = 150 / scale
    track = FaceTrack(
        boxes_T4=np.zeros((count, 4), np.float32),
        landmarks_TL3=np.concatenate([points, depth[..., None]], axis=2).astype(np.float32),
        scores_T=np.ones(count, np.float32),
        is_usable_T=np.ones(count, bool),
        shot_id_T=np.arange(count, dtype=np.int32),
        identity_id_T=np.zeros(count, np.int32),
        similarity_T23=similarity,
        why_not_T=np.zeros(count, np.int8),
    )
    context = replace(context, runtime=replace(runtime, weights=folder))
    coeffs = Fit(FitParams()).run(context, track)
    for mine, found in zip(expression.T, coeffs.expression_TK.T, strict=True):
        assert np.corrcoef(mine, found)[0, 1] > 0.97


def test_a_face_model_is_not_replaced_unasked(tmp_path: Path) -> None:
    write_ict(tmp_path / "ict", make_truth(units=9.0))

    def convert(*, is_overwrite_allowed: bool) -> None:
        import_face_model(
            tmp_path / "ict",
            tmp_path / "out",
            file_format="ict",
            landmarks=None,
            num_expression=29,
            is_overwrite_allowed=is_overwrite_allowed,
        )

    convert(is_overwrite_allowed=False)
    with pytest.raises(OutputExistsError):
        convert(is_overwrite_allowed=False)
    convert(is_overwrite_allowed=True)


def _rewrite_mat(path: Path, **changes: object) -> None:
    from scipy.io import loadmat, savemat

    old = {name: value for name, value in loadmat(path).items() if not name.startswith("__")}
    savemat(path, {name: value for name, value in {**old, **changes}.items() if value is not None})


def _rewrite_json(path: Path, **changes: object) -> None:
    path.write_text(json.dumps({**json.loads(path.read_text()), **changes}))


ICT_FAULTS: dict[str, tuple[Callable[[Path], object], str]] = {
    "no identity": (
        lambda f: [file.unlink() for file in f.glob("identity*.obj")],
        "identityNNN",
    ),
    "short expression": (
        lambda f: (f / "jawOpen.obj").write_text("v 1 2 3\n"),
        r"jawOpen\.obj.*vertices",
    ),
    "words": (lambda f: (f / "jawOpen.obj").write_text("v a b c\n"), r"jawOpen\.obj.*'v'"),
    "nan": (
        lambda f: (f / "jawOpen.obj").write_text("v nan 0 0\n"),
        r"jawOpen\.obj.*not finite",
    ),
    "bytes": (
        lambda f: (f / "generic_neutral_mesh.obj").write_bytes(b"\xff\xfe\x00v"),
        "generic_neutral_mesh",
    ),
    "no face": (
        lambda f: (f / "generic_neutral_mesh.obj").write_text("v 1 2 3\nusemtl M_Teeth\nf 1 1 1\n"),
        "M_Face",
    ),
    "polygon beyond": (
        lambda f: (f / "generic_neutral_mesh.obj").write_text("v 1 2 3\nusemtl M_Face\nf 1 2 3\n"),
        "'f'",
    ),
    "no json": (lambda f: (f / "vertex_indices.json").write_text("{"), "vertex_indices"),
    "a list": (lambda f: (f / "vertex_indices.json").write_text("[]"), "vertex_indices"),
    "path as name": (
        lambda f: _rewrite_json(f / "vertex_indices.json", expressions=["../jawOpen"]),
        "'expressions'",
    ),
    "too few landmarks": (
        lambda f: _rewrite_json(f / "vertex_indices.json", idx_to_landmark_verts=[1, 2, 3]),
        "idx_to_landmark_verts",
    ),
    "landmark beyond": (
        lambda f: _rewrite_json(f / "vertex_indices.json", idx_to_landmark_verts=[99999] * 68),
        "idx_to_landmark_verts",
    ),
    "landmark on the back": (
        lambda f: _rewrite_json(f / "vertex_indices.json", idx_to_landmark_verts=[469] * 68),
        "outside of the face",
    ),
    "wrong landmarks": (
        lambda f: _rewrite_json(
            f / "vertex_indices.json", idx_to_landmark_verts=landmarks.IBUG68[::-1].tolist()
        ),
        "do not lie as those of a face",
    ),
}


@pytest.mark.parametrize("fault", ICT_FAULTS)
def test_damaged_ict_files_say_where(tmp_path: Path, fault: str) -> None:
    write_ict(tmp_path, make_truth(units=9.0, num_identity=1, num_expression=1))
    damage, message = ICT_FAULTS[fault]
    damage(tmp_path)
    with pytest.raises(DubberError, match=message):
        imported(tmp_path, file_format="ict")


BFM_FAULTS: dict[str, tuple[Callable[[Path], object], str]] = {
    "no info": (lambda f: (f / "model_info.mat").unlink(), "model_info.mat"),
    "no expressions": (lambda f: (f / "Model_Expression.mat").unlink(), "Exp_Pca.bin"),
    "field missing": (lambda f: _rewrite_mat(f / "model_info.mat", tri=None), "'tri'"),
    "text": (lambda f: _rewrite_mat(f / "model_info.mat", trimIndex="abc"), "'trimIndex'"),
    "cells": (
        lambda f: _rewrite_mat(f / "01_MorphableModel.mat", shapeEV=np.array([[1], "a"], object)),
        "'shapeEV'",
    ),
    "other size": (lambda f: _rewrite_mat(f / "Model_Expression.mat", mu_exp=np.zeros((9, 1))), "'mu_exp'"),
    "trim beyond": (
        lambda f: _rewrite_mat(f / "model_info.mat", trimIndex=np.array([[1], [9999]])),
        "'trimIndex'",
    ),
    "counted from 0": (
        lambda f: _rewrite_mat(f / "model_info.mat", tri=np.zeros((3, 5))),
        "'tri'",
    ),
    "half a vertex": (
        lambda f: _rewrite_mat(f / "model_info.mat", keypoints=np.full((1, 68), 2.5)),
        "'keypoints'",
    ),
    "16 lines": (
        lambda f: _rewrite_mat(f / "Modelplus_parallel.mat", parallel=np.array([[[1]]] * 16, object)),
        "'parallel'",
    ),
}


@pytest.fixture
def parsed_here(monkeypatch: pytest.MonkeyPatch) -> None:
    """The MATLAB parser works in this process: to start one per file takes most of a test's time."""

    def run(command: list[str], **options: object) -> None:
        matlab_child.main(*command[2:])

    monkeypatch.setattr(bfm2009.subprocess, "run", run)


@pytest.mark.parametrize("fault", BFM_FAULTS)
@pytest.mark.usefixtures("parsed_here")
def test_wrong_bfm_2009_files_say_where(tmp_path: Path, fault: str) -> None:
    write_bfm2009(tmp_path, make_truth(units=90000.0, num_identity=1, num_expression=1))
    damage, message = BFM_FAULTS[fault]
    damage(tmp_path)
    with pytest.raises(DubberError, match=message):
        read_face_file(tmp_path, "bfm2009")


@pytest.mark.parametrize(
    "damage", [lambda data: data[:-200], lambda data: b"MATLAB 5.0" + bytes(range(256)) * 9]
)
def test_damaged_matlab_files_are_named(tmp_path: Path, damage: Callable[[bytes], bytes]) -> None:
    write_bfm2009(tmp_path, make_truth(units=90000.0, num_identity=1, num_expression=1))
    path = tmp_path / "01_MorphableModel.mat"
    path.write_bytes(damage(path.read_bytes()))
    with pytest.raises(WeightsError, match=r"01_MorphableModel\.mat"):
        read_face_file(tmp_path, "bfm2009")


@pytest.mark.parametrize("size", [0, 3, 4, 400, -4])
@pytest.mark.usefixtures("parsed_here")
def test_damaged_guo_expressions_say_where(tmp_path: Path, size: int) -> None:
    write_bfm2009(tmp_path, make_truth(units=90000.0, num_identity=1, num_expression=1), "guo")
    path = tmp_path / "Exp_Pca.bin"
    path.write_bytes(path.read_bytes()[:size])
    with pytest.raises(WeightsError, match=r"Exp_Pca\.bin"):
        read_face_file(tmp_path)


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("shape/model/pcaBasis", None),
        ("shape/model/pcaBasis", np.zeros((9, 3))),
        ("shape/model/pcaVariance", np.array([1.0, -1, 1])),
        ("expression/model/mean", np.array([b"text"])),
        ("shape/representer/cells", np.full((3, 4), 468)),
        ("metadata/landmarks/json", "[{}]"),
        ("metadata/landmarks/json", "["),
    ],
)
def test_damaged_hdf5_files_say_where(tmp_path: Path, name: str, value: object) -> None:
    h5py = pytest.importorskip("h5py")
    path = tmp_path / "model.h5"
    write_bfm2017(path, make_truth(units=87.0, num_expression=1), bfm2017.LANDMARKS)
    with h5py.File(path, "a") as file:
        del file[name]
        if value is not None:
            file[name] = value
    with pytest.raises(WeightsError, match=name):
        read_face_file(path)


def test_a_cut_hdf5_file_is_damaged(tmp_path: Path) -> None:
    pytest.importorskip("h5py")
    path = tmp_path / "model.h5"
    write_bfm2017(path, make_truth(units=87.0, num_expression=1), bfm2017.LANDMARKS)
    path.write_bytes(path.read_bytes()[:5000])
    with pytest.raises(WeightsError, match=r"model\.h5"):
        read_face_file(path)


@pytest.mark.parametrize("text", ["", "1 2 3", "[1, 2", '["a"]', "x " * 68, "-1 " * 68, '[{"a": 1}]'])
def test_wrong_landmark_files_are_refused(tmp_path: Path, text: str) -> None:
    path = tmp_path / "landmarks.txt"
    path.write_text(text)
    with pytest.raises(ConfigError, match="landmarks file"):
        read_landmarks(path)


def test_what_is_no_face_model_is_said(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="No known face model"):
        read_face_file(tmp_path)
    with pytest.raises(ConfigError, match="no such file"):
        read_face_file(tmp_path / "absent")
    with pytest.raises(ConfigError, match="no format"):
        read_face_file(tmp_path, "flame")


def test_the_true_ict_facekit_opens_its_mouth() -> None:
    model = imported(real_model("ict_facekit_subset"), num_expression=0)
    assert model.mean_V3.shape == (9409, 3)
    jaw_open, _, pucker = model.expression_KV3 / model.expression_std_K[:, None, None]
    lips = model.landmark_sets[MOUTH_JAW]
    upper, lower = lips[[14, 18]]
    assert jaw_open[lower, 1] - jaw_open[upper, 1] > 0.3, "eye distances; y points down"
    assert abs(jaw_open[model.landmark_sets[RIGID]]).max() < 0.05
    corners = lips[[0, 6]]
    assert pucker[corners[0], 0] > 0.03 > -0.03 > pucker[corners[1], 0], "the corners come together"
    chin = model.mean_V3[lips[29]]
    assert abs(chin[0]) < 0.02 and chin[1] > model.mean_V3[lips, 1].max() - 0.02
    # Lips that touch are told apart: what belongs to the upper one hardly follows the jaw.
    by_landmark = dict(zip(model.landmark_sets[TRACKER], model.landmark_sets[TRACKER_VERTICES], strict=True))
    upper_lip = [by_landmark[k] for k in (80, 81, 82, 13, 312, 311, 310)]
    lower_lip = [by_landmark[k] for k in (88, 178, 87, 14, 317, 402, 318)]
    assert jaw_open[upper_lip, 1].max() < 0.1 < 0.2 < jaw_open[lower_lip, 1].min()


@pytest.mark.slow
def test_the_true_ict_facekit_follows_a_real_mouth(runtime: Runtime) -> None:
    from dubber.engine.execute import Run
    from dubber.engine.plan import Plan
    from dubber.engine.store import Store
    from dubber.stages.demux import Demux, DemuxParams

    model_folder, video = real_model("ict_facekit_subset"), real_clip("dev/glasses_512.mp4")
    out = runtime.cache_dir.parent / "weights"
    import_face_model(
        model_folder,
        out,
        file_format="auto",
        landmarks=None,
        num_expression=29,
        is_overwrite_allowed=False,
    )
    runtime = replace(runtime, weights=WeightsFolder(out))
    plan = Plan(runtime.weights, Store(runtime.cache_dir))
    source = plan.source(video)
    clip = plan.add(Demux(DemuxParams()), source)
    track = plan.add(Track(TrackParams()), source, clip, plan.add(FindPeople(PeopleParams()), source, clip))
    coeffs_ref = plan.add(Fit(FitParams()), track)
    run = Run(plan, runtime)
    face, coeffs = run.get(track), run.get(coeffs_ref)
    usable = face.is_usable_T
    gap = face.landmarks_TL3[:, landmarks.LOWER_INNER_LIP, :2]
    gap = np.linalg.norm(gap - face.landmarks_TL3[:, landmarks.UPPER_INNER_LIP, :2], axis=1) / coeffs.scale_T
    model = LinearFaceModel.from_weight(runtime.weights.open("face_model"))
    lips = model.landmark_sets[MOUTH_JAW][[14, 18]]
    upper, lower = np.moveaxis(model.vertices_TV3(coeffs.identity_K, coeffs.expression_TK, lips), 1, 0)
    opening = np.linalg.norm(lower - upper, axis=1)
    assert np.corrcoef(gap[usable], opening[usable])[0, 1] > 0.85
