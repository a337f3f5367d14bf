"""What is heard on the hidden quarter of a synthetic clip, and the ablation's page."""

from __future__ import annotations

import dataclasses
from pathlib import Path

import numpy as np
import pytest
import torch

from dubber import DubConfig
from dubber.engine.device import Device
from dubber.engine.progress import SilentProgress
from dubber.engine.stage import Runtime
from dubber.engine.weights import WeightsFolder, default_weights_dir
from dubber.errors import ConfigError, OutputFolderError
from dubber.evaluation.ablation import Variant, evaluate_variants
from dubber.evaluation.footage import Footage, on_own_heads, prepare
from dubber.evaluation.page import check_page, write_page
from dubber.evaluation.results import results_page
from dubber.evaluation.self_dub import evaluate_clips
from dubber.evaluation.spoken import (
    evaluate_footage,
    heard_expression,
    heard_landmarks,
    landmark_measures,
    motion_without_sound,
    on_a_still_head,
    shape_measures,
)
from dubber.models.expression import ExpressionNet
from dubber.models.morphable import LinearFaceModel
from dubber.ops.align import apply_similarity
from dubber.ops.landmarks import MOUTH_JAW
from dubber.training.release import copy_weight, save_weight
from dubber.training.variants import variant_folder
from tests.synth import make_clip, make_wall_clip

NEUTRAL = DubConfig().with_overrides({"translate.translator": "neutral"})


@dataclasses.dataclass(frozen=True)
class Case:
    path: Path
    runtime: Runtime
    footage: Footage
    model: LinearFaceModel


@pytest.fixture(scope="module")
def case(tmp_path_factory: pytest.TempPathFactory) -> Case:
    folder = tmp_path_factory.mktemp("spoken")
    runtime = Runtime(
        cache_dir=folder / "cache",
        device=Device("cpu", reason="test"),
        weights=WeightsFolder(default_weights_dir()),
    )
    path = make_clip(folder / "talk.mp4", num_frames=60).path
    footage = prepare(path, NEUTRAL, runtime, SilentProgress())
    return Case(path, runtime, footage, LinearFaceModel.from_weight(runtime.weights.open("face_model")))


def test_the_last_quarter_is_hidden(case: Case) -> None:
    assert case.footage.held_out_from_frame == 45
    assert not case.footage.known_track.is_usable_T[45:].any()
    assert case.footage.known_track.is_usable_T[:45].all()
    np.testing.assert_array_equal(case.footage.retime.source_index_N, np.arange(45, 60))


@pytest.mark.parametrize("config", [DubConfig(), NEUTRAL], ids=["default", "neutral"])
def test_the_answer_does_not_know_the_hidden_frames(case: Case, config: DubConfig) -> None:
    footage = case.footage
    expression_TK, landmarks_TL3 = footage.coeffs.expression_TK.copy(), footage.track.landmarks_TL3.copy()
    expression_TK[45:] = 9
    landmarks_TL3[45:, 10:20] += 30
    other = dataclasses.replace(
        footage,
        coeffs=dataclasses.replace(footage.coeffs, expression_TK=expression_TK),
        track=dataclasses.replace(footage.track, landmarks_TL3=landmarks_TL3),
    )
    heard, blind = (heard_expression(f, config, case.runtime, SilentProgress()) for f in (footage, other))
    assert heard.shape == (15, case.model.num_expression)
    np.testing.assert_array_equal(heard, blind)


def test_the_truth_measures_perfect(case: Case) -> None:
    measures = shape_measures(case.footage, case.model, case.footage.true_expression_NK, NEUTRAL)
    for name in ("expression_error", "landmark_error_px", "lmd_px"):
        assert measures[name] == pytest.approx(0, abs=1e-3), name
    assert measures["mouth_opening_correlation"] == pytest.approx(1, abs=1e-4)
    assert measures["av_lag_frames"] == 0
    assert measures["opening_amplitude_ratio"] == pytest.approx(1, abs=1e-4)
    assert measures["motion_in_silence"] == measures["true_motion_in_silence"]


def test_a_still_mouth_has_no_curve(case: Case) -> None:
    still = case.footage.known_expression_nK.mean(axis=0)
    measures = shape_measures(case.footage, case.model, still, NEUTRAL)
    assert measures["mouth_opening_correlation"] is None
    assert measures["opening_amplitude_ratio"] is None
    assert measures["landmark_error_px"] > 0.5


