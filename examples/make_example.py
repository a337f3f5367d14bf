"""Make the example: `speaker.mp4`, a portrait that talks, and `line.wav`, another line for it to say.

Run as `make example`. Needs scikit-image (for the portrait) and the library of espeak-ng (for the voices),
neither of which dubber itself uses. The same versions of both give the same files.
"""

from __future__ import annotations

import ctypes
import functools
import wave
from dataclasses import dataclass
from fractions import Fraction
from pathlib import Path

import cv2
import numpy as np
from numpy.typing import NDArray
from scipy.ndimage import gaussian_filter1d

from examples.animate import Portrait, Puppet, mouth_gap, natural_motion
from examples.clipfile import VideoFormat, write_clip
from examples.modes import PARAM

HERE = Path(__file__).resolve().parent
FRAME_RATE = 25
SIDE_PX = 480
HEAD_BOX = (14, 120, 222, 328)
"""y0, x0, y1, x1 of the head in scikit-image's 512 x 512 astronaut."""

SPEAKER_VOICE, SPEAKER_WORDS_PER_MINUTE = "en-us+f3", 150
SPEAKER_TEXT = (
    "Hello! I am a portrait, and a program moves my mouth. "
    "Papa Bear opens the door far more often than Mama Bear. "
    "Now give me a new line, and I will say it for you."
)
LINE_VOICE, LINE_WORDS_PER_MINUTE = "en-gb-x-rp+f2", 155
LINE_TEXT = "Good afternoon. These words were never spoken in the first video. Only my mouth is new."
LEAD_S, TAIL_S = 0.5, 0.5
NOISE_LEVELS = 1.0
"""Standard deviation of the sensor noise, 8-bit levels."""

# Phoneme -> the mouth's shape(s) while it lasts: lips apart in mouth widths, corners apart, corners together.
# A diphthong passes through two shapes. Set by hand from how English sounds look; the truth is what is drawn.
Shape = tuple[float, float, float]
WIDE_A: Shape = (0.31, 0.2, 0.0)
OPEN_O: Shape = (0.24, 0.0, 0.6)
SMALL_U: Shape = (0.08, 0.0, 1.0)
SPREAD_I: Shape = (0.13, 0.8, 0.0)
OPEN_E: Shape = (0.22, 0.5, 0.0)
NEUTRAL: Shape = (0.17, 0.1, 0.1)
TONGUE: Shape = (0.10, 0.3, 0.0)
VISEMES: dict[str, tuple[Shape, ...]] = {
    **dict.fromkeys(("p", "b", "m"), ((0.0, 0.0, 0.0),)),
    **dict.fromkeys(("f", "v"), ((0.035, 0.2, 0.0),)),
    **dict.fromkeys(("t", "d", "n", "s", "z", "l", "ð", "θ", "ɾ", "ʔ"), (TONGUE,)),
    **dict.fromkeys(("ʃ", "ʒ", "tʃ", "dʒ"), ((0.10, 0.0, 0.6),)),
    **dict.fromkeys(("k", "ɡ", "g", "ŋ", "h", "j"), ((0.13, 0.2, 0.0),)),
    "w": ((0.05, 0.0, 1.0),),
    **dict.fromkeys(("ɹ", "r"), ((0.10, 0.0, 0.5),)),
    **dict.fromkeys(("ɑː", "ɑ", "a", "aː", "æ", "ɑːɹ"), (WIDE_A,)),
    "aɪ": (WIDE_A, SPREAD_I),
    "aʊ": (WIDE_A, SMALL_U),
    **dict.fromkeys(("ɔ", "ɔː", "ɒ", "o", "oː", "ɔːɹ", "oːɹ"), (OPEN_O,)),
    "ɔɪ": (OPEN_O, SPREAD_I),
    **dict.fromkeys(("oʊ", "əʊ"), (OPEN_O, SMALL_U)),
    **dict.fromkeys(("u", "uː", "ʊ"), (SMALL_U,)),
    **dict.fromkeys(("i", "iː", "ɪ"), (SPREAD_I,)),
    **dict.fromkeys(("ɛ", "e", "ɛɹ"), (OPEN_E,)),
    "eɪ": (OPEN_E, SPREAD_I),
    **dict.fromkeys(("ʌ", "ɐ"), ((0.24, 0.1, 0.0),)),
    "": ((0.0, 0.0, 0.0),),
}
LIPS_SHUT = {"p", "b", "m"}
TRACK_RATE_HZ = 200
COARTICULATION_S = 0.028
"""Neighbouring sounds blend over about this long (standard deviation)."""


@dataclass(frozen=True)
class Spoken:
    """A synthetic line.

    Attributes:
        samples: (S,) float32 in -1..1.
        rate_hz: Sample rate.
        phonemes: (start in seconds, IPA) of each sound, silence as "".
    """

    samples: NDArray[np.float32]
    rate_hz: int
    phonemes: list[tuple[float, str]]


