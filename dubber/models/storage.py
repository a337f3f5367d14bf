"""Networks as arrays, for weight files."""

from __future__ import annotations

from typing import Any

import numpy as np
from torch import nn


def arrays_of(net: nn.Module) -> dict[str, Any]:
    """A network's state by name: what was learned in half precision, all else, such as scales, as it is."""
    learned = {name for name, _ in net.named_parameters()}
    return {
        name: np.ascontiguousarray(value.cpu().numpy(), np.float16 if name in learned else None)
        for name, value in net.state_dict().items()
    }