def test_a_still_head_keeps_still(case: Case) -> None:
    expression = np.repeat(case.footage.true_expression_NK[:1], 15, 0)
    still = on_a_still_head(case.model, case.footage, expression)
    assert np.ptp(still, axis=0).max() < 1e-4
    own = case.footage.in_crop(on_own_heads(case.model, case.footage, case.footage.true_expression_NK))
    moving = on_a_still_head(case.model, case.footage, case.footage.true_expression_NK)
    # The mouth is as large as it is in the crop.
    assert np.ptp(moving[:, :20, 0], axis=1).mean() == pytest.approx(
        np.ptp(own[:, :20, 0], axis=1).mean(), rel=0.1
    )


def test_motion_without_sound(case: Case) -> None:
    """The null twin does not listen: over a minute it moves as the clip does, speech and pauses."""
    moved = motion_without_sound(case.footage, case.model, NEUTRAL, case.runtime, SilentProgress())
    assert moved is not None
    assert 0.3 < moved < 1.5
    still = DubConfig().with_overrides({"translate.mouth_gain": 0})
    moved = motion_without_sound(case.footage, case.model, still, case.runtime, SilentProgress())
    assert moved is not None
    assert moved < 0.02


def test_without_pictures_the_document_keeps_its_form(case: Case) -> None:
    document = evaluate_clips(
        [case.path],
        drive="speech",
        config=NEUTRAL,
        runtime=case.runtime,
        progress=SilentProgress(),
        has_pictures=False,
    )
    (clip,) = document["clips"]
    assert (clip["clip"], clip["frames"], clip["renderer"]) == ("talk", 15, None)
    assert set(document) == {"clips", "median", "median_baselines"}
    assert document["median"] == clip["metrics"]
    assert clip["metrics"].pop("motion_without_sound") > 0
    assert set(clip["baselines"]) == {"mean_mouth", "frozen", "loudness"}
    alone = evaluate_footage(case.footage, NEUTRAL, case.runtime, SilentProgress())
    assert alone["metrics"] == clip["metrics"]


VARIANTS = (
    Variant("as it ships", {"translate.translator": "neutral"}),
    Variant("taught | otherwise", trained_as="never"),
)


def test_the_ablation_s_page(case: Case, tmp_path: Path) -> None:
    wall = make_wall_clip(case.path.with_name("wall.mp4"))
    manifest = case.path.with_name("clips.csv")
    manifest.write_text(
        f"file,split,speaker\n{case.path.name},dev,a\n{wall.path.name},dev,b\nnone.mp4,train,c\n"
    )
    document = evaluate_variants(
        manifest,
        "dev",
        variants=VARIANTS,
        config=DubConfig(),
        runtime=case.runtime,
        progress=SilentProgress(),
    )
    names = [variant["name"] for variant in document["variants"]]
    assert names == ["as it ships", "taught | otherwise", "mean_mouth", "frozen", "loudness"]
    ships, taught, *_ = document["variants"]
    assert taught["clips"] == []
    assert "--variant never" in taught["missing"]
    assert ships["clips"][0]["speaker"] == "a"
    assert ships["long"] == {}  # 2.4 s are few
    assert ships["short"] == ships["clips"][0]["metrics"]
    assert [clip["clip"] for clip in document["left_out"]] == ["wall"]

    page = results_page(document, "dubber eval ablation")
    error = ships["short"]["landmark_error_px"]
    assert f"| as it ships | {ships['short']['expression_error']:.2f} | {error:.2f} |" in page
    assert "| taught \\| otherwise | not trained" in page
    assert "| wall |" in page
    assert all(line.count("| --") for line in page.splitlines() if line.startswith("| ---"))
    write_page(page, tmp_path / "results.md")
    assert (tmp_path / "results.md").read_text() == page


