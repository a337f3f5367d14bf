"""Short clips with known truth: a puppet made from the example's first frame, its mouth, head and sound.

Everything a clip shows is drawn from numbers, so a test can compare what dubber finds with what is so. A clip
of one second takes a few tenths of a second to make.
"""

from __future__ import annotations

import wave
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from fractions import Fraction
from functools import cache
from pathlib import Path

import av
import cv2
import numpy as np
from numpy.typing import NDArray

from dubber.types import Bool, Float32, Float64, Int32, Int64, UInt8
from examples.animate import Portrait, Puppet, mouth_gap, natural_motion
from examples.clipfile import VideoFormat, write_clip
from examples.modes import PARAM

EXAMPLES = Path(__file__).resolve().parents[1] / "examples"
SPEECH_RATE_HZ = 16_000
CUT_ZOOM = 1.25
"""After a cut the same face is shown this much larger, in other light."""


@dataclass(frozen=True)
class SyntheticClip:
    """A clip and what is true of it, in display coordinates.

    Attributes:
        path: The file.
        pts_T: (T,) int64 ticks, as written.
        time_base: Seconds per tick, as asked for; a container may store a finer one.
        size: Display (height, width).
        poses_TP: (T, P) float32, see `examples.modes.POSE`.
        landmarks_TL2: (T, 468, 2) float32 px; zeros where there is no face.
        opening_px_T: (T,) float32 distance of the middle of the inner lips; 0 where there is no face.
        has_face_T: (T,) bool.
        shot_id_T: (T,) int32.
        speech: (S,) float32 samples at `SPEECH_RATE_HZ` that the mouth follows, be they in the file or not.
    """

    path: Path
    pts_T: Int64
    time_base: Fraction
    size: tuple[int, int]
    poses_TP: Float32
    landmarks_TL2: Float32
    opening_px_T: Float32
    has_face_T: Bool
    shot_id_T: Int32
    speech: Float32

    @property
    def times_s_T(self) -> Float64:
        """(T,) seconds from the first frame."""
        return (self.pts_T - self.pts_T[0]) * float(self.time_base)


@cache
def portrait() -> Portrait:
    """The example's first frame with its true landmarks, 480 x 480."""
    with av.open(str(EXAMPLES / "speaker.mp4")) as container:
        image = next(container.decode(video=0)).to_ndarray(format="rgb24")
    with np.load(EXAMPLES / "speaker.truth.npz") as truth:
        return Portrait(image, truth["rest_landmarks_L3"])


@cache
def puppet(size: tuple[int, int] = (480, 480)) -> Puppet:
    """The puppet in a (height, width) frame."""
    return Puppet(portrait().resized(size))


@cache
def _puppet_after_cut(size: tuple[int, int]) -> Puppet:
    shot = portrait().resized(size)
    nose = shot.landmarks_L3[4, :2]
    zoom = np.array([[CUT_ZOOM, 0, 0], [0, CUT_ZOOM, 0]], np.float32)
    zoom[:, 2] = (1 - CUT_ZOOM) * nose
    image = cv2.warpAffine(
        shot.image, zoom, size[::-1], flags=cv2.INTER_CUBIC, borderMode=cv2.BORDER_REPLICATE
    )
    image = np.clip(image * np.array([0.62, 0.75, 0.9]), 0, 255).astype(np.uint8)
    points = shot.landmarks_L3 * CUT_ZOOM
    points[:, :2] += zoom[:, 2]
    return Puppet(Portrait(image, points))


