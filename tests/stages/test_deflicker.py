"""deflicker: patches in, steadier patches out; cuts, gaps, and runs that were killed."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from fractions import Fraction
from pathlib import Path

import numpy as np
import pytest

from dubber.engine.stage import StageContext
from dubber.media.patches import read_patches
from dubber.stages import mouth_segments
from dubber.stages.deflicker import Deflicker, DeflickerParams
from dubber.stages.mouth_stream import MouthStream
from dubber.types import Bool, Clip, ColorTags, FaceTrack, Mouths, RetimeMap, SourceFile
from tests.stages.streams import Fuse, Killed, drained, kept, patches_of, stage_context, stream_of

NUM_FRAMES = 24
SEGMENT = 8
SIZE = (32, 48)

VIDEO = SourceFile(Path("is not read.mp4"), "0" * 64)


@pytest.fixture(autouse=True)
def short_segments(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(mouth_segments, "SEGMENT_FRAMES", SEGMENT)


@pytest.fixture
def ctx(tmp_path: Path) -> StageContext:
    return stage_context(tmp_path, "deflicker")


def clip_of(num_frames: int) -> Clip:
    return Clip(
        pts_T=np.arange(num_frames),
        time_base=Fraction(1, 25),
        end_pts=num_frames,
        size=(64, 64),
        rotation_deg=0,
        pixel_aspect=Fraction(1),
        pixel_format="yuv420p",
        color=ColorTags(0, 2, 2, 2),
        codec="h264",
        bit_rate=0,
        has_audio=False,
    )


def mouths_of(patches: np.ndarray, has_patch_N: Bool) -> MouthStream:
    """Patches of all frames, of which those that `has_patch_N` flow."""
    num_frames = len(patches)
    mouths = Mouths(
        patches=(),
        crop_size_px=64,
        patch_size=SIZE,
        has_patch_N=has_patch_N,
        similarity_N23=np.zeros((num_frames, 2, 3), np.float32),
        landmarks_NM2=np.zeros((num_frames, 39, 2), np.float32),
        source_landmarks_NM2=np.zeros((num_frames, 39, 2), np.float32),
        is_own_pixels=False,
        renderer="exemplar",
        lends_T=np.ones(num_frames, bool),
    )
    return stream_of(
        mouths, [patch if has else None for patch, has in zip(patches, has_patch_N, strict=True)]
    )


def track_of(shot_id_T: np.ndarray) -> FaceTrack:
    num_frames = len(shot_id_T)
    return FaceTrack(
        boxes_T4=np.zeros((num_frames, 4), np.float32),
        landmarks_TL3=np.zeros((num_frames, 468, 3), np.float32),
        scores_T=np.ones(num_frames, np.float32),
        is_usable_T=np.ones(num_frames, bool),
        shot_id_T=shot_id_T.astype(np.int32),
        identity_id_T=np.zeros(num_frames, np.int32),
        similarity_T23=np.zeros((num_frames, 2, 3), np.float32),
        why_not_T=np.zeros(num_frames, np.int8),
    )


TRACK = track_of(np.zeros(NUM_FRAMES))
RETIME = RetimeMap(np.arange(NUM_FRAMES, dtype=np.int32), np.zeros(NUM_FRAMES, bool))
ALL = np.ones(NUM_FRAMES, bool)


def flickering() -> np.ndarray:
    """(N, H, W, 3) a still texture whose brightness alternates by 6 levels."""
    texture = np.random.default_rng(0).integers(80, 170, (SIZE[0] // 8, SIZE[1] // 8, 3))
    still = texture.repeat(8, 0).repeat(8, 1)
    return np.stack([still + 6 * (n % 2) for n in range(NUM_FRAMES)]).astype(np.uint8)


def run(
    ctx: StageContext,
    before: MouthStream,
    track: FaceTrack = TRACK,
    retime: RetimeMap = RETIME,
    **params: object,
) -> MouthStream:
    stage = Deflicker(DeflickerParams.model_validate(params))
    made = stage.run(ctx, VIDEO, clip_of(len(track.shot_id_T)), track, retime, before)
    assert made.mouths == before.mouths
    return made


def unrest(patches: np.ndarray) -> float:
    return float(np.abs(np.diff(patches[4:].astype(float).mean((1, 2, 3)))).mean())


def test_flicker_is_removed(ctx: StageContext) -> None:
    patches = flickering()
    made = patches_of(run(ctx, mouths_of(patches, ALL)))
    assert made.shape == patches.shape
    assert unrest(made) < 0.3 * unrest(patches)
    assert list(ctx.work_dir.iterdir()) == [], "nobody keeps it"


@pytest.mark.parametrize(("num_frames", "num_done"), [(0, 0), (2 * SEGMENT + 3, 2), (NUM_FRAMES - 1, 3)])
def test_a_killed_run_begins_again_and_ends_with_the_same_patches(
    tmp_path: Path, num_frames: int, num_done: int
) -> None:
    """Its state reaches back to the last cut: it cannot go on in the middle."""
    before = mouths_of(flickering(), ALL)
    undisturbed = stage_context(tmp_path / "a", "deflicker")
    wholes = kept(undisturbed)
    flowed = patches_of(run(undisturbed, before))

    ctx = stage_context(tmp_path / "b", "deflicker")
    killed, ctx.progress = kept(ctx), Fuse("deflicker", num_frames)
    with pytest.raises(Killed):
        drained(run(ctx, before))
    assert len(killed) == (num_frames == NUM_FRAMES - 1)
    assert not list(ctx.work_dir.glob("*.part"))
    assert len(list(ctx.work_dir.glob("*.mkv"))) == num_done

    fuse = ctx.progress = Fuse("deflicker", NUM_FRAMES)
    agains = kept(ctx)
    np.testing.assert_array_equal(patches_of(run(ctx, before)), flowed)
    assert fuse.counts == fuse.totals == {"deflicker": NUM_FRAMES}
    again, whole = agains[0], wholes[0]
    assert [file.path.name for file in again.patches] == [
        f"deflicker_{segment:05d}.mkv" for segment in range(3)
    ]
    assert [file.path.read_bytes() for file in again.patches] == [
        file.path.read_bytes() for file in whole.patches
    ]
    np.testing.assert_array_equal(
        list(read_patches([file.path for file in again.patches])), flowed, "what is stored is what flowed"
    )


def starts() -> Iterator[tuple[str, FaceTrack, RetimeMap, int]]:
    shots = (np.arange(NUM_FRAMES) >= 10).astype(int)
    yield "cut", track_of(shots), RETIME, 10
    index = np.arange(NUM_FRAMES + 5)
    jump = np.concatenate([index[:14], index[19:]]).astype(np.int32)
    yield "jump", track_of(np.zeros(NUM_FRAMES + 5)), RetimeMap(jump, np.zeros(NUM_FRAMES, bool)), 14


@pytest.mark.parametrize(("_name", "track", "retime", "first"), list(starts()))
@pytest.mark.parametrize("method", ["screened_poisson", "literal"])
def test_nothing_is_carried_over_a_start(
    ctx: StageContext, _name: str, track: FaceTrack, retime: RetimeMap, first: int, method: str
) -> None:
    patches = flickering()
    made = patches_of(run(ctx, mouths_of(patches, ALL), track, retime, method=method))
    is_own_N = (made == patches).all((1, 2, 3))
    assert is_own_N[[0, first]].all()
    assert not is_own_N[[first - 1, first + 1]].any()


def test_a_gap_starts_anew(ctx: StageContext) -> None:
    patches, has_patch_N = flickering(), ALL.copy()
    has_patch_N[[5, 8, 9, 10, 11, 12, 13, 14, 15, 20]] = False
    artefacts = kept(ctx)
    frames = drained(run(ctx, mouths_of(patches, has_patch_N)))
    assert [each.patch is not None for each in frames] == has_patch_N.tolist()
    numbers = np.flatnonzero(has_patch_N)
    is_own_N = (patches_of(frames) == patches[numbers]).all((1, 2, 3))
    assert numbers[is_own_N].tolist() == [0, 6, 16, 21]
    names = [file.path.name for file in artefacts[0].patches]
    assert names == ["deflicker_00000.mkv", "deflicker_00002.mkv"], "no file of the middle, which has none"


@pytest.mark.parametrize("is_own_pixels", [False, True])
def test_no_patch_at_all(ctx: StageContext, is_own_pixels: bool) -> None:
    """Nobody is seen, or everybody keeps the own mouth."""
    before = mouths_of(flickering(), ALL if is_own_pixels else ~ALL)
    mouths = replace(before.mouths, is_own_pixels=is_own_pixels)
    artefacts = kept(ctx)
    frames = drained(run(ctx, stream_of(mouths, [None] * NUM_FRAMES)))
    assert all(each.patch is None for each in frames)
    assert artefacts == [mouths]
    assert list(ctx.work_dir.iterdir()) == []
