"""deflicker: patches in, steadier patches out; cuts, gaps, and runs that were killed."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from dubber.engine.stage import StageContext
from dubber.media.patches import PatchWriter, read_patches
from dubber.pipeline import make_runtime
from dubber.stages import patch_segments
from dubber.stages.deflicker import Deflicker, DeflickerParams
from dubber.types import Bool, FaceTrack, Mouths, RetimeMap, StoredFile

NUM_FRAMES = 24
SEGMENT = 8
SIZE = (32, 48)


@pytest.fixture(autouse=True)
def short_segments(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(patch_segments, "SEGMENT_FRAMES", SEGMENT)


def context(folder: Path) -> StageContext:
    for name in ("entry", "work"):
        (folder / name).mkdir(parents=True, exist_ok=True)
    return StageContext(make_runtime(cache_dir=folder), folder / "entry", folder / "work", "deflicker")


def mouths_of(patches: np.ndarray, has_patch_N: Bool, folder: Path) -> Mouths:
    """Patches of all frames, of which those that `has_patch_N` are written."""
    files = []
    for start in range(0, len(patches), SEGMENT):
        if has_patch_N[start : start + SEGMENT].any():
            files.append(StoredFile(folder / f"in_{start}.mkv"))
            with PatchWriter(files[-1].path, SIZE) as writer:
                for n in range(start, min(start + SEGMENT, len(patches))):
                    if has_patch_N[n]:
                        writer.write(patches[n])
    num_frames = len(patches)
    return Mouths(
        patches=tuple(files),
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
    )


TRACK = track_of(np.zeros(NUM_FRAMES))
RETIME = RetimeMap(np.arange(NUM_FRAMES, dtype=np.int32), np.zeros(NUM_FRAMES, bool))
ALL = np.ones(NUM_FRAMES, bool)


def flickering() -> np.ndarray:
    """(N, H, W, 3) a still texture whose brightness alternates by 6 levels."""
    texture = np.random.default_rng(0).integers(80, 170, (SIZE[0] // 8, SIZE[1] // 8, 3))
    still = texture.repeat(8, 0).repeat(8, 1)
    return np.stack([still + 6 * (n % 2) for n in range(NUM_FRAMES)]).astype(np.uint8)


def read(mouths: Mouths) -> np.ndarray:
    return np.stack(list(read_patches([file.path for file in mouths.patches])))


def run(
    ctx: StageContext, mouths: Mouths, track: FaceTrack = TRACK, retime: RetimeMap = RETIME, **params: object
) -> np.ndarray:
    made = Deflicker(DeflickerParams.model_validate(params)).run(ctx, track, retime, mouths)
    assert replace(made, patches=mouths.patches) == mouths
    return read(made)


def unrest(patches: np.ndarray) -> float:
    return float(np.abs(np.diff(patches[4:].astype(float).mean((1, 2, 3)))).mean())


def test_flicker_is_removed(tmp_path: Path) -> None:
    patches = flickering()
    made = run(context(tmp_path), mouths_of(patches, ALL, tmp_path))
    assert made.shape == patches.shape
    assert unrest(made) < 0.3 * unrest(patches)


def test_a_killed_run_ends_with_the_same_patches(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    mouths = mouths_of(flickering(), ALL, tmp_path)
    undisturbed = run(context(tmp_path / "a"), mouths)
    ctx = context(tmp_path / "b")
    write, count = PatchWriter.write, iter(range(100))

    def killed(self: PatchWriter, rgb: np.ndarray) -> None:
        if next(count) == 2 * SEGMENT + 3:
            raise KeyboardInterrupt
        write(self, rgb)

    monkeypatch.setattr(PatchWriter, "write", killed)
    with pytest.raises(KeyboardInterrupt):
        run(ctx, mouths)
    monkeypatch.setattr(PatchWriter, "write", write)
    assert len(list((tmp_path / "b" / "work").glob("*.mkv"))) == 2
    np.testing.assert_array_equal(run(ctx, mouths), undisturbed)


def starts() -> Iterator[tuple[str, FaceTrack, RetimeMap, int]]:
    shots = (np.arange(NUM_FRAMES) >= 10).astype(int)
    yield "cut", track_of(shots), RETIME, 10
    index = np.arange(NUM_FRAMES + 5)
    jump = np.concatenate([index[:14], index[19:]]).astype(np.int32)
    yield "jump", track_of(np.zeros(NUM_FRAMES + 5)), RetimeMap(jump, np.zeros(NUM_FRAMES, bool)), 14


@pytest.mark.parametrize(("_name", "track", "retime", "first"), list(starts()))
@pytest.mark.parametrize("method", ["screened_poisson", "literal"])
def test_nothing_is_carried_over_a_start(
    tmp_path: Path, _name: str, track: FaceTrack, retime: RetimeMap, first: int, method: str
) -> None:
    patches = flickering()
    made = run(context(tmp_path), mouths_of(patches, ALL, tmp_path), track, retime, method=method)
    is_own_N = (made == patches).all((1, 2, 3))
    assert is_own_N[[0, first]].all()
    assert not is_own_N[[first - 1, first + 1]].any()


def test_a_gap_starts_anew(tmp_path: Path) -> None:
    patches, has_patch_N = flickering(), ALL.copy()
    has_patch_N[[5, 8, 9, 10, 11, 12, 13, 14, 15, 20]] = False
    made = run(context(tmp_path), mouths_of(patches, has_patch_N, tmp_path))
    numbers = np.flatnonzero(has_patch_N)
    is_own_N = (made == patches[numbers]).all((1, 2, 3))
    assert numbers[is_own_N].tolist() == [0, 6, 16, 21]


def test_own_pixels_stay(tmp_path: Path) -> None:
    patches = flickering()
    mouths = replace(mouths_of(patches, ALL, tmp_path), is_own_pixels=True)
    made = Deflicker(DeflickerParams()).run(context(tmp_path), TRACK, RETIME, mouths)
    np.testing.assert_array_equal(read(made), patches)
    assert all(file.path.parent == tmp_path / "entry" for file in made.patches)


def test_no_patch_at_all(tmp_path: Path) -> None:
    mouths = mouths_of(flickering(), ~ALL, tmp_path)
    assert Deflicker(DeflickerParams()).run(context(tmp_path), TRACK, RETIME, mouths).patches == ()