def talking_gap(times_s: Float64, seed: int = 0) -> Float64:
    """How far the lips are apart, in widths of the mouth, when the synthetic speaker talks.

    Syllables of uneven size, four or so a second, with the lips meeting between some of them, and a pause of
    a quarter of a second every two seconds or so.

    Args:
        times_s: Any shape, seconds.
        seed: Chooses the words.

    Returns:
        Same shape, 0 to 0.36.
    """
    phase = np.random.default_rng(seed).random(4) * 2 * np.pi
    beat = 0.5 - 0.5 * np.cos(
        2 * np.pi * 3.7 * times_s + phase[0] + 1.1 * np.sin(2 * np.pi * 0.9 * times_s + phase[1])
    )
    size = (
        0.55 + 0.3 * np.sin(2 * np.pi * 1.3 * times_s + phase[2]) + 0.15 * np.sin(2 * np.pi * 0.37 * times_s)
    )
    pause = np.clip((np.cos(2 * np.pi * 0.47 * times_s + phase[3]) - 0.72) / 0.1, 0, 1)
    return 0.36 * np.clip(1.1 * beat - 0.05, 0, 1) * size * (1 - pause)


def talking_sound(duration_s: float, seed: int = 0, rate_hz: int = SPEECH_RATE_HZ) -> Float32:
    """A voice-like sound of the mouth in `talking_gap`: louder and brighter the wider, silent when shut.

    Args:
        duration_s: Length.
        seed: As for `talking_gap`.
        rate_hz: Sample rate.

    Returns:
        (S,) float32 in -1..1.
    """
    times_s = np.arange(round(duration_s * rate_hz)) / rate_hz
    openness = talking_gap(times_s, seed) / 0.36
    pitch = 2 * np.pi * np.cumsum(170 + 25 * np.sin(2 * np.pi * 0.6 * times_s)) / rate_hz
    voice = np.zeros_like(times_s)
    formant_hz = 300 + 500 * openness
    for harmonic in range(1, 20):
        distance = (harmonic * 170 - formant_hz) / 180
        voice += np.sin(harmonic * pitch) * (np.exp(-0.5 * distance**2) + 0.25 / harmonic)
    return np.asarray(0.25 * voice * openness, np.float32)


def talking_poses(times_s_T: Float64, seed: int = 0, *, has_head_motion: bool = True) -> Float32:
    """(T, P) poses of someone who says `talking_sound(seed)`."""
    poses_TP = natural_motion(times_s_T, seed) if has_head_motion else 0 * natural_motion(times_s_T, seed)
    gap_T = talking_gap(times_s_T, seed).astype(np.float32)
    poses_TP[:, PARAM["close"]], poses_TP[:, PARAM["open"]] = mouth_gap(puppet(), gap_T)
    poses_TP[:, PARAM["relax"]] = 0.8
    poses_TP[:, PARAM["pucker"]] = 0.4 + 0.4 * np.sin(2 * np.pi * 0.8 * times_s_T + seed)
    return poses_TP


def vfr_pts(num_frames: int, frame_rate: Fraction, time_base: Fraction, seed: int = 0) -> Int64:
    """(T,) timestamps whose distances vary between 0.6 and 1.8 frames, as phones write them."""
    steps = np.random.default_rng(seed).uniform(0.6, 1.8, num_frames - 1) / float(frame_rate * time_base)
    return np.concatenate([[0], np.cumsum(np.rint(steps))]).astype(np.int64)


