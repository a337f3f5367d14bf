"""Lessons of a clip, and a painter that learns its person, on a clip with known truth."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch

from dubber.engine.stage import StageContext
from dubber.engine.weights import WeightsFolder
from dubber.media.probe import probe
from dubber.media.reader import read_frames_at
from dubber.models.hybrid import HybridPainter
from dubber.stages.adapt import AdaptParams, adapt_painter
from dubber.stages.mouth_geometry import patch_similarity
from dubber.stages.painter_samples import PainterSamples, make_samples, psnr_of_lessons
from dubber.stages.render import RenderParams
from dubber.stages.render_job import crop_size
from dubber.stages.renderers.crops import crop_of
from dubber.training.release import save_weight
from dubber.types import SourceFile
from tests.stages.true_face import still_coeffs, true_track
from tests.synth import SyntheticClip, make_clip

NUM_FRAMES = 60


@pytest.fixture(scope="module")
def synthetic(tmp_path_factory: pytest.TempPathFactory) -> SyntheticClip:
    return make_clip(tmp_path_factory.mktemp("clip") / "clip.mp4", num_frames=NUM_FRAMES)


def lessons(
    context: StageContext, synthetic: SyntheticClip, folder: Path, frames: list[int], apart: int
) -> PainterSamples:
    lends_T = np.arange(NUM_FRAMES) < 50
    return make_samples(
        context,
        folder,
        SourceFile(synthetic.path, "0" * 64),
        probe(synthetic.path),
        true_track(synthetic),
        still_coeffs(NUM_FRAMES),
        np.array(frames, np.int32),
        lends_T,
        np.full(len(frames), apart, np.int32),
        params=RenderParams(),
        num_exemplars=2,
        seed=0,
    )


def test_lessons_show_the_filmed_window_and_other_frames(
    context: StageContext, synthetic: SyntheticClip, tmp_path: Path
) -> None:
    made = lessons(context, synthetic, tmp_path / "lessons", [5, 30, 55], 4)
    track, clip = true_track(synthetic), probe(synthetic.path)
    size_px = crop_size(RenderParams(), track)
    (frame,) = read_frames_at(synthetic.path, clip, [30])
    filmed = crop_of(
        frame, patch_similarity(track.similarity_T23, size_px)[30], made.pictures_nKHW3.shape[2:4]
    )
    assert (made.pictures_nKHW3[1, 0] == filmed).all()
    # Exemplars were warped onto the wanted mouth: alike, but not the frame itself.
    difference = np.abs(made.pictures_nKHW3[:, 1:].astype(int) - made.pictures_nKHW3[:, :1]).mean((2, 3, 4))
    assert (difference > 0.1).all()
    assert (difference < 10).all()
    again = PainterSamples.load(tmp_path / "lessons")
    assert (again.pictures_nKHW3 == made.pictures_nKHW3).all()
    assert (again.wanted_nM2 == made.wanted_nM2).all()


def test_a_frame_beside_is_no_exemplar(
    context: StageContext, synthetic: SyntheticClip, tmp_path: Path
) -> None:
    near, far = (lessons(context, synthetic, tmp_path / str(apart), [20], apart) for apart in (0, 8))
    itself, other = (
        np.abs(made.pictures_nKHW3[0, 1].astype(int) - made.pictures_nKHW3[0, 0]).mean()
        for made in (near, far)
    )
    assert itself < 0.3 < other


def test_a_mirrored_lesson_is_the_lesson_mirrored(
    context: StageContext, synthetic: SyntheticClip, tmp_path: Path
) -> None:
    made = lessons(context, synthetic, tmp_path / "lessons", [5, 30], 4)
    plain, flipped = made.batch([1], [False], 0.5), made.batch([1], [True], 0.5)
    for name in ("inputs_BHWC", "truth_BHW3", "weight_BHW"):
        assert (getattr(plain, name)[:, :, ::-1] == getattr(flipped, name)).all()
    np.testing.assert_allclose(np.unique(plain.weight_BHW), [0.1, 1.0, 1.5])


def adapted(context: StageContext, synthetic: SyntheticClip, folder: Path, **params: object):
    torch.manual_seed(0)
    entry = dict.fromkeys(("kind", "licence", "training_data", "recipe", "description"), "none")
    net = HybridPainter(2, 6, 3)
    with torch.no_grad():
        net.unet.decoder[0][1].bias[:12] = 0.1  # it paints too bright
    save_weight(folder, "renderer_hybrid", net.to_arrays(), entry | {"is_commercial_use_allowed": True})
    context = replace(context, runtime=replace(context.runtime, weights=WeightsFolder(folder), threads=1))
    return adapt_painter(
        context,
        AdaptParams(is_on=True, **params),
        SourceFile(synthetic.path, "0" * 64),
        probe(synthetic.path),
        true_track(synthetic),
        still_coeffs(NUM_FRAMES),
    )


def test_learning_a_person_is_kept_when_it_gains(
    context: StageContext, synthetic: SyntheticClip, tmp_path: Path
) -> None:
    made = adapted(context, synthetic, tmp_path, minutes=0.05, learning_rate=1e-2, least_gain_db=0.01)
    assert made.num_steps >= 10
    assert made.after_db > made.before_db
    assert len(made.painter) == 1
    assert made.painter[0].path.parent == context.entry_dir


def test_learning_that_gains_too_little_is_not_kept(
    context: StageContext, synthetic: SyntheticClip, tmp_path: Path
) -> None:
    made = adapted(context, synthetic, tmp_path, minutes=0.01, least_gain_db=30.0)
    assert made.painter == ()
    assert made.num_steps >= 10


def test_two_seconds_teach_nothing(
    context: StageContext, synthetic: SyntheticClip, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    made = adapted(context, synthetic, tmp_path, held_out_from_frame=30)
    assert made.painter == ()
    assert made.num_steps == 0
    assert "too short" in caplog.text


def test_the_mean_of_exemplars_is_nearer_than_the_best_one(
    context: StageContext, synthetic: SyntheticClip, tmp_path: Path
) -> None:
    made = lessons(context, synthetic, tmp_path / "lessons", [5, 30], 4)
    painted_db, exemplar_db = psnr_of_lessons(HybridPainter(2, 4, 3), made)
    assert 20 < exemplar_db < 60
    assert exemplar_db < painted_db < exemplar_db + 6
