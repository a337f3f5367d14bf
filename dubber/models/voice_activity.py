"""How likely somebody speaks at each moment, by Silero's voice activity detector.

The weights are read from the `silero-vad` package; nothing of it is imported. Its own network is called chunk
by chunk; this one sees a whole recording, and only the LSTM runs over time.

Index letters: S samples, F steps of 10 ms, B chunks of 32 ms, W samples of a chunk and its context, K
frequency bins, C channels.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import cache
from importlib.util import find_spec
from pathlib import Path

import numpy as np
import torch
from safetensors import SafetensorError
from safetensors.torch import load_file
from torch import Tensor, nn

from dubber.errors import WeightsError
from dubber.types import Float32, Samples

_STEP = 160
"""Samples of a step of 10 ms at 16 kHz."""
_CHUNK, _CONTEXT = 512, 64
"""A chunk's samples, and how many before it are seen again. Source: Silero VAD 6."""
_FFT, _HOP = 256, 128
_CHUNKS_AT_ONCE = 512
_PIECE = _CHUNK * _CHUNKS_AT_ONCE
_LEAST_PEAK, _MAX_GAIN = 0.25, 100.0
"""Recordings whose peak is lower are made louder, or faint speech is missed; noise stays noise."""
_INSTALL = 'pip install "silero-vad>=6.2.3,<6.3"'
_OR_VOLUME = "or pass `--set translate.voice_activity=volume`."


class VoiceActivityNet(nn.Module):
    """Magnitudes of four short spectra per chunk, four convolutions, an LSTM over chunks, one probability.

    Source: Silero VAD 6.2 for 16 kHz, https://github.com/snakers4/silero-vad (MIT); modules are named as in
        its weight file.
    """

    def __init__(self) -> None:
        super().__init__()
        bins = _FFT // 2 + 1
        self.stft_conv = nn.Conv1d(1, 2 * bins, _FFT, stride=_HOP, bias=False)
        self.conv1 = nn.Conv1d(bins, 128, 3, padding=1)
        self.conv2 = nn.Conv1d(128, 64, 3, stride=2, padding=1)
        self.conv3 = nn.Conv1d(64, 64, 3, stride=2, padding=1)
        self.conv4 = nn.Conv1d(64, 128, 3, padding=1)
        self.lstm_cell = nn.LSTM(128, 128)
        self.final_conv = nn.Conv1d(128, 1, 1)

    def forward(
        self, chunks_BW: Tensor, state: tuple[Tensor, Tensor] | None = None
    ) -> tuple[Tensor, tuple[Tensor, Tensor]]:
        """Probabilities of consecutive chunks.

        Args:
            chunks_BW: (B, 576) samples of one recording, each chunk after the last 64 of the one before.
            state: What the call for the chunks before returned; None at the start of a recording.

        Returns:
            (B,) 0..1; the state after the last chunk.
        """
        padded_B1W = nn.functional.pad(chunks_BW, (0, _CONTEXT), "reflect")[:, None]
        real_BKC, imaginary_BKC = self.stft_conv(padded_B1W).chunk(2, dim=1)
        hidden_BCK = torch.sqrt(real_BKC**2 + imaginary_BKC**2)
        for layer in (self.conv1, self.conv2, self.conv3, self.conv4):
            hidden_BCK = torch.relu(layer(hidden_BCK))
        heard_BC, state = self.lstm_cell(hidden_BCK[..., 0], state)
        return torch.sigmoid(self.final_conv(torch.relu(heard_BC)[..., None]))[:, 0, 0], state


def speech_probability(samples_S: Samples) -> Float32:
    """Probability that somebody speaks, every 10 ms.

    The recording is listened to forwards and backwards, and the higher probability counts: the network needs
    some seconds to get used to a whisper, or to a voice over music, and hears them better with what follows.

    Args:
        samples_S: (S,) in -1..1, mono, 16 kHz.

    Returns:
        (F,) float32 in 0..1, F = ceil(S / 160), each for the middle of its step.

    Raises:
        WeightsError: `silero-vad` is not installed, or carries another network.
    """
    if not len(samples_S):
        return np.zeros(0, np.float32)
    starts = range(0, len(samples_S), _PIECE)
    peak = max(float(np.max(np.abs(samples_S[start : start + _PIECE]))) for start in starts)
    gain = np.float32(min(max(_LEAST_PEAK / peak, 1.0), _MAX_GAIN) if peak > 0 else 1.0)
    num_steps = -(-len(samples_S) // _STEP)

    def forwards(low: int, high: int) -> Float32:
        piece_S = samples_S[max(low, 0) : max(high, 0)] * gain
        return np.pad(piece_S, (max(-low, 0), high - max(low, 0) - len(piece_S)))

    def backwards(low: int, high: int) -> Float32:
        return forwards(num_steps * _STEP - high, num_steps * _STEP - low)[::-1]

    return np.maximum(_heard(forwards, num_steps), _heard(backwards, num_steps)[::-1])


def _heard(cut: Callable[[int, int], Float32], num_steps: int) -> Float32:
    """Listen from the start to the end.

    Args:
        cut: Gives the samples of a stretch, (low, high) -> (high - low,), silence beyond the recording.
        num_steps: F.

    Returns:
        (F,) probability at the middle of each step.
    """
    num_chunks = -(-num_steps * _STEP // _CHUNK)
    net, state, found = _detector(), None, []
    with torch.inference_mode():
        for first in range(0, num_chunks, _CHUNKS_AT_ONCE):
            last = min(first + _CHUNKS_AT_ONCE, num_chunks)
            piece_S = np.ascontiguousarray(cut(first * _CHUNK - _CONTEXT, last * _CHUNK), np.float32)
            some_B, state = net(torch.from_numpy(piece_S).unfold(0, _CONTEXT + _CHUNK, _CHUNK), state)
            found.append(some_B)
    middle_B = (np.arange(num_chunks) + 0.5) * _CHUNK
    middle_F = (np.arange(num_steps) + 0.5) * _STEP
    return np.interp(middle_F, middle_B, torch.cat(found).numpy()).astype(np.float32)


@cache
def _detector() -> VoiceActivityNet:
    path = _weights_path()
    net = VoiceActivityNet()
    try:
        weights = {
            f"{name}_l0" if name.startswith("lstm_cell.") else name: value
            for name, value in load_file(path).items()
        }
        net.load_state_dict(weights)
    except (OSError, RuntimeError, SafetensorError) as error:
        raise WeightsError(
            "This is not the voice activity detector that dubber knows.",
            where=str(path),
            advice=f"Run `{_INSTALL} --force-reinstall --no-deps`, {_OR_VOLUME}",
        ) from error
    return net.eval()


def _weights_path() -> Path:
    package = find_spec("silero_vad")
    if package is None or package.origin is None:
        raise WeightsError(
            "The voice activity detector is not installed.", advice=f"Run `{_INSTALL}`, {_OR_VOLUME}"
        )
    return Path(package.origin).parent / "data" / "silero_vad_16k.safetensors"