def make_clip(
    path: Path,
    *,
    num_frames: int = 25,
    frame_rate: Fraction | int = 25,
    pts: Sequence[int] | Int64 | None = None,
    time_base: Fraction | None = None,
    size: tuple[int, int] = (240, 240),
    video: VideoFormat | None = None,
    has_audio: bool = True,
    poses: Float32 | None = None,
    has_head_motion: bool = True,
    cut_at: int | None = None,
    faceless: range | None = None,
    rotation_deg: int = 0,
    seed: int = 0,
) -> SyntheticClip:
    """Write a talking clip with known truth.

    Args:
        path: File to write; the suffix chooses the container.
        num_frames: How many frames, unless `pts` or `poses` says.
        frame_rate: Frames per second, also such as Fraction(30000, 1001).
        pts: (T,) timestamps in `time_base`, for a variable rate.
        time_base: Seconds per tick; 1 / frame_rate unless given.
        size: Display (height, width), even. Below about 200 the tracker sees little.
        video: Codec, pixel format, encoder's options, pixel aspect; x264 at crf 16 unless given.
        has_audio: Whether the file holds the sound the mouth follows.
        poses: (T, P) poses, instead of talk.
        has_head_motion: Whether the head moves.
        cut_at: First frame of a second shot.
        faceless: Frames that show a wall.
        rotation_deg: Clockwise turn that players must give the coded picture.
        seed: Chooses the words and the motion.

    Returns:
        The clip and its truth.
    """
    time_base = time_base or 1 / Fraction(frame_rate)
    if pts is None:
        count = len(poses) if poses is not None else num_frames
        ticks = 1 / (Fraction(frame_rate) * time_base)
        pts = [round(index * ticks) for index in range(count)]
    pts_T = np.asarray(pts, np.int64)
    times_s_T = (pts_T - pts_T[0]) * float(time_base)
    poses_TP = talking_poses(times_s_T, seed, has_head_motion=has_head_motion) if poses is None else poses
    duration_s = float(times_s_T[-1]) + 1 / float(frame_rate)
    index_T = np.arange(len(pts_T))
    has_face_T = ~np.isin(index_T, list(faceless or ()))
    shot_id_T = (index_T >= (len(pts_T) if cut_at is None else cut_at)).astype(np.int32)
    landmarks_TL2 = np.zeros((len(pts_T), 468, 2), np.float32)
    for index in np.flatnonzero(has_face_T):
        landmarks_TL2[index] = _shot(size, int(shot_id_T[index])).landmarks(poses_TP[index])
    clip = SyntheticClip(
        path=path,
        pts_T=pts_T,
        time_base=time_base,
        size=size,
        poses_TP=poses_TP,
        landmarks_TL2=landmarks_TL2,
        opening_px_T=np.linalg.norm(landmarks_TL2[:, 13] - landmarks_TL2[:, 14], axis=-1),
        has_face_T=has_face_T,
        shot_id_T=shot_id_T,
        speech=talking_sound(duration_s, seed),
    )
    write_clip(
        path,
        (np.rot90(image, rotation_deg // 90) for image in frames(clip)),
        pts_T=pts_T.tolist(),
        time_base=time_base,
        video=video or VideoFormat(),
        audio=(clip.speech, SPEECH_RATE_HZ) if has_audio else None,
        rotation_deg=rotation_deg,
    )
    return clip


def frames(clip: SyntheticClip) -> Iterator[UInt8]:
    """The clip's pictures as drawn, upright, before any codec: (H, W, 3) uint8 RGB each."""
    for index, pose_P in enumerate(clip.poses_TP):
        if clip.has_face_T[index]:
            yield _shot(clip.size, int(clip.shot_id_T[index])).frame(pose_P)
        else:
            yield wall(clip.size)


def wall(size: tuple[int, int]) -> UInt8:
    """A picture without a face: (H, W, 3) uint8, a soft gradient with a coarse pattern."""
    y, x = np.mgrid[: size[0], : size[1]] / max(size)
    grey = 120 + 60 * y + 12 * np.sin(19 * x) * np.sin(13 * y + 1)
    return np.stack([grey, grey * 0.96, grey * 0.9], axis=-1).astype(np.uint8)


def make_wall_clip(path: Path, *, num_frames: int = 12, size: tuple[int, int] = (240, 240)) -> SyntheticClip:
    """A clip in which nobody is to be seen."""
    return make_clip(path, num_frames=num_frames, size=size, faceless=range(num_frames))


def _shot(size: tuple[int, int], shot_id: int) -> Puppet:
    return _puppet_after_cut(size) if shot_id else puppet(size)


def write_wav(path: Path, samples: NDArray[np.float32], rate_hz: int = SPEECH_RATE_HZ) -> Path:
    """A 16-bit mono wav file."""
    with wave.open(str(path), "wb") as out:
        out.setparams((1, 2, rate_hz, 0, "NONE", ""))
        out.writeframes(np.rint(np.clip(samples, -1, 1) * 32767).astype("<i2").tobytes())
    return path