class _EventId(ctypes.Union):
    _fields_ = [("number", ctypes.c_int), ("name", ctypes.c_char_p), ("string", ctypes.c_char * 8)]


class _Event(ctypes.Structure):
    """espeak_EVENT of espeak-ng/speak_lib.h."""

    _fields_ = [
        ("type", ctypes.c_int),
        ("unique_identifier", ctypes.c_uint),
        ("text_position", ctypes.c_int),
        ("length", ctypes.c_int),
        ("audio_position_ms", ctypes.c_int),
        ("sample", ctypes.c_int),
        ("user_data", ctypes.c_void_p),
        ("id", _EventId),
    ]


_CALLBACK = ctypes.CFUNCTYPE(
    ctypes.c_int, ctypes.POINTER(ctypes.c_short), ctypes.c_int, ctypes.POINTER(_Event)
)
_SYNCHRONOUS, _PHONEME_EVENTS, _PHONEME_IPA, _RATE, _UTF8, _POS_CHARACTER, _EVENT_PHONEME = (
    2,
    1,
    2,
    1,
    1,
    1,
    7,
)


@functools.cache
def _synthesiser() -> tuple[ctypes.CDLL, int]:
    """The library, started once (it does not start a second time), and its sample rate."""
    library = ctypes.CDLL("libespeak-ng.so.1")
    return library, int(library.espeak_Initialize(_SYNCHRONOUS, 0, None, _PHONEME_EVENTS | _PHONEME_IPA))


def speak(text: str, voice: str, words_per_minute: int) -> Spoken:
    """Synthesise a line with espeak-ng.

    Args:
        text: What to say.
        voice: espeak-ng's name of the voice, with its variant.
        words_per_minute: How fast.

    Raises:
        OSError: The library is not installed.
        ValueError: There is no such voice.
    """
    library, rate_hz = _synthesiser()
    blocks: list[bytes] = []
    phonemes: list[tuple[float, str]] = []

    def collect(samples: ctypes.Array[ctypes.c_short], count: int, events: ctypes.Array[_Event]) -> int:
        if samples and count:
            blocks.append(ctypes.string_at(samples, 2 * count))
        index = 0
        while events[index].type:
            if events[index].type == _EVENT_PHONEME:
                phonemes.append((events[index].audio_position_ms / 1000, events[index].id.string.decode()))
            index += 1
        return 0

    callback = _CALLBACK(collect)
    library.espeak_SetSynthCallback(callback)
    if library.espeak_SetVoiceByName(voice.encode()):
        raise ValueError(f"espeak-ng has no voice {voice}")
    library.espeak_SetParameter(_RATE, words_per_minute, 0)
    data = text.encode()
    library.espeak_Synth(data, len(data) + 1, 0, _POS_CHARACTER, 0, _UTF8, None, None)
    samples = np.frombuffer(b"".join(blocks), np.int16).astype(np.float32) / 32768
    return Spoken(samples, rate_hz, phonemes)


def padded(spoken: Spoken, lead_s: float, tail_s: float) -> Spoken:
    """The line with silence around it, its loudest sample at 0.8."""
    lead = np.zeros(round(lead_s * spoken.rate_hz), np.float32)
    tail = np.zeros(round(tail_s * spoken.rate_hz), np.float32)
    samples = np.concatenate([lead, spoken.samples * (0.8 / np.abs(spoken.samples).max()), tail])
    phonemes = [(0.0, ""), *((start + lead_s, sound) for start, sound in spoken.phonemes)]
    return Spoken(samples, spoken.rate_hz, [*phonemes, (len(samples) / spoken.rate_hz - tail_s, "")])


def mouth_track(spoken: Spoken, times_s_T: NDArray[np.float64]) -> NDArray[np.float64]:
    """The mouth's shape at each frame.

    Args:
        spoken: The line with the times of its sounds.
        times_s_T: (T,) seconds.

    Returns:
        (T, 3): lips apart in mouth widths, corners apart, corners together.
    """
    length_s = len(spoken.samples) / spoken.rate_hz
    clock = np.arange(0, length_s, 1 / TRACK_RATE_HZ)
    track = np.zeros((len(clock), 3))
    shut = np.zeros(len(clock))
    ends = [start for start, _ in spoken.phonemes[1:]] + [length_s]
    for (start, sound), end in zip(spoken.phonemes, ends, strict=True):
        shapes = VISEMES.get(sound, (NEUTRAL,))
        for index, shape in enumerate(shapes):
            low = start + (end - start) * index / len(shapes)
            high = start + (end - start) * (index + 1) / len(shapes)
            track[(clock >= low) & (clock < high)] = shape
        if sound in LIPS_SHUT:
            # Shut for 50 ms at least, so that a frame of 40 ms sees it; 50 ms to get there and back.
            distance = np.abs(clock - (start + end) / 2) - max(0.025, (end - start) / 2)
            shut = np.maximum(shut, np.clip(1 - distance / 0.05, 0, 1))
    power = gaussian_filter1d(spoken.samples.astype(np.float64) ** 2, 0.04 * spoken.rate_hz)
    loudness = np.sqrt(np.interp(clock, np.arange(len(power)) / spoken.rate_hz, power))
    loudness /= np.percentile(loudness, 90)
    track = gaussian_filter1d(track, COARTICULATION_S * TRACK_RATE_HZ, axis=0)
    track[:, 0] *= (0.75 + 0.35 * np.clip(loudness, 0, 1.3)) * (1 - shut)
    return np.stack([np.interp(times_s_T, clock, column) for column in track.T], axis=-1)


