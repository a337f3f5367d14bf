"""Networks that hear: the voice's identity is taken out, sounds are recognised, mouths follow.

All of them see a run of features and answer for its inner steps alone: `before` steps at its start and
`after` steps at its end are context. Nothing is padded inside.

Index letters: B a batch, W steps of 10 ms, C features, J bases of the identity remover, H hidden units, Z
modes.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from typing import ClassVar

import torch
from torch import Tensor, nn
from torch.nn import functional

RUN_UP = 80
"""Steps an LSTM has heard before it is listened to: 0.8 s. Source: method.md section 4 (EBT)."""

FUTURE = 20
"""Steps an LSTM hears beyond the time it speaks for: 0.2 s. Source: method.md section 4 (EBT)."""

_ENCODER_DILATIONS = (1, 2, 3, 4)
_HEAD_DILATIONS = (4, 6, 8)
_FIRST_KERNEL, _KERNEL = 5, 3
_SMALL = 0.01


class IdentityRemover(nn.Module):
    """Takes out of the features what tells voices apart.

        x'_t = W_t [x_t; 1]        W_t = [I 0] + sum_j lambda_tj W_j

    The weights lambda come from an LSTM and a linear layer that have heard the window so far; the bases W_j
    are learned.

    Args:
        num_features: C.
        num_bases: J.
        hidden: Units of the LSTM.

    Source: EBT, Audio ID-Removing Network; method.md section 4 for the sizes: W_j start near
        zero, so that learning starts at the identity.
    """

    def __init__(self, num_features: int, *, num_bases: int = 12, hidden: int = 32) -> None:
        super().__init__()
        self.recurrent = nn.LSTM(num_features, hidden, batch_first=True)
        self.mix = nn.Linear(hidden, num_bases)
        self.bases_JCC = nn.Parameter(_SMALL * torch.randn(num_bases, num_features, num_features + 1))

    def forward(self, features_BWC: Tensor) -> Tensor:
        """(B, W, C) features without the voice's identity."""
        lambda_BWJ = self.mix(self.recurrent(features_BWC)[0])
        linear_JCC, shift_JC = self.bases_JCC[..., :-1], self.bases_JCC[..., -1]
        turned_BWJC = torch.einsum("jdc,bwc->bwjd", linear_JCC, features_BWC) + shift_JC
        clean: Tensor = features_BWC + torch.einsum("bwj,bwjd->bwd", lambda_BWJ, turned_BWJC)
        return clean


class _Block(nn.Module):
    """A dilated convolution, normalised, with a shortcut; the steps at the edges are lost."""

    def __init__(self, width: int, dilation: int, dropout: float) -> None:
        super().__init__()
        self.conv = nn.Conv1d(width, width, _KERNEL, dilation=dilation)
        self.norm = nn.BatchNorm1d(width)
        self.out = nn.Conv1d(width, width, 1)
        self.dropout = nn.Dropout(dropout)
        self.reach = (_KERNEL - 1) // 2 * dilation

    def forward(self, x_BHW: Tensor) -> Tensor:
        moved_BHW: Tensor = self.out(self.dropout(functional.gelu(self.norm(self.conv(x_BHW)))))
        return moved_BHW + x_BHW[..., self.reach : x_BHW.shape[-1] - self.reach]


class SpeechEncoder(nn.Module):
    """Recognises sounds: 0.12 s to both sides. Learned from speech with known phones first.

    Args:
        num_features: C.
        width: H.
        dropout: Inside the blocks, in training.
    """

    def __init__(self, num_features: int, *, width: int = 96, dropout: float = 0.1) -> None:
        super().__init__()
        self.first = nn.Conv1d(num_features, width, _FIRST_KERNEL)
        self.blocks = nn.ModuleList(_Block(width, dilation, dropout) for dilation in _ENCODER_DILATIONS)
        self.norm = nn.BatchNorm1d(width)
        self.reach = _FIRST_KERNEL // 2 + sum(_ENCODER_DILATIONS)
        self.width = width

    def forward(self, features_BWC: Tensor) -> Tensor:
        """(B, W - 2 reach, H)."""
        x_BHW = self.first(features_BWC.transpose(1, 2))
        for block in self.blocks:
            x_BHW = block(x_BHW)
        return functional.gelu(self.norm(x_BHW)).transpose(1, 2)


