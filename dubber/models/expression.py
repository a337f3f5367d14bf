"""From what is heard to what the mouth does: an LSTM over a second of features (method.md section 4).

The network speaks in *modes*: principal axes of the expression coefficients, measured by what they do to
lips and jaw. A fixed matrix turns modes into coefficients. Modes are deviations from a person's own mean,
for a person of usual liveliness; `calibrated` fits them to the person at hand.

Index letters: F feature steps, W steps of a window, C features, K expression coefficients, Z modes, N output
frames, T frames of the target, B a batch.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from dubber.engine.weights import Weight
from dubber.errors import WeightsError
from dubber.types import Bool, Float32

_CHUNK_STEPS = 400
_CHUNKS_AT_ONCE = 16


class ExpressionNet(nn.Module):
    """LSTM over the window; its last step gives the modes. Several members' answers are averaged.

    Args:
        num_features: C.
        num_modes: Z.
        num_coefficients: K.
        hidden: Units per layer.
        layers: Layers.
        members: Networks that are averaged.
        num_past: Steps of the window before its time.
        num_future: Steps from its time on.
        dropout: Between layers and before the last one, in training.

    Source: method.md section 4: 100 steps of 28 features, 3 layers of 60 units, zero initial state, a
        linear layer on the last step. Predicting modes instead of coefficients, and averaging members, are
        dubber's own.
    """

    def __init__(
        self,
        num_features: int = 28,
        num_modes: int = 29,
        num_coefficients: int = 29,
        *,
        hidden: int = 60,
        layers: int = 3,
        members: int = 1,
        num_past: int = 80,
        num_future: int = 20,
        dropout: float = 0.0,
    ) -> None:
        super().__init__()
        self.num_past, self.num_future = num_past, num_future
        self.recurrent = nn.ModuleList(
            nn.LSTM(num_features, hidden, layers, batch_first=True, dropout=dropout if layers > 1 else 0.0)
            for _ in range(members)
        )
        self.last = nn.ModuleList(nn.Linear(hidden, num_modes) for _ in range(members))
        self.dropout = nn.Dropout(dropout)
        self.register_buffer("feature_mean_C", torch.zeros(num_features))
        self.register_buffer("feature_std_C", torch.ones(num_features))
        self.register_buffer("mode_std_Z", torch.ones(num_modes))
        self.register_buffer("encode_KZ", torch.zeros(num_coefficients, num_modes))
        self.register_buffer("decode_ZK", torch.zeros(num_modes, num_coefficients))
        self.register_buffer("face_model_sha256", torch.zeros(32, dtype=torch.uint8))

    feature_mean_C: Tensor
    feature_std_C: Tensor
    mode_std_Z: Tensor
    encode_KZ: Tensor
    decode_ZK: Tensor
    face_model_sha256: Tensor

    def steps(self, features_BWC: Tensor) -> Tensor:
        """Modes at every step, each for the time `num_future - 1` steps earlier.

        Args:
            features_BWC: (B, W, C) any length.

        Returns:
            (B, W, Z).
        """
        scaled_BWC = (features_BWC - self.feature_mean_C) / self.feature_std_C
        answers = [
            last(self.dropout(recurrent(scaled_BWC)[0]))
            for recurrent, last in zip(self.recurrent, self.last, strict=True)
        ]
        return torch.stack(answers).mean(dim=0) * self.mode_std_Z

    def forward(self, windows_NWC: Tensor) -> Tensor:
        """(N, Z) modes of (N, 100, C) windows: the last step's answer."""
        return self.steps(windows_NWC)[:, -1]

    @property
    def num_coefficients(self) -> int:
        """K, of the face model it was trained for."""
        return int(self.encode_KZ.shape[0])

    @property
    def face_model_digest(self) -> str:
        """sha256 of the face model whose coefficients it speaks; empty when not known."""
        digest = bytes(self.face_model_sha256.cpu().numpy().tobytes())
        return digest.hex() if any(digest) else ""

    def encode(self, expression_TK: Float32) -> Float32:
        """(T, Z) modes of (T, K) coefficients."""
        return np.asarray(expression_TK @ self.encode_KZ.cpu().numpy(), np.float32)

    def decode(self, modes_NZ: Float32) -> Float32:
        """(N, K) coefficients of (N, Z) modes."""
        return np.asarray(modes_NZ @ self.decode_ZK.cpu().numpy(), np.float32)

    def to_arrays(self) -> dict[str, Any]:
        """Arrays by name, for a weight file."""
        arrays = {
            name: np.ascontiguousarray(value.cpu().numpy()) for name, value in self.state_dict().items()
        }
        return {**arrays, "window": np.array([self.num_past, self.num_future], np.int32)}

    @classmethod
    def from_weight(cls, weight: Weight) -> ExpressionNet:
        """Read the network from a weight file; every size comes from its arrays.

        Raises:
            WeightsError: The file holds something else.
        """
        arrays: dict[str, Any] = dict(weight.arrays)
        try:
            num_past, num_future = (int(count) for count in arrays.pop("window"))
            num_coefficients, num_modes = arrays["encode_KZ"].shape
            hidden = arrays["last.0.weight"].shape[1]
            net = cls(
                arrays["feature_mean_C"].shape[0],
                num_modes,
                num_coefficients,
                hidden=hidden,
                layers=sum(name.startswith("recurrent.0.weight_hh") for name in arrays),
                members=sum(name.startswith("last.") and name.endswith(".weight") for name in arrays),
                num_past=num_past,
                num_future=num_future,
            )
            net.load_state_dict({name: torch.from_numpy(np.array(array)) for name, array in arrays.items()})
        except (KeyError, ValueError, IndexError, RuntimeError) as error:
            raise WeightsError("The weights are no expression network of this version.") from error
        return net.eval()


