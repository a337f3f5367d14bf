"""LSE-D and LSE-C: how well lips and voice fit, as the SyncNet of Chung and Zisserman hears and sees it.

The weights are the user's. The network's layers, the names of its tensors and the way the score is taken are
those of the published file, so that scores compare with other people's. Only the face is cut out by dubber's
own tracker instead of S3FD, and where a picture rate differs from 25 the nearest frames are taken.

Source: Chung and Zisserman 2016, "Out of time: automated lip sync in the wild"; joonson/syncnet_python
(layers, crop, distances); Prajwal et al. 2020, "A Lip Sync Expert Is All You Need" (LSE-D, LSE-C).

Index letters: S samples, F steps of 10 ms, C = 13 coefficients, W windows, D = 1024 features, B a batch.
"""

from __future__ import annotations

import math
from pathlib import Path

import cv2
import numpy as np
import torch
from scipy.fft import dct
from torch import nn

from dubber.evaluation.measures import Measures
from dubber.evaluation.pairs import Pair
from dubber.models.user_weights import load_state
from dubber.types import Float32, Float64, Int64, UInt8

FRAME_RATE_HZ = 25
WINDOW_FRAMES = 5
STEPS_PER_FRAME = 4
MAX_SHIFT_FRAMES = 15
FACE_SIZE_PX = 224
CROP_SCALE = 0.40
"""How much is left around the face's box, in halves of its longer side."""

SAMPLE_RATE_HZ = 16000

_PADDING_LEVEL = 110
_BATCH_WINDOWS = 8
_WINDOW_STEPS = WINDOW_FRAMES * STEPS_PER_FRAME
_NUM_FEATURES = 1024
_FFT, _NUM_BANDS, _NUM_CEPSTRA = 512, 26, 13
_TINY = np.finfo(np.float64).eps
_SAME_TIME_S = 1e-4


class SyncNet(nn.Module):
    """The two towers: 5 frames of a face, and 0.2 s of sound, each to 1024 features.

    Submodule names and positions are those of the published file.
    """

    def __init__(self) -> None:
        super().__init__()
        self.netcnnaud = nn.Sequential(
            *_conv2d(1, 64, 3, padding=1),
            nn.MaxPool2d(1, 1),
            *_conv2d(64, 192, 3, padding=1),
            nn.MaxPool2d(3, (1, 2)),
            *_conv2d(192, 384, 3, padding=1),
            *_conv2d(384, 256, 3, padding=1),
            *_conv2d(256, 256, 3, padding=1),
            nn.MaxPool2d(3, 2),
            *_conv2d(256, 512, (5, 4), padding=0),
        )
        self.netcnnlip = nn.Sequential(
            *_conv3d(3, 96, (5, 7, 7), stride=2, padding=0),
            nn.MaxPool3d((1, 3, 3), (1, 2, 2)),
            *_conv3d(96, 256, (1, 5, 5), stride=2, padding=1),
            nn.MaxPool3d((1, 3, 3), (1, 2, 2), (0, 1, 1)),
            *_conv3d(256, 256, (1, 3, 3), padding=1),
            *_conv3d(256, 256, (1, 3, 3), padding=1),
            *_conv3d(256, 256, (1, 3, 3), padding=1),
            nn.MaxPool3d((1, 3, 3), (1, 2, 2)),
            *_conv3d(256, 512, (1, 6, 6), padding=0),
        )
        self.netfcaud = _head()
        self.netfclip = _head()

    def hear(self, steps_B1CF: torch.Tensor) -> torch.Tensor:
        """(B, 1024) features of (B, 1, 13, 20) cepstral coefficients."""
        features: torch.Tensor = self.netfcaud(self.netcnnaud(steps_B1CF).flatten(1))
        return features

    def see(self, faces_B3THW: torch.Tensor) -> torch.Tensor:
        """(B, 1024) features of (B, 3, 5, 224, 224) faces, blue first, levels 0..255."""
        features: torch.Tensor = self.netfclip(self.netcnnlip(faces_B3THW).flatten(1))
        return features

    @classmethod
    def from_file(cls, path: Path) -> SyncNet:
        """Read the user's weights.

        Raises:
            WeightsError: The file is missing, unreadable, or has other tensors.
        """
        net = cls()
        load_state(net, path, what="SyncNet (syncnet_v2 of joonson/syncnet_python)")
        return net.eval()


def _conv2d(
    inputs: int, outputs: int, kernel: int | tuple[int, int], *, padding: int
) -> tuple[nn.Module, nn.Module, nn.Module]:
    return nn.Conv2d(inputs, outputs, kernel, padding=padding), nn.BatchNorm2d(outputs), nn.ReLU()


def _conv3d(
    inputs: int, outputs: int, kernel: tuple[int, int, int], *, stride: int = 1, padding: int
) -> tuple[nn.Module, nn.Module, nn.Module]:
    """Stride and padding are the picture's; in time there is none."""
    conv = nn.Conv3d(inputs, outputs, kernel, (1, stride, stride), (0, padding, padding))
    return conv, nn.BatchNorm3d(outputs), nn.ReLU()


