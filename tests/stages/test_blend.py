"""blend: what stays bit for bit, what changes, and that it does not show."""

from __future__ import annotations

from dataclasses import replace
from itertools import pairwise

import numpy as np
import pytest

from dubber.engine.stage import StageContext
from dubber.media.frame import Frame
from dubber.media.probe import probe
from dubber.media.reader import read_frames, read_frames_at
from dubber.ops.align import apply_similarity, invert_similarity
from dubber.stages.blend import Blend, BlendParams
from dubber.stages.compositor import Compositor, fade_strength, halfway_frame
from dubber.stages.mouth_geometry import source_geometry
from dubber.stages.render import RenderParams, render_mouths
from dubber.stages.renderers.crops import crop_of
from dubber.types import Clip, FaceTrack, Mouths, RetimeMap, SourceFile
from tests.stages.streams import drained, kept, num_makers
from tests.stages.true_face import still_coeffs, straight, true_track
from tests.synth import SyntheticClip, make_clip

NUM_FRAMES = 24


@pytest.fixture(scope="module")
def synthetic(tmp_path_factory: pytest.TempPathFactory) -> SyntheticClip:
    return make_clip(
        tmp_path_factory.mktemp("clip") / "clip.mp4", num_frames=NUM_FRAMES, faceless=range(10, 12)
    )


@pytest.fixture(scope="module")
def clip(synthetic: SyntheticClip) -> Clip:
    return probe(synthetic.path)


def dubbed(
    ctx: StageContext,
    synthetic: SyntheticClip,
    clip: Clip,
    retime: RetimeMap,
    shift: int = 0,
    params: BlendParams | None = None,
    **render_params: object,
) -> tuple[list[Frame], Mouths, FaceTrack]:
    """Frames that say what the clip says `shift` frames later."""
    track, coeffs = true_track(synthetic), still_coeffs(clip.num_frames)
    geometry = source_geometry(track, coeffs, retime)
    other = replace(retime, source_index_N=(retime.source_index_N + shift) % clip.num_frames)
    upright = source_geometry(track, coeffs, other)
    own = apply_similarity(geometry.similarity_N23, geometry.landmarks_NM2)
    said = apply_similarity(upright.similarity_N23, upright.landmarks_NM2)
    usable = (geometry.has_face_N & upright.has_face_N)[:, None, None]
    wanted = apply_similarity(invert_similarity(geometry.similarity_N23), np.where(usable, said, own))
    source = SourceFile(synthetic.path, "0" * 64)
    mouths = render_mouths(
        ctx,
        RenderParams.model_validate({"renderer": "exemplar", **render_params}),
        source,
        clip,
        track,
        coeffs,
        retime,
        wanted.__getitem__,
    )
    stream = Blend(params or BlendParams()).run(ctx, source, clip, track, retime, mouths)
    frames = list(stream.open())
    assert len(frames) == stream.num_frames == len(retime.source_index_N)
    return frames, mouths.mouths, track


def is_same(first: Frame, second: Frame) -> bool:
    return all((a == b).all() for a, b in zip(first.planes, second.planes, strict=True))


def test_the_null_twin_gives_the_source_bit_for_bit(
    context: StageContext, synthetic: SyntheticClip, clip: Clip
) -> None:
    frames, _, _ = dubbed(context, synthetic, clip, straight(NUM_FRAMES), shift=5, renderer="copy")
    assert all(is_same(a, b) for a, b in zip(frames, read_frames(synthetic.path, clip), strict=True))


def test_only_the_lower_face_changes(context: StageContext, synthetic: SyntheticClip, clip: Clip) -> None:
    frames, mouths, track = dubbed(context, synthetic, clip, straight(NUM_FRAMES), shift=4)
    num_changed = 0
    for n, (frame, source) in enumerate(zip(frames, read_frames(synthetic.path, clip), strict=True)):
        if not mouths.has_patch_N[n]:
            assert is_same(frame, source)
            continue
        rows, columns = np.nonzero(frame.y != source.y)
        num_changed += len(rows)
        points = track.landmarks_TL3[n, :, :2]
        low, high = points.min(0), points.max(0)
        reach = 0.5 * (high - low)
        assert (columns >= low[0] - reach[0]).all()
        assert (columns <= high[0] + reach[0]).all()
        assert (rows <= high[1] + reach[1]).all()
        eyes = points[[33, 133, 362, 263], 1].max()
        assert (rows > eyes).all(), "eyes are the source's"
    assert num_changed > 1000 * NUM_FRAMES