def load_portrait() -> Portrait:
    """The head of scikit-image's astronaut, enlarged, with its landmarks."""
    import mediapipe
    from skimage.data import astronaut

    top, left, bottom, right = HEAD_BOX
    head = astronaut()[top:bottom, left:right]
    image = cv2.resize(head, (SIDE_PX, SIDE_PX), interpolation=cv2.INTER_LANCZOS4)
    with mediapipe.solutions.face_mesh.FaceMesh(static_image_mode=True, refine_landmarks=True) as mesh:
        found = mesh.process(image).multi_face_landmarks[0].landmark[:468]
    points_L3 = np.array([[p.x, p.y, p.z] for p in found], np.float32) * SIDE_PX
    return Portrait(image, points_L3)


def speaker_poses(puppet: Puppet, spoken: Spoken) -> NDArray[np.float32]:
    """(T, P) pose of each frame: the portrait's own smile, then talk."""
    num_frames = int(len(spoken.samples) / spoken.rate_hz * FRAME_RATE)
    times_s_T = np.arange(num_frames) / FRAME_RATE
    poses_TP = natural_motion(times_s_T, seed=3)
    gap_T, width_T, pucker_T = mouth_track(spoken, times_s_T).T
    # The first frames are the portrait as it is; the tests use the first one as theirs.
    ease_T = np.clip((times_s_T - 2 / FRAME_RATE) / 0.25, 0, 1)
    gap_T = ease_T * gap_T + (1 - ease_T) * puppet.rest_gap
    poses_TP[:, PARAM["close"]], poses_TP[:, PARAM["open"]] = mouth_gap(puppet, gap_T.astype(np.float32))
    poses_TP[:, PARAM["width"]] = ease_T * width_T
    poses_TP[:, PARAM["pucker"]] = ease_T * pucker_T
    poses_TP[:, PARAM["relax"]] = ease_T * (0.85 - 0.3 * width_T)
    return poses_TP


def main() -> None:
    """Write speaker.mp4, speaker.truth.npz and line.wav beside this script."""
    portrait = load_portrait()
    puppet = Puppet(portrait)
    spoken = padded(speak(SPEAKER_TEXT, SPEAKER_VOICE, SPEAKER_WORDS_PER_MINUTE), LEAD_S, TAIL_S)
    poses_TP = speaker_poses(puppet, spoken)
    noise = np.random.default_rng(1)

    def noisy(pose_P: NDArray[np.float32]) -> NDArray[np.uint8]:
        grain = noise.normal(0, NOISE_LEVELS, (SIDE_PX, SIDE_PX, 1))
        return np.clip(np.rint(puppet.frame(pose_P) + grain), 0, 255).astype(np.uint8)

    write_clip(
        HERE / "speaker.mp4",
        (noisy(pose_P) for pose_P in poses_TP),
        pts_T=range(len(poses_TP)),
        time_base=Fraction(1, FRAME_RATE),
        video=VideoFormat(options={"crf": "21", "preset": "slow"}),
        audio=(spoken.samples[: round(len(poses_TP) / FRAME_RATE * spoken.rate_hz)], spoken.rate_hz),
    )
    np.savez_compressed(
        HERE / "speaker.truth.npz",
        rest_landmarks_L3=portrait.landmarks_L3,
        poses_TP=poses_TP,
        opening_px_T=np.array([puppet.opening_px(pose_P) for pose_P in poses_TP], np.float32),
    )
    line = padded(speak(LINE_TEXT, LINE_VOICE, LINE_WORDS_PER_MINUTE), 0.25, 0.25)
    with wave.open(str(HERE / "line.wav"), "wb") as out:
        out.setparams((1, 2, line.rate_hz, 0, "NONE", ""))
        out.writeframes(np.rint(line.samples * 32767).astype("<i2").tobytes())
    for name in ("speaker.mp4", "speaker.truth.npz", "line.wav"):
        print(f"{name}: {(HERE / name).stat().st_size / 1000:.0f} kB")


if __name__ == "__main__":
    main()