@pytest.fixture(scope="module")
def landmark_runtime(case: Case) -> Runtime:
    """A network that has learned nothing, but says 78 numbers, beside the face model."""
    torch.manual_seed(0)
    net = ExpressionNet("conv", 28, 78, 78, num_bases=0, width=8)
    same = {name: torch.eye(78) for name in ("encode_KZ", "decode_ZK")}
    net.load_state_dict({**net.state_dict(), **same, "mode_std_Z": torch.full((78,), 0.01)})
    folder = variant_folder(case.runtime, "landmarks")
    face = copy_weight(case.runtime.weights, "face_model", folder)
    save_weight(folder, "expression_conv", net.to_arrays(), face.model_dump(exclude={"file", "sha256"}))
    return dataclasses.replace(case.runtime, weights=WeightsFolder(folder))


CONV = DubConfig().with_overrides({"translate.translator": "conv", "translate.self_adaptation": False})


def test_landmarks_are_said_around_those_of_the_known_part(case: Case, landmark_runtime: Runtime) -> None:
    deaf = CONV.with_overrides({"translate.mouth_gain": 0, "translate.rest_gain": 0})
    still, heard = (
        heard_landmarks(case.footage, config, landmark_runtime, SilentProgress()) for config in (deaf, CONV)
    )
    track = case.footage.track
    known = apply_similarity(track.similarity_T23, track.landmarks_TL3[:, MOUTH_JAW, :2])[:45]
    np.testing.assert_allclose(still, np.broadcast_to(known.mean(axis=0), (15, 39, 2)), atol=0.01)
    moved = np.abs(heard - still).max(axis=0)
    assert moved.min() > 0
    # However wild the answers, they keep to the range in which the landmarks were seen. 45 frames say little
    # about it: more than half of it is the network's own.
    spread = 45 / 95 * known.std(axis=0) + 50 / 95 * 0.01 * 384
    assert (moved <= np.maximum(3 * spread, np.ptp(known, axis=0)) + 0.01).all()


def test_landmarks_do_not_know_the_hidden_frames(case: Case, landmark_runtime: Runtime) -> None:
    landmarks_TL3 = case.footage.track.landmarks_TL3.copy()
    landmarks_TL3[45:] += 30
    track = dataclasses.replace(case.footage.track, landmarks_TL3=landmarks_TL3)
    other = dataclasses.replace(case.footage, track=track)
    heard, blind = (
        heard_landmarks(one, CONV, landmark_runtime, SilentProgress()) for one in (case.footage, other)
    )
    np.testing.assert_array_equal(heard, blind)


def test_the_ablation_measures_landmarks_as_landmarks(
    case: Case, landmark_runtime: Runtime, tmp_path: Path
) -> None:
    manifest = case.path.with_name("one.csv")
    manifest.write_text(f"file,split,speaker\n{case.path.name},dev,a\n")
    overrides = {"translate.translator": "conv", "translate.self_adaptation": False}
    document = evaluate_variants(
        manifest,
        "dev",
        variants=[
            Variant("2D", overrides, trained_as="landmarks", target="landmarks"),
            Variant("2D, LSTM", {"translate.translator": "lstm"}, trained_as="landmarks", target="landmarks"),
            Variant("2D for 3D", overrides, trained_as="landmarks"),
        ],
        config=DubConfig(),
        runtime=case.runtime,
        progress=SilentProgress(),
    )
    measured, untrained, *_ = document["variants"]
    heard = heard_landmarks(case.footage, CONV, landmark_runtime, SilentProgress())
    expected = landmark_measures(case.footage, heard)
    assert measured["clips"][0]["metrics"] == {"expression_error": None, **expected}
    assert measured["short"]["landmark_error_px"] > 0.5
    assert "--variant landmarks --translator lstm" in untrained["missing"]
    assert f"| 2D | – | {expected['landmark_error_px']:.2f} |" in results_page(document, "x")
    # Nobody takes landmarks for expression.
    assert "another face model" in document["variants"][2]["missing"]


def test_a_page_needs_a_folder(tmp_path: Path) -> None:
    with pytest.raises(OutputFolderError):
        check_page(tmp_path / "absent" / "results.md")


def test_nothing_to_measure(case: Case, tmp_path: Path) -> None:
    wall = make_wall_clip(tmp_path / "wall.mp4")
    manifest = tmp_path / "clips.csv"
    manifest.write_text(f"file,split,speaker\n{wall.path.name},dev,b\n")
    with pytest.raises(ConfigError, match="can be measured"):
        evaluate_variants(
            manifest,
            "dev",
            variants=VARIANTS,
            config=DubConfig(),
            runtime=case.runtime,
            progress=SilentProgress(),
        )