def test_the_own_mouth_put_back_is_hardly_seen(
    context: StageContext, synthetic: SyntheticClip, clip: Clip
) -> None:
    frames, mouths, _ = dubbed(context, synthetic, clip, straight(NUM_FRAMES))
    for n, (frame, source) in enumerate(zip(frames, read_frames(synthetic.path, clip), strict=True)):
        if mouths.has_patch_N[n]:
            error = np.mean((frame.y.astype(float) - source.y) ** 2)
            assert 10 * np.log10(255**2 / max(error, 1e-9)) > 42


def test_the_new_mouth_is_there(context: StageContext, synthetic: SyntheticClip, clip: Clip) -> None:
    """The result's mouth is that of the wanted frame, not that of the source."""
    frames, mouths, track = dubbed(context, synthetic, clip, straight(NUM_FRAMES), shift=6)
    sources = list(read_frames(synthetic.path, clip))
    opening = synthetic.opening_px_T
    telling = [
        n
        for n in range(NUM_FRAMES - 6)
        if mouths.has_patch_N[n]
        and synthetic.has_face_T[n + 6]
        and abs(opening[n] - opening[n + 6]) > 4
        # next to the gap a mouth is only faded in
        and not 6 <= n < 16
    ]
    assert len(telling) >= 3

    def mouth(frame: Frame, n: int) -> np.ndarray:
        return crop_of(frame, track.similarity_T23[n], (384, 384))[205:290, 140:245].astype(float)

    closer = [
        np.abs(mouth(frames[n], n) - mouth(sources[n + 6], n + 6)).mean()
        < np.abs(mouth(frames[n], n) - mouth(sources[n], n)).mean()
        for n in telling
    ]
    assert np.mean(closer) > 0.7


def test_the_stream_can_be_opened_twice(context: StageContext, synthetic: SyntheticClip, clip: Clip) -> None:
    track, coeffs, retime = true_track(synthetic), still_coeffs(NUM_FRAMES), straight(NUM_FRAMES)
    source = SourceFile(synthetic.path, "0" * 64)
    wanted = source_geometry(track, coeffs, retime).landmarks_NM2 + 2
    mouths = render_mouths(
        context, RenderParams(renderer="exemplar"), source, clip, track, coeffs, retime, wanted.__getitem__
    )
    stream = Blend(BlendParams()).run(context, source, clip, track, retime, mouths)
    abandoned = stream.open()
    next(abandoned)
    assert num_makers() > 1
    abandoned.close()
    assert num_makers() == 0, "every thread of the chain has ended"
    assert all(is_same(a, b) for a, b in zip(stream.open(), stream.open(), strict=True))
    assert num_makers() == 0


def test_stored_mouths_are_blended_as_those_that_flow(
    context: StageContext, synthetic: SyntheticClip, clip: Clip
) -> None:
    """With half-way pictures and a gap; the frames of either are decoded by the stream itself."""
    retime = RetimeMap(np.array([3, 3, 4, 9, 5, 6], np.int32), np.array([0, 1, 0, 1, 0, 0], bool))
    artefacts = kept(context)
    live, _, track = dubbed(context, synthetic, clip, retime, shift=3)
    source = SourceFile(synthetic.path, "0" * 64)
    stream = Blend(BlendParams()).run(context, source, clip, track, retime, artefacts[0])
    assert stream.is_dubbed_N.tolist() == [True, True, True, False, True, True]
    assert all(is_same(a, b) for a, b in zip(live, stream.open(), strict=True))
    assert num_makers() == 0


def test_half_way_pictures_lie_between(context: StageContext, synthetic: SyntheticClip, clip: Clip) -> None:
    retime = RetimeMap(np.array([3, 3, 4, 5, 9], np.int32), np.array([False, True, False, False, True]))
    frames, mouths, _ = dubbed(context, synthetic, clip, retime, renderer="copy")
    third, fourth, fifth, ninth, tenth = read_frames_at(synthetic.path, clip, [3, 4, 5, 9, 10])
    assert is_same(frames[0], third)
    assert is_same(frames[1], halfway_frame(third, fourth))
    assert is_same(frames[2], fourth)
    assert is_same(frames[3], fifth)
    assert is_same(frames[4], halfway_frame(ninth, tenth))
    assert mouths.has_patch_N.tolist() == [True, True, True, True, False]
    rendered, _, _ = dubbed(context, synthetic, clip, retime, shift=3)
    assert not is_same(rendered[1], frames[1])
    assert is_same(rendered[4], frames[4])


