"""teeth: the stage on a puppet whose mouths were softened; who may lend, and runs that were killed."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import cv2
import numpy as np
import pytest

from dubber.engine.stage import StageContext
from dubber.media.patches import read_patches
from dubber.media.reader import probe
from dubber.ops.teeth_proxy import inner_mouth_areas
from dubber.stages import patch_segments, teeth
from dubber.stages.patch_segments import write_segments
from dubber.stages.teeth import Teeth, TeethParams
from dubber.types import CROP_SIZE_PX, Clip, Mouths, SourceFile
from tests.stages.test_render import own_mouths, straight, true_track
from tests.synth import SyntheticClip, make_clip

NUM_FRAMES = 30
SEGMENT = 8


@pytest.fixture(autouse=True)
def short_segments(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(patch_segments, "SEGMENT_FRAMES", SEGMENT)


@pytest.fixture(scope="module")
def synthetic(tmp_path_factory: pytest.TempPathFactory) -> SyntheticClip:
    folder = tmp_path_factory.mktemp("clip")
    return make_clip(folder / "clip.mp4", num_frames=NUM_FRAMES, faceless=range(9, 11))


@pytest.fixture(scope="module")
def clip(synthetic: SyntheticClip) -> Clip:
    return probe(synthetic.path)


def context(folder: Path) -> StageContext:
    from dubber.pipeline import make_runtime

    for name in ("entry", "work"):
        (folder / name).mkdir(parents=True, exist_ok=True)
    return StageContext(make_runtime(cache_dir=folder), folder / "entry", folder / "work", "teeth")


def patches_of(mouths: Mouths) -> np.ndarray:
    return np.stack(list(read_patches([file.path for file in mouths.patches])))


@pytest.fixture
def soft(synthetic: SyntheticClip, clip: Clip, tmp_path: Path) -> Mouths:
    """The puppet's own mouths, blurred."""
    mouths = own_mouths(
        context(tmp_path / "render"), synthetic, clip, straight(NUM_FRAMES), renderer="exemplar"
    )
    sharp = patches_of(mouths)
    position = np.cumsum(mouths.has_patch_N) - 1

    def blurred(start: int, stop: int) -> Iterator[np.ndarray]:
        for n in range(start, stop):
            if mouths.has_patch_N[n]:
                yield cv2.GaussianBlur(sharp[position[n]], (0, 0), 1.5)

    files = write_segments(context(tmp_path / "soft"), "soft", mouths.has_patch_N, mouths.patch_size, blurred)
    return replace(mouths, patches=files)


def run(ctx: StageContext, synthetic: SyntheticClip, clip: Clip, mouths: Mouths, **params: object) -> Mouths:
    source = SourceFile(synthetic.path, "0" * 64)
    stage = Teeth(TeethParams.model_validate(params))
    return stage.run(ctx, source, clip, true_track(synthetic), straight(NUM_FRAMES), mouths)


def test_open_mouths_come_nearer_to_the_filmed_ones_and_shut_ones_stay(
    synthetic: SyntheticClip, clip: Clip, soft: Mouths, tmp_path: Path
) -> None:
    made = run(context(tmp_path / "a"), synthetic, clip, soft)
    before, after = patches_of(soft), patches_of(made)
    filmed = patches_of(
        own_mouths(context(tmp_path / "b"), synthetic, clip, straight(NUM_FRAMES), renderer="exemplar")
    )
    unit_px = soft.crop_size_px / CROP_SIZE_PX
    is_open = inner_mouth_areas(soft.landmarks_NM2, unit_px)[soft.has_patch_N] >= 60
    is_changed = (before != after).any((1, 2, 3))
    assert is_open.any()
    assert not is_open.all()
    assert is_changed[is_open].mean() > 0.5
    assert not is_changed[~is_open].any()
    errors = [np.abs(patches.astype(int) - filmed)[is_changed].mean() for patches in (before, after)]
    assert errors[1] < errors[0]
    for field in ("landmarks_NM2", "similarity_N23", "has_patch_N"):
        assert (getattr(made, field) == getattr(soft, field)).all()


def test_only_frames_that_may_lend_are_read(
    synthetic: SyntheticClip, clip: Clip, soft: Mouths, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    searches = []
    original = teeth._ProxySearch.__init__

    def spy(self: teeth._ProxySearch, *args: object) -> None:
        original(self, *args)  # type: ignore[arg-type]
        searches.append(self)

    monkeypatch.setattr(teeth._ProxySearch, "__init__", spy)
    lends_T = soft.lends_T & (np.arange(NUM_FRAMES) < 20)
    run(context(tmp_path / "a"), synthetic, clip, replace(soft, lends_T=lends_T))
    assert len(searches[0].lenders_B) > 0
    assert lends_T[searches[0].lenders_B].all()


def test_without_lenders_and_with_own_pixels_the_patches_stay(
    synthetic: SyntheticClip, clip: Clip, soft: Mouths, tmp_path: Path
) -> None:
    nobody = replace(soft, lends_T=np.zeros(NUM_FRAMES, bool))
    for name, mouths in (("a", nobody), ("b", replace(soft, is_own_pixels=True))):
        made = run(context(tmp_path / name), synthetic, clip, mouths)
        assert (patches_of(made) == patches_of(soft)).all()
        assert all(file.path.parent == tmp_path / name / "entry" for file in made.patches)


def test_a_killed_run_continues_and_gives_the_same_bytes(
    synthetic: SyntheticClip, clip: Clip, soft: Mouths, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    whole = run(context(tmp_path / "a"), synthetic, clip, soft)
    reference = [file.path.read_bytes() for file in whole.patches]
    assert len(reference) == 4

    class Killed(BaseException):
        pass

    original = teeth._Sharpener.segment

    def bomb(self: teeth._Sharpener, start: int, stop: int) -> Iterator[np.ndarray]:
        if start >= 2 * SEGMENT:
            raise Killed
        yield from original(self, start, stop)

    with monkeypatch.context() as patched:
        patched.setattr(teeth._Sharpener, "segment", bomb)
        with pytest.raises(Killed):
            run(context(tmp_path / "b"), synthetic, clip, soft)
    done = sorted((tmp_path / "b" / "work").glob("*.mkv"))
    assert len(done) == 2
    inodes = [path.stat().st_ino for path in done]
    again = run(context(tmp_path / "b"), synthetic, clip, soft)
    assert [file.path.read_bytes() for file in again.patches] == reference
    assert [file.path.stat().st_ino for file in again.patches[:2]] == inodes, "kept, not remade"
