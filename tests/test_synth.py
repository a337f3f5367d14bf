"""The clips that other tests measure against are themselves what they claim."""

from __future__ import annotations

from fractions import Fraction
from pathlib import Path

import av
import numpy as np
import pytest

from examples.animate import pose
from examples.clipfile import VideoFormat
from examples.modes import POSE
from tests import synth


def decoded(path: Path) -> tuple[list[np.ndarray], list[float], int]:
    images, times, rotation = [], [], 0
    with av.open(str(path)) as container:
        for frame in container.decode(video=0):
            images.append(frame.to_ndarray(format="rgb24"))
            times.append(frame.time)
            rotation = frame.rotation
    return images, times, rotation


def psnr_db(one: np.ndarray, two: np.ndarray) -> float:
    return float(10 * np.log10(255**2 / np.mean((one.astype(float) - two) ** 2)))


def test_a_pose_of_zeros_is_the_portrait():
    still = synth.puppet().frame(pose())
    assert psnr_db(still, synth.portrait().image) > 33  # the mouth's inside is painted anew
    assert np.abs(synth.puppet().landmarks(pose()) - synth.portrait().landmarks_L3[:, :2]).max() < 1e-3


def test_lips_meet_when_closed_and_part_with_the_jaw():
    puppet = synth.puppet()
    assert puppet.opening_px(pose(close=1)) < 0.3
    openings = [puppet.opening_px(pose(open=value)) for value in (0, 0.4, 0.8)]
    assert openings[0] < openings[1] - 8 < openings[2] - 16


def test_pixels_move_as_the_truth_says():
    """A block around the nose, found again by matching, has gone where the landmark went."""
    import cv2

    puppet = synth.puppet()
    moved = pose(tx=0.05, ty=-0.04)
    (x, y), (to_x, to_y) = puppet.landmarks(pose())[4], puppet.landmarks(moved)[4]
    block = puppet.frame(pose())[round(y) - 24 : round(y) + 24, round(x) - 24 : round(x) + 24]
    score = cv2.matchTemplate(puppet.frame(moved), block, cv2.TM_SQDIFF)
    row, col = np.unravel_index(score.argmin(), score.shape)
    assert abs((col + 24 - round(x)) - (to_x - x)) <= 1
    assert abs((row + 24 - round(y)) - (to_y - y)) <= 1


def test_the_tracker_agrees_with_the_truth(tmp_path: Path):
    import mediapipe

    clip = synth.make_clip(tmp_path / "talk.mp4", num_frames=25, size=(360, 360), has_audio=False)
    found = []
    with mediapipe.solutions.face_mesh.FaceMesh(refine_landmarks=True) as mesh:
        for image in decoded(clip.path)[0]:
            faces = mesh.process(image).multi_face_landmarks
            assert faces
            found.append([(p.x * 360, p.y * 360) for p in faces[0].landmark[:468]])
    found_TL2 = np.array(found)
    assert np.linalg.norm(found_TL2 - clip.landmarks_TL2, axis=-1).mean() < 2.0
    opening_T = np.linalg.norm(found_TL2[:, 13] - found_TL2[:, 14], axis=-1)
    assert np.corrcoef(opening_T, clip.opening_px_T)[0, 1] > 0.9


@pytest.mark.parametrize("frame_rate", [Fraction(25), Fraction(30000, 1001), Fraction(50)])
def test_constant_rates_are_exact(tmp_path: Path, frame_rate: Fraction):
    clip = synth.make_clip(tmp_path / "c.mp4", num_frames=8, frame_rate=frame_rate)
    images, times, _ = decoded(clip.path)
    assert images[0].shape == (240, 240, 3)
    np.testing.assert_allclose(times, np.arange(8) / float(frame_rate), atol=1e-4)


def test_variable_rate_keeps_each_timestamp(tmp_path: Path):
    base = Fraction(1, 90_000)
    pts = synth.vfr_pts(10, Fraction(30), base)
    clip = synth.make_clip(tmp_path / "v.mp4", pts=pts, time_base=base, frame_rate=30)
    np.testing.assert_allclose(decoded(clip.path)[1], clip.times_s_T, atol=1e-4)
    assert len(set(np.diff(pts))) > 3


@pytest.mark.parametrize("rotation_deg", [90, 180, 270])
def test_rotation_is_told_and_truth_is_upright(tmp_path: Path, rotation_deg: int):
    clip = synth.make_clip(tmp_path / "r.mov", num_frames=2, size=(320, 240), rotation_deg=rotation_deg)
    images, _, counterclockwise = decoded(clip.path)
    assert (-counterclockwise) % 360 == rotation_deg
    upright = np.rot90(images[0], -rotation_deg // 90)
    assert psnr_db(upright, next(synth.frames(clip))) > 30


def test_codec_sound_cut_and_gap(tmp_path: Path):
    video = VideoFormat(codec="mpeg4", options={"q:v": "3"}, pixel_aspect=Fraction(4, 3))
    clip = synth.make_clip(tmp_path / "x.mkv", num_frames=12, video=video, cut_at=8, faceless=range(4, 6))
    assert clip.has_face_T.tolist() == [True] * 4 + [False] * 2 + [True] * 6
    assert clip.shot_id_T.tolist() == [0] * 8 + [1] * 4
    assert not clip.landmarks_TL2[4:6].any()
    with av.open(str(clip.path)) as container:
        assert container.streams.video[0].codec_context.name == "mpeg4"
        assert container.streams.video[0].sample_aspect_ratio == Fraction(4, 3)
        sound = np.concatenate([f.to_ndarray()[0] for f in container.decode(audio=0)])
    assert len(sound) / synth.SPEECH_RATE_HZ == pytest.approx(12 / 25, abs=0.15)
    images = decoded(clip.path)[0]
    assert psnr_db(images[7], images[8]) < 20 < psnr_db(images[8], images[9])


def test_sound_follows_the_mouth():
    sound = synth.talking_sound(6.0, seed=2)
    power = np.sqrt((sound.reshape(-1, 640) ** 2).mean(axis=1))
    gap = synth.talking_gap((np.arange(len(power)) + 0.5) * 0.04, seed=2)
    assert np.corrcoef(power, gap)[0, 1] > 0.8
    assert (gap < 0.01).mean() > 0.05 and gap.max() > 0.2


def test_same_seed_same_bytes(tmp_path: Path):
    one = synth.make_clip(tmp_path / "a.mp4", num_frames=3, seed=5)
    two = synth.make_clip(tmp_path / "b.mp4", num_frames=3, seed=5)
    assert one.path.read_bytes() == two.path.read_bytes()
    assert one.poses_TP.shape == (3, len(POSE))