def test_a_chin_below_the_frame_is_no_obstacle(
    context: StageContext, tmp_path: object, synthetic: SyntheticClip, clip: Clip
) -> None:
    track, retime = true_track(synthetic), straight(4)
    down = np.array([0, 240 - 0.5 * float(track.landmarks_TL3[0, [17, 152], 1].sum()), 0], np.float32)
    landmarks = track.landmarks_TL3 + down
    similarity = track.similarity_T23.copy()
    similarity[:, :, 2] -= (similarity[:, :, :2] @ down[:2, None])[..., 0]
    track = replace(track, landmarks_TL3=landmarks, similarity_T23=similarity)
    coeffs = still_coeffs(NUM_FRAMES)
    wanted = source_geometry(track, coeffs, retime).landmarks_NM2
    wanted[:, 20:, 1] += 3
    source = SourceFile(synthetic.path, "0" * 64)
    mouths = render_mouths(
        context, RenderParams(renderer="exemplar"), source, clip, track, coeffs, retime, wanted.__getitem__
    )
    frames = list(Blend(BlendParams()).run(context, source, clip, track, retime, mouths).open())
    assert len(frames) == 4
    assert (frames[0].y[-1] != next(read_frames(synthetic.path, clip)).y[-1]).any(), (
        "replaced down to the edge"
    )


@pytest.mark.parametrize("fade_frames", [0, 1, 3])
def test_mouths_fade_at_gaps_and_not_at_cuts(fade_frames: int) -> None:
    has_patch = np.array([1, 1, 1, 1, 1, 0, 0, 1, 1, 1, 1, 1, 1, 0, 1, 1], bool)
    shot = np.array([0] * 10 + [1] * 3 + [2] * 3)
    strength = fade_strength(has_patch, shot, fade_frames)
    assert (strength[~has_patch] == 0).all()
    assert strength[0] == strength[15 - 0 if fade_frames < 2 else 0] == 1
    assert (strength[10:13] == 1).all(), "the gap of another shot does not matter"
    if fade_frames == 3:
        np.testing.assert_allclose(strength[2:5], [0.75, 0.5, 0.25])
        np.testing.assert_allclose(strength[7:10], [0.25, 0.5, 0.75])
    assert all(abs(a - b) <= 1 / (fade_frames + 1) + 1e-6 for a, b in pairwise(strength[:10]))


def test_what_stands_before_the_mouth_is_kept(
    context: StageContext, synthetic: SyntheticClip, clip: Clip
) -> None:
    """A gray bar before one half of the mouth stays; one before all of it leaves the frame as it is."""
    track, coeffs, retime = true_track(synthetic), still_coeffs(NUM_FRAMES), straight(NUM_FRAMES)
    source = SourceFile(synthetic.path, "0" * 64)
    wanted = source_geometry(track, coeffs, retime).landmarks_NM2
    params = RenderParams(renderer="exemplar")
    stream = render_mouths(context, params, source, clip, track, coeffs, retime, wanted.__getitem__)
    mouths, first = stream.mouths, drained(stream)[0]
    frame, patch = first.frame, first.patch
    assert patch is not None
    left, right = (int(track.landmarks_TL3[0, k, 0]) // 2 * 2 for k in (61, 291))
    reach = (right - left) // 4 * 2
    start = right - reach // 4 * 2

    def covered(columns: slice) -> tuple[Frame, Frame]:
        half = slice(columns.start // 2, columns.stop // 2)
        y, u, v = (plane.copy() for plane in frame.planes)
        y[:, columns], u[:, half], v[:, half] = 30, 128, 128
        film = replace(frame, y=y, u=u, v=v)
        return film, Compositor(BlendParams(), track, retime, mouths).composite(0, film, patch)

    film, made = covered(slice(start, right + reach))
    error = np.abs(made.y.astype(int) - film.y)[:, start + 4 : right + reach - 4]
    assert (error > 10).mean() < 0.02
    assert not is_same(film, made)
    film, made = covered(slice(left - 2 * reach, right + 2 * reach))
    assert is_same(film, made)