def _head() -> nn.Sequential:
    return nn.Sequential(nn.Linear(512, 512), nn.BatchNorm1d(512), nn.ReLU(), nn.Linear(512, 1024))


class LipSync:
    """`lse_d`, `lse_c` and `sync_offset_frames` (at 25 Hz; positive: the lips are late), made and filmed.

    A score of the made pictures means something beside that of the filmed ones, `filmed_lse_d` and so on.

    Args:
        net: The network.
        made_samples_S: (S,) float32 in -1..1, 16 kHz, from the clip's first frame on: what is said in the
            made pictures; None where there is no sound.
        filmed_samples_S: What is said in the filmed ones.
    """

    def __init__(
        self, net: SyncNet, made_samples_S: Float32 | None, filmed_samples_S: Float32 | None
    ) -> None:
        self._net = net
        self._samples = (made_samples_S, filmed_samples_S)
        self._lips = (_Lips(net), _Lips(net))

    def add(self, pair: Pair) -> None:
        """Cut out both faces."""
        for lips, picture in zip(self._lips, (pair.made, pair.filmed), strict=True):
            lips.add(pair.n, pair.time_s, face_crop(picture, pair.box_4))

    def measures(self) -> Measures:
        """The scores; None without sound, or where no five frames follow each other."""
        found: Measures = {}
        for prefix, lips, samples_S in zip(("", "filmed_"), self._lips, self._samples, strict=True):
            start_W, lips_WD = lips.features()
            score: tuple[float | None, float | None, int | None] = (None, None, None)
            if samples_S is not None and len(start_W):
                reach = np.arange(start_W.min() - MAX_SHIFT_FRAMES, start_W.max() + MAX_SHIFT_FRAMES + 1)
                voice_KD = voice_features(self._net, samples_S, reach)
                score = lip_sync_error(lips_WD, voice_KD, start_W - start_W.min())
            names = ("lse_d", "lse_c", "sync_offset_frames")
            found |= {f"{prefix}{name}": value for name, value in zip(names, score, strict=True)}
        return found


def lip_sync_error(lips_WD: Float32, voice_KD: Float32, position_W: Int64) -> tuple[float, float, int]:
    """How far lips and voice are apart, how surely, and at which shift.

    Args:
        lips_WD: (W, D) features of the lips' windows.
        voice_KD: (K, D) features of the voice at consecutive frames of 25 Hz.
        position_W: (W,) which of the K lies `MAX_SHIFT_FRAMES` before the window.

    Returns:
        LSE-D, the least of the mean Euclidean distances over the shifts -15..15; LSE-C, their median minus
        that; and the shift, in frames, positive when the lips are late.
    """
    distance_WX = np.stack(
        [
            np.linalg.norm(lips_WD - voice_KD[position_W + shift], axis=1)
            for shift in range(2 * MAX_SHIFT_FRAMES + 1)
        ],
        axis=1,
    )
    mean_X = distance_WX.mean(axis=0)
    best = int(mean_X.argmin())
    return float(mean_X[best]), float(np.median(mean_X) - mean_X[best]), MAX_SHIFT_FRAMES - best


def voice_features(net: SyncNet, samples_S: Float32, frame_K: Int64) -> Float32:
    """Features of the voice from chosen frames on.

    Args:
        net: The network.
        samples_S: (S,) float32 in -1..1, 16 kHz.
        frame_K: (K,) frames of 25 Hz at which windows of 0.2 s begin.

    Returns:
        (K, D); zeros where a window leaves the recording, as the published score has them.
    """
    steps_FC = cepstra(samples_S)
    features_KD = np.zeros((len(frame_K), _NUM_FEATURES), np.float32)
    first_K = frame_K * STEPS_PER_FRAME
    inside = np.flatnonzero((first_K >= 0) & (first_K + _WINDOW_STEPS <= len(steps_FC)))
    for batch in np.array_split(inside, math.ceil(len(inside) / _BATCH_WINDOWS) or 1):
        if len(batch):
            windows = np.stack([steps_FC[first : first + _WINDOW_STEPS].T for first in first_K[batch]])
            with torch.inference_mode():
                features_KD[batch] = net.hear(torch.from_numpy(windows[:, None])).numpy()
    return features_KD