def predict_steps(net: ExpressionNet, steps_FC: Float32, silence_C: Float32, device: torch.device) -> Float32:
    """Modes every 10 ms, without forming a window for each: chunks of the recording run through in one go.

    Each answer has heard at least the window, and at most four seconds more of the past.

    Args:
        net: In evaluation mode.
        steps_FC: (F, C) features at 100 Hz.
        silence_C: (C,) features of silence, heard before and after.
        device: Where the network runs.

    Returns:
        (F, Z) float32; row f is for the time f / 100 s.
    """
    num_steps = len(steps_FC)
    num_chunks = -(-num_steps // _CHUNK_STEPS)
    before, after = net.num_past, num_chunks * _CHUNK_STEPS - num_steps + net.num_future - 1
    padded_FC = np.concatenate(
        [np.tile(silence_C, (before, 1)), steps_FC, np.tile(silence_C, (after, 1))]
    ).astype(np.float32)
    warm = net.num_past + net.num_future - 1
    net = net.to(device)
    pieces = []
    with torch.inference_mode():
        for first in range(0, num_chunks, _CHUNKS_AT_ONCE):
            starts = range(
                first * _CHUNK_STEPS, min(first + _CHUNKS_AT_ONCE, num_chunks) * _CHUNK_STEPS, _CHUNK_STEPS
            )
            batch = np.stack([padded_FC[start : start + warm + _CHUNK_STEPS] for start in starts])
            modes = net.steps(torch.from_numpy(batch).to(device))[:, warm:]
            pieces.append(modes.reshape(-1, modes.shape[-1]).float().cpu().numpy())
    return np.asarray(np.concatenate(pieces)[:num_steps], np.float32)


def calibrated(
    net: ExpressionNet, modes_NZ: Float32, target_TK: Float32, *, gain: float, reach: float = 3.0
) -> Float32:
    """Fit predicted modes to the target's own mean and range.

    Args:
        net: Knows the range the modes were learned in.
        modes_NZ: (N, Z) predicted deviations.
        target_TK: (T, K) the target's own coefficients on usable frames, T >= 1.
        gain: 1 keeps the least-squares amplitude; more opens the mouth wider.
        reach: No mode goes farther than this many of the target's standard deviations.

    Returns:
        (N, Z) modes around the target's mean.

    Source: method.md section 0: the squared loss shrinks the amplitude, so the variance is matched
        afterwards. Matching it fully costs more landmark error than a still mouth (2 (1 - r) of the
        variance at correlation r), so the default gain stays below.
    """
    target_TZ = net.encode(target_TK)
    usual_Z = net.mode_std_Z.cpu().numpy()
    mean_Z = target_TZ.mean(axis=0)
    # A few frames say little about the range: lean on the usual one.
    trust = len(target_TZ) / (len(target_TZ) + 50.0)
    std_Z = trust * target_TZ.std(axis=0) + (1 - trust) * usual_Z
    deviation_NZ = gain * modes_NZ * (std_Z / np.maximum(usual_Z, 1e-6))
    limit_Z = reach * std_Z
    return np.asarray(mean_Z + limit_Z * np.tanh(deviation_NZ / np.maximum(limit_Z, 1e-6)), np.float32)


def rest_modes(
    net: ExpressionNet, target_TK: Float32, opening_T: Float32, *, quantile: float = 0.1
) -> Float32:
    """The target's mouth at rest: the mean over the frames on which it is most shut.

    Args:
        net: For its modes.
        target_TK: (T, K) coefficients of usable frames.
        opening_T: (T,) mouth opening on them, any unit.
        quantile: Share of the frames that count.

    Returns:
        (Z,) modes.
    """
    is_shut_T: Bool = opening_T <= np.quantile(opening_T, quantile)
    return np.asarray(net.encode(target_TK[is_shut_T]).mean(axis=0), np.float32)
