"""From what is heard to what the mouth does (method.md section 4).

The network speaks in *modes*: principal axes of the expression coefficients, measured by what they do to
lips and jaw. A fixed matrix turns modes into coefficients. Modes are deviations from a person's own mean,
for a person of usual liveliness; `TargetRange` fits them to the person at hand.

Index letters: F feature steps, W steps of a run, C features, K expression coefficients, Z modes, H hidden
units, N output frames, T frames of the target, B a batch.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from dubber.engine.weights import Weight
from dubber.errors import WeightsError
from dubber.models.speech_net import (
    RUN_UP,
    TRANSLATORS,
    ConvTranslator,
    IdentityRemover,
    LstmTranslator,
    Translator,
)
from dubber.models.storage import arrays_of
from dubber.types import Bool, Float32

_CHUNK_STEPS = 400
_CHUNKS_AT_ONCE = 16


class ExpressionNet(nn.Module):
    """The voice's identity is removed; several translators hear the rest, and their answers are averaged.

    Args:
        translator: Key of `dubber.models.speech_net.TRANSLATORS`.
        num_features: C.
        num_modes: Z.
        num_coefficients: K.
        members: Translators that are averaged.
        num_bases: Bases of the identity remover; 0: the features are heard as they are.
        **sizes: See the translator.

    Attributes:
        before: Steps of context at a run's start that get no answer.
        after: Steps at its end that get none.
    """

    def __init__(
        self,
        translator: str = LstmTranslator.name,
        num_features: int = 28,
        num_modes: int = 29,
        num_coefficients: int = 29,
        *,
        members: int = 1,
        num_bases: int = 12,
        **sizes: Any,
    ) -> None:
        super().__init__()
        make = TRANSLATORS[translator]
        self.remover = IdentityRemover(num_features, num_bases=num_bases) if num_bases else nn.Identity()
        translators = [make(num_features, num_modes, **sizes) for _ in range(members)]
        self.members = nn.ModuleList(translators)
        self.before, self.after = translators[0].before, translators[0].after
        if num_bases:
            # The remover has heard a window before its answer counts.
            self.before = max(self.before, RUN_UP)
        self._unused = self.before - translators[0].before
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

    def cleaned(self, features_BWC: Tensor) -> Tensor:
        """(B, W, C) features in their standard deviations, without the voice's identity."""
        clean: Tensor = self.remover((features_BWC - self.feature_mean_C) / self.feature_std_C)
        return clean

    def hidden(self, features_BWC: Tensor) -> Tensor:
        """(B, W - before - after, H) what the members' last layers see, side by side."""
        clean_BWC = self.cleaned(features_BWC)[:, self._unused :]
        return torch.cat([member.hidden(clean_BWC) for member in self._translators()], dim=-1)

    def modes(self, hidden_BWH: Tensor) -> Tensor:
        """(B, W, Z) modes of what `hidden` gives."""
        parts = hidden_BWH.chunk(len(self.members), dim=-1)
        answers = [member.answer(part) for member, part in zip(self._translators(), parts, strict=True)]
        return torch.stack(answers).mean(dim=0) * self.mode_std_Z

    def forward(self, features_BWC: Tensor) -> Tensor:
        """(B, W - before - after, Z) modes; answer i is for the time of step i + before."""
        return self.modes(self.hidden(features_BWC))

    def _translators(self) -> list[Translator]:
        return [member for member in self.members if isinstance(member, Translator)]

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
        """Arrays by name, for a weight file; see `arrays_of`."""
        return arrays_of(self)

    @classmethod
    def from_weight(cls, weight: Weight) -> ExpressionNet:
        """Read the network from a weight file; kind and sizes come from its arrays.

        Raises:
            WeightsError: The file holds something else.
        """
        arrays: dict[str, Any] = weight.arrays
        try:
            num_coefficients, num_modes = arrays["encode_KZ"].shape
            sizes: dict[str, int] = {"width": arrays["members.0.encoder.norm.weight"].shape[0]}
            is_lstm = "members.0.recurrent.weight_hh_l0" in arrays
            if is_lstm:
                sizes["hidden"] = arrays["members.0.recurrent.weight_hh_l0"].shape[1]
            net = cls(
                LstmTranslator.name if is_lstm else ConvTranslator.name,
                arrays["feature_mean_C"].shape[0],
                num_modes,
                num_coefficients,
                members=sum(name.startswith("members.") and name.endswith(".last.weight") for name in arrays),
                num_bases=len(arrays.get("remover.bases_JCC", ())),
                **sizes,
            )
            net.load_state_dict({name: torch.from_numpy(np.array(array)) for name, array in arrays.items()})
        except (KeyError, ValueError, IndexError, TypeError, RuntimeError) as error:
            raise WeightsError("The weights are no expression network of this version.") from error
        return net.eval()


