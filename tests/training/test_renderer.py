"""Training the renderer from a manifest of clips, to a weight that the renderer reads."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from dubber.dubbing import make_runtime
from dubber.engine.stage import Runtime
from dubber.engine.weights import WeightsFolder
from dubber.errors import ConfigError, WeightsError
from dubber.models.frame_painter import FramePainter
from dubber.models.hybrid import HybridPainter
from dubber.models.learning import PAPER_LOSSES, PaintingSchedule
from dubber.stages.painter_samples import PainterSamples
from dubber.training.literal_renderer import LiteralTraining, train_literal_from_clips
from dubber.training.renderer import Lessons, RendererTraining, train_from_clips, train_renderer
from tests.synth import make_clip

QUICK = RendererTraining(
    num_exemplars=2, base_width=4, num_levels=3, batch_size=2, schedule=PaintingSchedule(iterations=3)
)


def samples(count: int, side: int = 32) -> PainterSamples:
    rng = np.random.default_rng(count)
    points = rng.uniform(4, side - 4, (count, 39, 2)).astype(np.float32)
    nose = np.tile(np.linspace([8, 4], [24, 4], 5, dtype=np.float32), (count, 1, 1))
    pictures = rng.integers(0, 256, (count, 3, side, side, 3), np.uint8)
    return PainterSamples(pictures, points, points, nose, 0.5)


@pytest.fixture(scope="module")
def clips(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A manifest of one clip."""
    folder = tmp_path_factory.mktemp("clips")
    make_clip(folder / "a.mp4", num_frames=40)
    (folder / "clips.csv").write_text("file,split,speaker,rights\na.mp4,train,a,CC0\n")
    return folder / "clips.csv"


@pytest.fixture(scope="module")
def trainer(tmp_path_factory: pytest.TempPathFactory) -> Runtime:
    """One thread, and a cache in which the clip is tracked once."""
    return make_runtime(cache_dir=tmp_path_factory.mktemp("cache"), device="cpu", threads=1)


def test_manifest_to_weight(tmp_path: Path, clips: Path, trainer: Runtime) -> None:
    measures = train_from_clips(clips, tmp_path / "weights", trainer, settings=QUICK)
    assert measures["train_lessons"] == 8
    assert measures["exemplar_db"] > 15
    folder = WeightsFolder(tmp_path / "weights")
    net = HybridPainter.from_weight(folder.open("renderer_hybrid"))
    assert net.num_exemplars == 2
    assert "1 CC0" in folder.entry("renderer_hybrid").training_data
    (sheet,) = (trainer.cache_dir / "training" / "renderer").glob("*/sheet_000003.png")
    assert sheet.stat().st_size > 1000


def test_batches_have_one_size_and_all_speakers_come_up() -> None:
    drawn = Lessons([samples(4), samples(40), samples(9, 64)], ["a", "b", "c"])
    rng = np.random.default_rng(0)
    shapes = [drawn.draw(rng, 3, 0.0)[0].truth_BHW3.shape for _ in range(60)]
    assert {shape[1] for shape in shapes} == {32, 64}
    # By the root of the footage: 2 + 6.3 of a and b against 3 of c.
    assert 5 < sum(shape[1] == 64 for shape in shapes) < 28


def test_nothing_to_learn_from(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="nothing to learn"):
        train_renderer([], [], tmp_path, settings=QUICK)


def test_a_wrong_vgg_file_is_refused(tmp_path: Path) -> None:
    settings = replace(QUICK, vgg=tmp_path / "absent.safetensors")
    with pytest.raises(WeightsError, match="VGG"):
        train_renderer([samples(4)], ["a"], tmp_path, settings=settings)


def test_the_literal_network_learns_from_runs_of_crops(tmp_path: Path, clips: Path, trainer: Runtime) -> None:
    settings = LiteralTraining(
        base_width=4,
        num_levels=4,
        num_frames=3,
        run_frames=5,
        losses=replace(PAPER_LOSSES, gradient_penalty=1.0),
        schedule=PaintingSchedule(iterations=2),
    )
    measures = train_literal_from_clips(clips, tmp_path / "weights", trainer, settings=settings)
    assert measures["train_runs"] == 7
    net = FramePainter.from_weight(WeightsFolder(tmp_path / "weights").open("renderer_unet"))
    assert net.num_frames == 3


def test_the_papers_settings_are_the_papers() -> None:
    paper = LiteralTraining.paper()
    assert (paper.base_width, paper.num_levels, paper.num_frames) == (64, 7, 7)
    assert (paper.losses.pixel, paper.losses.adversarial, paper.losses.gradient_penalty) == (10, 1, 10)


def test_a_vgg_file_is_looked_at_by_either_recipe() -> None:
    file = Path("vgg.safetensors")
    for recipe in (LiteralTraining(), LiteralTraining.paper()):
        assert recipe.looking(None) == recipe
        assert recipe.looking(file).vgg == file and recipe.looking(file).losses.perceptual > 0
