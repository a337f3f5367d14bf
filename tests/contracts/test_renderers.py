"""What every renderer promises, whoever writes it."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch

from dubber.engine.stage import StageContext
from dubber.engine.weights import WeightsFolder, default_weights_dir
from dubber.errors import WeightsError
from dubber.media.probe import probe
from dubber.models.frame_painter import FramePainter
from dubber.models.hybrid import HybridPainter
from dubber.stages.mouth_geometry import source_geometry
from dubber.stages.mouth_stream import ShownFootage
from dubber.stages.render import Render, RenderParams
from dubber.stages.render_job import make_job
from dubber.stages.renderers import RENDERERS
from dubber.stages.renderers.base import RenderJob
from dubber.stages.renderers.crops import source_pictures
from dubber.stages.renderers.exemplar import ExemplarSource, choose_exemplars, weighted_mean
from dubber.stages.renderers.unet import window_starts
from dubber.testing import check_any_beginning, check_early_end, check_nothing_to_do, check_patches, painted
from dubber.training.release import copy_weight, save_weight
from dubber.types import RetimeMap, SourceFile
from tests.stages.streams import num_makers, patches_of
from tests.stages.true_face import still_coeffs, true_track
from tests.synth import SyntheticClip, make_clip

NUM_FRAMES = 24

INDEX_N = np.array([*range(16), 14, 13, 13, 12, 20, 21, 22, 23, 2, 3], np.int32)
"""The footage in another order, with a gap at 8, 9 and jumps."""


@pytest.fixture(scope="module")
def synthetic(tmp_path_factory: pytest.TempPathFactory) -> SyntheticClip:
    return make_clip(
        tmp_path_factory.mktemp("clip") / "clip.mp4", num_frames=NUM_FRAMES, faceless=range(8, 10)
    )


@pytest.fixture(scope="module")
def weights(tmp_path_factory: pytest.TempPathFactory) -> WeightsFolder:
    """Small untrained networks: contracts do not ask for beauty."""
    folder = tmp_path_factory.mktemp("weights")
    torch.manual_seed(0)
    entry = {
        "kind": "renderer",
        "licence": "none",
        "is_commercial_use_allowed": True,
        "training_data": "none",
        "recipe": "none",
        "description": "untrained",
    }
    save_weight(folder, "renderer_unet", FramePainter(5, 4, 5).to_arrays(), entry)
    painter = HybridPainter(2, 4, 3)
    torch.nn.init.normal_(painter.unet.decoder[0][1].weight, std=0.003)
    save_weight(folder, "renderer_hybrid", painter.to_arrays(), entry)
    copy_weight(WeightsFolder(default_weights_dir()), "face_model", folder)
    return WeightsFolder(folder)


@pytest.fixture(scope="module")
def footage(synthetic: SyntheticClip) -> ShownFootage:
    """Two frames show the picture half-way to the next."""
    retime = RetimeMap(INDEX_N, np.isin(np.arange(len(INDEX_N)), [3, 20]))
    video = SourceFile(synthetic.path, "0" * 64)
    return ShownFootage(video, probe(synthetic.path), true_track(synthetic), retime)


@pytest.fixture
def job(context: StageContext, footage: ShownFootage, weights: WeightsFolder) -> RenderJob:
    """Every frame wants its own mouth."""
    context = replace(context, runtime=replace(context.runtime, weights=weights, threads=1))
    video, clip, track, retime = footage.video, footage.clip, footage.track, footage.retime
    coeffs = still_coeffs(clip.num_frames)
    own_NM2 = source_geometry(track, coeffs, retime).landmarks_NM2
    params = RenderParams(crop_size_px=256, window_stride=2)
    return make_job(context, params, video, clip, track, coeffs, retime, own_NM2)


PAINTERS = [name for name in RENDERERS if name != "copy"]


@pytest.mark.parametrize("name", PAINTERS)
def test_bytes_do_not_depend_on_the_frame_that_is_begun_with(
    name: str, job: RenderJob, footage: ShownFootage
) -> None:
    patches = patches_of(check_patches(RENDERERS[name], job, footage))
    assert patches.shape == (job.has_patch_N.sum(), 128, 192, 3)
    check_any_beginning(
        RENDERERS[name], job, footage, [8, 13, 19]
    )  # in the gap, between two jumps, before one


@pytest.mark.parametrize("name", RENDERERS)
def test_frames_pass_as_they_are(name: str, job: RenderJob, footage: ShownFootage) -> None:
    """Those without a face have no patch, and nothing is done where none has one."""
    check_nothing_to_do(RENDERERS[name], job, footage)
    assert not job.has_patch_N[8]


def test_the_null_twin_paints_nothing(job: RenderJob, footage: ShownFootage) -> None:
    assert all(each.patch is None for each in painted(RENDERERS["copy"], job, footage))


@pytest.mark.parametrize("name", RENDERERS)
def test_a_stream_that_is_closed_early_ends_its_threads(
    name: str, job: RenderJob, footage: ShownFootage
) -> None:
    check_early_end(RENDERERS[name], job, footage)
    assert num_makers() == 0


def test_the_own_mouth_comes_back(job: RenderJob, footage: ShownFootage) -> None:
    frames = np.flatnonzero(job.has_patch_N)
    at_once = replace(job, search=replace(job.search, dissolve_frames=0))
    made = patches_of(painted(RENDERERS["exemplar"], at_once, footage)).astype(int)
    filmed = np.stack(list(source_pictures(job, frames.tolist()))).astype(int)
    tolerance = np.where(job.is_halfway_N[frames], 3.0, 0.2)
    assert (np.abs(made - filmed).mean((1, 2, 3)) <= tolerance).all()


def test_the_source_is_shown_as_patch_and_as_whole_crop(job: RenderJob) -> None:
    (patch,), (crop,) = (list(source_pictures(job, [3], is_whole_crop=whole)) for whole in (False, True))
    assert crop.shape == (256, 256, 3)
    left, top = job.corner_xy
    part = crop[top : top + 128, left : left + 192]
    assert np.abs(part.astype(int) - patch).mean() < 0.3


def test_a_dissolve_is_the_weighted_mean() -> None:
    images = np.random.default_rng(0).integers(0, 256, (3, 8, 9, 3), np.uint8)
    shares = [0.2, 0.5, 0.3]
    expected = np.tensordot(np.array(shares), images.astype(float), 1)
    assert np.abs(weighted_mean(list(images), shares) - expected).max() <= 0.51
    assert (weighted_mean(list(images[:1]), [1.0]) == images[0]).all()


def test_a_second_exemplar_is_another_one(job: RenderJob) -> None:
    exemplars = ExemplarSource(job, choose_exemplars(job, 2))
    one, two = zip(*(exemplars.patches(n) for n in (0, 12)), strict=True)
    assert all(np.abs(a.astype(int) - b).mean() > 0.3 for a, b in zip(one, two, strict=True))
    alone = ExemplarSource(job, choose_exemplars(job))
    for exemplar, n in zip(one, (0, 12), strict=True):
        # Equations solved together are rounded otherwise.
        assert np.abs(exemplar.astype(int) - alone.patches(n)[0]).max() <= 1


def test_the_unet_paints_the_window_from_all_it_may_see_and_nothing_else(
    job: RenderJob, footage: ShownFootage
) -> None:
    """Other landmarks change the patch; the source's own pixels inside the window cannot."""
    patches = patches_of(painted(RENDERERS["unet"], job, footage))
    moved = replace(job, wanted_NP2=job.wanted_NP2 + np.float32(4))
    assert (patches_of(painted(RENDERERS["unet"], moved, footage)) != patches).any((1, 2, 3)).all()
    strided = patches_of(painted(RENDERERS["unet"], replace(job, window_stride=5), footage))
    assert (strided != patches).any()


@pytest.mark.parametrize(("num_frames", "stride"), [(1, 1), (5, 3), (7, 1), (8, 7), (30, 4), (30, 50)])
def test_windows_cover_every_frame(num_frames: int, stride: int) -> None:
    starts = window_starts(num_frames, 7, stride)
    covered = {place for start in starts for place in range(start, start + 7)}
    assert covered >= set(range(num_frames))
    assert starts == sorted(set(starts))
    assert starts[-1] == max(num_frames - 7, 0)


def test_a_renderer_without_its_weights_says_so(runtime: object, tmp_path: Path) -> None:
    assert Render(RenderParams(renderer="unet")).weights() == ("face_model", "renderer_unet")
    folder = tmp_path / "weights"
    copy_weight(WeightsFolder(default_weights_dir()), "face_model", folder)
    with pytest.raises(WeightsError, match="renderer_unet") as found:
        WeightsFolder(folder).open("renderer_unet")
    assert "dubber train" in str(found.value.advice)