def listen(
    net: ExpressionNet, steps_FC: Float32, silence_C: Float32, device: torch.device
) -> Iterator[tuple[Float32, Float32]]:
    """Hear a recording in chunks that together cover it, so that long ones need little memory.

    Args:
        net: In evaluation mode.
        steps_FC: (F, C) features at 100 Hz.
        silence_C: (C,) features of silence, heard before and after.
        device: Where the network runs.

    Yields:
        (f, Z) modes and (f, H) hidden units, float32, of the next f steps; row 0 of the first is for 0 s.
    """
    num_steps = len(steps_FC)
    num_chunks = -(-num_steps // _CHUNK_STEPS)
    net = net.to(device)
    for first in range(0, num_chunks, _CHUNKS_AT_ONCE):
        last = min(first + _CHUNKS_AT_ONCE, num_chunks)
        batch = np.full(
            (last - first, net.before + _CHUNK_STEPS + net.after, len(silence_C)), silence_C, np.float32
        )
        for row_WC, chunk in zip(batch, range(first, last), strict=True):
            begin = chunk * _CHUNK_STEPS - net.before
            known_WC = steps_FC[max(begin, 0) : begin + len(row_WC)]
            row_WC[max(-begin, 0) :][: len(known_WC)] = known_WC
        with torch.inference_mode():
            hidden = net.hidden(torch.from_numpy(batch).to(device))
            modes = net.modes(hidden)
        left = num_steps - first * _CHUNK_STEPS
        yield _joined(modes)[:left], _joined(hidden)[:left]


def _joined(chunks_BWX: Tensor) -> Float32:
    return np.asarray(chunks_BWX.reshape(-1, chunks_BWX.shape[-1]).float().cpu().numpy(), np.float32)


@dataclass(frozen=True)
class TargetRange:
    """What the target's mouth usually does.

    Attributes:
        mean_Z: (Z,) float32 its mean modes.
        std_Z: (Z,) float32 their standard deviations.
        scale_Z: (Z,) float32 factor from predicted deviations to the target's.
    """

    mean_Z: Float32
    std_Z: Float32
    scale_Z: Float32

    @classmethod
    def measured(cls, net: ExpressionNet, target_TK: Float32) -> TargetRange:
        """The range of a target.

        Args:
            net: Knows the range the modes were learned in.
            target_TK: (T, K) the target's own coefficients on usable frames, T >= 1.
        """
        target_TZ = net.encode(target_TK)
        usual_Z = net.mode_std_Z.cpu().numpy()
        # A few frames say little about the range: lean on the usual one.
        trust = len(target_TZ) / (len(target_TZ) + 50.0)
        std_Z = trust * target_TZ.std(axis=0) + (1 - trust) * usual_Z
        return cls(target_TZ.mean(axis=0), std_Z, std_Z / np.maximum(usual_Z, 1e-6))

    def limited(self, deviation_NZ: Float32, *, reach: float = 3.0) -> Float32:
        """Modes around the target's mean, none farther away than so many standard deviations.

        Args:
            deviation_NZ: (N, Z) wanted deviations from the mean, in the target's range.
            reach: In standard deviations.

        Returns:
            (N, Z).
        """
        limit_Z = np.maximum(reach * self.std_Z, 1e-6)
        return np.asarray(self.mean_Z + limit_Z * np.tanh(deviation_NZ / limit_Z), np.float32)


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
