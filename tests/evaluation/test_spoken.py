"""What is heard on the hidden quarter of a synthetic clip, and the ablation's page."""

from __future__ import annotations

import dataclasses
from pathlib import Path

import numpy as np
import pytest

from dubber import DubConfig
from dubber.engine.device import Device
from dubber.engine.progress import SilentProgress
from dubber.engine.stage import Runtime
from dubber.engine.weights import WeightsFolder, default_weights_dir
from dubber.errors import ConfigError, OutputFolderError
from dubber.evaluation.ablation import Variant, evaluate_variants
from dubber.evaluation.footage import Footage, on_own_heads, prepare
from dubber.evaluation.results import check_page, results_page, write_page
from dubber.evaluation.self_dub import evaluate_clips
from dubber.evaluation.spoken import (
    evaluate_footage,
    heard_expression,
    motion_without_sound,
    on_a_still_head,
    shape_measures,
)
from dubber.models.morphable import LinearFaceModel
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