class Translator(nn.Module, ABC):
    """From features to modes of the mouth. `hidden` is what the last, linear layer sees.

    Attributes:
        before: Steps at the start of a run that get no answer.
        after: Steps at its end that get none.
    """

    before: int
    after: int

    def __init__(self, encoder: SpeechEncoder, num_hidden: int, num_modes: int, dropout: float) -> None:
        super().__init__()
        self.encoder = encoder
        self.last = nn.Linear(num_hidden, num_modes)
        self.dropout = nn.Dropout(dropout)

    @abstractmethod
    def hidden(self, features_BWC: Tensor) -> Tensor:
        """(B, W - before - after, H)."""

    def answer(self, hidden_BWH: Tensor) -> Tensor:
        """(B, W, Z) modes in their standard deviations, of what `hidden` gives."""
        modes_BWZ: Tensor = self.last(self.dropout(hidden_BWH))
        return modes_BWZ

    def forward(self, features_BWC: Tensor) -> Tensor:
        """(B, W - before - after, Z) modes in their standard deviations."""
        return self.answer(self.hidden(features_BWC))


class LstmTranslator(Translator):
    """An LSTM over a second of recognised sounds; its last step, and the sound at hand, give the modes.

    Source: EBT, Audio-to-Expression Translation Network. The encoder before it, and showing the
        last layer the encoder's own answer too, are dubber's.
    """

    name: ClassVar[str] = "lstm"

    def __init__(
        self,
        num_features: int,
        num_modes: int,
        *,
        width: int = 96,
        hidden: int = 96,
        dropout: float = 0.3,
    ) -> None:
        super().__init__(SpeechEncoder(num_features, width=width), width + hidden, num_modes, dropout)
        self.recurrent = nn.LSTM(width, hidden, batch_first=True)
        self._delay = FUTURE - self.encoder.reach
        self.before, self.after = self.encoder.reach + RUN_UP, FUTURE

    def hidden(self, features_BWC: Tensor) -> Tensor:
        """(B, W - before - after, width + hidden)."""
        sounds_BWH = self.encoder(features_BWC)
        heard_BWH = self.recurrent(self.dropout(sounds_BWH))[0]
        now_BWH = sounds_BWH[:, RUN_UP : sounds_BWH.shape[1] - self._delay]
        return torch.cat([heard_BWH[:, RUN_UP + self._delay :], now_BWH], dim=-1)


class ConvTranslator(Translator):
    """Convolutions over 0.3 s of recognised sounds to both sides: seven frames' worth at 25 a second.

    Source: Meta Talk and AudioDVP, audio-to-expression network (method.md section 4): one-dimensional
        convolutions over seven frames of audio features; theirs run over the features, these over time.
    """

    name: ClassVar[str] = "conv"

    def __init__(
        self,
        num_features: int,
        num_modes: int,
        *,
        width: int = 96,
        dropout: float = 0.3,
    ) -> None:
        super().__init__(SpeechEncoder(num_features, width=width), width, num_modes, dropout)
        self.blocks = nn.ModuleList(_Block(width, dilation, 0.2) for dilation in _HEAD_DILATIONS)
        self.norm = nn.BatchNorm1d(width)
        self.before = self.after = self.encoder.reach + sum(_HEAD_DILATIONS)

    def hidden(self, features_BWC: Tensor) -> Tensor:
        """(B, W - before - after, width)."""
        x_BHW = self.encoder(features_BWC).transpose(1, 2)
        for block in self.blocks:
            x_BHW = block(x_BHW)
        return functional.gelu(self.norm(x_BHW)).transpose(1, 2)


TRANSLATORS: dict[str, type[LstmTranslator] | type[ConvTranslator]] = {
    translator.name: translator for translator in (LstmTranslator, ConvTranslator)
}
"""Translators by the name that `--translator` takes."""
