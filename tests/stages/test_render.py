"""render: wanted landmarks, the search as a whole, resuming; on a puppet whose truth is known."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from dubber.engine.stage import StageContext
from dubber.errors import ConfigError
from dubber.media.probe import probe
from dubber.media.reader import read_frames_at
from dubber.models.morphable import project_TL2
from dubber.ops.align import apply_similarity, similarity_to_mean_face
from dubber.ops.landmarks import MOUTH_JAW, mouth_opening
from dubber.stages import mouth_segments, mouth_stream
from dubber.stages.mouth_geometry import source_geometry, wanted_landmarks
from dubber.stages.render import RenderParams, render_mouths
from dubber.stages.render_job import crop_size
from dubber.stages.renderers.crops import crop_of
from dubber.stages.renderers.exemplar import ExemplarSource
from dubber.types import Clip, FaceCoeffs, FaceTrack, Mouths, PainterVerdict, RetimeMap, SourceFile
from tests.models.face import formula_face, random_poses
from tests.stages.streams import Fuse, Killed, drained, kept, patches_of, stage_context
from tests.stages.true_face import own_mouths, still_coeffs, straight, true_track
from tests.synth import SyntheticClip, make_clip

NUM_FRAMES = 40


@pytest.fixture(scope="module")
def synthetic(tmp_path_factory: pytest.TempPathFactory) -> SyntheticClip:
    return make_clip(
        tmp_path_factory.mktemp("clip") / "clip.mp4", num_frames=NUM_FRAMES, faceless=range(12, 15)
    )


@pytest.fixture(scope="module")
def clip(synthetic: SyntheticClip) -> Clip:
    return probe(synthetic.path)


def source_crops(mouths: Mouths, synthetic: SyntheticClip, clip: Clip, indices: np.ndarray) -> np.ndarray:
    similarities = mouths.similarity_N23[mouths.has_patch_N]
    frames = read_frames_at(synthetic.path, clip, indices[mouths.has_patch_N])
    pairs = zip(frames, similarities, strict=True)
    return np.stack([crop_of(frame, similarity, mouths.patch_size) for frame, similarity in pairs])


def mouth_psnr(patches: np.ndarray, truth: np.ndarray, mouths: Mouths) -> np.ndarray:
    result = []
    for patch, crop, points in zip(patches, truth, mouths.landmarks_NM2[mouths.has_patch_N], strict=True):
        (x0, y0), (x1, y1) = points[:20].min(0).astype(int) - 6, points[:20].max(0).astype(int) + 6
        error = np.mean((patch[y0:y1, x0:x1].astype(float) - crop[y0:y1, x0:x1]) ** 2)
        result.append(10 * np.log10(255**2 / max(error, 1e-3)))
    return np.array(result)


def test_own_landmarks_give_the_own_pixels(
    context: StageContext, synthetic: SyntheticClip, clip: Clip
) -> None:
    stream = own_mouths(context, synthetic, clip)
    mouths = stream.mouths
    assert mouths.crop_size_px == 256
    assert mouths.patch_size == (128, 192)
    assert mouths.renderer == "exemplar"
    assert (mouths.lends_T == synthetic.has_face_T).all()
    assert (mouths.has_patch_N == synthetic.has_face_T).all()
    assert not mouths.is_own_pixels
    patches = patches_of(stream)
    assert patches.shape == (NUM_FRAMES - 3, 128, 192, 3)
    truth = source_crops(mouths, synthetic, clip, np.arange(NUM_FRAMES))
    difference = np.abs(patches.astype(int) - truth)
    # The exemplar is cut out with a margin, and OpenCV rounds places in the picture to 1/32 px.
    assert difference.mean() < 0.1
    assert difference.max() <= 8
    np.testing.assert_allclose(mouths.landmarks_NM2, mouths.source_landmarks_NM2)


def test_held_out_mouths_are_rebuilt_better_than_frozen_ones(
    context: StageContext, synthetic: SyntheticClip, clip: Clip
) -> None:
    stream = own_mouths(context, synthetic, clip, held_out_from_frame=30)
    mouths = stream.mouths
    truth = source_crops(mouths, synthetic, clip, np.arange(NUM_FRAMES))
    held_out = np.flatnonzero(mouths.has_patch_N) >= 30
    patches = patches_of(stream)
    assert (np.abs(patches.astype(int) - truth).max((1, 2, 3)) > 10)[held_out].all(), "nothing leaks"
    found = mouth_psnr(patches, truth, mouths)[held_out]
    frozen = mouth_psnr(np.repeat(truth[26:27], len(truth), 0), truth, mouths)[held_out]
    assert np.median(found) > np.median(frozen) + 2


def test_the_footage_out_of_order(context: StageContext, synthetic: SyntheticClip, clip: Clip) -> None:
    index_N = np.array([5, 4, 30, 31, 31, 13, 2], np.int32)
    retime = RetimeMap(index_N, np.zeros(7, bool))
    stream = own_mouths(context, synthetic, clip, retime, dissolve_frames=0)
    mouths = stream.mouths
    assert mouths.has_patch_N.tolist() == [True, True, True, True, True, False, True]
    frames = drained(stream)
    assert [each.frame.index for each in frames] == index_N.tolist()
    assert [each.patch is not None for each in frames] == mouths.has_patch_N.tolist()
    truth = source_crops(mouths, synthetic, clip, index_N)
    assert np.median(mouth_psnr(patches_of(frames), truth, mouths)) > 45


def test_copy_needs_no_patches(context: StageContext, synthetic: SyntheticClip, clip: Clip) -> None:
    artefacts = kept(context)
    stream = own_mouths(context, synthetic, clip, renderer="copy")
    frames = drained(stream)
    assert (stream.mouths.has_patch_N == synthetic.has_face_T).all()
    assert all(each.patch is None for each in frames)
    assert [(mouths.patches, mouths.is_own_pixels) for mouths in artefacts] == [((), True)]
    assert list(context.work_dir.iterdir()) == [context.scratch_dir()]
    assert not list(context.scratch_dir().glob("crops*")), "the film is decoded once"


def test_a_stream_that_nobody_keeps_leaves_nothing_but_scratch(
    context: StageContext, synthetic: SyntheticClip, clip: Clip
) -> None:
    own_mouths(context, synthetic, clip).drain()
    assert list(context.entry_dir.iterdir()) == []
    assert {path.parent for path in context.work_dir.rglob("*") if path.is_file()} == {context.scratch_dir()}


def files_of(mouths: Mouths) -> list[bytes]:
    return [file.path.read_bytes() for file in mouths.patches]


# A file is finished when the next one is begun, the last one when the artefact is complete.
@pytest.mark.parametrize(
    ("num_frames", "num_done"), [(7, 0), (20, 2), (NUM_FRAMES - 2, 4), (NUM_FRAMES - 1, 5)]
)
def test_a_killed_run_continues_and_gives_the_same_bytes(
    tmp_path: Path,
    context: StageContext,
    synthetic: SyntheticClip,
    clip: Clip,
    monkeypatch: pytest.MonkeyPatch,
    num_frames: int,
    num_done: int,
) -> None:
    monkeypatch.setattr(mouth_segments, "SEGMENT_FRAMES", 8)
    monkeypatch.setattr(mouth_stream, "PART_FRAMES", 15)
    artefacts = kept(context)
    frames = drained(own_mouths(context, synthetic, clip, held_out_from_frame=30))
    (whole,) = artefacts
    assert len(whole.patches) == 5

    second = stage_context(tmp_path / "second", "test")
    killed, second.progress = kept(second), Fuse("test", num_frames)
    with pytest.raises(Killed):
        drained(own_mouths(second, synthetic, clip, held_out_from_frame=30))
    assert len(killed) == (num_frames == NUM_FRAMES - 1), "complete with the last patch, or not at all"
    done = {path.name: path.stat().st_ino for path in second.work_dir.glob("*.mkv")}
    assert sorted(done) == [f"test_{segment:05d}.mkv" for segment in range(num_done)]
    assert not list(second.work_dir.glob("*.part"))

    fuse = second.progress = Fuse("test", NUM_FRAMES)
    artefacts = kept(second)
    again = drained(own_mouths(second, synthetic, clip, held_out_from_frame=30))
    assert files_of(artefacts[0]) == files_of(whole)
    assert (patches_of(again) == patches_of(frames)).all()
    inodes = {file.path.name: file.path.stat().st_ino for file in artefacts[0].patches}
    assert {name: inodes[name] for name in done} == done, "kept, not remade"
    assert fuse.counts == fuse.totals == {"test": NUM_FRAMES}
    for field in ("landmarks_NM2", "similarity_N23", "has_patch_N"):
        assert (getattr(artefacts[0], field) == getattr(whole, field)).all()


def test_in_parts_the_same_patches_are_made(
    context: StageContext, synthetic: SyntheticClip, clip: Clip, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Frames beyond a part's ends are looked at too; here all of them."""
    whole = own_mouths(context, synthetic, clip, held_out_from_frame=30)
    patches = patches_of(whole)
    for part_frames in (1, 14):
        monkeypatch.setattr(mouth_stream, "PART_FRAMES", part_frames)
        parted = own_mouths(context, synthetic, clip, held_out_from_frame=30)
        assert (patches_of(parted) == patches).all()
        for field in ("landmarks_NM2", "source_landmarks_NM2", "similarity_N23", "has_patch_N"):
            np.testing.assert_array_equal(getattr(parted.mouths, field), getattr(whole.mouths, field))


