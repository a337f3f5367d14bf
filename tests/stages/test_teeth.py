"""teeth: the stage on a puppet whose mouths were softened; who may lend, and runs that were killed."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import cv2
import numpy as np
import pytest

from dubber.engine.stage import StageContext
from dubber.media.patches import read_patches
from dubber.media.probe import probe
from dubber.ops.teeth_proxy import inner_mouth_areas
from dubber.stages import mouth_segments
from dubber.stages.mouth_stream import MouthStream
from dubber.stages.renderers.crops import FaceCrops
from dubber.stages.teeth import Teeth, TeethParams
from dubber.types import CROP_SIZE_PX, Clip, Mouths, SourceFile, UInt8
from tests.stages.streams import (
    Fuse,
    Killed,
    drained,
    kept,
    patches_of,
    stage_context,
    stream_of,
    with_patches,
)
from tests.stages.true_face import own_mouths, straight, true_track
from tests.synth import SyntheticClip, make_clip

NUM_FRAMES = 30
SEGMENT = 8


@pytest.fixture(autouse=True)
def short_segments(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(mouth_segments, "SEGMENT_FRAMES", SEGMENT)


@pytest.fixture(scope="module")
def synthetic(tmp_path_factory: pytest.TempPathFactory) -> SyntheticClip:
    folder = tmp_path_factory.mktemp("clip")
    return make_clip(folder / "clip.mp4", num_frames=NUM_FRAMES, faceless=range(9, 11))


@pytest.fixture(scope="module")
def clip(synthetic: SyntheticClip) -> Clip:
    return probe(synthetic.path)


@pytest.fixture(scope="module")
def filmed(synthetic: SyntheticClip, clip: Clip, tmp_path_factory: pytest.TempPathFactory) -> MouthStream:
    """The puppet's own mouths."""
    ctx = stage_context(tmp_path_factory.mktemp("render"), "render")
    return with_patches(own_mouths(ctx, synthetic, clip, straight(NUM_FRAMES)), lambda _, patch: patch)


@pytest.fixture(scope="module")
def soft(filmed: MouthStream) -> MouthStream:
    """The same, blurred."""
    return with_patches(filmed, lambda _, patch: np.asarray(cv2.GaussianBlur(patch, (0, 0), 1.5), np.uint8))


@pytest.fixture
def ctx(tmp_path: Path) -> StageContext:
    return stage_context(tmp_path / "teeth", "teeth")


def run(
    ctx: StageContext,
    synthetic: SyntheticClip,
    clip: Clip,
    before: MouthStream | Mouths,
    **params: object,
) -> MouthStream:
    source = SourceFile(synthetic.path, "0" * 64)
    stage = Teeth(TeethParams.model_validate(params))
    return stage.run(ctx, source, clip, true_track(synthetic), straight(NUM_FRAMES), before)


def with_mouths(stream: MouthStream, **changes: object) -> MouthStream:
    return replace(stream, mouths=replace(stream.mouths, **changes))  # type: ignore[arg-type]


def test_open_mouths_come_nearer_to_the_filmed_ones_and_shut_ones_stay(
    ctx: StageContext, synthetic: SyntheticClip, clip: Clip, filmed: MouthStream, soft: MouthStream
) -> None:
    made = run(ctx, synthetic, clip, soft)
    assert made.mouths == soft.mouths
    true, before, after = patches_of(filmed), patches_of(soft), patches_of(made)
    mouths = soft.mouths
    unit_px = mouths.crop_size_px / CROP_SIZE_PX
    is_open = inner_mouth_areas(mouths.landmarks_NM2, unit_px)[mouths.has_patch_N] >= 60
    is_changed = (before != after).any((1, 2, 3))
    assert is_open.any()
    assert not is_open.all()
    assert is_changed[is_open].mean() > 0.5
    assert not is_changed[~is_open].any()
    errors = [np.abs(patches.astype(int) - true)[is_changed].mean() for patches in (before, after)]
    assert errors[1] < errors[0]


def test_only_frames_that_may_lend_are_read(
    ctx: StageContext,
    synthetic: SyntheticClip,
    clip: Clip,
    soft: MouthStream,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    read: set[int] = set()
    original = FaceCrops.read

    def spy(self: FaceCrops, frame: int) -> UInt8:
        read.add(frame)
        return original(self, frame)

    monkeypatch.setattr(FaceCrops, "read", spy)
    lends_T = soft.mouths.lends_T & (np.arange(NUM_FRAMES) < 20)
    drained(run(ctx, synthetic, clip, with_mouths(soft, lends_T=lends_T)))
    assert len(read) > 3
    assert lends_T[list(read)].all()


def test_without_lenders_the_patches_stay(
    ctx: StageContext, synthetic: SyntheticClip, clip: Clip, soft: MouthStream
) -> None:
    nobody = with_mouths(soft, lends_T=np.zeros(NUM_FRAMES, bool))
    artefacts = kept(ctx)
    assert (patches_of(run(ctx, synthetic, clip, nobody)) == patches_of(soft)).all()
    stored = np.stack(list(read_patches([file.path for file in artefacts[0].patches])))
    assert (stored == patches_of(soft)).all()


def test_own_pixels_stay(ctx: StageContext, synthetic: SyntheticClip, clip: Clip, soft: MouthStream) -> None:
    artefacts = kept(ctx)
    own = stream_of(replace(soft.mouths, is_own_pixels=True), [None] * NUM_FRAMES)
    assert all(each.patch is None for each in drained(run(ctx, synthetic, clip, own)))
    assert artefacts[0].patches == ()
    assert not list(ctx.work_dir.rglob("*.*")), "no lender is looked at"


def test_a_killed_run_begins_again_and_gives_the_same_bytes(
    ctx: StageContext, synthetic: SyntheticClip, clip: Clip, soft: MouthStream, tmp_path: Path
) -> None:
    undisturbed = stage_context(tmp_path / "a", "teeth")
    wholes = kept(undisturbed)
    flowed = patches_of(run(undisturbed, synthetic, clip, soft))
    assert len(wholes[0].patches) == 4
    assert (np.stack(list(read_patches([file.path for file in wholes[0].patches]))) == flowed).all()

    agains, ctx.progress = kept(ctx), Fuse("teeth", 2 * SEGMENT + 3)
    with pytest.raises(Killed):
        drained(run(ctx, synthetic, clip, soft))
    assert sorted(path.name for path in ctx.work_dir.glob("teeth*")) == ["teeth_00000.mkv", "teeth_00001.mkv"]
    assert agains == []
    ctx.progress = Fuse("teeth", NUM_FRAMES)
    assert (patches_of(run(ctx, synthetic, clip, soft)) == flowed).all()
    assert [file.path.read_bytes() for file in agains[0].patches] == [
        file.path.read_bytes() for file in wholes[0].patches
    ]


def test_stored_and_flowing_mouths_are_sharpened_alike(
    ctx: StageContext, synthetic: SyntheticClip, clip: Clip, tmp_path: Path
) -> None:
    render = stage_context(tmp_path / "render", "render")
    artefacts = kept(render)
    # With the second half held out mouths lack detail there.
    live = own_mouths(render, synthetic, clip, straight(NUM_FRAMES), held_out_from_frame=15)
    flowed = drained(run(ctx, synthetic, clip, live))
    replayed = drained(run(ctx, synthetic, clip, artefacts[0]))
    for one, other in zip(flowed, replayed, strict=True):
        assert (one.frame.y == other.frame.y).all()
        assert (one.patch is None) == (other.patch is None)
    assert (patches_of(flowed) == patches_of(replayed)).all()