def cepstra(samples_S: Float32) -> Float32:
    """Mel cepstra as the network was taught with.

    Args:
        samples_S: (S,) float32 in -1..1, 16 kHz.

    Returns:
        (F, 13) at 100 Hz.

    Source: the defaults of python_speech_features.mfcc on 16 bit samples: pre-emphasis 0.97, rectangular
        windows of 25 ms every 10 ms, 512 points, 26 triangles from 0 to 8000 Hz on whole bins, orthonormal
        DCT, lifter 22, log energy in the place of the first coefficient.
    """
    signal = np.asarray(samples_S, np.float64) * 32768
    signal = np.append(signal[:1], signal[1:] - 0.97 * signal[:-1])
    window, hop = SAMPLE_RATE_HZ // 40, SAMPLE_RATE_HZ // 100
    num_steps = 1 + max(math.ceil((len(signal) - window) / hop), 0)
    padded = np.pad(signal, (0, (num_steps - 1) * hop + window - len(signal)))
    frames = np.lib.stride_tricks.sliding_window_view(padded, window)[::hop]
    power = np.abs(np.fft.rfft(frames, _FFT)) ** 2 / _FFT
    energy = np.maximum(power.sum(axis=1), _TINY)
    mel = np.log(np.maximum(power @ _triangles().T, _TINY))
    coefficients = dct(mel, type=2, axis=1, norm="ortho")[:, :_NUM_CEPSTRA]
    coefficients *= 1 + 11 * np.sin(np.pi * np.arange(_NUM_CEPSTRA) / 22)
    coefficients[:, 0] = np.log(energy)
    return np.asarray(coefficients, np.float32)


def _triangles() -> Float64:
    """(26, 257) weights of the mel bands."""
    highest = 2595 * np.log10(1 + SAMPLE_RATE_HZ / 2 / 700)
    corners_hz = 700 * (10 ** (np.linspace(0, highest, _NUM_BANDS + 2) / 2595) - 1)
    corners = np.floor((_FFT + 1) * corners_hz / SAMPLE_RATE_HZ)
    bins = np.arange(_FFT // 2 + 1)
    left, middle, right = corners[:-2, None], corners[1:-1, None], corners[2:, None]
    rising = (bins >= left) & (bins < middle)
    falling = (bins >= middle) & (bins < right)
    return np.where(
        rising,
        (bins - left) / np.maximum(middle - left, 1),
        falling * (right - bins) / np.maximum(right - middle, 1),
    )


def face_crop(picture: UInt8, box_4: Float32) -> UInt8:
    """The face as the network was taught with.

    Args:
        picture: (H, W, 3) uint8 RGB.
        box_4: (4,) xyxy px of the face.

    Returns:
        (224, 224, 3) uint8, blue first; beyond the picture an even grey.

    Source: run_pipeline.py of joonson/syncnet_python.
    """
    x0, y0, x1, y1 = (float(value) for value in box_4)
    half = max(x1 - x0, y1 - y0) / 2
    margin = int(half * (1 + 2 * CROP_SCALE))
    padded = np.pad(picture, ((margin, margin), (margin, margin), (0, 0)), constant_values=_PADDING_LEVEL)
    middle_x, middle_y = (x0 + x1) / 2 + margin, (y0 + y1) / 2 + margin
    face = padded[
        max(int(middle_y - half), 0) : int(middle_y + half * (1 + 2 * CROP_SCALE)),
        max(int(middle_x - half * (1 + CROP_SCALE)), 0) : int(middle_x + half * (1 + CROP_SCALE)),
    ]
    return np.asarray(cv2.resize(face[..., ::-1], (FACE_SIZE_PX, FACE_SIZE_PX)), np.uint8)


class _Lips:
    """Features of every five consecutive frames at 25 Hz, made as the pictures come."""

    def __init__(self, net: SyncNet) -> None:
        self._net = net
        self._last: tuple[int, float, UInt8] | None = None
        self._next_frame = 0
        self._run: list[UInt8] = []
        self._windows: list[UInt8] = []
        self._starts: list[int] = []
        self._features: list[Float32] = []

    def add(self, n: int, time_s: float, face: UInt8) -> None:
        """Take a face in; a number that does not follow the last one begins a new run."""
        if self._last is None or n != self._last[0] + 1:
            self._run, self._last = [], (n, time_s, face)
            self._next_frame = round(time_s * FRAME_RATE_HZ)
        # Of two pictures the one nearer to a frame's time stands for it.
        while (wanted_s := self._next_frame / FRAME_RATE_HZ) <= time_s + _SAME_TIME_S:
            is_last_nearer = abs(self._last[1] - wanted_s) < abs(time_s - wanted_s)
            self._push(self._last[2] if is_last_nearer else face)
            self._next_frame += 1
        self._last = (n, time_s, face)

    def features(self) -> tuple[Int64, Float32]:
        """(W,) first frame of each window, (W, D) features."""
        self._flush()
        if not self._features:
            return np.zeros(0, np.int64), np.zeros((0, _NUM_FEATURES), np.float32)
        return np.array(self._starts, np.int64), np.concatenate(self._features)

    def _push(self, face: UInt8) -> None:
        self._run = [*self._run[1 - WINDOW_FRAMES :], face]
        if len(self._run) == WINDOW_FRAMES:
            self._windows.append(np.stack(self._run))
            self._starts.append(self._next_frame - WINDOW_FRAMES + 1)
        if len(self._windows) == _BATCH_WINDOWS:
            self._flush()

    def _flush(self) -> None:
        if self._windows:
            faces_B3THW = torch.from_numpy(np.stack(self._windows)).permute(0, 4, 1, 2, 3).float()
            with torch.inference_mode():
                self._features.append(self._net.see(faces_B3THW).numpy())
            self._windows = []
