"""Networks that measure and that dubber may not ship: read from files the user names, never executed."""

from __future__ import annotations

from pathlib import Path

import torch
from safetensors.torch import load_file
from torch import nn

from dubber.errors import WeightsError

_COUNTER = "num_batches_tracked"
"""Batch normalisation's counter: newer files hold it, older ones do not, and nothing here needs it."""


def read_state(path: Path, what: str) -> dict[str, torch.Tensor]:
    """Tensors of a safetensors file or of a PyTorch state dict.

    Args:
        path: The file. A PyTorch file is read without running code in it.
        what: What it should hold, for messages.

    Raises:
        WeightsError: It is missing, or holds something else.
    """
    if not path.is_file():
        raise WeightsError(f"There is no file with the weights of {what}.", where=str(path), advice=_ADVICE)
    try:
        if path.suffix == ".safetensors":
            return load_file(path)
        state = torch.load(path, map_location="cpu", weights_only=True)
    except Exception as error:  # the parsers fail in many ways on damaged bytes
        raise WeightsError(
            f"The file holds no readable weights of {what}.", where=str(path), advice=_ADVICE
        ) from error
    if not isinstance(state, dict) or not all(isinstance(value, torch.Tensor) for value in state.values()):
        raise WeightsError(f"The file is no state dict of {what}.", where=str(path), advice=_ADVICE)
    return state


def load_state(net: nn.Module, path: Path, what: str) -> None:
    """Fill a network from a file.

    Raises:
        WeightsError: As `read_state`, or the tensors' names or shapes are another network's.
    """
    state = read_state(path, what)
    wanted = {name: value.shape for name, value in net.state_dict().items() if _COUNTER not in name}
    found = {name: value.shape for name, value in state.items() if _COUNTER not in name}
    wrong = sorted(name for name in wanted | found if wanted.get(name) != found.get(name))
    if wrong:
        named = ", ".join(wrong[:3]) + (", …" if len(wrong) > 3 else "")
        raise WeightsError(
            f"The file's tensors are not those of {what}: {len(wrong)} differ ({named}).",
            where=str(path),
            advice=_ADVICE,
        )
    net.load_state_dict(state, strict=False)


_ADVICE = "docs/method.md, section Measures, lists which file each of these options takes."