def test_finished_segments_are_not_painted_again(
    context: StageContext, synthetic: SyntheticClip, clip: Clip, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(mouth_segments, "SEGMENT_FRAMES", 8)
    kept(context)
    context.progress = Fuse("test", 20)
    with pytest.raises(Killed):
        drained(own_mouths(context, synthetic, clip))
    context.progress = Fuse("test", NUM_FRAMES)
    painted, original = [], ExemplarSource.patches

    def patches(self: ExemplarSource, n: int) -> list[np.ndarray]:
        painted.append(n)
        return original(self, n)

    monkeypatch.setattr(ExemplarSource, "patches", patches)
    drained(own_mouths(context, synthetic, clip))
    assert painted == list(range(16, NUM_FRAMES))


def test_the_network_gives_way_where_exemplars_are_better(
    context: StageContext, synthetic: SyntheticClip, clip: Clip, caplog: pytest.LogCaptureFixture
) -> None:
    worse, better = PainterVerdict(False, 20.0, 21.0), PainterVerdict(True, 21.0, 20.0)
    for verdict, renderer in ((worse, "exemplar"), (better, "hybrid")):
        stream = own_mouths(context, synthetic, clip, verdict=verdict, renderer="hybrid")
        assert stream.mouths.renderer == renderer
    assert caplog.text.count("exemplars are used") == 1
    given_way = patches_of(own_mouths(context, synthetic, clip, verdict=worse, renderer="hybrid"))
    assert (given_way == patches_of(own_mouths(context, synthetic, clip, renderer="exemplar"))).all()


def test_holding_out_everything_is_a_mistake_of_the_users(
    context: StageContext, synthetic: SyntheticClip, clip: Clip
) -> None:
    with pytest.raises(ConfigError, match="lend its mouth"):
        own_mouths(context, synthetic, clip, held_out_from_frame=0)


def test_a_clip_without_a_face_gives_no_patches(
    context: StageContext, synthetic: SyntheticClip, clip: Clip
) -> None:
    track = replace(true_track(synthetic), is_usable_T=np.zeros(NUM_FRAMES, bool))
    wanted = np.zeros((NUM_FRAMES, 39, 2), np.float32)
    source = SourceFile(synthetic.path, "0" * 64)
    coeffs = still_coeffs(NUM_FRAMES)
    artefacts = kept(context)
    stream = render_mouths(
        context, RenderParams(), source, clip, track, coeffs, straight(NUM_FRAMES), wanted.__getitem__
    )
    assert all(each.patch is None for each in drained(stream))
    (mouths,) = artefacts
    assert mouths.patches == ()
    assert not mouths.has_patch_N.any()


@pytest.mark.parametrize(("scale", "size_px"), [(1.6, 256), (1.0, 384), (0.74, 512), (0.5, 768), (0.2, 1024)])
def test_the_patches_are_as_fine_as_the_footage(synthetic: SyntheticClip, scale: float, size_px: int) -> None:
    track = true_track(synthetic)
    matrices = np.tile(np.array([[scale, 0, 0], [0, scale, 0]], np.float32), (NUM_FRAMES, 1, 1))
    assert crop_size(RenderParams(), replace(track, similarity_T23=matrices)) == size_px
    assert crop_size(RenderParams(crop_size_px=512), track) == 512


def fitted(num_frames: int) -> tuple[FaceTrack, FaceCoeffs]:
    """A model's own projection, off by a constant residual."""
    model, rng = formula_face(), np.random.default_rng(0)
    rotation, scale, translation = random_poses(num_frames, rng)
    identity = rng.normal(0, 1, 5).astype(np.float32)
    expression = rng.normal(0, 0.5, (num_frames, 6)).astype(np.float32)
    points = project_TL2(model, identity, expression, rotation * 0.2, scale, translation)
    landmarks = np.concatenate([points + 3, np.zeros((num_frames, 468, 1), np.float32)], 2)
    every = np.ones(num_frames, bool)
    zeros = np.zeros(num_frames, np.int32)
    similarity = similarity_to_mean_face(landmarks)
    track = FaceTrack(
        np.zeros((num_frames, 4), np.float32),
        landmarks,
        every.astype(np.float32),
        every,
        zeros,
        zeros,
        similarity,
        zeros.astype(np.int8),
    )
    residual = np.zeros(num_frames, np.float32)
    return track, FaceCoeffs(identity, expression, rotation * 0.2, scale, translation, residual)


def test_the_own_expression_gives_the_own_landmarks() -> None:
    track, coeffs = fitted(6)
    index_N = np.array([0, 3, 3, 5], np.int32)
    wanted = wanted_landmarks(
        formula_face(), track, coeffs, coeffs.expression_TK[index_N], RetimeMap(index_N, np.zeros(4, bool))
    )
    np.testing.assert_allclose(wanted, track.landmarks_TL3[index_N][:, MOUTH_JAW, :2], atol=1e-2)


def test_another_expression_moves_the_landmarks_by_the_models_difference() -> None:
    model = formula_face()
    track, coeffs = fitted(4)
    other = (coeffs.expression_TK + 0.05).astype(np.float32)
    wanted = wanted_landmarks(model, track, coeffs, other, straight(4))
    pose = (coeffs.rotation_T3, coeffs.scale_T, coeffs.translation_T2)
    expected = project_TL2(model, coeffs.identity_K, other, *pose)[:, MOUTH_JAW] + 3
    np.testing.assert_allclose(wanted[:, 20:], expected[:, 20:], atol=2e-2)
    assert np.abs(wanted - track.landmarks_TL3[:, MOUTH_JAW, :2]).max() > 0.5


def test_lips_never_pass_through_each_other() -> None:
    track, coeffs = fitted(40)
    rng = np.random.default_rng(1)
    wild = rng.normal(0, 8, (40, 6)).astype(np.float32)
    wanted = wanted_landmarks(formula_face(), track, coeffs, wild, straight(40))
    upright = apply_similarity(track.similarity_T23, wanted)
    own = apply_similarity(track.similarity_T23, track.landmarks_TL3[:, MOUTH_JAW, :2])
    gap, own_gap = upright[:, 18, 1] - upright[:, 14, 1], own[:, 18, 1] - own[:, 14, 1]
    assert (gap >= np.minimum(own_gap, 0) - 1e-2).all()
    assert mouth_opening(upright).max() > 5


def test_a_half_way_picture_has_half_way_geometry_but_never_across_a_cut() -> None:
    track, coeffs = fitted(4)
    track = replace(track, shot_id_T=np.array([0, 0, 1, 1], np.int32))
    retime = RetimeMap(np.array([0, 1, 2, 3], np.int32), np.ones(4, bool))
    source = source_geometry(track, coeffs, retime)
    assert source.is_halfway_N.tolist() == [True, False, True, False]
    points = track.landmarks_TL3[:, MOUTH_JAW, :2]
    np.testing.assert_allclose(source.landmarks_NM2[0], (points[0] + points[1]) / 2, rtol=1e-5)
    np.testing.assert_allclose(source.landmarks_NM2[1], points[1], rtol=1e-5)
    assert source.starts_anew_N.tolist() == [True, False, True, False]
    wanted = wanted_landmarks(formula_face(), track, coeffs, coeffs.expression_TK, retime)
    np.testing.assert_allclose(wanted[1], points[1], atol=1e-2)
    lost = replace(track, is_usable_T=np.array([True, True, True, False]))
    assert source_geometry(lost, coeffs, retime).has_face_N.tolist() == [True, True, False, False]
